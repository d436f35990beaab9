-- Remembers, appends and counts in one step that cannot be interrupted.
-- KEYS  1 stream  2 received  3 remembered
-- ARGV  1 meta  2 body  3 organisation  4 events  5 rejected  6 wire bytes
--       7 seconds to remember (0: not at all)  8 rest of the answer to remember
-- Returns {1, id} for a new entry, {0, remembered answer} for one seen before.
local remember = tonumber(ARGV[7])
if remember > 0 then
  local seen = redis.call('GET', KEYS[3])
  if seen then
    return {0, seen}
  end
end
local id = redis.call('XADD', KEYS[1], '*', 'm', ARGV[1], 'b', ARGV[2])
redis.call('HINCRBY', KEYS[2], ARGV[3] .. ':events', ARGV[4])
redis.call('HINCRBY', KEYS[2], ARGV[3] .. ':rejected', ARGV[5])
redis.call('HINCRBY', KEYS[2], ARGV[3] .. ':bytes', ARGV[6])
redis.call('HINCRBY', KEYS[2], ARGV[3] .. ':batches', 1)
if remember > 0 then
  redis.call('SET', KEYS[3], '{"id":"' .. id .. '",' .. ARGV[8], 'EX', remember)
end
return {1, id}
