//! What many rules demand alike, such as the log source they are of: asked once an event, however
//! many rules wait for the answer. A rule whose gate is shut is not asked anything else.

use super::compile::{Node, Rule};
use super::condition::{Place, Test};
use super::order::order;
use hashbrown::HashMap;
use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;

/// Conditions of the largest gate.
const CONDITIONS_MAX: usize = 16;
/// Texts of one of its conditions.
const TEXTS_MAX: usize = 16;
/// Rules that a gate is worth its place for.
const RULES_MIN: usize = 2;

/// A demand.
#[derive(Default)]
struct Known {
    rules: usize,
    gate: Option<(u32, Arc<Node>)>,
}

/// Has rules that demand the same share it; says how many gates there are.
pub(super) fn share(rules: &mut [Rule]) -> usize {
    let mut known: HashMap<String, Known> = HashMap::new();
    for rule in rules.iter() {
        for key in members(rule).iter().filter_map(key) {
            known.entry(key).or_default().rules += 1;
        }
    }
    let mut gates = 0;
    for rule in rules {
        if !rule.steps.is_empty() {
            continue;
        }
        let Node::All(list) = &mut rule.selection else {
            continue;
        };
        for member in list {
            let known = key(member).and_then(|key| known.get_mut(&key));
            let Some(known) = known.filter(|known| known.rules >= RULES_MIN) else {
                continue;
            };
            let (number, node) = known.gate.get_or_insert_with(|| {
                gates += 1;
                (gates - 1, Arc::new(member.clone()))
            });
            *member = Node::Gate(*number, Arc::clone(node));
        }
        order(&mut rule.selection);
    }
    gates as usize
}

/// What a rule demands. Those that have steps keep their selection as it is.
fn members(rule: &Rule) -> &[Node] {
    match &rule.selection {
        Node::All(list) if rule.steps.is_empty() => list,
        Node::All(_) | Node::Any(_) | Node::None(_) | Node::Gate(..) | Node::Condition { .. } => {
            &[]
        }
    }
}

/// A text that is the same for what asks the same; `None` for what is not worth a gate: little else
/// than comparisons with a few texts.
fn key(node: &Node) -> Option<String> {
    let (mut key, mut conditions) = (String::new(), 0);
    write(node, &mut key, &mut conditions)?;
    Some(key)
}

fn write(node: &Node, key: &mut String, conditions: &mut usize) -> Option<()> {
    let (name, list) = match node {
        Node::All(list) => ("all", list),
        Node::Any(list) => ("any", list),
        Node::None(list) => ("none", list),
        Node::Gate(..) => return None,
        Node::Condition { slot, test } => {
            *conditions += 1;
            if *conditions > CONDITIONS_MAX {
                return None;
            }
            return write_test(*slot, test, key);
        }
    };
    key.push_str(name);
    key.push('(');
    for node in list {
        write(node, key, conditions)?;
    }
    key.push(')');
    Some(())
}

fn write_test(slot: u32, test: &Test, key: &mut String) -> Option<()> {
    match test {
        Test::Equal {
            literals,
            any_case,
            negated,
            set: _,
        } if literals.len() <= TEXTS_MAX => {
            write!(key, "{slot}={any_case}{negated}").ok()?;
            for literal in literals {
                write!(key, "{:?}{:?}", literal.text, literal.number).ok()?;
            }
        }
        Test::Text {
            place: place @ (Place::Start | Place::End),
            needles,
            any_case,
            at_once: _,
        } if needles.len() <= TEXTS_MAX => {
            write!(key, "{slot}{place:?}{any_case}").ok()?;
            for needle in needles {
                write!(key, "{:?}", needle.text).ok()?;
            }
        }
        Test::Present(there) => write!(key, "{slot}present{there}").ok()?,
        Test::Exists(there) => write!(key, "{slot}exists{there}").ok()?,
        Test::Equal { .. }
        | Test::Text { .. }
        | Test::Like(_)
        | Test::Regex(..)
        | Test::Field(_)
        | Test::Moment(..)
        | Test::Number(..)
        | Test::Rank(..)
        | Test::Cidr(_)
        | Test::AfterHours(_)
        | Test::Ioc(_) => return None,
    }
    key.push(';');
    Some(())
}

