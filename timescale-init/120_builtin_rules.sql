-- Which built-in rules an organisation has been offered, and in which version: what it has removed,
-- changed or switched off stays so when a newer program brings newer ones.

CREATE TABLE IF NOT EXISTS builtin_rule (
    org_id      uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    id          text        NOT NULL,
    -- Of the program's document, not of the organisation's rule; 0 where it is not known.
    version     integer     NOT NULL,
    -- The document without version and enabled: a rule that still is this was not changed.
    body        jsonb       NOT NULL,
    offered_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id)
);

-- What organisations were given when they were made.
INSERT INTO builtin_rule (org_id, id, version, body)
SELECT DISTINCT ON (org_id, id) org_id, id, 0, body - 'version' - 'enabled'
  FROM rule WHERE builtin ORDER BY org_id, id, version
    ON CONFLICT DO NOTHING;

-- What of these documents an organisation has not been offered in this version, and what becomes of it;
-- of one organisation, or of all that have been offered any. Those made without stay without.
CREATE OR REPLACE FUNCTION due_builtin_rules(documents jsonb, whose uuid)
RETURNS TABLE (org uuid, rule text, document jsonb, enabled boolean, latest integer, outcome text)
LANGUAGE sql STABLE AS $$
    SELECT o.id, d.document ->> 'id', d.document, coalesce(r.enabled, (d.document ->> 'enabled')::boolean),
           v.latest,
           CASE WHEN b.id IS NULL AND v.latest IS NULL THEN 'added'
                -- A rule of its own by that id.
                WHEN b.id IS NULL THEN 'kept'
                WHEN b.body = d.document - 'version' - 'enabled' THEN 'same'
                WHEN r.id IS NULL THEN 'removed'
                WHEN r.builtin AND r.body - 'version' - 'enabled' = b.body THEN 'renewed'
                ELSE 'kept' END
      FROM organisation AS o
     CROSS JOIN jsonb_array_elements(documents) AS d (document)
      LEFT JOIN builtin_rule AS b ON b.org_id = o.id AND b.id = d.document ->> 'id'
      LEFT JOIN rule AS r ON r.org_id = o.id AND r.id = d.document ->> 'id' AND r.until_revision IS NULL
     CROSS JOIN LATERAL (SELECT max(any_of.version) AS latest FROM rule AS any_of
                          WHERE any_of.org_id = o.id AND any_of.id = d.document ->> 'id') AS v
     WHERE (b.id IS NULL OR b.version < (d.document ->> 'version')::integer)
       AND (o.id = whose
            OR (whose IS NULL AND EXISTS (SELECT FROM builtin_rule AS any_of WHERE any_of.org_id = o.id)))
     ORDER BY o.id, d.document ->> 'id'
$$;

-- Offers these documents: those never offered become rules, rules that were not changed are renewed and
-- stay switched on or off. Tells what became of each that was due.
CREATE OR REPLACE FUNCTION offer_builtin_rules(documents jsonb, who text, whose uuid DEFAULT NULL)
RETURNS TABLE (org uuid, rule text, outcome text) LANGUAGE plpgsql AS $$
DECLARE
    due record;
    revision bigint;
    new_version integer;
BEGIN
    IF NOT EXISTS (SELECT FROM due_builtin_rules(documents, whose)) THEN
        RETURN;
    END IF;
    -- Whoever takes a revision holds this lock, so that revisions become visible in order.
    PERFORM pg_advisory_xact_lock(7770001);
    FOR due IN SELECT * FROM due_builtin_rules(documents, whose) LOOP
        IF due.outcome IN ('added', 'renewed') THEN
            revision := coalesce(revision, nextval('control_revision'));
            new_version := coalesce(due.latest, 0) + 1;
            UPDATE rule AS r SET until_revision = revision
             WHERE r.org_id = due.org AND r.id = due.rule AND r.until_revision IS NULL;
            INSERT INTO rule (org_id, id, version, enabled, builtin, body, from_revision, changed_by)
            VALUES (due.org, due.rule, new_version, due.enabled, true,
                    due.document || jsonb_build_object('version', new_version, 'enabled', due.enabled), revision, who);
        END IF;
        INSERT INTO builtin_rule AS b (org_id, id, version, body)
        VALUES (due.org, due.rule, (due.document ->> 'version')::integer,
                due.document - 'version' - 'enabled')
            ON CONFLICT ON CONSTRAINT builtin_rule_pkey
            DO UPDATE SET version = excluded.version, body = excluded.body, offered_at = now();
        IF due.outcome <> 'same' THEN
            org := due.org;
            rule := due.rule;
            outcome := due.outcome;
            RETURN NEXT;
        END IF;
    END LOOP;
    IF revision IS NOT NULL THEN
        NOTIFY millrace_control;
    END IF;
END $$;
