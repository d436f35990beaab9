//! The engine fires in the streams of `tests/sigma/streams.json` as an independent evaluator does: there are
//! correlations of every type in them, filters and pipelines. The record is written and checked by the
//! workspace in `sigma-check`, which has that evaluator at hand.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that something is wrong"
)]

use bumpalo::Bump;
use millrace_detection::alert::window_group;
use millrace_detection::rules::BusinessHours;
use millrace_detection::sigma::{Import, Options, Pipeline, Source};
use millrace_detection::{
    EventView, Hit, OrgSettings, RuleMatch, RuleSet, Scratch, Verdict, WindowSpec, WindowState,
};
use millrace_shared::wire::{Body, BodyFormat, Validity};
use millrace_shared::{Signal, Value as FieldValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const RECORDED: &str = include_str!("sigma/streams.json");
const NS: i64 = 1_000_000_000;

const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [0; 32],
    hours: BusinessHours::UTC_OFFICE,
};

/// A rule, the number of the event at which it fires, and the values of the group.
type Fires = BTreeSet<(String, usize, Vec<String>)>;

/// The hits of an event in one group, and the values of that.
type Waiting = (WindowSpec, Vec<Hit>, Vec<String>);

#[derive(Deserialize)]
struct Case {
    name: String,
    rules: String,
    pipelines: Vec<String>,
    events: Vec<(i64, Map<String, Value>)>,
    fires: Fires,
}

fn rules(case: &Case) -> RuleSet {
    let source = Source {
        name: case.name.clone(),
        text: case.rules.clone(),
    };
    let pipelines = case.pipelines.iter();
    let options = Options {
        plain: true,
        pipelines: pipelines
            .map(|text| Pipeline::from_yaml(text).unwrap())
            .collect(),
        ..Options::default()
    };
    let import = Import::new(&[source], &options);
    assert_eq!(import.refused, [], "{}", case.name);
    let rules = import.rules.into_iter().map(|one| Arc::new(one.rule));
    let (set, errors) = RuleSet::compile(rules, SETTINGS);
    assert!(errors.is_empty(), "{errors:?}");
    set
}

/// The matches of an event, with the values that they are grouped by.
fn matches(
    set: &RuleSet,
    second: i64,
    fields: &Map<String, Value>,
) -> Vec<(RuleMatch, Vec<String>)> {
    let log = json!({"level": "info", "service": "zz", "message": "zzz", "attributes": fields});
    let bytes = json!({ "logs": [log] }).to_string();
    let body = Body {
        signal: Signal::Logs,
        format: BodyFormat::Json,
        validity: Validity::ANY,
        bytes: bytes.as_bytes(),
    };
    let (arena, mut scratch, mut found) = (Bump::new(), Scratch::default(), Vec::new());
    let read = body.read(&arena, |resource, event| {
        let view = EventView {
            event: event.unwrap(),
            resource,
            timestamp_ns: second * NS,
            received_ns: second * NS,
            verdict: Verdict::NONE,
        };
        let mut matches = Vec::new();
        set.evaluate(&view, &mut scratch, &mut matches);
        found.extend(matches.into_iter().map(|one| (one, group(&one, &view))));
    });
    read.unwrap();
    found
}

fn group(found: &RuleMatch, view: &EventView<'_, '_>) -> Vec<String> {
    let places = found.group_fields.as_slice().iter();
    let fields = places.filter_map(|at| at.of(view.event, view.resource));
    let values = fields.map(|field| match field.value {
        FieldValue::Text(text) | FieldValue::Json(text) => text.to_owned(),
        FieldValue::Int(int) => int.to_string(),
        FieldValue::Float(float) => float.to_string(),
        FieldValue::Bool(flag) => flag.to_string(),
        FieldValue::Null => String::new(),
    });
    values.collect()
}

fn fires(case: &Case) -> Fires {
    let set = rules(case);
    let mut windows: BTreeMap<(u32, u128), WindowState> = BTreeMap::new();
    let mut fires = Fires::new();
    for (number, (second, fields)) in case.events.iter().enumerate() {
        let mut hits: BTreeMap<(u32, u128), Waiting> = BTreeMap::new();
        for (one, values) in matches(&set, *second, fields) {
            let rule = set.rule(one.rule).unwrap();
            let Some(spec) = rule.window else {
                fires.insert((rule.def.id.clone(), number, Vec::new()));
                continue;
            };
            let hit = Hit {
                at_ns: one.at_ns,
                value: one.distinct.unwrap_or(0),
                event: number as u128,
            };
            let key = (one.rule.0, window_group(rule, &one).unwrap());
            let waiting = hits.entry(key).or_insert((spec, Vec::new(), values));
            waiting.1.push(hit);
        }
        for (key, (spec, hits, values)) in hits {
            let state = windows.entry(key).or_default();
            if !state.apply(&spec, &hits).is_empty() {
                let id = set.rules().get(key.0 as usize).unwrap().def.id.clone();
                fires.insert((id, number, values));
            }
        }
    }
    fires
}

#[test]
fn streams_fire_as_is_written_down() {
    let cases: Vec<Case> = serde_json::from_str(RECORDED).unwrap();
    let total: usize = cases.iter().map(|case| case.fires.len()).sum();
    assert!(cases.len() >= 50 && total >= 500, "{} {total}", cases.len());
    for case in &cases {
        let found = fires(case);
        let only = |a: &Fires, b: &Fires| a.difference(b).cloned().collect::<Vec<_>>();
        let (ours, theirs) = (only(&found, &case.fires), only(&case.fires, &found));
        assert_eq!(
            (ours, theirs),
            (vec![], vec![]),
            "{}: {}",
            case.name,
            case.rules
        );
    }
}
