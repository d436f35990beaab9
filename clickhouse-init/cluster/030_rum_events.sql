-- Browser events.
CREATE TABLE IF NOT EXISTS millrace.rum_events_local ON CLUSTER '{cluster}' (
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
    SessionId          String CODEC(ZSTD(1)),
    UserId             String CODEC(ZSTD(1)),
    EventType          LowCardinality(String),
    PageUrl            String CODEC(ZSTD(1)),
    -- The path of PageUrl, identifiers in it replaced, for grouping.
    Page               LowCardinality(String),
    Referrer           String CODEC(ZSTD(1)),
    UserAgent          String CODEC(ZSTD(1)),
    -- Milliseconds (cls has no unit); NaN where not measured.
    Fcp                Float64 CODEC(ZSTD(1)),
    Lcp                Float64 CODEC(ZSTD(1)),
    Fid                Float64 CODEC(ZSTD(1)),
    Inp                Float64 CODEC(ZSTD(1)),
    Cls                Float64 CODEC(ZSTD(1)),
    Ttfb               Float64 CODEC(ZSTD(1)),
    DomLoad            Float64 CODEC(ZSTD(1)),
    WindowLoad         Float64 CODEC(ZSTD(1)),
    ErrorMessage       String CODEC(ZSTD(1)),
    ErrorStack         String CODEC(ZSTD(1)),
    ErrorType          LowCardinality(String),
    -- Sent with a public key: anybody may have written it.
    Untrusted          Bool,
    CustomAttributes   Map(LowCardinality(String), String) CODEC(ZSTD(1)),
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
    INDEX session SessionId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX attribute_keys mapKeys(CustomAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX attribute_values mapValues(CustomAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    PROJECTION hourly (
        SELECT OrgId, toStartOfHour(Timestamp) AS hour, Page,
               countIf(EventType = 'pageview') AS pageviews, countIf(EventType = 'error') AS errors,
               quantilesIf(0.5, 0.75, 0.95)(Lcp, NOT isNaN(Lcp)) AS lcp,
               quantilesIf(0.5, 0.75, 0.95)(Inp, NOT isNaN(Inp)) AS inp,
               quantilesIf(0.5, 0.75, 0.95)(Cls, NOT isNaN(Cls)) AS cls
        GROUP BY OrgId, hour, Page
    )
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/millrace/rum_events', '{replica}')
PARTITION BY toDate(ReceivedAt)
ORDER BY (OrgId, ServiceName, Timestamp)
TTL toDateTime(ReceivedAt) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1,
         -- Insert deduplication is a help against repeated inserts, never the proof: that is the ledger.
         replicated_deduplication_window = 1000;

-- A ledger batch goes to one shard whole, so counting its rows asks one shard. The worker's inserts
-- need distributed_foreground_insert = 1 and insert_quorum = 'auto' in the server's profile: an
-- answer must mean that the rows are written, and on a majority of replicas.
CREATE TABLE IF NOT EXISTS millrace.rum_events ON CLUSTER '{cluster}' AS millrace.rum_events_local
ENGINE = Distributed('{cluster}', millrace, rum_events_local, cityHash64(BatchId));
