//! Pipelines at work on one rule.

use super::{
    Change, Conditions, FieldCondition, Item, ItemCondition, Pipeline, Renaming, Revaluing,
    RuleCondition, Transformation,
};
use crate::rules::Problem;
use crate::rules::path::OR;
use crate::rules::wildcard::{Part, parse, write};
use crate::sigma::detection::{self, Detection};
use crate::sigma::document::{LogSource, Meta};
use crate::sigma::placeholder::Bindings;
use crate::sigma::value::Value;
use regex::Regex;
use std::collections::BTreeMap;

/// A rule on its way through the pipelines.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) meta: Meta,
    pub(crate) logsource: LogSource,
    pub(crate) detections: Vec<(String, Detection)>,
    /// Detections that must hold (or not, where the flag says so) beside the rule's own condition.
    pub(crate) added: Vec<(Detection, bool)>,
    /// Fields outside of detections: of groups, of counts.
    pub(crate) fields: BTreeMap<String, Vec<String>>,
    pub(crate) is_correlation: bool,
    applied: Vec<String>,
    state: BTreeMap<String, String>,
}

/// Names of fields.
#[derive(Clone, Debug)]
pub(crate) enum Names {
    Plain(Vec<String>),
    Regex(Vec<Regex>),
}

impl Names {
    fn include(&self, field: &str) -> bool {
        match self {
            Names::Plain(names) => names.iter().any(|name| name == field),
            Names::Regex(patterns) => patterns.iter().any(|pattern| pattern.is_match(field)),
        }
    }
}

impl Subject {
    pub(crate) fn new(meta: Meta, logsource: LogSource) -> Self {
        Subject {
            meta,
            logsource,
            detections: Vec::new(),
            added: Vec::new(),
            fields: BTreeMap::new(),
            is_correlation: false,
            applied: Vec::new(),
            state: BTreeMap::new(),
        }
    }

    /// What a field outside of the detections is called after all pipelines.
    pub(crate) fn field(&self, name: &str) -> Vec<String> {
        let names = self.fields.get(name).cloned();
        names.unwrap_or_else(|| vec![name.to_owned()])
    }

    fn has_item(&self, is_meant: impl Fn(&detection::Item) -> bool) -> bool {
        let mut found = false;
        for (_, detection) in &self.detections {
            detection.each_item(&mut |item| found |= is_meant(item));
        }
        found
    }

    fn is_state(&self, key: &str, val: &str) -> bool {
        self.state.get(key).is_some_and(|has| has == val)
    }
}

impl RuleCondition {
    fn holds(&self, subject: &Subject) -> bool {
        match self {
            RuleCondition::Logsource(wanted) => wanted.includes(&subject.logsource),
            RuleCondition::ContainsField(field) => {
                subject.has_item(|item| item.fields.contains(field))
            }
            RuleCondition::ContainsItem(field, value) => subject.has_item(|item| {
                let is_value = |wanted: &String| {
                    let mut values = item.values.iter().flatten();
                    values.any(|value| {
                        value.parts().map(|parts| write(&parts)).as_deref() == Some(wanted)
                    })
                };
                item.fields.contains(field) && value.as_ref().is_none_or(is_value)
            }),
            RuleCondition::Applied(id) => subject.applied.contains(id),
            RuleCondition::State(key, val) => subject.is_state(key, val),
            RuleCondition::IsRule => !subject.is_correlation,
            RuleCondition::IsCorrelation => subject.is_correlation,
            RuleCondition::Attribute(name, wanted) => {
                let meta = &subject.meta;
                let value = match name.as_str() {
                    "title" => Some(&meta.title),
                    "id" => meta.id.as_ref(),
                    "name" => meta.name.as_ref(),
                    "status" => meta.status.as_ref(),
                    "level" => meta.level.as_ref(),
                    "taxonomy" => meta.taxonomy.as_ref(),
                    _ => None,
                };
                value == Some(wanted)
            }
            RuleCondition::Tag(tag) => subject.meta.tags.contains(tag),
        }
    }
}

