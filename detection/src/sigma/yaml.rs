//! YAML of strangers: bounded in size, depth and number of documents, and read member by member
//! with the place of whatever is wrong.

use crate::rules::Problem;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_yaml_ng::{Mapping, Value};
use std::cell::Cell;
use std::fmt;

/// Bytes of one file: the largest published rule has 250 kB.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Documents of one file.
const DOCUMENTS_MAX: usize = 200;
/// Maps and lists inside of each other.
const DEPTH_MAX: usize = 32;
/// Brackets that are open, or are text and look so. The parser's time grows with their square, so
/// they are counted before it begins.
const OPEN_MAX: usize = 1_000;
/// Characters of a text that is not a value of a detection.
const TEXT_CHARS_MAX: usize = 65_535;
/// Bytes that a value takes in memory besides its text.
const VALUE_COST: usize = 96;
/// Bytes in memory for each byte of a file. Values that are written out take at most two bytes and a
/// [`VALUE_COST`] each, less than that; aliases could make a megabyte fill any memory.
const GROWTH_MAX: usize = 64;
/// Bytes in memory that any file may take: a short one may well have aliases.
const COST_MIN: usize = 16 * 1024;

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
    let left = Cell::new(COST_MIN + GROWTH_MAX * text.len());
    if opens_too_much(text) {
        return Err(wrong(format!("is nested deeper than {DEPTH_MAX}")));
    }
    let text = text.trim_start_matches('\u{FEFF}');
    let mut documents = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let bounded = Bounded {
            left: &left,
            depth: 0,
        };
        let value = bounded
            .deserialize(document)
            .map_err(|error| wrong(error.to_string()))?;
        // What follows the last separator is often nothing.
        if value.is_null() {
            continue;
        }
        if documents.len() == DOCUMENTS_MAX {
            return Err(wrong(format!("has more than {DOCUMENTS_MAX} documents")));
        }
        documents.push(value);
    }
    Ok(documents)
}

/// Whether lists or maps would be nested beyond all measure: by brackets, or by dashes on one line.
fn opens_too_much(text: &str) -> bool {
    let mut open = 0usize;
    text.lines().any(|line| {
        let dashes = line
            .split(' ')
            .take_while(|word| matches!(*word, "" | "-" | "?"));
        let nested = dashes.filter(|word| !word.is_empty()).count() > DEPTH_MAX;
        if line.starts_with("---") {
            open = 0;
        }
        let deep = line.bytes().any(|byte| {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _other => {}
            }
            open > OPEN_MAX
        });
        nested || deep
    })
}

/// Reads a value within what is left of its file's bounds, so that nothing larger is ever built.
#[derive(Clone, Copy)]
struct Bounded<'b> {
    left: &'b Cell<usize>,
    depth: usize,
}

impl Bounded<'_> {
    fn inner(self) -> Self {
        Bounded {
            left: self.left,
            depth: self.depth + 1,
        }
    }

    fn take<E: Error>(self, bytes: usize) -> Result<(), E> {
        if self.depth > DEPTH_MAX {
            return Err(E::custom(format!("is nested deeper than {DEPTH_MAX}")));
        }
        let left = self.left.get().checked_sub(VALUE_COST + bytes);
        let left = left
            .ok_or_else(|| E::custom("has more values than its size allows, perhaps by aliases"))?;
        self.left.set(left);
        Ok(())
    }

    fn scalar<E: Error>(self, value: impl Into<Value>) -> Result<Value, E> {
        self.take(0).map(|()| value.into())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.scalar(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.scalar(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        self.deserialize(from)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.take(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        self.take(0)?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self.inner())? {
            items.push(item);
        }
        Ok(Value::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.take(0)?;
        let mut members = Mapping::new();
        while let Some(name) = map.next_key_seed(self.inner())? {
            if members.contains_key(&name) {
                let name = scalar(&name).unwrap_or_default();
                return Err(A::Error::custom(format!("has the member {name:?} twice")));
            }
            let value = map.next_value_seed(self.inner())?;
            members.insert(name, value);
        }
        Ok(Value::Mapping(members))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (tag, _) = tagged.variant::<String>()?;
        let tag = tag.trim_start_matches('!');
        Err(A::Error::custom(format!("has the tag !{tag}")))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        documents(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let read =
            documents("a: [1, -2, 1.5, true, null, x, '5']\n---\n---\nb: &x {c: d}\ne: *x\n");
        let read = read.unwrap();
        let written: Vec<Value> = vec![
            serde_yaml_ng::from_str("a: [1, -2, 1.5, true, null, x, '5']").unwrap(),
            serde_yaml_ng::from_str("b: {c: d}\ne: {c: d}").unwrap(),
        ];
        assert_eq!(read, written);
        assert_eq!(documents("").unwrap(), Vec::<Value>::new());
        assert_eq!(documents("# nothing\n").unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        assert!(refused("a: 1\na: 2\n").contains("\"a\" twice"));
        assert!(refused("a: !thing 1\n").contains("the tag !thing"));
        assert!(refused("a: [1\n").contains("line"));
        assert!(refused(&"x".repeat(FILE_BYTES_MAX + 1)).contains("larger than"));
        assert!(refused(&"a: 1\n---\n".repeat(DOCUMENTS_MAX + 1)).contains("more than 200"));
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(documents(&deep(DEPTH_MAX)).is_ok());
        assert!(refused(&deep(DEPTH_MAX + 2)).contains("deeper"));
        // Nobody waits for these: the parser would take minutes.
        for endless in ["[", "{a: ", "- ", "? "] {
            assert!(
                refused(&endless.repeat(200_000)).contains("deeper"),
                "{endless}"
            );
        }
    }

    #[test]
    fn aliases_do_not_blow_a_file_up() {
        // Each line ten times the one before: a thousand million values of a few hundred bytes.
        let mut laughs = "a0: &a0 ha\n".to_owned();
        for n in 1..10 {
            let again = vec![format!("*a{}", n - 1); 10].join(", ");
            laughs.push_str(&format!("a{n}: &a{n} [{again}]\n"));
        }
        assert!(refused(&laughs).contains("aliases"));
        // One long text again and again: thirty gigabytes of a megabyte.
        let text = "x".repeat(FILE_BYTES_MAX / 2);
        let again = "*t, ".repeat(FILE_BYTES_MAX / 10);
        assert!(refused(&format!("t: &t {text}\nl: [{again}]\n")).contains("aliases"));
    }

    #[test]
    fn what_is_written_out_is_not_too_much() {
        // A megabyte of indicators, one a line.
        let line = "            - evil-0001.example\n";
        let count = FILE_BYTES_MAX / line.len();
        let read = documents(&format!("f:\n{}", line.repeat(count - 1))).unwrap();
        assert_eq!(items(&read[0]["f"]).len(), count - 1);
    }
}
