-- Metrics: a series once, its samples many times.

CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE IF NOT EXISTS metric_series (
    id          bigserial   PRIMARY KEY,
    org_id      uuid        NOT NULL,
    name        text        NOT NULL,
    -- Scrubbed; sorted keys. service, host and environment are columns, not labels.
    labels      jsonb       NOT NULL DEFAULT '{}',
    service     text        NOT NULL DEFAULT '',
    host        text        NOT NULL DEFAULT '',
    environment text        NOT NULL DEFAULT '',
    type        text        NOT NULL DEFAULT 'gauge' CHECK (type IN ('counter', 'gauge', 'histogram', 'summary')),
    unit        text        NOT NULL DEFAULT '',
    -- SHA-256 (first 16 bytes) over organisation, name, type, unit, service, host, environment and labels.
    fingerprint bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, fingerprint)
);
CREATE INDEX IF NOT EXISTS metric_series_name ON metric_series (org_id, name);
CREATE INDEX IF NOT EXISTS metric_series_labels ON metric_series USING gin (labels jsonb_path_ops);

CREATE TABLE IF NOT EXISTS metric_samples (
    time        timestamptz      NOT NULL,
    series_id   bigint           NOT NULL,
    value       double precision NOT NULL,
    -- Ledger batch (shard << 48 | seq), for audits.
    batch_id    bigint           NOT NULL
);
SELECT create_hypertable('metric_samples', by_range('time', INTERVAL '1 day'), if_not_exists => true);
CREATE INDEX IF NOT EXISTS metric_samples_series ON metric_samples (series_id, time DESC);

-- Samples with the increase since the one before, a reset counting from zero.
CREATE OR REPLACE VIEW metric_increase AS
SELECT time, series_id, value,
       CASE WHEN value >= lag(value) OVER w THEN value - lag(value) OVER w ELSE value END AS increase
  FROM metric_samples
WINDOW w AS (PARTITION BY series_id ORDER BY time);
