-- Dead letters, followed to their end: replays with what they became, expiry, erased contents.

-- The letter whose replay was parked again as this one.
ALTER TABLE dead_letter ADD COLUMN IF NOT EXISTS replay_of bigint;
-- The entry under which the replay was worked on; written in that batch's commit.
ALTER TABLE dead_letter ADD COLUMN IF NOT EXISTS replayed_as text;
-- When meta and body were emptied: at once when dropped, else when the retention was over.
ALTER TABLE dead_letter ADD COLUMN IF NOT EXISTS erased_at timestamptz;
ALTER TABLE dead_letter DROP CONSTRAINT IF EXISTS dead_letter_state_check;
ALTER TABLE dead_letter ADD CONSTRAINT dead_letter_state_check
    CHECK (state IN ('PARKED', 'REPLAYED', 'DROPPED', 'EXPIRED'));

-- The indexes of thousands of events do not fit into an index row: their hash does.
DROP INDEX IF EXISTS dead_letter_once;
CREATE UNIQUE INDEX IF NOT EXISTS dead_letter_single ON dead_letter
    (signal, shard, entry_ms, entry_seq, hash_array_extended(coalesce(events_at, '{}'), 0));
CREATE INDEX IF NOT EXISTS dead_letter_parked ON dead_letter (signal, reason) WHERE state = 'PARKED';
CREATE INDEX IF NOT EXISTS dead_letter_raw ON dead_letter (parked_at) WHERE erased_at IS NULL;

-- The entries of the batch were past their signal's retention when it was prepared: all are parked.
ALTER TABLE batch ADD COLUMN IF NOT EXISTS too_old boolean NOT NULL DEFAULT false;
