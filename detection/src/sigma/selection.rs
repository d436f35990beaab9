//! Detections and conditions as the engine's own selections. Case does not matter to Sigma unless
//! a rule says so; groups are made as flat as they can be.

use super::condition::Expression;
use super::detection::{Detection, Item};
use super::value::{Link, Value};
use crate::rules::path::{EVERY, OR};
use crate::rules::wildcard::{Part, write};
use crate::rules::{Condition, Op, Operator, Selection};
use serde_json::{Value as Json, json};

/// The selection of a condition, with what each search identifier means.
pub(super) fn of_condition(
    expression: &Expression,
    detection: &impl Fn(&str) -> Selection,
) -> Selection {
    let list = |all: &[Expression]| all.iter().map(|one| of_condition(one, detection)).collect();
    match expression {
        Expression::Detection(name) => detection(name),
        Expression::And(all) => every(list(all)),
        Expression::Or(any) => any_of(list(any)),
        Expression::Not(one) => not(of_condition(one, detection)),
    }
}

/// The selection of a detection.
pub(super) fn of_detection(detection: &Detection) -> Selection {
    let list = |all: &[Detection]| all.iter().map(of_detection).collect();
    match detection {
        Detection::All(all) => every(list(all)),
        Detection::Any(any) => any_of(list(any)),
        Detection::Item(item) => of_item(item),
    }
}

/// All of them, as flat as may be.
pub(super) fn every(list: Vec<Selection>) -> Selection {
    let mut flat = Vec::with_capacity(list.len());
    for one in list {
        if let Selection::All(inner) = one {
            flat.extend(inner);
        } else {
            flat.push(one);
        }
    }
    single(flat, Selection::All)
}

/// Any of them, as flat as may be.
pub(super) fn any_of(list: Vec<Selection>) -> Selection {
    let mut flat = Vec::with_capacity(list.len());
    for one in list {
        if let Selection::Any(inner) = one {
            flat.extend(inner);
        } else {
            flat.push(one);
        }
    }
    single(flat, Selection::Any)
}

/// Not this one.
pub(super) fn not(one: Selection) -> Selection {
    if let Selection::Any(list) = one {
        return Selection::None(list);
    }
    if let Selection::None(list) = &one
        && let [inner] = list.as_slice()
    {
        return inner.clone();
    }
    Selection::None(vec![one])
}

fn single(mut list: Vec<Selection>, group: fn(Vec<Selection>) -> Selection) -> Selection {
    match list.pop() {
        Some(one) if list.is_empty() => one,
        Some(last) => {
            list.push(last);
            group(list)
        }
        None => group(list),
    }
}

fn of_item(item: &Item) -> Selection {
    let is_keyword = item.fields.is_empty();
    let field = if is_keyword {
        EVERY.to_owned()
    } else {
        item.fields.join(OR)
    };
    let values = item
        .values
        .iter()
        .map(|variants| variants.iter().map(|value| around(value, is_keyword)));
    let of = |values: Vec<Value>| any_of(conditions(&field, item.link, values));
    let selection = if item.link.all {
        every(values.map(|variants| of(variants.collect())).collect())
    } else {
        of(values.flatten().collect())
    };
    if !item.link.neq {
        return selection;
    }
    // Another value is a value: a field that is not there has none.
    let present = condition(&field, Operator::Present, false, json!(true));
    every(vec![present, not(selection)])
}

/// Keywords stand anywhere in a value.
fn around(value: &Value, is_keyword: bool) -> Value {
    let parts = value.parts().filter(|_| is_keyword);
    let Some(mut parts) = parts else {
        return value.clone();
    };
    if parts.first() != Some(&Part::Many) {
        parts.insert(0, Part::Many);
    }
    if parts.last() != Some(&Part::Many) {
        parts.push(Part::Many);
    }
    Value::Pattern(parts)
}

pub(super) fn condition(field: &str, operator: Operator, any_case: bool, value: Json) -> Selection {
    Selection::Condition(Condition {
        field: field.to_owned(),
        op: Op { operator, any_case },
        value,
    })
}

/// Conditions of which one must hold for a field to have one of the values: texts that are looked
/// for in the same way share one.
fn conditions(field: &str, link: Link, values: Vec<Value>) -> Vec<Selection> {
    let any_case = !link.cased;
    // With one value, with several.
    let mut texts: [(Operator, Operator, Vec<Json>); 5] = [
        (Operator::Eq, Operator::In, Vec::new()),
        (Operator::Contains, Operator::Contains, Vec::new()),
        (Operator::StartsWith, Operator::StartsWith, Vec::new()),
        (Operator::EndsWith, Operator::EndsWith, Vec::new()),
        (Operator::Like, Operator::Like, Vec::new()),
    ];
    let mut conditions = Vec::new();
    for value in values {
        let (operator, value) = match &value {
            Value::Pattern(parts) => placed(parts),
            Value::Number(number) => (Operator::Eq, Json::Number(number.clone())),
            Value::Bool(flag) => (Operator::Eq, json!(flag)),
            Value::Regex(_)
            | Value::Null
            | Value::Cidr(_)
            | Value::Order(..)
            | Value::Exists(_)
            | Value::Field(..)
            | Value::Moment(..) => {
                conditions.push(alone(field, any_case, value));
                continue;
            }
        };
        match texts.iter_mut().find(|(one, _, _)| *one == operator) {
            Some((_, _, list)) => list.push(value),
            None => conditions.push(condition(field, operator, false, value)),
        }
    }
    for (one, several, mut list) in texts {
        if list.len() > 1 {
            conditions.push(condition(field, several, any_case, Json::Array(list)));
        } else if let Some(value) = list.pop() {
            conditions.push(condition(field, one, any_case, value));
        }
    }
    conditions
}

/// How text with wildcards is looked for.
fn placed(parts: &[Part]) -> (Operator, Json) {
    match parts {
        [] => (Operator::Eq, json!("")),
        [Part::Text(text)] => (Operator::Eq, json!(text)),
        [Part::Many, Part::Text(text), Part::Many] => (Operator::Contains, json!(text)),
        [Part::Text(text), Part::Many] => (Operator::StartsWith, json!(text)),
        [Part::Many, Part::Text(text)] => (Operator::EndsWith, json!(text)),
        parts if parts.iter().all(|part| *part == Part::Many) => (Operator::Exists, json!(true)),
        parts => (Operator::Like, json!(write(parts))),
    }
}

/// The condition of a value that is no text.
fn alone(field: &str, any_case: bool, value: Value) -> Selection {
    match value {
        Value::Pattern(parts) => condition(field, Operator::Like, any_case, json!(write(&parts))),
        Value::Number(number) => condition(field, Operator::Eq, any_case, Json::Number(number)),
        Value::Bool(flag) => condition(field, Operator::Eq, any_case, json!(flag)),
        Value::Regex(pattern) => condition(field, Operator::Regex, false, json!(pattern)),
        Value::Null => condition(field, Operator::Exists, false, json!(false)),
        Value::Cidr(network) => condition(field, Operator::Cidr, false, json!(network)),
        Value::Order(order, bound) => condition(field, order, false, Json::Number(bound)),
        Value::Exists(there) => condition(field, Operator::Present, false, json!(there)),
        Value::Field(operator, other) => {
            let any_case = any_case && operator.has_any_case();
            condition(field, operator, any_case, json!({"field": other}))
        }
        Value::Moment(part, None, number) => condition(field, part, false, json!(number)),
        Value::Moment(part, Some(order), number) => {
            condition(field, part, false, json!({order.as_str(): number}))
        }
    }
}
