//! JSON that is no event: each field of the contract with a value of every wrong type, empty, too
//! long, of no known word; required fields left out. Each alone, in a line, and beside a good event
//! that must not suffer for it.

use super::case::{Area, Case, Due};
use super::request::{Request, envelope, small};
use super::sender::Sender;
use millrace_shared::Signal;
use serde_json::{Map, Value, json};

/// What a field takes.
#[derive(Clone, Copy)]
enum Takes {
    /// Text of so many bytes at most.
    Text(usize),
    /// Text of 1 to so many characters.
    Name(usize),
    /// One of the words of a list.
    Word,
    /// A word in upper case.
    UpperWord,
    /// So many hexadecimal digits.
    Hex(usize),
    /// The same, or nothing.
    HexOrNothing(usize),
    /// A time.
    Time,
    /// A finite number.
    Number,
    /// An object of anything.
    Object,
    /// An object of text.
    Labels,
    /// An array of objects.
    Objects,
}

use Takes::{
    Hex, HexOrNothing, Labels, Name, Number, Object, Objects, Text, Time, UpperWord, Word,
};

/// The fields of each signal: name (with a dot into an object, `[]` into an array), what it takes,
/// whether it is required.
const FIELDS: &[(Signal, &str, Takes, bool)] = &[
    (Signal::Logs, "timestamp", Time, false),
    (Signal::Logs, "service", Name(100), true),
    (Signal::Logs, "level", Word, false),
    (Signal::Logs, "message", Text(65_536), true),
    (Signal::Logs, "attributes", Object, false),
    (Signal::Logs, "trace_id", Text(256), false),
    (Signal::Logs, "span_id", Text(256), false),
    (Signal::Logs, "host", Text(256), false),
    (Signal::Logs, "environment", Text(256), false),
    (Signal::Metrics, "timestamp", Time, false),
    (Signal::Metrics, "name", Name(200), true),
    (Signal::Metrics, "value", Number, true),
    (Signal::Metrics, "type", Word, false),
    (Signal::Metrics, "labels", Labels, false),
    (Signal::Metrics, "unit", Text(256), false),
    (Signal::Traces, "trace_id", Hex(32), true),
    (Signal::Traces, "span_id", Hex(16), true),
    (Signal::Traces, "parent_span_id", HexOrNothing(16), false),
    (Signal::Traces, "name", Name(200), true),
    (Signal::Traces, "kind", Word, false),
    (Signal::Traces, "start_time", Time, true),
    (Signal::Traces, "end_time", Time, true),
    (Signal::Traces, "status", Word, false),
    (Signal::Traces, "attributes", Object, false),
    (Signal::Traces, "events", Objects, false),
    (Signal::Traces, "events[].name", Text(65_536), true),
    (Signal::Traces, "events[].timestamp", Time, false),
    (Signal::Traces, "events[].attributes", Object, false),
    (Signal::Traces, "links", Objects, false),
    (Signal::Traces, "links[].trace_id", Hex(32), true),
    (Signal::Traces, "links[].span_id", Hex(16), true),
    (Signal::Traces, "links[].attributes", Object, false),
    (Signal::Rum, "timestamp", Time, false),
    (Signal::Rum, "session_id", Name(256), true),
    (Signal::Rum, "user_id", Text(256), false),
    (Signal::Rum, "event_type", Word, true),
    (Signal::Rum, "page_url", Name(8_192), true),
    (Signal::Rum, "referrer", Text(8_192), false),
    (Signal::Rum, "user_agent", Text(8_192), false),
    (Signal::Rum, "performance", Object, false),
    (Signal::Rum, "performance.lcp", Number, false),
    (Signal::Rum, "performance.cls", Number, false),
    (Signal::Rum, "error", Object, false),
    (Signal::Rum, "error.message", Text(65_536), true),
    (Signal::Rum, "error.stack", Text(65_536), false),
    (Signal::Rum, "error.type", Text(256), false),
    (Signal::Rum, "custom_attributes", Object, false),
    (Signal::Audit, "timestamp", Time, false),
    (Signal::Audit, "event_type", UpperWord, true),
    (Signal::Audit, "action", Name(256), true),
    (Signal::Audit, "outcome", Word, true),
    (Signal::Audit, "severity", Word, false),
    (Signal::Audit, "service", Name(100), false),
    (Signal::Audit, "operation", Text(256), false),
    (Signal::Audit, "actor", Object, false),
    (Signal::Audit, "actor.id", Text(256), false),
    (Signal::Audit, "actor.email", Text(256), false),
    (Signal::Audit, "actor.name", Text(256), false),
    (Signal::Audit, "actor.type", Text(256), false),
    (Signal::Audit, "targets", Objects, false),
    (Signal::Audit, "targets[].id", Text(256), false),
    (Signal::Audit, "targets[].type", Text(256), false),
    (Signal::Audit, "targets[].name", Text(256), false),
    (Signal::Audit, "ip", Text(256), false),
    (Signal::Audit, "user_agent", Text(8_192), false),
    (Signal::Audit, "country", Text(256), false),
    (Signal::Audit, "session_id", Text(256), false),
    (Signal::Audit, "request_id", Text(256), false),
    (Signal::Audit, "message", Text(65_536), false),
    (Signal::Audit, "metadata", Object, false),
];

