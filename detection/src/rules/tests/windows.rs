//! The window kinds as a rule has them: read, refused, written, and tried.

use super::*;
use crate::windows::weighed;

fn windowed(window: &Value, rest: Value) -> Value {
    let mut document = json!({
        "id": "r", "severity": "low", "window": window,
        "selection": [{"field": "message", "op": "exists"}],
    });
    let members = document.as_object_mut().unwrap();
    members.extend(rest.as_object().cloned().unwrap_or_default());
    document
}

fn is(field: &str, value: &str) -> Value {
    json!({"field": field, "op": "eq", "value": value})
}

const WINDOWS: &[&str] = &[
    r#"{"kind": "sum", "seconds": 60, "threshold": 0.5, "field": "bytes"}"#,
    r#"{"kind": "sum", "seconds": 60, "threshold": 1000000000, "field": "bytes || size"}"#,
    r#"{"kind": "ratio", "seconds": 300, "threshold": 10, "percent": 5}"#,
    r#"{"kind": "ratio", "seconds": 300, "threshold": 10, "over_percent": 20,
        "base": {"all": [{"field": "a", "op": "eq", "value": 1}]}}"#,
    r#"{"kind": "rate", "seconds": 60, "per_second": 0.1}"#,
    r#"{"kind": "rate", "seconds": 86400, "per_second": 10000}"#,
    r#"{"kind": "sequence", "seconds": 60, "steps": [
        {"selection": {"field": "a", "op": "eq", "value": 1}, "count": 5},
        {"selection": {"field": "a", "op": "eq", "value": 2}}]}"#,
    r#"{"kind": "new_value", "days": 30, "field": "country"}"#,
    r#"{"kind": "silence", "seconds": 604800}"#,
    r#"{"kind": "spike", "factor": 3}"#,
    r#"{"kind": "spike", "factor": 1.5, "threshold": 7, "days": 14, "baseline": "hour_of_week"}"#,
    r#"{"kind": "burn_rate", "objective": 99.9}"#,
    r#"{"kind": "burn_rate", "objective": 99.95, "threshold": 7, "field": "requests",
        "base": {"all": [{"field": "a", "op": "eq", "value": 1}]}, "rates": [
        {"factor": 14.4, "seconds": 3600, "short_seconds": 300},
        {"factor": 1.0, "seconds": 259200, "short_seconds": 21600}]}"#,
    r#"{"kind": "measure", "of": "average", "seconds": 300, "field": "value", "bounds": {"gt": 0.9}}"#,
    r#"{"kind": "measure", "of": "minimum", "seconds": 300, "field": "value", "bounds": {"gte": 0.5}, "threshold": 5}"#,
    r#"{"kind": "measure", "of": "maximum", "seconds": 300, "field": "a || b", "bounds": {"lt": 0.5, "gt": 0.1}}"#,
    r#"{"kind": "measure", "of": "percentile", "percentile": 99.9, "seconds": 300, "field": "duration",
        "bounds": {"gt": 0.5}}"#,
    r#"{"kind": "travel"}"#,
    r#"{"kind": "travel", "speed_kmh": 300, "distance_km": 50, "latitude": "a", "longitude": "b || c"}"#,
];

#[test]
fn every_kind_is_written_as_it_is_read() {
    for window in WINDOWS {
        let window: Value = serde_json::from_str(window).unwrap();
        let rule = RuleDef::from_json(&windowed(&window, json!({"group_by": ["service"]})));
        let rule = rule.unwrap_or_else(|problem| panic!("{window}: {problem}"));
        let written = rule.to_json();
        assert_eq!(RuleDef::from_json(&written).as_ref(), Ok(&rule), "{window}");
        for (name, value) in window.as_object().unwrap() {
            if !matches!(name.as_str(), "base" | "steps") {
                let same = &written["window"][name];
                assert!(
                    same == value || same.as_f64() == value.as_f64(),
                    "{window} {name}"
                );
            }
        }
        compiled(vec![rule]);
    }
}