/// What the gates said of one event.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    epoch: u32,
    /// By gate: the event it was asked for, and the answer.
    answers: Vec<Cell<(u32, bool)>>,
}

impl Gates {
    /// Forgets the event before.
    pub(super) fn begin(&mut self, gates: usize) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.answers.clear();
            self.epoch = 1;
        }
        if self.answers.len() < gates {
            self.answers.resize(gates, Cell::default());
        }
    }

    /// Whether a gate is open, asked once an event.
    #[inline]
    pub(super) fn is_open(&self, number: u32, ask: impl FnOnce() -> bool) -> bool {
        let Some(answer) = self.answers.get(number as usize) else {
            return ask();
        };
        let (epoch, known) = answer.get();
        if epoch == self.epoch {
            return known;
        }
        let is_open = ask();
        answer.set((self.epoch, is_open));
        is_open
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BusinessHours, OrgSettings, RuleDef, RuleSet};
    use super::*;
    use serde_json::{Value, json};

    const SETTINGS: OrgSettings = OrgSettings {
        hash_key: [0; 32],
        hours: BusinessHours::UTC_OFFICE,
    };

    fn set(selections: &[Value]) -> RuleSet {
        let rules = selections.iter().enumerate().map(|(number, selection)| {
            let document = json!({"id": format!("r{number}"), "name": "n", "severity": "low",
                "message": "m", "scope": ["logs"], "selection": selection});
            Arc::new(RuleDef::from_json(&document).unwrap())
        });
        let (set, errors) = RuleSet::compile(rules, SETTINGS);
        assert!(errors.is_empty(), "{errors:?}");
        set
    }

    fn gates(set: &RuleSet) -> Vec<Vec<u32>> {
        let of = |rule: &Rule| {
            let members = members(rule).iter();
            let gates = members.filter_map(|node| match node {
                Node::Gate(number, _) => Some(*number),
                Node::All(_) | Node::Any(_) | Node::None(_) | Node::Condition { .. } => None,
            });
            gates.collect()
        };
        set.rules().iter().map(of).collect()
    }

    #[test]
    fn rules_share_what_they_demand_alike_and_nothing_else() {
        let source = |id: &str| {
            json!({"any": [{"field": "id", "op": "eq_ci", "value": id},
                {"field": "channel", "op": "starts_with_ci", "value": "Sysmon"}]})
        };
        let own = |text: &str| json!({"field": "line", "op": "contains", "value": text});
        let set = set(&[
            json!({"all": [source("1"), own("a")]}),
            json!({"all": [own("b"), source("1")]}),
            json!({"all": [source("2"), own("a")]}),
            json!({"any": [source("1"), own("b")]}),
            json!({"all": [source("2"), own("c")]}),
        ]);
        assert_eq!(set.gates, 2);
        assert_eq!(gates(&set), [vec![0], vec![0], vec![1], vec![], vec![1]]);
    }

    #[test]
    fn numbers_and_texts_letter_case_and_negation_make_other_gates() {
        let demand = |op: &str, value: Value| {
            json!({"all": [{"field": "id", "op": op, "value": value},
                {"field": "line", "op": "contains", "value": "a"}]})
        };
        let set = set(&[
            demand("eq", json!("1")),
            demand("eq_ci", json!("1")),
            demand("neq", json!("1")),
            demand("starts_with", json!("1")),
            demand("ends_with", json!("1")),
            demand("eq", json!("1.0")),
        ]);
        assert_eq!(set.gates, 0);
    }

    #[test]
    fn a_gate_is_asked_once_an_event() {
        let mut gates = Gates::default();
        for answer in [true, false] {
            gates.begin(1);
            assert_eq!(gates.is_open(0, || answer), answer);
            assert_eq!(gates.is_open(0, || panic!("asked again")), answer);
        }
        assert!(gates.is_open(9, || true));
    }
}
