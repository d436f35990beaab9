//! Tests of importing and of what imported rules select.

use super::*;
use crate::rules::trial::dry_run;
use crate::rules::{BusinessHours, OrgSettings, RuleDef};
use millrace_shared::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [0; 32],
    hours: BusinessHours::UTC_OFFICE,
};

/// Rules of our own, one after the other.
const FIXTURES: &str = include_str!("fixtures/rules.yml");

/// Takes one file in.
fn import(text: &str, options: &Options) -> Import {
    let source = Source {
        name: "test.yml".to_owned(),
        text: text.to_owned(),
    };
    Import::new(&[source], options)
}

/// A rule with that `detection` section, its log source one that no pipeline is about.
fn document(detection: &str) -> String {
    let detection: String = detection
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    format!("title: t\nlogsource: {{product: appliance}}\ndetection:\n{detection}")
}

/// As it is written: what is said of unmapped log sources is not asked.
fn rule(detection: &str) -> RuleDef {
    let options = Options {
        plain: true,
        ..Options::default()
    };
    let import = import(&document(detection), &options);
    assert_eq!(import.refused, [], "{detection}");
    import.rules[0].rule.clone()
}

fn refusal(detection: &str) -> String {
    let import = import(&document(detection), &Options::default());
    assert!(import.rules.is_empty(), "{detection}");
    import.refused[0].problem.to_string()
}

fn selects(rule: &RuleDef, attributes: &Value) -> bool {
    let event = json!({"level": "info", "message": "a message", "attributes": attributes});
    let run = dry_run(rule, SETTINGS, Signal::Logs, &[event], 0).unwrap();
    run.matched == [0]
}

/// Whether a rule of one item selects an event with that value in its field `f`.
fn item(item: &str, value: Value) -> bool {
    selects(
        &rule(&format!("s:\n  {item}\ncondition: s")),
        &json!({"f": value, "g": "Other"}),
    )
}

#[test]
fn texts_are_of_either_case_and_have_wildcards() {
    for (written, value, selected) in [
        ("f: abc", json!("ABC"), true),
        ("f: abc", json!("abcd"), false),
        ("f: 'a*c'", json!("AxxC"), true),
        ("f: 'a?c'", json!("abc"), true),
        ("f: 'a?c'", json!("ac"), false),
        (r"f: 'a\*c'", json!("a*c"), true),
        (r"f: 'a\*c'", json!("abc"), false),
        (r"f: 'a\\*'", json!(r"a\b"), true),
        (r"f: 'C:\\x'", json!(r"c:\x"), true),
        (r"f: '\\\\srv'", json!(r"\\SRV"), true),
        ("f: '*'", json!(""), true),
        ("f: '*'", json!(null), false),
        ("f: ''", json!(""), true),
        ("f: ''", json!("x"), false),
        ("f: ÄÖ", json!("äö"), true),
        ("f: 5", json!(5), true),
        ("f: 5", json!("5"), true),
        ("f: '5'", json!(5), true),
        ("f: 5", json!(50), false),
        ("f: 1.5", json!(1.5), true),
        ("f: true", json!(true), true),
        ("f: true", json!("True"), true),
        ("f: [a, b]", json!("B"), true),
        ("f: abc", json!(["x", "ABC"]), true),
        ("f: null", json!(null), true),
        ("f: null", json!(""), false),
        ("h: null", json!("x"), true),
        ("h: ''", json!("x"), false),
    ] {
        assert_eq!(item(written, value.clone()), selected, "{written} {value}");
    }
}

