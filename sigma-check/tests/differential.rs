//! The engine against an independent evaluator (rsigma): the same Sigma rules on the same events.
//!
//! Rules are our own fixtures and, where a copy of them lies at hand, those that SigmaHQ
//! publishes; events are made of the values that the rules name, so that they match now and again.
//! No difference is let pass but those listed in [`explained`], each with the words of the
//! specification that decide it.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the place of the samples is a matter of the machine, a test may give up, and a YAML value has more forms than a rule"
)]

use bumpalo::Bump;
use millrace_detection::rules::BusinessHours;
use millrace_detection::sigma::{Import, Options, Source};
use millrace_detection::{EventView, OrgSettings, RuleDef, RuleSet, Scratch, Verdict};
use millrace_shared::Signal;
use millrace_shared::wire::{Body, BodyFormat, Validity};
use rsigma_eval::{Engine, JsonEvent};
use rsigma_parser::parse_sigma_yaml;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [0; 32],
    hours: BusinessHours::UTC_OFFICE,
};
/// Events made for each published rule, and for each of our own.
const EVENTS_OF_A_RULE: usize = 2;
const EVENTS_OF_A_CORNER: usize = 60;

/// Rules of our own that go through the corners of the language.
const CORNERS: &str = include_str!("corners.yml");

/// Differences that the specification decides for us, by the rule's title.
fn explained(title: &str) -> Option<&'static str> {
    let reasons: [(&str, &str); 3] = [
        (
            "corner: exists",
            "`exists` checks only the presence of a field, be its value empty or null",
        ),
        (
            "corner: windash",
            "all of the five characters are exchanged, where they introduce an option",
        ),
        (
            "corner: base64offset",
            "only what stays the same at every position of the value is looked for",
        ),
    ];
    reasons
        .iter()
        .find(|(start, _)| title.starts_with(start))
        .map(|(_, reason)| *reason)
}

fn yml(directory: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            yml(&path, into);
        } else if path.extension().is_some_and(|own| own == "yml") {
            into.push(path);
        }
    }
    into.sort();
}

fn sources() -> Vec<Source> {
    let mut sources = vec![Source {
        name: "corners".to_owned(),
        text: CORNERS.to_owned(),
    }];
    let near = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let further = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let named = std::env::var("MILLRACE_SAMPLES_DIR").map(PathBuf::from);
    let roots = named.into_iter().chain([near, further]);
    let corpus = roots
        .map(|root| root.join("sigma"))
        .find(|path| path.join("rules").is_dir());
    let Some(corpus) = corpus else {
        eprintln!("fixtures only: no published Sigma rules; see MILLRACE_SAMPLES_DIR");
        return sources;
    };
    let mut paths = Vec::new();
    for directory in ["rules", "rules-emerging-threats", "rules-threat-hunting"] {
        yml(&corpus.join(directory), &mut paths);
    }
    sources.extend(paths.into_iter().map(|path| Source {
        text: std::fs::read_to_string(&path).unwrap(),
        name: path.display().to_string(),
    }));
    sources
}

/// A generator of numbers, the same on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // Steele and Vigna's SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ mixed >> 31) % bound.max(1) as u64).unwrap()
    }
}

/// Fields and the values that a rule names for them; keywords under the name of a field of ours.
fn mentioned(value: &serde_yaml_ng::Value, into: &mut Vec<(String, Value)>) {
    use serde_yaml_ng::Value as Yaml;
    match value {
        Yaml::Mapping(map) => {
            for (name, value) in map {
                let name = name.as_str().unwrap_or_default();
                let mut parts = name.split('|');
                let field = parts.next().filter(|field| !field.is_empty());
                let modifiers: Vec<&str> = parts.collect();
                for one in value
                    .as_sequence()
                    .map_or(std::slice::from_ref(value), Vec::as_slice)
                {
                    if let Some(value) = plain(one, &modifiers) {
                        into.push((field.unwrap_or("keyword").to_owned(), value));
                    }
                }
            }
        }
        Yaml::Sequence(list) => list.iter().for_each(|one| {
            if one.is_mapping() {
                mentioned(one, into);
            } else if let Some(value) = plain(one, &[]) {
                into.push(("keyword".to_owned(), value));
            }
        }),
        _ => {}
    }
}

