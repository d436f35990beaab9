//! Bodies of every signal, as JSON and as NDJSON: what the gateway accepts the worker decodes, event
//! for event, and makes rows of.

use bumpalo::Bump;
use bytes::Bytes;
use ingest_gateway::dry::{DryRun, Request};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{LedgerId, ShardId, StreamId};
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::limits::{DEPTH_MAX, FIELD_BYTES_MAX, KEY_BYTES_MAX, events_max};
use millrace_shared::secret::Secret;
use millrace_shared::signature::sign_body;
use millrace_shared::wire::{Body, BodyFormat, Counts, Validity};
use millrace_shared::{Event, Value};
use normalizer_worker::control::{Control, Fixed, Kept};
use normalizer_worker::control_rows::{ControlRows, IndicatorRow, OrganisationRow, RuleRow};
use normalizer_worker::pipeline::{Task, transform};
use normalizer_worker::work::{Output, RawEntry};
use serde_json::json;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// When the bodies are received: seeds have times around it.
pub const NOW: i64 = 1_790_000_000_000_000_000;
/// Whose they are.
pub const ORG: Uuid = Uuid::from_u128(0xf022);

static SECRET: LazyLock<Secret> = LazyLock::new(|| {
    Secret::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("a secret")
});
static GATEWAY: LazyLock<DryRun> = LazyLock::new(|| DryRun::new(&SECRET));
static CONTROL: LazyLock<Control> = LazyLock::new(control);

/// Log records.
pub fn logs(data: &[u8]) {
    both(Signal::Logs, data);
}

/// Metric samples.
pub fn metrics(data: &[u8]) {
    both(Signal::Metrics, data);
}

/// Spans.
pub fn traces(data: &[u8]) {
    both(Signal::Traces, data);
}

/// Browser events.
pub fn rum(data: &[u8]) {
    both(Signal::Rum, data);
}

/// Audit events.
pub fn audit(data: &[u8]) {
    both(Signal::Audit, data);
}

fn both(signal: Signal, data: &[u8]) {
    for format in [BodyFormat::Json, BodyFormat::Ndjson] {
        body(signal, format, data);
    }
}

fn body(signal: Signal, format: BodyFormat, data: &[u8]) {
    let validity = Validity::at(signal, NOW);
    let arena = Bump::new();
    let mut rejected = Vec::new();
    let read = Body {
        signal,
        format,
        validity,
        bytes: data,
    }
    .read(&arena, |_, found| match found {
        Ok(event) => within_limits(event),
        Err((index, reject)) => {
            assert!(!reject.reason().is_empty());
            rejected.push(index);
        }
    });
    let request = Request {
        signal,
        format,
        encoding: Encoding::Identity,
        signature: &sign_body(&SECRET, data),
    };
    let packed = GATEWAY.run(&request, Bytes::copy_from_slice(data), NOW);
    let Ok(counts) = read else {
        assert!(packed.is_err(), "the gateway takes what cannot be read");
        return;
    };
    assert_eq!(counts.rejected as usize, rejected.len());
    let all = counts.accepted as usize + rejected.len();
    assert!((1..=events_max(signal)).contains(&all));
    assert!(rejected.is_sorted(), "rejected out of order");
    match packed {
        Ok(packed) => assert_eq!(
            (packed.accepted, packed.rejected),
            (counts.accepted, counts.rejected)
        ),
        Err(_) => {
            assert_eq!(counts.accepted, 0, "the gateway refuses what can be read");
            return;
        }
    }
    decodes(signal, format, data, (counts, rejected));
}

fn within_limits(event: &Event<'_>) {
    for field in &event.fields {
        assert!(field.name.len() <= KEY_BYTES_MAX);
        match field.value {
            Value::Text(text) | Value::Json(text) => assert!(text.len() <= FIELD_BYTES_MAX),
            Value::Float(float) => assert!(float.is_finite()),
            Value::Int(_) | Value::Bool(_) | Value::Null => {}
        }
        assert!(field.name.matches('.').count() <= KEY_BYTES_MAX.max(DEPTH_MAX));
    }
}