#[test]
fn modifiers_of_texts() {
    for (written, value, selected) in [
        ("f|contains: b", json!("aBc"), true),
        ("f|contains: 'a*c'", json!("xAbCx"), true),
        ("f|contains: 5", json!(456), true),
        ("f|startswith: a", json!("Abc"), true),
        ("f|startswith: b", json!("abc"), false),
        ("f|endswith: c", json!("abC"), true),
        (r"f|endswith: '\cmd.exe'", json!(r"C:\CMD.exe"), true),
        ("f|contains|all: [a, b]", json!("b-a"), true),
        ("f|contains|all: [a, b]", json!("a"), false),
        ("f|all|contains: [a, b]", json!("b-a"), true),
        ("f|cased: abc", json!("ABC"), false),
        ("f|contains|cased: b", json!("aBc"), false),
        ("f|contains|cased: B", json!("aBc"), true),
        ("f|cased: 'a*'", json!("Ab"), false),
        ("f|neq: abc", json!("x"), true),
        ("f|neq: abc", json!("ABC"), false),
        ("h|neq: abc", json!("x"), false),
        ("f|contains|neq: [a, b]", json!("xb"), false),
        ("f|contains|windash: ' -x'", json!("cmd /X"), true),
        ("f|windash|contains: ' -x'", json!("cmd \u{2014}x"), true),
        ("f|windash|contains: 'a-x'", json!("a/x"), false),
        (
            "f|contains|all|windash: [' -a', ' /b']",
            json!("x /a -b"),
            true,
        ),
        (
            "f|contains|all|windash: [' -a', ' /b']",
            json!("x /a"),
            false,
        ),
    ] {
        assert_eq!(item(written, value.clone()), selected, "{written} {value}");
    }
}

#[test]
fn modifiers_of_encodings() {
    for (written, value, selected) in [
        ("f|base64: foobar", json!("Zm9vYmFy"), true),
        ("f|base64|contains: foo", json!("xxZm9vxx"), true),
        (
            "f|base64offset|contains: http://",
            json!("eGh0dHA6Ly9h"),
            true,
        ),
        ("f|base64offset|contains: http://", json!("nothing"), false),
        ("f|wide|base64: cmd", json!("YwBtAGQA"), true),
        ("f|utf16le|base64: cmd", json!("YwBtAGQA"), true),
        ("f|utf16be|base64: cmd", json!("AGMAbQBk"), true),
        ("f|utf16|base64: cmd", json!("//5jAG0AZAA="), true),
        (
            "f|wide|base64offset|contains: ping",
            json!("AHAAaQBuAGcA"),
            true,
        ),
    ] {
        assert_eq!(item(written, value.clone()), selected, "{written} {value}");
    }
}

#[test]
fn modifiers_of_expressions_numbers_networks_and_presence() {
    for (written, value, selected) in [
        ("f|re: 'a.c'", json!("xabcx"), true),
        ("f|re: 'a.c'", json!("ABC"), false),
        ("f|re|i: 'a.c'", json!("ABC"), true),
        ("f|re: '^b$'", json!("a\nb\nc"), false),
        ("f|re|m: '^b$'", json!("a\nb\nc"), true),
        ("f|re: 'a.b'", json!("a\nb"), false),
        ("f|re|s: 'a.b'", json!("a\nb"), true),
        ("f|re|i|s: 'A.B'", json!("a\nb"), true),
        (r"f|re: '^\w+\s\d$'", json!("abc 5"), true),
        (r"f|re: '^\w$'", json!("ä"), false),
        ("f|gt: 5", json!(6), true),
        ("f|gt: 5", json!(5), false),
        ("f|gte: 5", json!("5"), true),
        ("f|lt: 5.5", json!(5), true),
        ("f|lte: 5", json!(6), false),
        ("f|lt: 5", json!("x"), false),
        ("f|cidr: 10.0.0.0/8", json!("10.1.2.3"), true),
        ("f|cidr: [10.0.0.0/8, 'fe80::/10']", json!("fe80::1"), true),
        ("f|cidr: 10.0.0.0/8", json!("11.0.0.1"), false),
        ("f|exists: true", json!(""), true),
        ("f|exists: true", json!(null), true),
        ("h|exists: true", json!("x"), false),
        ("h|exists: false", json!("x"), true),
        ("f|exists: no", json!("x"), false),
        ("f|fieldref: g", json!("other"), true),
        ("f|fieldref: g", json!("x"), false),
        ("f|fieldref|startswith: g", json!("OTHERS"), true),
        ("f|fieldref|endswith: g", json!("another"), true),
        ("f|fieldref|contains: g", json!("an other one"), true),
        ("f|fieldref|neq: g", json!("x"), true),
        ("f|neq|fieldref: g", json!("other"), false),
        ("f|fieldref|cased: g", json!("other"), false),
        ("f|fieldref: h", json!("x"), false),
        ("f|hour: 9", json!("2024-06-12T09:30:00Z"), true),
        ("f|minute: [29, 30]", json!("2024-06-12T09:30:00Z"), true),
        ("f|day: 12", json!("2024-06-12 09:30:00"), true),
        ("f|week: 24", json!("2024-06-12T09:30:00Z"), true),
        ("f|month: 6", json!("2024-06-12T09:30:00Z"), true),
        ("f|year: 2024", json!("2024-06-12T09:30:00Z"), true),
        ("f|year: 2023", json!("2024-06-12T09:30:00Z"), false),
        ("f|hour|gte: 9", json!("2024-06-12T09:30:00Z"), true),
        ("f|hour|lt: 9", json!("2024-06-12T09:30:00Z"), false),
        ("f|hour: 9", json!("no time"), false),
    ] {
        assert_eq!(item(written, value.clone()), selected, "{written} {value}");
    }
}