const WRONG: &[(&str, &str)] = &[
    (
        r#"{"kind": "sum", "seconds": 60, "threshold": 0, "field": "bytes"}"#,
        "window.threshold: must be a number from 0.000001 to 1000000000000000",
    ),
    (
        r#"{"kind": "sum", "seconds": 60, "threshold": 5}"#,
        "window.field: is required",
    ),
    (
        r#"{"kind": "sum", "seconds": 60, "threshold": 5, "field": "*"}"#,
        "window.field: must name a field",
    ),
    (
        r#"{"kind": "ratio", "seconds": 60, "threshold": 5}"#,
        "window.percent: is required",
    ),
    (
        r#"{"kind": "ratio", "seconds": 60, "percent": 5}"#,
        "window.threshold: is required",
    ),
    (
        r#"{"kind": "ratio", "seconds": 60, "threshold": 5, "percent": 5, "over_percent": 6}"#,
        "window.percent: stands beside over_percent",
    ),
    (
        r#"{"kind": "ratio", "seconds": 60, "threshold": 5, "over_percent": 100}"#,
        "window.over_percent: must be a number from 0.001 to 99.999",
    ),
    (
        r#"{"kind": "ratio", "seconds": 60, "threshold": 5, "percent": 5, "base": {"op": "eq"}}"#,
        "window.base.field: is required",
    ),
    (
        r#"{"kind": "rate", "seconds": 60, "per_second": 0.01}"#,
        "window.per_second: makes less than two events in 60 seconds",
    ),
    (
        r#"{"kind": "rate", "seconds": 86400, "per_second": 1000000}"#,
        "window.per_second: makes too many events in 86400 seconds",
    ),
    (
        r#"{"kind": "rate", "seconds": 60, "threshold": 1}"#,
        "window.per_second: is required",
    ),
    (r#"{"kind": "burn_rate"}"#, "window.objective: is required"),
    (
        r#"{"kind": "burn_rate", "objective": 100}"#,
        "window.objective: must be a number from 50 to 99.999",
    ),
    (
        r#"{"kind": "burn_rate", "objective": 99, "rates": [{"factor": 2, "seconds": 3600, "short_seconds": 60}]}"#,
        "window.rates: must be pairs of 60 to 259200 seconds, the shortest first, the long window at most 24 times the short one",
    ),
    (
        r#"{"kind": "burn_rate", "objective": 90}"#,
        "window.rates[0].factor: asks for more bad events than there are: the objective leaves too much",
    ),
    (
        r#"{"kind": "burn_rate", "objective": 99, "rates": [{"factor": 2}]}"#,
        "window.rates[0].seconds: is required",
    ),
    (
        r#"{"kind": "burn_rate", "objective": 99, "rates": [{"factor": 0, "seconds": 3600}]}"#,
        "window.rates[0].factor: must be a number from 0.1 to 1000",
    ),
    (
        r#"{"kind": "measure", "of": "median", "seconds": 60, "field": "a", "bounds": {"gt": 1}}"#,
        "window.of: must be average, minimum, maximum, percentile, increase, or rate",
    ),
    (
        r#"{"kind": "measure", "of": "percentile", "seconds": 60, "field": "a", "bounds": {"gt": 1}}"#,
        "window.percentile: is required",
    ),
    (
        r#"{"kind": "measure", "of": "average", "percentile": 9, "seconds": 60, "field": "a", "bounds": {"gt": 1}}"#,
        "window.percentile: stands where nothing is said of a percentile",
    ),
    (
        r#"{"kind": "measure", "of": "average", "seconds": 60, "field": "a"}"#,
        "window.bounds: is required",
    ),
    (
        r#"{"kind": "measure", "of": "rate", "seconds": 60, "field": "a", "bounds": {"gt": 1}}"#,
        "window.of: is of counters, and these are metrics: the rule's scope must be metrics alone",
    ),
    (
        r#"{"kind": "sequence", "seconds": 60, "steps": [{"selection": {"field": "a", "op": "exists"}}]}"#,
        "window.steps: must be a list of 2 to 8 steps",
    ),
    (
        r#"{"kind": "sequence", "seconds": 60, "steps": [{"selection": []}, {}]}"#,
        "window.steps[0].selection: must be a list that is not empty",
    ),
    (
        r#"{"kind": "sequence", "seconds": 60, "steps": [{"selection": {"field": "a", "op": "exists"}},
            {"selection": {"field": "a", "op": "exists"}, "count": 200}]}"#,
        "window.steps: take more than 200 events together",
    ),
    (
        r#"{"kind": "new_value", "days": 31, "field": "a"}"#,
        "window.days: must be a whole number from 1 to 30",
    ),
    (r#"{"kind": "silence"}"#, "window.seconds: is required"),
    (
        r#"{"kind": "silence", "seconds": 60, "field": "a"}"#,
        "window.field: is not a member known here",
    ),
    (
        r#"{"kind": "spike", "factor": 0.5}"#,
        "window.factor: must be a number from 1 to 1000",
    ),
    (
        r#"{"kind": "spike", "factor": 3, "baseline": "yesterday"}"#,
        "window.baseline: must be same_hour, every_hour, or hour_of_week",
    ),
    (
        r#"{"kind": "spike", "factor": 3, "days": 10, "baseline": "hour_of_week"}"#,
        "window.days: must be whole weeks where hours of the week are compared",
    ),
    (
        r#"{"kind": "travel", "speed_kmh": 50}"#,
        "window.speed_kmh: must be a whole number from 100 to 10000",
    ),
    (
        r#"{"kind": "travel", "latitude": ""}"#,
        "window.latitude: must not be empty",
    ),
];

