//! The other evaluator: its rules by id, which of them match an event, and what one of them says
//! once it, or the event, is changed.

use crate::events::Fields;
use rsigma_eval::{Engine, JsonEvent, compile_rule, evaluate_rule};
use rsigma_parser::{SigmaRule, parse_sigma_yaml};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The other evaluator with rules.
pub(crate) struct Theirs {
    engine: Engine,
    pub(crate) rules: BTreeMap<String, SigmaRule>,
    /// What it refuses, and why.
    pub(crate) refused: Vec<String>,
}

impl Theirs {
    pub(crate) fn new(texts: &[String]) -> Theirs {
        let (mut read, mut refused) = (Vec::new(), Vec::new());
        for text in texts {
            match parse_sigma_yaml(text) {
                Ok(parsed) => {
                    read.extend(parsed.rules);
                    refused.extend(parsed.errors);
                }
                Err(error) => refused.push(error.to_string()),
            }
        }
        let mut rules = BTreeMap::new();
        for mut rule in read {
            let id = id(&rule);
            rule.id = Some(id.clone());
            rules.entry(id).or_insert(rule);
        }
        let mut engine = Engine::new();
        let all: Vec<&SigmaRule> = rules.values().collect();
        let errors = engine.add_rules(all.iter().copied());
        let wrong = errors.into_iter().filter_map(|(at, error)| {
            let rule = all.get(at)?;
            refused.push(format!("{}: {error}", rule.title));
            rule.id.clone()
        });
        let wrong: Vec<String> = wrong.collect();
        for id in wrong {
            rules.remove(&id);
        }
        Theirs {
            engine,
            rules,
            refused,
        }
    }

    /// The ids of the rules that match the event.
    pub(crate) fn matches(&self, event: &Value) -> BTreeSet<String> {
        let matches = self.engine.evaluate(&JsonEvent::borrow(event)).into_iter();
        matches.filter_map(|one| one.header.rule_id).collect()
    }
}

/// Whether a rule matches an event; the error is its refusal of the rule.
pub(crate) fn says(rule: &SigmaRule, event: &Fields) -> Result<bool, String> {
    let compiled = compile_rule(rule).map_err(|error| error.to_string())?;
    let event = JsonEvent::owned(Value::Object(event.clone()));
    Ok(evaluate_rule(&compiled, &event).is_some())
}

/// The id under which we have the rule: its own, else its name, else what its title makes.
fn id(rule: &SigmaRule) -> String {
    let own = rule.id.as_ref().or(rule.name.as_ref());
    let letters = own.unwrap_or(&rule.title).chars().map(|letter| {
        let letter = letter.to_ascii_lowercase();
        let fits = letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | ':');
        if fits { letter } else { '-' }
    });
    letters.take(100).collect()
}
