//! Entries that were ever written to a stream, kept for ever: each is read by today's code, and
//! becomes the rows that stand beside it.
//!
//! A fixture is one file of `tests/fixtures/entries`: the entry as it stood in the stream, and what
//! it becomes. The entry never changes. When today's form of an entry has no fixture, the test
//! fails, and `BLESS=1` writes one under a new name; what entries become may change with the
//! pipeline, and `BLESS=1` writes that anew, to be read in the diff.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test says what is wrong by failing"
)]

mod rowbinary;
mod written;

use millrace_shared::ids::{LedgerId, OrgId, ShardId, StreamId};
use millrace_shared::{Signal, rows};
use normalizer_worker::control::{Control, Fixed, Kept};
use normalizer_worker::control_rows::{ControlRows, IndicatorRow, OrganisationRow, RuleRow};
use normalizer_worker::pipeline::{Task, transform};
use normalizer_worker::work::{Output, RawEntry};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use written::{NOW, ORG};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/entries")
}

fn blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Rules, indicators and policies under which the fixtures are read; they do not change either.
fn control() -> Control {
    let rule = json!({"id": "failures", "name": "Failures", "version": 1, "severity": "high",
        "message": "{service} fails", "scope": ["logs", "audit"],
        "selection": {"any": [{"field": "level", "op": "eq", "value": "error"},
                              {"field": "outcome", "op": "eq", "value": "FAILURE"}]}});
    let rows = ControlRows {
        revision: 1,
        organisations: vec![OrganisationRow {
            org: ORG,
            pepper: [9; 32],
            pepper_version: 1,
            pii_policy: json!({}),
            settings: json!({}),
        }],
        rules: vec![RuleRow {
            org: ORG,
            id: "failures".to_owned(),
            version: 1,
            body: rule,
        }],
        indicators: vec![IndicatorRow {
            id: 7,
            org: None,
            feed_id: 3,
            feed: "feed".into(),
            trust: 100,
            kind: "ipv4".to_owned(),
            value: "5.188.206.14".to_owned(),
            confidence: 90,
            severity: "high".to_owned(),
            threat: "Scanner".to_owned(),
            tags: Vec::new(),
            match_private: false,
            first_seen: None,
            last_seen: Some(NOW),
            expires_at: None,
        }],
        allow_lists: Vec::new(),
        pipelines: Vec::new(),
    };
    let (control, unusable) = Control::build(&rows, Kept::default(), &Fixed::default());
    assert_eq!(unusable, []);
    control
}

/// What an entry becomes, as people can read it.
fn made(entry: &Value) -> Value {
    let signal = Signal::from_name(entry["signal"].as_str().unwrap()).unwrap();
    let raw = RawEntry {
        id: entry["id"].as_str().unwrap().parse::<StreamId>().unwrap(),
        meta: entry["m"].as_str().unwrap().to_owned().into(),
        body: hex::decode(entry["b"].as_str().unwrap()).unwrap().into(),
    };
    let control = control();
    let task = Task {
        shard: ShardId { signal, shard: 1 },
        ledger: LedgerId::new(1, 5),
        attempt: 0,
        control: &control,
        aside: &[],
    };
    shown(&transform(&task, &[raw]))
}

fn shown(output: &Output) -> Value {
    let tables = rows::tables();
    let columns = |table: &str| &tables.iter().find(|(name, _)| *name == table).unwrap().1;
    let rows: Map<String, Value> = output
        .targets
        .iter()
        .map(|target| {
            let name = target.table.as_str();
            (
                name.to_owned(),
                rowbinary::rows(columns(name), &target.body),
            )
        })
        .collect();
    let sample = |sample: &normalizer_worker::work::Sample| {
        let series = &output.series[sample.series as usize];
        json!({"name": series.name, "labels": series.labels, "service": series.service, "host": series.host,
               "kind": series.kind, "unit": series.unit, "fingerprint": hex::encode(series.fingerprint),
               "time": sample.time, "value": sample.value})
    };
    let usage = |usage: &Option<normalizer_worker::work::EntryUsage>| {
        let usage = usage.unwrap();
        json!({"events": usage.events, "stored": usage.stored, "rejected": usage.rejected,
               "dead_lettered": usage.dead_lettered, "bytes": usage.bytes, "replay_of": usage.replay_of})
    };
    let poison: Vec<Value> = output
        .poison
        .iter()
        .map(|poison| json!({"reason": poison.reason.as_str(), "events_at": poison.events_at}))
        .collect();
    let alerts: Vec<&str> = output
        .alerts
        .iter()
        .map(|alert| alert.message.as_str())
        .collect();
    json!({"rows": rows, "samples": output.samples.iter().map(sample).collect::<Vec<_>>(),
           "usage": output.usage.iter().map(usage).collect::<Vec<_>>(), "poison": poison, "alerts": alerts})
}

fn fixtures() -> Vec<(PathBuf, Value)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path, serde_json::from_str(&text).unwrap())
    };
    files.into_iter().map(read).collect()
}

fn write(path: &PathBuf, fixture: &Value) {
    let text = serde_json::to_string_pretty(fixture).unwrap();
    std::fs::write(path, text + "\n").unwrap();
}

/// Whether a fixture is of an entry: the same description, and a body packed in the same way.
fn is_of(fixture: &Value, entry: &Value) -> bool {
    fixture["entry"]["m"] == entry["m"] && fixture["entry"]["signal"] == entry["signal"]
}

#[test]
fn every_entry_ever_written_becomes_its_rows() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 25, "{}", fixtures.len());
    for (path, mut fixture) in fixtures {
        let now = made(&fixture["entry"]);
        if blessing() {
            fixture["becomes"] = now;
            write(&path, &fixture);
            continue;
        }
        assert_eq!(fixture["becomes"], now, "{}", path.display());
    }
}

#[test]
fn what_is_written_today_is_among_the_fixtures() {
    let fixtures = fixtures();
    for (name, entry) in written::entries() {
        if fixtures.iter().any(|(_, fixture)| is_of(fixture, &entry)) {
            continue;
        }
        assert!(
            blessing(),
            "{name}: entries have another form now. Keep the old fixtures and add new ones with BLESS=1: {entry}"
        );
        let seal = millrace_shared::signature::digest(entry["m"].as_str().unwrap().as_bytes());
        let path = folder().join(format!("{name}-{}.json", hex::encode(&seal[..4])));
        write(&path, &json!({"entry": entry, "becomes": made(&entry)}));
    }
}

#[test]
fn a_fixture_of_every_signal_form_and_encoding_is_there() {
    let fixtures = fixtures();
    for signal in Signal::ALL {
        for format in ["json", "ndjson"] {
            for encoding in ["identity", "gzip", "zstd", "lz4"] {
                let of_it = fixtures.iter().any(|(_, fixture)| {
                    let meta: Value =
                        serde_json::from_str(fixture["entry"]["m"].as_str().unwrap()).unwrap();
                    fixture["entry"]["signal"] == signal.as_str()
                        && meta["ct"] == format
                        && meta["enc"] == encoding
                });
                // A line of NDJSON has no resource, which spans need.
                let possible = !(signal == Signal::Traces && format == "ndjson");
                assert_eq!(of_it, possible, "{signal} {format} {encoding}");
            }
        }
    }
    assert_ne!(ORG, OrgId::nil());
}
