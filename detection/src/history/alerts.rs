//! Firings → the alerts that would have been raised, joined as live ones are: an alert takes up what
//! fires for the same key within its dedupe window.
//!
//! All of them stay open: nobody closes an alert in history.

use crate::alert::Span;
use hashbrown::HashMap;
use millrace_shared::ids::EventId;
use millrace_shared::wire::Severity;
use serde_json::Value;

/// Event ids given with an alert; as many as live ones have.
const SAMPLES_MAX: usize = 20;

/// An alert that would have been raised.
#[derive(Clone, Debug, PartialEq)]
pub struct RaisedAlert {
    /// The values of its group, or of its dedupe key, by path.
    pub group: Value,
    /// Its message.
    pub message: String,
    /// How grave.
    pub severity: Severity,
    /// First and last event.
    pub span: Span,
    /// Events.
    pub count: u64,
    /// Some of them, the oldest first.
    pub events: Vec<EventId>,
    /// The highest risk of those that began its firings.
    pub risk_score: u8,
}

/// Alerts in the making.
#[derive(Debug)]
pub(super) struct Alerts {
    window_ns: i64,
    /// For how long a firing may reach back, nanoseconds.
    reach_ns: i64,
    listed_max: usize,
    /// The last alert of each dedupe key.
    open: HashMap<u128, RaisedAlert>,
    closed: Vec<RaisedAlert>,
    total: u64,
}

impl Alerts {
    /// None yet; of those that end, so many are kept.
    pub(super) fn new(window_ns: i64, reach_ns: i64, listed_max: usize) -> Self {
        Alerts {
            window_ns,
            reach_ns,
            listed_max,
            open: HashMap::new(),
            closed: Vec::new(),
            total: 0,
        }
    }

    /// Takes a firing of a dedupe key; what it says is asked for only when it raises an alert.
    pub(super) fn take(&mut self, key: u128, firing: Fired, say: impl FnOnce() -> (Value, String)) {
        if let Some(known) = self.open.get_mut(&key)
            && known.span.takes(firing.span, self.window_ns)
        {
            known.span = known.span.and(firing.span);
            known.count = known.count.saturating_add(firing.count);
            known.severity = known.severity.max(firing.severity);
            known.risk_score = known.risk_score.max(firing.risk_score);
            for id in firing.events {
                if known.events.len() < SAMPLES_MAX && !known.events.contains(&id) {
                    known.events.push(id);
                }
            }
            return;
        }
        self.total += 1;
        let (group, message) = say();
        let raised = RaisedAlert {
            group,
            message,
            severity: firing.severity,
            span: firing.span,
            count: firing.count,
            events: firing.events,
            risk_score: firing.risk_score,
        };
        let before = self.open.insert(key, raised);
        self.close(before);
    }

    fn close(&mut self, ended: impl IntoIterator<Item = RaisedAlert>) {
        for alert in ended {
            if self.closed.len() < self.listed_max {
                self.closed.push(alert);
            }
        }
    }

    /// Lets go of alerts that nothing from this time on can be joined to.
    pub(super) fn forget(&mut self, now_ns: i64) {
        let oldest = now_ns
            .saturating_sub(self.window_ns)
            .saturating_sub(self.reach_ns);
        let ended: Vec<RaisedAlert> = self
            .open
            .extract_if(|_, alert| alert.span.last_ns < oldest)
            .map(|(_, alert)| alert)
            .collect();
        self.close(ended);
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// The alerts by time, as many as are kept.
    pub(super) fn finish(mut self) -> Vec<RaisedAlert> {
        let mut alerts = std::mem::take(&mut self.closed);
        alerts.extend(self.open.into_values());
        alerts.sort_by(|a, b| {
            let key = |alert: &RaisedAlert| (alert.span.first_ns, alert.events.first().copied());
            key(a).cmp(&key(b))
        });
        alerts.truncate(self.listed_max);
        alerts
    }
}

/// What a firing adds to an alert.
#[derive(Clone, Debug)]
pub(super) struct Fired {
    pub(super) span: Span,
    pub(super) count: u64,
    pub(super) severity: Severity,
    pub(super) risk_score: u8,
    pub(super) events: Vec<EventId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn fired(at: i64) -> Fired {
        Fired {
            span: Span::new(at, at),
            count: 2,
            severity: Severity::Low,
            risk_score: 0,
            events: vec![EventId(Uuid::from_u128(at.unsigned_abs().into()))],
        }
    }

    #[test]
    fn what_is_near_joins_and_what_is_far_does_not() {
        let mut alerts = Alerts::new(10, 0, 100);
        for (key, at) in [(1, 0), (1, 10), (2, 11), (1, 21), (1, 12)] {
            alerts.take(key, fired(at), || (Value::Null, at.to_string()));
        }
        assert_eq!((alerts.total(), alerts.open()), (3, 2));
        alerts.forget(100);
        assert_eq!(alerts.open(), 0);
        let alerts = alerts.finish();
        let said: Vec<_> = alerts
            .iter()
            .map(|alert| (alert.message.as_str(), alert.count, alert.span))
            .collect();
        let expected = [
            ("0", 4, Span::new(0, 10)),
            ("11", 2, Span::new(11, 11)),
            ("21", 4, Span::new(12, 21)),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn only_so_many_are_kept_and_all_are_counted() {
        let mut alerts = Alerts::new(1, 0, 2);
        for key in 0..5 {
            alerts.take(key, fired(key.try_into().unwrap()), || {
                (Value::Null, String::new())
            });
        }
        assert_eq!((alerts.total(), alerts.finish().len()), (5, 2));
    }
}
