//! Text that is no JSON, after the categories of the public parsing suites (JSONTestSuite's `n_` and
//! `i_` cases, made anew): as the whole body, inside an event, as a line of NDJSON, in the resource.

use super::case::{Area, Case, Due, refuse};
use super::request::{Request, small};
use super::sender::Sender;
use super::texts::{BROKEN, ODD_BUT_JSON};
use millrace_shared::Signal;

const AREA: Area = Area::Json;

/// What is wrong in JSON: it cannot be told whether the text or the shape is at fault first.
const NOT_JSON: (u16, &[&str]) = (400, &["not_json", "wrong_shape"]);
/// What is wrong in a line of NDJSON is that event's fault.
const NO_EVENT: (u16, &[&str]) = (400, &["no_valid_event"]);

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    [
        everywhere(sender),
        not_utf8(sender),
        other_encodings(sender),
        wrong_envelopes(sender),
        nesting(sender),
        duplicates(sender),
        duplicates_elsewhere(sender),
        surrogates(sender),
        numbers(sender),
        lines(sender),
        misnamed_formats(sender),
        odd_but_json(sender),
    ]
    .concat()
}

fn json(sender: &Sender, body: impl Into<Vec<u8>>) -> Request {
    Request::signed(sender, Signal::Logs, body)
}

fn ndjson(sender: &Sender, body: impl Into<Vec<u8>>) -> Request {
    json(sender, body).with("content-type", "application/x-ndjson")
}

/// A good event up to the value of an attribute, and from there on.
const BEFORE: &str = r#"{"service":"hostile","message":"json","attributes":{"a":"#;

fn around(text: &[u8], before: &str, after: &str) -> Vec<u8> {
    [
        before.as_bytes(),
        BEFORE.as_bytes(),
        text,
        b"}}",
        after.as_bytes(),
    ]
    .concat()
}

fn everywhere(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for text in BROKEN.iter().copied() {
        let shown = String::from_utf8_lossy(text).into_owned();
        let mut add = |place: &str, request: Request, due| {
            let name = format!("{shown:?} {place}");
            refuse(&mut cases, AREA, name, &request, due);
        };
        add("as the body", json(sender, text), NOT_JSON);
        let inside = around(text, "{\"logs\":[", "]}");
        add("as an attribute", json(sender, inside), NOT_JSON);
        let resource = [
            small(sender, Signal::Logs, "resource"),
            b",\"resource\":{\"a\":".to_vec(),
            text.to_vec(),
            b"}}".to_vec(),
        ];
        let mut resource = resource.concat();
        // The brace that ended the small body goes.
        let end = small(sender, Signal::Logs, "resource").len() - 1;
        resource.remove(end);
        add("in the resource", json(sender, resource), NOT_JSON);
        if !text.contains(&b'\n') {
            add(
                "in a line",
                ndjson(sender, around(text, "", "\n")),
                NO_EVENT,
            );
        }
    }
    cases
}

