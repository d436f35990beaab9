//! One event against all rules of its organisation.

use super::candidates::Gathering;
use super::compare::number;
use super::compile::{
    EVERY_SLOT, Matcher, NO_SLOT, Node, Rule, RuleIndex, RuleSet, Step, StepValue, Worth, of_signal,
};
use super::condition::Test;
use super::def::RuleSeverity;
use super::elements::any_scalar;
use super::gates::Gates;
use super::keys::{KeyFields, Keyed, Memo, Use};
use super::keywords::sent;
use super::slots::{Asking, Slots};
use crate::field::FieldAt;
use crate::indicators::Verdict;
use crate::windows::{place, weighed};
use millrace_shared::wire::Severity;
use millrace_shared::{Event, Resource, Role, Value};
use std::cell::RefCell;

/// What rules see of an event: everything is handed in, nothing is looked up.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'e, 'a> {
    /// The event: not yet scrubbed, but for rules that ask what the scrubber found.
    pub event: &'e Event<'a>,
    /// Its body's resource.
    pub resource: &'e Resource<'a>,
    /// When it happened, nanoseconds.
    pub timestamp_ns: i64,
    /// When it was received, nanoseconds.
    pub received_ns: i64,
    /// What the indicators say of it.
    pub verdict: Verdict,
}

/// A rule that selected an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleMatch {
    /// The rule.
    pub rule: RuleIndex,
    /// Severity of an alert made of it.
    pub severity: Severity,
    /// When it counts: the event's time, though never later than its receipt, so that a wrong
    /// clock cannot move a window into the future.
    pub at_ns: i64,
    /// The group it counts in; `None` where the rule has no `group_by`, or (without a window) a
    /// value is missing.
    pub group: Option<u128>,
    /// What tells its alert from others of the rule; `None` when a value is missing: such an alert
    /// is the same as no other.
    pub dedupe: Option<u128>,
    /// What the event is worth to the window: the hash of a value, a number, a step, a place.
    pub distinct: Option<u64>,
    /// Whether it only counts in the base of a share: the rule does not select the event.
    pub is_base: bool,
    /// Where the group's values stand.
    pub group_fields: KeyFields,
    /// Where the dedupe key's values stand.
    pub dedupe_fields: KeyFields,
}

/// Working memory, used for event after event.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    slots: Slots,
    gathering: Gathering,
    gates: Gates,
    memo: RefCell<Memo>,
}

impl RuleSet {
    /// Adds to `matches` the rules that select the event, in the order of their numbers; but for
    /// those that ask what the scrubber found.
    pub fn evaluate(
        &self,
        view: &EventView<'_, '_>,
        scratch: &mut Scratch,
        matches: &mut Vec<RuleMatch>,
    ) {
        if let Some(matcher) = of_signal(&self.matchers, view.event.signal) {
            self.run(matcher, view, scratch, matches);
        }
    }

    /// As [`evaluate`](Self::evaluate), of the rules that ask what the scrubber found: the view is of
    /// the scrubbed event, which has a field for each class. One in which nothing was found is not
    /// looked at.
    pub fn evaluate_scrubbed(
        &self,
        view: &EventView<'_, '_>,
        scratch: &mut Scratch,
        matches: &mut Vec<RuleMatch>,
    ) {
        if let Some(matcher) = of_signal(&self.after_scrubbing, view.event.signal)
            && view.event.field(Role::PiiClass).is_some()
        {
            self.run(matcher, view, scratch, matches);
        }
    }

    fn run(
        &self,
        matcher: &Matcher,
        view: &EventView<'_, '_>,
        scratch: &mut Scratch,
        matches: &mut Vec<RuleMatch>,
    ) {
        scratch.slots.begin();
        scratch.gates.begin(self.gates);
        let (gathering, slots) = (&mut scratch.gathering, &mut scratch.slots);
        gathering.gather(matcher, view, slots, self.rules.len());
        let asked = Asked {
            set: self,
            slots: Asking {
                slots: &scratch.slots,
                map: &matcher.fields,
                view,
            },
            memo: &scratch.memo,
            gates: &scratch.gates,
            view,
        };
        while let Some(number) = scratch.gathering.candidates.pop() {
            if let Some(rule) = self.rules.get(number as usize) {
                asked.rule(RuleIndex(number), rule, matches);
            }
        }
    }
}

