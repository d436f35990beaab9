//! What detection reads: text with observables in it, indicator feeds, rules.

use super::text;
use bumpalo::Bump;
use millrace_detection::indicators::{AllowList, Asking, Feed, parse};
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
    lines(data, parse::csv);
}

/// A plain list.
pub fn plain(data: &[u8]) {
    lines(data, parse::plain);
}

/// A hosts file.
pub fn hosts(data: &[u8]) {
    lines(data, parse::hosts);
}

/// Whatever it is by its content: read as that, and by none of the formats into a fault.
pub fn feed(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match parse::read(text, None, &of_fuzz()) {
        Ok((format, parsed)) => {
            let again = parse::read(text, Some(format), &of_fuzz());
            let again = again.unwrap_or_else(|error| panic!("read, and not again: {error}"));
            assert_eq!(again.1.indicators, parsed.indicators);
            good(text, parsed);
        }
        Err(unread) => assert!(!unread.to_string().is_empty()),
    }
    for format in parse::Format::ALL {
        if let Ok((_, parsed)) = parse::read(text, Some(*format), &of_fuzz()) {
            good(text, parsed);
        }
    }
    let _events = parse::manifest(text);
}

/// A pattern of STIX.
pub fn pattern(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let object = serde_json::json!([{"type": "indicator", "id": "i", "pattern": text}]);
    let parsed = parse::stix(&object.to_string(), &of_fuzz());
    let parsed = parsed.unwrap_or_else(|error| panic!("an object of ours is refused: {error}"));
    let ends = parsed.refused == 1 || !parsed.indicators.is_empty();
    assert!(ends, "a pattern is neither taken nor refused");
    good(text, parsed);
}

/// An allow-list: what stands on it as a text is held by it.
pub fn allow_list(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(list) = AllowList::from_json(text) else {
        return;
    };
    let Ok(allow) = list.compile() else { return };
    for entry in &list.list {
        let Some((kind, value)) = millrace_detection::observables::guess(entry) else {
            continue;
        };
        let by_text = list.matching.as_str() == "string" && list.matching_attributes.is_empty();
        assert!(
            !by_text || allow.holds(kind, &value),
            "on the list, and not held: {entry:?}"
        );
    }
}

fn of_fuzz() -> Arc<Feed> {
    Arc::new(Feed {
        id: 1,
        name: "fuzz".to_owned(),
        trust: 80,
    })
}

/// Each line is an indicator or an error.
fn lines(data: &[u8], read: fn(&str, &Arc<Feed>) -> parse::Parsed) {
    let Some(text) = text(data) else { return };
    let parsed = read(text, &of_fuzz());
    let lines = text.lines().count() as u64;
    for error in &parsed.errors {
        match error.at {
            parse::Place::Line(line) => {
                assert!(line <= lines + 1, "an error at a line that is not there");
            }
            parse::Place::Object(_) => panic!("an error at an object of a list of lines"),
        }
    }
    good(text, parsed);
}

/// What was read is canonical, and matches what it stands for.
fn good(text: &str, parsed: parse::Parsed) {
    assert!(parsed.errors.len() <= parse::TOLD_MAX && parsed.notes.len() <= parse::TOLD_MAX);
    assert!(parsed.errors.len() as u64 <= parsed.refused);
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
    let asking = Asking {
        org: Uuid::from_u128(1),
        now_ns: NOW,
        allowed: None,
    };
    index.matches(&asking, observables.as_slice(), &mut matches);
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