/// Too short, too long, too large, surrogates, and bytes that never occur.
const NOT_UTF8: &[&[u8]] = &[
    b"\xff".as_slice(),
    b"\xfe",
    b"\x80",
    b"\xbf",
    b"\xc0\xaf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xe0\xff",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf4\x90\x80\x80",
    b"\xf4\xbf\xbf\xbf",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x83\xbf\xbf\xbf\xbf",
    b"\xe6\x97\xa5\xd1\x88\xfa",
    b"\xe9",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xc3(",
    b"\xe2\x28\xa1",
    b"\xef\xbf",
    b"\x81",
    b"\xed\xa0\xbd\xed\xb8\x80",
];

/// Bytes that are no UTF-8 (RFC 8259, 8.1), in each place.
fn not_utf8(sender: &Sender) -> Vec<Case> {
    let not_json: (u16, &[&str]) = (400, &["not_json"]);
    let mut cases = Vec::new();
    for bytes in NOT_UTF8.iter().copied() {
        let shown = hex::encode(bytes);
        let text = [b"\"".as_slice(), bytes, b"\""].concat();
        let key = [BEFORE.as_bytes(), b"1,\"k", bytes, b"\":2}}"].concat();
        for (place, request) in [
            (
                "in a string",
                json(sender, around(&text, "{\"logs\":[", "]}")),
            ),
            (
                "in a key",
                json(
                    sender,
                    [b"{\"logs\":[".to_vec(), key, b"]}".to_vec()].concat(),
                ),
            ),
            (
                "outside of strings",
                json(sender, around(bytes, "{\"logs\":[", "]}")),
            ),
            (
                "behind the body",
                json(
                    sender,
                    [small(sender, Signal::Logs, "utf"), bytes.to_vec()].concat(),
                ),
            ),
            ("in a line", ndjson(sender, around(&text, "", "\n"))),
        ] {
            let name = format!("bytes {shown} {place}");
            refuse(&mut cases, AREA, name, &request, not_json);
        }
    }
    cases
}

/// A good body in other encodings than UTF-8, or with more in it than JSON.
fn other_encodings(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    let text = String::from_utf8(small(sender, Signal::Logs, "another encoding")).expect("UTF-8");
    let units = |swap: bool| -> Vec<u8> {
        let units = text.encode_utf16();
        units
            .flat_map(|unit| {
                if swap {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    };
    for (name, body) in [
        ("UTF-16, little end first", units(false)),
        ("UTF-16, big end first", units(true)),
        (
            "UTF-16 with its mark",
            [b"\xff\xfe".to_vec(), units(false)].concat(),
        ),
        (
            "UTF-32",
            text.chars()
                .flat_map(|c| u32::from(c).to_le_bytes())
                .collect(),
        ),
        (
            "UTF-8 with its mark",
            [b"\xef\xbb\xbf".to_vec(), text.clone().into_bytes()].concat(),
        ),
        ("UTF-8's mark alone", b"\xef\xbb\xbf".to_vec()),
        (
            "half of UTF-8's mark",
            [b"\xef\xbb".to_vec(), text.clone().into_bytes()].concat(),
        ),
        ("UTF-7", b"+AHsAIg-logs+ACI:[]+AH0-".to_vec()),
        (
            "EBCDIC",
            b"\xc0\x7f\x93\x96\x87\xa2\x7f\x7a\xad\xbd\xd0".to_vec(),
        ),
        (
            "a NUL behind the body",
            [text.clone().into_bytes(), vec![0]].concat(),
        ),
        (
            "a NUL before the body",
            [vec![0], text.clone().into_bytes()].concat(),
        ),
    ] {
        refuse(&mut cases, AREA, name, &json(sender, body), NOT_JSON);
    }
    cases
}

/// JSON, and no envelope.
fn wrong_envelopes(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for signal in Signal::ALL {
        let key = signal.body_key();
        let other = if key == "logs" { "events" } else { "logs" };
        let event = String::from_utf8(small(sender, signal, "an envelope")).expect("UTF-8");
        let shape: (u16, &[&str]) = (400, &["wrong_shape", "not_json", "no_valid_event"]);
        for body in [
            "{}".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            "true".to_owned(),
            "0".to_owned(),
            "\"\"".to_owned(),
            format!("[{event}]"),
            format!("{{\"{other}\":[{event}]}}"),
            format!("{{\"{key}\":null}}"),
            format!("{{\"{key}\":{{}}}}"),
            format!("{{\"{key}\":\"[]\"}}"),
            format!("{{\"{key}\":1}}"),
            format!("{{\"{key}\":true}}"),
            format!("{{\"{key}\":[[]]}}"),
            format!("{{\"{key}\":[null]}}"),
            format!("{{\"{key}\":[1,2]}}"),
            format!("{{\"{key}\":[\"a\"]}}"),
            format!("{{\"{key}\":[true]}}"),
            format!("{{\"{key}\":[]}}"),
            format!("{{\"{key}\":[{{}}]}}"),
            format!("{{\"{}\":[{event}]}}", key.to_uppercase()),
            format!("{{\" {key}\":[{event}]}}"),
            format!("{{\"data\":{event}}}"),
            event.replacen('{', "{\"extra\":1,", 1),
            event.replacen('{', &format!("{{\"{key}\":[],"), 1),
            event.replacen('{', "{\"resource\":[],", 1),
            event.replacen('{', "{\"resource\":\"x\",", 1),
            event.replacen('{', "{\"resource\":1,", 1),
            event.replacen('{', "{\"resource\":{},\"resource\":{},", 1),
            event.replacen('{', "{\"__proto__\":{},", 1),
            event.replacen('{', "{\"\":1,", 1),
        ] {
            let name = format!(
                "/v1/{signal}: {}",
                body.chars().take(60).collect::<String>()
            );
            let request = Request::signed(sender, signal, body);
            refuse(&mut cases, AREA, name, &request, shape);
        }
    }
    let bare = small(sender, Signal::Traces, "a span");
    let bare = String::from_utf8(bare)
        .expect("UTF-8")
        .replace(r#","resource":{"service_name":"hostile"}"#, "");
    let request = Request::signed(sender, Signal::Traces, bare);
    refuse(
        &mut cases,
        AREA,
        "spans without a resource",
        &request,
        (400, &["wrong_shape"]),
    );
    cases
}

/// Nesting that would end a recursive parser.
fn nesting(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for depth in [65usize, 500, 10_000, 100_000, 150_000] {
        for (what, open, close) in [
            ("arrays", "[", "]"),
            ("objects", "{\"a\":", "}"),
            ("both", "[{\"\":", "}]"),
        ] {
            let opening = open.repeat(depth);
            if opening.len() > 900_000 {
                continue;
            }
            let mut add = |how: &str, body: Vec<u8>| {
                let name = format!("{depth} {what} {how}");
                let due: (u16, &[&str]) = (400, &["not_json", "wrong_shape", "no_valid_event"]);
                refuse(&mut cases, AREA, name, &json(sender, body), due);
            };
            add("as the body", opening.clone().into_bytes());
            add(
                "as an attribute, not closed",
                around(opening.as_bytes(), "{\"logs\":[", ""),
            );
            let whole = format!("{opening}1{}", close.repeat(depth));
            if whole.len() < 900_000 {
                add(
                    "as an attribute",
                    around(whole.as_bytes(), "{\"logs\":[", "]}"),
                );
            }
        }
    }
    cases
}

/// Log records in which something is said twice.
const TWICE: &[(&str, &str)] = &[
    ("service", r#"{"service":"a","service":"a","message":"m"}"#),
    ("message", r#"{"service":"a","message":"m","message":"n"}"#),
    (
        "level",
        r#"{"service":"a","message":"m","level":"info","level":"info"}"#,
    ),
    (
        "timestamp",
        r#"{"service":"a","message":"m","timestamp":"2100-01-01","timestamp":"2100-01-01"}"#,
    ),
    (
        "an attribute",
        r#"{"service":"a","message":"m","attributes":{"k":1,"k":1}}"#,
    ),
    (
        "a nested attribute",
        r#"{"service":"a","message":"m","attributes":{"k":{"l":1,"l":2}}}"#,
    ),
    (
        "an attribute, dotted and nested",
        r#"{"service":"a","message":"m","attributes":{"k.l":1,"k":{"l":2}}}"#,
    ),
    (
        "an attribute beside the attributes",
        r#"{"service":"a","message":"m","k":1,"attributes":{"k":2}}"#,
    ),
    (
        "the attributes",
        r#"{"service":"a","message":"m","attributes":{"k":1},"attributes":{"k":1}}"#,
    ),
    (
        "a key, once escaped",
        r#"{"service":"a","message":"m","attributes":{"k":1,"\u006b":2}}"#,
    ),
    (
        "the message, once escaped",
        r#"{"service":"a","message":"m","m\u0065ssage":"n"}"#,
    ),
    (
        "an attribute of null",
        r#"{"service":"a","message":"m","attributes":{"k":null,"k":1}}"#,
    ),
    (
        "trace_id",
        r#"{"service":"a","message":"m","trace_id":"x","trace_id":"y"}"#,
    ),
];

/// Keys that occur twice: in an event, in its attributes, in nested ones, spelled with escapes.
fn duplicates(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, event) in TWICE.iter().copied() {
        let body = format!("{{\"logs\":[{event}]}}");
        let name = format!("{what} twice");
        refuse(&mut cases, AREA, name, &json(sender, body), NO_EVENT);
        let name = format!("{what} twice, in a line");
        refuse(&mut cases, AREA, name, &ndjson(sender, event), NO_EVENT);
    }
    cases
}

/// Bodies of the other signals in which something is said twice.
const TWICE_ELSEWHERE: &[(&str, Signal, &str)] = &[
    (
        "the id of a target",
        Signal::Audit,
        r#"{"events":[{"event_type":"A","action":"a","outcome":"SUCCESS","targets":[{"id":"a","id":"b"}]}]}"#,
    ),
    (
        "the id of an actor",
        Signal::Audit,
        r#"{"events":[{"event_type":"A","action":"a","outcome":"SUCCESS","actor":{"id":"a","id":"b"}}]}"#,
    ),
    (
        "a timing",
        Signal::Rum,
        r#"{"events":[{"session_id":"s","event_type":"click","page_url":"https://a/","performance":{"lcp":1,"lcp":2}}]}"#,
    ),
    (
        "the message of an error",
        Signal::Rum,
        r#"{"events":[{"session_id":"s","event_type":"error","page_url":"https://a/","error":{"message":"a","message":"b"}}]}"#,
    ),
    (
        "a label",
        Signal::Metrics,
        r#"{"metrics":[{"name":"m","value":1,"labels":{"a":"1","a":"1"}}]}"#,
    ),
    (
        "a value",
        Signal::Metrics,
        r#"{"metrics":[{"name":"m","value":1,"value":1}]}"#,
    ),
];

/// The same in the elements and objects of the other signals.
fn duplicates_elsewhere(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    let span = |name: &str, value: &str| {
        let now = sender.now_s;
        let span = format!(
            r#"{{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","name":"n","start_time":{now},"end_time":{now},"{name}":[{value}]}}"#
        );
        Request::signed(
            sender,
            Signal::Traces,
            super::request::envelope(Signal::Traces, &span),
        )
    };
    let id = "0af7651916cd43dd8448eb211c80319c";
    let linked = format!(
        r#"{{"trace_id":"{id}","span_id":"b7ad6b7169203331","span_id":"b7ad6b7169203331"}}"#
    );
    let timed = format!(
        r#"{{"name":"a","timestamp":{0},"timestamp":{0}}}"#,
        sender.now_s
    );
    for (what, request) in [
        (
            "the name of a span's event",
            span("events", r#"{"name":"a","name":"b"}"#),
        ),
        ("the time of a span's event", span("events", &timed)),
        ("the span of a link", span("links", &linked)),
    ] {
        refuse(
            &mut cases,
            AREA,
            format!("{what} twice"),
            &request,
            NO_EVENT,
        );
    }
    for (what, signal, body) in TWICE_ELSEWHERE.iter().copied() {
        let request = Request::signed(sender, signal, body);
        refuse(
            &mut cases,
            AREA,
            format!("{what} twice"),
            &request,
            NO_EVENT,
        );
    }
    cases
}

/// Halves of surrogate pairs, alone or in the wrong order.
const HALVES: &[&str] = &[
    r"\uDFAA",
    r"\uDADA",
    r"\uD888\u1234",
    r"\uD800\n",
    r"\uDd1ea",
    r"\uD800\uD800\n",
    r"\ud800",
    r"\ud800abc",
    r"\uDd1e\uD834",
    r"\uDBFF",
    r"\uDC00",
    r"\uD83D\\uDE00",
    r"a\uD83D",
    r"\uDE00\uD83D",
];

/// Escapes that name half a surrogate pair: no text, in no place.
fn surrogates(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for half in HALVES {
        for (place, event) in [
            (
                "the message",
                format!(r#"{{"service":"a","message":"{half}"}}"#),
            ),
            (
                "the service",
                format!(r#"{{"service":"{half}","message":"m"}}"#),
            ),
            (
                "an attribute",
                format!(r#"{{"service":"a","message":"m","attributes":{{"k":"{half}"}}}}"#),
            ),
            (
                "an attribute's key",
                format!(r#"{{"service":"a","message":"m","attributes":{{"{half}":1}}}}"#),
            ),
            (
                "an array",
                format!(r#"{{"service":"a","message":"m","attributes":{{"k":["{half}"]}}}}"#),
            ),
            (
                "a key within an array",
                format!(r#"{{"service":"a","message":"m","attributes":{{"k":[{{"{half}":1}}]}}}}"#),
            ),
            (
                "an unknown field",
                format!(r#"{{"service":"a","message":"m","{half}":1}}"#),
            ),
        ] {
            let name = format!("{half} in {place}");
            let body = format!("{{\"logs\":[{event}]}}");
            refuse(&mut cases, AREA, &name, &json(sender, body), NO_EVENT);
            let name = format!("{name}, in a line");
            refuse(&mut cases, AREA, name, &ndjson(sender, event), NO_EVENT);
        }
        let body =
            format!(r#"{{"logs":[{{"service":"a","message":"m"}}],"resource":{{"k":"{half}"}}}}"#);
        let due: (u16, &[&str]) = (400, &["wrong_shape", "not_json"]);
        let name = format!("{half} in the resource");
        refuse(&mut cases, AREA, name, &json(sender, body), due);
    }
    cases
}

/// Numbers that are JSON and no number of ours.
fn numbers(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    let long = format!("1{}", "0".repeat(400));
    for number in [
        "1e400",
        "-1e400",
        "1.5e+9999",
        "-123123e100000",
        "1e99999999999999999999",
        "0.4e00669999999999999999999999999999999",
        &long,
    ] {
        let shown: String = number.chars().take(20).collect();
        let log = format!(r#"{{"service":"a","message":"m","attributes":{{"k":{number}}}}}"#);
        let body = format!("{{\"logs\":[{log}]}}");
        refuse(
            &mut cases,
            AREA,
            format!("{shown} as an attribute"),
            &json(sender, body),
            NO_EVENT,
        );
        refuse(
            &mut cases,
            AREA,
            format!("{shown} as an attribute, in a line"),
            &ndjson(sender, log),
            NO_EVENT,
        );
        let metric = format!(r#"{{"metrics":[{{"name":"m","value":{number}}}]}}"#);
        let request = Request::signed(sender, Signal::Metrics, metric);
        refuse(
            &mut cases,
            AREA,
            format!("{shown} as a value"),
            &request,
            NO_EVENT,
        );
        let time = format!(r#"{{"logs":[{{"service":"a","message":"m","timestamp":{number}}}]}}"#);
        refuse(
            &mut cases,
            AREA,
            format!("{shown} as a time"),
            &json(sender, time),
            NO_EVENT,
        );
    }
    cases
}

/// NDJSON: no good line at all.
fn lines(sender: &Sender) -> Vec<Case> {
    let event = r#"{"service":"a","message":"m"}"#;
    let mut cases = Vec::new();
    for (name, body) in [
        ("nothing", String::new()),
        ("empty lines", "\n\n\r\n \n".to_owned()),
        ("an array in a line", format!("[{event}]")),
        ("two events in a line", format!("{event} {event}")),
        ("two events and a comma", format!("{event},{event}")),
        ("an event over two lines", event.replace(',', ",\n")),
        ("lines that end in commas", format!("{event},\n{event},\n")),
        ("an envelope in a line", format!("{{\"logs\":[{event}]}}")),
        ("records as in RFC 7464", format!("\u{1e}{event}\n")),
        ("lines that end with a NUL", format!("{event}\0\n")),
        ("lines that begin with a mark", format!("\u{feff}{event}\n")),
        ("server-sent events", format!("data: {event}\n\n")),
        ("lines with their length before", format!("29 {event}\n")),
        ("words", "hello\nthere\n".to_owned()),
        ("numbers", "1\n2\n3\n".to_owned()),
        ("nulls", "null\nnull\n".to_owned()),
        (
            "quoted events",
            format!("{}\n", serde_json::Value::from(event)),
        ),
        ("a comment", format!("# {event}\n")),
        (
            "lines that end with a vertical tab",
            format!("{event}\u{b}{event}"),
        ),
        (
            "lines that end with a line separator",
            format!("{event}\u{2028}{event}"),
        ),
        (
            "lines that end with a carriage return alone",
            format!("{event}\r{event}"),
        ),
    ] {
        refuse(
            &mut cases,
            AREA,
            format!("NDJSON of {name}"),
            &ndjson(sender, body),
            NO_EVENT,
        );
    }
    cases
}

/// One format called by the name of the other.
fn misnamed_formats(sender: &Sender) -> Vec<Case> {
    let event = r#"{"service":"a","message":"m"}"#;
    let mut cases = Vec::new();
    let traces = small(sender, Signal::Traces, "an envelope");
    let request = Request::signed(sender, Signal::Traces, traces)
        .with("content-type", "application/x-ndjson");
    refuse(
        &mut cases,
        AREA,
        "NDJSON of an envelope of spans",
        &request,
        NO_EVENT,
    );
    let json_of_lines = json(sender, format!("{event}\n{event}\n"));
    refuse(
        &mut cases,
        AREA,
        "NDJSON called JSON",
        &json_of_lines,
        NOT_JSON,
    );
    cases
}

/// JSON that looks odd and is good: it must be taken (the suites' `y_` cases).
fn odd_but_json(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for text in ODD_BUT_JSON {
        let name = format!("{text:?}, which is JSON");
        let body = around(text.as_bytes(), "{\"logs\":[", "]}");
        cases.push(Case::new(
            Area::Json,
            &name,
            json(sender, body).wire(),
            Due::accepted(),
        ));
        if !text.contains('\n') {
            let line = ndjson(sender, around(text.as_bytes(), "", "\n"));
            cases.push(Case::new(
                Area::Json,
                format!("{name}, in a line"),
                line.wire(),
                Due::accepted(),
            ));
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second opinion on every text that is said to be no JSON.
    #[test]
    fn what_is_called_broken_is_refused_by_another_parser_too() {
        for text in BROKEN.iter().copied() {
            let inside = around(text, "{\"logs\":[", "]}");
            let parsed = serde_json::from_slice::<serde_json::Value>(&inside);
            assert!(parsed.is_err(), "{}", String::from_utf8_lossy(&inside));
            let alone = serde_json::from_slice::<serde_json::Value>(text);
            assert!(alone.is_err(), "{}", String::from_utf8_lossy(text));
        }
    }
}