#[test]
fn what_is_wrong_is_named_by_its_place() {
    for (window, problem) in WRONG {
        let value: Value = serde_json::from_str(window).unwrap();
        let read = RuleDef::from_json(&windowed(&value, json!({})));
        assert_eq!(read.unwrap_err().to_string(), *problem, "{window}");
    }
}

/// Indexes of the events at which it fires.
fn fires(window: &Value, rest: Value, events: &[Value]) -> Vec<usize> {
    let rule = RuleDef::from_json(&windowed(window, rest)).unwrap();
    dry_run(&rule, SETTINGS, Signal::Logs, events, 0)
        .unwrap()
        .fired
}

fn log(second: u32, attributes: Value) -> Value {
    let (minute, second) = (second / 60, second % 60);
    json!({"message": "m", "timestamp": format!("2024-06-12T12:{minute:02}:{second:02}Z"), "attributes": attributes})
}

#[test]
fn sums_are_of_the_numbers_of_a_field_by_group() {
    let window = json!({"kind": "sum", "seconds": 60, "threshold": 100, "field": "bytes"});
    let events = [
        log(0, json!({"bytes": 60, "host": "a"})),
        log(10, json!({"bytes": 39.5, "host": "a"})),
        log(20, json!({"bytes": 90, "host": "b"})),
        log(30, json!({"bytes": "n/a", "host": "a"})),
        log(59, json!({"bytes": "0.5", "host": "a"})),
        log(60, json!({"bytes": 10, "host": "a"})),
        log(61, json!({"bytes": 60, "host": "a"})),
    ];
    assert_eq!(
        fires(&window, json!({"group_by": ["host"]}), &events),
        [4, 6]
    );
}

#[test]
fn shares_are_of_the_base_and_exceptions_belong_to_neither() {
    let window = json!({"kind": "ratio", "seconds": 60, "threshold": 2, "percent": 50,
        "base": [is("kind", "call")]});
    let failed = json!({"selection": [is("status", "failed")], "exceptions": [
        {"selection": [is("host", "test")], "reason": "r"}]});
    let call = |second, status: &str| log(second, json!({"kind": "call", "status": status}));
    let events = [
        call(0, "ok"),
        call(1, "ok"),
        call(2, "failed"),
        log(3, json!({"kind": "note", "status": "failed"})),
        log(
            4,
            json!({"kind": "call", "status": "failed", "host": "test"}),
        ),
        log(5, json!({"kind": "call", "status": "ok", "host": "test"})),
        call(6, "failed"),
        call(7, "ok"),
    ];
    assert_eq!(fires(&window, failed.clone(), &events), [6]);
    let rule = RuleDef::from_json(&windowed(&window, failed)).unwrap();
    let run = dry_run(&rule, SETTINGS, Signal::Logs, &events, 0).unwrap();
    assert_eq!(run.matched, [2, 6]);
}

#[test]
fn rates_are_per_second_over_the_window() {
    let window = json!({"kind": "rate", "seconds": 10, "per_second": 0.5});
    let events: Vec<Value> = [0, 1, 2, 9, 10, 11]
        .map(|second| log(second, json!({})))
        .into();
    assert_eq!(fires(&window, json!({}), &events), [0_usize; 0]);
    let events: Vec<Value> = [0, 1, 2, 5, 9].map(|second| log(second, json!({}))).into();
    assert_eq!(fires(&window, json!({}), &events), [4]);
}

