//! Events given in another form.

use super::rewrite::{DATES, PRESENCE, each_item, has, has_any, is_of_texts, relation};
use crate::events::Fields;
use rsigma_parser::{Detection, DetectionItem, Modifier, SigmaRule, SigmaValue};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Where the texts of numbers are put for keywords to be found in; no rule has such a name.
const NUMBERS: &str = "\u{1}numbers";
/// How the text begins that stands for null.
const NOTHING: &str = "\u{1}null of ";

/// The fields of the items that are of interest.
fn fields(rule: &SigmaRule, of_interest: &dyn Fn(&DetectionItem) -> bool) -> Vec<String> {
    let mut names = Vec::new();
    each_item(&mut rule.clone(), &mut |item| {
        names.extend(item.field.name.clone().filter(|_| of_interest(item)));
        false
    });
    names
}

/// The event with these fields changed, and each element of those that are lists.
fn changed(event: &Fields, names: &[String], change: &dyn Fn(&Value) -> Value) -> Fields {
    let mut event = event.clone();
    for name in names {
        let value = at(&event, name).map(|value| match value {
            Value::Array(list) => Value::Array(list.iter().map(change).collect()),
            one => change(one),
        });
        put(&mut event, name, value);
    }
    event
}

/// The field of that name, or the one within a field that the name is a path to.
fn at<'e>(event: &'e Fields, path: &str) -> Option<&'e Value> {
    let within = || {
        let (outer, inner) = path.split_once('.')?;
        at(event.get(outer)?.as_object()?, inner)
    };
    event.get(path).or_else(within)
}

/// Gives a field another value: one by its whole name comes before one within another.
fn put(event: &mut Fields, path: &str, value: Option<Value>) {
    if let Some(value) = value
        && at(event, path) != Some(&value)
    {
        event.insert(path.to_owned(), value);
    }
}

pub(super) fn numbers_as_texts(rule: &SigmaRule, event: &Fields) -> Fields {
    let mut has_keywords = false;
    super::rewrite::each_detection(&mut rule.clone(), &mut |detection| {
        has_keywords |= match detection {
            Detection::Keywords(_) => true,
            Detection::AllOf(items) => items.iter().any(|item| item.field.name.is_none()),
            Detection::AnyOf(_)
            | Detection::And(_)
            | Detection::ArrayMatch { .. }
            | Detection::Conditional { .. } => false,
        };
        false
    });
    let mut event = event.clone();
    let mut texts = Vec::new();
    event
        .values()
        .for_each(|value| add_texts(value, &mut texts));
    if has_keywords && !texts.is_empty() {
        event.insert(NUMBERS.to_owned(), Value::Array(texts));
    }
    event
}

fn add_texts(value: &Value, into: &mut Vec<Value>) {
    match value {
        Value::Number(_) | Value::Bool(_) => into.push(json!(value.to_string())),
        Value::Array(list) => list.iter().for_each(|one| add_texts(one, into)),
        Value::Object(members) => members.values().for_each(|one| add_texts(one, into)),
        Value::Null | Value::String(_) => {}
    }
}

pub(super) fn numbers_as_spelled(rule: &SigmaRule, event: &Fields) -> Fields {
    let mut spelled: Vec<(String, String, f64)> = Vec::new();
    each_item(&mut rule.clone(), &mut |item| {
        let texts = item.values.iter().filter_map(|value| match value {
            SigmaValue::String(text) => text.as_plain(),
            SigmaValue::Integer(_)
            | SigmaValue::Float(_)
            | SigmaValue::Bool(_)
            | SigmaValue::Null => None,
        });
        if let Some(name) = item.field.name.as_ref().filter(|_| is_of_texts(item)) {
            let numbers = texts.filter_map(|text| Some((name.clone(), text.parse().ok()?, text)));
            spelled.extend(numbers.map(|(name, number, text)| (name, text, number)));
        }
        false
    });
    let mut event = event.clone();
    for (name, text, number) in spelled {
        let exchange = |value: &Value| match value.as_f64() {
            Some(own) if own == number => json!(text),
            Some(_) | None => value.clone(),
        };
        event = changed(&event, &[name], &exchange);
    }
    event
}

pub(super) fn presence(rule: &SigmaRule, event: &Fields) -> Fields {
    let mut marked = event.clone();
    if !fields(rule, &|item| has(item, Modifier::Exists)).is_empty() {
        let mut paths = Vec::new();
        add_paths("", event, &mut paths);
        for path in paths {
            marked.insert(format!("{PRESENCE}{path}"), json!("\u{1}"));
        }
    }
    marked
}

