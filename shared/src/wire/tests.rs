//! Bodies of the contract, whole and broken.

use super::*;
use crate::event::{Role, Value};
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000_000_000_000;

type Seen = Vec<Result<(Option<i64>, Vec<(String, String)>), (u16, &'static str, String)>>;

fn read(signal: Signal, format: BodyFormat, text: &str) -> Result<(Counts, Seen), BodyError> {
    let arena = Bump::new();
    let mut seen = Vec::new();
    let body = Body {
        signal,
        format,
        validity: Validity::at(signal, NOW),
        bytes: text.as_bytes(),
    };
    let counts = body.read(&arena, |_, event| {
        seen.push(match event {
            Ok(event) => Ok((
                event.timestamp,
                event
                    .fields
                    .iter()
                    .map(|f| (f.name.to_owned(), format!("{:?}", f.value)))
                    .collect(),
            )),
            Err((index, reject)) => Err((index, reject.code.as_str(), reject.reason())),
        });
    })?;
    Ok((counts, seen))
}

fn rejects(signal: Signal, event: &str) -> &'static str {
    let text = format!("{{\"{}\":[{event}],\"resource\":{{}}}}", signal.body_key());
    match read(signal, BodyFormat::Json, &text).unwrap().1.remove(0) {
        Err((0, code, _)) => code,
        other => panic!("{event} was not rejected: {other:?}"),
    }
}

#[test]
fn a_log_is_read_with_its_attributes_flattened() {
    let text = r#"{"logs":[{"timestamp":"2023-11-14T22:13:20Z","service":"api","level":"WARNING",
        "message":"a\nb","attributes":{"http":{"status":500,"ok":false,"t":1.5},"tags":["a",1]},"x":null}]}"#;
    let (counts, mut seen) = read(Signal::Logs, BodyFormat::Json, text).unwrap();
    assert_eq!(
        counts,
        Counts {
            accepted: 1,
            rejected: 0
        }
    );
    let (timestamp, fields) = seen.remove(0).unwrap();
    assert_eq!(timestamp, Some(NOW));
    let expected = [
        ("service", "Text(\"api\")"),
        ("level", "Text(\"WARNING\")"),
        ("message", "Text(\"a\\nb\")"),
        ("http.status", "Int(500)"),
        ("http.ok", "Bool(false)"),
        ("http.t", "Float(1.5)"),
        ("tags", "Json(\"[\\\"a\\\",1]\")"),
        ("x", "Null"),
    ];
    let expected: Vec<_> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(fields, expected);
}

#[test]
fn one_bad_event_does_not_lose_its_neighbours() {
    let good = r#"{"service":"a","message":"m"}"#;
    let mut events = vec![good; 1_000];
    events[500] = r#"{"service":"a","message":5,"attributes":{"deep":[[{"a":"]}"}]]}}"#;
    let text = format!("{{\"logs\":[{}]}}", events.join(","));
    let (counts, seen) = read(Signal::Logs, BodyFormat::Json, &text).unwrap();
    assert_eq!(
        counts,
        Counts {
            accepted: 999,
            rejected: 1
        }
    );
    let reason = "message: must be a string".to_owned();
    assert_eq!(seen[500], Err((500, "wrong_type", reason)));
}

