//! Every limit of the pipeline's contract, each with its reason. Nothing here reads a setting.

use crate::signal::Signal;

/// Bytes of a request body on the wire, unless configured otherwise: fits the common proxies'
/// default and keeps one fsync short.
pub const WIRE_BYTES_DEFAULT: usize = 1024 * 1024;
/// The most that the wire limit may be configured to.
pub const WIRE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a body after decompression: bounds the memory one request can make us hold.
pub const INFLATED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Inflated bytes per wire byte. Real telemetry stays under 40:1; a bomb does not.
pub const INFLATE_RATIO_MAX: usize = 100;
/// Ratio is not judged below this size: a tiny body of repeated text is harmless.
pub const INFLATE_RATIO_FLOOR: usize = 64 * 1024;

/// Bytes of one string: the longest stack traces fit, a file does not.
pub const FIELD_BYTES_MAX: usize = 64 * 1024;
/// Attributes (after flattening) of one event, or of one resource.
pub const ATTRIBUTES_MAX: usize = 256;
/// Depth of nesting inside an event.
pub const DEPTH_MAX: usize = 32;
/// Depth past which a body is not even skipped over: two containers around an event at the limit.
pub const SKIP_DEPTH_MAX: usize = 64;
/// Bytes of one attribute key, dots included.
pub const KEY_BYTES_MAX: usize = 256;
/// Characters of a service name.
pub const SERVICE_CHARS_MAX: usize = 100;
/// Characters of a metric or span name.
pub const NAME_CHARS_MAX: usize = 200;
/// Bytes of an identifier that is not ours (session, user, request, span ids in logs).
pub const ID_BYTES_MAX: usize = 256;
/// Bytes of a URL: what browsers still send.
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// Events inside one span, and links of one span: the OpenTelemetry SDKs' default limit.
pub const SPAN_EVENTS_MAX: usize = 128;
/// Targets of one audit event.
pub const TARGETS_MAX: usize = 64;
/// Characters of the reason that somebody gives for what they do: a sentence, not a report.
pub const REASON_CHARS_MAX: usize = 200;

/// How far in the future a timestamp may lie: a clock in the wrong time zone is still accepted.
pub const FUTURE_NS_MAX: i64 = 24 * 3600 * NS_PER_SECOND;
/// Nanoseconds in a second.
pub const NS_PER_SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a day.
pub const NS_PER_DAY: i64 = 24 * 3600 * NS_PER_SECOND;

/// How far a `webhook-timestamp` may be off, in seconds (Standard Webhooks' own tolerance).
pub const WEBHOOK_TOLERANCE_S: i64 = 5 * 60;
/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY_MAX: usize = 128;
/// Per-event errors listed in an answer: enough to see the pattern, small enough to log.
pub const ERRORS_LISTED_MAX: usize = 100;

/// Rows of one ledger batch: large enough for efficient parts, small enough to redo in a second.
pub const BATCH_ROWS_MAX: usize = 50_000;
/// Body bytes of one ledger batch: bounds the worker's memory per shard.
pub const BATCH_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Bytes of rows that one entry may make: its resource is written into each of its rows, so a small
/// body could otherwise make gigabytes. Sixteen thousand bytes of resource in each of the most
/// events still fit.
pub const ENTRY_ROW_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Days after 1970 that an entry may have been received on: a `Date` of ClickHouse has no more.
pub const RECEIVED_DAY_MAX: i64 = 65_535;
/// Shards per signal at most: the width of the shard number in an [`EventId`](crate::ids::EventId).
pub const SHARDS_MAX: u16 = 256;

/// The most events one request may carry.
#[must_use]
pub const fn events_max(signal: Signal) -> usize {
    match signal {
        Signal::Logs | Signal::Rum | Signal::Audit => 1_000,
        Signal::Metrics => 5_000,
        Signal::Traces => 500,
    }
}

/// Days an event is kept, and so the oldest timestamp accepted (the data model's retention).
#[must_use]
pub const fn retention_days(signal: Signal) -> i64 {
    match signal {
        Signal::Logs | Signal::Rum => 90,
        Signal::Metrics | Signal::Traces => 30,
        Signal::Audit => 365,
    }
}

/// Whether what was received on a day (days after 1970) is past its signal's retention on another,
/// or will be before that day ends: the stores then drop it as soon as they hold it.
#[must_use]
pub const fn is_past_retention(signal: Signal, received_day: i64, today: i64) -> bool {
    received_day.saturating_add(retention_days(signal)) <= today
}

const _: () = assert!(WIRE_BYTES_DEFAULT <= WIRE_BYTES_MAX);
const _: () = assert!(WIRE_BYTES_MAX <= INFLATED_BYTES_MAX);
const _: () = assert!(FIELD_BYTES_MAX < WIRE_BYTES_DEFAULT);
const _: () = assert!(INFLATED_BYTES_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(INFLATED_BYTES_MAX < ENTRY_ROW_BYTES_MAX);
const _: () = assert!(events_max(Signal::Metrics) <= BATCH_ROWS_MAX);
const _: () = assert!(events_max(Signal::Metrics) < u16::MAX as usize);
const _: () = assert!(DEPTH_MAX < SKIP_DEPTH_MAX);
