-- Spans. Ordered for the waterfall; a projection orders them for search.
CREATE TABLE IF NOT EXISTS millrace.spans_local ON CLUSTER '{cluster}' (
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
    ParentSpanId       String CODEC(ZSTD(1)),
    SpanName           LowCardinality(String),
    SpanKind           LowCardinality(String),
    -- Nanoseconds, never negative.
    Duration           UInt64 CODEC(ZSTD(1)),
    StatusCode         LowCardinality(String),
    SpanAttributes     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    "Events.Timestamp" Array(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    "Events.Name"      Array(LowCardinality(String)) CODEC(ZSTD(1)),
    "Events.Attributes" Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    "Links.TraceId"    Array(String) CODEC(ZSTD(1)),
    "Links.SpanId"     Array(String) CODEC(ZSTD(1)),
    "Links.Attributes" Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
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
    INDEX attribute_keys mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX attribute_values mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    PROJECTION by_service (
        SELECT OrgId, ServiceName, SpanName, Timestamp, TraceId, SpanId, ParentSpanId, Duration, StatusCode, SpanKind
        ORDER BY OrgId, ServiceName, Timestamp
    ),
    PROJECTION hourly (
        SELECT OrgId, toStartOfHour(Timestamp) AS hour, ServiceName, SpanName,
               count() AS spans, countIf(StatusCode = 'error') AS errors,
               quantiles(0.5, 0.95, 0.99)(Duration) AS durations
        GROUP BY OrgId, hour, ServiceName, SpanName
    )
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/millrace/spans', '{replica}')
PARTITION BY toDate(ReceivedAt)
ORDER BY (OrgId, TraceId, Timestamp)
TTL toDateTime(ReceivedAt) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1,
         -- Insert deduplication is a help against repeated inserts, never the proof: that is the ledger.
         replicated_deduplication_window = 1000;

-- A ledger batch goes to one shard whole, so counting its rows asks one shard. The worker's inserts
-- need distributed_foreground_insert = 1 and insert_quorum = 'auto' in the server's profile: an
-- answer must mean that the rows are written, and on a majority of replicas.
CREATE TABLE IF NOT EXISTS millrace.spans ON CLUSTER '{cluster}' AS millrace.spans_local
ENGINE = Distributed('{cluster}', millrace, spans_local, cityHash64(BatchId));