#[test]
fn the_resource_counts_wherever_it_stands() {
    let event = r#"{"message":"m","attributes":{"k":"\"resource\":{}}"}}"#;
    for text in [
        format!(r#"{{"resource":{{"service_name":"s"}},"logs":[{event}]}}"#),
        format!(r#"{{"logs":[{event}],"resource":{{"service_name":"s"}} }}"#),
    ] {
        assert_eq!(
            read(Signal::Logs, BodyFormat::Json, &text)
                .unwrap()
                .0
                .accepted,
            1,
            "{text}"
        );
    }
    let without = format!(r#"{{"logs":[{event}]}}"#);
    assert_eq!(
        read(Signal::Logs, BodyFormat::Json, &without)
            .unwrap()
            .0
            .rejected,
        1
    );
    let inside = r#"{"logs":[{"message":"m","resource":{"service_name":"s"}}]}"#;
    assert_eq!(
        read(Signal::Logs, BodyFormat::Json, inside)
            .unwrap()
            .0
            .rejected,
        1
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn every_fault_of_an_event_has_its_code() {
    let log = |extra: &str| format!(r#"{{"service":"a","message":"m"{extra}}}"#);
    let many: Vec<_> = (0..257).map(|i| format!("\"k{i}\":{i}")).collect();
    let deep = format!("{}1{}", r#"{"a":"#.repeat(33), "}".repeat(33));
    let cases = [
        ("5".to_owned(), "not_an_object"),
        (r#"{"service":"a"}"#.to_owned(), "missing_field"),
        (r#"{"service":" ","message":"m"}"#.to_owned(), "empty"),
        (
            format!(r#"{{"service":"{}","message":"m"}}"#, "é".repeat(101)),
            "too_long",
        ),
        (log(r#","level":"loud""#), "unknown_word"),
        (log(r#","timestamp":"yesterday""#), "bad_timestamp"),
        (log(r#","timestamp":1700090000"#), "timestamp_in_future"),
        (
            log(r#","timestamp":"2023-01-01T00:00:00Z""#),
            "timestamp_too_old",
        ),
        (log(r#","message":"again""#), "duplicate_key"),
        (
            log(r#","attributes":{"a":{"b":1},"a.b":2}"#),
            "duplicate_key",
        ),
        (log(r#","attributes":{"a":1e999}"#), "not_finite"),
        (
            log(&format!(r#","attributes":{{"{}":1}}"#, "k".repeat(257))),
            "key_too_long",
        ),
        (
            log(&format!(r#","attributes":{{{}}}"#, many.join(","))),
            "too_many",
        ),
        (log(&format!(r#","attributes":{deep}"#)), "too_deep"),
        (log(r#","attributes":{"a":"\ud800"}"#), "bad_string"),
    ];
    for (event, code) in cases {
        assert_eq!(rejects(Signal::Logs, &event), code, "{event}");
    }
    let span = |end: &str, trace: &str| {
        format!(
            r#"{{"trace_id":"{trace}","span_id":"00f067aa0ba902b7","name":"n","start_time":1700000000,"end_time":{end}}}"#
        )
    };
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(
        rejects(Signal::Traces, &span("1699999999", trace)),
        "end_before_start"
    );
    assert_eq!(
        rejects(Signal::Traces, &span("1700000001", "4bf9")),
        "bad_id"
    );
    assert_eq!(
        rejects(Signal::Traces, &span("1700000001", &"0".repeat(32))),
        "bad_id"
    );
    assert_eq!(
        rejects(Signal::Metrics, r#"{"name":"n","value":"5"}"#),
        "wrong_type"
    );
    assert_eq!(rejects(Signal::Metrics, r#"{"name":"n"}"#), "missing_field");
    assert_eq!(
        rejects(
            Signal::Metrics,
            r#"{"name":"n","value":1,"labels":{"a":1}}"#
        ),
        "wrong_type"
    );
    assert_eq!(
        rejects(
            Signal::Audit,
            r#"{"event_type":"login","action":"a","outcome":"SUCCESS"}"#
        ),
        "unknown_word"
    );
}

#[test]
fn every_signal_is_read_in_full() {
    let trace = r#"{"traces":[{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7",
        "parent_span_id":"","name":"GET /","kind":"SERVER","start_time":1700000000000,"end_time":1700000000250,
        "status":"ok","attributes":{"http.method":"GET"},
        "events":[{"timestamp":1700000000100,"name":"retry","attributes":{"n":1}},{"name":"done","attributes":{"n":2}}],
        "links":[{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b8"}]}],"resource":{"service_name":"s"}}"#;
    let metric = r#"{"metrics":[{"name":"http_requests_total","value":42,"type":"counter","labels":{"path":"/"},"unit":"1"}]}"#;
    let rum = r#"{"events":[{"session_id":"s","event_type":"performance","page_url":"https://a.example/","performance":{"lcp":1200.5,"cls":0.1},"error":{"message":"boom","stack":"at x"},"custom_attributes":{"a":{"b":1}}}]}"#;
    let audit = r#"{"events":[{"event_type":"AUTHENTICATION","action":"login","outcome":"FAILURE","actor":{"id":"1","email":"a@example.com"},"targets":[{"id":"t1"},{"id":"t2","type":"host"}],"ip":"203.0.113.9","metadata":{"mfa":true}},{"event_type":"X","action":"a","outcome":"SUCCESS","ip":"unknown"}]}"#;
    for (signal, text, accepted) in [
        (Signal::Traces, trace, 1),
        (Signal::Metrics, metric, 1),
        (Signal::Rum, rum, 1),
        (Signal::Audit, audit, 2),
    ] {
        let (counts, seen) = read(signal, BodyFormat::Json, text).unwrap();
        assert_eq!(
            counts,
            Counts {
                accepted,
                rejected: 0
            },
            "{seen:?}"
        );
    }
}

#[test]
fn bodies_of_the_wrong_shape_are_refused_whole() {
    let refuse = |text: &str| read(Signal::Logs, BodyFormat::Json, text).unwrap_err();
    assert!(matches!(refuse("{"), BodyError::NotJson(_)));
    assert!(matches!(
        refuse(r#"{"logs":[{"service":"a","message":"m"}"#),
        BodyError::NotJson(_)
    ));
    assert!(matches!(refuse("[]"), BodyError::NotJson(_)));
    assert_eq!(refuse("{}"), BodyError::WrongShape("no array of events"));
    assert_eq!(refuse(r#"{"logs":[]}"#), BodyError::NoEvent);
    assert!(matches!(
        refuse(r#"{"logs":[],"metrics":[]}"#),
        BodyError::WrongShape(_)
    ));
    assert!(matches!(
        refuse(r#"{"logs":[],"logs":[]}"#),
        BodyError::WrongShape(_)
    ));
    let many = format!(r#"{{"logs":[{}]}}"#, vec!["1"; 1_001].join(","));
    assert_eq!(refuse(&many), BodyError::TooManyEvents { most: 1_000 });
    let traces = read(Signal::Traces, BodyFormat::Json, r#"{"traces":[]}"#).unwrap_err();
    assert_eq!(traces, BodyError::WrongShape("\"resource\" is missing"));
}

#[test]
fn ndjson_lines_stand_alone() {
    let text = "{\"service\":\"a\",\"message\":\"1\"}\r\n\n{broken\n{\"service\":\"a\",\"message\":\"2\"} {}\n{\"service\":\"a\",\"message\":\"3\"}";
    let (counts, seen) = read(Signal::Logs, BodyFormat::Ndjson, text).unwrap();
    assert_eq!(
        counts,
        Counts {
            accepted: 2,
            rejected: 2
        }
    );
    assert!(matches!(seen[1], Err((1, "malformed", _))));
    assert_eq!(
        read(Signal::Logs, BodyFormat::Ndjson, " \n").unwrap_err(),
        BodyError::NoEvent
    );
}

#[test]
fn an_address_that_is_none_is_kept_as_an_attribute() {
    let arena = Bump::new();
    let text =
        br#"{"events":[{"event_type":"X","action":"a","outcome":"SUCCESS","ip":"unknown"}]}"#;
    let body = Body {
        signal: Signal::Audit,
        format: BodyFormat::Json,
        validity: Validity::ANY,
        bytes: text,
    };
    body.read(&arena, |_, event| {
        let event = event.unwrap();
        assert_eq!(event.text(Role::Ip), None);
        assert_eq!(
            event.field(Role::Attribute).unwrap().value,
            Value::Text("unknown")
        );
    })
    .unwrap();
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), number in 0u8..5, lines in any::<bool>()) {
        let format = if lines { BodyFormat::Ndjson } else { BodyFormat::Json };
        let _ = read(Signal::from_number(number).unwrap(), format, &text);
    }

    #[test]
    fn cutting_a_body_anywhere_never_accepts_it(cut in 0usize..100) {
        let text = r#"{"logs":[{"service":"a","message":"m","attributes":{"a":[1,{"b":null}]}}],"resource":{"host":"h"}}"#;
        prop_assume!(cut < text.len());
        prop_assert!(read(Signal::Logs, BodyFormat::Json, &text[..cut]).is_err());
    }
}

#[test]
fn half_a_surrogate_pair_is_no_text_in_an_array_either() {
    let event =
        |value: &str| format!(r#"{{"service":"s","message":"m","attributes":{{"a":{value}}}}}"#);
    for value in [
        r#"["\ud800"]"#,
        r#"[{"\udc00":1}]"#,
        r#"[["a",["\ud83d\\ude00"]]]"#,
    ] {
        assert_eq!(
            rejects(Signal::Logs, &event(value)),
            "bad_string",
            "{value}"
        );
    }
    let whole = format!("{{\"logs\":[{}]}}", event(r#"["\ud83d\ude00"]"#));
    let (_, mut seen) = read(Signal::Logs, BodyFormat::Json, &whole).unwrap();
    let (_, fields) = seen.remove(0).unwrap();
    assert!(
        fields.contains(&("a".to_owned(), "Json(\"[\\\"😀\\\"]\")".to_owned())),
        "{fields:?}"
    );
}

#[test]
fn what_an_element_needs_is_neither_null_nor_there_twice() {
    let span = |members: &str| {
        format!(
            r#"{{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","name":"n","start_time":1700000000,"end_time":1700000000,{members}}}"#
        )
    };
    let link = r#""trace_id":"0af7651916cd43dd8448eb211c80319c""#;
    for (members, code) in [
        (r#""events":[{"name":null}]"#.to_owned(), "missing_field"),
        (
            r#""events":[{"name":"a"},{"name":null}]"#.to_owned(),
            "missing_field",
        ),
        (
            r#""events":[{"name":"a","name":"b"}]"#.to_owned(),
            "duplicate_key",
        ),
        (
            r#""events":[{"name":"a","timestamp":1700000000,"timestamp":1700000000}]"#.to_owned(),
            "duplicate_key",
        ),
        (
            format!(r#""links":[{{{link},"span_id":null}}]"#),
            "missing_field",
        ),
        (
            format!(r#""links":[{{{link},{link},"span_id":"b7ad6b7169203331"}}]"#),
            "duplicate_key",
        ),
    ] {
        assert_eq!(rejects(Signal::Traces, &span(&members)), code, "{members}");
    }
}
