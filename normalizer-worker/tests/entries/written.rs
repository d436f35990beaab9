//! Entries as they are written today: by the gateway, by a replay, by the query API and the
//! operator's tool. The bodies never change.

use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::OrgId;
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::wire::BodyFormat;
use serde_json::{Value, json};
use std::io::Write as _;

/// Whose entries they are.
pub const ORG: OrgId = OrgId::from_u128(7);
/// When they were received.
pub const NOW: i64 = 1_790_000_000_123_456_789;

/// Who sent browser events.
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";

/// Events of a signal: the second breaks the contract, so the gateway had rejected it.
fn events(signal: Signal) -> [Value; 3] {
    let ms = NOW / 1_000_000;
    match signal {
        Signal::Logs => [
            json!({"timestamp": ms, "service": "api", "level": "error", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                   "message": "jane@example.com from 5.188.206.14 failed",
                   "attributes": {"n": 1, "f": 1.5, "b": true, "nested": {"a": ["x", 2]}, "none": null}}),
            json!({"service": "api"}),
            json!({"service": "api", "message": "card 4111 1111 1111 1111", "host": "h1", "environment": "prod"}),
        ],
        Signal::Metrics => [
            json!({"timestamp": ms, "name": "requests_total", "value": 3, "type": "counter", "service": "api",
                   "labels": {"code": "200", "user": "jane@example.com"}, "unit": "1"}),
            json!({"name": "requests_total", "service": "api"}),
            json!({"name": "depth", "value": 2.5, "service": "api", "labels": {"shard": 4}}),
        ],
        Signal::Traces => [
            json!({"trace_id": "4BF92F3577B34DA6A3CE929D0E0E4736", "span_id": "00f067aa0ba902b7", "name": "GET /x",
                   "kind": "server", "status": "ok", "start_time": ms, "end_time": ms + 250,
                   "attributes": {"http.status_code": 200},
                   "events": [{"name": "retry", "timestamp": ms + 1, "attributes": {"attempt": 2}}],
                   "links": [{"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}]}),
            json!({"trace_id": "no", "span_id": "no", "name": "x", "start_time": ms, "end_time": ms}),
            json!({"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "53995c3f42cd8ad8",
                   "parent_span_id": "00f067aa0ba902b7", "name": "SELECT", "start_time": ms, "end_time": ms + 3}),
        ],
        Signal::Rum => [
            json!({"timestamp": ms, "session_id": "s-1", "user_id": "jane@example.com", "event_type": "pageview",
                   "page_url": "https://shop.example.com/cart/12345?q=1", "referrer": "https://shop.example.com/",
                   "performance": {"fcp": 410, "lcp": 1220.5, "cls": 0.02}}),
            json!({"session_id": "s-1"}),
            json!({"session_id": "s-1", "event_type": "error", "page_url": "https://shop.example.com/cart",
                   "error": {"message": "x is undefined", "type": "TypeError", "stack": "at pay (app.js:10:15)"},
                   "custom_attributes": {"cart_size": 3}}),
        ],
        Signal::Audit => [
            json!({"timestamp": ms, "event_type": "USER_MANAGEMENT", "action": "delete", "outcome": "FAILURE",
                   "service": "Directory", "operation": "Delete user", "ip": "198.51.100.7", "country": "DE",
                   "actor": {"id": "u-1", "email": "admin@corp.example.com", "name": "Ada", "type": "user"},
                   "targets": [{"id": "u-2", "type": "user", "name": "Bob"}], "user_agent": "curl/8.5.0",
                   "session_id": "s-1", "request_id": "r-1", "message": "user deleted", "metadata": {"ticket": "T-1"}}),
            json!({"event_type": "USER_MANAGEMENT"}),
            json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "SUCCESS"}),
        ],
    }
}

fn body(signal: Signal, format: BodyFormat) -> Vec<u8> {
    let events = events(signal);
    match format {
        BodyFormat::Json => json!({
            (signal.body_key()): events,
            "resource": {"service_name": "shop", "host": "web-1", "region": "eu", "owner": "jane@example.com"},
        })
        .to_string(),
        BodyFormat::Ndjson => events.map(|event| event.to_string() + "\n").concat(),
    }
    .into_bytes()
}

fn packed(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Identity => body.to_vec(),
        Encoding::Lz4 => pack(body),
        Encoding::Gzip => {
            let mut gzip =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(body).unwrap();
            gzip.finish().unwrap()
        }
        Encoding::Zstd => zstd::encode_all(body, 3).unwrap(),
    }
}

/// The description of a body of which the second event was rejected.
fn meta(how: (BodyFormat, Encoding), body: &[u8]) -> Meta {
    let mut meta = Meta::new(ORG, "key-1", NOW, how);
    (meta.accepted, meta.rejected, meta.rejected_at) = (2, 1, vec![1]);
    meta.wire_bytes = u32::try_from(body.len()).unwrap();
    meta.request_id = "0198f3c1-0000-7000-8000-000000000001".to_owned();
    meta.ip = Some("203.0.113.9".parse().unwrap());
    meta
}

fn entry(signal: Signal, meta: &Meta, body: &[u8]) -> Value {
    json!({"signal": signal.as_str(), "id": "1790000000124-3", "m": meta.to_text(),
           "b": hex::encode(packed(meta.encoding(), body))})
}

/// One of every form, with a name.
pub fn entries() -> Vec<(String, Value)> {
    let mut entries = Vec::new();
    let encodings = [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Zstd,
        Encoding::Lz4,
    ];
    for signal in Signal::ALL {
        for format in [BodyFormat::Json, BodyFormat::Ndjson] {
            if signal == Signal::Traces && format == BodyFormat::Ndjson {
                continue;
            }
            let body = body(signal, format);
            for encoding in encodings {
                let mut meta = meta((format, encoding), &body);
                if signal == Signal::Rum {
                    meta.user_agent = Some(AGENT.to_owned());
                }
                let name = format!("{signal}-{format:?}-{}", encoding.as_str()).to_lowercase();
                entries.push((name, entry(signal, &meta, &body)));
            }
        }
    }
    entries.extend(others());
    entries
}

/// What not every entry has.
fn others() -> Vec<(String, Value)> {
    let how = (BodyFormat::Json, Encoding::Lz4);
    let rum = body(Signal::Rum, BodyFormat::Json);
    let mut public = meta(how, &rum);
    public.untrusted = true;
    public.user_agent = Some(AGENT.to_owned());
    let mut quiet = public.clone();
    (quiet.untrusted, quiet.user_agent) = (false, None);
    let logs = body(Signal::Logs, BodyFormat::Json);
    let mut clean = meta(how, &logs);
    // Nothing was rejected: the second event is one that cannot be read any more.
    (clean.accepted, clean.rejected, clean.rejected_at) = (3, 0, Vec::new());
    let replay = meta(how, &logs).again(41, None);
    let some = meta(how, &logs).again(42, Some(&[2]));
    let audit = body(Signal::Audit, BodyFormat::Json);
    let mut api = meta(how, &audit);
    (api.key, api.ip) = ("query-api".to_owned(), None);
    (api.accepted, api.rejected, api.rejected_at) = (3, 0, Vec::new());
    let mut tool = api.clone();
    (tool.key, tool.request_id) = ("millrace-admin".to_owned(), String::new());
    [
        ("rum-public", Signal::Rum, public, &rum),
        ("rum-no-user-agent", Signal::Rum, quiet, &rum),
        ("logs-nothing-rejected", Signal::Logs, clean, &logs),
        ("logs-replay", Signal::Logs, replay, &logs),
        ("logs-replay-of-some", Signal::Logs, some, &logs),
        ("audit-query-api", Signal::Audit, api, &audit),
        ("audit-admin", Signal::Audit, tool, &audit),
    ]
    .into_iter()
    .map(|(name, signal, meta, body)| (name.to_owned(), entry(signal, &meta, body)))
    .collect()
}
