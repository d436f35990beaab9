//! Rules said in other words.

use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, FieldSpec, Modifier, Quantifier, SelectorPattern,
    SigmaRule, SigmaString, SigmaValue, SpecialChar, StringPart,
};

/// Where an exception has the presence of fields put; no rule has such a name.
pub(super) const PRESENCE: &str = "\u{1}there:";

/// Modifiers after which a value is no text that is looked for as it is.
const OTHER_THAN_TEXT: [Modifier; 14] = [
    Modifier::Re,
    Modifier::Cidr,
    Modifier::Exists,
    Modifier::Expand,
    Modifier::FieldRef,
    Modifier::Gt,
    Modifier::Gte,
    Modifier::Lt,
    Modifier::Lte,
    Modifier::Base64,
    Modifier::Base64Offset,
    Modifier::Wide,
    Modifier::Utf16,
    Modifier::Utf16be,
];
/// Modifiers that take a part of a date.
pub(super) const DATES: [Modifier; 6] = [
    Modifier::Minute,
    Modifier::Hour,
    Modifier::Day,
    Modifier::Week,
    Modifier::Month,
    Modifier::Year,
];

/// Changes every detection of a rule, from the innermost; whether one was changed.
pub(super) fn each_detection(
    rule: &mut SigmaRule,
    change: &mut dyn FnMut(&mut Detection) -> bool,
) -> bool {
    // In the order of their names: the same on every run.
    let mut named: Vec<_> = rule.detection.named.iter_mut().collect();
    named.sort_by_key(|(name, _)| name.to_owned());
    let each = named.into_iter();
    each.fold(false, |changed, (_, detection)| {
        within(detection, change) | changed
    })
}

fn within(detection: &mut Detection, change: &mut dyn FnMut(&mut Detection) -> bool) -> bool {
    let mut changed = false;
    if let Detection::AnyOf(list) | Detection::And(list) = detection {
        for one in list {
            changed |= within(one, change);
        }
    }
    change(detection) | changed
}

/// Changes every item of a rule; whether one was changed.
pub(crate) fn each_item(
    rule: &mut SigmaRule,
    change: &mut dyn FnMut(&mut DetectionItem) -> bool,
) -> bool {
    each_detection(rule, &mut |detection| {
        let Detection::AllOf(items) = detection else {
            return false;
        };
        items
            .iter_mut()
            .fold(false, |changed, item| change(item) | changed)
    })
}

/// Puts several items, all of which must hold, in the place of an item; `None` keeps it.
pub(super) fn split(
    rule: &mut SigmaRule,
    into: &dyn Fn(&DetectionItem) -> Option<Vec<DetectionItem>>,
) -> bool {
    each_detection(rule, &mut |detection| {
        let Detection::AllOf(items) = detection else {
            return false;
        };
        let mut changed = false;
        let each = items.iter().flat_map(|item| {
            let several = into(item);
            changed |= several.is_some();
            several.unwrap_or_else(|| vec![item.clone()])
        });
        let all = each.collect();
        *detection = Detection::AllOf(all);
        changed
    })
}

pub(super) fn has(item: &DetectionItem, modifier: Modifier) -> bool {
    item.field.has_modifier(modifier)
}

pub(super) fn has_any(item: &DetectionItem, modifiers: &[Modifier]) -> bool {
    modifiers.iter().any(|modifier| has(item, *modifier))
}

/// Whether the item's values are looked for as they are.
pub(super) fn is_of_texts(item: &DetectionItem) -> bool {
    !has_any(item, &OTHER_THAN_TEXT) && !has_any(item, &DATES)
}

/// The item with other values, and without some of its modifiers.
pub(super) fn with(
    item: &DetectionItem,
    values: Vec<SigmaValue>,
    without: &[Modifier],
) -> DetectionItem {
    let kept = item.field.modifiers.iter();
    let kept = kept.filter(|modifier| !without.contains(modifier)).copied();
    DetectionItem {
        field: FieldSpec::new(item.field.name.clone(), kept.collect()),
        values,
    }
}

pub(super) fn plain(text: &str) -> SigmaValue {
    SigmaValue::from_raw_string(text)
}

