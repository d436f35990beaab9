//! Both evaluators on all pairs of rule and event.

use crate::events::Fields;
use crate::exceptions::{EXCEPTIONS, explain};
use crate::ours::{Ours, comparable, sent, taken_in};
use crate::theirs::Theirs;
use millrace_detection::RuleDef;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A pair on which the two are not of one mind.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Id of the rule.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Whether it is we who say that it matches.
    pub ours: bool,
    /// The event.
    pub event: String,
}

/// Differences that an exception explains.
#[derive(Clone, Copy, Debug, Default)]
pub struct Explained {
    /// With others or alone.
    pub times: usize,
    /// Alone.
    pub alone: usize,
}

/// What came of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Ids of the rules that both take in.
    pub rules: BTreeSet<String>,
    /// Those of them that matched an event, by us.
    pub matched: BTreeSet<String>,
    /// Events that were compared.
    pub events: usize,
    /// Events that are no log event here, and why the first is none.
    pub no_events: (usize, String),
    /// Matches that we find.
    pub matches: usize,
    /// Rules that we refuse, with the reason.
    pub refused_by_us: Vec<String>,
    /// Rules that the other refuses, with its reason.
    pub refused_by_other: Vec<String>,
    /// Differences that are explained, by exception.
    pub explained: BTreeMap<&'static str, Explained>,
    /// The others.
    pub differences: Vec<Difference>,
    /// Of each event that was compared, as it was compared, the numbers of the rules that match it.
    pub found: Vec<(Fields, BTreeSet<String>)>,
}

/// Compares the two on every pair of these rules and events.
///
/// # Errors
/// When our engine refuses the rules as a whole.
pub fn compare(texts: &[String], events: &[Fields]) -> Result<Comparison, String> {
    let (rules, refused_by_us) = taken_in(texts);
    let mut theirs = Theirs::new(texts);
    let rules: Vec<RuleDef> = rules
        .into_iter()
        .filter(|rule| theirs.rules.contains_key(&rule.id))
        .collect();
    let mut comparison = Comparison {
        rules: rules.iter().map(|rule| rule.id.clone()).collect(),
        refused_by_us,
        refused_by_other: std::mem::take(&mut theirs.refused),
        ..Comparison::default()
    };
    let mut ours = Ours::new(rules)?;
    for event in events {
        comparison.event(event, &mut ours, &theirs);
    }
    Ok(comparison)
}

impl Comparison {
    fn event(&mut self, event: &Fields, ours: &mut Ours, theirs: &Theirs) {
        let event = comparable(event);
        let (log, flat) = sent(&event);
        let found = match ours.matches(&log) {
            Ok(found) => found,
            Err(error) => {
                if self.no_events.0 == 0 {
                    self.no_events.1 = format!("{error}: {log}");
                }
                self.no_events.0 += 1;
                return;
            }
        };
        let whole = Value::Object(flat);
        let others = theirs.matches(&whole);
        let Value::Object(flat) = whole else { return };
        for id in found.symmetric_difference(&others) {
            if self.rules.contains(id) {
                self.difference(id, found.contains(id), (theirs, &flat));
            }
        }
        self.events += 1;
        self.matches += found.len();
        self.matched.extend(found.iter().cloned());
        self.found.push((event, found));
    }

    fn difference(&mut self, id: &str, ours: bool, (theirs, event): (&Theirs, &Fields)) {
        let Some(rule) = theirs.rules.get(id) else {
            return;
        };
        let Some(reasons) = explain(rule, event, ours) else {
            self.differences.push(Difference {
                id: id.to_owned(),
                title: rule.title.clone(),
                ours,
                event: Value::Object(event.clone()).to_string(),
            });
            return;
        };
        let names = reasons.iter().filter_map(|number| EXCEPTIONS.get(*number));
        for exception in names {
            let explained = self.explained.entry(exception.name).or_default();
            explained.times += 1;
            explained.alone += usize::from(reasons.len() == 1);
        }
    }

    /// How many pairs were asked about.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.rules.len() * self.events
    }

    /// Exceptions that no difference here needs by itself.
    #[must_use]
    pub fn unneeded(&self) -> Vec<&'static str> {
        let needed = |name: &&str| {
            let explained = self.explained.get(name);
            explained.is_some_and(|explained| explained.alone > 0)
        };
        let names = EXCEPTIONS.iter().map(|exception| exception.name);
        names.filter(|name| !needed(name)).collect()
    }

    /// For people.
    #[must_use]
    pub fn told(&self, most: usize) -> String {
        let mut lines = vec![format!(
            "{} rules x {} events = {} pairs: {} matches, of {} of the rules; {} differences",
            self.rules.len(),
            self.events,
            self.pairs(),
            self.matches,
            self.matched.len(),
            self.differences.len()
        )];
        if self.no_events.0 > 0 {
            lines.push(format!(
                "{} were no log events, the first: {}",
                self.no_events.0, self.no_events.1
            ));
        }
        let refused = [
            ("us", &self.refused_by_us),
            ("the other", &self.refused_by_other),
        ];
        for (whose, list) in refused {
            lines.push(format!("{} refused by {whose}", list.len()));
            lines.extend(list.iter().take(most).map(|one| format!("    {one}")));
        }
        for (name, Explained { times, alone }) in &self.explained {
            lines.push(format!("{times} explained by {name}, {alone} by it alone"));
        }
        for one in self.differences.iter().take(most) {
            let whose = if one.ours { "we" } else { "the other" };
            let (title, id, event) = (&one.title, &one.id, &one.event);
            lines.push(format!("only {whose}: {title} ({id}): {event}"));
        }
        lines.join("\n")
    }
}
