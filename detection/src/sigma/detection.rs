//! The detections of a rule: maps whose items must all hold, lists of which one must, and keywords
//! that are searched for in the whole event.

use super::placeholder::Bindings;
use super::value::{Link, Value, modified};
use super::yaml::{Map, items};
use crate::rules::Problem;
use serde_yaml_ng::Value as Yaml;

/// A detection.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Detection {
    /// Every one holds.
    All(Vec<Detection>),
    /// At least one holds.
    Any(Vec<Detection>),
    /// The item holds.
    Item(Item),
}

/// Values of one field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// The fields of which each may hold the value; none for keywords.
    pub(super) fields: Vec<String>,
    /// How the values are linked.
    pub(super) link: Link,
    /// The values; of each any variant may match.
    pub(super) values: Vec<Vec<Value>>,
    /// Pipeline items that changed it.
    pub(super) applied: Vec<String>,
}

/// What the reader needs to know, and what it has to say.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    pub(super) bindings: Bindings<'b>,
    /// Deviations from the specification that do no harm.
    pub(super) warnings: Vec<String>,
}

type Read<T> = Result<T, Problem>;

impl Reader<'_> {
    /// Reads a detection.
    pub(super) fn read(&mut self, value: &Yaml, path: &str) -> Read<Detection> {
        match value {
            Yaml::Mapping(_) => self.map(value, path),
            Yaml::Sequence(list) if list.is_empty() => Err(Problem::new(path, "is empty")),
            Yaml::Sequence(list) if list.iter().all(is_scalar) => self.keywords(value, path),
            Yaml::Sequence(list) => {
                let each = list.iter().enumerate().map(|(at, item)| {
                    let path = format!("{path}[{at}]");
                    self.read(item, &path)
                });
                Ok(Detection::Any(each.collect::<Read<_>>()?))
            }
            Yaml::Bool(_) | Yaml::Number(_) | Yaml::String(_) => self.keywords(value, path),
            Yaml::Null | Yaml::Tagged(_) => Err(Problem::new(path, "is empty")),
        }
    }

    fn keywords(&mut self, value: &Yaml, path: &str) -> Read<Detection> {
        self.item("", value, path).map(Detection::Item)
    }

    fn map(&mut self, value: &Yaml, path: &str) -> Read<Detection> {
        let map = Map::new(value, path)?;
        let mut all = Vec::new();
        for member in map.members() {
            let (name, value) = member?;
            let place = map.at(&name);
            if value.is_mapping() {
                return Err(Problem::new(&place, "is a map where values belong"));
            }
            all.push(Detection::Item(self.item(&name, value, &place)?));
        }
        if all.is_empty() {
            return Err(Problem::new(path, "is empty"));
        }
        Ok(Detection::All(all))
    }

    fn item(&mut self, name: &str, value: &Yaml, path: &str) -> Read<Item> {
        let mut names = name.split('|');
        let field = names.next().unwrap_or_default();
        let modifiers: Vec<&str> = names.collect();
        let written = items(value);
        if written.is_empty() {
            return Err(Problem::new(path, "has an empty list"));
        }
        if value.is_sequence() && written.iter().any(Yaml::is_null) {
            return Err(Problem::new(
                path,
                "has null in a list, which the specification forbids",
            ));
        }
        let (values, link) = modified(written, &modifiers, &self.bindings)
            .map_err(|what| Problem::new(path, what))?;
        if link.all && values.len() == 1 {
            self.warnings.push(format!(
                "{path}: the modifier all needs more than one value"
            ));
        }
        if field.is_empty() && values.iter().flatten().any(|value| !is_keyword(value)) {
            return Err(Problem::new(
                path,
                "has a keyword that is neither text nor a number",
            ));
        }
        Ok(Item {
            fields: if field.is_empty() {
                Vec::new()
            } else {
                vec![field.to_owned()]
            },
            link,
            values,
            applied: Vec::new(),
        })
    }
}

const fn is_keyword(value: &Value) -> bool {
    matches!(
        value,
        Value::Pattern(_) | Value::Regex(_) | Value::Number(_) | Value::Bool(_)
    )
}

const fn is_scalar(value: &Yaml) -> bool {
    matches!(value, Yaml::Bool(_) | Yaml::Number(_) | Yaml::String(_))
}

impl Detection {
    /// Visits every item.
    pub(super) fn each_item(&self, visit: &mut impl FnMut(&Item)) {
        match self {
            Detection::All(list) | Detection::Any(list) => {
                list.iter().for_each(|one| one.each_item(visit));
            }
            Detection::Item(item) => visit(item),
        }
    }

    /// Changes every item; those that the change gives up are left out. `None` when nothing is left.
    pub(super) fn map_items<E>(
        self,
        change: &mut impl FnMut(Item) -> Result<Option<Item>, E>,
    ) -> Result<Option<Detection>, E> {
        let (list, group): (_, fn(Vec<Detection>) -> Detection) = match self {
            Detection::Item(item) => return Ok(change(item)?.map(Detection::Item)),
            Detection::All(list) => (list, Detection::All),
            Detection::Any(list) => (list, Detection::Any),
        };
        let mut kept = Vec::with_capacity(list.len());
        for one in list {
            kept.extend(one.map_items(change)?);
        }
        Ok((!kept.is_empty()).then(|| group(kept)))
    }
}
