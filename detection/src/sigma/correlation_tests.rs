//! Tests of correlations: all seven types, in order and out of it, with aliases and chains.

use super::*;
use crate::rules::trial::dry_run;
use crate::rules::{BusinessHours, OrgSettings};
use millrace_shared::Signal;
use serde_json::{Value, json};

const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [0; 32],
    hours: BusinessHours::UTC_OFFICE,
};

/// Failed and good logins, and transfers, as rules of a log source that no pipeline is about.
const BASES: &str = "
title: Failed login
name: failed
logsource: {product: appliance}
detection: {s: {event: failed}, condition: s}
---
title: Good login
name: good
logsource: {product: appliance}
detection: {s: {event: good}, condition: s}
---
title: Transfer
name: transfer
logsource: {product: appliance}
detection: {s: {event: transfer}, condition: s}
---
";

fn import(correlation: &str) -> Import {
    let source = Source {
        name: "test.yml".to_owned(),
        text: format!("{BASES}{correlation}"),
    };
    Import::new(&[source], &Options::default())
}

/// At which of the events the only correlation fires. Each is a second and the attributes.
fn fires(section: &str, events: &[(u32, Value)]) -> Vec<usize> {
    let import = import(&format!("title: Correlation\ncorrelation:\n{section}"));
    assert_eq!(import.refused, [], "{section}");
    let rule = import.rules.iter().find(|one| one.rule.window.is_some());
    let rule = &rule.unwrap().rule;
    let events: Vec<Value> = events
        .iter()
        .map(|(second, attributes)| {
            let at = format!("2024-06-12T12:{:02}:{:02}Z", second / 60, second % 60);
            json!({"timestamp": at, "level": "info", "message": "m", "attributes": attributes})
        })
        .collect();
    dry_run(rule, SETTINGS, Signal::Logs, &events, 0)
        .unwrap()
        .fired
}

fn of(event: &str, user: &str) -> Value {
    json!({"event": event, "user": user})
}

fn worth(value: Value) -> Value {
    json!({"event": "transfer", "user": "ann", "bytes": value})
}

#[test]
fn event_counts_slide() {
    let section = "  type: event_count\n  rules: [failed]\n  group-by: [user]\n  timespan: 1m\n  condition: {gte: 3}\n";
    let ann = |second| (second, of("failed", "ann"));
    assert_eq!(fires(section, &[ann(0), ann(30), ann(59)]), [2]);
    assert!(fires(section, &[ann(0), ann(30), ann(60)]).is_empty());
    assert_eq!(fires(section, &[ann(0), ann(40), ann(70), ann(99)]), [3]);
    let bob = (20, of("failed", "bob"));
    assert!(fires(section, &[ann(0), bob, ann(30)]).is_empty());
    let range = section.replace("{gte: 3}", "{gt: 1, lt: 3}");
    assert_eq!(fires(&range, &[ann(0), ann(1), ann(2)]), [1]);
    let equal = section.replace("{gte: 3}", "{eq: 1}");
    assert_eq!(fires(&equal, &[ann(0), ann(1)]), [0]);
}

#[test]
fn a_number_and_its_text_are_one_value() {
    let group = "  type: event_count\n  rules: [failed]\n  group-by: [user]\n  timespan: 1m\n  condition: {gte: 2}\n";
    let count = "  type: value_count\n  rules: [failed]\n  timespan: 1m\n  condition: {field: user, gte: 2}\n";
    for (one, same, other) in [
        (json!(1.5), json!("1.5"), json!(1.25)),
        (json!(4.0), json!(4), json!("4.1")),
        (json!(-0.0), json!("0"), json!(1)),
        (json!(1e300), json!(1e300), json!(1.1e300)),
        (json!(true), json!("true"), json!(false)),
    ] {
        let by = |second: u32, user: &Value| (second, json!({"event": "failed", "user": user}));
        assert_eq!(fires(group, &[by(0, &one), by(1, &same)]), [1], "{one}");
        assert!(
            fires(group, &[by(0, &one), by(1, &other)]).is_empty(),
            "{one}"
        );
        assert!(
            fires(count, &[by(0, &one), by(1, &same)]).is_empty(),
            "{one}"
        );
        assert_eq!(fires(count, &[by(0, &one), by(1, &other)]), [1], "{one}");
    }
}

#[test]
fn different_values_are_counted() {
    let section = "  type: value_count\n  rules: [failed, good]\n  group-by: [user]\n  timespan: 1m\n  condition: {field: host, gte: 2}\n";
    let on = |second, host: &str| {
        (
            second,
            json!({"event": "failed", "user": "ann", "host": host}),
        )
    };
    assert_eq!(fires(section, &[on(0, "a"), on(1, "a"), on(2, "b")]), [2]);
    assert!(fires(section, &[on(0, "a"), on(61, "b")]).is_empty());
    let two = section.replace("field: host", "field: [host, port]");
    let port = |second, port: u32| {
        (
            second,
            json!({"event": "failed", "user": "ann", "host": "a", "port": port}),
        )
    };
    assert_eq!(fires(&two, &[port(0, 1), port(1, 1), port(2, 2)]), [2]);
}

