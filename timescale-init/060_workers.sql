-- Which workers live, so that shards can be spread fairly over them; refreshed with the leases.
-- A view for that purpose only: what a worker may write is decided by shard.epoch.
CREATE TABLE IF NOT EXISTS worker (
    name        text        PRIMARY KEY,
    signals     text[]      NOT NULL,
    seen_until  timestamptz NOT NULL
);
