-- The ledger: the one place that knows what has been stored.

CREATE TABLE IF NOT EXISTS shard (
    signal      text        NOT NULL,
    shard       smallint    NOT NULL,
    -- Fencing: grows with every owner; a write with an older epoch is refused.
    epoch       bigint      NOT NULL DEFAULT 0,
    owner       text        NOT NULL DEFAULT '',
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    next_seq    bigint      NOT NULL DEFAULT 0,
    -- Last stream id that belongs to a batch (or is parked).
    cursor_ms   bigint      NOT NULL DEFAULT 0,
    cursor_seq  bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (signal, shard)
);

CREATE TABLE IF NOT EXISTS batch (
    signal       text        NOT NULL,
    shard        smallint    NOT NULL,
    seq          bigint      NOT NULL,
    epoch        bigint      NOT NULL,
    first_ms     bigint      NOT NULL,
    first_seq    bigint      NOT NULL,
    last_ms      bigint      NOT NULL,
    last_seq     bigint      NOT NULL,
    entries      integer     NOT NULL,
    events       integer     NOT NULL,
    -- SHA-256 over the ids and bodies of the entries, in order.
    digest       bytea       NOT NULL,
    -- Rows per target table: {"logs": 1000}.
    targets      jsonb       NOT NULL,
    -- The control revision whose rules, indicators and policies made the rows.
    revision     bigint      NOT NULL,
    received_day date        NOT NULL,
    state        text        NOT NULL DEFAULT 'PREPARED'
                 CHECK (state IN ('PREPARED', 'COMMITTED', 'AUDITED', 'PARKED')),
    attempt      integer     NOT NULL DEFAULT 0,
    prepared_at  timestamptz NOT NULL DEFAULT now(),
    committed_at timestamptz,
    audited_at   timestamptz,
    PRIMARY KEY (signal, shard, seq),
    FOREIGN KEY (signal, shard) REFERENCES shard (signal, shard)
);
CREATE INDEX IF NOT EXISTS batch_open ON batch (signal, shard, seq) WHERE state IN ('PREPARED', 'COMMITTED');
-- For counting what is parked, and for removing what was audited long ago.
CREATE INDEX IF NOT EXISTS batch_parked ON batch (signal) WHERE state = 'PARKED';
CREATE INDEX IF NOT EXISTS batch_done ON batch (audited_at) WHERE state = 'AUDITED';
CREATE INDEX IF NOT EXISTS batch_range ON batch (signal, shard, last_ms, last_seq);

CREATE TABLE IF NOT EXISTS dead_letter (
    id          bigserial   PRIMARY KEY,
    org_id      uuid,
    signal      text        NOT NULL,
    shard       smallint    NOT NULL,
    entry_ms    bigint      NOT NULL,
    entry_seq   bigint      NOT NULL,
    -- Null when the whole entry is parked; else the indexes of the parked events.
    events_at   integer[],
    events      integer     NOT NULL,
    reason      text        NOT NULL,
    detail      text        NOT NULL DEFAULT '',
    -- The entry as it stood in the stream: raw, unscrubbed, for replay only.
    meta        bytea       NOT NULL,
    body        bytea       NOT NULL,
    state       text        NOT NULL DEFAULT 'PARKED' CHECK (state IN ('PARKED', 'REPLAYED', 'DROPPED')),
    parked_at   timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz,
    closed_by   text
);
CREATE UNIQUE INDEX IF NOT EXISTS dead_letter_once ON dead_letter (signal, shard, entry_ms, entry_seq, (coalesce(events_at, '{}')));
CREATE INDEX IF NOT EXISTS dead_letter_org ON dead_letter (org_id, state, id);

-- Exact, because it is counted in the commit transaction.
CREATE TABLE IF NOT EXISTS usage_day (
    org_id        uuid    NOT NULL,
    signal        text    NOT NULL,
    day           date    NOT NULL,
    batches       bigint  NOT NULL DEFAULT 0,
    events        bigint  NOT NULL DEFAULT 0,
    stored        bigint  NOT NULL DEFAULT 0,
    rejected      bigint  NOT NULL DEFAULT 0,
    dead_lettered bigint  NOT NULL DEFAULT 0,
    bytes         bigint  NOT NULL DEFAULT 0,
    rows          bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, signal, day)
);

-- Last seen per key, service and signal, brought up to date in the commit transaction.
CREATE TABLE IF NOT EXISTS source_health (
    org_id      uuid        NOT NULL,
    signal      text        NOT NULL,
    key_id      text        NOT NULL,
    service     text        NOT NULL,
    last_seen   timestamptz NOT NULL,
    events      bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, signal, key_id, service)
);
