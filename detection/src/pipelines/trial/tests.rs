use super::*;
use millrace_shared::Signal;
use serde_json::json;

fn pipeline(signal: Signal, steps: Json) -> Pipeline {
    Pipeline::from_json(signal, &steps).unwrap()
}

/// What one log record becomes.
fn becomes(steps: Json, event: Json) -> Tried {
    let pipeline = pipeline(Signal::Logs, steps);
    dry_run(&pipeline, &[event]).unwrap().remove(0)
}

fn field(tried: &Tried, name: &str) -> Json {
    tried.event.as_ref().unwrap()[name].clone()
}

#[test]
fn fields_are_renamed_mapped_defaulted_and_removed_in_order() {
    let steps = json!([
        {"rename": {"from": "lvl", "to": "level"}},
        {"rename": {"from": "attributes.node", "to": "host"}},
        {"map": {"field": "region", "values": {"1": "eu", "2": "us"}, "otherwise": "elsewhere"}},
        {"default": {"field": "environment", "value": "prod"}},
        {"default": {"field": "host", "value": "never"}},
        {"remove": {"fields": ["secret", "missing"]}},
        {"remove": {"fields": ["missing"]}},
    ]);
    let event = json!({"message": "m", "attributes": {"lvl": "WARN", "node": "n1", "region": 2, "secret": "x"}});
    let tried = becomes(steps, event);
    let expected = json!({"message": "m", "level": "WARN", "host": "n1", "attributes.region": "us",
        "environment": "prod"});
    assert_eq!(Json::Object(tried.event.unwrap()), expected);
    assert_eq!(tried.changed_by, [0, 1, 2, 3, 5]);
}

#[test]
fn what_a_core_field_cannot_take_stays_an_attribute() {
    let steps = json!([
        {"rename": {"from": "lvl", "to": "level"}},
        {"rename": {"from": "at", "to": "timestamp"}},
    ]);
    let event = json!({"message": "m", "attributes": {"lvl": "Kappa", "at": "yesterday"}});
    let tried = becomes(steps, event);
    assert_eq!(field(&tried, "attributes.level"), "Kappa");
    assert_eq!(field(&tried, "attributes.timestamp"), "yesterday");
    assert!(tried.event.unwrap().get("level").is_none());
}

#[test]
fn a_time_is_taken_over_when_such_an_event_would_have_been_taken() {
    let steps = json!([{"rename": {"from": "at", "to": "timestamp"}}]);
    let taken = |at: Json| {
        let event =
            json!({"timestamp": "2024-06-15T12:00:00Z", "message": "m", "attributes": {"at": at}});
        field(&becomes(steps.clone(), event), "timestamp")
    };
    assert_eq!(taken(json!("2024-06-15T11:59:00Z")), "2024-06-15T11:59:00Z");
    assert_eq!(taken(json!(1_718_452_000)), "2024-06-15T11:46:40Z");
    for odd in ["2024-06-17T12:00:00Z", "1999-01-01T00:00:00Z"] {
        assert_eq!(taken(json!(odd)), "2024-06-15T12:00:00Z", "{odd}");
    }
}

#[test]
fn named_groups_are_extracted_into_fields() {
    let steps = json!([
        {"extract": {"field": "message", "regex": r"^(?<level>\w+) user=(?<user>\S+)(?: code=(?<code>\d+))?"}},
    ]);
    let tried = becomes(steps.clone(), json!({"message": "ERROR user=ada rest"}));
    assert_eq!(field(&tried, "level"), "ERROR");
    assert_eq!(field(&tried, "attributes.user"), "ada");
    assert_eq!(tried.event.as_ref().unwrap().get("attributes.code"), None);
    let other = becomes(steps, json!({"message": "nothing of the kind"}));
    assert_eq!(other.changed_by, Vec::<usize>::new());
}

#[test]
fn a_json_message_becomes_the_event_it_says() {
    let steps = json!([{"parse": {"field": "message", "format": "json"}}]);
    let message = r#"{"level":"error","msg":"boom","http":{"status":500},"message":"said"}"#;
    let tried = becomes(steps, json!({"message": message, "level": "info"}));
    let expected = json!({"message": "said", "level": "error", "attributes.msg": "boom", "attributes.http.status": 500});
    assert_eq!(Json::Object(tried.event.unwrap()), expected);
    let steps = json!([{"parse": {"field": "message", "format": "json", "prefix": "j."}}]);
    let tried = becomes(steps, json!({"message": message, "level": "info"}));
    assert_eq!(field(&tried, "level"), "info");
    assert_eq!(field(&tried, "attributes.j.level"), "error");
}

#[test]
fn a_syslog_line_with_a_cef_message_is_taken_apart_in_two_steps() {
    let steps = json!([
        {"parse": {"field": "message", "format": "syslog"}},
        {"parse": {"field": "message", "format": "cef"}, "when": [{"field": "message", "op": "starts_with", "value": "CEF:"}]},
        {"rename": {"from": "syslog.appname", "to": "service"}},
    ]);
    let line =
        "<134>1 2024-06-12T10:00:00Z fw1 firewall 7 - - CEF:0|V|P|1|4|Deny|5|src=10.1.2.3 act=deny";
    let tried = becomes(
        steps,
        json!({"timestamp": "2024-06-12T10:00:05Z", "message": line}),
    );
    assert_eq!(tried.changed_by, [0, 1, 2]);
    for (name, value) in [
        ("timestamp", "2024-06-12T10:00:00Z"),
        ("level", "info"),
        ("host", "fw1"),
        ("service", "firewall"),
        ("attributes.cef.src", "10.1.2.3"),
        ("attributes.syslog.facility", "local0"),
    ] {
        assert_eq!(field(&tried, name), value, "{name}");
    }
}