impl ItemCondition {
    fn holds(&self, item: &detection::Item, subject: &Subject) -> bool {
        let of_values = |all: bool, is_meant: &dyn Fn(&Value) -> bool| {
            let mut values = item.values.iter().flatten();
            if all {
                values.all(is_meant)
            } else {
                values.any(is_meant)
            }
        };
        match self {
            ItemCondition::MatchString(pattern, all) => of_values(*all, &|value| {
                let is_text = matches!(value, Value::Pattern(_));
                let parts = value.parts().filter(|_| is_text);
                parts.is_some_and(|parts| pattern.is_match(&write(&parts)))
            }),
            ItemCondition::IsNull(all) => of_values(*all, &|value| *value == Value::Null),
            ItemCondition::ContainsWildcard(all) => of_values(*all, &|value| {
                let is_wild = |part: &Part| !matches!(part, Part::Text(_));
                matches!(value, Value::Pattern(parts) if parts.iter().any(is_wild))
            }),
            ItemCondition::Applied(id) => item.applied.contains(id),
            ItemCondition::State(key, val) => subject.is_state(key, val),
        }
    }
}

impl FieldCondition {
    fn holds(&self, field: &str, applied: &[String], subject: &Subject) -> bool {
        match self {
            FieldCondition::Include(names) => names.include(field),
            FieldCondition::Exclude(names) => !names.include(field),
            FieldCondition::Applied(id) => applied.contains(id),
            FieldCondition::State(key, val) => subject.is_state(key, val),
        }
    }
}

impl Conditions<FieldCondition> {
    fn include(&self, field: &str, applied: &[String], subject: &Subject) -> bool {
        self.hold(|condition| condition.holds(field, applied, subject))
    }
}

/// What a pipeline binds the placeholders of a rule to.
pub(super) fn bind<'b>(pipeline: &'b Pipeline, subject: &Subject, bindings: &mut Bindings<'b>) {
    for item in &pipeline.items {
        if !item.rules.hold(|condition| condition.holds(subject)) {
            continue;
        }
        if let Transformation::Placeholders(include, exclude) = &item.what {
            bindings.bind(&pipeline.vars, include.clone(), exclude.clone());
        }
        if let Transformation::WildPlaceholders(include) = &item.what {
            bindings.make_wild(include.clone());
        }
    }
}

pub(super) fn apply(items: &[Item], subject: &mut Subject) -> Result<(), Problem> {
    for item in items {
        if item.rules.hold(|condition| condition.holds(subject)) {
            item.apply(subject)?;
            subject.applied.push(item.id.clone());
        }
    }
    Ok(())
}

impl Item {
    fn apply(&self, subject: &mut Subject) -> Result<(), Problem> {
        match &self.what {
            Transformation::Rename(renaming) => {
                self.rename(renaming, subject);
                each_item(subject, &|item, subject| {
                    Ok(Some(self.renamed_item(renaming, item, subject)))
                })
            }
            Transformation::Change(change) => each_item(subject, &|item, subject| {
                self.changed(change, item, subject)
            }),
            Transformation::AddCondition(detection, negated) => {
                subject.added.push((detection.clone(), *negated));
                Ok(())
            }
            Transformation::ChangeLogsource(changed) => {
                subject.logsource = changed.clone();
                Ok(())
            }
            Transformation::SetState(key, val) => {
                subject.state.insert(key.clone(), val.clone());
                Ok(())
            }
            Transformation::Nest(items) => apply(items, subject),
            Transformation::RuleFailure(message) => Err(Problem::new("pipeline", message)),
            Transformation::Placeholders(..)
            | Transformation::WildPlaceholders(_)
            | Transformation::Nothing => Ok(()),
        }
    }

    /// Renames the fields that stand outside of the detections.
    fn rename(&self, renaming: &Renaming, subject: &mut Subject) {
        let names = subject.fields.clone().into_iter().map(|(name, fields)| {
            let fields = fields.iter().flat_map(|field| {
                let is_meant = self.fields.include(field, &[], subject);
                let renamed = is_meant.then(|| renaming.of(field)).flatten();
                renamed.unwrap_or_else(|| vec![field.clone()])
            });
            (name, fields.collect())
        });
        subject.fields = names.collect();
    }

    /// Whether the item is one of those that the conditions are about.
    fn is_about(&self, item: &detection::Item, subject: &Subject) -> bool {
        let is_field = |field: &String| self.fields.include(field, &item.applied, subject);
        let any_field = item.fields.iter().any(is_field);
        let is_keyword = item.fields.is_empty() && self.fields.list.is_empty();
        (any_field || is_keyword) && self.items.hold(|condition| condition.holds(item, subject))
    }

