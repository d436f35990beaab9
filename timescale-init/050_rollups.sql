-- Rollups metric_1m, metric_5m, metric_1h. With the community edition they are continuous
-- aggregates with refresh, compression and retention policies; with the Apache edition, which has
-- none of these, views of the same names and columns. The query layer cannot tell the difference.
--
-- The counter increase of a bucket is the sum of its inner increases (resets counted from zero)
-- plus the step from the last value of the bucket before, which the query adds from first and last.

DO $$
DECLARE
    community boolean := coalesce(current_setting('timescaledb.license', true), 'apache') = 'timescale';
    rollup    record;
    body      text;
BEGIN
    FOR rollup IN
        SELECT * FROM (VALUES
            ('metric_1m', '1 minute', '30 seconds', '7 days'),
            ('metric_5m', '5 minutes', '2 minutes', '30 days'),
            ('metric_1h', '1 hour', '10 minutes', '365 days')
        ) AS r(name, bucket, refresh, keep)
    LOOP
        IF to_regclass(rollup.name) IS NOT NULL THEN
            CONTINUE;
        END IF;
        body := format($body$
            SELECT time_bucket(INTERVAL %L, time) AS bucket,
                   series_id,
                   count(*)            AS count,
                   sum(value)          AS sum,
                   min(value)          AS min,
                   max(value)          AS max,
                   first(value, time)  AS first,
                   last(value, time)   AS last,
                   min(time)           AS first_time,
                   max(time)           AS last_time,
                   array_agg(value ORDER BY time) AS samples
              FROM metric_samples
             GROUP BY 1, 2
        $body$, rollup.bucket);
        IF community THEN
            EXECUTE format('CREATE MATERIALIZED VIEW %I WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS %s WITH NO DATA', rollup.name, body);
            PERFORM add_continuous_aggregate_policy(rollup.name::regclass,
                start_offset => rollup.bucket::interval * 60,
                end_offset => rollup.bucket::interval,
                schedule_interval => rollup.refresh::interval);
            PERFORM add_retention_policy(rollup.name::regclass, rollup.keep::interval);
        ELSE
            EXECUTE format('CREATE VIEW %I AS %s', rollup.name, body);
        END IF;
    END LOOP;
    IF community THEN
        ALTER TABLE metric_samples SET (timescaledb.compress,
            timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'time DESC');
        PERFORM add_compression_policy('metric_samples', INTERVAL '7 days', if_not_exists => true);
        PERFORM add_retention_policy('metric_samples', INTERVAL '30 days', if_not_exists => true);
    END IF;
END $$;
