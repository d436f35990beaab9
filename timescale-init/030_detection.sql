-- Rules, their windows, indicators, alerts and what is told of them.
-- Everything that changes what the worker makes of an event is versioned by control_revision, so
-- that a batch can be recomputed with what it used: a row counts at revision r when
-- from_revision <= r and (until_revision is null or r < until_revision).

CREATE SEQUENCE IF NOT EXISTS control_revision START 1;

-- The organisation's policy and settings as they were, by revision (kept by the trigger below).
CREATE TABLE IF NOT EXISTS organisation_version (
    org_id          uuid    NOT NULL,
    from_revision   bigint  NOT NULL,
    until_revision  bigint,
    pepper          bytea   NOT NULL,
    pii_policy      jsonb   NOT NULL,
    settings        jsonb   NOT NULL,
    PRIMARY KEY (org_id, from_revision)
);

CREATE OR REPLACE FUNCTION organisation_versioned() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    revision bigint;
BEGIN
    -- Whoever takes a revision holds this lock, so that revisions become visible in order.
    PERFORM pg_advisory_xact_lock(7770001);
    revision := nextval('control_revision');
    UPDATE organisation_version SET until_revision = revision
     WHERE org_id = NEW.id AND until_revision IS NULL;
    INSERT INTO organisation_version (org_id, from_revision, pepper, pii_policy, settings)
    VALUES (NEW.id, revision, NEW.pepper, NEW.pii_policy, NEW.settings);
    NOTIFY millrace_control;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER organisation_versioned
    AFTER INSERT OR UPDATE OF pepper, pii_policy, settings ON organisation
    FOR EACH ROW EXECUTE FUNCTION organisation_versioned();

CREATE TABLE IF NOT EXISTS rule (
    org_id          uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    id              text        NOT NULL CHECK (length(id) BETWEEN 1 AND 100),
    version         integer     NOT NULL,
    enabled         boolean     NOT NULL,
    builtin         boolean     NOT NULL DEFAULT false,
    -- detection::rules::RuleDef
    body            jsonb       NOT NULL,
    from_revision   bigint      NOT NULL,
    until_revision  bigint,
    changed_by      text        NOT NULL DEFAULT '',
    changed_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id, version)
);
CREATE UNIQUE INDEX IF NOT EXISTS rule_current ON rule (org_id, id) WHERE until_revision IS NULL;

-- Window state of a rule for one group; changed only inside a commit transaction.
CREATE TABLE IF NOT EXISTS rule_window (
    org_id      uuid        NOT NULL,
    rule_id     text        NOT NULL,
    group_hash  bytea       NOT NULL,
    state       bytea       NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, rule_id, group_hash)
);
CREATE INDEX IF NOT EXISTS rule_window_expiry ON rule_window (expires_at);

CREATE TABLE IF NOT EXISTS indicator_feed (
    id          bigserial   PRIMARY KEY,
    -- Null: for every organisation.
    org_id      uuid        REFERENCES organisation (id) ON DELETE CASCADE,
    name        text        NOT NULL,
    trust       smallint    NOT NULL DEFAULT 100 CHECK (trust BETWEEN 0 AND 100),
    source      text        NOT NULL DEFAULT '',
    sha256      text        NOT NULL DEFAULT '',
    loaded_at   timestamptz,
    UNIQUE NULLS NOT DISTINCT (org_id, name)
);

CREATE TABLE IF NOT EXISTS indicator (
    id              bigserial   PRIMARY KEY,
    feed_id         bigint      NOT NULL REFERENCES indicator_feed (id) ON DELETE CASCADE,
    org_id          uuid,
    kind            text        NOT NULL,
    value           text        NOT NULL,
    confidence      smallint    NOT NULL CHECK (confidence BETWEEN 0 AND 100),
    severity        text        NOT NULL,
    threat          text        NOT NULL DEFAULT '',
    tags            text[]      NOT NULL DEFAULT '{}',
    match_private   boolean     NOT NULL DEFAULT false,
    first_seen      timestamptz,
    last_seen       timestamptz,
    expires_at      timestamptz,
    from_revision   bigint      NOT NULL,
    until_revision  bigint
);
CREATE UNIQUE INDEX IF NOT EXISTS indicator_current ON indicator (feed_id, kind, value) WHERE until_revision IS NULL;
-- Tells at once whether any indicator has changed since a revision.
CREATE INDEX IF NOT EXISTS indicator_changed ON indicator (greatest(from_revision, coalesce(until_revision, 0)));

