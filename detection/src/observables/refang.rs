//! Defanged text made whole again: `hxxp[:]//evil[.]com`, `bob(at)evil(dot)com`.

use super::bytes::at;
use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;

/// What stands for what, between brackets of any kind. Compared in lower case, blanks aside.
const MARKS: [(&str, &str); 9] = [
    (".", "."),
    ("dot", "."),
    ("punkt", "."),
    ("@", "@"),
    ("at", "@"),
    (":", ":"),
    ("://", "://"),
    ("/", "/"),
    ("//", "//"),
];

/// Bytes between the brackets at most, blanks included.
const MARK_BYTES_MAX: usize = 8;

/// If a defanging mark begins at `from`: where it ends, and what it stands for.
pub(super) fn mark(bytes: &[u8], from: usize) -> Option<(usize, &'static str)> {
    let close = match at(bytes, from) {
        b'[' => b']',
        b'(' => b')',
        b'{' => b'}',
        _ => return None,
    };
    let rest = bytes.get(from + 1..)?;
    let length = rest
        .iter()
        .take(MARK_BYTES_MAX + 1)
        .position(|byte| *byte == close)?;
    let inner = rest.get(..length)?.trim_ascii();
    let (_, plain) = MARKS
        .iter()
        .find(|(mark, _)| inner.eq_ignore_ascii_case(mark.as_bytes()))?;
    Some((from + length + 2, plain))
}

/// Where the first defanging mark begins of those that begin in a range.
pub(super) fn first_mark(text: &str, from: usize, to: usize) -> Option<usize> {
    let run = text.as_bytes().get(from..to)?.iter().enumerate();
    let mut opened = run.filter(|(_, byte)| matches!(byte, b'[' | b'(' | b'{'));
    opened.find_map(|(at, _)| mark(text.as_bytes(), from + at).map(|_| from + at))
}

/// The text with every mark replaced; blanks around a mark go too (`evil [dot] com`).
pub(super) fn refang<'a>(text: &str, arena: &'a Bump) -> &'a str {
    let mut plain = ArenaString::with_capacity_in(text.len(), arena);
    let mut taken = 0;
    let mut from = 0;
    while from < text.len() {
        let Some((end, replacement)) = mark(text.as_bytes(), from) else {
            from += 1;
            continue;
        };
        plain.push_str(text.get(taken..from).unwrap_or_default());
        let word = plain.trim_end_matches(' ').len();
        let spaced = word < plain.len();
        plain.truncate(word);
        plain.push_str(replacement);
        let rest = text.get(end..).unwrap_or_default();
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        // Blanks on one side only separate words.
        taken = if spaced { end + blanks } else { end };
        from = taken;
    }
    plain.push_str(text.get(taken..).unwrap_or_default());
    plain.into_bump_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_becomes_plain() {
        let arena = Bump::new();
        for (defanged, plain) in [
            ("evil[.]com", "evil.com"),
            ("evil (dot) com", "evil.com"),
            ("evil{.}com", "evil.com"),
            ("evil[DOT]com[.]br", "evil.com.br"),
            ("bob[at]evil[.]com", "bob@evil.com"),
            ("hxxps[:]//evil[.]com", "hxxps://evil.com"),
            ("hxxps[://]evil[.]com", "hxxps://evil.com"),
            ("10[.]0.0[.]1", "10.0.0.1"),
            ("f(x) [a] {b}", "f(x) [a] {b}"),
            ("[.", "[."),
            ("é[.]è", "é.è"),
        ] {
            assert_eq!(refang(defanged, &arena), plain);
        }
    }
}
