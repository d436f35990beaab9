//! Events made of what rules ask for: such as match, near misses, its values in other company; and
//! events by chance.

use crate::dice::Dice;
use crate::made::{FIELDS, word};
use crate::values::{Wish, without_wildcards};
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;
use std::collections::BTreeMap;

/// An event: its fields, some of them within others.
pub type Fields = Map<String, Value>;

/// The field that keywords are put into.
const KEYWORDS: &str = "keywords";

/// So many events for each document of these texts: every third is such that its rule should match,
/// every third is nearly so, every third has values of the rule by chance.
#[must_use]
pub fn of_rules(texts: &[String], each: usize, dice: &mut Dice) -> Vec<Fields> {
    let mut made = Vec::new();
    for text in texts {
        for document in serde_yaml_ng::Deserializer::from_str(text) {
            let document: Result<Yaml, _> = serde::Deserialize::deserialize(document);
            let Ok(document) = document else { break };
            let asked = Asked::of(&document);
            made.extend((0..each).map(|at| match at % 3 {
                0 => asked.matching(dice),
                1 => near(asked.matching(dice), dice),
                _ => asked.in_other_company(dice),
            }));
        }
    }
    made
}

/// What a rule asks for: of each search identifier that is not negated the alternatives, and all
/// values of every field.
struct Asked<'d> {
    wanted: Vec<&'d Yaml>,
    by_field: BTreeMap<String, Vec<Value>>,
}

impl<'d> Asked<'d> {
    fn of(document: &'d Yaml) -> Asked<'d> {
        let detection = document.get("detection").and_then(Yaml::as_mapping);
        let condition = detection.and_then(|map| map.get("condition"));
        let condition = condition.and_then(Yaml::as_str).unwrap_or_default();
        let (mut wanted, mut values) = (Vec::new(), Vec::new());
        for (name, value) in detection.into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if name == "condition" {
                continue;
            }
            mentioned(value, &mut values);
            if !name.starts_with("filter") && !condition.contains(&format!("not {name}")) {
                wanted.push(value);
            }
        }
        let mut by_field: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (field, value) in values {
            by_field.entry(field).or_default().push(value);
        }
        Asked { wanted, by_field }
    }

    fn matching(&self, dice: &mut Dice) -> Fields {
        let (mut wishes, mut references) = (BTreeMap::new(), Vec::new());
        for detection in &self.wanted {
            ask(detection, (&mut wishes, &mut references), dice);
        }
        let fields = wishes
            .into_iter()
            .map(|(field, wish)| (field, wish.value()));
        let mut event: Fields = fields.collect();
        for (field, other) in references {
            let value = event.get(&other).cloned().unwrap_or_else(|| json!("same"));
            event.insert(other, value.clone());
            event.insert(field, value);
        }
        event
    }

    fn in_other_company(&self, dice: &mut Dice) -> Fields {
        let mut event = Fields::new();
        for (field, values) in &self.by_field {
            let Some(value) = values.get(dice.below(values.len())) else {
                continue;
            };
            if dice.once_in(10) {
                continue;
            }
            let mut value = varied(value, dice);
            // Rules ask for several parts of one value: put some of them together.
            if dice.once_in(2)
                && let Some(first) = value.as_str()
            {
                let more = values.iter().filter_map(Value::as_str).take(6);
                let joined: Vec<&str> = std::iter::once(first).chain(more).collect();
                value = json!(joined.join(" "));
            }
            event.insert(field.clone(), value);
        }
        event
    }
}

/// Fields with what is wished of them, and pairs of fields that are to be the same.
type Wishes<'w> = (
    &'w mut BTreeMap<String, Wish>,
    &'w mut Vec<(String, String)>,
);

fn ask(detection: &Yaml, (wishes, references): Wishes<'_>, dice: &mut Dice) {
    if let Some(map) = detection.as_mapping() {
        for (name, value) in map {
            let (field, modifiers) = field_of(name);
            let list = listed(value);
            if modifiers.contains(&"fieldref") {
                let others = list.iter().filter_map(Yaml::as_str);
                references.extend(others.map(|other| (field.to_owned(), other.to_owned())));
                continue;
            }
            let wish = wishes.entry(field.to_owned()).or_default();
            let modifiers = or_contains(modifiers, field);
            if modifiers.contains(&"all") {
                list.iter().for_each(|one| wish.ask(&modifiers, one, dice));
            } else if let Some(one) = list.get(dice.below(list.len())) {
                wish.ask(&modifiers, one, dice);
            }
        }
    } else if let Some(list) = detection.as_sequence() {
        let Some(one) = list.get(dice.below(list.len())) else {
            return;
        };
        ask(one, (wishes, references), dice);
    } else {
        let wish = wishes.entry(KEYWORDS.to_owned()).or_default();
        wish.ask(&["contains"], detection, dice);
    }
}

