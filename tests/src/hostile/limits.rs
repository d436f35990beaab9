//! One more than each limit allows, and each limit itself, which is allowed.

use super::case::{Area, Case, Due, refuse};
use super::request::{Request, chunked, envelope, small};
use super::sender::Sender;
use flate2::Compression;
use flate2::write::GzEncoder;
use millrace_shared::Signal;
use serde_json::{Map, Value, json};
use std::io::Write as _;

const AREA: Area = Area::Limits;

const TOO_LARGE: (u16, &[&str]) = (413, &["too_large"]);
const TOO_MANY: (u16, &[&str]) = (413, &["too_many_events"]);
const NO_EVENT: (u16, &[&str]) = (400, &["no_valid_event"]);
/// Bytes of a body on the wire, unless configured otherwise.
const WIRE: usize = 1024 * 1024;

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    [
        sizes(sender),
        counts(sender),
        inside(sender),
        allowed(sender),
    ]
    .concat()
}

fn sizes(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for signal in Signal::ALL {
        let small = small(sender, signal, "too large");
        let fill = |length: usize| [small.as_slice(), &vec![b' '; length - small.len()]].concat();
        for length in [WIRE + 1, 2 * WIRE, 9 * WIRE] {
            let request = Request::signed(sender, signal, fill(length));
            let name = format!("/v1/{signal}: a body of {length} bytes");
            refuse(&mut cases, AREA, name, &request, TOO_LARGE);
            let claims = request.carrying("");
            let name = format!("/v1/{signal}: a body said to be of {length} bytes");
            refuse(&mut cases, AREA, name, &claims, TOO_LARGE);
        }
        let body = fill(WIRE + 1);
        let request = Request::signed(sender, signal, body.clone())
            .without("content-length")
            .and("transfer-encoding", "chunked");
        for size in [1_000, 65_536] {
            let request = request.clone().carrying(chunked(&body, size));
            let name = format!("/v1/{signal}: a byte too many, in chunks of {size}");
            refuse(&mut cases, AREA, name, &request, TOO_LARGE);
        }
        for length in [u64::from(u32::MAX), 1 << 40, u64::MAX / 2] {
            let huge =
                Request::signed(sender, signal, "").with("content-length", length.to_string());
            let name = format!("/v1/{signal}: a body said to be of {length} bytes");
            let due = Due::refused(&[400, 413], &["too_large", "bad_header"]);
            cases.push(Case::new(Area::Limits, name, huge.wire(), due));
        }
    }
    cases
}

/// The smallest good event of a signal.
fn event(sender: &Sender, signal: Signal) -> String {
    let body = String::from_utf8(small(sender, signal, "m")).expect("UTF-8");
    let from = body.find('[').expect("an array") + 1;
    let to = body.find("}]").expect("its end") + 1;
    body[from..to].to_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn counts(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for (signal, most) in [
        (Signal::Logs, 1_000),
        (Signal::Metrics, 5_000),
        (Signal::Traces, 500),
        (Signal::Rum, 1_000),
        (Signal::Audit, 1_000),
    ] {
        let event = event(sender, signal);
        for count in [most + 1, most * 2] {
            let body = envelope(signal, &vec![event.as_str(); count].join(","));
            let mut request = Request::signed(sender, signal, body.clone());
            if body.len() > WIRE {
                let packed = gzip(&body);
                request = Request::signed(sender, signal, packed).and("content-encoding", "gzip");
            }
            let name = format!("{count} events of {signal}");
            refuse(&mut cases, AREA, name, &request, TOO_MANY);
            let lines = format!("{event}\n").repeat(count).into_bytes();
            let request = Request::signed(sender, signal, gzip(&lines))
                .and("content-encoding", "gzip")
                .with("content-type", "application/x-ndjson");
            let name = format!("{count} events of {signal}, in lines");
            refuse(&mut cases, AREA, name, &request, TOO_MANY);
        }
        // Bad events count as well.
        let body = envelope(signal, &vec!["1"; most + 1].join(","));
        let request = Request::signed(sender, signal, body);
        let name = format!("{} numbers for events of {signal}", most + 1);
        refuse(&mut cases, AREA, name, &request, TOO_MANY);
    }
    cases
}

/// `{"k0":0,…}` of so many members.
fn many(count: usize) -> Value {
    let members = (0..count).map(|number| (format!("k{number}"), json!(number.to_string())));
    Value::Object(members.collect::<Map<_, _>>())
}

/// Objects within objects, so many levels.
fn deep(levels: usize) -> Value {
    (0..levels).fold(json!("leaf"), |inner, _| json!({ "k": inner }))
}

/// Arrays within arrays, so many levels.
fn deep_array(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

/// An event of which one thing is too many, too deep or too long, and the code that says so.
type Over = (Signal, &'static str, Value, &'static str);

/// A byte more than a string may have.
fn long() -> String {
    "x".repeat(65_537)
}

fn over(sender: &Sender) -> Vec<Over> {
    [logs_over(), spans_over(sender), others_over()].concat()
}

fn logs_over() -> Vec<Over> {
    let log = |attributes: Value| json!({"service": "s", "message": "m", "attributes": attributes});
    let long = long();
    vec![
        (Signal::Logs, "257 attributes", log(many(257)), "too_many"),
        (
            Signal::Logs,
            "5000 attributes",
            log(many(5_000)),
            "too_many",
        ),
        (
            Signal::Logs,
            "257 attributes, nested",
            log(json!({"a": many(128), "b": many(129)})),
            "too_many",
        ),
        (Signal::Logs, "33 levels", log(deep(33)), "too_deep"),
        (Signal::Logs, "60 levels", log(deep(60)), "too_deep"),
        (
            Signal::Logs,
            "33 levels of arrays",
            log(json!({"a": deep_array(33)})),
            "too_deep",
        ),
        (
            Signal::Logs,
            "an attribute of 65537 bytes",
            log(json!({"a": long})),
            "too_long",
        ),
        (
            Signal::Logs,
            "an array of 65537 bytes",
            log(json!({"a": [long]})),
            "too_long",
        ),
        (
            Signal::Logs,
            "a key of 257 bytes",
            log(json!({"k".repeat(257): 1})),
            "key_too_long",
        ),
        (
            Signal::Logs,
            "a key of 257 bytes, dots included",
            log(json!({"k".repeat(128): {"l".repeat(128): 1}})),
            "key_too_long",
        ),
        (
            Signal::Logs,
            "a message of 65537 bytes",
            json!({"service": "s", "message": long}),
            "too_long",
        ),
    ]
}

fn spans_over(sender: &Sender) -> Vec<Over> {
    let now = sender.now_s;
    let span = |name: &str, value: Value| {
        let mut span = json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "name": "n",
            "start_time": now, "end_time": now});
        span[name] = value;
        span
    };
    let link =
        json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"});
    vec![
        (
            Signal::Traces,
            "129 events",
            span("events", json!(vec![json!({"name": "e"}); 129])),
            "too_many",
        ),
        (
            Signal::Traces,
            "129 links",
            span("links", json!(vec![link; 129])),
            "too_many",
        ),
        (
            Signal::Traces,
            "257 attributes",
            span("attributes", many(257)),
            "too_many",
        ),
        (
            Signal::Traces,
            "33 levels",
            span("attributes", deep(33)),
            "too_deep",
        ),
        (
            Signal::Traces,
            "an event of 33 levels",
            span("events", json!([{"name": "e", "attributes": deep(33)}])),
            "too_deep",
        ),
    ]
}