#[test]
fn temporal_ones_want_every_rule_in_any_order() {
    let section = "  type: temporal\n  rules: [failed, good]\n  group-by: [user]\n  timespan: 1m\n";
    let (failed, good) = (of("failed", "ann"), of("good", "ann"));
    assert_eq!(
        fires(section, &[(0, good.clone()), (5, failed.clone())]),
        [1]
    );
    assert!(fires(section, &[(0, good.clone()), (60, failed.clone())]).is_empty());
    assert!(fires(section, &[(0, failed.clone()), (5, failed.clone())]).is_empty());
    assert!(fires(section, &[(0, failed), (5, of("good", "bob"))]).is_empty());
}

#[test]
fn ordered_ones_want_the_order_of_their_rules() {
    let section = "  type: temporal_ordered\n  rules: [failed, good, transfer]\n  group-by: [user]\n  timespan: 1m\n";
    let at = |second, event: &str| (second, of(event, "ann"));
    assert_eq!(
        fires(
            section,
            &[at(0, "failed"), at(9, "good"), at(59, "transfer")]
        ),
        [2]
    );
    assert!(
        fires(
            section,
            &[at(0, "failed"), at(9, "good"), at(60, "transfer")]
        )
        .is_empty()
    );
    assert!(
        fires(
            section,
            &[at(0, "good"), at(9, "failed"), at(20, "transfer")]
        )
        .is_empty()
    );
    // The latest beginning counts.
    let later = [
        at(0, "failed"),
        at(50, "failed"),
        at(55, "good"),
        at(100, "transfer"),
    ];
    assert_eq!(fires(section, &later), [3]);
}

#[test]
fn sums_averages_and_percentiles() {
    let section = |kind: &str, condition: &str| {
        format!(
            "  type: {kind}\n  rules: [transfer]\n  group-by: [user]\n  timespan: 1m\n  condition: {{field: bytes, {condition}}}\n"
        )
    };
    let sum = section("value_sum", "gt: 100");
    assert_eq!(
        fires(&sum, &[(0, worth(json!(60))), (1, worth(json!("40.5")))]),
        [1]
    );
    assert!(fires(&sum, &[(0, worth(json!(60))), (60, worth(json!(60)))]).is_empty());
    assert!(fires(&sum, &[(0, worth(json!("many")))]).is_empty());
    let average = section("value_avg", "gte: 10");
    assert_eq!(
        fires(&average, &[(0, worth(json!(5))), (1, worth(json!(15)))]),
        [1]
    );
    let median = section("value_percentile", "percentile: 50, gt: 9");
    let values = [
        (0, worth(json!(1))),
        (1, worth(json!(10))),
        (2, worth(json!(11))),
    ];
    assert_eq!(fires(&median, &values), [2]);
    let ninetieth = section("value_percentile", "percentile: 90, gte: 9.1");
    let values: Vec<_> = (0..11).map(|n| (n, worth(json!(n)))).collect();
    assert!(fires(&ninetieth, &values[..10]).is_empty());
    assert_eq!(fires(&ninetieth, &values).len(), 0);
    let reached = section("value_percentile", "percentile: 90, gte: 9");
    assert_eq!(fires(&reached, &values), [10]);
}

#[test]
fn without_a_percentile_it_is_how_rare_a_value_is() {
    let section = "  type: value_percentile\n  rules: [transfer]\n  group-by: [user]\n  timespan: 1h\n  condition: {field: bytes, lte: 10}\n";
    let mut events: Vec<_> = (0..9).map(|n| (n, worth(json!("usual")))).collect();
    events.push((9, worth(json!("rare"))));
    let fired = fires(section, &events);
    assert_eq!(fired, [9]);
}

#[test]
fn aliases_name_different_fields() {
    let section = "  type: temporal\n  rules: [failed, transfer]\n  group-by: [who]\n  timespan: 1m\n  aliases:\n    who: {failed: user, transfer: owner}\n";
    let failed = (0, json!({"event": "failed", "user": "ann", "owner": "x"}));
    let transfer = |owner: &str| (1, json!({"event": "transfer", "user": "x", "owner": owner}));
    assert_eq!(fires(section, &[failed.clone(), transfer("ann")]), [1]);
    assert!(fires(section, &[failed, transfer("bob")]).is_empty());
}

