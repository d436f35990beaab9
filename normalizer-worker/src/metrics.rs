//! Every metric of the worker, declared once. All label values are closed sets.

use crate::work::IndicatorHits;
use millrace_runtime::metric::{Counter, Declared, Gauge, Histogram, named};

/// The label of a feed: operators' feeds by name, as far as there is room; organisations choose
/// names as they like, so theirs share one.
#[must_use]
pub fn feed_label(hits: &IndicatorHits) -> &'static str {
    match hits.everybodys {
        true => named(&hits.name),
        false => "own",
    }
}

/// How long each step of a batch takes.
pub static STAGE_SECONDS: Histogram = Histogram::new(
    "millrace_worker_stage_seconds",
    "Time one batch spends in a step: read, transform, prepare, write, commit, audit; whole is from its first entry's reading to its commit.",
    &["signal", "stage"],
);
/// Rows of batches.
pub static BATCH_ROWS: Histogram = Histogram::new(
    "millrace_worker_batch_rows",
    "Rows and samples of a batch.",
    &["signal"],
);
/// Inflated bytes of batches.
pub static BATCH_BYTES: Histogram = Histogram::new(
    "millrace_worker_batch_bytes",
    "Bytes of a batch's entries, inflated.",
    &["signal"],
);
/// Entries read.
pub static ENTRIES: Counter = Counter::new(
    "millrace_worker_entries_total",
    "Stream entries cut into batches.",
    &["signal"],
);
/// Events committed.
pub static EVENTS: Counter = Counter::new(
    "millrace_worker_events_total",
    "Events committed, by how they ended: stored, rejected, dead_lettered.",
    &["signal", "outcome"],
);
/// Events dropped on purpose.
pub static DROPPED: Counter = Counter::new(
    "millrace_worker_dropped_events_total",
    "Events that an organisation's normalization pipeline dropped; they count as rejected.",
    &["signal"],
);
/// Rows written.
pub static ROWS: Counter = Counter::new(
    "millrace_worker_rows_total",
    "Rows committed, by table.",
    &["table"],
);
/// Row bytes written.
pub static ROW_BYTES: Counter = Counter::new(
    "millrace_worker_row_bytes_total",
    "Bytes of rows written to ClickHouse, by table.",
    &["table"],
);
/// How writes end.
pub static WRITES: Counter = Counter::new(
    "millrace_worker_writes_total",
    "Inserts, by table and outcome: written, refused_before, in_doubt, refused_rows, lease.",
    &["table", "outcome"],
);
/// How doubts end.
pub static RESOLVES: Counter = Counter::new(
    "millrace_worker_resolves_total",
    "Batches whose rows were looked for, by what was found: all, none, some, more.",
    &["table", "found"],
);
/// Alarms.
pub static ALARMS: Counter = Counter::new(
    "millrace_worker_alarms_total",
    "What must never happen in quiet: some_rows, more_rows, entries_lost, stream_behind, audit_mismatch, unrepairable, rows_differ, refuses_all, poison.",
    &["alarm"],
);
/// Errors that made a shard begin again.
pub static RESTARTS: Counter = Counter::new(
    "millrace_worker_restarts_total",
    "Times a shard began again from the ledger, by the part at fault.",
    &["part"],
);
/// Shards held.
pub static LEASES: Gauge = Gauge::new(
    "millrace_worker_leases",
    "Shards this worker holds, by signal.",
    &["signal"],
);
/// How leases change.
pub static LEASE_CHANGES: Counter = Counter::new(
    "millrace_worker_lease_changes_total",
    "Leases taken, lost and released.",
    &["change"],
);
/// Entries in streams.
pub static STREAM_ENTRIES: Gauge = Gauge::new(
    "millrace_stream_entries",
    "Entries in the streams of the shards held, audited ones not yet trimmed included.",
    &["signal"],
);
/// Age of what waits.
pub static OLDEST_PENDING: Gauge = Gauge::new(
    "millrace_oldest_pending_seconds",
    "Age of the oldest entry that is not committed, over the shards held.",
    &["signal"],
);
/// States of the ledger.
pub static LEDGER_BATCHES: Gauge = Gauge::new(
    "millrace_ledger_batches",
    "Batches in the ledger by state: PREPARED, COMMITTED, PARKED.",
    &["signal", "state"],
);
/// The books.
pub static BALANCE: Gauge = Gauge::new(
    "millrace_balance_events",
    "Events since the installation began: received, stored, rejected, dead_lettered; what is missing is pending.",
    &["signal", "side"],
);
/// Alerts.
pub static ALERTS: Counter = Counter::new(
    "millrace_alerts_total",
    "Firings of rules: raised as new alerts, or joined to an open one (the overflow alert of their rule included).",
    &["outcome", "severity"],
);
/// Outbox.
pub static OUTBOX: Gauge = Gauge::new(
    "millrace_outbox_notifications",
    "Notifications by state: pending, sent, dead (given up), dropped (their channel is gone, switched off or overrun).",
    &["state"],
);
/// Age of the oldest notification.
pub static OUTBOX_OLDEST: Gauge = Gauge::new(
    "millrace_outbox_oldest_seconds",
    "Age of the oldest notification that is not delivered yet, 0 without one.",
    &[],
);
/// Attempts to deliver.
pub static NOTIFICATIONS: Counter = Counter::new(
    "millrace_notifications_total",
    "Attempts to deliver a notification, by kind of channel and outcome: sent, pending (tried again later), dead, dropped, overtaken (the lease was lost).",
    &["kind", "outcome"],
);
/// Time of an attempt.
pub static NOTIFICATION_SECONDS: Histogram = Histogram::new(
    "millrace_notification_seconds",
    "Time of one attempt to deliver a notification.",
    &["kind"],
);
/// Escalations.
pub static ESCALATIONS: Counter = Counter::new(
    "millrace_alert_escalations_total",
    "Alerts that nobody acknowledged in time.",
    &[],
);
/// Dead letters.
pub static POISON: Counter = Counter::new(
    "millrace_worker_poison_events_total",
    "Events parked in the dead-letter store, by reason.",
    &["signal", "reason"],
);
/// Dead letters that wait.
pub static DEAD_LETTERS: Gauge = Gauge::new(
    "millrace_dead_letter_events",
    "Events that are parked in the dead-letter store and neither replayed, dropped nor expired, by reason.",
    &["signal", "reason"],
);
/// Age of the oldest of them.
pub static DEAD_LETTERS_OLDEST: Gauge = Gauge::new(
    "millrace_dead_letter_oldest_seconds",
    "Age of the oldest dead letter that is parked, 0 without one.",
    &["signal"],
);
/// Retro-hunts.
pub static HUNTS: Counter = Counter::new(
    "millrace_retro_hunts_total",
    "Turns of searches of history for new indicators, by how they ended: done, cancelled, failed (tried again, a few times), interrupted.",
    &["outcome"],
);
/// Retro-hunts that are open.
pub static HUNTS_OPEN: Gauge = Gauge::new(
    "millrace_retro_hunts_open",
    "Searches of history for new indicators that are pending or running, and those of them whose last attempts failed.",
    &["state"],
);
/// Rows of retro-hunts.
pub static HUNT_ROWS: Counter = Counter::new(
    "millrace_retro_hunt_rows_total",
    "Stored events that were looked at for new indicators.",
    &[],
);
/// Hits of retro-hunts.
pub static HUNT_HITS: Counter = Counter::new(
    "millrace_retro_hunt_hits_total",
    "Indicators found in stored events.",
    &[],
);
/// Series.
pub static SERIES: Counter = Counter::new(
    "millrace_worker_series_total",
    "Metric series looked up: cached, found, created, refused over the organisation's limit.",
    &["outcome"],
);
/// Refused samples.
pub static SERIES_LIMIT: Counter = Counter::new(
    "millrace_worker_series_limit_samples_total",
    "Samples rejected because their organisation has too many series.",
    &[],
);
/// Revision in use.
pub static CONTROL_REVISION: Gauge = Gauge::new(
    "millrace_control_revision",
    "Control revision new batches are made with.",
    &[],
);
/// Reload time.
pub static CONTROL_RELOAD: Histogram = Histogram::new(
    "millrace_control_reload_seconds",
    "Time to load and compile rules, indicators and policies.",
    &[],
);
/// Indicators in use.
pub static INDICATORS: Gauge = Gauge::new(
    "millrace_indicators",
    "Indicators of compromise in use.",
    &[],
);
/// Hits of indicators.
pub static INDICATOR_HITS: Counter = Counter::new(
    "millrace_indicator_hits_total",
    "Matches of indicators, by feed: the first 100 of the installation by name, others as other, those of organisations as own.",
    &["feed"],
);
/// Fetches of feeds.
pub static FEED_FETCHES: Counter = Counter::new(
    "millrace_feed_fetches_total",
    "Feeds fetched from their addresses, by outcome: changed, same, failed, not_held.",
    &["outcome"],
);
/// Feeds that fail.
pub static FEEDS_FAILING: Gauge = Gauge::new(
    "millrace_feeds_failing",
    "Feeds whose last fetch failed.",
    &[],
);
/// Memory budget.
pub static BUDGET_FREE: Gauge = Gauge::new(
    "millrace_worker_budget_free_bytes",
    "Bytes of the worker's batch memory that are not in use.",
    &[],
);
/// Housekeeping.
pub static HOUSEKEEPING: Counter = Counter::new(
    "millrace_housekeeping_total",
    "Rows and chunks removed by housekeeping: rule_window, batch, outbox, indicator, chunk, dead_letter, retro_hunt; dead_letter_expired are those that expired, whose contents were erased.",
    &["what"],
);

