-- What Redis lost after it was acknowledged, and what the ledger needs to tell it by id.

-- The ids of the batch's entries, packed (normalizer-worker/src/entry_ids.rs): names each entry that
-- is gone when the batch must be made again.
ALTER TABLE batch ADD COLUMN IF NOT EXISTS entry_ids bytea NOT NULL DEFAULT '';
-- Entries of the batch that were gone by then; the others became its rows.
ALTER TABLE batch ADD COLUMN IF NOT EXISTS lost integer NOT NULL DEFAULT 0;
-- When the audit last wrote rows anew: they too must outlast the writeback before they are trusted.
ALTER TABLE batch ADD COLUMN IF NOT EXISTS rewritten_at timestamptz;

-- Accepted batches that are neither stored nor parked: only data loss in Redis puts a row here.
CREATE TABLE IF NOT EXISTS lost_entry (
    signal      text        NOT NULL,
    shard       smallint    NOT NULL,
    entry_ms    bigint      NOT NULL,
    entry_seq   bigint      NOT NULL,
    -- Known to the gateway that acknowledged it; a worker knows the entry's id only.
    org_id      uuid,
    batch_id    text,
    events      integer,
    found_by    text        NOT NULL CHECK (found_by IN ('gateway', 'worker')),
    found_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (signal, shard, entry_ms, entry_seq)
);
CREATE INDEX IF NOT EXISTS lost_entry_org ON lost_entry (org_id, found_at);
