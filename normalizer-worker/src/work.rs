//! What the pure half of the worker hands to the half that talks to stores.
//!
//! `transform` turns a contiguous range of stream entries into one [`Output`] with no clock, no
//! client and no randomness: the same entries under the same control revision give the same bytes.
//! Everything in here is made from scrubbed events.

use bytes::Bytes;
use millrace_shared::Signal;
use millrace_shared::ids::{EventId, OrgId, StreamId};
use millrace_shared::outcome::DeadReason;
use millrace_shared::wire::Severity;

/// Events of entries that are left out because they are parked.
pub type Aside = Vec<(StreamId, Vec<u16>)>;

/// An entry as it stands in a stream.
#[derive(Clone, Debug)]
pub struct RawEntry {
    /// Its id.
    pub id: StreamId,
    /// Field `m`.
    pub meta: Bytes,
    /// Field `b`.
    pub body: Bytes,
}

/// A ClickHouse table that rows go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// `logs`
    Logs,
    /// `spans`
    Spans,
    /// `rum_events`
    RumEvents,
    /// `audit_events`
    AuditEvents,
}

impl Table {
    /// The table's name, without the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Table::Logs => "logs",
            Table::Spans => "spans",
            Table::RumEvents => "rum_events",
            Table::AuditEvents => "audit_events",
        }
    }

    /// Where a signal's rows go; metrics go to TimescaleDB.
    #[must_use]
    pub const fn of(signal: Signal) -> Option<Table> {
        match signal {
            Signal::Logs => Some(Table::Logs),
            Signal::Traces => Some(Table::Spans),
            Signal::Rum => Some(Table::RumEvents),
            Signal::Audit => Some(Table::AuditEvents),
            Signal::Metrics => None,
        }
    }
}

/// Rows for one ClickHouse table, ready to be posted.
#[derive(Clone, Debug)]
pub struct TargetRows {
    /// Which table.
    pub table: Table,
    /// How many rows.
    pub rows: u32,
    /// The rows as RowBinary, all columns in the order of the DDL.
    pub body: Vec<u8>,
}

/// A metric series as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Whose it is.
    pub org: OrgId,
    /// SHA-256 (first 16 bytes) over all that follows.
    pub fingerprint: [u8; 16],
    /// Metric name.
    pub name: String,
    /// Labels as a JSON object with sorted keys.
    pub labels: String,
    /// Service, or empty.
    pub service: String,
    /// Host, or empty.
    pub host: String,
    /// Environment, or empty.
    pub environment: String,
    /// `counter`, `gauge`, `histogram` or `summary`.
    pub kind: &'static str,
    /// Unit, or empty.
    pub unit: String,
}

/// One sample of a series of the same output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Index into [`Output::series`].
    pub series: u32,
    /// Nanoseconds since 1970 UTC.
    pub time: i64,
    /// The value.
    pub value: f64,
    /// Index of the entry the sample came from, for usage when a series is refused.
    pub entry: u32,
}

/// What one entry adds to its organisation's usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryUsage {
    /// Whose entry.
    pub org: OrgId,
    /// Events received, bad ones too.
    pub events: u32,
    /// Events that become rows or samples.
    pub stored: u32,
    /// Events rejected by the gateway or dropped by the organisation's pipeline.
    pub rejected: u32,
    /// Events parked in the dead-letter store.
    pub dead_lettered: u32,
    /// Bytes on the wire.
    pub bytes: u32,
    /// The dead letter of which the entry is a replay: then its events were counted before.
    pub replay_of: Option<i64>,
}

/// A source that was heard of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Whose.
    pub org: OrgId,
    /// Ingest key.
    pub key: String,
    /// Service, scrubbed.
    pub service: String,
}

/// How often the indicators of a feed matched an organisation's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndicatorHits {
    /// Whose events.
    pub org: OrgId,
    /// The feed.
    pub feed: i64,
    /// Its name.
    pub name: String,
    /// Whether its indicators are everybody's.
    pub everybodys: bool,
    /// How often.
    pub hits: u64,
    /// The receipt of the latest such event, nanoseconds.
    pub last: i64,
}

