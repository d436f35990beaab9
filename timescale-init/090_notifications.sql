-- What is told of alerts, to whom, and how far it has come (docs/notifications.md).

-- A channel: where an organisation is told. Its address is sealed with the master key, because most
-- addresses are secrets by themselves; `target` is what of it may be shown.
ALTER TABLE notification_channel DROP CONSTRAINT IF EXISTS notification_channel_kind_check;
ALTER TABLE notification_channel ADD CONSTRAINT notification_channel_kind_check
    CHECK (kind IN ('webhook', 'slack', 'teams', 'discord', 'pagerduty', 'email'));
ALTER TABLE notification_channel DROP COLUMN IF EXISTS url;
ALTER TABLE notification_channel DROP COLUMN IF EXISTS secret;
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS target jsonb NOT NULL DEFAULT '{}';
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS sealed bytea NOT NULL DEFAULT '';
-- Only alerts of these rules; of all when empty.
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS rules text[] NOT NULL DEFAULT '{}';
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS per_minute integer NOT NULL DEFAULT 60
    CHECK (per_minute BETWEEN 1 AND 600);
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS changed_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS changed_by text NOT NULL DEFAULT '';
-- One worker at a time sends to a channel: the lease, and the epoch that fences a worker whose lease has run out.
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS leased_by text;
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS leased_until timestamptz;
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS epoch bigint NOT NULL DEFAULT 0;
-- The rate limit: nothing is sent before this moment.
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS free_at timestamptz NOT NULL DEFAULT now();
-- After failures one after another the channel rests until then.
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS failures integer NOT NULL DEFAULT 0;
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS rests_until timestamptz;
ALTER TABLE notification_channel ADD COLUMN IF NOT EXISTS served_at timestamptz;
-- Written before there was anything that sends: without an address that can be used.
UPDATE notification_channel SET enabled = false WHERE enabled AND sealed = '';

-- One row is one message to one channel. Without an alert: a test.
ALTER TABLE outbox ALTER COLUMN alert_id DROP NOT NULL;
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS channel_id uuid;
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS queued_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS attempted_at timestamptz;
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS finished_at timestamptz;
-- What the last attempt came to; never what a receiver's answer says.
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS last_error text;
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS last_status integer;
ALTER TABLE outbox DROP CONSTRAINT IF EXISTS outbox_state_check;
ALTER TABLE outbox ADD CONSTRAINT outbox_state_check CHECK (state IN ('pending', 'sent', 'dead', 'dropped'));
UPDATE outbox SET state = 'dropped', finished_at = now(), last_error = 'written before there were channels'
 WHERE state = 'pending' AND channel_id IS NULL;
CREATE INDEX IF NOT EXISTS outbox_queue ON outbox (channel_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS outbox_listing ON outbox (org_id, id DESC);
CREATE INDEX IF NOT EXISTS outbox_alert ON outbox (alert_id, channel_id);

-- Alerts that nobody acknowledged in time. Those that were open before count as told.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM information_schema.columns
                    WHERE table_schema = current_schema() AND table_name = 'alert' AND column_name = 'escalated_at') THEN
        ALTER TABLE alert ADD COLUMN escalated_at timestamptz;
        UPDATE alert SET escalated_at = now() WHERE status = 'open';
    END IF;
END $$;
-- How many alerts a rule has raised lately.
CREATE INDEX IF NOT EXISTS alert_raised ON alert (org_id, rule_id, created_at DESC);
CREATE INDEX IF NOT EXISTS alert_unacknowledged ON alert (status_changed_at)
    WHERE status = 'open' AND escalated_at IS NULL;

CREATE OR REPLACE FUNCTION severity_rank(severity text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT array_position(ARRAY['info', 'low', 'medium', 'high', 'critical'], severity) - 1
$$;

CREATE OR REPLACE FUNCTION rfc3339(at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- Tells of what happened to an alert: a row for each channel that wants it, in the transaction in
-- which it happened. `ordinal` tells one happening of a kind from the next, so that doing the same
-- again tells nothing twice. The number of rows made.
--
-- A channel with a thousand messages waiting gets no more: they are kept as dropped.
CREATE OR REPLACE FUNCTION notify_alert(told uuid, happened text, ordinal text, detail jsonb)
RETURNS bigint LANGUAGE sql VOLATILE AS $$
    WITH made AS (
        INSERT INTO outbox (org_id, alert_id, channel_id, event, idempotency_key, payload, state,
                            last_error, finished_at)
        SELECT a.org_id, a.id, c.id, happened,
               a.id::text || ':' || happened || ':' || ordinal || ':' || c.id::text,
               jsonb_build_object(
                   'timestamp', rfc3339(now()),
                   'organisation', jsonb_build_object('id', a.org_id, 'name', coalesce(o.name, '')),
                   'alert', jsonb_build_object(
                       'id', a.id, 'rule_id', a.rule_id, 'rule_version', a.rule_version,
                       'severity', a.severity, 'title', a.title, 'message', a.message,
                       'alert_type', a.alert_type, 'attack', a.attack, 'group_key', a.group_key,
                       'first_seen', rfc3339(a.first_seen), 'last_seen', rfc3339(a.last_seen),
                       'count', a.count, 'event_ids', a.event_ids, 'observables', a.observables,
                       'risk_score', a.risk_score, 'signal', a.signal, 'status', a.status,
                       'assignee', a.assignee, 'created_at', rfc3339(a.created_at))) || detail,
               CASE WHEN q.full THEN 'dropped' ELSE 'pending' END,
               CASE WHEN q.full THEN 'too many messages wait for this channel' END,
               CASE WHEN q.full THEN now() END
          FROM alert AS a
          LEFT JOIN organisation AS o ON o.id = a.org_id
          JOIN notification_channel AS c
            ON c.org_id = a.org_id AND c.enabled
           AND a.severity_rank >= severity_rank(c.min_severity)
           AND (c.rules = '{}' OR a.rule_id = ANY (c.rules))
         CROSS JOIN LATERAL (
               SELECT count(*) >= 1000 AS full FROM (
                   SELECT FROM outbox AS p WHERE p.channel_id = c.id AND p.state = 'pending' LIMIT 1000) AS waiting
               ) AS q
         WHERE a.id = told
           -- The end of an alert is told to those only who could know of its beginning.
           AND (happened <> 'resolved' OR c.created_at <= a.created_at OR EXISTS (
                   SELECT FROM outbox AS before WHERE before.alert_id = a.id AND before.channel_id = c.id))
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING 1)
    SELECT count(*) FROM made
$$;
