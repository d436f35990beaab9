//! The rules that SigmaHQ publishes, where a copy of them lies beside the working tree: all are
//! taken in or refused with a reason, and their regression cases match as they say. Without the
//! copy the tests say so and do nothing; the rules are not part of this project, and their licence
//! is their own.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the place of the samples is a matter of the machine, and a test may give up"
)]

use bumpalo::Bump;
use millrace_detection::rules::BusinessHours;
use millrace_detection::rules::trial::{dry_run, read};
use millrace_detection::sigma::{Import, Imported, Options, Source};
use millrace_detection::{EventView, OrgSettings, RuleDef, RuleSet, Scratch, Verdict};
use millrace_shared::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directories of live rules.
const LIVE: [&str; 3] = ["rules", "rules-emerging-threats", "rules-threat-hunting"];
/// Of the live rules so many in a thousand must be taken in.
const TAKEN_IN_MIN: usize = 990;

const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [0; 32],
    hours: BusinessHours::UTC_OFFICE,
};

/// The copy of the rules, if it is there.
fn corpus() -> Option<PathBuf> {
    let near = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let further = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let named = std::env::var("MILLRACE_SAMPLES_DIR").map(PathBuf::from);
    let roots = named.into_iter().chain([near, further]);
    let corpus = roots
        .map(|root| root.join("sigma"))
        .find(|path| path.join("rules").is_dir());
    if corpus.is_none() {
        eprintln!("skipped: no published Sigma rules; name their folder in MILLRACE_SAMPLES_DIR");
    }
    corpus
}

fn files(directory: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, extension, into);
        } else if path.extension().is_some_and(|own| own == extension) {
            into.push(path);
        }
    }
}

fn sources(corpus: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    for directory in LIVE {
        files(&corpus.join(directory), "yml", &mut paths);
    }
    let source = |path: PathBuf| Source {
        text: std::fs::read_to_string(&path).unwrap(),
        name: path.strip_prefix(corpus).unwrap().display().to_string(),
    };
    paths.into_iter().map(source).collect()
}

#[test]
fn live_rules_are_taken_in_or_refused_with_a_reason() {
    let Some(corpus) = corpus() else { return };
    let sources = sources(&corpus);
    let import = Import::new(&sources, &Options::default());
    let (taken, refused) = (import.rules.len(), import.refused.len());
    eprintln!(
        "{} files: {taken} rules taken in, {refused} refused",
        sources.len()
    );
    for refused in &import.refused {
        eprintln!("  {}: {}", refused.file, refused.problem);
    }
    for rule in &import.rules {
        for warning in &rule.warnings {
            eprintln!("  warning, {}: {warning}", rule.file);
        }
    }
    assert!(taken * 1000 >= (taken + refused) * TAKEN_IN_MIN);
    let unbound = |problem: &str| problem.contains("placeholder") && problem.contains("not bound");
    for refused in &import.refused {
        assert!(
            unbound(&refused.problem.what),
            "{}: {}",
            refused.file,
            refused.problem
        );
    }
    // Bound, these are taken in too.
    let placeholders = [
        "Administrators",
        "Servers",
        "Workstations",
        "DomainControllers",
        "JumpServers",
    ];
    let bound = placeholders.map(|name| (name.to_owned(), vec![format!("{name}-*")]));
    let mut options = Options {
        placeholders: BTreeMap::from(bound),
        ..Options::default()
    };
    for refused in &import.refused {
        let name = refused.problem.what.split('%').nth(1).unwrap();
        options
            .placeholders
            .insert(name.to_owned(), vec!["value".to_owned()]);
    }
    let import = Import::new(&sources, &options);
    assert_eq!(import.refused, []);
    assert_eq!(import.rules.len(), taken + refused);
}

/// The events of a file: one document or several, one after the other.
fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let documents = serde_json::Deserializer::from_str(&text).into_iter();
    documents.map(Result::unwrap).collect()
}

