use super::trial::{DryRun, dry_run};
use super::*;
use crate::indicators::Verdict;
use bumpalo::Bump;
use millrace_shared::Signal;
use millrace_shared::wire::{Body, BodyFormat, Validity};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

mod candidates;
mod lists;
mod remembered;
mod windows;

const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [7; 32],
    hours: BusinessHours::UTC_OFFICE,
};

fn rule(mut document: Value) -> RuleDef {
    let defaults = json!({"id": "r", "severity": "low"});
    for (name, value) in defaults.as_object().unwrap() {
        document
            .as_object_mut()
            .unwrap()
            .entry(name)
            .or_insert(value.clone());
    }
    RuleDef::from_json(&document).unwrap()
}

fn selecting(selection: Value) -> RuleDef {
    rule(json!({"selection": selection}))
}

/// Reads events of a signal and evaluates each.
fn evaluated(
    set: &RuleSet,
    signal: Signal,
    events: &Value,
    verdict: Verdict,
) -> Vec<Vec<RuleMatch>> {
    let body = json!({
        signal.body_key(): events,
        "resource": {"service_name": "shop", "region": "eu"},
    });
    let bytes = body.to_string();
    let arena = Bump::new();
    let body = Body {
        signal,
        format: BodyFormat::Json,
        validity: Validity::ANY,
        bytes: bytes.as_bytes(),
    };
    let (mut scratch, mut all) = (Scratch::default(), Vec::new());
    body.read(&arena, |resource, event| {
        let event = event.unwrap();
        let at = event.timestamp.unwrap_or(0);
        let view = EventView {
            event,
            resource,
            timestamp_ns: at,
            received_ns: at,
            verdict,
        };
        let mut matches = Vec::new();
        set.evaluate(&view, &mut scratch, &mut matches);
        all.push(matches);
    })
    .unwrap();
    all
}

fn compiled(rules: Vec<RuleDef>) -> RuleSet {
    let (set, errors) = RuleSet::compile(rules.into_iter().map(Arc::new), SETTINGS);
    assert!(errors.is_empty(), "{errors:?}");
    set
}

fn selects(selection: Value, event: &Value) -> bool {
    let set = compiled(vec![selecting(selection)]);
    let matches = evaluated(&set, Signal::Logs, &json!([event]), Verdict::NONE);
    !matches[0].is_empty()
}

