-- What the servers of feeds ask for, and when indicators ended.

ALTER TABLE indicator_feed
    -- What may be shown of its credential: its kind, and the name of a header or user.
    ADD COLUMN IF NOT EXISTS credential         jsonb,
    -- The whole of it, sealed with the master key for this feed at this server; empty without one.
    ADD COLUMN IF NOT EXISTS credential_sealed  bytea       NOT NULL DEFAULT '';

-- When it was closed: it is removed some time later.
ALTER TABLE indicator ADD COLUMN IF NOT EXISTS ended_at timestamptz;
UPDATE indicator SET ended_at = now() WHERE until_revision IS NOT NULL AND ended_at IS NULL;
CREATE INDEX IF NOT EXISTS indicator_ended ON indicator (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS indicator_expiring ON indicator (expires_at)
    WHERE expires_at IS NOT NULL AND until_revision IS NULL;
