-- Versions of an organisation's pepper, and who made its scrubbing policy what it is.
ALTER TABLE organisation ADD COLUMN IF NOT EXISTS pepper_version integer NOT NULL DEFAULT 1 CHECK (pepper_version > 0);
ALTER TABLE organisation_version ADD COLUMN IF NOT EXISTS pepper_version integer NOT NULL DEFAULT 1;
ALTER TABLE organisation_version ADD COLUMN IF NOT EXISTS changed_by text NOT NULL DEFAULT '';
-- Null for versions from before this was kept.
ALTER TABLE organisation_version ADD COLUMN IF NOT EXISTS changed_at timestamptz;

-- Every pepper an organisation had: what was hashed with an old one can still be searched for.
CREATE TABLE IF NOT EXISTS organisation_pepper (
    org_id          uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    version         integer     NOT NULL CHECK (version > 0),
    pepper          bytea       NOT NULL CHECK (length(pepper) = 32),
    made_by         text        NOT NULL DEFAULT '',
    made_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, version)
);
INSERT INTO organisation_pepper (org_id, version, pepper, made_at)
SELECT id, pepper_version, pepper, created_at FROM organisation
    ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION organisation_versioned() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    revision bigint;
    -- Whoever changes an organisation says who it is: set_config('millrace.who', …, true).
    who text := coalesce(current_setting('millrace.who', true), '');
BEGIN
    INSERT INTO organisation_pepper (org_id, version, pepper, made_by)
    VALUES (NEW.id, NEW.pepper_version, NEW.pepper, who)
        ON CONFLICT DO NOTHING;
    IF NOT EXISTS (SELECT FROM organisation_pepper AS kept
                    WHERE kept.org_id = NEW.id AND kept.version = NEW.pepper_version AND kept.pepper = NEW.pepper) THEN
        RAISE EXCEPTION 'a new pepper needs a new version';
    END IF;
    -- Whoever takes a revision holds this lock, so that revisions become visible in order.
    PERFORM pg_advisory_xact_lock(7770001);
    revision := nextval('control_revision');
    UPDATE organisation_version SET until_revision = revision
     WHERE org_id = NEW.id AND until_revision IS NULL;
    INSERT INTO organisation_version
           (org_id, from_revision, pepper, pepper_version, pii_policy, settings, changed_by, changed_at)
    VALUES (NEW.id, revision, NEW.pepper, NEW.pepper_version, NEW.pii_policy, NEW.settings, who, now());
    NOTIFY millrace_control;
    RETURN NEW;
END $$;
