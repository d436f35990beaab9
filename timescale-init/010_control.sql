-- Who may send and who may ask.

CREATE TABLE IF NOT EXISTS organisation (
    id              uuid        PRIMARY KEY,
    name            text        NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    -- Keys the hashes of scrubbed values; random, never leaves the server.
    pepper          bytea       NOT NULL CHECK (length(pepper) = 32),
    -- Scrubbing policy (scrubber::Policy) and detection settings (time zone, working hours); {} is the default.
    pii_policy      jsonb       NOT NULL DEFAULT '{}',
    settings        jsonb       NOT NULL DEFAULT '{}',
    requests_per_minute integer NOT NULL DEFAULT 10000 CHECK (requests_per_minute > 0),
    events_per_second   bigint  NOT NULL DEFAULT 1000000 CHECK (events_per_second > 0),
    bytes_per_second    bigint  NOT NULL DEFAULT 536870912 CHECK (bytes_per_second > 0),
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS ingest_key (
    id              text        PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
    org_id          uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    name            text        NOT NULL DEFAULT '',
    kind            text        NOT NULL DEFAULT 'secret' CHECK (kind IN ('secret', 'public')),
    signals         text[]      NOT NULL DEFAULT '{logs,metrics,traces,rum,audit}',
    -- 'body' is x-signature, 'webhook' is Standard Webhooks.
    schemes         text[]      NOT NULL DEFAULT '{body,webhook}',
    -- Sealed with the master key (AES-256-GCM, the key id authenticated); empty for a public key.
    secret          bytea       NOT NULL DEFAULT '',
    -- The other secret while rotating.
    secret_next     bytea,
    allowed_cidrs   cidr[]      NOT NULL DEFAULT '{}',
    allowed_origins text[]      NOT NULL DEFAULT '{}',
    -- Overrides of the organisation's quotas.
    requests_per_minute integer,
    events_per_second   bigint,
    bytes_per_second    bigint,
    not_before      timestamptz,
    not_after       timestamptz,
    revoked_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS ingest_key_org ON ingest_key (org_id);

CREATE TABLE IF NOT EXISTS role (
    org_id          uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    name            text        NOT NULL CHECK (name ~ '^[a-z_]{1,40}$'),
    permissions     text[]      NOT NULL,
    PRIMARY KEY (org_id, name)
);

CREATE TABLE IF NOT EXISTS app_user (
    id              uuid        PRIMARY KEY,
    org_id          uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    email           text        NOT NULL,
    name            text        NOT NULL DEFAULT '',
    role            text        NOT NULL,
    disabled_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, email)
);

CREATE TABLE IF NOT EXISTS api_token (
    id              uuid        PRIMARY KEY,
    org_id          uuid        NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    user_id         uuid        REFERENCES app_user (id) ON DELETE CASCADE,
    name            text        NOT NULL DEFAULT '',
    role            text        NOT NULL,
    -- SHA-256 of the token: tokens are random, so nothing slower is needed.
    hash            bytea       NOT NULL UNIQUE CHECK (length(hash) = 32),
    expires_at      timestamptz,
    revoked_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS api_token_org ON api_token (org_id);