#[test]
fn a_budget_burns_by_the_share_of_bad_events_in_both_windows() {
    let window = json!({"kind": "burn_rate", "objective": 90, "base": [is("kind", "call")],
        "rates": [{"factor": 2, "seconds": 1200, "short_seconds": 60}]});
    let failed = || json!({"selection": [is("status", "failed")], "group_by": ["host"]});
    let call = |second, status: &str| {
        log(
            second,
            json!({"kind": "call", "status": status, "host": "a"}),
        )
    };
    let mut events: Vec<Value> = (0..16).map(|second| call(second, "ok")).collect();
    events.push(log(
        90,
        json!({"kind": "note", "status": "failed", "host": "a"}),
    ));
    events.push(log(
        90,
        json!({"kind": "call", "status": "failed", "host": "b"}),
    ));
    events.extend((100..104).map(|second| call(second, "failed")));
    // Of host b all there is has failed; of host a a fifth is what the pace allows.
    assert_eq!(fires(&window, failed(), &events), [17]);
    events.push(call(104, "failed"));
    assert_eq!(fires(&window, failed(), &events), [17, 22]);
    // It has stopped: good ones alone in the short window, though the long one is over.
    let mut over = events.clone();
    over.extend((0..5).map(|n| call(400 + n, "ok")));
    assert_eq!(fires(&window, failed(), &over), [17, 22]);
    // So many bad ones are asked for.
    let mut more = window.clone();
    more["threshold"] = json!(5);
    assert_eq!(fires(&more, failed(), &events), [22]);
}

#[test]
fn a_budget_may_be_of_what_events_stand_for() {
    let window = json!({"kind": "burn_rate", "objective": 90, "field": "count",
        "rates": [{"factor": 2, "seconds": 60}]});
    let window = |seconds: u32| {
        let mut window = window.clone();
        window["rates"][0] = json!({"factor": 2, "seconds": seconds, "short_seconds": 60});
        window
    };
    let failed = || json!({"selection": [is("status", "failed")]});
    let of =
        |second, status: &str, count: Value| log(second, json!({"status": status, "count": count}));
    let events = |failures: u32| {
        [
            of(0, "ok", json!(80)),
            of(1, "failed", json!("none")),
            of(2, "failed", json!(0.5)),
            of(3, "failed", json!(failures)),
        ]
    };
    assert_eq!(fires(&window(600), failed(), &events(20)), [0_usize; 0]);
    assert_eq!(fires(&window(600), failed(), &events(21)), [3]);
}

fn metric(second: u32, value: f64, labels: &str) -> Value {
    let (minute, second) = (second / 60, second % 60);
    let labels: Value = serde_json::from_str(labels).unwrap();
    json!({"name": "m", "value": value, "labels": labels, "service": "shop",
           "timestamp": format!("2024-06-12T12:{minute:02}:{second:02}Z")})
}

/// Indexes of the samples at which a rule over metrics fires.
fn fires_of_metrics(window: &Value, group: &str, samples: &[Value]) -> Vec<usize> {
    let rest = json!({"selection": [is("name", "m")], "scope": ["metrics"], "group_by": [group]});
    let rule = RuleDef::from_json(&windowed(window, rest)).unwrap();
    assert_eq!(RuleDef::from_json(&rule.to_json()).as_ref(), Ok(&rule));
    dry_run(&rule, SETTINGS, Signal::Metrics, samples, 0)
        .unwrap()
        .fired
}