/// A value that may match what is written.
fn plain(written: &serde_yaml_ng::Value, modifiers: &[&str]) -> Option<Value> {
    use serde_yaml_ng::Value as Yaml;
    Some(match written {
        Yaml::Number(number) => json!(number.as_i64()?),
        Yaml::Bool(flag) if modifiers.contains(&"exists") => return flag.then(|| json!("x")),
        Yaml::Bool(flag) => json!(flag),
        Yaml::String(text) if modifiers.contains(&"cidr") => json!(text.split('/').next()?),
        Yaml::String(text) => {
            let text = text.replace("\\*", "\u{1}").replace("\\?", "\u{2}");
            let text = text
                .replace('*', "xyz")
                .replace('?', "q")
                .replace("\\\\", "\\");
            json!(text.replace('\u{1}', "*").replace('\u{2}', "?"))
        }
        _ => return None,
    })
}

/// Something like the value: as it is, in other case, with text around it, or no longer the same.
fn varied(value: &Value, dice: &mut Dice) -> Value {
    let Some(text) = value.as_str() else {
        return match dice.below(4) {
            0 => json!(value.to_string()),
            1 => json!("other"),
            _ => value.clone(),
        };
    };
    match dice.below(12) {
        0 | 1 => json!(text.to_ascii_uppercase()),
        2 => json!(format!("C:\\dir{text}")),
        3 => json!(format!("{text} -tail")),
        4 => json!(format!("head {text} tail")),
        5 => json!(text.get(1..).unwrap_or_default()),
        6 => json!([text, "another"]),
        7 => Value::Null,
        8 => json!(""),
        _ => json!(text),
    }
}

/// Events made of what a rule names.
fn events(document: &serde_yaml_ng::Value, dice: &mut Dice) -> Vec<Map<String, Value>> {
    let mut values = Vec::new();
    if let Some(detection) = document
        .get("detection")
        .and_then(|value| value.as_mapping())
    {
        for (name, value) in detection {
            if name.as_str() != Some("condition") {
                mentioned(value, &mut values);
            }
        }
    }
    let mut by_field: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (field, value) in values {
        by_field.entry(field).or_default().push(value);
    }
    let title = document.get("title").and_then(|title| title.as_str());
    let is_corner = title.is_some_and(|title| title.starts_with("corner: "));
    let events = if is_corner {
        EVENTS_OF_A_CORNER
    } else {
        EVENTS_OF_A_RULE
    };
    let each = (0..events).map(|_| {
        let mut event = Map::new();
        for (field, values) in &by_field {
            if field.is_empty() || field.len() > 200 || dice.below(10) == 0 {
                continue;
            }
            let mut text = varied(&values[dice.below(values.len())], dice);
            // Rules ask for several parts of one value: put some of them together.
            if dice.below(2) == 0 && text.is_string() {
                let more = values.iter().filter_map(Value::as_str).take(6);
                let joined: Vec<&str> = text.as_str().into_iter().chain(more).collect();
                text = json!(joined.join(" "));
            }
            event.insert(field.clone(), text);
        }
        event
    });
    each.collect()
}

/// Names of fields that mean something of their own here, in a log event.
const OWN_NAMES: [&str; 12] = [
    "level",
    "message",
    "service",
    "host",
    "trace_id",
    "span_id",
    "environment",
    "timestamp",
    "service.name",
    "service_name",
    "host.name",
    "deployment.environment",
];

