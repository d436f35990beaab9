-- Log records. Column names follow the OpenTelemetry ClickHouse exporter where it has one.
CREATE TABLE IF NOT EXISTS millrace.logs_local ON CLUSTER '{cluster}' (
    OrgId              UUID,
    Timestamp          DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ReceivedAt         DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    EventId            UUID CODEC(ZSTD(1)),
    -- Which ledger batch wrote the row (shard << 48 | seq), its place in it, and at which attempt.
    BatchId            UInt64 CODEC(ZSTD(1)),
    RowNumber          UInt32 CODEC(Delta(4), ZSTD(1)),
    Attempt            UInt8 CODEC(ZSTD(1)),
    ServiceName        LowCardinality(String),
    Host               LowCardinality(String),
    Environment        LowCardinality(String),
    KeyId              LowCardinality(String),
    RequestId          String CODEC(ZSTD(1)),
    TraceId            String CODEC(ZSTD(1)),
    SpanId             String CODEC(ZSTD(1)),
    -- The level as it was sent, OpenTelemetry's number for it, and the five-step severity.
    SeverityText       LowCardinality(String),
    SeverityNumber     UInt8,
    Severity           LowCardinality(String),
    Body               String CODEC(ZSTD(1)),
    LogAttributes      Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ClientIp           String CODEC(ZSTD(1)),
    GeoCountry         LowCardinality(String),
    GeoCity            LowCardinality(String),
    Browser            LowCardinality(String),
    Os                 LowCardinality(String),
    Device             LowCardinality(String),
    -- Classes of personal data that were scrubbed from the row.
    PiiClasses         Array(LowCardinality(String)),
    Observables        Array(String) CODEC(ZSTD(1)),
    RiskScore          UInt8,
    IndicatorIds       Array(UInt64) CODEC(ZSTD(1)),
    ThreatNames        Array(LowCardinality(String)),
    RuleMatches        Array(LowCardinality(String)),
    INDEX time_range Timestamp TYPE minmax GRANULARITY 1,
    INDEX batch_range BatchId TYPE minmax GRANULARITY 1,
    INDEX event_id EventId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX observable Observables TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX attribute_keys mapKeys(LogAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX attribute_values mapValues(LogAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX body_text Body TYPE text(tokenizer = 'splitByNonAlpha', preprocessor = lower(Body)) GRANULARITY 100000000,
    PROJECTION hourly (
        SELECT OrgId, toStartOfHour(Timestamp) AS hour, ServiceName, Severity,
               count() AS events, sum(length(Body)) AS bytes
        GROUP BY OrgId, hour, ServiceName, Severity
    )
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/millrace/logs', '{replica}')
PARTITION BY toDate(ReceivedAt)
ORDER BY (OrgId, ServiceName, Timestamp)
TTL toDateTime(ReceivedAt) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
         -- Insert deduplication is a help against repeated inserts, never the proof: that is the ledger.
         replicated_deduplication_window = 1000;

-- A ledger batch goes to one shard whole, so counting its rows asks one shard. The worker's inserts
-- need distributed_foreground_insert = 1 and insert_quorum = 'auto' in the server's profile: an
-- answer must mean that the rows are written, and on a majority of replicas.
CREATE TABLE IF NOT EXISTS millrace.logs ON CLUSTER '{cluster}' AS millrace.logs_local
ENGINE = Distributed('{cluster}', millrace, logs_local, cityHash64(BatchId));