#[test]
fn values_are_measured_by_group() {
    let measure = |of: &str, bounds: Value| {
        json!({"kind": "measure", "of": of, "field": "value", "seconds": 60, "bounds": bounds,
               "threshold": 3})
    };
    let (a, b) = (r#"{"host": "a"}"#, r#"{"host": "b"}"#);
    let samples = [
        metric(0, 80.0, a),
        metric(1, 99.0, b),
        metric(10, 95.0, a),
        metric(20, 98.0, a),
        metric(65, 99.0, a),
        metric(75, 100.0, a),
    ];
    let fires = |of: &str, bounds: Value| fires_of_metrics(&measure(of, bounds), "host", &samples);
    assert_eq!(fires("average", json!({"gt": 91})), [4, 5]);
    assert_eq!(fires("average", json!({"gte": 91})), [3, 4, 5]);
    assert_eq!(fires("minimum", json!({"gt": 94})), [4, 5]);
    assert_eq!(fires("maximum", json!({"lt": 99})), [3]);
}

#[test]
fn counters_grow_series_by_series_and_begin_anew() {
    let measure = |of: &str, bounds: Value| json!({"kind": "measure", "of": of, "field": "value", "seconds": 60, "bounds": bounds});
    let (a, turned) = (
        r#"{"host": "a", "code": "500"}"#,
        r#"{"code": "500", "host": "a"}"#,
    );
    let b = r#"{"host": "b", "code": "500"}"#;
    let samples = [
        metric(0, 100.0, a),
        metric(1, 9_000.0, b),
        metric(15, 112.0, turned),
        metric(16, 9_001.0, b),
        metric(30, 3.0, a),
        metric(31, 9_002.0, b),
        metric(45, 13.0, a),
    ];
    let fires =
        |of: &str, bounds: Value| fires_of_metrics(&measure(of, bounds), "service", &samples);
    // 12, then 3 since it began anew, then 10.
    assert_eq!(fires("increase", json!({"gte": 12})), [2, 4, 6]);
    assert_eq!(fires("increase", json!({"gt": 15})), [6]);
    assert_eq!(fires("increase", json!({"gt": 25})), [0_usize; 0]);
    assert_eq!(fires("rate", json!({"gte": 0.25})), [4, 6]);
    // One that hardly moves.
    assert_eq!(fires("increase", json!({"lt": 2})), [3]);
    // Alerts are told apart by what the rule groups by, and not by series.
    let rest = json!({"scope": ["metrics"], "group_by": ["service"]});
    let document = windowed(&measure("increase", json!({"gt": 1})), rest);
    let set = compiled(vec![RuleDef::from_json(&document).unwrap()]);
    let events = json!([{"name": "m", "value": 1, "message": "m", "labels": {"host": "a"}},
                        {"name": "m", "value": 1, "message": "m", "labels": {"host": "b"}}]);
    let matches = evaluated(&set, Signal::Metrics, &events, Verdict::NONE);
    let (one, other) = (matches[0][0], matches[1][0]);
    assert_ne!(one.group, other.group);
    assert_eq!(one.dedupe, other.dedupe);
    assert!(one.dedupe.is_some());
}

#[test]
fn percentiles_of_durations_are_those_of_spans() {
    let window = json!({"kind": "measure", "of": "percentile", "percentile": 90, "field": "duration",
        "seconds": 300, "bounds": {"gt": 1_000_000_000}, "threshold": 5});
    let rest = json!({"selection": [is("name", "GET /")], "scope": ["traces"]});
    let rule = RuleDef::from_json(&windowed(&window, rest)).unwrap();
    let span = |milliseconds: i64| {
        let start = 1_718_193_600_000_i64;
        json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331",
               "name": "GET /", "start_time": start, "end_time": start + milliseconds})
    };
    let run = |slow: &[i64]| {
        let spans: Vec<Value> = slow.iter().map(|one| span(*one)).collect();
        dry_run(&rule, SETTINGS, Signal::Traces, &spans, 0)
            .unwrap()
            .fired
    };
    assert_eq!(run(&[3_000, 3_000, 3_000, 3_000]), [0_usize; 0]);
    assert_eq!(run(&[10, 10, 10, 10, 900, 10, 10, 1_200]), [0_usize; 0]);
    assert_eq!(run(&[10, 10, 10, 10, 2_900]), [4]);
}

#[test]
fn sequences_are_of_one_group_in_order_and_in_time() {
    let step = |value: &str| json!({"selection": is("what", value)});
    let window = json!({"kind": "sequence", "seconds": 60, "steps": [
        {"selection": is("what", "failure"), "count": 2}, step("success"), step("export")]});
    let event = |second, what: &str, user: &str| log(second, json!({"what": what, "user": user}));
    let rest = || json!({"group_by": ["user"]});
    let attack = [
        event(0, "failure", "ann"),
        event(5, "failure", "ann"),
        event(10, "success", "ann"),
        event(20, "export", "bob"),
        event(30, "export", "ann"),
    ];
    assert_eq!(fires(&window, rest(), &attack), [4]);
    // Late ones are sorted in.
    let mut late = attack.clone();
    late.swap(1, 4);
    assert_eq!(fires(&window, rest(), &late), [4]);
    let mut slow = attack.clone();
    slow[4] = event(60, "export", "ann");
    assert_eq!(fires(&window, rest(), &slow), [0_usize; 0]);
    let mut backwards = attack;
    backwards[2] = event(40, "success", "ann");
    assert_eq!(fires(&window, rest(), &backwards), [0_usize; 0]);
}

