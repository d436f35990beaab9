//! Whatever saves work, the same rules select the same events as when every rule is tried on every
//! event.

use super::*;
use crate::builtin;
use millrace_shared::Role;

/// Whether trying candidates only finds what trying all rules finds.
fn agree(set: RuleSet, signal: Signal, events: &Value) -> bool {
    let found = evaluated(&set, signal, events, Verdict::NONE);
    found == evaluated(&set.exhaustive(), signal, events, Verdict::NONE)
}

/// Words of a few letters, and longer ones of few pieces, so that they often hold one another.
pub(super) fn word() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "ab", "Abcdefg", "hij.EXE", "ä", "Ä", "7", "k", "\\", "\"",
    ]);
    prop_oneof![
        "[aAbB1ä]{1,3}",
        prop::collection::vec(pieces, 1..5).prop_map(|pieces| pieces.concat()),
    ]
}

/// Words with wildcards.
fn pattern() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec!["ab", "*", "?", "Abcdefg", "hij.exe", "ä", "7"]);
    prop::collection::vec(pieces, 1..5).prop_map(|pieces| pieces.concat())
}

pub(super) fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => word().prop_map(Value::from),
        1 => (0..9_i64).prop_map(Value::from),
        1 => Just(json!(7.5)),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => prop::collection::vec(word(), 0..3).prop_map(Value::from),
        1 => Just(json!([7, "Abcdefghij.exe", ["k"], null])),
        1 => word().prop_map(|word| json!([[word], {"ab": [true, word, 7]}])),
        1 => word().prop_map(|word| json!({"Abcdefg": word})),
    ]
}

fn field() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec![
        "x",
        "y",
        "attributes.x",
        "x || y",
        "y || host || message",
        "message",
        "level",
        "service",
        "region",
        "resource.region",
        "*",
    ])
}

fn condition() -> impl Strategy<Value = Value> {
    let field = field();
    let text = prop::sample::select(vec![
        "eq",
        "eq_ci",
        "neq",
        "neq_ci",
        "contains",
        "contains_ci",
        "starts_with",
        "starts_with_ci",
        "ends_with",
        "ends_with_ci",
        "regex",
        "regex_ci",
        "gt",
        "lt",
    ]);
    let list = prop::sample::select(vec![
        "in",
        "in_ci",
        "not_in",
        "not_in_ci",
        "contains",
        "contains_ci",
        "starts_with",
        "ends_with_ci",
    ]);
    let flag = prop::sample::select(vec!["exists", "present"]);
    let flag = (field.clone(), flag, any::<bool>())
        .prop_map(|(field, op, there)| json!({"field": field, "op": op, "value": there}));
    let like = prop::sample::select(vec!["like", "like_ci"]);
    let other = prop::sample::select(vec!["eq", "neq_ci", "contains_ci", "lt"])
        .prop_map(|op| json!({"field": "x", "op": op, "value": {"field": "y"}}));
    prop_oneof![
        3 => (field.clone(), text, word(), 0..9_i64).prop_map(|(field, op, word, number)| {
            let value = match op {
                "gt" | "lt" => json!(number),
                "regex" | "regex_ci" => json!(word.replace('\\', r"\\")),
                _ => json!(word),
            };
            json!({"field": field, "op": op, "value": value})
        }),
        3 => (field.clone(), list, prop::collection::vec(word(), 1..12))
            .prop_map(|(field, op, words)| json!({"field": field, "op": op, "value": words})),
        2 => (field.clone(), like, prop::collection::vec(pattern(), 1..4))
            .prop_map(|(field, op, words)| json!({"field": field, "op": op, "value": words})),
        1 => (field, prop::collection::vec(0..9_i64, 1..3))
            .prop_map(|(field, numbers)| json!({"field": field, "op": "in", "value": numbers})),
        1 => flag,
        1 => other,
    ]
}

pub(super) fn selection() -> impl Strategy<Value = Value> {
    condition().prop_recursive(3, 12, 3, |inner| {
        let group = prop::sample::select(vec!["all", "any", "none"]);
        (group, prop::collection::vec(inner, 1..4)).prop_map(|(group, list)| json!({group: list}))
    })
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

/// The numbers of the rules that select a scrubbed event in which the classes were found.
fn scrubbed(set: &RuleSet, event: &Value, classes: &[&'static str]) -> Vec<u32> {
    let (mut scratch, mut matches) = (Scratch::default(), Vec::new());
    let sent = std::slice::from_ref(event);
    trial::read(Signal::Logs, sent, &Bump::new(), |resource, event| {
        for class in classes.iter().copied() {
            event.push(Role::PiiClass, millrace_shared::Value::Text(class));
        }
        let view = EventView {
            event,
            resource,
            timestamp_ns: 0,
            received_ns: 0,
            verdict: Verdict::NONE,
        };
        set.evaluate_scrubbed(&view, &mut scratch, &mut matches);
    })
    .unwrap();
    matches.iter().map(|one| one.rule.0).collect()
}

#[test]
fn rules_that_look_at_scrubbed_events_lose_no_match() {
    let found = json!({"field": "pii.class", "op": "eq", "value": "email"});
    let with = |field: &str, op: &str, value: &str| json!([found, {"field": field, "op": op, "value": value}]);
    let selections = [
        json!([{"field": "message", "op": "contains", "value": "long line"}]),
        json!([found]),
        with("x", "eq", r"C:\tool"),
        with("*", "contains", "email"),
        json!([{"field": "pii.class", "op": "neq", "value": "jwt"}]),
        json!([{"field": "pii.class", "op": "in", "value": ["iban", "jwt"]}]),
        with("*", "ends_with", r"\tool"),
        with("*", "contains_ci", "LONG LINE"),
    ];
    let numbered = selections.iter().enumerate();
    let rules =
        numbered.map(|(n, selection)| rule(json!({"id": format!("r{n}"), "selection": selection})));
    let set = compiled(rules.collect());
    let event = json!({"message": "a long line", "attributes": {"x": [r"C:\tool"]}});
    let some = ["email", "phone"];
    let expected = [1, 2, 4, 6, 7];
    assert_eq!(scrubbed(&set, &event, &some), expected);
    assert!(scrubbed(&set, &event, &[]).is_empty());
    let set = set.exhaustive();
    assert_eq!(scrubbed(&set, &event, &some), expected);
    assert!(scrubbed(&set, &event, &[]).is_empty());
    let sent = evaluated(&set, Signal::Logs, &json!([event]), Verdict::NONE);
    assert_eq!(sent[0].len(), 1);
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
        "attributes": {"x": 7, "path": r"C:\Windows\tool.exe", "empty": [],
            "list": ["C:\\tools\\\"tools\""], "deep": [{"k": ["deep\\"]}]}}]);
    for (field, op, value) in [
        ("x", "eq", json!(7)),
        ("x", "exists", json!(true)),
        ("empty", "present", json!(true)),
        ("list", "starts_with", json!(r"C:\tools")),
        ("*", "contains", json!("\"tools\"")),
        ("*", "eq", json!("deep\\")),
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
