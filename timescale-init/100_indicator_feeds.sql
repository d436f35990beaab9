-- Indicator feeds: what of them counts by revision, those that are fetched, their hits; allow-lists.

ALTER TABLE indicator_feed
    -- Days after it was last seen (or came) at which an indicator without an end of its own ceases to match.
    ADD COLUMN IF NOT EXISTS expire_days    integer     CHECK (expire_days BETWEEN 1 AND 3650),
    -- Where it is fetched from; empty: it is not.
    ADD COLUMN IF NOT EXISTS url            text        NOT NULL DEFAULT '',
    -- detection::indicators::parse::Format; empty: told by the content.
    ADD COLUMN IF NOT EXISTS format         text        NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS every_s        integer     NOT NULL DEFAULT 3600,
    ADD COLUMN IF NOT EXISTS next_at        timestamptz,
    -- Whoever fetches it holds it until then, under this token.
    ADD COLUMN IF NOT EXISTS lease          uuid,
    ADD COLUMN IF NOT EXISTS leased_until   timestamptz,
    -- As the server named what was fetched last.
    ADD COLUMN IF NOT EXISTS etag           text        NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS last_modified  text        NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS checked_at     timestamptz,
    -- Fetches in a row that failed, and why the last one did.
    ADD COLUMN IF NOT EXISTS failures       integer     NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS failure        text        NOT NULL DEFAULT '',
    -- Indicators that count now, and lines or objects of the last content that could not be used.
    ADD COLUMN IF NOT EXISTS indicators     bigint      NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS refused        bigint      NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS changed_by     text        NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS changed_at     timestamptz NOT NULL DEFAULT now(),
    -- Its indicators stay in the record, and so must the row that they refer to.
    ADD COLUMN IF NOT EXISTS deleted_at     timestamptz;
CREATE INDEX IF NOT EXISTS indicator_feed_due ON indicator_feed (next_at) WHERE url <> '' AND deleted_at IS NULL;
UPDATE indicator_feed AS f
   SET indicators = (SELECT count(*) FROM indicator AS i WHERE i.feed_id = f.id AND i.until_revision IS NULL)
 WHERE indicators = 0;

ALTER TABLE indicator ADD COLUMN IF NOT EXISTS added_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX IF NOT EXISTS indicator_value ON indicator (value) WHERE until_revision IS NULL;
CREATE INDEX IF NOT EXISTS indicator_org ON indicator (org_id, id) WHERE until_revision IS NULL;

-- What of a feed decides about events, as it was (kept by the trigger below).
CREATE TABLE IF NOT EXISTS indicator_feed_version (
    feed_id         bigint      NOT NULL REFERENCES indicator_feed (id) ON DELETE CASCADE,
    from_revision   bigint      NOT NULL,
    until_revision  bigint,
    trust           smallint    NOT NULL,
    expire_days     integer,
    PRIMARY KEY (feed_id, from_revision)
);
INSERT INTO indicator_feed_version (feed_id, from_revision, trust, expire_days)
SELECT id, 0, trust, expire_days FROM indicator_feed AS f
 WHERE NOT EXISTS (SELECT 1 FROM indicator_feed_version AS v WHERE v.feed_id = f.id);

CREATE OR REPLACE FUNCTION indicator_feed_versioned() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    revision bigint;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.trust = OLD.trust AND NEW.expire_days IS NOT DISTINCT FROM OLD.expire_days THEN
        RETURN NEW;
    END IF;
    -- Whoever takes a revision holds this lock; those who change feeds take it before they do.
    PERFORM pg_advisory_xact_lock(7770001);
    revision := nextval('control_revision');
    UPDATE indicator_feed_version SET until_revision = revision
     WHERE feed_id = NEW.id AND until_revision IS NULL;
    INSERT INTO indicator_feed_version (feed_id, from_revision, trust, expire_days)
    VALUES (NEW.id, revision, NEW.trust, NEW.expire_days);
    NOTIFY millrace_control;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER indicator_feed_versioned
    AFTER INSERT OR UPDATE OF trust, expire_days ON indicator_feed
    FOR EACH ROW EXECUTE FUNCTION indicator_feed_versioned();

-- The content of a feed on its way into the table; empty but inside of transactions.
CREATE UNLOGGED TABLE IF NOT EXISTS indicator_staging (
    load            uuid        NOT NULL,
    ordinal         bigint      NOT NULL,
    kind            text        NOT NULL,
    value           text        NOT NULL,
    confidence      smallint    NOT NULL,
    severity        text        NOT NULL,
    threat          text        NOT NULL,
    tags            text[]      NOT NULL,
    match_private   boolean     NOT NULL,
    first_seen      timestamptz,
    last_seen       timestamptz,
    expires_at      timestamptz
);
CREATE INDEX IF NOT EXISTS indicator_staging_load ON indicator_staging (load, kind, value);

-- How often the indicators of a feed have matched; a row a shard, so that no two workers wait for one.
CREATE TABLE IF NOT EXISTS indicator_feed_hit (
    org_id      uuid        NOT NULL,
    feed_id     bigint      NOT NULL,
    signal      text        NOT NULL,
    shard       smallint    NOT NULL,
    hits        bigint      NOT NULL,
    last_hit    timestamptz NOT NULL,
    PRIMARY KEY (org_id, feed_id, signal, shard)
);

-- What is known to be harmless: detection::indicators::AllowList.
CREATE TABLE IF NOT EXISTS allow_list (
    id              bigserial   PRIMARY KEY,
    -- Null: for every organisation.
    org_id          uuid        REFERENCES organisation (id) ON DELETE CASCADE,
    name            text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    description     text        NOT NULL DEFAULT '',
    matching        text        NOT NULL CHECK (matching IN ('cidr', 'hostname', 'string', 'substring', 'regex')),
    attributes      text[]      NOT NULL DEFAULT '{}',
    entries         text[]      NOT NULL,
    from_revision   bigint      NOT NULL,
    until_revision  bigint,
    changed_by      text        NOT NULL DEFAULT '',
    changed_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS allow_list_current ON allow_list (org_id, name) NULLS NOT DISTINCT
    WHERE until_revision IS NULL;
