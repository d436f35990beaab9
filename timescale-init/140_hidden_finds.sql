-- What retro-hunts find of values that a policy hid, and what is told of alerts that they raise.

-- As what its observable is stored, where a policy hid it: told, with the events, to those only who may know how
-- values are hidden. The alert itself says nothing of it.
ALTER TABLE alert ADD COLUMN IF NOT EXISTS hidden text;
-- Of alerts that were raised before: what is stored otherwise than the indicator is spelled, and is no subdomain, part
-- of a network or other that is found by more than its spelling. Where the indicator is gone nobody can tell.
UPDATE alert AS a
   SET hidden = a.group_key ->> 'observable',
       group_key = a.group_key - 'observable',
       message = replace(a.message, a.group_key ->> 'observable', '(hidden)'),
       observables = '{}',
       first_seen = date_trunc('day', a.first_seen, 'UTC'),
       last_seen = date_trunc('day', a.last_seen, 'UTC')
 WHERE a.retro_hunt IS NOT NULL AND a.hidden IS NULL AND a.group_key ? 'observable'
   AND a.group_key ->> 'kind' NOT IN ('domain', 'url')
   AND NOT EXISTS (
       SELECT FROM indicator AS i
        WHERE i.id::text = a.group_key ->> 'indicator'
          AND (i.kind = 'cidr' OR i.value = a.group_key ->> 'observable'));

-- Tells of what happened to an alert: a row for each channel that wants it, in the transaction in
-- which it happened. `ordinal` tells one happening of a kind from the next, so that doing the same
-- again tells nothing twice. The number of rows made.
--
-- A channel with a thousand messages waiting gets no more: they are kept as dropped. Which events had what a policy
-- hid is told to nobody here: a channel has no permissions.
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
                       'count', a.count, 'observables', a.observables,
                       'event_ids', CASE WHEN a.hidden IS NULL THEN a.event_ids ELSE '{}' END,
                       'retroactive', a.retro_hunt IS NOT NULL,
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