/// Occurs in every wrong value that is text; no answer may repeat it.
pub(super) const MARK: &str = "zq9hostilemark";

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for (signal, path, takes, required) in FIELDS {
        for (what, value, code) in wrong(sender, *takes) {
            let name = format!("{signal}.{path} is {what}");
            cases.extend(case(
                sender,
                *signal,
                &name,
                (event(sender, *signal, path, Some(value)), code),
            ));
        }
        if *required {
            let without = event(sender, *signal, path, None);
            let name = format!("{signal} without {path}");
            cases.extend(case(sender, *signal, &name, (without, "missing_field")));
            let null = event(sender, *signal, path, Some(Value::Null));
            let name = format!("{signal}.{path} is null");
            cases.extend(case(sender, *signal, &name, (null, "missing_field")));
        }
    }
    cases.extend(others(sender));
    cases.extend(no_events(sender));
    cases.extend(times(sender));
    cases
}

/// The same event alone, in a line, and beside a good one.
fn case(
    sender: &Sender,
    signal: Signal,
    name: &str,
    (event, code): (Value, &'static str),
) -> Vec<Case> {
    let event = event.to_string();
    let refused = |request: &Request, how: &str| {
        let mut case = Case::refused(
            Area::Shape,
            format!("{name}{how}"),
            request,
            (400, &["no_valid_event"]),
        );
        case.due[0].event = Some(code);
        case
    };
    let alone = Request::signed(sender, signal, envelope(signal, &event));
    let line =
        Request::signed(sender, signal, event.clone()).with("content-type", "application/x-ndjson");
    let good = small(sender, signal, "a neighbour");
    let neighbours = String::from_utf8(good).expect("UTF-8");
    let both = neighbours.replacen('[', &format!("[{event},"), 1);
    let beside =
        Request::signed(sender, signal, both).target(format!("/v1/{signal}?validate=true"));
    let mut due = Due::refused(&[200], &[]);
    due.event = Some(code);
    let beside = Case::new(
        Area::Shape,
        format!("{name}, beside a good event"),
        beside.wire(),
        due,
    );
    vec![refused(&alone, ""), refused(&line, ", in a line"), beside]
}

/// A value, what it is, and the code that says why a field does not take it.
type Wrong = (String, Value, &'static str);

/// Values of other types than a field takes.
fn wrong_types(takes: Takes) -> Vec<Wrong> {
    let typed = |wrong: &[&str]| -> Vec<Wrong> {
        let all = [
            ("a number", json!(7)),
            ("true", json!(true)),
            ("text", json!(MARK)),
            ("an array", json!([MARK])),
            ("an object", json!({ MARK: 1 })),
        ];
        let chosen = all.into_iter().filter(|(what, _)| wrong.contains(what));
        chosen
            .map(|(what, value)| (what.to_owned(), value, "wrong_type"))
            .collect()
    };
    let no_text = || typed(&["a number", "true", "an array", "an object"]);
    match takes {
        Text(_) | Name(_) | Word | UpperWord | Hex(_) | HexOrNothing(_) => no_text(),
        Time => typed(&["true", "an array", "an object"]),
        Number => typed(&["true", "text", "an array", "an object"]),
        Object | Labels => {
            let not_objects = typed(&["a number", "true", "text", "an array"]).into_iter();
            not_objects
                .map(|(what, value, _)| (what, value, "not_an_object"))
                .collect()
        }
        Objects => typed(&["a number", "true", "text", "an object"]),
    }
}

/// Values that a field does not take.
fn wrong(sender: &Sender, takes: Takes) -> Vec<Wrong> {
    let mut values = wrong_types(takes);
    let mut add = |what: &str, value: Value, code| values.push((what.to_owned(), value, code));
    match takes {
        Text(most) => add("too long", long(most + 1), "too_long"),
        Name(most) => {
            add("empty", json!(""), "empty");
            add("spaces", json!("  \t "), "empty");
            add("too long", long(most + 1), "too_long");
            add(
                "too long, of wide characters",
                json!("\u{1f600}".repeat(most + 1)),
                "too_long",
            );
        }
        Word | UpperWord => {
            add("an unknown word", json!(MARK), "unknown_word");
            add("an empty word", json!(""), "unknown_word");
            add("a word with a space", json!("info "), "unknown_word");
        }
        Hex(digits) => hex_values(digits, &mut add),
        HexOrNothing(digits) => {
            add("a digit short", json!("a".repeat(digits - 1)), "bad_id");
            add("a digit long", json!("a".repeat(digits + 1)), "bad_id");
            add("no hexadecimal", json!("g".repeat(digits)), "bad_id");
        }
        Time => time_values(sender, &mut add),
        Number => add("a number as text", json!("7"), "wrong_type"),
        Object => add("an array of nothing", json!([]), "not_an_object"),
        Labels => {
            for (what, value) in [
                ("number", json!(1)),
                ("boolean", json!(false)),
                ("array", json!([])),
                ("object", json!({})),
            ] {
                add(
                    &format!("text to {what}"),
                    json!({ "l": value }),
                    "wrong_type",
                );
            }
        }
        Objects => {
            for (what, value) in [
                ("numbers", json!([1])),
                ("text", json!([MARK])),
                ("arrays", json!([[]])),
                ("nulls", json!([null])),
            ] {
                add(&format!("an array of {what}"), value, "not_an_object");
            }
        }
    }
    values
}

fn long(length: usize) -> Value {
    let mut text = MARK.to_owned();
    text.push_str(&"x".repeat(length - MARK.len()));
    json!(text)
}

fn hex_values(digits: usize, add: &mut impl FnMut(&str, Value, &'static str)) {
    for (what, text) in [
        ("empty", String::new()),
        ("a digit short", "a".repeat(digits - 1)),
        ("a digit long", "a".repeat(digits + 1)),
        ("all zeros", "0".repeat(digits)),
        ("no hexadecimal", "g".repeat(digits)),
        (
            "with dashes",
            format!("{}-{}", "a".repeat(digits / 2), "a".repeat(digits / 2 - 1)),
        ),
        ("with 0x", format!("0x{}", "a".repeat(digits - 2))),
        ("with a space", format!(" {}", "a".repeat(digits - 1))),
        ("of wide digits", "\u{ff11}".repeat(digits)),
    ] {
        add(what, json!(text), "bad_id");
    }
}

fn time_values(sender: &Sender, add: &mut impl FnMut(&str, Value, &'static str)) {
    for text in [
        "",
        "now",
        "yesterday",
        "12:30",
        "2023-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:60:00Z",
        "2023-01-01T00:00:00+99:99",
        "2023-01-01T00:00:00.Z",
        "01/02/2023",
        "2023-W01-1",
        "Thu, 01 Jan 2023 00:00:00 GMT",
        "1e400",
        "0x64",
        "-",
        "\u{661}\u{662}\u{663}",
        MARK,
    ] {
        add(&format!("{text:?}"), json!(text), "bad_timestamp");
    }
    let now = sender.now_s;
    add(
        "two days ahead",
        json!(now + 172_800),
        "timestamp_in_future",
    );
    add(
        "in the year 9999",
        json!("9999-12-31T23:59:59Z"),
        "bad_timestamp",
    );
    add(
        "two years ago",
        json!(now - 63_072_000),
        "timestamp_too_old",
    );
    add("in 1970", json!(0), "timestamp_too_old");
    add("before 1970", json!(-1), "timestamp_too_old");
}

/// A good event of every field, with this one changed, or left out.
fn event(sender: &Sender, signal: Signal, path: &str, value: Option<Value>) -> Value {
    let mut event = full(sender, signal);
    let (outer, inner) = match path.split_once("[].").or_else(|| path.split_once('.')) {
        Some((outer, inner)) => (outer, Some(inner)),
        None => (path, None),
    };
    let object: &mut Map<String, Value> = match inner {
        None => event.as_object_mut().expect("an object"),
        Some(_) => {
            let outer = &mut event[outer];
            let element = if outer.is_array() {
                &mut outer[0]
            } else {
                outer
            };
            element.as_object_mut().expect("an object")
        }
    };
    let name = inner.unwrap_or(outer);
    match value {
        Some(value) => drop(object.insert(name.to_owned(), value)),
        None => drop(object.remove(name)),
    }
    event
}

fn full(sender: &Sender, signal: Signal) -> Value {
    let now = sender.now_s;
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    match signal {
        Signal::Logs => json!({"service": "hostile", "message": "shape", "attributes": {}}),
        Signal::Metrics => json!({"name": "hostile", "value": 1.5, "labels": {}}),
        Signal::Traces => {
            json!({"trace_id": trace, "span_id": span, "name": "shape", "start_time": now, "end_time": now,
            "events": [{"name": "e", "timestamp": now}], "links": [{"trace_id": trace, "span_id": span}]})
        }
        Signal::Rum => {
            json!({"session_id": "s", "event_type": "error", "page_url": "https://shop.example/",
            "performance": {"lcp": 1}, "error": {"message": "m"}})
        }
        Signal::Audit => {
            json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "SUCCESS",
            "actor": {"id": "a"}, "targets": [{"id": "t"}]})
        }
    }
}

/// What is wrong with an event in no single field.
fn others(sender: &Sender) -> Vec<Case> {
    let now = sender.now_s;
    let mut cases = Vec::new();
    let mut add = |signal, name: &str, event: Value, code| {
        cases.extend(case(sender, signal, name, (event, code)));
    };
    let with = |signal, path, value| event(sender, signal, path, Some(value));
    add(
        Signal::Traces,
        "a span that ends before it starts",
        with(Signal::Traces, "end_time", json!(now - 1)),
        "end_before_start",
    );
    add(
        Signal::Rum,
        "an unknown timing",
        with(Signal::Rum, "performance", json!({ MARK: 1 })),
        "unknown_word",
    );
    add(
        Signal::Audit,
        "an event type in lower case",
        with(Signal::Audit, "event_type", json!("authentication")),
        "unknown_word",
    );
    add(
        Signal::Audit,
        "an event type of 65 letters",
        with(Signal::Audit, "event_type", json!("A".repeat(65))),
        "unknown_word",
    );
    add(
        Signal::Audit,
        "an event type that begins with a digit",
        with(Signal::Audit, "event_type", json!("1A")),
        "unknown_word",
    );
    cases
}

/// What is no event of any signal.
fn no_events(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |signal, name: &str, event: Value, code| {
        cases.extend(case(sender, signal, name, (event, code)));
    };
    for signal in Signal::ALL {
        add(
            signal,
            &format!("{signal}: an empty object"),
            json!({}),
            "missing_field",
        );
        add(
            signal,
            &format!("{signal}: an array"),
            json!([]),
            "not_an_object",
        );
        add(
            signal,
            &format!("{signal}: a number"),
            json!(1),
            "not_an_object",
        );
        add(
            signal,
            &format!("{signal}: text"),
            json!(MARK),
            "not_an_object",
        );
        add(
            signal,
            &format!("{signal}: null"),
            Value::Null,
            "not_an_object",
        );
        add(
            signal,
            &format!("{signal}: true"),
            json!(true),
            "not_an_object",
        );
        let key = "k".repeat(257);
        let mut long_key = full(sender, signal);
        long_key[key.as_str()] = json!("x");
        add(
            signal,
            &format!("{signal}: an event with a key of 257 bytes"),
            long_key,
            "key_too_long",
        );
        let mut no_key = full(sender, signal);
        no_key[""] = json!("x");
        add(
            signal,
            &format!("{signal}: an event with an empty key"),
            no_key,
            "key_too_long",
        );
    }
    cases
}

/// The edge of what is taken: a second inside and a second outside, for each signal.
fn times(sender: &Sender) -> Vec<Case> {
    const DAY: i64 = 86_400;
    // A margin for the time that passes until the request is judged.
    const MARGIN: i64 = 3_600;
    let mut cases = Vec::new();
    for (signal, field, days) in [
        (Signal::Logs, "timestamp", 90),
        (Signal::Metrics, "timestamp", 30),
        (Signal::Traces, "start_time", 30),
        (Signal::Rum, "timestamp", 90),
        (Signal::Audit, "timestamp", 365),
    ] {
        let now = sender.now_s;
        for (what, at, code) in [
            (
                "past the retention",
                now - days * DAY - MARGIN,
                "timestamp_too_old",
            ),
            (
                "past a day ahead",
                now + DAY + MARGIN,
                "timestamp_in_future",
            ),
        ] {
            let event = event(sender, signal, field, Some(json!(at)));
            cases.extend(case(
                sender,
                signal,
                &format!("{signal}.{field} {what}"),
                (event, code),
            ));
        }
    }
    cases
}
