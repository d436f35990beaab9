//! Cases by seed: a few rules over small alphabets, one correlation of them, filters and pipelines, and
//! a stream of events in which windows just do and just do not hold.
//!
//! Every case is small, so that a difference can be read; there are many of them instead.

use super::{Case, Timed};
use crate::dice::Dice;
use crate::events::Fields;
use serde_json::{Value, json};

/// Events of a case.
const EVENTS: usize = 40;
/// What the events of a case are about: `ab` is matched by two rules.
const KINDS: [&str; 5] = ["a", "b", "c", "ab", "other"];

/// The sort of cases that have a chain, of ten.
const CHAIN: usize = 0;

/// The case of a number.
#[must_use]
pub fn case(number: u64) -> Case {
    let mut dice = Dice(number.wrapping_mul(1_000_003));
    let dice = &mut dice;
    let span = 2 + dice.below(7) as i64;
    let sort = dice.below(10);
    let (has_filter, mapping) = (dice.once_in(3), Mapping::new(dice));
    let mut documents = bases(dice, mapping);
    match sort {
        CHAIN => documents.push(chain(dice, span)),
        _ => documents.push(correlation(dice, (sort, span))),
    }
    if has_filter {
        documents.push(filter(dice));
    }
    Case {
        name: format!("made-{number}"),
        rules: documents.join("---\n"),
        pipelines: mapping.pipelines(),
        events: events(dice, (span, mapping), sort == CHAIN),
    }
}

/// What becomes of the names of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    /// They stay.
    None,
    /// They are exchanged one for one.
    Plain,
    /// The same, for the rules of one log source.
    OfOneSource,
    /// They get a prefix.
    Prefix,
}

impl Mapping {
    fn new(dice: &mut Dice) -> Mapping {
        match dice.below(6) {
            0 => Mapping::Plain,
            1 => Mapping::OfOneSource,
            2 => Mapping::Prefix,
            _ => Mapping::None,
        }
    }

    fn pipelines(self) -> Vec<String> {
        let mapping =
            "mapping: {user: actor, owner: possessor, size: bytes, flag: mark, kind: sort}";
        let text = match self {
            Mapping::None => return Vec::new(),
            Mapping::Plain => {
                format!("transformations: [{{id: m, type: field_name_mapping, {mapping}}}]")
            }
            Mapping::OfOneSource => format!(
                "transformations: [{{id: m, type: field_name_mapping, mapping: {{user: actor, flag: mark}}, \
                 rule_conditions: [{{type: logsource, product: appliance}}]}}]"
            ),
            Mapping::Prefix => {
                "transformations: [{id: p, type: field_name_prefix, prefix: x_}]".to_owned()
            }
        };
        vec![format!("name: made\npriority: 10\n{text}\n")]
    }

    /// What a field is called in the events of a kind.
    fn field(self, kind: &str, name: &str) -> String {
        let plain = [
            ("user", "actor"),
            ("owner", "possessor"),
            ("size", "bytes"),
            ("flag", "mark"),
            ("kind", "sort"),
        ];
        let mapped = || {
            let known = plain.iter().find(|(from, _)| *from == name);
            known.map_or(name, |(_, to)| to).to_owned()
        };
        match self {
            Mapping::None => name.to_owned(),
            Mapping::Plain => mapped(),
            Mapping::OfOneSource if kind != "c" && matches!(name, "user" | "flag") => mapped(),
            Mapping::OfOneSource => name.to_owned(),
            Mapping::Prefix => format!("x_{name}"),
        }
    }
}