/// How many events a number says, if it says any.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits"
)]
fn events(number: f64) -> Option<u32> {
    (number >= 1.0).then(|| number.min(f64::from(u32::MAX)) as u32)
}

/// An event with its slots.
struct Asked<'s, 'e, 'a> {
    set: &'s RuleSet,
    slots: Asking<'s, 'e, 'a>,
    memo: &'s RefCell<Memo>,
    gates: &'s Gates,
    view: &'s EventView<'e, 'a>,
}

impl<'s> Asked<'s, '_, '_> {
    fn rule(&self, index: RuleIndex, rule: &Rule, matches: &mut Vec<RuleMatch>) {
        let now = self.view.received_ns;
        if !self.selects(&rule.selection) {
            return;
        }
        let is_muted = rule
            .def
            .mute
            .iter()
            .any(|mute| (mute.from..mute.until).contains(&now));
        let is_excepted = rule.exceptions.iter().any(|(exception, expires_at)| {
            expires_at.is_none_or(|at| now < at) && self.selects(exception)
        });
        if is_muted || is_excepted {
            return;
        }
        if rule.steps.is_empty() {
            matches.extend(self.matched(index, rule));
        } else {
            let selected = rule.members().iter().zip(&rule.steps);
            let selected = selected.filter(|(member, _)| self.selects(member));
            for (_, step) in selected {
                let found = self.step(index, rule, step);
                // Two steps that say the same of an event are one hit.
                if let Some(found) = found.filter(|found| !matches.contains(found)) {
                    matches.push(found);
                }
            }
        }
    }

    /// The match of one step. It counts nowhere without what it groups by or is worth.
    fn step(&self, index: RuleIndex, rule: &Rule, step: &Step) -> Option<RuleMatch> {
        let keyed = self.keyed(rule);
        let hash = |purpose, keys| keyed.hash(purpose, keys, rule.missing_counts, self.slots);
        let group = if step.group.is_empty() {
            None
        } else {
            Some(hash(Use::Group, step.group.as_slice())?)
        };
        let value = match &step.value {
            StepValue::Number(number) => *number,
            #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
            StepValue::Hash(keys) => hash(Use::Distinct, keys.as_slice())?.0 as u64,
            StepValue::Measured(slot) => self.number(*slot)?.to_bits(),
        };
        Some(self.found((index, rule), group, Some(value)))
    }

    /// A match, with the key of its alert.
    fn found(
        &self,
        (index, rule): (RuleIndex, &Rule),
        group: Option<(u128, KeyFields)>,
        worth: Option<u64>,
    ) -> RuleMatch {
        let dedupe = if rule.dedupes_by_group {
            group
        } else {
            self.keyed(rule)
                .hash(Use::Dedupe, &rule.dedupe, rule.missing_counts, self.slots)
        };
        let received = self.view.received_ns;
        RuleMatch {
            rule: index,
            severity: self.severity(rule),
            at_ns: if rule.by_receipt {
                received
            } else {
                self.view.timestamp_ns.min(received)
            },
            group: group.map(|(hash, _)| hash),
            dedupe: dedupe.map(|(hash, _)| hash),
            distinct: worth,
            is_base: match rule.worth {
                Worth::Part(..) => worth.is_some_and(|worth| worth & 1 == 0),
                Worth::Nothing | Worth::Hash(_) | Worth::Number(_) | Worth::Place(..) => false,
            },
            group_fields: group.map_or(KeyFields::EMPTY, |(_, fields)| fields),
            dedupe_fields: dedupe.map_or(KeyFields::EMPTY, |(_, fields)| fields),
        }
    }

    fn keyed<'r>(&'r self, rule: &'r Rule) -> Keyed<'r> {
        Keyed {
            secret: &self.set.settings.hash_key,
            rule: &rule.def.id,
            by_series: rule.by_series,
            memo: self.memo,
        }
    }

    fn severity(&self, rule: &Rule) -> Severity {
        match rule.def.severity {
            RuleSeverity::Fixed(severity) => severity,
            RuleSeverity::Ioc => self.view.verdict.severity,
        }
    }

