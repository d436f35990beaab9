//! What a back-test has counted, and its answer.

use super::{ALERTS_LISTED, EVENTS_LISTED};
use crate::answer::Moment;
use crate::ask::TimeRange;
use millrace_detection::history::{RaisedAlert, Seen, view};
use millrace_detection::rules::find_field;
use millrace_scrubber::is_marked;
use millrace_shared::rows::Stored;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// The path of every field.
const EVERY: &str = "*";

/// Counts of rows as they come.
#[derive(Debug)]
pub(super) struct Tally {
    range: TimeRange,
    step_ns: i64,
    /// Paths whose values the rule compares.
    compared: Vec<String>,
    bars: Vec<(u64, u64)>,
    pub(super) rows: u64,
    pub(super) matches: u64,
    events: Vec<Uuid>,
    scrubbed_rows: u64,
    scrubbed_paths: BTreeSet<String>,
    /// Up to when all rows have been looked at.
    pub(super) until: i64,
}

impl Tally {
    pub(super) fn new(range: TimeRange, step_ns: i64, compared: Vec<String>) -> Self {
        let length = range.end.saturating_sub(range.start);
        let bars = length.saturating_sub(1) / step_ns.max(1) + 1;
        Tally {
            range,
            step_ns: step_ns.max(1),
            compared,
            bars: vec![(0, 0); usize::try_from(bars).unwrap_or(1)],
            rows: 0,
            matches: 0,
            events: Vec::new(),
            scrubbed_rows: 0,
            scrubbed_paths: BTreeSet::new(),
            until: range.start,
        }
    }

    pub(super) fn count(&mut self, stored: &Stored<'_>, seen: Seen) {
        self.rows += 1;
        self.until = seen.at_ns;
        let bar = seen.at_ns.saturating_sub(self.range.start) / self.step_ns;
        let bar = usize::try_from(bar).ok();
        if let Some((rows, matches)) = bar.and_then(|bar| self.bars.get_mut(bar)) {
            *rows += 1;
            *matches += u64::from(seen.matched);
        }
        if seen.matched {
            self.matches += 1;
            if self.events.len() < EVENTS_LISTED {
                self.events.push(stored.id.0);
            }
        }
        if !stored.pii_classes.is_empty() {
            self.note_scrubbed(stored);
        }
    }

    /// Notes where something was scrubbed that the rule compares: there live and history may differ.
    fn note_scrubbed(&mut self, stored: &Stored<'_>) {
        let view = view(stored);
        let marked = |value: &millrace_shared::Value<'_>| value.as_text().is_some_and(is_marked);
        let mut any = false;
        for path in &self.compared {
            let is_scrubbed = if path == EVERY {
                stored.event.fields.iter().any(|field| marked(&field.value))
            } else {
                let field = find_field(path, &view).of(view.event, view.resource);
                field.is_some_and(|field| marked(&field.value))
            };
            if is_scrubbed {
                any = true;
                if !self.scrubbed_paths.contains(path) {
                    self.scrubbed_paths.insert(path.clone());
                }
            }
        }
        self.scrubbed_rows += u64::from(any);
    }

    pub(super) fn answer(self, rest: Rest) -> BacktestAnswer {
        let (start, step_ns) = (self.range.start, self.step_ns);
        let moments = (0..).map(|number: i64| start.saturating_add(number.saturating_mul(step_ns)));
        let bars = moments.zip(self.bars);
        let alerts: Vec<_> = rest.alerts.into_iter().map(BacktestAlert::from).collect();
        let listed = alerts.len().min(ALERTS_LISTED) as u64;
        BacktestAnswer {
            rule_id: rest.rule_id,
            signals: rest.signals,
            start: Moment(self.range.start),
            end: Moment(self.range.end),
            rows_scanned: self.rows,
            rows_in_range: rest.rows_in_range,
            bytes_read: rest.bytes_read,
            cut_off: rest.cut_off,
            matches: self.matches,
            step_s: step_ns / millrace_shared::limits::NS_PER_SECOND,
            bars: bars
                .map(|(start, (rows, matches))| BacktestBar {
                    start: Moment(start),
                    rows,
                    matches,
                })
                .collect(),
            event_ids: self.events,
            alerts_raised: rest.alerts_raised,
            alerts_omitted: rest.alerts_raised.saturating_sub(listed),
            alerts,
            scrubbed_rows: self.scrubbed_rows,
            scrubbed_fields: self.scrubbed_paths.into_iter().collect(),
        }
    }
}