/// Three rules: two of one log source, which an event of kind `ab` matches both, and one of another.
fn bases(dice: &mut Dice, mapping: Mapping) -> Vec<String> {
    let rule = |name: &str, product: &str, kinds: &str, more: &str| {
        format!(
            "title: Rule {name}\nid: id-{name}\nname: {name}\nlogsource: {{product: {product}}}\n\
             detection:\n  s: {{kind: {kinds}}}\n{more}\n"
        )
    };
    let condition = |dice: &mut Dice| match dice.below(4) {
        0 => "  f: {flag: 1}\n  condition: s and f",
        1 => "  f: {flag: 0}\n  condition: s and not f",
        _ => "  condition: s",
    };
    // Where names depend on the log source an event has one of them only.
    let both = if mapping == Mapping::OfOneSource {
        "b"
    } else {
        "[b, ab]"
    };
    vec![
        rule("a", "appliance", "[a, ab]", condition(dice)),
        rule("b", "appliance", both, condition(dice)),
        rule("c", "gadget", "c", condition(dice)),
    ]
}

fn head(title: &str, generate: bool) -> String {
    let generate = if generate { "generate: true\n" } else { "" };
    format!("title: {title}\nid: id-{title}\nname: {title}\n{generate}correlation:\n")
}

/// Up to two fields to group by; several rules may call one of them differently.
fn grouping(dice: &mut Dice) -> String {
    match dice.below(6) {
        0 => String::new(),
        1 => "  group-by: [user, box]\n".to_owned(),
        2 => "  group-by: [who]\n  aliases:\n    who: {a: user, b: owner, c: user}\n".to_owned(),
        _ => "  group-by: [user]\n".to_owned(),
    }
}

fn bounds(dice: &mut Dice, around: usize) -> String {
    let number = around + dice.below(3);
    match dice.below(8) {
        0 => format!("gt: {number}"),
        1 => format!("lt: {number}"),
        2 => format!("lte: {number}"),
        3 => format!("eq: {number}"),
        4 => format!("gte: {around}, lt: {}", number + 1),
        5 => format!("neq: {number}"),
        _ => format!("gte: {number}"),
    }
}

/// References by id and by name.
fn references(dice: &mut Dice, names: &[&str]) -> String {
    let each = names.iter().map(|name| match dice.once_in(2) {
        true => format!("id-{name}"),
        false => (*name).to_owned(),
    });
    each.collect::<Vec<String>>().join(", ")
}

fn correlation(dice: &mut Dice, (sort, span): (usize, i64)) -> String {
    let names: &[&str] = match dice.below(4) {
        0 => &["a", "b"],
        1 => &["a", "c"],
        2 => &["b"],
        _ => &["a", "b", "c"],
    };
    let (kind, condition) = match sort {
        1 | 2 => ("event_count", format!("condition: {{{}}}", bounds(dice, 2))),
        3 => {
            let fields = if dice.once_in(2) {
                "size"
            } else {
                "[size, box]"
            };
            let bounds = bounds(dice, 2);
            (
                "value_count",
                format!("condition: {{field: {fields}, {bounds}}}"),
            )
        }
        4 if names.len() > 2 && dice.once_in(2) => ("temporal", "condition: {gte: 2}".to_owned()),
        4 | 5 => ("temporal", String::new()),
        6 => ("temporal_ordered", String::new()),
        7 => {
            let bounds = bounds(dice, 8);
            ("value_sum", format!("condition: {{field: size, {bounds}}}"))
        }
        8 => {
            let bounds = bounds(dice, 4);
            ("value_avg", format!("condition: {{field: size, {bounds}}}"))
        }
        _ => {
            let percentile = [0, 25, 50, 90, 100]
                .get(dice.below(5))
                .copied()
                .unwrap_or(50);
            let bounds = bounds(dice, 4);
            let condition =
                format!("condition: {{field: size, percentile: {percentile}, {bounds}}}");
            ("value_percentile", condition)
        }
    };
    let rules = references(dice, names);
    format!(
        "{}  type: {kind}\n  rules: [{rules}]\n{}  timespan: {span}s\n  {condition}\n",
        head("all", dice.once_in(4)),
        grouping(dice)
    )
}