#[test]
fn maps_lists_and_conditions() {
    let of = |detection: &str| rule(detection);
    let two = of("s: {f: a, g: b}\ncondition: s");
    assert!(selects(&two, &json!({"f": "a", "g": "b"})));
    assert!(!selects(&two, &json!({"f": "a"})));
    let list = of("s:\n  - f: a\n    g: b\n  - h: c\ncondition: s");
    assert!(selects(&list, &json!({"h": "c"})));
    assert!(selects(&list, &json!({"f": "a", "g": "b"})));
    assert!(!selects(&list, &json!({"f": "a"})));
    let filtered =
        of("sel_a: {f: a}\nsel_b: {g: b}\nfilter: {h: c}\ncondition: 1 of sel_* and not filter");
    assert!(selects(&filtered, &json!({"g": "b"})));
    assert!(!selects(&filtered, &json!({"g": "b", "h": "c"})));
    let several = of("a: {f: a}\nb: {g: b}\ncondition: [a, b]");
    assert!(selects(&several, &json!({"g": "b"})));
    let precedence = of("a: {f: a}\nb: {g: b}\nc: {h: c}\ncondition: a or b and c");
    assert!(selects(&precedence, &json!({"f": "a"})));
    assert!(!selects(&precedence, &json!({"g": "b"})));
}

#[test]
fn keywords_are_looked_for_in_every_field() {
    let any = rule("k: ['EVIL', 'event::clear', 42]\ncondition: k");
    assert!(selects(&any, &json!({"x": "some evil thing"})));
    assert!(selects(&any, &json!({"x": "run Event::Clear now"})));
    assert!(selects(&any, &json!({"x": 1424})));
    assert!(!selects(&any, &json!({"evil": "x"})));
    let message = rule("k: 'a mess*ge'\ncondition: k");
    assert!(selects(&message, &json!({})));
    let all = rule("k:\n  '|all': [one, two]\ncondition: k");
    assert!(selects(&all, &json!({"x": "one", "y": "two"})));
    assert!(!selects(&all, &json!({"x": "one"})));
    let expression = rule("k:\n  '|re': 'e[vw]il'\ncondition: k");
    assert!(selects(&expression, &json!({"x": "an ewil"})));
    let mixed = rule("k:\n  - word\n  - f: a\ncondition: k");
    assert!(selects(&mixed, &json!({"f": "a"})));
    assert!(selects(&mixed, &json!({"x": "words"})));
}