fn others_over() -> Vec<Over> {
    let audit = |name: &str, value: Value| {
        let mut event =
            json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "SUCCESS"});
        event[name] = value;
        event
    };
    let rum = |attributes: Value| json!({"session_id": "s", "event_type": "click", "page_url": "https://a/", "custom_attributes": attributes});
    let long = long();
    vec![
        (
            Signal::Metrics,
            "257 labels",
            json!({"name": "n", "value": 1, "labels": many(257)}),
            "too_many",
        ),
        (
            Signal::Metrics,
            "a label of 65537 bytes",
            json!({"name": "n", "value": 1, "labels": {"l": long}}),
            "too_long",
        ),
        (
            Signal::Metrics,
            "a label's name of 257 bytes",
            json!({"name": "n", "value": 1, "labels": {"l".repeat(257): "x"}}),
            "key_too_long",
        ),
        (Signal::Rum, "257 attributes", rum(many(257)), "too_many"),
        (Signal::Rum, "33 levels", rum(deep(33)), "too_deep"),
        (
            Signal::Audit,
            "65 targets",
            audit("targets", json!(vec![json!({"id": "t"}); 65])),
            "too_many",
        ),
        (
            Signal::Audit,
            "257 metadata",
            audit("metadata", many(257)),
            "too_many",
        ),
        (
            Signal::Audit,
            "33 levels",
            audit("metadata", deep(33)),
            "too_deep",
        ),
    ]
}

fn inside(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for (signal, what, event, code) in over(sender) {
        let event = event.to_string();
        let alone = Request::signed(sender, signal, envelope(signal, &event));
        let line =
            Request::signed(sender, signal, event).with("content-type", "application/x-ndjson");
        for (how, request) in [("", alone), (", in a line", line)] {
            let name = format!("{signal}: {what}{how}");
            let mut case = Case::refused(Area::Limits, name, &request, NO_EVENT);
            case.due[0].event = Some(code);
            cases.push(case);
        }
    }
    for (what, resource) in [
        ("257 attributes", many(257)),
        ("33 levels", deep(33)),
        ("a key of 257 bytes", json!({"k".repeat(257): 1})),
    ] {
        let body = json!({"logs": [{"service": "s", "message": "m"}], "resource": resource});
        let request = Request::signed(sender, Signal::Logs, body.to_string());
        let name = format!("a resource of {what}");
        refuse(&mut cases, AREA, name, &request, (400, &["wrong_shape"]));
    }
    cases
}

/// What each limit just allows.
fn allowed(sender: &Sender) -> Vec<Case> {
    let log = |attributes: Value| json!({"logs": [{"service": "s", "message": "m", "attributes": attributes}]});
    let body = small(sender, Signal::Logs, "as large as can be");
    let exact = [body.as_slice(), &vec![b' '; WIRE - body.len()]].concat();
    let mut cases = Vec::new();
    for (what, body) in [
        ("256 attributes", log(many(256)).to_string().into_bytes()),
        ("32 levels", log(deep(31)).to_string().into_bytes()),
        (
            "a key of 256 bytes",
            log(json!({"k".repeat(256): 1})).to_string().into_bytes(),
        ),
        ("a body of 1 MiB", exact),
        (
            "a message of 65536 bytes",
            small(sender, Signal::Logs, &"x".repeat(65_536)),
        ),
        (
            "a thousand events",
            envelope(
                Signal::Logs,
                &vec![event(sender, Signal::Logs).as_str(); 1_000].join(","),
            ),
        ),
    ] {
        let request = Request::signed(sender, Signal::Logs, body);
        let name = format!("{what}, which is allowed");
        cases.push(Case::new(
            Area::Limits,
            name,
            request.wire(),
            Due::accepted(),
        ));
    }
    cases
}