/// What an answer has besides the counts.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) rule_id: String,
    pub(super) signals: Vec<&'static str>,
    pub(super) rows_in_range: u64,
    pub(super) bytes_read: u64,
    pub(super) cut_off: Option<CutOff>,
    pub(super) alerts_raised: u64,
    pub(super) alerts: Vec<RaisedAlert>,
}

/// Why a back-test did not come to the end of its range.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CutOff {
    /// `rows`, `bytes`, `time` or `memory`.
    pub(super) reason: &'static str,
    /// The same in words.
    pub(super) detail: String,
    /// Up to when all rows have been looked at.
    pub(super) until: Moment,
}

/// A stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BacktestBar {
    /// Its start.
    start: Moment,
    /// Rows looked at.
    rows: u64,
    /// Those of them that the rule selects.
    matches: u64,
}

/// An alert that would have been raised.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BacktestAlert {
    /// The values of its group, or of its dedupe key, by path.
    #[schema(value_type = Object)]
    group: Value,
    /// Its message.
    message: String,
    /// How grave.
    severity: &'static str,
    /// Its first event.
    first_seen: Moment,
    /// Its last event.
    last_seen: Moment,
    /// Events.
    count: u64,
    /// Up to 20 of them, the oldest first.
    event_ids: Vec<Uuid>,
    /// The highest risk among those that began its firings.
    risk_score: u8,
}

impl From<RaisedAlert> for BacktestAlert {
    fn from(alert: RaisedAlert) -> Self {
        BacktestAlert {
            group: alert.group,
            message: alert.message,
            severity: alert.severity.as_str(),
            first_seen: Moment(alert.span.first_ns),
            last_seen: Moment(alert.span.last_ns),
            count: alert.count,
            event_ids: alert.events.iter().map(|id| id.0).collect(),
            risk_score: alert.risk_score,
        }
    }
}

/// How far a back-test has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Progress {
    /// Rows looked at.
    pub(super) rows_scanned: u64,
    /// Rows in the range, when it began.
    pub(super) rows_in_range: u64,
    /// Rows that the rule selects.
    pub(super) matches: u64,
    /// Alerts that would have been raised.
    pub(super) alerts_raised: u64,
    /// Up to when all rows have been looked at.
    pub(super) until: Moment,
}

/// What a rule would have done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BacktestAnswer {
    /// The rule.
    rule_id: String,
    /// The signals whose events it was put to.
    signals: Vec<&'static str>,
    /// Start of the range.
    start: Moment,
    /// End of the range, not included.
    end: Moment,
    /// Rows looked at.
    rows_scanned: u64,
    /// Rows in the range, when it began.
    rows_in_range: u64,
    /// Bytes of rows that were read.
    bytes_read: u64,
    /// Why not all of them were looked at; null when they were.
    cut_off: Option<CutOff>,
    /// Rows that the rule selects.
    matches: u64,
    /// Width of a bar, seconds.
    step_s: i64,
    /// All bars of the range, empty ones too.
    bars: Vec<BacktestBar>,
    /// Up to 20 of the events that the rule selects, the oldest first.
    event_ids: Vec<Uuid>,
    /// Alerts that would have been raised.
    alerts_raised: u64,
    /// Those of them for which there was no room in `alerts`.
    alerts_omitted: u64,
    /// The alerts, by time.
    alerts: Vec<BacktestAlert>,
    /// Rows in which something was scrubbed from a field that the rule compares: of these, and only
    /// of these, live and history may differ.
    scrubbed_rows: u64,
    /// The fields.
    scrubbed_fields: Vec<String>,
}