/// Detections that are refused: the place and the reason.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "s: {f|foo: a}\ncondition: s",
        "detection.s.f|foo",
        "modifier foo",
    ),
    (
        "s: {f: [a, null]}\ncondition: s",
        "detection.s.f",
        "null in a list",
    ),
    (
        "s: {f|cidr: x}\ncondition: s",
        "detection.s.f|cidr",
        "no network",
    ),
    (
        "s: {f|re: '('}\ncondition: s",
        "selection",
        "unclosed group",
    ),
    (
        "s: {f|re: '(?=a)'}\ncondition: s",
        "selection",
        "look-around",
    ),
    ("s: {f|i: a}\ncondition: s", "detection.s.f|i", "without re"),
    (
        "s: {f|gt: a}\ncondition: s",
        "detection.s.f|gt",
        "no number",
    ),
    (
        "s: {f|base64: 'a*'}\ncondition: s",
        "detection.s.f|base64",
        "wildcards",
    ),
    (
        "s: {f|expand: '%x%'}\ncondition: s",
        "detection.s.f|expand",
        "%x%",
    ),
    (
        "s: {f|exists: maybe}\ncondition: s",
        "detection.s.f|exists",
        "true or false",
    ),
    ("s: {f: {g: a}}\ncondition: s", "detection.s.f", "a map"),
    ("s: {f: []}\ncondition: s", "detection.s.f", "empty list"),
    ("s: []\ncondition: s", "detection.s", "is empty"),
    ("s: {f: a}\ncondition: t", "detection.condition", "names t"),
    (
        "s: {f: a}\ncondition: s | count() > 5",
        "detection.condition",
        "aggregation",
    ),
    (
        "s: {f: a}\ntimeframe: 5m\ncondition: s",
        "detection.timeframe",
        "correlation",
    ),
    ("s: {f: a}", "detection.condition", "is required"),
    (
        "s: {f|windash: '-a -b -c -d -e -f'}\ncondition: s",
        "detection.s",
        "more than 5000",
    ),
];

#[test]
fn what_cannot_be_taken_in_is_refused_with_its_place_and_reason() {
    for (detection, place, reason) in REFUSED {
        let problem = refusal(detection);
        assert!(
            problem.starts_with(place) && problem.contains(reason),
            "{detection}: {problem}"
        );
    }
    let import = import(
        "title: t\ndetection: {s: {f: a}, condition: s}",
        &Options::default(),
    );
    assert_eq!(
        import.refused[0].problem.to_string(),
        "logsource: is required"
    );
    let twice = super::tests::import("title: t\ntitle: u", &Options::default());
    assert!(twice.refused[0].problem.what.contains("\"title\" twice"));
}

#[test]
fn hostile_files_are_refused_in_time() {
    let deep = "[".repeat(10_000);
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    let long = "x".repeat(FILE_BYTES_MAX + 1);
    let many = "---\ntitle: t\n".repeat(300);
    for text in [deep.as_str(), bomb, &long, &many, "\u{0}", "title: !x y"] {
        let import = import(text, &Options::default());
        assert!(import.rules.is_empty() && !import.refused.is_empty());
    }
}

#[test]
fn placeholders_are_bound_by_options_or_by_a_pipeline() {
    let text = document("s: {f|expand: 'srv-%Servers%'}\ncondition: s");
    let bound = Options {
        placeholders: BTreeMap::from([("Servers".to_owned(), vec!["a*".to_owned()])]),
        ..Options::default()
    };
    assert!(selects(
        &import(&text, &bound).rules[0].rule,
        &json!({"f": "SRV-abc"})
    ));
    let pipeline =
        "name: p\nvars: {Servers: [x, y]}\ntransformations: [{type: value_placeholders}]";
    let piped = Options {
        pipelines: vec![Pipeline::from_yaml(pipeline).unwrap()],
        ..Options::default()
    };
    assert!(selects(
        &import(&text, &piped).rules[0].rule,
        &json!({"f": "srv-Y"})
    ));
    let wild = "name: p\ntransformations: [{type: wildcard_placeholders}]";
    let piped = Options {
        pipelines: vec![Pipeline::from_yaml(wild).unwrap()],
        ..Options::default()
    };
    assert!(selects(
        &import(&text, &piped).rules[0].rule,
        &json!({"f": "srv-anything"})
    ));
    let plain = rule("s: {f: '%Servers%'}\ncondition: s");
    assert!(selects(&plain, &json!({"f": "%servers%"})));
}

