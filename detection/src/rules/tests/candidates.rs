//! Whatever saves work, the same rules select the same events as when every rule is tried on every
//! event.

use super::*;
use crate::builtin;

/// Whether trying candidates only finds what trying all rules finds.
fn agree(set: RuleSet, signal: Signal, events: &Value) -> bool {
    let found = evaluated(&set, signal, events, Verdict::NONE);
    found == evaluated(&set.exhaustive(), signal, events, Verdict::NONE)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn candidates_lose_no_match(
        selections in prop::collection::vec(selection(), 1..12),
        values in prop::collection::vec((scalar(), scalar(), word()), 1..5),
    ) {
        let numbered = selections.iter().enumerate();
        let rules = numbered
            .map(|(n, selection)| rule(json!({"id": format!("r{n}"), "selection": selection})));
        let events: Vec<Value> = values
            .iter()
            .map(|(x, y, message)| {
                json!({"message": message, "level": "info", "attributes": {"x": x, "y": y}})
            })
            .collect();
        prop_assert!(agree(compiled(rules.collect()), Signal::Logs, &json!(events)));
    }
}

#[test]
fn built_in_rules_lose_no_match_of_their_own_test_events() {
    let rules = builtin::rules().unwrap();
    let mut compared = 0;
    for signal in Signal::ALL {
        let events = rules.iter().flat_map(|rule| {
            let of_rule = rule.scope.first().copied().unwrap_or(Signal::Logs);
            let is_meant = move |case: &&TestDef| case.signal.unwrap_or(of_rule) == signal;
            rule.tests
                .iter()
                .filter(is_meant)
                .flat_map(|case| case.events.clone())
        });
        let events: Vec<Value> = events.collect();
        if !events.is_empty() {
            compared += events.len();
            assert!(
                agree(compiled(rules.clone()), signal, &json!(events)),
                "{signal:?}"
            );
        }
    }
    assert!(compared > 50, "{compared}");
}

/// The comparison notices a candidate that is not tried, whatever kind of fact it goes by.
#[test]
fn a_candidate_that_is_dropped_is_noticed() {
    let event = json!([{"message": "Ä long line of text", "level": "info",
        "attributes": {"x": 7, "path": r"C:\Windows\tool.exe"}}]);
    for (field, op, value) in [
        ("x", "eq", json!(7)),
        ("x", "exists", json!(true)),
        ("path", "ends_with_ci", json!(r"\TOOL.exe")),
        ("path", "starts_with", json!("C:")),
        ("path", "eq", json!(r"C:\Windows\tool.exe")),
        ("message", "contains", json!("long line")),
        ("message", "contains", json!("line")),
        ("message", "contains_ci", json!("ä")),
        ("message", "regex", json!("long.*text$")),
        ("*", "like_ci", json!("*LINE OF TEXT")),
    ] {
        let selection = json!([{"field": field, "op": op, "value": value}]);
        assert!(agree(
            compiled(vec![selecting(selection.clone())]),
            Signal::Logs,
            &event
        ));
        let mut set = compiled(vec![selecting(selection.clone())]);
        for matcher in set.matchers.iter_mut().flatten() {
            assert!(matcher.index.always.is_empty(), "{selection}");
            matcher.index = index::Index::default();
        }
        assert!(!agree(set, Signal::Logs, &event), "{selection}");
    }
}

/// What other rules look for, and how much of it there is, decides how a rule is found.
#[test]
fn a_rule_among_thousands_is_found() {
    let numbers = 0..3_000;
    let rules = numbers.map(|n| {
        let selection = match n % 6 {
            0 => json!([{"field": "a", "op": "ends_with_ci", "value": format!("\\tool{n}.exe")}]),
            1 => json!([{"field": "a", "op": "contains_ci", "value": [format!("-option{n} "), format!("/o{n} ")]},
                {"field": "EventID", "op": "eq", "value": 1}]),
            2 => json!([{"field": "a || b", "op": "starts_with_ci", "value": format!("c:\\{n}\\")}]),
            3 => json!([{"field": "*", "op": "contains_ci", "value": format!("kw{n}")}]),
            4 => json!([{"field": "b", "op": "eq_ci", "value": format!("Value {n}")}]),
            _ => json!([{"field": "EventID", "op": "eq", "value": n}]),
        };
        rule(json!({"id": format!("r{n}"), "selection": selection}))
    });
    let set = compiled(rules.collect());
    let events: Vec<Value> = (0..3_000)
        .step_by(7)
        .map(|n| {
            let a = format!("C:\\{n}\\TOOL{n}.exe -Option{n} /o{n} \\tool{n}.EXE");
            let id = if n % 6 == 1 { 1 } else { n };
            json!({"message": format!("xkw{n}"), "level": "info",
                "attributes": {"a": a, "b": format!("value {n}"), "EventID": id}})
        })
        .collect();
    let found = evaluated(&set, Signal::Logs, &json!(events), Verdict::NONE);
    assert!(found.iter().all(|matches| !matches.is_empty()));
    assert!(agree(set, Signal::Logs, &json!(events)));
}
