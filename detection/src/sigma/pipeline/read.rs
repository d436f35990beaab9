//! Reading pipelines.

use super::{
    Change, Conditions, FieldCondition, Item, ItemCondition, Names, Pipeline, Renaming, Revaluing,
    RuleCondition, Transformation,
};
use crate::rules::{Problem, REGEX_COMPILED_BYTES_MAX};
use crate::sigma::detection::Reader;
use crate::sigma::document::LogSource;
use crate::sigma::placeholder::Bindings;
use crate::sigma::value::Value;
use crate::sigma::yaml::{self, Map, items, scalar};
use regex::{Regex, RegexBuilder};
use serde_yaml_ng::Value as Yaml;
use std::collections::BTreeMap;

type Read<T> = Result<T, Problem>;

/// Members that describe an item rather than its transformation.
const ITEMS_MAX: usize = 2_000;
/// Nests inside of nests.
const NESTED_MAX: usize = 4;

pub(super) fn pipeline(text: &str) -> Read<Pipeline> {
    let documents = yaml::documents(text)?;
    let [document] = documents.as_slice() else {
        return Err(Problem::new("pipeline", "must be one document"));
    };
    let map = Map::new(document, "")?;
    for name in ["postprocessing", "finalizers"] {
        if map.get(name).is_some_and(|value| !items(value).is_empty()) {
            let what = "is about the queries of other tools, and there are none here";
            return Err(Problem::new(name, what));
        }
    }
    let mut vars = BTreeMap::new();
    if let Some(section) = map.map("vars")? {
        for member in section.members() {
            let (name, _) = member?;
            vars.insert(name.clone(), section.texts(&name)?);
        }
    }
    Ok(Pipeline {
        name: map.text("name")?.unwrap_or_default(),
        priority: match map.get("priority") {
            None => 0,
            Some(value) => value
                .as_i64()
                .ok_or_else(|| Problem::new("priority", "must be a whole number"))?,
        },
        vars,
        items: list(&map, "transformations", 0)?,
    })
}

fn list(map: &Map<'_>, name: &str, depth: usize) -> Read<Vec<Item>> {
    let path = map.at(name);
    if depth > NESTED_MAX {
        return Err(Problem::new(
            &path,
            format!("is nested deeper than {NESTED_MAX}"),
        ));
    }
    let Some(value) = map.get(name) else {
        return Ok(Vec::new());
    };
    let values = items(value);
    if values.len() > ITEMS_MAX {
        return Err(Problem::new(
            &path,
            format!("has more than {ITEMS_MAX} items"),
        ));
    }
    let each = values.iter().enumerate();
    each.map(|(at, value)| item(&Map::new(value, &format!("{path}[{at}]"))?, depth))
        .collect()
}

fn item(map: &Map<'_>, depth: usize) -> Read<Item> {
    Ok(Item {
        id: map.text("id")?.unwrap_or_default(),
        what: transformation(map, depth)?,
        rules: conditions(map, "rule", rule_condition)?,
        items: conditions(map, "detection_item", item_condition)?,
        fields: conditions(map, "field_name", field_condition)?,
    })
}

fn transformation(map: &Map<'_>, depth: usize) -> Read<Transformation> {
    let need = |name: &str| -> Read<String> {
        let text = map.text(name)?;
        text.ok_or_else(|| Problem::new(&map.at(name), "is required"))
    };
    let kind = need("type")?;
    let values = |how: Revaluing| Transformation::Change(Change::Values(how));
    Ok(match kind.as_str() {
        "field_name_mapping" => Transformation::Rename(Renaming::Mapping(mapping(map)?)),
        "field_name_prefix_mapping" => {
            let mut prefixes: Vec<_> = mapping(map)?.into_iter().collect();
            prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            Transformation::Rename(Renaming::PrefixMapping(prefixes))
        }
        "field_name_prefix" => Transformation::Rename(Renaming::Prefix(need("prefix")?)),
        "field_name_suffix" => Transformation::Rename(Renaming::Suffix(need("suffix")?)),
        "field_name_alternatives" => {
            Transformation::Rename(Renaming::Alternatives(map.texts("prefixes")?))
        }
        "add_condition" => add_condition(map)?,
        "change_logsource" => change_logsource(map)?,
        "drop_detection_item" => Transformation::Change(Change::Drop),
        "replace_string" => values(Revaluing::Replace(
            expression(&map.at("regex"), &need("regex")?)?,
            python_groups(&need("replacement")?),
        )),
        "map_string" => values(Revaluing::Map(mapping(map)?)),
        "set_value" => Transformation::Change(Change::SetValue(value(map)?)),
        "convert_type" => match need("target_type")?.as_str() {
            "str" => values(Revaluing::ToText),
            "num" => values(Revaluing::ToNumber),
            other => {
                let what = format!("{other:?} is neither str nor num");
                return Err(Problem::new(&map.at("target_type"), what));
            }
        },
        "set_state" => Transformation::SetState(need("key")?, need("val")?),
        "value_placeholders" => Transformation::Placeholders(included(map)?, map.texts("exclude")?),
        "wildcard_placeholders" => Transformation::WildPlaceholders(included(map)?),
        "nest" => Transformation::Nest(list(map, "items", depth + 1)?),
        "rule_failure" => Transformation::RuleFailure(need("message")?),
        "detection_item_failure" => Transformation::Change(Change::Fail(need("message")?)),
        // Of what is not evaluated.
        "set_custom_attribute" | "add_field" | "remove_field" | "set_field" => {
            Transformation::Nothing
        }
        other => {
            let what = format!("{other} is not a transformation known here");
            return Err(Problem::new(&map.at("type"), what));
        }
    })
}