#[test]
fn pipelines_do_what_pysigma_says() {
    let with = |pipeline: &str, detection: &str| {
        let options = Options {
            pipelines: vec![Pipeline::from_yaml(pipeline).unwrap()],
            ..Options::default()
        };
        import(&document(detection), &options)
    };
    let item = |yaml: &str| format!("name: p\ntransformations:\n  - {yaml}\n");
    let s = "s: {f: a, g|contains: b}\ncondition: s";
    let renamed = with(
        &item("{id: m, type: field_name_mapping, mapping: {f: x, g: [y, z]}}"),
        s,
    );
    assert!(selects(
        &renamed.rules[0].rule,
        &json!({"x": "a", "z": "b"})
    ));
    let prefixed = with(&item("{id: m, type: field_name_prefix, prefix: 'win.'}"), s);
    assert!(selects(
        &prefixed.rules[0].rule,
        &json!({"win": {"f": "a", "g": "b"}})
    ));
    let dropped = with(
        &item(
            "{type: drop_detection_item, field_name_conditions: [{type: include_fields, fields: [g]}]}",
        ),
        s,
    );
    assert!(selects(&dropped.rules[0].rule, &json!({"f": "a"})));
    let added = with(
        &item(
            "{type: add_condition, conditions: {os: linux}, rule_conditions: [{type: logsource, product: appliance}]}",
        ),
        s,
    );
    assert!(!selects(&added.rules[0].rule, &json!({"f": "a", "g": "b"})));
    assert!(selects(
        &added.rules[0].rule,
        &json!({"f": "a", "g": "b", "os": "Linux"})
    ));
    let other = with(
        &item(
            "{type: add_condition, conditions: {os: linux}, rule_conditions: [{type: logsource, product: other}]}",
        ),
        s,
    );
    assert!(selects(&other.rules[0].rule, &json!({"f": "a", "g": "b"})));
    let replaced = with(
        &item(r"{type: replace_string, regex: '^(a)$', replacement: 'x\1x'}"),
        s,
    );
    assert!(selects(
        &replaced.rules[0].rule,
        &json!({"f": "xax", "g": "b"})
    ));
    let failed = with(&item("{type: rule_failure, message: not for us}"), s);
    assert_eq!(failed.refused[0].problem.what, "not for us");
    let unknown = Pipeline::from_yaml(&item("{type: hashes_fields}")).unwrap_err();
    assert!(unknown.to_string().contains("hashes_fields"));
}

#[test]
fn filters_take_away_from_the_rules_that_they_name() {
    let rules = "
title: Rule
id: 11111111-1111-4111-8111-111111111111
name: a_rule
logsource: {product: appliance}
detection: {s: {f: a}, condition: s}
---
title: Known good
logsource: {product: appliance}
filter:
  rules: [a_rule]
  selection: {user|startswith: adm_}
  condition: selection
";
    let import = import(rules, &Options::default());
    assert_eq!((import.refused.len(), import.filters), (0, 1));
    let rule = &import.rules[0].rule;
    assert!(selects(rule, &json!({"f": "a", "user": "joe"})));
    assert!(selects(rule, &json!({"f": "a"})));
    assert!(!selects(rule, &json!({"f": "a", "user": "ADM_joe"})));
    let negated = rules.replace("condition: selection", "condition: not selection");
    let import = super::tests::import(&negated, &Options::default());
    assert!(!selects(
        &import.rules[0].rule,
        &json!({"f": "a", "user": "adm_joe"})
    ));
    assert_eq!(import.rules[0].warnings.len(), 1);
    let unknown = rules.replace("[a_rule]", "[nobody]");
    let import = super::tests::import(&unknown, &Options::default());
    assert!(import.refused[0].problem.what.contains("names no rule"));
}

