-- What has been applied to the stores, and what the installation is fixed to.
-- Every file of the two init folders is applied once, in the order of its number, and recorded here.

CREATE TABLE IF NOT EXISTS schema_migration (
    store       text        NOT NULL CHECK (store IN ('clickhouse', 'timescale')),
    name        text        NOT NULL,
    sha256      text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (store, name)
);

-- One row. Shards per signal cannot change once entries exist: an idempotency key must find its shard.
CREATE TABLE IF NOT EXISTS installation (
    singleton       boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    shards          smallint    NOT NULL DEFAULT 16 CHECK (shards BETWEEN 1 AND 256),
    created_at      timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES ON CONFLICT DO NOTHING;