#[test]
fn events_are_dropped_by_condition_and_no_step_comes_after() {
    let steps = json!([
        {"map": {"field": "level", "values": {"verbose": "debug"}}},
        {"drop": {}, "when": [{"field": "level", "op": "eq", "value": "debug"}]},
        {"default": {"field": "kept", "value": "yes"}},
    ]);
    let pipeline = pipeline(Signal::Logs, steps);
    let events = [
        json!({"message": "a", "level": "verbose"}),
        json!({"message": "b", "level": "info"}),
    ];
    let tried = dry_run(&pipeline, &events).unwrap();
    assert_eq!(
        tried[0],
        Tried {
            event: None,
            changed_by: vec![0, 1]
        }
    );
    assert_eq!(tried[1].changed_by, [2]);
}

#[test]
fn labels_of_a_metric_are_text() {
    let steps = json!([
        {"rename": {"from": "labels.az", "to": "zone"}},
        {"default": {"field": "service", "value": "s"}},
        {"rename": {"from": "environment", "to": "stage"}},
    ]);
    let pipeline = pipeline(Signal::Metrics, steps);
    let event = json!({"name": "n", "value": 1, "service": "a", "environment": "test", "labels": {"az": "b"}});
    let tried = dry_run(&pipeline, &[event]).unwrap().remove(0);
    assert_eq!(field(&tried, "attributes.zone"), "b");
    assert_eq!(field(&tried, "attributes.stage"), "test");
    assert_eq!(tried.changed_by, [0, 2]);
}

#[test]
fn fields_are_bounded_however_much_a_message_holds() {
    let steps = json!([{"parse": {"field": "message", "format": "logfmt"}}]);
    let message: String = (0..2_000).map(|n| format!("k{n}={n} ")).collect();
    let tried = becomes(steps, json!({"message": message}));
    assert_eq!(tried.event.unwrap().len(), super::super::FIELDS_MAX);
}

/// Fails unless each of these lists of steps is refused with a problem that begins so.
fn refused(signal: Signal, mistakes: &[(Json, &str)]) {
    for (steps, expected) in mistakes {
        let problem = Pipeline::from_json(signal, steps).unwrap_err().to_string();
        assert!(
            problem.starts_with(expected),
            "{problem} instead of {expected}"
        );
    }
}

#[test]
fn a_step_has_one_action_and_a_drop_its_condition() {
    let many = json!(vec![json!({"default": {"field": "a", "value": "b"}}); 101]);
    let two = json!([{"rename": {"from": "a", "to": "b"}, "drop": {}}]);
    let near = json!([{"drop": {}, "when": [{"field": "a", "op": "near", "value": 1}]}]);
    let when = |condition: Json| json!([{"drop": {}, "when": [condition]}]);
    let later = "steps[0].when: asks for a window, an indicator score";
    let mistakes = [
        (json!({}), "steps: must be a list"),
        (json!([{}]), "steps[0]: needs one of"),
        (json!([{"drop": {}}]), "steps[0].drop: needs a `when`"),
        (two, "steps[0]: needs one of"),
        (near, "steps[0].when[0]"),
        (when(json!({"op": "after_hours", "value": true})), later),
        (
            when(json!({"none": [{"op": "ioc_score_gte", "value": 40}]})),
            later,
        ),
        (many, "steps: are more than 100"),
    ];
    refused(Signal::Logs, &mistakes);
}

#[test]
fn fields_that_an_event_needs_are_spared() {
    let rename = |from: &str, to: &str| json!([{"rename": {"from": from, "to": to}}]);
    let remove = |fields: &[&str]| json!([{"remove": {"fields": fields}}]);
    let mistakes = [
        (rename("message", "b"), "steps[0].rename.from: is a field"),
        (
            rename("a", "attributes.a"),
            "steps[0].rename.to: is the same",
        ),
        (
            json!([{"rename": {"from": "a"}}]),
            "steps[0]: missing field `to`",
        ),
        (
            remove(&["x", "timestamp"]),
            "steps[0].remove.fields[1]: is a",
        ),
        (remove(&[]), "steps[0].remove.fields: must be 1 to"),
    ];
    refused(Signal::Logs, &mistakes);
    let fixed = "steps[0].rename.from: is a field that events are found by";
    refused(Signal::Traces, &[(rename("trace_id", "x"), fixed)]);
}

#[test]
fn values_expressions_and_formats_are_checked() {
    let extract = |regex: &str| json!([{"extract": {"field": "message", "regex": regex}}]);
    let default = |field: &str, value: &str| json!([{"default": {"field": field, "value": value}}]);
    let long = "x".repeat(5_000);
    let xml = json!([{"parse": {"field": "message", "format": "xml"}}]);
    let mistakes = [
        (extract("(a"), "steps[0].extract.regex: regex parse error"),
        (extract("(a)"), "steps[0].extract.regex: has no named"),
        (
            extract("(?<a>.{1000}){1000}"),
            "steps[0].extract.regex: Compiled",
        ),
        (extract(&long), "steps[0].extract.regex: is longer"),
        (xml, "steps[0].parse.format: must be one of syslog"),
        (
            json!([{"map": {"field": "a", "values": {}}}]),
            "steps[0].map.values: must be",
        ),
        (default("a", &long), "steps[0].default.value: is longer"),
        (default("", "x"), "steps[0].default.field: must be the path"),
    ];
    refused(Signal::Logs, &mistakes);
}
