//! YAML of strangers: bounded in size, depth and number of documents, and read member by member
//! with the place of whatever is wrong.

use crate::rules::Problem;
use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};

/// Bytes of one file: the largest published rule has 250 kB.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Documents of one file.
const DOCUMENTS_MAX: usize = 200;
/// Maps and lists inside of each other.
const DEPTH_MAX: usize = 32;
/// Characters of a text that is not a value of a detection.
const TEXT_CHARS_MAX: usize = 65_535;

type Read<T> = Result<T, Problem>;

/// The documents of a file.
///
/// # Errors
/// What the parser says, with line and column, or which bound is crossed.
pub(super) fn documents(text: &str) -> Read<Vec<Value>> {
    let wrong = |what: String| Problem::new("file", what);
    if text.len() > FILE_BYTES_MAX {
        return Err(wrong(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let mut documents = Vec::new();
    for document in Deserializer::from_str(text.trim_start_matches('\u{FEFF}')) {
        let value = Value::deserialize(document).map_err(|error| wrong(error.to_string()))?;
        if documents.len() == DOCUMENTS_MAX {
            return Err(wrong(format!("has more than {DOCUMENTS_MAX} documents")));
        }
        check_depth(&value, 0)?;
        if !value.is_null() {
            documents.push(value);
        }
    }
    Ok(documents)
}

fn check_depth(value: &Value, depth: usize) -> Read<()> {
    if depth > DEPTH_MAX {
        let what = format!("is nested deeper than {DEPTH_MAX}");
        return Err(Problem::new("file", what));
    }
    match value {
        Value::Sequence(items) => items
            .iter()
            .try_for_each(|item| check_depth(item, depth + 1)),
        Value::Mapping(map) => map
            .values()
            .try_for_each(|item| check_depth(item, depth + 1)),
        Value::Tagged(tagged) => Err(Problem::new("file", format!("has the tag {}", tagged.tag))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// A map, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Map<'v> {
    pub(super) path: String,
    members: &'v serde_yaml_ng::Mapping,
}

impl<'v> Map<'v> {
    pub(super) fn new(value: &'v Value, path: &str) -> Read<Self> {
        let members = value
            .as_mapping()
            .ok_or_else(|| Problem::new(path, "must be a map"))?;
        Ok(Map {
            path: path.to_owned(),
            members,
        })
    }

    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// A member, unless it is missing or null.
    pub(super) fn get(&self, name: &str) -> Option<&'v Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn need(&self, name: &str) -> Read<&'v Value> {
        self.get(name)
            .ok_or_else(|| Problem::new(&self.at(name), "is required"))
    }

    /// A member's text; numbers and truth values as they are written.
    pub(super) fn text(&self, name: &str) -> Read<Option<String>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = scalar(value).filter(|text| text.chars().count() <= TEXT_CHARS_MAX);
        text.map(Some)
            .ok_or_else(|| Problem::new(&self.at(name), "must be text of at most 65535 characters"))
    }

    /// A member that is one text or a list of them.
    pub(super) fn texts(&self, name: &str) -> Read<Vec<String>> {
        let path = self.at(name);
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Sequence(items)) => {
                let texts = items.iter().filter(|item| !item.is_null()).map(|item| {
                    scalar(item).ok_or_else(|| Problem::new(&path, "must be a list of texts"))
                });
                texts.collect()
            }
            Some(value) => match scalar(value) {
                Some(text) => Ok(vec![text]),
                None => Err(Problem::new(&path, "must be text or a list of texts")),
            },
        }
    }

    /// A member that is a map.
    pub(super) fn map(&self, name: &str) -> Read<Option<Map<'v>>> {
        self.get(name)
            .map(|value| Map::new(value, &self.at(name)))
            .transpose()
    }

    /// All members, in the order in which they are written.
    pub(super) fn members(&self) -> impl Iterator<Item = Read<(String, &'v Value)>> {
        self.members.iter().map(|(name, value)| {
            let name = scalar(name).or_else(|| name.is_null().then(String::new));
            let name = name.ok_or_else(|| Problem::new(&self.path, "has a name that is no text"));
            Ok((name?, value))
        })
    }
}

/// The items of a value: of a list each, else the value itself.
pub(super) fn items(value: &Value) -> &[Value] {
    value
        .as_sequence()
        .map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// The text of a scalar.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}
