//! Formats of messages that a step can take apart. Each hands over names and values in the order in
//! which they stand; a text that is not of the format hands over nothing.

mod cef;
mod json;
mod leef;
mod logfmt;
mod syslog;

use bumpalo::Bump;
use millrace_shared::Value;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// RFC 5424, and the older form that RFC 3164 describes.
    Syslog,
    /// ArcSight Common Event Format.
    Cef,
    /// IBM Log Event Extended Format.
    Leef,
    /// `key=value` pairs.
    Logfmt,
    /// A JSON object.
    Json,
}

/// A text to be taken apart.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    /// When it was received: times of the older syslog have no year.
    pub(super) received_ns: i64,
    /// Holds what cannot be borrowed.
    pub(super) arena: &'a Bump,
}

/// Takes a name and its value.
pub(super) type Put<'p, 'a> = dyn FnMut(&'a str, Value<'a>) + 'p;

impl Format {
    pub(super) const ALL: [(&'static str, Format); 5] = [
        ("syslog", Format::Syslog),
        ("cef", Format::Cef),
        ("leef", Format::Leef),
        ("logfmt", Format::Logfmt),
        ("json", Format::Json),
    ];

    /// Takes a text apart; whether it was of the format.
    pub(super) fn read<'a>(self, source: Source<'a>, put: &mut Put<'_, 'a>) -> bool {
        let pairs = match self {
            Format::Syslog => return syslog::read(source, put),
            Format::Json => return json::read(source, put),
            Format::Cef => cef::read(source),
            Format::Leef => leef::read(source),
            Format::Logfmt => logfmt::read(source),
        };
        let found = pairs.is_some();
        for (name, value) in pairs.into_iter().flatten() {
            put(name, Value::Text(value));
        }
        found
    }
}

/// Names with texts.
type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// The text with a prefix before it.
fn prefixed<'a>(prefix: &str, name: &str, arena: &'a Bump) -> &'a str {
    bumpalo::format!(in arena, "{}{}", prefix, name).into_bump_str()
}

/// The text without its escapes: what follows a backslash stands for itself, or for what `named`
/// says. Borrowed where there is none.
fn unescape<'a>(text: &'a str, arena: &'a Bump, named: &[(char, char)]) -> &'a str {
    if !text.contains('\\') {
        return text;
    }
    let mut plain = bumpalo::collections::String::with_capacity_in(text.len(), arena);
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            plain.push(char);
            continue;
        }
        if let Some(next) = chars.next() {
            let known = named.iter().find(|(escape, _)| *escape == next);
            plain.push(known.map_or(next, |(_, meant)| *meant));
        }
    }
    plain.into_bump_str()
}

/// Splits at the first separator that no backslash stands before.
fn split_unescaped(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match (escaped, char) {
            (true, _) => escaped = false,
            (false, '\\') => escaped = true,
            (false, char) if char == separator => {
                let (before, after) = text.split_at(at);
                return Some((before, after.strip_prefix(separator)?));
            }
            (false, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2024-06-15T00:00:00Z.
    pub(super) const NOW: i64 = 1_718_409_600_000_000_000;

    pub(super) fn read(format: Format, text: &str) -> Option<Vec<(String, String)>> {
        let arena = Bump::new();
        let mut found = Vec::new();
        let source = Source {
            text: arena.alloc_str(text),
            received_ns: NOW,
            arena: &arena,
        };
        let is_of_it = format.read(source, &mut |name, value| {
            let value = match value {
                Value::Text(text) | Value::Json(text) => text.to_owned(),
                Value::Int(int) => int.to_string(),
                Value::Float(float) => float.to_string(),
                Value::Bool(bool) => bool.to_string(),
                Value::Null => "null".to_owned(),
            };
            found.push((name.to_owned(), value));
        });
        is_of_it.then_some(found)
    }

    pub(super) fn pairs(list: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Some(list.iter().map(owned).collect())
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_reader(text in r#"(<[0-9]{1,4}>)?(1 |Jun 14 |CEF:0|LEEF:2\.0)?[ -~\\\n|=\[\]"\{\}é]{0,60}"#) {
            for (_, format) in Format::ALL {
                let _found = read(format, &text);
            }
        }
    }
}