pub(super) fn keywords_of_maps(rule: &mut SigmaRule) -> bool {
    split(rule, &|item| {
        if item.field.name.is_some() || has(item, Modifier::Re) {
            return None;
        }
        let placed = [Modifier::Contains, Modifier::StartsWith, Modifier::EndsWith];
        let contains = |mut item: DetectionItem| {
            if !has_any(&item, &placed) {
                item.field.modifiers.push(Modifier::Contains);
            }
            item
        };
        if !has(item, Modifier::All) {
            return Some(vec![contains(item.clone())]);
        }
        let each = item.values.iter();
        let each = each.map(|value| contains(with(item, vec![value.clone()], &[Modifier::All])));
        Some(each.collect())
    })
}

pub(super) fn numbers_among_keywords(rule: &mut SigmaRule) -> bool {
    let of_maps = each_item(rule, &mut |item| {
        item.field.name.is_none() && as_texts(&mut item.values)
    });
    each_detection(rule, &mut |detection| match detection {
        Detection::Keywords(values) => as_texts(values),
        Detection::AllOf(_)
        | Detection::AnyOf(_)
        | Detection::And(_)
        | Detection::ArrayMatch { .. }
        | Detection::Conditional { .. } => false,
    }) | of_maps
}

fn as_texts(values: &mut [SigmaValue]) -> bool {
    let mut changed = false;
    for value in values {
        if matches!(
            value,
            SigmaValue::Integer(_) | SigmaValue::Float(_) | SigmaValue::Bool(_)
        ) {
            *value = plain(&value.to_string());
            changed = true;
        }
    }
    changed
}

pub(super) fn numbers_as_texts(rule: &mut SigmaRule) -> bool {
    each_item(rule, &mut |item| {
        let is_number =
            |value: &SigmaValue| matches!(value, SigmaValue::Integer(_) | SigmaValue::Float(_));
        let concerned = is_of_texts(item) && item.values.iter().any(is_number);
        for value in item.values.iter_mut().filter(|value| is_number(value)) {
            if concerned {
                *value = plain(&value.to_string());
            }
        }
        concerned
    })
}

pub(super) fn truth_values_as_texts(rule: &mut SigmaRule) -> bool {
    each_item(rule, &mut |item| {
        let is_flag = |value: &SigmaValue| matches!(value, SigmaValue::Bool(_));
        let concerned = is_of_texts(item) && item.values.iter().any(is_flag);
        for value in item.values.iter_mut().filter(|value| is_flag(value)) {
            if concerned {
                *value = plain(&value.to_string());
            }
        }
        concerned
    })
}

pub(super) fn wildcards_at_edges(rule: &mut SigmaRule) -> bool {
    each_item(rule, &mut |item| {
        let edges = [Modifier::StartsWith, Modifier::EndsWith];
        let concerned = is_of_texts(item)
            && !has(item, Modifier::WindAsh)
            && has_any(item, &edges)
            && item.values.iter().any(is_pattern);
        if !concerned {
            return false;
        }
        let many = StringPart::Special(SpecialChar::WildcardMulti);
        let starts = has(item, Modifier::StartsWith);
        let values = item.values.iter().map(|value| {
            let mut text = text_of(value)?;
            if starts {
                text.parts.push(many.clone());
            } else {
                text.parts.insert(0, many.clone());
            }
            Some(SigmaValue::String(text))
        });
        let Some(values) = values.collect::<Option<Vec<_>>>() else {
            return false;
        };
        *item = with(item, values, &edges);
        true
    })
}

pub(super) fn is_pattern(value: &SigmaValue) -> bool {
    matches!(value, SigmaValue::String(text) if text.contains_wildcards())
}

fn text_of(value: &SigmaValue) -> Option<SigmaString> {
    match value {
        SigmaValue::String(text) => Some(text.clone()),
        SigmaValue::Integer(_) | SigmaValue::Float(_) | SigmaValue::Bool(_) => {
            Some(SigmaString::from_raw(&value.to_string()))
        }
        SigmaValue::Null => None,
    }
}

pub(super) fn wildcards_of_any_character(rule: &mut SigmaRule) -> bool {
    let keywords = each_detection(rule, &mut |detection| {
        let Detection::Keywords(values) = detection else {
            return false;
        };
        if !values.iter().any(is_pattern) {
            return false;
        }
        let field = FieldSpec::new(None, vec![Modifier::Contains]);
        let values = values.clone();
        *detection = Detection::AllOf(vec![DetectionItem { field, values }]);
        true
    });
    each_item(rule, &mut |item| {
        let concerned = is_of_texts(item)
            && !has(item, Modifier::WindAsh)
            && item.values.iter().any(is_pattern);
        let expressions = item.values.iter().map(|value| expression(item, value));
        let Some(expressions) = expressions.collect::<Option<Vec<_>>>() else {
            return false;
        };
        if !concerned {
            return false;
        }
        let mut modifiers = vec![Modifier::Re, Modifier::DotAll];
        if !has(item, Modifier::Cased) {
            modifiers.push(Modifier::IgnoreCase);
        }
        let kept = [Modifier::All, Modifier::Neq];
        modifiers.extend(kept.into_iter().filter(|modifier| has(item, *modifier)));
        item.field.modifiers = modifiers;
        item.values = expressions;
        true
    }) | keywords
}

