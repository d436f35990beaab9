//! The engine says of the rules and events in `tests/sigma` what an independent evaluator says of
//! them, with the exceptions that the comparison itself names. The record is written and checked by
//! the workspace in `sigma-check`, which has that evaluator at hand.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is how a test says that something is wrong"
)]

use bumpalo::Bump;
use millrace_detection::rules::BusinessHours;
use millrace_detection::rules::trial::dry_run;
use millrace_detection::sigma::{Import, Options, Source};
use millrace_detection::{EventView, OrgSettings, RuleDef, RuleSet, Scratch, Verdict};
use millrace_shared::Signal;
use millrace_shared::wire::{Body, BodyFormat, Validity};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const CORNERS: &str = include_str!("sigma/corners.yml");
const RECORDED: &str = include_str!("sigma/recorded.json");
/// Events that are asked about at once.
const AT_ONCE: usize = 500;

const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [0; 32],
    hours: BusinessHours::UTC_OFFICE,
};

#[derive(Deserialize)]
struct Recorded {
    events: Vec<Map<String, Value>>,
    matches: BTreeMap<String, BTreeSet<usize>>,
}

impl Recorded {
    fn read() -> Recorded {
        serde_json::from_str(RECORDED).unwrap()
    }

    /// The events as logs, made as the comparison makes them.
    fn logs(&self) -> Vec<Value> {
        let log = |event: &Map<String, Value>| {
            let mut attributes = event.clone();
            let message = attributes.remove("message").unwrap_or(json!("zzz"));
            json!({"level": "info", "service": "zz", "message": message, "attributes": attributes})
        };
        self.events.iter().map(log).collect()
    }
}

fn rules() -> Vec<RuleDef> {
    let source = Source {
        name: "corners.yml".to_owned(),
        text: CORNERS.to_owned(),
    };
    let options = Options {
        plain: true,
        ..Options::default()
    };
    let import = Import::new(&[source], &options);
    import.rules.into_iter().map(|one| one.rule).collect()
}

/// Says which rules match which events otherwise than is written down.
fn compare(recorded: &Recorded, found: &BTreeMap<String, BTreeSet<usize>>) {
    let mut wrong = Vec::new();
    for (id, expected) in &recorded.matches {
        let found = found.get(id).cloned().unwrap_or_default();
        let numbers = expected.symmetric_difference(&found);
        let told = numbers.map(|number| {
            let whose = if found.contains(number) {
                "found"
            } else {
                "missed"
            };
            format!(
                "{id} {whose} {}",
                Value::Object(recorded.events[*number].clone())
            )
        });
        wrong.extend(told);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_rule_by_itself() {
    let recorded = Recorded::read();
    assert!(recorded.matches.len() >= 100 && recorded.events.len() >= 500);
    let (rules, logs) = (rules(), recorded.logs());
    let mut found = BTreeMap::new();
    for rule in &rules {
        let numbers: &mut BTreeSet<usize> = found.entry(rule.id.clone()).or_default();
        for (chunk, logs) in logs.chunks(AT_ONCE).enumerate() {
            let run = dry_run(rule, SETTINGS, Signal::Logs, logs, 0).unwrap();
            numbers.extend(run.matched.iter().map(|number| chunk * AT_ONCE + number));
        }
    }
    compare(&recorded, &found);
}

#[test]
fn all_rules_together() {
    let recorded = Recorded::read();
    let (set, errors) = RuleSet::compile(rules().into_iter().map(Arc::new), SETTINGS);
    assert!(errors.is_empty(), "{errors:?}");
    let bytes = json!({"logs": recorded.logs()}).to_string();
    let body = Body {
        signal: Signal::Logs,
        format: BodyFormat::Json,
        validity: Validity::ANY,
        bytes: bytes.as_bytes(),
    };
    let arena = Bump::new();
    let (mut scratch, mut number) = (Scratch::default(), 0);
    let mut found: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    body.read(&arena, |resource, event| {
        let view = EventView {
            event: event.unwrap(),
            resource,
            timestamp_ns: 0,
            received_ns: 0,
            verdict: Verdict::NONE,
        };
        let mut matches = Vec::new();
        set.evaluate(&view, &mut scratch, &mut matches);
        for one in matches {
            let id = set.rule(one.rule).unwrap().def.id.clone();
            found.entry(id).or_default().insert(number);
        }
        number += 1;
    })
    .unwrap();
    assert_eq!(number, recorded.events.len());
    compare(&recorded, &found);
}