fn included(map: &Map<'_>) -> Read<Option<Vec<String>>> {
    let names = map.texts("include")?;
    Ok((!names.is_empty()).then_some(names))
}

/// Names, and the one or several that each becomes.
fn mapping(map: &Map<'_>) -> Read<BTreeMap<String, Vec<String>>> {
    let section = Map::new(map.need("mapping")?, &map.at("mapping"))?;
    let mut mapping = BTreeMap::new();
    for member in section.members() {
        let (name, _) = member?;
        let names = section.texts(&name)?;
        if names.is_empty() {
            return Err(Problem::new(
                &section.at(&name),
                "must be a name or several",
            ));
        }
        mapping.insert(name, names);
    }
    Ok(mapping)
}

fn add_condition(map: &Map<'_>) -> Read<Transformation> {
    let mut reader = Reader {
        bindings: Bindings::default(),
        warnings: Vec::new(),
    };
    let detection = reader.read(map.need("conditions")?, &map.at("conditions"))?;
    let negated = map.get("negated").and_then(Yaml::as_bool).unwrap_or(false);
    Ok(Transformation::AddCondition(detection, negated))
}

fn change_logsource(map: &Map<'_>) -> Read<Transformation> {
    let part = |name: &str| map.text(name);
    let changed = LogSource {
        product: part("product")?,
        category: part("category")?,
        service: part("service")?,
    };
    if changed == LogSource::default() {
        return Err(Problem::new(&map.path, "changes nothing of the log source"));
    }
    Ok(Transformation::ChangeLogsource(changed))
}

fn value(map: &Map<'_>) -> Read<Value> {
    let path = map.at("value");
    let (values, _) = crate::sigma::value::modified(
        std::slice::from_ref(map.need("value")?),
        &[],
        &Bindings::default(),
    )
    .map_err(|what| Problem::new(&path, what))?;
    let value = values.into_iter().flatten().next();
    value.ok_or_else(|| Problem::new(&path, "is required"))
}

fn expression(path: &str, pattern: &str) -> Read<Regex> {
    RegexBuilder::new(pattern)
        .size_limit(REGEX_COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| Problem::new(path, error.to_string()))
}

/// Python's `\1` is `${1}` here, and a dollar sign is two.
fn python_groups(replacement: &str) -> String {
    let mut text = String::with_capacity(replacement.len());
    let mut letters = replacement.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek().copied()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                letters.next();
                text.push_str("${");
                text.push(digit);
                text.push('}');
            }
            ('\\', Some('\\')) => {
                letters.next();
                text.push('\\');
            }
            ('$', _) => text.push_str("$$"),
            (other, _) => text.push(other),
        }
    }
    text
}