    /// The keys of a match. A window counts nothing that lacks what it groups by or counts.
    fn matched(&self, index: RuleIndex, rule: &Rule) -> Option<RuleMatch> {
        let keyed = self.keyed(rule);
        let hash =
            |purpose, paths, missing_counts| keyed.hash(purpose, paths, missing_counts, self.slots);
        let group = if rule.group.is_empty() && !rule.by_series {
            None
        } else {
            hash(Use::Group, &rule.group, rule.missing_counts)
        };
        if rule.window.is_some() && !rule.group.is_empty() && group.is_none() {
            return None;
        }
        let worth = match &rule.worth {
            Worth::Nothing => None,
            #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
            Worth::Hash(path) => {
                Some(hash(Use::Distinct, std::slice::from_ref(path), false)?.0 as u64)
            }
            Worth::Number(slot) => Some(self.number(*slot)?.to_bits()),
            Worth::Part(part, field) => {
                let events = match field {
                    None => 1,
                    Some(slot) => events(self.number(*slot)?)?,
                };
                Some(weighed(events, self.selects(part)))
            }
            Worth::Place(latitude, longitude) => {
                Some(place(self.number(*latitude)?, self.number(*longitude)?)?)
            }
        };
        Some(self.found((index, rule), group, worth))
    }

    /// The first finite number among the values of a slot.
    fn number(&self, slot: u32) -> Option<f64> {
        let number = self.values(slot).find_map(|(_, value)| number(&value));
        number.filter(|number| number.is_finite())
    }

    fn selects(&self, node: &Node) -> bool {
        match node {
            Node::All(all) => all.iter().all(|node| self.selects(node)),
            Node::Any(any) => any.iter().any(|node| self.selects(node)),
            Node::None(none) => !none.iter().any(|node| self.selects(node)),
            Node::Gate(number, node) => self.gates.is_open(*number, || self.selects(node)),
            Node::Condition {
                slot: NO_SLOT,
                test,
            } => self.holds_of_event(test),
            Node::Condition { slot, test } => self.holds(*slot, test),
        }
    }

    fn holds_of_event(&self, test: &Test) -> bool {
        match test {
            Test::AfterHours(after) => {
                self.set
                    .settings
                    .hours
                    .is_after_hours(self.view.timestamp_ns)
                    == *after
            }
            Test::Ioc(least) => self.view.verdict.score >= *least,
            Test::Equal { .. }
            | Test::Text { .. }
            | Test::Like(_)
            | Test::Regex(..)
            | Test::Exists(_)
            | Test::Present(_)
            | Test::Field(_)
            | Test::Moment(..)
            | Test::Number(..)
            | Test::Rank(..)
            | Test::Cidr(_) => false,
        }
    }

    fn holds(&self, slot: u32, test: &Test) -> bool {
        let any = |holds: &dyn Fn(&Value<'_>) -> bool| {
            if slot == EVERY_SLOT {
                let mut fields = sent(self.view.event);
                return fields.any(|field| any_scalar(&field.value, &mut |value| holds(value)));
            }
            let mut values = self.values(slot);
            values.any(|(_, value)| holds(&value))
        };
        match test {
            Test::Equal { negated: true, .. } | Test::Exists(false) => {
                !any(&|value| test.holds(value))
            }
            Test::Present(there) => (slot == EVERY_SLOT || self.slots.is_present(slot)) == *there,
            Test::Field(other) => {
                let is_related = |value: &Value<'_>| {
                    let mut others = self.values(other.slot);
                    others.any(|(_, second)| other.relation.holds(value, &second, other.any_case))
                };
                any(&is_related) != other.negated
            }
            Test::Equal { negated: false, .. }
            | Test::Exists(true)
            | Test::Text { .. }
            | Test::Like(_)
            | Test::Regex(..)
            | Test::Moment(..)
            | Test::Number(..)
            | Test::Rank(..)
            | Test::Cidr(_)
            | Test::AfterHours(_)
            | Test::Ioc(_) => any(&|value| test.holds(value)),
        }
    }

    fn values(&self, slot: u32) -> impl Iterator<Item = (FieldAt, Value<'s>)> {
        self.slots.values(slot)
    }
}
