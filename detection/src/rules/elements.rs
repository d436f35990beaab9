//! The values within a field: what a list gives the slots that its field fills, and every scalar,
//! however deep, for what is asked of all fields. Texts are without the escapes of JSON.
//!
//! It never looks at the names of members: they are no values.

use super::filter::Span;
use millrace_shared::Value;
use millrace_shared::json::{JsonError, Kind, Reader};

/// Elements of an array that rules look at.
const ELEMENTS_MAX: usize = 256;
/// Depth of the arrays whose elements are looked at: one, and what must be skipped within.
const ELEMENT_DEPTH_MAX: usize = 32;

/// One value: a field, a stretch of the text of its array, or one of what its escapes meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stretch {
    Whole,
    OfArray { from: u32, to: u32 },
    Unescaped { from: u32, to: u32 },
}

/// The values of an event's lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Elements {
    stretches: Vec<Stretch>,
    /// Elements that are written with escapes, without them.
    texts: String,
}

impl Elements {
    /// Forgets the event before.
    pub(super) fn clear(&mut self) {
        self.stretches.clear();
        self.texts.clear();
    }

    /// Reads a text of JSON: the scalars of an array, and the text as a whole where that is not all
    /// there is.
    pub(super) fn read(&mut self, text: &str) -> Span {
        let from = self.stretches.len();
        if !self.read_array(text) {
            self.stretches.push(Stretch::Whole);
        }
        Span::new(from, self.stretches.len())
    }

    /// Says no when an element is more than a scalar.
    fn read_array(&mut self, text: &str) -> bool {
        let mut reader = Reader::new(text);
        if reader.begin_array().is_err() {
            return false;
        }
        let (mut first, mut plain, mut count) = (true, true, 0);
        while let Ok(true) = reader.next_item(&mut first) {
            reader.kind();
            let from = reader.position();
            count += 1;
            if count > ELEMENTS_MAX || reader.skip(ELEMENT_DEPTH_MAX).is_err() {
                return false;
            }
            match self.stretch(&reader, from) {
                Some(stretch) => self.stretches.push(stretch),
                None => plain = false,
            }
        }
        plain
    }

    /// The element that begins there and that the reader has just read, unless it is more than a
    /// scalar.
    fn stretch(&mut self, reader: &Reader<'_>, from: usize) -> Option<Stretch> {
        let element = reader.slice(from, reader.position());
        if element.starts_with(['[', '{']) {
            return None;
        }
        if !element.contains('\\') {
            let (from, to) = range(from, reader.position())?;
            return Some(Stretch::OfArray { from, to });
        }
        let from = self.texts.len();
        let string = Reader::new(element).string().ok()?;
        string.append_to(&mut self.texts).ok()?;
        let (from, to) = range(from, self.texts.len())?;
        Some(Stretch::Unescaped { from, to })
    }

    /// What was read of one text.
    #[inline]
    pub(super) fn of(&self, span: Span) -> &[Stretch] {
        span.of(&self.stretches)
    }

    /// The value of a stretch of a field with this value.
    #[inline]
    pub(super) fn value<'v>(&'v self, stretch: Stretch, whole: Value<'v>) -> Value<'v> {
        let part = |text: &'v str, from: u32, to: u32| text.get(from as usize..to as usize);
        match stretch {
            Stretch::Whole => whole,
            Stretch::OfArray { from, to } => {
                let text = whole.as_text().and_then(|text| part(text, from, to));
                scalar(text.unwrap_or("null"))
            }
            Stretch::Unescaped { from, to } => {
                Value::Text(part(&self.texts, from, to).unwrap_or_default())
            }
        }
    }
}

fn range(from: usize, to: usize) -> Option<(u32, u32)> {
    Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?))
}

/// A scalar as JSON writes it, a text without escapes.
fn scalar(text: &str) -> Value<'_> {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        text => match text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
        {
            Some(inner) => Value::Text(inner),
            None => match text.parse() {
                Ok(int) => Value::Int(int),
                Err(_) => text.parse().map_or(Value::Null, Value::Float),
            },
        },
    }
}

/// Whether a value, or one of those that an array holds however deep, is as asked for. Names of
/// members are no values.
pub(super) fn any_scalar(value: &Value<'_>, holds: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
    let Value::Json(text) = value else {
        return holds(value);
    };
    let mut text_of_element = String::new();
    let found = any_in(&mut Reader::new(text), 0, &mut text_of_element, holds);
    // What cannot be read to its end is looked at as it is.
    found.unwrap_or_else(|_| holds(value))
}

fn any_in(
    reader: &mut Reader<'_>,
    depth: usize,
    unescaped: &mut String,
    holds: &mut dyn FnMut(&Value<'_>) -> bool,
) -> Result<bool, JsonError> {
    let mut first = true;
    match reader.kind() {
        Kind::Array | Kind::Object if depth > ELEMENT_DEPTH_MAX => {
            // An error: no container is within a depth of 0.
            reader.skip(0)?;
        }
        Kind::Array => {
            reader.begin_array()?;
            while reader.next_item(&mut first)? {
                if any_in(reader, depth + 1, unescaped, holds)? {
                    return Ok(true);
                }
            }
        }
        Kind::Object => {
            reader.begin_object()?;
            while reader.next_key(&mut first)?.is_some() {
                if any_in(reader, depth + 1, unescaped, holds)? {
                    return Ok(true);
                }
            }
        }
        Kind::String => {
            let string = reader.string()?;
            if let Some(text) = string.plain() {
                return Ok(holds(&Value::Text(text)));
            }
            unescaped.clear();
            return Ok(string.append_to(unescaped).is_ok() && holds(&Value::Text(unescaped)));
        }
        Kind::Number => return Ok(holds(&scalar(reader.number()?))),
        Kind::Bool => return Ok(holds(&Value::Bool(reader.boolean()?))),
        Kind::Null | Kind::Other => {
            reader.null()?;
            return Ok(holds(&Value::Null));
        }
    }
    Ok(false)
}