/// A count as a step of a temporal correlation.
fn chain(dice: &mut Dice, span: i64) -> String {
    let grouping = match dice.below(3) {
        0 => "",
        1 => "  group-by: [user, box]\n",
        _ => "  group-by: [user]\n",
    };
    let inner: &[&str] = if dice.once_in(2) { &["a"] } else { &["a", "b"] };
    let many = format!(
        "{}  type: event_count\n  rules: [{}]\n{grouping}  timespan: {span}s\n  condition: {{gte: {}}}\n",
        head("many", false),
        references(dice, inner),
        2 + dice.below(2)
    );
    let kind = if dice.once_in(2) {
        "temporal"
    } else {
        "temporal_ordered"
    };
    let outer = format!(
        "{}  type: {kind}\n  rules: [{}]\n{grouping}  timespan: {}s\n",
        head("all", dice.once_in(4)),
        references(dice, &["many", "c"]),
        span + 2
    );
    format!("{many}---\n{outer}")
}

fn filter(dice: &mut Dice) -> String {
    let rules = match dice.below(4) {
        0 => "any".to_owned(),
        1 => "[a]".to_owned(),
        2 => "[id-b, c]".to_owned(),
        _ => "[id-a]".to_owned(),
    };
    // A filter that is about none of the rules is refused.
    let of_gadget = match rules.as_str() {
        "any" => dice.once_in(2),
        "[id-b, c]" => true,
        _ => false,
    };
    let product = if of_gadget { "gadget" } else { "appliance" };
    let condition = if dice.once_in(2) { "not f" } else { "f" };
    format!(
        "title: Filter\nid: id-filter\nlogsource: {{product: {product}}}\nfilter:\n  rules: {rules}\n  \
         f: {{box: h2, user|startswith: a}}\n  condition: {condition}\n"
    )
}

/// Those of a chain have a time of their own each: what comes at one instant is one window to us, which step of a chain
/// it reaches or not, and the other takes it as it comes.
fn events(dice: &mut Dice, (span, mapping): (i64, Mapping), is_chain: bool) -> Vec<Timed> {
    let mut second = 1_700_000_000;
    let mut events = Vec::with_capacity(EVENTS);
    for _ in 0..EVENTS {
        second += match dice.below(8) {
            0 | 1 => i64::from(is_chain),
            2..=4 => 1,
            5 => span / 2,
            6 => span - 1,
            _ => span,
        };
        let fields = event(dice, mapping);
        events.push(Timed { second, fields });
    }
    events
}

fn event(dice: &mut Dice, mapping: Mapping) -> Fields {
    let kind = dice.pick(&KINDS).unwrap_or_default();
    let mut fields = Fields::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(mapping.field(kind, name), value);
        }
    };
    put("kind", Some(json!(kind)));
    put("flag", Some(json!(dice.below(2))));
    put("user", person(dice));
    put("owner", person(dice));
    put("box", dice.pick(&["h1", "h1", "h2"]).map(|one| json!(one)));
    put("size", size(dice));
    fields
}

fn person(dice: &mut Dice) -> Option<Value> {
    match dice.below(20) {
        0 => None,
        1 => Some(Value::Null),
        2 => Some(json!("-")),
        3 => Some(json!("")),
        4 => Some(json!(7)),
        5 => Some(json!("7")),
        6 => Some(json!(1.5)),
        7 => Some(json!("1.5")),
        8 => Some(json!(true)),
        9..=12 => Some(json!("bob")),
        _ => Some(json!("ann")),
    }
}

fn size(dice: &mut Dice) -> Option<Value> {
    match dice.below(14) {
        0 => None,
        1 => Some(json!("many")),
        2 => Some(json!("4")),
        3 => Some(json!(2.5)),
        4 => Some(json!(-3)),
        5 => Some(Value::Null),
        6 => Some(json!(4.0)),
        7 => Some(json!("unknown")),
        _ => Some(json!(dice.below(9))),
    }
}