fn field_of(name: &Yaml) -> (&str, Vec<&str>) {
    let mut parts = name.as_str().unwrap_or_default().split('|');
    let field = parts.next().filter(|field| !field.is_empty());
    (field.unwrap_or(KEYWORDS), parts.collect())
}

fn or_contains<'m>(mut modifiers: Vec<&'m str>, field: &str) -> Vec<&'m str> {
    if field == KEYWORDS && !modifiers.contains(&"re") {
        modifiers.push("contains");
    }
    modifiers
}

fn listed(value: &Yaml) -> &[Yaml] {
    let list = value.as_sequence();
    list.map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// The event with one of its fields changed a little, or gone.
fn near(mut event: Fields, dice: &mut Dice) -> Fields {
    let Some(name) = event.keys().nth(dice.below(event.len())).cloned() else {
        return event;
    };
    let changed = event.get(&name).and_then(|value| {
        let text = value.as_str().unwrap_or_default();
        let cut = text.chars().count().saturating_sub(1);
        Some(match dice.below(8) {
            0 => return None,
            1 => json!(text.chars().skip(1).collect::<String>()),
            2 => json!(text.chars().take(cut).collect::<String>()),
            3 => json!(format!("{text}~")),
            4 => json!(format!("~{text}")),
            5 => {
                let at = dice.below(cut + 1);
                let letters = text.chars().enumerate();
                json!(
                    letters
                        .map(|(n, c)| if n == at { '~' } else { c })
                        .collect::<String>()
                )
            }
            6 => json!(["another", value]),
            _ => varied(value, dice),
        })
    });
    match changed {
        Some(changed) => event.insert(name, changed),
        None => event.remove(&name),
    };
    event
}

/// Events that no rule was asked about: fields and values by chance.
#[must_use]
pub fn by_chance(count: usize, dice: &mut Dice) -> Vec<Fields> {
    let value = |dice: &mut Dice| match dice.below(16) {
        0 => Value::Null,
        1 => json!(dice.below(12)),
        2 => json!(""),
        3 => json!(format!("10.{}.0.7", dice.below(2))),
        4 => json!([word(dice), word(dice)]),
        5 => json!(dice.once_in(2)),
        6 => json!([dice.below(12), word(dice), Value::Null]),
        7 => json!(format!("{}\n{}", word(dice), word(dice))),
        8 => json!([]),
        _ => json!(word(dice).replace(['*', '?'], "a")),
    };
    let event = |dice: &mut Dice| {
        let mut event = Fields::new();
        for field in FIELDS {
            if dice.once_in(3) {
                continue;
            }
            let value = value(dice);
            match field.split_once('.').filter(|_| dice.once_in(2)) {
                Some((outer, inner)) => event.insert(outer.to_owned(), json!({inner: value})),
                None => event.insert(field.to_owned(), value),
            };
        }
        event
    };
    (0..count).map(|_| event(dice)).collect()
}

/// Fields and the values that a rule names for them.
fn mentioned(value: &Yaml, into: &mut Vec<(String, Value)>) {
    if let Some(map) = value.as_mapping() {
        for (name, value) in map {
            let (field, modifiers) = field_of(name);
            for one in listed(value) {
                let value = plain(one, &modifiers);
                into.extend(value.map(|value| (field.to_owned(), value)));
            }
        }
    } else if let Some(list) = value.as_sequence() {
        list.iter().for_each(|one| mentioned(one, into));
    } else {
        let value = plain(value, &[]);
        into.extend(value.map(|value| (KEYWORDS.to_owned(), value)));
    }
}

/// A value that is like what is written.
fn plain(written: &Yaml, modifiers: &[&str]) -> Option<Value> {
    if let Some(flag) = written.as_bool() {
        let exists = modifiers.contains(&"exists");
        return if exists {
            flag.then(|| json!("x"))
        } else {
            Some(json!(flag))
        };
    }
    if let Some(number) = written.as_i64() {
        return Some(json!(number));
    }
    let text = written.as_str()?;
    if modifiers.contains(&"cidr") {
        return Some(json!(text.split('/').next()?));
    }
    Some(json!(without_wildcards(text)))
}

/// Something like the value.
fn varied(value: &Value, dice: &mut Dice) -> Value {
    let Some(text) = value.as_str() else {
        return match dice.below(4) {
            0 => json!(value.to_string()),
            1 => json!("other"),
            _ => value.clone(),
        };
    };
    match dice.below(12) {
        0 | 1 => json!(text.to_ascii_uppercase()),
        2 => json!(format!("C:\\dir{text}")),
        3 => json!(format!("{text} -tail")),
        4 => json!(format!("head {text} tail")),
        5 => json!(text.get(1..).unwrap_or_default()),
        6 => json!([text, "another"]),
        7 => Value::Null,
        8 => json!(""),
        _ => json!(text),
    }
}
