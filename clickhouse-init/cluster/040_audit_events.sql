-- Audit events.
CREATE TABLE IF NOT EXISTS millrace.audit_events_local ON CLUSTER '{cluster}' (
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
    EventType          LowCardinality(String),
    Action             LowCardinality(String),
    Outcome            LowCardinality(String),
    Severity           LowCardinality(String),
    Operation          LowCardinality(String),
    ActorId            String CODEC(ZSTD(1)),
    ActorEmail         String CODEC(ZSTD(1)),
    ActorName          String CODEC(ZSTD(1)),
    ActorType          LowCardinality(String),
    "Targets.Id"       Array(String) CODEC(ZSTD(1)),
    "Targets.Type"     Array(LowCardinality(String)) CODEC(ZSTD(1)),
    "Targets.Name"     Array(String) CODEC(ZSTD(1)),
    UserAgent          String CODEC(ZSTD(1)),
    SessionId          String CODEC(ZSTD(1)),
    -- The request id inside the event; RequestId is that of the ingest request.
    EventRequestId     String CODEC(ZSTD(1)),
    Message            String CODEC(ZSTD(1)),
    Metadata           Map(LowCardinality(String), String) CODEC(ZSTD(1)),
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
    INDEX actor (ActorId, ActorEmail) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX address ClientIp TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX attribute_keys mapKeys(Metadata) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX attribute_values mapValues(Metadata) TYPE bloom_filter(0.01) GRANULARITY 1,
    PROJECTION hourly (
        SELECT OrgId, toStartOfHour(Timestamp) AS hour, EventType, Outcome, Severity, count() AS events
        GROUP BY OrgId, hour, EventType, Outcome, Severity
    )
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/millrace/audit_events', '{replica}')
PARTITION BY toDate(ReceivedAt)
ORDER BY (OrgId, EventType, Timestamp)
TTL toDateTime(ReceivedAt) + INTERVAL 365 DAY
SETTINGS ttl_only_drop_parts = 1,
         -- Insert deduplication is a help against repeated inserts, never the proof: that is the ledger.
         replicated_deduplication_window = 1000;

-- A ledger batch goes to one shard whole, so counting its rows asks one shard. The worker's inserts
-- need distributed_foreground_insert = 1 and insert_quorum = 'auto' in the server's profile: an
-- answer must mean that the rows are written, and on a majority of replicas.
CREATE TABLE IF NOT EXISTS millrace.audit_events ON CLUSTER '{cluster}' AS millrace.audit_events_local
ENGINE = Distributed('{cluster}', millrace, audit_events_local, cityHash64(BatchId));