/// How many of the rules match one of the events or several. (Cases count rules: one with six
/// events, three of which its rule names outright, says one.)
fn matching(rules: &[&Imported], events: &[Value]) -> usize {
    let sent: Vec<Value> = events
        .iter()
        .map(|event| json!({"level": "info", "message": "", "attributes": event}))
        .collect();
    let run = |rule: &&Imported| dry_run(&rule.rule, SETTINGS, Signal::Logs, &sent, 0).unwrap();
    let matching = rules.iter().filter(|rule| !run(rule).matched.is_empty());
    matching.count()
}

#[test]
fn regression_cases_match_as_they_say() {
    let Some(corpus) = corpus() else { return };
    let import = Import::new(&sources(&corpus), &Options::default());
    let mut cases = Vec::new();
    files(&corpus.join("regression_data"), "yml", &mut cases);
    let (mut matched, mut without, mut wrong) = (0, 0, Vec::new());
    for case in cases {
        let text = std::fs::read_to_string(&case).unwrap();
        let info: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
        let rules = info["rule_metadata"].as_sequence().unwrap();
        let ids: Vec<&str> = rules
            .iter()
            .filter_map(|rule| rule["id"].as_str())
            .collect();
        let rules: Vec<&Imported> = import
            .rules
            .iter()
            .filter(|rule| ids.contains(&rule.rule.id.as_str()))
            .collect();
        assert_eq!(
            rules.len(),
            ids.len(),
            "{}: a rule is missing",
            case.display()
        );
        let Some(tests) = info["regression_tests_info"].as_sequence() else {
            without += 1;
            continue;
        };
        for test in tests {
            let named = corpus
                .join(test["path"].as_str().unwrap())
                .with_extension("json");
            let found = matching(&rules, &events(&named));
            let wanted = test["match_count"].as_u64();
            let is_right = wanted.map_or(found > 0, |wanted| found as u64 == wanted);
            if is_right {
                matched += 1;
            } else {
                wrong.push(format!("{}: {found} of {wanted:?}", case.display()));
            }
        }
    }
    eprintln!("{matched} regression cases match, {without} have no events");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(matched >= 100);
}

/// All rules together, each tried where the index says so, match what they match when each is tried
/// on every event.
#[test]
fn the_index_loses_no_match_of_the_regression_events() {
    let Some(corpus) = corpus() else { return };
    let import = Import::new(&sources(&corpus), &Options::default());
    let rules: Vec<Arc<RuleDef>> = import
        .rules
        .into_iter()
        .map(|one| Arc::new(one.rule))
        .collect();
    let compiled = || {
        let (set, errors) = RuleSet::compile(rules.iter().cloned(), SETTINGS);
        assert!(errors.is_empty(), "{errors:?}");
        set
    };
    let (set, exhaustive) = (compiled(), compiled().exhaustive());
    let mut paths = Vec::new();
    files(&corpus.join("regression_data"), "json", &mut paths);
    let sent: Vec<Value> = paths
        .iter()
        .flat_map(|path| events(path))
        .map(|event| json!({"level": "info", "message": "", "attributes": event}))
        .collect();
    let (mut scratch, mut compared, mut matched) = (Scratch::default(), 0, 0);
    read(Signal::Logs, &sent, &Bump::new(), |resource, event| {
        let view = EventView {
            event,
            resource,
            timestamp_ns: 0,
            received_ns: 0,
            verdict: Verdict::NONE,
        };
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        set.evaluate(&view, &mut scratch, &mut found);
        exhaustive.evaluate(&view, &mut scratch, &mut expected);
        assert_eq!(found, expected);
        compared += 1;
        matched += found.len();
    })
    .unwrap();
    eprintln!(
        "{compared} events, {matched} matches of {} rules",
        rules.len()
    );
    assert!(compared >= 100 && matched >= compared);
}