#[test]
fn what_a_rule_says_of_itself_is_kept() {
    let import = import(FIXTURES, &Options::default());
    assert_eq!(import.refused, []);
    let rule = &import.rules[0].rule;
    assert_eq!(rule.id, "6c1f0a52-4f0e-4d5e-9a51-0f8a3f5c2b10");
    assert_eq!(rule.attack, ["TA0002", "T1059.001"]);
    let origin = rule.origin.as_ref().unwrap();
    assert_eq!(origin["license"], "Apache-2.0");
    assert_eq!(origin["logsource"], "windows/process_creation");
    assert!(
        origin["tags"]
            .as_array()
            .unwrap()
            .contains(&json!("attack.s0029"))
    );
    assert!(
        rule.message
            .starts_with("Encoded PowerShell command: CommandLine={")
    );
    let again = RuleDef::from_json(&rule.to_json()).unwrap();
    assert_eq!(&again, rule);
}

#[test]
fn windows_events_are_found_whatever_sends_them() {
    let import = import(FIXTURES, &Options::default());
    let rule = &import.rules[0].rule;
    let line = "powershell.exe -EncodedCommand AAAA";
    let image = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";
    let sysmon = "Microsoft-Windows-Sysmon/Operational";
    for event in [
        json!({"EventID": 1, "Channel": sysmon, "Image": image, "CommandLine": line}),
        json!({"EventID": "4688", "Channel": "Security", "NewProcessName": image, "CommandLine": line}),
        json!({"winlog": {"event_id": 1, "channel": sysmon, "event_data": {"Image": image, "CommandLine": line}}}),
        json!({"winlog": {"event_id": 1, "channel": sysmon},
            "process": {"executable": image, "command_line": line}}),
        json!({"Event": {"System": {"EventID": 1, "Channel": sysmon},
            "EventData": {"Image": image, "CommandLine": line}}}),
    ] {
        assert!(selects(rule, &event), "{event}");
    }
    let other = json!({"EventID": 11, "Channel": sysmon, "Image": image, "CommandLine": line});
    assert!(!selects(rule, &other));
}

#[test]
fn coverage_counts_techniques_and_makes_a_layer() {
    let import = import(FIXTURES, &Options::default());
    let rules: Vec<RuleDef> = import.rules.into_iter().map(|one| one.rule).collect();
    let mut rules = rules;
    let only = |rules: &[RuleDef]| coverage(rules.iter().map(Mapped::from));
    let all = only(&rules);
    assert_eq!(all.rules, rules.len());
    assert_eq!(all.techniques["T1059.001"].enabled, 1);
    let layer = navigator_layer(&all, "ours");
    assert_eq!(layer["domain"], "enterprise-attack");
    let techniques = layer["techniques"].as_array().unwrap();
    assert!(
        techniques
            .iter()
            .any(|one| one["techniqueID"] == "T1059.001" && one["score"] == 1)
    );
    // Switched off, a technique is known and not covered.
    rules.iter_mut().for_each(|rule| rule.enabled = false);
    let off = only(&rules);
    assert_eq!(
        (
            off.techniques["T1059.001"].enabled,
            off.techniques["T1059.001"].disabled
        ),
        (0, 1)
    );
    let layer = navigator_layer(&off, "ours");
    assert_eq!(layer["techniques"][0].get("score"), None);
    assert_eq!(navigator_layer(&only(&[]), "none")["techniques"], json!([]));
}

#[test]
fn tags_that_are_no_ids_are_left_among_the_tags() {
    let tags = "[attack.t1110, attack.t1110.003, attack.t1110.3, attack.t11100, attack.g0007, attack.persistence, cve.2024-1]";
    let text = format!("{}tags: {tags}\n", document("s: {f: x}\ncondition: s"));
    let import = import(&text, &Options::default());
    assert_eq!(
        import.rules[0].rule.attack,
        ["T1110", "T1110.003", "TA0003"]
    );
}

