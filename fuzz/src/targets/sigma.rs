//! What strangers publish: Sigma rules, alone and in archives.

use millrace_detection::rules::{BusinessHours, trial};
use millrace_detection::sigma::{Import, Options, coverage, navigator_layer, unpack};
use millrace_detection::{OrgSettings, RuleDef, RuleSet};
use millrace_shared::Signal;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is taken in is a rule like any other: of its own id, written and read again as the same,
/// compiled, and run. What is not has a place and a reason.
pub fn import(data: &[u8]) {
    let sources = match unpack("fuzz", data) {
        Ok(sources) => sources,
        Err(problem) => return assert!(!problem.what.is_empty()),
    };
    let import = Import::new(&sources, &Options::default());
    for refused in &import.refused {
        let problem = &refused.problem;
        assert!(!problem.path.is_empty() && !problem.what.is_empty());
    }
    let settings = OrgSettings {
        hash_key: [7; 32],
        hours: BusinessHours::default(),
    };
    let mut ids = BTreeSet::new();
    for one in &import.rules {
        assert!(ids.insert(&one.rule.id), "two rules of one id");
        let again = RuleDef::from_json(&one.rule.to_json());
        assert_eq!(again.as_ref(), Ok(&one.rule));
        let event = serde_json::json!({"service": "s", "message": "one two", "level": "error",
            "attributes": {"f": "xyz", "EventID": 1}});
        let ran = trial::dry_run(&one.rule, settings, Signal::Logs, &[event], 0);
        assert!(ran.is_ok(), "{ran:?}");
    }
    let rules = import.rules.iter().map(|one| Arc::new(one.rule.clone()));
    let (set, errors) = RuleSet::compile(rules, settings);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(set.rules().len(), import.rules.len());
    let covered = coverage(import.rules.iter().map(|one| (&one.rule).into()));
    assert!(navigator_layer(&covered, "fuzz").is_object());
}
