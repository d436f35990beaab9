//! One rule, put to stored events in the order in which they happened.
//!
//! Matches of windows are gathered and applied together from time to time, as the worker does batch
//! by batch; how often makes no difference to what fires.

use super::alerts::{Alerts, Fired, RaisedAlert};
use crate::alert::{self, Span};
use crate::indicators::{Verdict, severity_of_score};
use crate::rules::{EventView, OrgSettings, Rule, RuleDef, RuleError, RuleMatch, RuleSet, Scratch};
use crate::windows::{Firing, Hit, WindowSpec, WindowState};
use hashbrown::HashMap;
use millrace_shared::ids::EventId;
use millrace_shared::rows::Stored;
use millrace_shared::wire::Severity;
use serde_json::Value;
use std::sync::Arc;
use thiserror::Error;
use uuid::Uuid;

/// Groups whose windows, and alerts that may be joined to, are held at a time.
pub const GROUPS_MAX: usize = 100_000;
/// Hits of windows held at a time, of all groups together: some 100 MB.
pub const HITS_MAX: usize = 2_000_000;

/// Why a replay cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Full {
    /// More groups at a time than are held.
    #[error("more than {GROUPS_MAX} groups at a time")]
    Groups,
    /// More hits of windows at a time than are held.
    #[error("more than {HITS_MAX} matches in windows at a time")]
    Hits,
}

/// What a row was to the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it counts: when it happened, though never later than when it was received.
    pub at_ns: i64,
    /// Whether the rule selects it.
    pub matched: bool,
}

/// A rule with everything that builds up while it looks at one row after the other.
#[derive(Debug)]
pub struct Replay {
    set: RuleSet,
    scratch: Scratch,
    found: Vec<RuleMatch>,
    /// Matches that wait to be applied, by group.
    waiting: HashMap<u128, Waiting>,
    windows: HashMap<u128, WindowState>,
    alerts: Alerts,
    newest_ns: i64,
}

/// Matches of a group, and what their alert would say.
#[derive(Debug)]
struct Waiting {
    dedupe: u128,
    group: Value,
    message: String,
    severity: Severity,
    risk_score: u8,
    /// Whether only the base of a share was hit, of which no alert tells.
    of_base: bool,
    hits: Vec<Hit>,
}

impl Replay {
    /// Of a rule, whether enabled or not. Of its alerts, `listed_max` are kept.
    ///
    /// # Errors
    /// [`RuleError`] when the rule cannot be compiled.
    pub fn new(
        rule: &RuleDef,
        settings: OrgSettings,
        listed_max: usize,
    ) -> Result<Self, RuleError> {
        let enabled = Arc::new(RuleDef {
            enabled: true,
            ..rule.clone()
        });
        let (set, errors) = RuleSet::compile([enabled], settings);
        if let Some(error) = errors.into_iter().next() {
            return Err(error);
        }
        let rule = set.rules().first();
        let window = rule.and_then(|rule| rule.window);
        let reach_ns = window.map_or(0, |window| window.reach_ns());
        let dedupe_ns = rule.map_or(0, |rule| rule.dedupe_ns);
        Ok(Replay {
            scratch: Scratch::default(),
            found: Vec::new(),
            waiting: HashMap::new(),
            windows: HashMap::new(),
            alerts: Alerts::new(dedupe_ns, reach_ns, listed_max),
            newest_ns: i64::MIN,
            set,
        })
    }

    /// The rules it was compiled into: one.
    #[must_use]
    pub fn set(&self) -> &RuleSet {
        &self.set
    }

    /// Looks at a row. Rows come in the order of [`Seen::at_ns`].
    pub fn look(&mut self, stored: &Stored<'_>) -> Seen {
        let view = view(stored);
        let at_ns = stored.timestamp.min(stored.received);
        self.newest_ns = self.newest_ns.max(at_ns);
        self.found.clear();
        self.set.evaluate(&view, &mut self.scratch, &mut self.found);
        self.set
            .evaluate_scrubbed(&view, &mut self.scratch, &mut self.found);
        let Replay {
            set,
            found,
            waiting,
            alerts,
            ..
        } = self;
        for found in found.iter() {
            let Some(rule) = set.rule(found.rule) else {
                continue;
            };
            let matched = Matched { rule, found, view };
            match rule.window {
                Some(_) => matched.wait(stored.id, waiting),
                None => matched.raise(stored.id, alerts),
            }
        }
        Seen {
            at_ns,
            matched: self.found.iter().any(|found| !found.is_base),
        }
    }