#[test]
fn a_sequence_wants_the_selection_of_every_step() {
    let step = |value: &str| json!({"selection": is("what", value)});
    let window = json!({"kind": "sequence", "seconds": 60, "steps": [step("a"), step("b")]});
    let rest = || json!({"selection": [is("host", "h")], "dedupe": {"keys": []}});
    let on = |host: &str| {
        [
            log(0, json!({"what": "a", "host": host})),
            log(1, json!({"what": "b", "host": "h"})),
        ]
    };
    assert_eq!(fires(&window, rest(), &on("h")), [1]);
    assert_eq!(fires(&window, rest(), &on("g")), [0_usize; 0]);
}

#[test]
fn silence_is_noticed_by_whatever_comes_next() {
    let window = json!({"kind": "silence", "seconds": 60});
    let rest = json!({"group_by": ["host"], "selection": [is("what", "beat")]});
    let beat = |second, host: &str| log(second, json!({"what": "beat", "host": host}));
    let events = [
        beat(0, "a"),
        beat(0, "b"),
        beat(50, "b"),
        log(59, json!({})),
        log(60, json!({})),
        beat(70, "b"),
        log(130, json!({})),
        log(200, json!({})),
    ];
    assert_eq!(fires(&window, rest, &events), [4, 6]);
}

#[test]
fn new_values_need_history() {
    let window = json!({"kind": "new_value", "days": 1, "field": "from"});
    let rest = json!({"group_by": ["user"]});
    let event = |second, from: &str, user: &str| log(second, json!({"from": from, "user": user}));
    let events = [
        event(0, "DE", "ann"),
        event(1, "FR", "ann"),
        event(2, "DE", "ann"),
        event(3, "BR", "bob"),
        event(4, "unknown", "bob"),
        event(5, "US", "bob"),
    ];
    assert_eq!(fires(&window, rest, &events), [1, 5]);
}

#[test]
fn an_event_that_counts_in_a_base_only_is_marked() {
    let document = windowed(
        &json!({"kind": "ratio", "seconds": 60, "threshold": 1, "percent": 50}),
        json!({"selection": [is("message", "bad")], "group_by": ["service"]}),
    );
    let set = compiled(vec![RuleDef::from_json(&document).unwrap()]);
    let events = json!([{"message": "bad"}, {"message": "good"}]);
    let matches = evaluated(&set, Signal::Logs, &events, Verdict::NONE);
    let marks: Vec<_> = matches
        .iter()
        .map(|all| (all[0].is_base, all[0].distinct))
        .collect();
    assert_eq!(
        marks,
        [
            (false, Some(weighed(1, true))),
            (true, Some(weighed(1, false)))
        ]
    );
    assert_eq!(matches[0][0].dedupe, matches[0][0].group);
}

/// What `docs/detection.md` says of windows.
#[test]
fn the_worked_examples_are_rules() {
    let document = include_str!("../../../../docs/detection.md");
    let (_, rest) = document.split_once("\n## Windows\n").unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let blocks = section.split("```json\n").skip(1);
    let mut kinds = Vec::new();
    for block in blocks.map(|block| block.split_once("```").unwrap().0) {
        let mut rule: Value = serde_json::from_str(block).unwrap();
        let Some(kind) = rule["window"]["kind"].as_str() else {
            continue;
        };
        kinds.push(kind.to_owned());
        rule["id"] = json!("r");
        rule["severity"] = json!("low");
        compiled(vec![RuleDef::from_json(&rule).unwrap()]);
    }
    let expected = [
        "sum",
        "rate",
        "ratio",
        "sequence",
        "new_value",
        "silence",
        "spike",
        "travel",
        "burn_rate",
        "measure",
        "measure",
        "measure",
    ];
    assert_eq!(kinds, expected);
    let (_, monitor) = section.split_once("<<'RULE'\n").unwrap();
    let (monitor, _) = monitor.split_once("\nRULE\n").unwrap();
    compiled(vec![
        RuleDef::from_json(&serde_json::from_str(monitor).unwrap()).unwrap(),
    ]);
    let (_, trial) = section.split_once("<<'EOF'\n").unwrap();
    let (trial, _) = trial.split_once("\nEOF\n").unwrap();
    let trial: Value = serde_json::from_str(trial).unwrap();
    let rule = RuleDef::from_json(&trial["rule"]).unwrap();
    let events = trial["events"].as_array().unwrap();
    let run = dry_run(&rule, SETTINGS, Signal::Audit, events, 0).unwrap();
    assert_eq!((run.matched, run.fired), (vec![0, 1], vec![1]));
}
