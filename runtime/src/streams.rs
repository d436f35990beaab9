//! The two ways in which something other than the gateway appends to a stream: what a service or a
//! tool has to tell itself, and the replay of a dead letter. Both are one script each, guarded by a
//! key, so that a repeated call appends nothing.

use millrace_shared::entry::{BODY_FIELD, META_FIELD, Meta};
use millrace_shared::ids::ShardId;
use redis::aio::ConnectionManager;
use redis::{RedisError, Script};

/// Seconds for which the guard of an append of our own is kept: longer than any retry.
const GUARD_S: u32 = 120;
/// Seconds for which a finished replay is still remembered: longer than any call runs.
const REPLAYED_S: u32 = 24 * 3600;

/// Counts and appends; the guard makes a repeated call harmless.
const APPEND: &str = "
local before = redis.call('GET', KEYS[3])
if before then return before end
local id = redis.call('XADD', KEYS[1], '*', ARGV[1], ARGV[2], ARGV[3], ARGV[4])
redis.call('HINCRBY', KEYS[2], ARGV[5] .. ':events', ARGV[6])
redis.call('HINCRBY', KEYS[2], ARGV[5] .. ':bytes', ARGV[7])
redis.call('HINCRBY', KEYS[2], ARGV[5] .. ':batches', 1)
redis.call('SET', KEYS[3], id, 'EX', ARGV[8])
return id
";

/// Appends a dead letter's entry. It was counted when it came first. The guard has no expiry until
/// the letter is marked.
const REPLAY: &str = "
local before = redis.call('GET', KEYS[2])
if before then return before end
local id = redis.call('XADD', KEYS[1], '*', ARGV[1], ARGV[2], ARGV[3], ARGV[4])
redis.call('SET', KEYS[2], id)
return id
";

/// Something to append.
#[derive(Clone, Debug)]
pub struct Appended<'a> {
    /// The stream.
    pub shard: ShardId,
    /// Its description.
    pub meta: &'a Meta,
    /// Its body, packed.
    pub body: &'a [u8],
    /// Names the append: the same name appends once.
    pub nonce: &'a str,
}

/// Appends an entry of one's own, once; the entry's id.
///
/// # Errors
/// When Redis cannot be asked or refuses.
pub async fn append(
    redis: &mut ConnectionManager,
    entry: &Appended<'_>,
) -> Result<String, RedisError> {
    let meta = entry.meta;
    Script::new(APPEND)
        .key(entry.shard.stream())
        .key(entry.shard.received())
        .key(entry.shard.remembered(meta.org, entry.nonce))
        .arg(META_FIELD)
        .arg(meta.to_text())
        .arg(BODY_FIELD)
        .arg(entry.body)
        .arg(meta.org.simple().to_string())
        .arg(meta.accepted)
        .arg(meta.wire_bytes)
        .arg(GUARD_S)
        .invoke_async(redis)
        .await
}

/// Appends the entry of a dead letter, once however often it is asked; the entry's id. `meta` must
/// name the letter.
///
/// # Errors
/// When Redis cannot be asked or refuses.
pub async fn replay(
    redis: &mut ConnectionManager,
    shard: ShardId,
    meta: &Meta,
    body: &[u8],
) -> Result<String, RedisError> {
    Script::new(REPLAY)
        .key(shard.stream())
        .key(guard(shard, meta.replay_of.unwrap_or_default()))
        .arg(META_FIELD)
        .arg(meta.to_text())
        .arg(BODY_FIELD)
        .arg(body)
        .invoke_async(redis)
        .await
}

/// Lets the guard of a replay expire, once its letter is marked: until then nothing else keeps a
/// second try from appending twice.
///
/// # Errors
/// When Redis cannot be asked; the guard then stays, which is no harm.
pub async fn forget_replay(
    redis: &mut ConnectionManager,
    shard: ShardId,
    letter: i64,
) -> Result<(), RedisError> {
    redis::cmd("EXPIRE")
        .arg(guard(shard, letter))
        .arg(REPLAYED_S)
        .query_async(redis)
        .await
}

fn guard(shard: ShardId, letter: i64) -> String {
    format!("{}:replay:{letter}", shard.tag())
}