/// What was accepted becomes rows: nothing of it is poison, nothing gets lost.
fn decodes(
    signal: Signal,
    format: BodyFormat,
    data: &[u8],
    (counts, rejected): (Counts, Vec<u16>),
) {
    let mut meta = Meta::new(ORG, "fuzz", NOW, (format, Encoding::Lz4));
    (meta.accepted, meta.rejected) = (counts.accepted, counts.rejected);
    meta.rejected_at = rejected;
    let output = through_the_worker(signal, meta.to_text().into_bytes(), pack(data));
    assert!(output.poison.is_empty(), "{:?}", output.poison);
    let usage = output
        .usage
        .first()
        .copied()
        .flatten()
        .expect("an entry of ours");
    assert_eq!(
        usage.stored, counts.accepted,
        "an accepted event is not stored"
    );
    assert_eq!(usage.rejected, counts.rejected);
    let rows: u32 = output.targets.iter().map(|target| target.rows).sum();
    if signal == Signal::Metrics {
        assert_eq!(output.samples.len(), counts.accepted as usize);
        let known = output.series.len();
        assert!(
            output
                .samples
                .iter()
                .all(|sample| (sample.series as usize) < known)
        );
    } else {
        assert_eq!(rows, counts.accepted);
    }
}

/// What the worker makes of one entry.
pub fn through_the_worker(signal: Signal, meta: Vec<u8>, body: Vec<u8>) -> Output {
    let entry = RawEntry {
        id: StreamId {
            ms: 1_790_000_000_000,
            seq: 0,
        },
        meta: meta.into(),
        body: body.into(),
    };
    let task = Task {
        shard: ShardId { signal, shard: 0 },
        ledger: LedgerId::new(0, 1),
        attempt: 0,
        control: &CONTROL,
        aside: &[],
    };
    transform(&task, &[entry])
}

/// A few rules and indicators of every kind, so that detection has something to find.
fn control() -> Control {
    let rule = |number: usize, selection: serde_json::Value| RuleRow {
        org: ORG,
        id: format!("rule-{number}"),
        version: 1,
        body: json!({"id": format!("rule-{number}"), "name": "fuzz", "version": 1, "severity": "high", "enabled": true,
            "message": "{service}: {message} {actor.email}", "scope": ["logs", "audit", "rum", "traces", "metrics"],
            "selection": selection}),
    };
    let indicator = |id: u64, kind: &str, value: &str| IndicatorRow {
        id,
        org: None,
        feed_id: 3,
        feed: Arc::from("fuzz"),
        trust: 80,
        kind: kind.to_owned(),
        value: value.to_owned(),
        confidence: 80,
        severity: "high".to_owned(),
        threat: "Fuzz".to_owned(),
        tags: Vec::new(),
        match_private: true,
        first_seen: None,
        last_seen: None,
        expires_at: None,
    };
    let rows = ControlRows {
        revision: 1,
        organisations: vec![OrganisationRow {
            org: ORG,
            pepper: [7; 32],
            pepper_version: 1,
            pii_policy: json!({}),
            settings: json!({}),
        }],
        rules: vec![
            rule(
                0,
                json!({"all": [{"field": "message", "op": "contains", "value": "e"}]}),
            ),
            rule(
                1,
                json!({"all": [{"field": "outcome", "op": "eq", "value": "FAILURE"}]}),
            ),
            rule(
                2,
                json!({"all": [{"field": "message", "op": "regex", "value": "[a-z]+@[a-z]+"}]}),
            ),
        ],
        indicators: vec![
            indicator(1, "ipv4", "203.0.113.9"),
            indicator(2, "domain", "evil.example"),
            indicator(3, "url", "http://evil.example/payload"),
            indicator(4, "email", "ada@evil.example"),
        ],
        allow_lists: Vec::new(),
        pipelines: Vec::new(),
    };
    Control::build(&rows, Kept::default(), &Fixed::default()).0
}