const OPERATORS: &[(&str, &str, &str, bool)] = &[
    ("level", "eq", r#""error""#, true),
    ("level", "eq", r#""ERROR""#, false),
    ("level", "eq_ci", r#""ERROR""#, true),
    ("level", "neq", r#""error""#, false),
    ("level", "neq_ci", r#""ERROR""#, false),
    ("missing", "neq", r#""x""#, true),
    ("missing", "eq", r#""x""#, false),
    ("message", "contains", r#""login of""#, true),
    ("message", "contains", r#""LOGIN""#, false),
    ("message", "contains_ci", r#""LOGIN""#, true),
    ("message", "contains", r#"["nope", "Admin"]"#, true),
    ("level", "in", r#"["warn", "error"]"#, true),
    ("level", "not_in", r#"["warn", "error"]"#, false),
    ("level", "not_in_ci", r#"["WARN"]"#, true),
    ("missing", "not_in", r#"["x"]"#, true),
    ("code", "in", r#"[404, 500]"#, true),
    ("code", "eq", r#""500""#, true),
    ("text_code", "eq", r#"500"#, true),
    ("ok", "eq", r#"true"#, true),
    ("message", "starts_with", r#""Failed""#, true),
    ("message", "starts_with", r#""failed""#, false),
    ("message", "starts_with_ci", r#""failed""#, true),
    ("message", "ends_with", r#""2.3""#, true),
    ("message", "ends_with_ci", r#""FROM""#, false),
    ("message", "regex", r#""of \\w+ from""#, true),
    ("message", "regex", r#""ADMIN""#, false),
    ("message", "regex_ci", r#""ADMIN""#, true),
    ("code", "regex", r#""^5\\d\\d$""#, true),
    ("code", "exists", r#"true"#, true),
    ("code", "exists", r#"false"#, false),
    ("none", "exists", r#"true"#, false),
    ("missing", "exists", r#"false"#, true),
    ("code", "gt", r#"499"#, true),
    ("code", "gt", r#"500"#, false),
    ("code", "gte", r#"500"#, true),
    ("text_code", "lt", r#"501"#, true),
    ("ratio", "lte", r#"0.25"#, true),
    ("missing", "lt", r#"1"#, false),
    ("level", "gte", r#""warn""#, true),
    ("level", "gt", r#""error""#, false),
    ("ip", "cidr", r#""10.0.0.0/8""#, true),
    ("ip", "cidr", r#"["192.168.0.0/16", "10.1.2.3"]"#, true),
    ("ip", "cidr", r#""11.0.0.0/8""#, false),
    ("tags", "eq", r#""red""#, true),
    ("tags", "eq_ci", r#""blue""#, true),
    ("tags", "eq", r#"7"#, true),
    ("tags", "neq", r#""red""#, false),
    ("tags", "contains", r#""lu""#, true),
    ("user.name", "eq", r#""Ann""#, true),
    ("code", "contains", r#""50""#, true),
];

#[test]
fn every_operator() {
    let event = json!({
        "message": "Failed login of Admin from 10.1.2.3",
        "level": "error",
        "attributes": {
            "code": 500, "text_code": "500", "ratio": 0.25, "ok": true, "none": null,
            "tags": ["red", "Blue", 7], "ip": "10.1.2.3", "user": {"name": "Ann"},
        },
    });
    for (field, op, value, expected) in OPERATORS {
        let value: Value = serde_json::from_str(value).unwrap();
        let condition = json!({"field": field, "op": op, "value": value});
        assert_eq!(
            selects(json!([condition]), &event),
            *expected,
            "{field} {op} {value}"
        );
    }
}

#[test]
fn paths_with_and_without_prefix_and_their_preference() {
    let event = json!({"message": "m", "service": "own", "attributes": {"http.status": 500, "region": "us"}});
    for (path, value, expected) in [
        ("http.status", json!(500), true),
        ("attributes.http.status", json!(500), true),
        ("metadata.http.status", json!(500), true),
        ("resource.http.status", json!(500), false),
        ("service", json!("own"), true),
        ("service", json!("shop"), false),
        ("resource.service_name", json!("shop"), true),
        ("region", json!("us"), true),
        ("region", json!("eu"), false),
        ("resource.region", json!("eu"), true),
    ] {
        let condition = json!({"field": path, "op": "eq", "value": value});
        assert_eq!(
            selects(json!([condition]), &event),
            expected,
            "{path} {value}"
        );
    }
    assert!(selects(
        json!([{"field": "service", "op": "eq", "value": "shop"}]),
        &json!({"message": "m"})
    ));
}

#[test]
fn aliases_and_core_fields_of_audit_events() {
    let event = json!({
        "event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE", "ip": "8.8.8.8",
        "actor": {"email": "a@corp.com", "name": "Ann"}, "targets": [{"id": "t1"}, {"id": "t2"}],
    });
    for (path, value) in [
        ("result", "FAILURE"),
        ("address", "8.8.8.8"),
        ("actor", "a@corp.com"),
        ("actor.name", "Ann"),
        ("targets.id", "t2"),
    ] {
        let set = compiled(vec![selecting(
            json!([{"field": path, "op": "eq", "value": value}]),
        )]);
        let matches = evaluated(&set, Signal::Audit, &json!([event]), Verdict::NONE);
        assert_eq!(matches[0].len(), 1, "{path}");
    }
}

#[test]
fn groups_of_conditions() {
    let is = |field: &str, value: &str| json!({"field": field, "op": "eq", "value": value});
    let event = json!({"message": "m", "attributes": {"a": "1", "b": "2"}});
    for (selection, expected) in [
        (json!({"all": [is("a", "1"), is("b", "2")]}), true),
        (json!({"all": [is("a", "1"), is("b", "3")]}), false),
        (json!({"any": [is("a", "9"), is("b", "2")]}), true),
        (json!({"any": [is("a", "9"), is("b", "9")]}), false),
        (json!({"none": [is("a", "9"), is("b", "9")]}), true),
        (json!({"none": [is("a", "9"), is("b", "2")]}), false),
        (
            json!({"all": [is("a", "1")], "any": [is("b", "2"), is("b", "3")], "none": [is("a", "2")]}),
            true,
        ),
        (json!({"all": [{"any": [{"none": [is("a", "2")]}]}]}), true),
        (is("a", "1"), true),
    ] {
        assert_eq!(selects(selection.clone(), &event), expected, "{selection}");
    }
}

#[test]
fn the_conditions_form_with_its_shorthand() {
    let rule = rule(json!({
        "conditions": [{"field": "message", "operator": "contains", "value": "x"}],
        "threshold_count": 3, "group_by": ["service"],
    }));
    assert_eq!(
        rule.window,
        Some(WindowDef::Count {
            seconds: WINDOW_SECONDS_DEFAULT,
            threshold: 3
        })
    );
    let event = json!({"service": "s", "message": "x"});
    let run = |count| {
        let events: Vec<Value> = (0..count).map(|_| event.clone()).collect();
        dry_run(&rule, SETTINGS, Signal::Logs, &events, 0).unwrap()
    };
    assert_eq!(run(2).fired, [0_usize; 0]);
    assert_eq!(
        run(4),
        DryRun {
            matched: vec![0, 1, 2, 3],
            fired: vec![2, 3]
        }
    );
}

const PROBLEMS: &[(&str, &str, &str)] = &[
    (
        "/id",
        r#""a b""#,
        "id: must be letters, digits, and any of _-.:",
    ),
    (
        "/severity",
        r#""huge""#,
        "severity: must be info, low, medium, high, critical, or ioc",
    ),
    ("/colour", r#"1"#, "colour: is not a member known here"),
    (
        "/scope",
        r#"["logs", "x"]"#,
        "scope[1]: must be logs, metrics, traces, rum, or audit",
    ),
    (
        "/attack",
        r#"["X1"]"#,
        "attack[0]: must be an ATT&CK id such as T1110, T1110.003 or TA0006",
    ),
    (
        "/selection/0/op",
        r#""resembles""#,
        "selection[0].op: \"resembles\" is no operator",
    ),
    (
        "/selection/0/op",
        r#""gt_ci""#,
        "selection[0].op: \"gt_ci\" is no operator",
    ),
    (
        "/selection/0/value",
        r#"[]"#,
        "selection[0].value: must be text, a number, true or false (see in)",
    ),
    (
        "/selection/0/valeu",
        r#"1"#,
        "selection[0].valeu: is not a member known here",
    ),
    (
        "/selection/0/field",
        r#"7"#,
        "selection[0].field: must be text",
    ),
    (
        "/selection",
        r#"[]"#,
        "selection: must be a list that is not empty",
    ),
    (
        "/selection",
        r#"{"any": [{"field": "a", "op": "cidr", "value": "x"}]}"#,
        "selection.any[0].value: \"x\" is no network",
    ),
    (
        "/selection",
        r#"{"all": [{"none": [{"op": "eq", "value": 1}]}]}"#,
        "selection.all[0].none[0].field: is required",
    ),
    (
        "/selection",
        r#"[{"op": "ioc_score_gte", "value": 0}]"#,
        "selection[0].value: must be a whole number from 1 to 100",
    ),
    (
        "/window",
        r#"{"kind": "spikes"}"#,
        "window.kind: must be count, distinct, sum, ratio, rate, burn_rate, measure, sequence, new_value, silence, spike, travel, or correlation",
    ),
    (
        "/window",
        r#"{"kind": "count", "seconds": 0}"#,
        "window.seconds: must be a whole number from 1 to 86400",
    ),
    (
        "/window",
        r#"{"kind": "distinct", "seconds": 9, "threshold": 2}"#,
        "window.field: is required",
    ),
    (
        "/threshold_count",
        r#"-1"#,
        "threshold_count: must be a whole number from 1 to 10000",
    ),
    (
        "/group_by",
        r#"["a", "b", "c", "d", "e"]"#,
        "group_by: has more than 4 items",
    ),
    (
        "/mute",
        r#"[{"from": "2024-01-02T00:00:00Z", "until": "2024-01-01T00:00:00Z"}]"#,
        "mute[0].until: must be after from",
    ),
    (
        "/tests",
        r#"[{"expect": "perhaps"}]"#,
        "tests[0].expect: must be match or no_match",
    ),
];

#[test]
fn problems_name_their_place() {
    let good = json!({"id": "r", "severity": "low", "selection": [{"field": "a", "op": "eq", "value": "b"}]});
    for (pointer, value, problem) in PROBLEMS {
        let value: Value = serde_json::from_str(value).unwrap();
        let mut document = good.clone();
        match document.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                let parent = document.pointer_mut(parent).unwrap();
                parent
                    .as_object_mut()
                    .unwrap()
                    .insert(name.to_owned(), value.clone());
            }
        }
        let found = RuleDef::from_json(&document).unwrap_err();
        assert_eq!(found.to_string(), *problem, "{pointer} {value}");
    }
}

#[test]
fn expensive_expressions_are_refused() {
    for pattern in [
        r"(\w{100}){100}".to_owned(),
        "a".repeat(REGEX_BYTES_MAX + 1),
        "(".to_owned(),
    ] {
        let document = json!({"id": "r", "severity": "low",
            "selection": [{"field": "a", "op": "regex", "value": pattern}]});
        let problem = RuleDef::from_json(&document).unwrap_err();
        assert_eq!(problem.path, "selection[0].value", "{problem}");
    }
}

#[test]
fn groups_and_alerts_do_not_share_a_missing_address() {
    let set = compiled(vec![
        rule(
            json!({"id": "windowed", "selection": [{"field": "action", "op": "eq", "value": "a"}],
            "threshold_count": 2, "group_by": ["ip"]}),
        ),
        rule(
            json!({"id": "single", "selection": [{"field": "action", "op": "eq", "value": "a"}],
            "dedupe": {"keys": ["event_type", "ip"], "window_seconds": 600}}),
        ),
    ]);
    let event =
        |ip: Value| json!({"event_type": "X", "action": "a", "outcome": "SUCCESS", "ip": ip});
    let events = json!([
        event(json!("8.8.8.8")),
        event(json!("::ffff:8.8.8.8")),
        event(json!("8.8.4.4")),
        event(json!("unknown")),
        event(json!("")),
        event(Value::Null),
        event(json!("0.0.0.0")),
    ]);
    let matches = evaluated(&set, Signal::Audit, &events, Verdict::NONE);
    let keys: Vec<_> = matches
        .iter()
        .map(|list| list.last().unwrap().dedupe)
        .collect();
    assert!(
        keys[0].is_some() && keys[0] == keys[1],
        "one address in two spellings"
    );
    assert!(keys[2].is_some() && keys[0] != keys[2]);
    for unknown in 3..events.as_array().unwrap().len() {
        assert_eq!(
            matches[unknown].len(),
            1,
            "the windowed rule counts no unknown address"
        );
        assert_eq!(keys[unknown], None);
    }
}

#[test]
fn keys_differ_by_rule_use_and_organisation_and_say_where_values_stand() {
    let named = |id: &str| {
        rule(
            json!({"id": id, "selection": [{"field": "a", "op": "eq", "value": "1"}],
        "group_by": ["a", "region"]}),
        )
    };
    let set = compiled(vec![named("one"), named("two")]);
    let events = json!([{"message": "m", "attributes": {"a": "1"}}]);
    let found = evaluated(&set, Signal::Logs, &events, Verdict::NONE).remove(0);
    assert_ne!(found[0].group, found[1].group);
    assert_ne!(found[0].group, found[0].dedupe);
    let fields = found[0].group_fields;
    let [first, second, third, _] = fields.as_slice() else {
        panic!()
    };
    assert!(first.is_some() && !first.is_resource());
    assert!(second.is_resource() && !third.is_some());
    let other = OrgSettings {
        hash_key: [8; 32],
        ..SETTINGS
    };
    let (other, _) = RuleSet::compile([Arc::new(named("one"))], other);
    let again = evaluated(&other, Signal::Logs, &events, Verdict::NONE).remove(0);
    assert_ne!(found[0].group, again[0].group);
    let same = evaluated(&set, Signal::Logs, &events, Verdict::NONE).remove(0);
    assert_eq!(found, same);
}

#[test]
fn exceptions_mutes_and_disabled_rules_are_silent() {
    let at = |second: u32| {
        json!({"message": "m", "attributes": {"a": "1", "b": "2"},
        "timestamp": format!("2024-06-12T12:00:{second:02}Z")})
    };
    let fired = |extra: Value| {
        let mut document = json!({"selection": [{"field": "a", "op": "eq", "value": "1"}]});
        document
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let set = compiled(vec![rule(document)]);
        let matches = evaluated(&set, Signal::Logs, &json!([at(0), at(30)]), Verdict::NONE);
        matches.iter().map(Vec::len).collect::<Vec<_>>()
    };
    let except = json!([{"field": "b", "op": "eq", "value": "2"}]);
    assert_eq!(fired(json!({})), [1, 1]);
    assert_eq!(fired(json!({"enabled": false})), [0, 0]);
    assert_eq!(fired(json!({"scope": ["audit"]})), [0, 0]);
    assert_eq!(
        fired(json!({"exceptions": [{"selection": except}]})),
        [0, 0]
    );
    assert_eq!(
        fired(json!({"exceptions": [{"selection": except, "expires_at": "2024-06-12T12:00:20Z"}]})),
        [0, 1]
    );
    assert_eq!(
        fired(json!({"mute": [{"from": "2024-06-12T12:00:20Z", "until": "2024-06-12T13:00:00Z"}]})),
        [1, 0]
    );
}

#[test]
fn indicator_scores() {
    let set = compiled(vec![rule(json!({"severity": "ioc",
        "selection": [{"op": "ioc_score_gte", "value": 70}],
        "dedupe": {"keys": ["ioc.indicator"], "window_seconds": 60}}))]);
    let events = json!([{"message": "m"}]);
    let verdict = |score, indicator| Verdict {
        score,
        severity: crate::indicators::severity_of_score(score),
        indicator,
        ..Verdict::NONE
    };
    let found = |verdict| evaluated(&set, Signal::Logs, &events, verdict).remove(0);
    assert!(found(Verdict::NONE).is_empty());
    assert!(found(verdict(69, Some(1))).is_empty());
    let high = found(verdict(70, Some(1)));
    assert_eq!(high[0].severity, millrace_shared::wire::Severity::High);
    assert_eq!(high[0].dedupe, found(verdict(90, Some(1)))[0].dedupe);
    assert_ne!(high[0].dedupe, found(verdict(90, Some(2)))[0].dedupe);
}

#[test]
fn a_time_in_the_future_counts_when_it_was_received() {
    let set = compiled(vec![selecting(
        json!([{"field": "message", "op": "eq", "value": "m"}]),
    )]);
    let mut event = millrace_shared::Event::new(Signal::Logs);
    event.push(
        millrace_shared::Role::Message,
        millrace_shared::Value::Text("m"),
    );
    let resource = millrace_shared::Resource::default();
    let view = EventView {
        event: &event,
        resource: &resource,
        timestamp_ns: 1_000,
        received_ns: 10,
        verdict: Verdict::NONE,
    };
    let mut matches = Vec::new();
    set.evaluate(&view, &mut Scratch::default(), &mut matches);
    assert_eq!(matches[0].at_ns, 10);
    assert_eq!(find_field("message", &view), crate::FieldAt::event(0));
    assert!(!find_field("nothing", &view).is_some());
}

#[test]
fn one_bad_rule_does_not_stop_the_others() {
    let good = selecting(json!([{"field": "a", "op": "eq", "value": "1"}]));
    let mut bad = good.clone();
    bad.id = "bad".to_owned();
    bad.selection = Selection::Condition(Condition {
        field: "a".to_owned(),
        op: Op::parse("regex").unwrap(),
        value: json!("("),
    });
    let (set, errors) = RuleSet::compile([Arc::new(bad), Arc::new(good)], SETTINGS);
    assert_eq!((set.rules().len(), errors.len()), (1, 1));
    assert_eq!(errors[0].id, "bad");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn documents_survive_being_written(selection in candidates::selection()) {
        let rule = rule(json!({"selection": selection}));
        let again: RuleDef = serde_json::from_str(&serde_json::to_string(&rule).unwrap()).unwrap();
        prop_assert_eq!(again, rule);
    }
}

#[test]
fn what_the_scrubber_found_is_asked_of_the_scrubbed_event() {
    let run = |selection: Value, event: &Value| {
        let rule = selecting(selection);
        dry_run(
            &rule,
            SETTINGS,
            Signal::Logs,
            std::slice::from_ref(event),
            0,
        )
        .unwrap()
        .matched
    };
    let found = json!({"field": "pii.class", "op": "in", "value": ["email", "jwt"]});
    let mail = json!({"message": "m", "attributes": {"to": "ann@corp.com"}});
    assert_eq!(run(json!([found]), &mail), [0]);
    // It sees what is stored, and nothing that was sent.
    let with = |op: &str, value: &str| json!([found, {"field": "to", "op": op, "value": value}]);
    assert_eq!(run(with("eq", "[EMAIL]"), &mail), [0]);
    assert_eq!(run(with("contains", "ann"), &mail), [0_usize; 0]);
    // Without a class it does not look, whatever it asks and whatever a sender claims.
    let lies = json!({"message": "m", "attributes": {"pii.class": "email"}});
    assert_eq!(run(json!([found]), &lies), [0_usize; 0]);
    let other = json!([{"field": "pii.class", "op": "neq", "value": "jwt"}]);
    assert_eq!(run(other.clone(), &lies), [0_usize; 0]);
    assert_eq!(run(other, &mail), [0]);
    // A class is no field of the event's own.
    let keyword = json!([{"field": "*", "op": "eq", "value": "email"}, found]);
    assert_eq!(run(keyword, &mail), [0_usize; 0]);
    let set = compiled(vec![selecting(json!([found]))]);
    assert!(set.asks_after_scrubbing(Signal::Logs) && !set.ignores(Signal::Logs));
    assert!(set.rules()[0].after_scrubbing);
}