/// The conditions of a sort, which may be a list or a map of named ones.
fn conditions<C>(
    map: &Map<'_>,
    sort: &str,
    read: impl Fn(&Map<'_>, &str) -> Read<C>,
) -> Read<Conditions<C>> {
    let name = format!("{sort}_conditions");
    let mut list = Vec::new();
    for value in map.get(&name).map(items).unwrap_or_default() {
        let condition = Map::new(value, &map.at(&name))?;
        if condition.get("type").is_none() {
            let what = "must be a list of conditions, each with a type";
            return Err(Problem::new(&map.at(&name), what));
        }
        let negated = condition
            .get("negate")
            .and_then(Yaml::as_bool)
            .unwrap_or(false);
        let kind = condition.text("type")?.unwrap_or_default();
        list.push((read(&condition, &kind)?, negated));
    }
    let short = sort.trim_end_matches("_item").trim_end_matches("_name");
    let option = |end: &str| {
        let long = map.get(&format!("{sort}_cond_{end}"));
        long.or_else(|| map.get(&format!("{short}_cond_{end}")))
    };
    Ok(Conditions {
        list,
        any: option("op").and_then(Yaml::as_str) == Some("or"),
        negated: option("not").and_then(Yaml::as_bool).unwrap_or(false),
    })
}

fn unknown<C>(map: &Map<'_>, kind: &str) -> Read<C> {
    let what = format!("{kind} is not a condition known here");
    Err(Problem::new(&map.at("type"), what))
}

fn state(map: &Map<'_>) -> Read<(String, String)> {
    let need = |name: &str| -> Read<String> {
        scalar(map.need(name)?).ok_or_else(|| Problem::new(&map.at(name), "must be text"))
    };
    Ok((need("key")?, need("val")?))
}

fn applied(map: &Map<'_>) -> Read<String> {
    let id = map.text("processing_item_id")?;
    id.ok_or_else(|| Problem::new(&map.at("processing_item_id"), "is required"))
}

fn rule_condition(map: &Map<'_>, kind: &str) -> Read<RuleCondition> {
    let need = |name: &str| -> Read<String> {
        let text = map.text(name)?;
        text.ok_or_else(|| Problem::new(&map.at(name), "is required"))
    };
    Ok(match kind {
        "logsource" => {
            let part = |name: &str| -> Read<Option<String>> {
                Ok(map.text(name)?.map(|text| text.to_lowercase()))
            };
            RuleCondition::Logsource(LogSource {
                product: part("product")?,
                category: part("category")?,
                service: part("service")?,
            })
        }
        "contains_field" => RuleCondition::ContainsField(need("field")?),
        "contains_detection_item" => {
            RuleCondition::ContainsItem(need("field")?, map.text("value")?)
        }
        "processing_item_applied" => RuleCondition::Applied(applied(map)?),
        "processing_state" => {
            let (key, val) = state(map)?;
            RuleCondition::State(key, val)
        }
        "is_sigma_rule" => RuleCondition::IsRule,
        "is_sigma_correlation_rule" => RuleCondition::IsCorrelation,
        "rule_attribute" => match map.text("op")?.as_deref() {
            None | Some("eq") => RuleCondition::Attribute(need("attribute")?, need("value")?),
            Some(other) => {
                let what = format!("{other} is not supported, only eq is");
                return Err(Problem::new(&map.at("op"), what));
            }
        },
        "tag" => RuleCondition::Tag(need("tag")?),
        other => return unknown(map, other),
    })
}

fn item_condition(map: &Map<'_>, kind: &str) -> Read<ItemCondition> {
    let is_all = map.text("cond")?.as_deref() == Some("all");
    Ok(match kind {
        "match_string" => {
            let pattern = map.text("pattern")?.unwrap_or_default();
            ItemCondition::MatchString(expression(&map.at("pattern"), &pattern)?, is_all)
        }
        "is_null" => ItemCondition::IsNull(is_all),
        "contains_wildcard" => ItemCondition::ContainsWildcard(is_all),
        "processing_item_applied" => ItemCondition::Applied(applied(map)?),
        "processing_state" => {
            let (key, val) = state(map)?;
            ItemCondition::State(key, val)
        }
        other => return unknown(map, other),
    })
}

fn field_condition(map: &Map<'_>, kind: &str) -> Read<FieldCondition> {
    let names = || -> Read<Names> {
        let fields = map.texts("fields")?;
        if map.text("mode")?.or(map.text("match_type")?).as_deref() != Some("regex") {
            return Ok(Names::Plain(fields));
        }
        let each = fields.iter().map(|field| {
            // They are matched from the beginning, as Python's `match` does.
            expression(&map.at("fields"), &format!("^(?:{field})"))
        });
        Ok(Names::Regex(each.collect::<Read<_>>()?))
    };
    Ok(match kind {
        "include_fields" => FieldCondition::Include(names()?),
        "exclude_fields" => FieldCondition::Exclude(names()?),
        "processing_item_applied" => FieldCondition::Applied(applied(map)?),
        "processing_state" => {
            let (key, val) = state(map)?;
            FieldCondition::State(key, val)
        }
        other => return unknown(map, other),
    })
}
