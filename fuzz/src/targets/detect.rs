//! What detection reads: text with observables in it, indicator feeds, rules.

use super::text;
use bumpalo::Bump;
use millrace_detection::indicators::{Feed, parse};
use millrace_detection::observables::canonical;
use millrace_detection::rules::{BusinessHours, trial};
use millrace_detection::{FieldAt, IndicatorIndex, Observables, OrgSettings, RuleDef, RuleSet};
use millrace_shared::Signal;
use std::sync::Arc;
use uuid::Uuid;

const NOW: i64 = 1_790_000_000_000_000_000;

fn found(text: &str) -> Vec<(String, String)> {
    let arena = Bump::new();
    let mut observables = Observables::new();
    observables.extract_text("message", text, FieldAt::event(0), &arena);
    let found = observables.as_slice().iter();
    found
        .map(|one| (one.kind.as_str().to_owned(), one.value.to_owned()))
        .collect()
}

/// What is found is canonical, and found again where it stands alone.
pub fn observables(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let arena = Bump::new();
    let mut observables = Observables::new();
    observables.extract_text("message", text, FieldAt::event(0), &arena);
    let mut seen = std::collections::HashSet::new();
    for observable in observables.as_slice() {
        assert!(
            seen.insert((observable.kind, observable.value)),
            "found twice"
        );
        let again = canonical(observable.kind, observable.value);
        let again = again.unwrap_or_else(|| {
            panic!(
                "found, and no {}: {:?}",
                observable.kind.as_str(),
                observable.value
            )
        });
        assert_eq!(
            again,
            (observable.kind, observable.value.to_owned()),
            "not canonical"
        );
    }
    assert_eq!(found(text), found(text));
}

/// A CSV feed.
pub fn csv(data: &[u8]) {
    feed(data, parse::csv);
}

/// A plain list.
pub fn plain(data: &[u8]) {
    feed(data, parse::plain);
}

/// Each line is an indicator or an error, and what was read matches what it stands for.
fn feed(data: &[u8], read: fn(&str, &Arc<Feed>) -> parse::Parsed) {
    let Some(text) = text(data) else { return };
    let feed = Arc::new(Feed {
        name: "fuzz".to_owned(),
        trust: 80,
    });
    let parsed = read(text, &feed);
    let lines = text.lines().count() as u64;
    for error in &parsed.errors {
        assert!(
            error.line <= lines + 1,
            "an error at a line that is not there"
        );
    }
    for indicator in &parsed.indicators {
        let again = canonical(indicator.kind, &indicator.value);
        let same =
            again.is_some_and(|(kind, value)| kind == indicator.kind && value == indicator.value);
        assert!(same, "read, and not canonical: {:?}", indicator.value);
        assert!(indicator.confidence <= 100);
    }
    let index = IndicatorIndex::build(parsed.indicators);
    let arena = Bump::new();
    let mut observables = Observables::new();
    observables.extract_text("message", arena.alloc_str(text), FieldAt::event(0), &arena);
    let mut matches = Vec::new();
    index.matches(
        Uuid::from_u128(1),
        observables.as_slice(),
        NOW,
        &mut matches,
    );
    assert!(matches.iter().all(|found| index.known(*found).is_some()));
}

/// A rule that is read is written and read again as the same, compiles or says why, and runs.
pub fn rules(data: &[u8]) {
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(data) else {
        return;
    };
    let Ok(rule) = RuleDef::from_json(&document) else {
        return;
    };
    let written = rule.to_json();
    let again = RuleDef::from_json(&written);
    let again = again.unwrap_or_else(|problem| panic!("a rule of ours is refused: {problem:?}"));
    assert_eq!(again.to_json(), written);
    let settings = OrgSettings {
        hash_key: [7; 32],
        hours: BusinessHours::default(),
    };
    let (set, errors) = RuleSet::compile([Arc::new(rule.clone())], settings);
    assert!(set.rules().len() + errors.len() <= 1);
    let event =
        serde_json::json!({"service": "s", "message": "m ada@evil.example", "level": "error"});
    let ran = trial::dry_run(&rule, settings, Signal::Logs, &[event], 50);
    assert!(ran.is_ok() || ran.is_err_and(|error| !error.problem.to_string().is_empty()));
}
