//! The time of day. The only place that reads it; everything else is handed the time it needs.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970 UTC. 0 before 1970 and the last representable instant (2262) after it.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the edge at which the time is taken"
)]
pub fn now_ns() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Seconds since 1970 UTC.
#[must_use]
pub fn now_s() -> i64 {
    now_ns() / 1_000_000_000
}
