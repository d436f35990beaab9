//! The rules that a new organisation starts with: data, each with its own test cases. Those that are
//! there are offered what is new by its version, so a rule that is changed gets another one.

use crate::rules::{Problem, RuleDef};
use serde_json::Value;

/// The documents: administration of directories and office services, activity that adds up,
/// attacks seen in one event or one session, behaviour unlike what was before, secrets that leak.
const DOCUMENTS: [&str; 5] = [
    include_str!("directory.json"),
    include_str!("activity.json"),
    include_str!("threats.json"),
    include_str!("behaviour.json"),
    include_str!("leaks.json"),
];

/// All built-in rules.
///
/// # Errors
/// The first thing that is wrong with a document; a test sees to it that nothing is.
pub fn rules() -> Result<Vec<RuleDef>, Problem> {
    let mut rules = Vec::new();
    for document in DOCUMENTS {
        let document: Value = serde_json::from_str(document).map_err(|error| Problem {
            path: "builtin".to_owned(),
            what: error.to_string(),
        })?;
        for rule in document.as_array().into_iter().flatten() {
            rules.push(RuleDef::from_json(rule)?);
        }
    }
    Ok(rules)
}

/// The documents of all built-in rules, as a list.
///
/// # Errors
/// Those of [`rules`].
pub fn documents() -> Result<Value, Problem> {
    Ok(rules()?.iter().map(RuleDef::to_json).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trial::run_tests;
    use crate::rules::{BusinessHours, Expect, OrgSettings, RuleSet};
    use sha2::{Digest as _, Sha256};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    const SETTINGS: OrgSettings = OrgSettings {
        hash_key: [1; 32],
        hours: BusinessHours::UTC_OFFICE,
    };

    #[test]
    fn every_rule_passes_its_own_tests_and_has_both_kinds() {
        for rule in rules().unwrap() {
            let kinds: Vec<Expect> = rule.tests.iter().map(|test| test.expect).collect();
            assert!(kinds.contains(&Expect::Match), "{} lacks a match", rule.id);
            assert!(
                kinds.contains(&Expect::NoMatch),
                "{} lacks a no_match",
                rule.id
            );
            for outcome in run_tests(&rule, SETTINGS).unwrap() {
                assert!(outcome.passed, "{}: {outcome:?}", rule.id);
            }
        }
    }

    #[test]
    fn all_compile_together_under_ids_of_their_own() {
        let rules = rules().unwrap();
        let ids: BTreeSet<_> = rules.iter().map(|rule| rule.id.clone()).collect();
        assert_eq!(ids.len(), rules.len());
        let (set, errors) = RuleSet::compile(rules.into_iter().map(Arc::new), SETTINGS);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(set.rules().len(), ids.len());
    }

    /// Organisations that have a rule are offered it anew by its version alone.
    #[test]
    fn a_rule_that_says_something_else_has_another_version() {
        let known: Vec<&str> = include_str!("versions.txt").lines().collect();
        let mut named = BTreeSet::new();
        for line in &known {
            let (rule, _) = line.rsplit_once(' ').unwrap();
            assert!(named.insert(rule), "{rule} is there twice");
        }
        let mut missing = Vec::new();
        for rule in rules().unwrap() {
            let mut said = rule.to_json();
            for name in ["version", "enabled", "tests"] {
                said.as_object_mut().unwrap().remove(name);
            }
            let digest: [u8; 32] = Sha256::digest(said.to_string()).into();
            let (first, _) = digest.split_first_chunk::<8>().unwrap();
            let digest = u64::from_be_bytes(*first);
            let line = format!("{} {} {digest:016x}", rule.id, rule.version);
            if !known.contains(&line.as_str()) {
                missing.push(line);
            }
        }
        assert!(
            missing.is_empty(),
            "raise the versions of these, and add to versions.txt:\n{}",
            missing.join("\n")
        );
    }

    #[test]
    fn documents_are_written_as_they_are_read() {
        for rule in rules().unwrap() {
            let again = RuleDef::from_json(&rule.to_json()).unwrap();
            assert_eq!(again, rule);
        }
    }
}
