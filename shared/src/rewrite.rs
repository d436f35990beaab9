//! The strings inside a JSON text, each read, perhaps changed, and written again with no more
//! escapes than JSON needs. What is between the strings stays as it is.
//!
//! Arrays travel as JSON text. An escape in it would hide from everything that looks at text what
//! its reader sees all the same: `"ada\u0040example.com"` is an address.

use crate::json::{LoneSurrogate, Reader};
use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use std::fmt::Write as _;

/// Writes a JSON text again, each of its strings (keys too) as `change` wants it; `None` keeps it.
/// The text must be one that [`Reader::skip`] took.
///
/// # Errors
/// [`LoneSurrogate`] when an escape names half a surrogate pair.
pub fn strings<'a>(
    text: &'a str,
    arena: &'a Bump,
    mut change: impl FnMut(&'a str) -> Option<&'a str>,
) -> Result<&'a str, LoneSurrogate> {
    let mut out = BumpString::with_capacity_in(text.len(), arena);
    let mut reader = Reader::new(text);
    let mut from = 0;
    while let Some(at) = next_quote(text, from) {
        out.push_str(text.get(from..at).unwrap_or(""));
        reader.seek(at);
        let Ok(string) = reader.string() else {
            // Not a text that was taken: what is left of it is nothing to rewrite.
            from = at;
            break;
        };
        let plain = string.text(arena)?;
        write(&mut out, change(plain).unwrap_or(plain));
        from = reader.position();
    }
    out.push_str(text.get(from..).unwrap_or(""));
    Ok(out.into_bump_str())
}

fn next_quote(text: &str, from: usize) -> Option<usize> {
    let rest = text.as_bytes().get(from..)?;
    Some(from + memchr::memchr(b'"', rest)?)
}

/// Writes a string between quotes, with the escapes that RFC 8259 (7) asks for and no others.
fn write(out: &mut BumpString<'_>, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                // Writing to a string in memory does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &'static str) -> Result<String, LoneSurrogate> {
        let arena = Bump::new();
        strings(text, &arena, |_| None).map(str::to_owned)
    }

    #[test]
    fn escapes_that_hide_something_go_and_those_that_json_needs_stay() {
        assert_eq!(
            plain(r#"["ada\u0040example.com", {"\u006bey":"a\/b"}]"#).unwrap(),
            r#"["ada@example.com", {"key":"a/b"}]"#
        );
        let needed = r#"["\"", "\\", "\n\r\t", "\u0001", 1.50, null]"#;
        assert_eq!(plain(needed).unwrap(), needed);
        assert_eq!(plain(r#"["\ud83d\ude00"]"#).unwrap(), r#"["😀"]"#);
        assert!(plain(r#"[{"\ud83d":1}]"#).is_err());
    }

    #[test]
    fn strings_are_changed_one_by_one() {
        let arena = Bump::new();
        let changed = strings(r#"["a\nsecret",{"k":"secret"}]"#, &arena, |text| {
            text.contains("secret").then_some("[\"]")
        });
        assert_eq!(changed.unwrap(), r#"["[\"]",{"k":"[\"]"}]"#);
    }

    proptest! {
        #[test]
        fn the_value_stays_the_same_and_a_second_time_changes_nothing(texts in proptest::collection::vec(any::<String>(), 0..5)) {
            let arena = Bump::new();
            let escape = |text: &String| {
                let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                format!("\"{}\"", units.concat())
            };
            let escaped = format!("[{}]", texts.iter().map(escape).collect::<Vec<_>>().join(","));
            let once = strings(&escaped, &arena, |_| None).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(once).unwrap(), texts);
            prop_assert_eq!(strings(once, &arena, |_| None).unwrap(), once);
        }
    }
}
