//! The metrics of the query API, each declared once. Labels are closed sets: a path that is no
//! route counts as `other`.

use millrace_runtime::metric::{Counter, Declared, Gauge, Histogram};

/// Requests answered.
pub static REQUESTS: Counter = Counter::new(
    "millrace_query_requests_total",
    "Requests answered, by method, route and class of status.",
    &["method", "route", "status"],
);
/// Time to answer.
pub static DURATION: Histogram = Histogram::new(
    "millrace_query_request_duration_seconds",
    "Time from a request's headers to its answer, seconds.",
    &["route"],
);
/// Time of one statement.
pub static STORE_DURATION: Histogram = Histogram::new(
    "millrace_query_store_duration_seconds",
    "Time of one statement in a store, seconds.",
    &["store"],
);
/// Rows ClickHouse read.
pub static ROWS_READ: Counter = Counter::new(
    "millrace_query_rows_read_total",
    "Rows that ClickHouse read for queries.",
    &[],
);
/// Store errors.
pub static STORE_ERRORS: Counter = Counter::new(
    "millrace_query_store_errors_total",
    "Statements that failed, by store and kind.",
    &["store", "kind"],
);
/// Cancelled queries.
pub static CANCELLED: Counter = Counter::new(
    "millrace_query_cancelled_total",
    "Statements cancelled because the client went, by store.",
    &["store"],
);
/// Cache use.
pub static CACHE: Counter = Counter::new(
    "millrace_query_cache_total",
    "Look-ups in a cache, by cache and result.",
    &["cache", "result"],
);
/// Refusals for concurrency.
pub static CONCURRENCY_REFUSALS: Counter = Counter::new(
    "millrace_query_concurrency_refusals_total",
    "Requests refused because the organisation's slots were taken.",
    &[],
);
/// Back-tests.
pub static BACKTESTS: Counter = Counter::new(
    "millrace_query_backtests_total",
    "Back-tests begun, by how they ended: whole, cut_off, broken_off (the client went, or a store did).",
    &["outcome"],
);
/// Rows of back-tests.
pub static BACKTEST_ROWS: Counter = Counter::new(
    "millrace_query_backtest_rows_total",
    "Stored events that back-tests have put to rules.",
    &[],
);
/// The trail.
pub static TRAIL: Counter = Counter::new(
    "millrace_query_trail_total",
    "Audit events about the API's own use, by outcome of appending them.",
    &["outcome"],
);
/// The books.
pub static BALANCED: Gauge = Gauge::new(
    "millrace_query_balance_balanced",
    "1 when the books balanced the last time anybody asked, else 0.",
    &[],
);

/// All of them.
pub static ALL: &[&dyn Declared] = &[
    &REQUESTS,
    &DURATION,
    &STORE_DURATION,
    &ROWS_READ,
    &STORE_ERRORS,
    &CANCELLED,
    &CACHE,
    &CONCURRENCY_REFUSALS,
    &BACKTESTS,
    &BACKTEST_ROWS,
    &TRAIL,
    &BALANCED,
    &millrace_runtime::selftel::DROPPED,
];

/// The routes, as they are registered and as they are labelled.
pub const ROUTES: &[&str] = &[
    "/api/v1/whoami",
    "/api/v1/logs/search",
    "/api/v1/logs/histogram",
    "/api/v1/metrics/query",
    "/api/v1/metrics/names",
    "/api/v1/metrics/labels",
    "/api/v1/metrics/label/{name}/values",
    "/api/v1/traces/search",
    "/api/v1/traces/{trace_id}",
    "/api/v1/audit/search",
    "/api/v1/audit/filters",
    "/api/v1/rum/search",
    "/api/v1/rum/pages",
    "/api/v1/soc/overview",
    "/api/v1/alerts",
    "/api/v1/alerts/summary",
    "/api/v1/alerts/{id}",
    "/api/v1/alerts/{id}/status",
    "/api/v1/alerts/{id}/assign",
    "/api/v1/alerts/{id}/notes",
    "/api/v1/channels",
    "/api/v1/channels/{id}",
    "/api/v1/channels/{id}/test",
    "/api/v1/notifications",
    "/api/v1/notifications/{id}/retry",
    "/api/v1/notifications/{id}/drop",
    "/api/v1/rules",
    "/api/v1/rules/test",
    "/api/v1/rules/backtest",
    "/api/v1/rules/import/sigma",
    "/api/v1/rules/coverage",
    "/api/v1/rules/coverage/navigator",
    "/api/v1/rules/{id}",
    "/api/v1/rules/{id}/enabled",
    "/api/v1/rules/{id}/backtest",
    "/api/v1/retro-hunts",
    "/api/v1/retro-hunts/{id}",
    "/api/v1/pipelines",
    "/api/v1/pipelines/test",
    "/api/v1/pipelines/{signal}",
    "/api/v1/indicators",
    "/api/v1/indicators/import",
    "/api/v1/indicators/{id}",
    "/api/v1/indicator-feeds",
    "/api/v1/indicator-feeds/{name}",
    "/api/v1/allow-lists",
    "/api/v1/allow-lists/{name}",
    "/api/v1/privacy/policy",
    "/api/v1/privacy/policy/test",
    "/api/v1/privacy/peppers",
    "/api/v1/privacy/hash",
    "/api/v1/usage",
    "/api/v1/sources",
    "/api/v1/ledger/batches",
    "/api/v1/ledger/balance",
    "/api/v1/ledger/lost",
    "/api/v1/dead-letters",
    "/api/v1/dead-letters/{id}",
    "/api/v1/dead-letters/{id}/replay",
    "/api/v1/dead-letters/{id}/drop",
    "/api/openapi.json",
];

/// The label of a route's pattern.
#[must_use]
pub fn route(pattern: Option<&str>) -> &'static str {
    let known = |pattern: &str| ROUTES.iter().copied().find(|route| *route == pattern);
    pattern.and_then(known).unwrap_or("other")
}

/// The label of a method.
#[must_use]
pub fn method(name: &str) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

/// The label of a status.
#[must_use]
pub const fn status_class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