#[test]
fn rules_of_a_refused_correlation_do_not_stand_for_themselves() {
    let base = "title: Failed login\nname: failed\nlogsource: {product: appliance}\ndetection: {s: {f: x}, condition: s}\n";
    let correlation = |more: &str| {
        format!(
            "{base}---\ntitle: Many\ncorrelation: {{type: event_count, rules: [failed], timespan: 90d, condition: {{gte: 5}}{more}}}\n"
        )
    };
    let refused = import(&correlation(""), &Options::default());
    assert!(refused.rules.is_empty());
    let problems: Vec<&str> = refused
        .refused
        .iter()
        .map(|one| one.problem.path.as_str())
        .collect();
    assert_eq!(problems, ["correlation.timespan", "correlation"]);
    let generated = import(&correlation(", generate: true"), &Options::default());
    assert_eq!(generated.rules.len(), 1);
}

#[test]
fn what_cannot_be_stored_is_refused() {
    assert!(refusal("s: {f: \"a\\0b\"}\ncondition: s").contains("character zero"));
    // Two bytes a character, and not written as base64.
    assert!(refusal("s: {f|wide: ab}\ncondition: s").contains("character zero"));
    // A backslash and what would be an escape elsewhere is text like any other.
    rule("s: {f: 'a\\u0000b'}\ncondition: s");
}

#[test]
fn an_import_is_bounded_in_documents() {
    let source = |n: usize, text: &str| Source {
        name: format!("{n}.yml"),
        text: text.to_owned(),
    };
    let filter = "title: F\nlogsource: {product: appliance}\nfilter: {rules: any, s: {f: x}, condition: s}\n---\n";
    let filters: Vec<Source> = (0..3).map(|n| source(n, &filter.repeat(90))).collect();
    let import = Import::new(&filters, &Options::default());
    let beyond = |import: &Import| {
        let problems = import.refused.iter().map(|one| &one.problem.what);
        problems.filter(|what| what.contains("beyond")).count()
    };
    assert_eq!(beyond(&import), 70);
    let small = "a: 1\n---\n".repeat(200);
    let many: Vec<Source> = (0..DOCUMENTS_MAX / 200 + 5)
        .map(|n| source(n, &small))
        .collect();
    let import = Import::new(&many, &Options::default());
    assert_eq!(
        (import.refused.len(), beyond(&import)),
        (DOCUMENTS_MAX + 1, 1)
    );
}

#[test]
fn a_negation_of_an_unmapped_source_is_kept_to_events_with_its_fields() {
    let detection = "s:\n  id.orig_h|cidr: 10.0.0.0/8\ncondition: not s";
    let import = |detection: &str| import(&document(detection), &Options::default());
    let imported = import(detection);
    assert_eq!(imported.refused, []);
    let [warning] = imported.rules[0].warnings.as_slice() else {
        panic!("{:?}", imported.rules[0].warnings);
    };
    assert!(warning.contains("log source appliance"), "{warning}");
    let kept = &imported.rules[0].rule;
    assert!(selects(kept, &json!({"id.orig_h": "203.0.113.7"})));
    assert!(!selects(kept, &json!({"id.orig_h": "10.1.2.3"})));
    assert!(!selects(kept, &json!({"request": "GET / HTTP/1.1"})));
    // As it is written it is true of any event.
    assert!(selects(
        &rule(detection),
        &json!({"request": "GET / HTTP/1.1"})
    ));
    // What asks for something is as it was.
    let asking = import("s:\n  f: a\nnot_s:\n  g: b\ncondition: s and not not_s");
    assert!(asking.rules[0].warnings.is_empty());
    // Nothing says which events these are about.
    for detection in [
        "s:\n  - needle\ncondition: not s",
        "s:\n  f: null\ncondition: s",
    ] {
        let refused = import(detection).refused;
        assert!(
            refused[0].problem.to_string().contains("every source"),
            "{refused:?}"
        );
    }
}
