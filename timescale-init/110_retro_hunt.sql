-- Retro-hunts: stored history searched for indicators that came in later.

CREATE TABLE IF NOT EXISTS retro_hunt (
    id              uuid        PRIMARY KEY,
    -- Whose history is searched: a feed for every organisation has a hunt for each.
    org_id          uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    feed_id         bigint      NOT NULL REFERENCES indicator_feed (id) ON DELETE CASCADE,
    feed            text        NOT NULL,
    -- 'feed': the feed brought new indicators; 'request': somebody asked for all of the feed.
    origin          text        NOT NULL CHECK (origin IN ('feed', 'request')),
    requested_by    text        NOT NULL DEFAULT '',
    -- Indicators that came in after the first and up to the second revision, and still count.
    after_revision  bigint      NOT NULL,
    upto_revision   bigint      NOT NULL,
    range_start     timestamptz NOT NULL,
    range_end       timestamptz NOT NULL,
    state           text        NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'running', 'done', 'failed', 'cancelled')),
    -- How far it has come: the indicators being looked for are those after this id, in the table of
    -- this number, in rows after this place. Changed only together with the alerts of what was found
    -- up to there, and only by who knows the step.
    step            bigint      NOT NULL DEFAULT 0,
    after_indicator bigint      NOT NULL DEFAULT 0,
    -- The last of those, once it is settled.
    last_indicator  bigint,
    -- 0 logs, 1 spans, 2 rum_events, 3 audit_events.
    table_number    smallint    NOT NULL DEFAULT 0,
    after_ns        bigint,
    after_event     uuid,
    indicators      bigint      NOT NULL DEFAULT 0,
    -- Of how many; null until it is taken on.
    indicators_all  bigint,
    rows_read       bigint      NOT NULL DEFAULT 0,
    hits            bigint      NOT NULL DEFAULT 0,
    alerts          bigint      NOT NULL DEFAULT 0,
    -- Attempts in a row that failed, and why the last one did.
    failures        integer     NOT NULL DEFAULT 0,
    failure         text        NOT NULL DEFAULT '',
    -- When something was last added to what it looks for.
    asked_at        timestamptz NOT NULL DEFAULT now(),
    -- Not taken on before; hunts take turns in this order.
    next_at         timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    -- Searched is what was received before this time; later events were judged when they came.
    started_at      timestamptz,
    finished_at     timestamptz
);
CREATE INDEX IF NOT EXISTS retro_hunt_open ON retro_hunt (next_at) WHERE state IN ('pending', 'running');
CREATE INDEX IF NOT EXISTS retro_hunt_listing ON retro_hunt (org_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS retro_hunt_finished ON retro_hunt (finished_at) WHERE finished_at IS NOT NULL;
-- What a feed brings while a hunt for it waits is looked for by that one.
CREATE UNIQUE INDEX IF NOT EXISTS retro_hunt_waiting ON retro_hunt (org_id, feed_id)
    WHERE state = 'pending' AND origin = 'feed';

-- Up to which revision feeds have been looked at: what is there now is not new.
CREATE TABLE IF NOT EXISTS retro_hunt_mark (
    only_one        boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    revision        bigint      NOT NULL
);
INSERT INTO retro_hunt_mark (revision)
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM control_revision
ON CONFLICT DO NOTHING;

-- The control revision a worker made batches with when it showed up the time before: what it began under
-- an older one is in the ledger by now. Null: of a program that does not say.
ALTER TABLE worker ADD COLUMN IF NOT EXISTS revision bigint;

-- The indicators of a feed in the order of their ids, and those that another one has replaced.
CREATE INDEX IF NOT EXISTS indicator_of_feed ON indicator (feed_id, id);
CREATE INDEX IF NOT EXISTS indicator_replaced ON indicator (feed_id, kind, value) WHERE until_revision IS NOT NULL;

-- The hunt that raised the alert: its events were stored before the indicator was known.
ALTER TABLE alert ADD COLUMN IF NOT EXISTS retro_hunt uuid;