    /// Applies what waits, and lets go of what cannot matter any more.
    ///
    /// # Errors
    /// [`Full`] when more would have to be held than is.
    pub fn settle(&mut self) -> Result<(), Full> {
        if let Some(spec) = self.set.rules().first().and_then(|rule| rule.window) {
            self.apply(&spec);
            let now = self.newest_ns;
            self.windows
                .retain(|_, state| state.expires_at_ns(&spec) > now);
        }
        self.alerts.forget(self.newest_ns);
        let hits: usize = self.windows.values().map(WindowState::len).sum();
        if self.windows.len().max(self.alerts.open()) > GROUPS_MAX {
            Err(Full::Groups)
        } else if hits > HITS_MAX {
            Err(Full::Hits)
        } else {
            Ok(())
        }
    }

    fn apply(&mut self, spec: &WindowSpec) {
        let mut fired: Vec<(u128, Firing)> = Vec::new();
        for (group, waiting) in &self.waiting {
            let state = self.windows.entry(*group).or_default();
            let firings = state.apply(spec, &waiting.hits);
            fired.extend(firings.into_iter().map(|firing| (*group, firing)));
        }
        fired.sort_by_key(|(group, firing)| (firing.first_ns, firing.first_event, *group));
        for (group, firing) in fired {
            if let Some(waiting) = self.waiting.get(&group) {
                let say = || (waiting.group.clone(), waiting.message.clone());
                self.alerts.take(waiting.dedupe, waiting.fired(firing), say);
            }
        }
        self.waiting.clear();
    }

    /// Applies what still waits, at the end of all rows.
    pub fn conclude(&mut self) {
        if let Some(spec) = self.set.rules().first().and_then(|rule| rule.window) {
            self.apply(&spec);
        }
    }

    /// Alerts raised so far.
    #[must_use]
    pub const fn raised(&self) -> u64 {
        self.alerts.total()
    }

    /// The alerts, by time; as many as are kept. What waits is lost: see [`conclude`](Self::conclude).
    #[must_use]
    pub fn finish(self) -> Vec<RaisedAlert> {
        self.alerts.finish()
    }
}

impl Waiting {
    fn fired(&self, firing: Firing) -> Fired {
        let ids = firing.events.into_iter();
        Fired {
            span: Span::new(firing.first_ns, firing.last_ns),
            count: firing.added,
            severity: self.severity,
            risk_score: self.risk_score,
            events: ids.map(|id| EventId(Uuid::from_u128(id))).collect(),
        }
    }
}

/// A match with its event.
#[derive(Clone, Copy)]
struct Matched<'m, 'a> {
    rule: &'m Rule,
    found: &'m RuleMatch,
    view: EventView<'m, 'a>,
}

impl Matched<'_, '_> {
    fn say(&self) -> (Value, String) {
        let group = alert::group(self.rule, self.found, &self.view);
        (group, alert::message(&self.rule.def, &self.view))
    }

    /// Has it counted in its window.
    fn wait(&self, id: EventId, waiting: &mut HashMap<u128, Waiting>) {
        let Some(group) = alert::window_group(self.rule, self.found) else {
            return;
        };
        let hit = Hit {
            at_ns: self.found.at_ns,
            value: self.found.distinct.unwrap_or(0),
            event: id.0.as_u128(),
        };
        let of_group = waiting.entry(group).or_insert_with(|| self.waiting(group));
        if of_group.of_base && !self.found.is_base {
            let hits = std::mem::take(&mut of_group.hits);
            *of_group = Waiting {
                hits,
                ..self.waiting(group)
            };
        }
        if !self.found.is_base {
            of_group.severity = of_group.severity.max(self.found.severity);
            of_group.risk_score = of_group.risk_score.max(self.view.verdict.score);
        }
        of_group.hits.push(hit);
    }

    /// A group of which this is the first.
    fn waiting(&self, group: u128) -> Waiting {
        let (values, message) = self.say();
        Waiting {
            dedupe: self.found.dedupe.unwrap_or(group),
            group: values,
            message,
            severity: self.found.severity,
            risk_score: 0,
            of_base: self.found.is_base,
            hits: Vec::new(),
        }
    }