fn add_paths(prefix: &str, members: &Fields, into: &mut Vec<String>) {
    for (name, value) in members {
        let path = format!("{prefix}{name}");
        match value {
            Value::Object(inner) => add_paths(&format!("{path}."), inner, into),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => into.push(path),
        }
    }
}

pub(super) fn related_fields(rule: &SigmaRule, event: &Fields) -> Fields {
    let mut marked = event.clone();
    each_item(&mut rule.clone(), &mut |item| {
        if let (Some(names), Some(name)) = (relation(item), &item.field.name) {
            let others = item.values.iter().map(ToString::to_string);
            let others = others.flat_map(|other| texts(at(event, &other), &other));
            let pair = related(
                item,
                &texts(at(event, name), name),
                &others.collect::<Vec<_>>(),
            );
            let fields = names.into_iter().zip(pair);
            marked.extend(fields.filter_map(|(name, value)| Some((name, value?))));
        }
        false
    });
    marked
}

/// One of the values of each of the two fields, as text: two that are related, if there are such.
/// Null is like no other text, and nothing is looked for in it.
fn related(item: &DetectionItem, ones: &[String], others: &[String]) -> [Option<Value>; 2] {
    let folded = |text: &str| match has(item, Modifier::Cased) {
        true => text.to_owned(),
        false => text.to_lowercase(),
    };
    let holds = |one: &str, other: &str| {
        let (one, other) = (folded(one), folded(other));
        if has(item, Modifier::Contains) {
            one.contains(&other)
        } else if has(item, Modifier::StartsWith) {
            one.starts_with(&other)
        } else if has(item, Modifier::EndsWith) {
            one.ends_with(&other)
        } else {
            one == other
        }
    };
    let mut pairs = ones
        .iter()
        .flat_map(|one| others.iter().map(move |other| (one, other)));
    let pair = pairs.find(|(one, other)| !one.starts_with(NOTHING) && holds(one, other));
    let (one, other) = match pair {
        Some((one, other)) => (Some(one), Some(other)),
        None => (ones.first(), others.first()),
    };
    let is_nothing = |text: &String| text.starts_with(NOTHING) && !has(item, Modifier::Neq);
    let value = |text: &String| {
        if is_nothing(text) {
            Value::Null
        } else {
            json!(text)
        }
    };
    [one.map(value), other.map(|other| json!(other))]
}

fn texts(value: Option<&Value>, name: &str) -> Vec<String> {
    match value {
        None | Some(Value::Object(_)) => Vec::new(),
        Some(Value::Array(list)) if list.is_empty() => texts(Some(&Value::Null), name),
        Some(Value::Array(list)) => {
            let each = list.iter().flat_map(|one| texts(Some(one), name));
            each.collect()
        }
        Some(Value::Null) => vec![format!("{NOTHING}{name}")],
        Some(Value::Bool(flag)) => vec![flag.to_string()],
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Number(number)) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            vec![float.map_or(number.to_string(), |float| float.to_string())]
        }
    }
}

pub(super) fn times(rule: &SigmaRule, event: &Fields) -> Fields {
    let names = fields(rule, &|item| has_any(item, &DATES));
    changed(event, &names, &|value| {
        let Some(text) = value.as_str().map(str::trim) else {
            return value.clone();
        };
        match text.parse::<i64>() {
            Ok(seconds) => json!(seconds),
            Err(_) => json!(text.replacen(' ', "T", 1)),
        }
    })
}

pub(super) fn addresses(rule: &SigmaRule, event: &Fields) -> Fields {
    let names = fields(rule, &|item| has(item, Modifier::Cidr));
    changed(event, &names, &|value| {
        let text = value.as_str().map(str::trim);
        let address = text.and_then(|text| text.parse::<IpAddr>().ok());
        address.map_or(value.clone(), |address| {
            json!(address.to_canonical().to_string())
        })
    })
}

pub(super) fn blanks_around_numbers(rule: &SigmaRule, event: &Fields) -> Fields {
    let orders = [Modifier::Gt, Modifier::Gte, Modifier::Lt, Modifier::Lte];
    let names = fields(rule, &|item| has_any(item, &orders));
    changed(event, &names, &|value| match value.as_str() {
        Some(text) => json!(text.trim()),
        None => value.clone(),
    })
}

pub(super) fn empty_lists(rule: &SigmaRule, event: &Fields) -> Fields {
    let is_null = |value: &SigmaValue| matches!(value, SigmaValue::Null);
    let names = fields(rule, &|item| item.values.iter().any(is_null));
    let mut event = event.clone();
    for name in names {
        let list = at(&event, &name).and_then(Value::as_array);
        let is_empty = list.is_some_and(|list| list.iter().all(Value::is_null));
        put(&mut event, &name, is_empty.then_some(Value::Null));
    }
    event
}