/// The expression that matches what the value of an item of texts does.
fn expression(item: &DetectionItem, value: &SigmaValue) -> Option<SigmaValue> {
    let anywhere = has(item, Modifier::Contains);
    let start = if anywhere || has(item, Modifier::EndsWith) {
        ""
    } else {
        "^"
    };
    let end = if anywhere || has(item, Modifier::StartsWith) {
        ""
    } else {
        "$"
    };
    let text = text_of(value)?;
    let parts = text.parts.iter().map(|part| match part {
        StringPart::Plain(text) => regex_syntax::escape(text),
        StringPart::Special(SpecialChar::WildcardMulti) => ".*".to_owned(),
        StringPart::Special(SpecialChar::WildcardSingle) => ".".to_owned(),
    });
    let parts: String = parts.collect();
    Some(plain(&format!("{start}{parts}{end}")))
}

/// Puts a pair of fields of its own in the place of those that an item relates.
pub(super) fn relations(rule: &mut SigmaRule) -> bool {
    each_item(rule, &mut |item| match relation(item) {
        Some([one, other]) => {
            item.field.name = Some(one);
            item.values = vec![plain(&other)];
            true
        }
        None => false,
    })
}

/// The names of the pair of fields of an item that relates fields; no rule has such names.
pub(super) fn relation(item: &DetectionItem) -> Option<[String; 2]> {
    let name = item
        .field
        .name
        .as_ref()
        .filter(|_| has(item, Modifier::FieldRef))?;
    let others: Vec<String> = item.values.iter().map(ToString::to_string).collect();
    let key = format!("{name}|{:?}|{}", item.field.modifiers, others.join("|"));
    Some([format!("\u{1}one:{key}"), format!("\u{1}other:{key}")])
}

pub(super) fn presence(rule: &mut SigmaRule) -> bool {
    each_item(rule, &mut |item| match &item.field.name {
        Some(name) if has(item, Modifier::Exists) => {
            item.field.name = Some(format!("{PRESENCE}{name}"));
            true
        }
        Some(_) | None => false,
    })
}

pub(super) fn patterns_of_identifiers(rule: &mut SigmaRule) -> bool {
    let names: Vec<String> = rule.detection.named.keys().cloned().collect();
    let conditions = rule.detection.conditions.iter_mut();
    conditions.fold(false, |changed, condition| {
        explicit(condition, &names) | changed
    })
}

fn explicit(condition: &mut ConditionExpr, names: &[String]) -> bool {
    match condition {
        ConditionExpr::And(list) | ConditionExpr::Or(list) => list
            .iter_mut()
            .fold(false, |changed, one| explicit(one, names) | changed),
        ConditionExpr::Not(one) => explicit(one, names),
        ConditionExpr::Identifier(_) => false,
        ConditionExpr::Selector {
            quantifier,
            pattern,
        } => {
            let SelectorPattern::Pattern(text) = &*pattern else {
                return false;
            };
            let is_meant = |name: &&String| {
                (!name.starts_with('_') || text.starts_with('_')) && is_like(text, name)
            };
            let meant: Vec<&String> = names.iter().filter(is_meant).collect();
            let theirs = names
                .iter()
                .filter(|name| pattern.matches_detection_name(name));
            if meant == theirs.collect::<Vec<_>>() {
                return false;
            }
            let meant = meant.into_iter().cloned().map(ConditionExpr::Identifier);
            *condition = match quantifier {
                Quantifier::All => ConditionExpr::And(meant.collect()),
                Quantifier::Any | Quantifier::Count(_) => ConditionExpr::Or(meant.collect()),
            };
            true
        }
    }
}

/// Whether a name is as a pattern with `*` at arbitrary positions says.
fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| is_like(rest, name.get(at..).unwrap_or_default()))
        }),
    }
}