#[test]
fn a_count_may_be_a_step_of_an_order() {
    let chain = "title: Chain
correlation:
  type: temporal_ordered
  rules: [many, good]
  group-by: [user]
  timespan: 2m
---
title: Many
name: many
correlation:
  type: event_count
  rules: [failed]
  group-by: [user]
  timespan: 1m
  condition: {gte: 3}
";
    let import = import(chain);
    assert_eq!(import.refused, []);
    // The parts of the chain stand for themselves no longer.
    let names: Vec<&str> = import
        .rules
        .iter()
        .map(|one| one.rule.name.as_str())
        .collect();
    assert_eq!(names, ["Transfer", "Chain"]);
    let section = chain.split_once("correlation:\n").unwrap().1;
    let at = |second, event: &str| (second, of(event, "ann"));
    let failed = [at(0, "failed"), at(10, "failed"), at(20, "failed")];
    let then = |last: (u32, Value)| [failed.to_vec(), vec![last]].concat();
    assert_eq!(fires(section, &then(at(100, "good"))), [3]);
    assert!(fires(section, &then(at(141, "good"))).is_empty());
    assert!(
        fires(
            section,
            &[at(0, "failed"), at(10, "failed"), at(20, "good")]
        )
        .is_empty()
    );
    let slow = [
        at(0, "failed"),
        at(40, "failed"),
        at(80, "failed"),
        at(90, "good"),
    ];
    assert!(fires(section, &slow).is_empty());
    assert!(
        fires(
            section,
            &[
                at(0, "good"),
                at(1, "failed"),
                at(2, "failed"),
                at(3, "failed")
            ]
        )
        .is_empty()
    );
}

#[test]
fn an_event_that_reaches_no_step_of_a_chain_fires_nothing() {
    for kind in ["temporal", "temporal_ordered"] {
        let section = format!(
            "  type: {kind}
  rules: [many, good]
  group-by: [user]
  timespan: 1m
---
title: Many
name: many
correlation:
  type: event_count
  rules: [failed]
  group-by: [user]
  timespan: 10s
  condition: {{gte: 2}}
"
        );
        let at = |second, event: &str| (second, of(event, "ann"));
        let two = [at(0, "failed"), at(9, "failed"), at(20, "good")];
        assert_eq!(fires(&section, &two), [2], "{kind}");
        // One more failure, which is not many, and then a second one, which is.
        let more = [two.to_vec(), vec![at(30, "failed"), at(39, "failed")]].concat();
        assert_eq!(fires(&section, &more), [2, 4], "{kind}");
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    for (section, reason) in [
        (
            "  type: other\n  rules: [failed]\n  timespan: 1m",
            "seven types",
        ),
        (
            "  type: event_count\n  rules: [failed]\n  timespan: 1x\n  condition: {gte: 1}",
            "1x",
        ),
        (
            "  type: event_count\n  rules: [failed]\n  timespan: 2d\n  condition: {gte: 1}",
            "longer than",
        ),
        (
            "  type: event_count\n  rules: [failed]\n  timespan: 1m",
            "is required",
        ),
        (
            "  type: event_count\n  rules: [nobody]\n  timespan: 1m\n  condition: {gte: 1}",
            "nobody",
        ),
        (
            "  type: value_count\n  rules: [failed]\n  timespan: 1m\n  condition: {gte: 1}",
            "is required",
        ),
        (
            "  type: event_count\n  rules: [failed]\n  timespan: 1m\n  condition: {about: 1}",
            "not known",
        ),
    ] {
        let import = import(&format!("title: Correlation\ncorrelation:\n{section}\n"));
        let problem = import.refused[0].problem.to_string();
        assert!(problem.contains(reason), "{section}: {problem}");
    }
    let import = import(
        "title: C\ncorrelation:\n  type: event_count\n  rules: [failed]\n  generate: true\n  group-by: [user]\n  timespan: 1m\n  condition: {gte: 2}\n",
    );
    assert_eq!(import.rules.len(), 4);
}

#[test]
fn whether_it_generates_stands_beside_the_correlation_or_within() {
    let rest = "  type: event_count\n  rules: [failed]\n  timespan: 1m\n  condition: {gte: 2}\n";
    for (beside, within, rules) in [
        ("", "", 3),
        ("generate: true\n", "", 4),
        ("", "  generate: true\n", 4),
        ("generate: false\n", "  generate: true\n", 3),
    ] {
        let import = import(&format!("title: C\n{beside}correlation:\n{within}{rest}"));
        assert_eq!(import.rules.len(), rules, "{beside}{within}");
    }
}

#[test]
fn what_generates_lets_its_own_parts_stand_and_not_theirs() {
    let many = "title: Many\nname: many\ncorrelation: {type: event_count, rules: [failed], group-by: [user], timespan: 1m, condition: {gte: 3}}\n";
    let chain = "title: Chain\ncorrelation: {type: temporal, rules: [many, good], group-by: [user], timespan: 1m, generate: true}\n";
    let import = import(&format!("{many}---\n{chain}"));
    assert_eq!(import.refused, []);
    let names: Vec<&str> = import
        .rules
        .iter()
        .map(|one| one.rule.name.as_str())
        .collect();
    assert_eq!(names, ["Good login", "Transfer", "Many", "Chain"]);
}