/// An alert in the making: what it will say, whoever decides whether it is raised.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertDraft {
    /// Whose.
    pub org: OrgId,
    /// Which rule, in which version.
    pub rule: String,
    /// Version of the rule.
    pub version: i32,
    /// How grave.
    pub severity: Severity,
    /// Name of the rule.
    pub title: String,
    /// The rendered message.
    pub message: String,
    /// The rule's alert type, or its id.
    pub kind: String,
    /// ATT&CK tags.
    pub attack: Vec<String>,
    /// Scrubbed group values by path, as a JSON object.
    pub group: String,
    /// Tells alerts of one rule apart; repeats of it within the window raise a count.
    pub dedupe: [u8; 16],
    /// Seconds for which repeats are joined.
    pub dedupe_window_s: u32,
    /// First and last event, nanoseconds.
    pub first_seen: i64,
    /// Last event, nanoseconds.
    pub last_seen: i64,
    /// Events that matched.
    pub count: u64,
    /// Up to [`SAMPLES_MAX`] of them.
    pub event_ids: Vec<EventId>,
    /// Observables of the first of them, scrubbed.
    pub observables: Vec<String>,
    /// IOC score.
    pub risk_score: u8,
    /// What its observable is stored as, where a policy hid it and the alert says nothing of that: told,
    /// with the events, to those only who may know how values are hidden.
    pub hidden: Option<String>,
}

/// Event ids kept with an alert.
pub const SAMPLES_MAX: usize = 20;

/// Events of one group that matched a rule with a window: joined in the commit to the group's state.
#[derive(Clone, Debug)]
pub struct WindowHits {
    /// What is raised when the window fires; its `count` and times are those of these hits.
    pub alert: AlertDraft,
    /// What is raised instead when it fires for an event that is worth this, where what the alert
    /// says depends on it: the new value, the other place.
    pub by_value: Vec<(u64, AlertDraft)>,
    /// Which group of the rule.
    pub group: [u8; 16],
    /// Index of the rule's window in [`Output::windows`].
    pub window: u32,
    /// Whether the alert is of an event that only counts in the base of a share: the rule selects
    /// none of these.
    pub of_base: bool,
    /// The hits: (nanoseconds, what the event is worth to the window or 0, event id).
    pub hits: Vec<(i64, u64, EventId)>,
}

impl WindowHits {
    /// The alert that tells of one of these events.
    #[must_use]
    pub fn alert_of(&self, event: EventId) -> &AlertDraft {
        let hit = self.hits.iter().find(|(_, _, id)| *id == event);
        let of_value = hit.and_then(|(_, value, _)| {
            let mut alerts = self.by_value.iter();
            alerts.find(|(known, _)| known == value)
        });
        of_value.map_or(&self.alert, |(_, alert)| alert)
    }
}

/// A part of an entry that cannot be stored, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Index of the entry in the batch.
    pub entry: u32,
    /// Indexes of the events; `None` for the whole entry.
    pub events_at: Option<Vec<u16>>,
    /// How many events that is.
    pub events: u32,
    /// Whose entry, where that can still be told.
    pub org: Option<OrgId>,
    /// Why.
    pub reason: DeadReason,
    /// Why, in words; holds nothing of the event itself.
    pub detail: String,
}

/// Everything that one ledger batch puts into the stores.
#[derive(Debug, Default)]
pub struct Output {
    /// Rows for ClickHouse; empty targets are left out.
    pub targets: Vec<TargetRows>,
    /// Metric series that samples refer to.
    pub series: Vec<Series>,
    /// Metric samples.
    pub samples: Vec<Sample>,
    /// One per entry, in order; `None` for an entry whose organisation cannot be told.
    pub usage: Vec<Option<EntryUsage>>,
    /// Events that organisations' own pipelines dropped; their usage counts them as rejected.
    pub dropped: u64,
    /// Sources heard of, with the latest event (nanoseconds) and the number of events.
    pub sources: Vec<(Source, i64, u64)>,
    /// How often indicators matched, by organisation and feed.
    pub indicator_hits: Vec<IndicatorHits>,
    /// Alerts of rules without a window, joined by dedupe hash.
    pub alerts: Vec<AlertDraft>,
    /// Windows that `hits` refer to.
    pub windows: Vec<millrace_detection::WindowSpec>,
    /// Hits of rules with a window.
    pub hits: Vec<WindowHits>,
    /// What goes to the dead-letter store.
    pub poison: Vec<Poison>,
    /// Hash over the audit rows of each organisation, for the chain.
    pub audit_rows: Vec<(OrgId, u32, [u8; 32])>,
}