CREATE TABLE IF NOT EXISTS alert (
    id              uuid        PRIMARY KEY,
    org_id          uuid        NOT NULL,
    rule_id         text        NOT NULL,
    rule_version    integer     NOT NULL,
    severity        text        NOT NULL,
    severity_rank   smallint    NOT NULL,
    title           text        NOT NULL,
    message         text        NOT NULL,
    alert_type      text        NOT NULL,
    attack          text[]      NOT NULL DEFAULT '{}',
    -- Scrubbed group values by field path, and the keyed hash that tells groups apart.
    group_key       jsonb       NOT NULL DEFAULT '{}',
    dedupe_hash     bytea       NOT NULL,
    first_seen      timestamptz NOT NULL,
    last_seen       timestamptz NOT NULL,
    count           bigint      NOT NULL DEFAULT 1,
    suppressed      bigint      NOT NULL DEFAULT 0,
    event_ids       uuid[]      NOT NULL DEFAULT '{}',
    observables     text[]      NOT NULL DEFAULT '{}',
    risk_score      smallint    NOT NULL DEFAULT 0,
    signal          text        NOT NULL,
    status          text        NOT NULL DEFAULT 'open' CHECK (status IN
                    ('open', 'acknowledged', 'in_progress', 'resolved', 'closed', 'false_positive')),
    assignee        text,
    status_changed_at timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,
    resolved_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS alert_listing ON alert (org_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS alert_dedupe ON alert (org_id, rule_id, dedupe_hash, last_seen DESC);

CREATE TABLE IF NOT EXISTS alert_event (
    id          bigserial   PRIMARY KEY,
    alert_id    uuid        NOT NULL REFERENCES alert (id) ON DELETE CASCADE,
    org_id      uuid        NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    who         text        NOT NULL,
    what        text        NOT NULL,
    from_status text,
    to_status   text,
    note        text        NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS alert_event_alert ON alert_event (alert_id, id);

CREATE TABLE IF NOT EXISTS notification_channel (
    id          uuid        PRIMARY KEY,
    org_id      uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    name        text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('webhook')),
    min_severity text       NOT NULL DEFAULT 'high',
    url         text        NOT NULL,
    secret      bytea,
    enabled     boolean     NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, name)
);

-- Written in the commit transaction; sent later, at least once, under a stable key.
CREATE TABLE IF NOT EXISTS outbox (
    id              bigserial   PRIMARY KEY,
    org_id          uuid        NOT NULL,
    alert_id        uuid        NOT NULL,
    event           text        NOT NULL,
    idempotency_key text        NOT NULL UNIQUE,
    payload         jsonb       NOT NULL,
    state           text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'dead')),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (next_attempt_at) WHERE state = 'pending';

CREATE TABLE IF NOT EXISTS saved_search (
    id          uuid        PRIMARY KEY,
    org_id      uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    owner       text        NOT NULL,
    name        text        NOT NULL,
    query       jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS normalization_pipeline (
    org_id          uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    signal          text        NOT NULL,
    steps           jsonb       NOT NULL,
    from_revision   bigint      NOT NULL,
    until_revision  bigint,
    PRIMARY KEY (org_id, signal, from_revision)
);

CREATE TABLE IF NOT EXISTS slo (
    id          uuid        PRIMARY KEY,
    org_id      uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    name        text        NOT NULL,
    body        jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- Hash chain over the audit events of an organisation, sealed batch by batch in the commit.
CREATE TABLE IF NOT EXISTS audit_seal (
    org_id      uuid        NOT NULL,
    number      bigint      NOT NULL,
    shard       smallint    NOT NULL,
    seq         bigint      NOT NULL,
    rows        integer     NOT NULL,
    rows_hash   bytea       NOT NULL,
    chain_hash  bytea       NOT NULL,
    sealed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, number)
);
