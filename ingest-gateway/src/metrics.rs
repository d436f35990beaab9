//! The gateway's metrics, each declared once.

use millrace_runtime::metric::{Counter, Declared, Gauge, Histogram};

/// Requests by signal and how they ended.
pub static REQUESTS: Counter = Counter::new(
    "millrace_gateway_requests_total",
    "Requests by signal and outcome: `accepted`, `replayed`, `validated`, or the code of the refusal.",
    &["signal", "outcome"],
);
/// Time from the headers to the answer.
pub static DURATION: Histogram = Histogram::new(
    "millrace_gateway_request_duration_seconds",
    "Time from a request's headers to its answer, seconds.",
    &["signal"],
);
/// Body sizes.
pub static WIRE_BYTES: Histogram = Histogram::new(
    "millrace_gateway_request_wire_bytes",
    "Size of request bodies on the wire, bytes.",
    &["signal"],
);
/// Bytes received in bodies of accepted requests.
pub static ACCEPTED_BYTES: Counter = Counter::new(
    "millrace_gateway_accepted_wire_bytes_total",
    "Bytes on the wire of accepted requests.",
    &["signal"],
);
/// Events accepted.
pub static EVENTS_ACCEPTED: Counter = Counter::new(
    "millrace_gateway_events_accepted_total",
    "Events accepted and appended.",
    &["signal"],
);
/// Events rejected.
pub static EVENTS_REJECTED: Counter = Counter::new(
    "millrace_gateway_events_rejected_total",
    "Events rejected, by the code of the reason.",
    &["signal", "code"],
);
/// Time in the append script.
pub static APPEND_DURATION: Histogram = Histogram::new(
    "millrace_gateway_append_duration_seconds",
    "Time of one atomic append in Redis, its fsync included, seconds.",
    &["signal"],
);
/// Failed appends.
pub static APPEND_FAILURES: Counter = Counter::new(
    "millrace_gateway_append_failures_total",
    "Appends whose outcome was not a success, by kind: `timeout`, `memory`, `replicas`, `other`.",
    &["kind"],
);
/// Batches that Redis lost.
pub static LOST_BATCHES: Counter = Counter::new(
    "millrace_gateway_lost_batches_total",
    "Acknowledged batches that Redis lost before they were stored; each is in the log and the table `lost_entry` by its id.",
    &["signal"],
);
/// Events of them.
pub static LOST_EVENTS: Counter = Counter::new(
    "millrace_gateway_lost_events_total",
    "Events of acknowledged batches that Redis lost.",
    &["signal"],
);
/// Bytes of bodies held.
pub static IN_FLIGHT: Gauge = Gauge::new(
    "millrace_gateway_in_flight_bytes",
    "Bytes of request bodies held at this moment.",
    &[],
);
/// Redis memory.
pub static REDIS_MEMORY: Gauge = Gauge::new(
    "millrace_gateway_redis_memory_bytes",
    "Memory in use by Redis when last asked, bytes.",
    &[],
);
/// The budget for it.
pub static REDIS_MEMORY_MAX: Gauge = Gauge::new(
    "millrace_gateway_redis_memory_budget_bytes",
    "Redis memory above which requests are refused with 503, bytes.",
    &[],
);
/// Key look-ups.
pub static KEY_LOOKUPS: Counter = Counter::new(
    "millrace_gateway_key_lookups_total",
    "Key look-ups: `hit` from the cache, `miss` from PostgreSQL, `stale` from the cache because PostgreSQL is down, `failed`.",
    &["outcome"],
);
/// Quota refusals.
pub static QUOTA_REFUSALS: Counter = Counter::new(
    "millrace_gateway_quota_refusals_total",
    "Requests refused with 429, by the quota: `address_requests`, `requests`, `events`, `bytes`.",
    &["quota"],
);
/// Requests shed.
pub static SHED: Counter = Counter::new(
    "millrace_gateway_shed_total",
    "Requests refused with 503 to keep within a limit: `requests` or `bytes` in flight, `late` threads, `memory` of Redis, an organisation's `share` of it, the workers' `pace`, `down` while shutting down.",
    &["limit"],
);
/// Requests in work.
pub static IN_FLIGHT_REQUESTS: Gauge = Gauge::new(
    "millrace_gateway_in_flight_requests",
    "Requests that are worked on at this moment.",
    &[],
);
/// What waits.
pub static BACKLOG_BYTES: Gauge = Gauge::new(
    "millrace_gateway_backlog_bytes",
    "Bytes on the wire of what this gateway appended and no worker has taken yet.",
    &["signal"],
);
/// How long it waits.
pub static BACKLOG_WAIT: Gauge = Gauge::new(
    "millrace_gateway_backlog_wait_seconds",
    "How long an append waits for a worker; 0 while workers keep up or stand still.",
    &["signal"],
);
/// Whether appends are held back.
pub static PACED: Gauge = Gauge::new(
    "millrace_gateway_paced",
    "1 while appends are held to the workers' pace.",
    &["signal"],
);
/// Panics in a handler.
pub static PANICS: Counter = Counter::new(
    "millrace_gateway_panics_total",
    "Requests answered with 500 because of a defect of ours.",
    &[],
);

/// All of them, in the order of the reference page.
pub static ALL: &[&dyn Declared] = &[
    &REQUESTS,
    &DURATION,
    &WIRE_BYTES,
    &ACCEPTED_BYTES,
    &EVENTS_ACCEPTED,
    &EVENTS_REJECTED,
    &APPEND_DURATION,
    &APPEND_FAILURES,
    &LOST_BATCHES,
    &LOST_EVENTS,
    &IN_FLIGHT,
    &REDIS_MEMORY,
    &REDIS_MEMORY_MAX,
    &KEY_LOOKUPS,
    &QUOTA_REFUSALS,
    &SHED,
    &IN_FLIGHT_REQUESTS,
    &BACKLOG_BYTES,
    &BACKLOG_WAIT,
    &PACED,
    &PANICS,
    &millrace_runtime::selftel::DROPPED,
];