    fn renamed_item(
        &self,
        renaming: &Renaming,
        mut item: detection::Item,
        subject: &Subject,
    ) -> detection::Item {
        if !self.is_about(&item, subject) {
            return item;
        }
        let before = item.clone();
        item.fields.clear();
        for field in &before.fields {
            let is_meant = self.fields.include(field, &before.applied, subject);
            let renamed = is_meant.then(|| renaming.of(field)).flatten();
            for name in renamed.unwrap_or_else(|| vec![field.clone()]) {
                if !item.fields.contains(&name) {
                    item.fields.push(name);
                }
            }
        }
        for value in item.values.iter_mut().flatten() {
            if let Value::Field(_, other) = value
                && let Some(names) = renaming.of(other)
            {
                *other = names.join(OR);
            }
        }
        if item != before {
            item.applied.push(self.id.clone());
        }
        item
    }

    fn changed(
        &self,
        change: &Change,
        mut item: detection::Item,
        subject: &Subject,
    ) -> Result<Option<detection::Item>, Problem> {
        if !self.is_about(&item, subject) {
            return Ok(Some(item));
        }
        match change {
            Change::Drop => return Ok(None),
            Change::Fail(message) => return Err(Problem::new("pipeline", message)),
            Change::SetValue(value) => item.values = vec![vec![value.clone()]],
            Change::Values(revaluing) => {
                for variants in &mut item.values {
                    let changed = variants.drain(..).flat_map(|value| revaluing.of(value));
                    *variants = changed.collect();
                }
            }
        }
        item.applied.push(self.id.clone());
        Ok(Some(item))
    }
}

type ChangeItem<'c> =
    &'c dyn Fn(detection::Item, &Subject) -> Result<Option<detection::Item>, Problem>;

/// Changes every item of a rule. What is left of a detection whose items were all dropped always
/// holds.
fn each_item(subject: &mut Subject, change: ChangeItem<'_>) -> Result<(), Problem> {
    let detections = std::mem::take(&mut subject.detections);
    let added = std::mem::take(&mut subject.added);
    let (mut changed, mut changed_added) = (Vec::new(), Vec::new());
    for (name, detection) in detections {
        let detection = detection.map_items(&mut |item| change(item, subject))?;
        changed.push((name, detection.unwrap_or(Detection::All(Vec::new()))));
    }
    for (detection, negated) in added {
        let detection = detection.map_items(&mut |item| change(item, subject))?;
        changed_added.extend(detection.map(|detection| (detection, negated)));
    }
    subject.detections = changed;
    subject.added = changed_added;
    Ok(())
}

impl Renaming {
    /// What a field is called now; `None` when it is not concerned.
    fn of(&self, field: &str) -> Option<Vec<String>> {
        match self {
            Renaming::Mapping(mapping) => mapping.get(field).cloned(),
            Renaming::PrefixMapping(prefixes) => prefixes.iter().find_map(|(prefix, names)| {
                let rest = field.strip_prefix(prefix.as_str())?;
                Some(names.iter().map(|name| format!("{name}{rest}")).collect())
            }),
            Renaming::Prefix(prefix) => Some(vec![format!("{prefix}{field}")]),
            Renaming::Suffix(suffix) => Some(vec![format!("{field}{suffix}")]),
            Renaming::Alternatives(prefixes) => {
                let others = prefixes.iter().map(|prefix| format!("{prefix}{field}"));
                Some(std::iter::once(field.to_owned()).chain(others).collect())
            }
        }
    }
}

impl Revaluing {
    /// What a value becomes.
    fn of(&self, value: Value) -> Vec<Value> {
        let written = match &value {
            Value::Pattern(parts) => Some(write(parts)),
            Value::Number(number) => match self {
                Revaluing::ToText => Some(number.to_string()),
                Revaluing::Replace(..) | Revaluing::Map(_) | Revaluing::ToNumber => None,
            },
            Value::Bool(_)
            | Value::Regex(_)
            | Value::Null
            | Value::Cidr(_)
            | Value::Order(..)
            | Value::Exists(_)
            | Value::Field(..)
            | Value::Moment(..) => None,
        };
        let Some(written) = written else {
            return vec![value];
        };
        match self {
            Revaluing::Replace(pattern, with) => {
                let replaced = pattern.replace_all(&written, with.as_str());
                vec![Value::Pattern(parse(&replaced))]
            }
            Revaluing::Map(mapping) => match mapping.get(&written) {
                Some(texts) => texts
                    .iter()
                    .map(|text| Value::Pattern(parse(text)))
                    .collect(),
                None => vec![value],
            },
            Revaluing::ToText => vec![Value::Pattern(parse(&written))],
            Revaluing::ToNumber => match written.parse() {
                Ok(number) => vec![Value::Number(number)],
                Err(_) => vec![value],
            },
        }
    }
}