/// All of them, for the recorder and the reference page.
pub static ALL: &[&dyn Declared] = &[
    &STAGE_SECONDS,
    &BATCH_ROWS,
    &BATCH_BYTES,
    &ENTRIES,
    &EVENTS,
    &DROPPED,
    &ROWS,
    &ROW_BYTES,
    &WRITES,
    &RESOLVES,
    &ALARMS,
    &RESTARTS,
    &LEASES,
    &LEASE_CHANGES,
    &STREAM_ENTRIES,
    &OLDEST_PENDING,
    &LEDGER_BATCHES,
    &BALANCE,
    &ALERTS,
    &OUTBOX,
    &OUTBOX_OLDEST,
    &NOTIFICATIONS,
    &NOTIFICATION_SECONDS,
    &ESCALATIONS,
    &POISON,
    &DEAD_LETTERS,
    &DEAD_LETTERS_OLDEST,
    &HUNTS,
    &HUNTS_OPEN,
    &HUNT_ROWS,
    &HUNT_HITS,
    &SERIES,
    &SERIES_LIMIT,
    &CONTROL_REVISION,
    &CONTROL_RELOAD,
    &INDICATORS,
    &INDICATOR_HITS,
    &FEED_FETCHES,
    &FEEDS_FAILING,
    &BUDGET_FREE,
    &HOUSEKEEPING,
];
