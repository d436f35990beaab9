//! What the gateway writes into the streams today is of a form that has a fixture: entries are read
//! for ever, so a new form needs one (`normalizer-worker/tests/fixtures/entries`).

use millrace_shared::Signal;
use millrace_shared::ids::ShardId;
use millrace_tests::wait::block_on;
use millrace_tests::{Org, shared, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

/// What tells one form of a description from another: signal, format, encoding, members.
type Form = (String, String, String, BTreeSet<String>);

fn form(signal: &str, meta: &Value) -> Form {
    let text = |name: &str| meta[name].as_str().unwrap().to_owned();
    let members = meta.as_object().unwrap().keys().cloned();
    (
        signal.to_owned(),
        text("ct"),
        text("enc"),
        members.collect(),
    )
}

/// The forms for which there are fixtures. What is written of a rejected event may be absent.
fn known() -> BTreeSet<Form> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../normalizer-worker/tests/fixtures/entries");
    let mut known = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let fixture: Value = serde_json::from_str(&text).unwrap();
        let entry = &fixture["entry"];
        let meta: Value = serde_json::from_str(entry["m"].as_str().unwrap()).unwrap();
        let full = form(entry["signal"].as_str().unwrap(), &meta);
        let mut clean = full.clone();
        clean.3.remove("r");
        clean.3.remove("x");
        known.extend([full, clean]);
    }
    known
}

/// The description of the organisation's entry in a signal's streams.
fn written(org: &Org, signal: Signal) -> Option<Value> {
    let mut redis = shared().installation.redis();
    for shard in 0..4 {
        let stream = ShardId { signal, shard }.stream();
        let mut command = redis::cmd("XREVRANGE");
        command.arg(stream).arg("+").arg("-").arg("COUNT").arg(200);
        let found: redis::streams::StreamRangeReply =
            block_on(command.query_async(&mut redis)).unwrap();
        for entry in found.ids {
            let meta: Value = serde_json::from_slice(&entry.get::<Vec<u8>>("m")?).ok()?;
            if meta["org"] == org.id.to_string() {
                return Some(meta);
            }
        }
    }
    None
}

fn event(signal: Signal) -> Value {
    let now = millrace_runtime::clock::now_ns();
    match signal {
        Signal::Logs => json!({"service": "s", "message": "m"}),
        Signal::Metrics => json!({"name": "m", "value": 1, "service": "s"}),
        Signal::Traces => {
            json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331",
                                 "name": "n", "start_time": now - 1000, "end_time": now})
        }
        Signal::Rum => {
            json!({"session_id": "s", "event_type": "pageview", "page_url": "https://s.example/"})
        }
        Signal::Audit => {
            json!({"event_type": "AUTHENTICATION", "action": "a", "outcome": "SUCCESS"})
        }
    }
}

fn packed(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut gzip =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(body).unwrap();
            gzip.finish().unwrap()
        }
        "zstd" => zstd::encode_all(body, 3).unwrap(),
        _ => body.to_vec(),
    }
}

#[test]
fn every_form_that_the_gateway_writes_has_a_fixture() {
    let known = known();
    for signal in Signal::ALL {
        for kind in ["application/json", "application/x-ndjson"] {
            if signal == Signal::Traces && kind != "application/json" {
                continue;
            }
            for encoding in ["identity", "gzip", "zstd"] {
                let org = Org::new("forms");
                // One good event and one without anything, which is rejected.
                let body = match kind {
                    "application/json" => json!({(signal.body_key()): [event(signal), {}],
                                                 "resource": {"service_name": "s"}})
                    .to_string(),
                    _ => format!("{}\n{{}}\n", event(signal)),
                };
                let headers = [
                    ("content-type", kind),
                    ("content-encoding", encoding),
                    ("user-agent", "agent/1"),
                ];
                let body = packed(encoding, body.as_bytes());
                // The entry is trimmed some seconds later: where nobody looked in time, another is sent.
                let meta = until("the entry", || {
                    let answer = org.post_bytes(signal, &body, &headers).must_be(202);
                    written(&org, signal).ok_or(answer.text())
                });
                let found = form(signal.as_str(), &meta);
                assert!(
                    known.contains(&found),
                    "{found:?} has no fixture: add it to normalizer-worker/tests/entries/written.rs and run it with BLESS=1"
                );
            }
        }
    }
}