    /// Raises its alert, or joins it to one.
    fn raise(&self, id: EventId, alerts: &mut Alerts) {
        let fired = Fired {
            span: Span::new(self.found.at_ns, self.found.at_ns),
            count: 1,
            severity: self.found.severity,
            risk_score: self.view.verdict.score,
            events: vec![id],
        };
        let key = self.found.dedupe.unwrap_or(id.0.as_u128());
        alerts.take(key, fired, || self.say());
    }
}

/// What rules see of a row: the indicators' verdict is that of its time.
#[must_use]
pub fn view<'s, 'a>(stored: &'s Stored<'a>) -> EventView<'s, 'a> {
    EventView {
        event: &stored.event,
        resource: &stored.resource,
        timestamp_ns: stored.timestamp,
        received_ns: stored.received,
        verdict: Verdict {
            score: stored.risk_score,
            severity: severity_of_score(stored.risk_score),
            ..Verdict::NONE
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::BusinessHours;
    use millrace_shared::limits::NS_PER_SECOND;
    use millrace_shared::{Role, Signal, Value as FieldValue};
    use serde_json::json;

    fn replay(more: &Value) -> Replay {
        let mut document = json!({"id": "r", "name": "n", "severity": "high", "message": "of {host}",
            "scope": ["logs"], "selection": [{"field": "message", "op": "eq", "value": "bad"}]});
        let members = document.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        let settings = OrgSettings {
            hash_key: [0; 32],
            hours: BusinessHours::default(),
        };
        Replay::new(&RuleDef::from_json(&document).unwrap(), settings, 10).unwrap()
    }

    fn log(
        id: u128,
        second: i64,
        (host, message): (&'static str, &'static str),
    ) -> Stored<'static> {
        let mut stored = Stored::new(Signal::Logs);
        stored.id = EventId(Uuid::from_u128(id));
        stored.timestamp = second * NS_PER_SECOND;
        stored.received = i64::MAX;
        stored.event.push(Role::Host, FieldValue::Text(host));
        stored.event.push(Role::Message, FieldValue::Text(message));
        stored
    }

    fn run(replay: &mut Replay, settle_every: usize) -> (u64, Vec<(String, u64, Span)>) {
        let mut matches = 0;
        for (n, second) in (0..100_usize).zip((0..).step_by(10)) {
            let host = if n % 3 == 0 { "a" } else { "b" };
            let what = if n % 10 < 7 { "bad" } else { "good" };
            let seen = replay.look(&log(n as u128, second, (host, what)));
            matches += u64::from(seen.matched);
            if n.is_multiple_of(settle_every) {
                replay.settle().unwrap();
            }
        }
        replay.settle().unwrap();
        let alerts = std::mem::replace(replay, super::tests::replay(&json!({}))).finish();
        let said = alerts.into_iter();
        let said = said.map(|alert| {
            (
                alert.group["host"].as_str().unwrap().to_owned(),
                alert.count,
                alert.span,
            )
        });
        (matches, said.collect())
    }

    #[test]
    fn windows_fire_the_same_however_often_it_is_settled() {
        let rule = json!({"window": {"kind": "count", "seconds": 60, "threshold": 3}, "group_by": ["host"]});
        let expected = run(&mut replay(&rule), 1);
        assert_eq!(expected.0, 70);
        let hosts: Vec<&str> = expected.1.iter().map(|(host, ..)| host.as_str()).collect();
        assert!(hosts.contains(&"b"), "{expected:?}");
        for settle_every in [2, 7, 1000] {
            assert_eq!(run(&mut replay(&rule), settle_every), expected);
        }
    }

    #[test]
    fn without_a_window_each_match_counts_in_the_alert_of_its_key() {
        let rule =
            json!({"group_by": ["host"], "dedupe": {"keys": ["host"], "window_seconds": 60}});
        let (matches, alerts) = run(&mut replay(&rule), 10);
        let counted: u64 = alerts.iter().map(|(_, count, _)| count).sum();
        assert_eq!((matches, counted), (70, 70));
        let second = NS_PER_SECOND;
        let of_a: Vec<_> = alerts.iter().filter(|(host, ..)| host == "a").collect();
        assert_eq!(of_a.first().unwrap().2.first_ns, 0);
        assert!(alerts.iter().all(|(.., span)| span.last_ns <= 990 * second));
    }
}