/// The ids of the rules that select each event, by this engine.
fn ours(rules: Vec<RuleDef>, events: &[Map<String, Value>]) -> Vec<BTreeSet<String>> {
    let (set, errors) = RuleSet::compile(rules.into_iter().map(Arc::new), SETTINGS);
    assert!(errors.is_empty(), "{errors:?}");
    let (mut scratch, mut matches) = (Scratch::default(), Vec::new());
    let mut arena = Bump::new();
    let mut all = Vec::new();
    for event in events {
        let sent = json!({"logs": [{"level": "info", "message": "zzz", "attributes": event}]});
        let bytes = sent.to_string().into_bytes();
        let body = Body {
            signal: Signal::Logs,
            format: BodyFormat::Json,
            validity: Validity::ANY,
            bytes: &bytes,
        };
        let mut found = BTreeSet::new();
        body.read(&arena, |resource, event| {
            let event = event.unwrap();
            let view = EventView {
                event,
                resource,
                timestamp_ns: 0,
                received_ns: 0,
                verdict: Verdict::NONE,
            };
            matches.clear();
            set.evaluate(&view, &mut scratch, &mut matches);
            let ids = matches
                .iter()
                .map(|one| set.rule(one.rule).unwrap().def.id.clone());
            found.extend(ids);
        })
        .unwrap();
        all.push(found);
        arena.reset();
    }
    all
}

/// The other evaluator with all rules, and the ids of those that it refuses.
fn theirs(sources: &[Source]) -> (Engine, BTreeSet<String>) {
    let (mut engine, mut refused) = (Engine::new(), BTreeSet::new());
    for source in sources {
        for rule in &parse_sigma_yaml(&source.text).unwrap().rules {
            if let Err(error) = engine.add_rule(rule) {
                eprintln!("refused by the other: {}: {error}", source.name);
                refused.insert(rule.id.clone().unwrap_or_default());
            }
        }
    }
    (engine, refused)
}

/// Events made of what all rules name.
fn all_events(sources: &[Source]) -> Vec<Map<String, Value>> {
    let (mut dice, mut made) = (Dice(7), Vec::new());
    for source in sources {
        for document in serde_yaml_ng::Deserializer::from_str(&source.text) {
            let document: serde_yaml_ng::Value = serde::Deserialize::deserialize(document).unwrap();
            made.extend(events(&document, &mut dice));
        }
    }
    made.retain(|event| !event.keys().any(|key| OWN_NAMES.contains(&key.as_str())));
    made
}

#[test]
#[ignore = "takes minutes; its differences are yet to be gone through one by one"]
fn another_evaluator_finds_the_same() {
    let sources = sources();
    let options = Options {
        plain: true,
        ..Options::default()
    };
    let import = Import::new(&sources, &options);
    let (engine, refused) = theirs(&sources);
    let made = all_events(&sources);
    let rules = import.rules.into_iter().map(|one| one.rule);
    let rules: Vec<RuleDef> = rules.filter(|rule| !refused.contains(&rule.id)).collect();
    let titles = rules
        .iter()
        .map(|rule| (rule.id.clone(), rule.name.clone()));
    let titles: BTreeMap<String, String> = titles.collect();
    let pairs = rules.len() * made.len();
    let ours = ours(rules, &made);
    let (mut found, mut differences, mut let_pass) = (0, Vec::new(), BTreeMap::new());
    for (event, ours) in made.iter().zip(ours) {
        let mut sent = event.clone();
        sent.insert("level".to_owned(), json!("info"));
        sent.insert("message".to_owned(), json!("zzz"));
        let sent = Value::Object(sent);
        let theirs = engine.evaluate(&JsonEvent::borrow(&sent)).into_iter();
        let theirs: BTreeSet<String> = theirs.filter_map(|one| one.header.rule_id).collect();
        found += ours.len();
        for id in ours.symmetric_difference(&theirs) {
            let Some(title) = titles.get(id) else {
                continue;
            };
            let whose = if ours.contains(id) { "ours" } else { "theirs" };
            match explained(title) {
                Some(reason) => *let_pass.entry(reason).or_insert(0) += 1,
                None => differences.push(format!("{id} {title}: {whose} only: {sent}")),
            }
        }
    }
    let count = differences.len();
    eprintln!("{pairs} pairs of rule and event, {found} matches, {count} differences");
    for (reason, times) in let_pass {
        eprintln!("{times} explained: {reason}");
    }
    differences.truncate(40);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(found > 100);
}
