//! Patterns with wildcards, as Sigma writes them: `*` stands for any text, `?` for one character,
//! and a backslash takes the meaning from the `*`, `?` or `\` behind it; before anything else it
//! is a backslash. A pattern is of the whole value, and matching allocates nothing.

use super::literal::{find_folded, folded, strip_folded};

/// A stretch of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text that stands as it is.
    Text(String),
    /// One character.
    One,
    /// Any text.
    Many,
}

/// Reads a pattern. Every text is one.
pub(crate) fn parse(written: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut letters = written.chars().peekable();
    while let Some(letter) = letters.next() {
        let special = match letter {
            '*' => Part::Many,
            '?' => Part::One,
            '\\' => {
                let escaped = letters.next_if(|next| matches!(next, '*' | '?' | '\\'));
                text.push(escaped.unwrap_or('\\'));
                continue;
            }
            _ => {
                text.push(letter);
                continue;
            }
        };
        push_text(&mut parts, std::mem::take(&mut text));
        parts.push(special);
    }
    push_text(&mut parts, text);
    parts
}

fn push_text(parts: &mut Vec<Part>, text: String) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(&text),
        Some(Part::One | Part::Many) | None => parts.push(Part::Text(text)),
    }
}

/// Writes a pattern, so that reading it gives the same parts again.
pub(crate) fn write(parts: &[Part]) -> String {
    let mut written = String::new();
    for part in parts {
        match part {
            Part::One => written.push('?'),
            Part::Many => written.push('*'),
            Part::Text(text) => {
                for letter in text.chars() {
                    if matches!(letter, '*' | '?' | '\\') {
                        written.push('\\');
                    }
                    written.push(letter);
                }
            }
        }
    }
    written
}

/// Stretches without `*`, at either end of which may be one.
#[derive(Clone, Debug)]
pub(super) struct Wildcard {
    /// What the value begins with.
    start: Segment,
    /// What follows somewhere, in this order.
    middle: Vec<Segment>,
    /// What the value ends with; `None` for a pattern without `*`.
    end: Option<Segment>,
    any_case: bool,
}

/// Text and single characters, one after the other.
#[derive(Clone, Debug, Default)]
struct Segment {
    items: Vec<Item>,
    /// How many characters it is long: folding never changes their number.
    chars: usize,
}

#[derive(Clone, Debug)]
enum Item {
    Text(Box<str>),
    Ones(usize),
}

impl Wildcard {
    /// Compiles a pattern.
    pub(super) fn new(written: &str, any_case: bool) -> Wildcard {
        let mut segments = vec![Segment::default()];
        for part in parse(written) {
            if part == Part::Many {
                segments.push(Segment::default());
            } else if let Some(last) = segments.last_mut() {
                last.push(part, any_case);
            }
        }
        let mut segments = segments.into_iter();
        let start = segments.next().unwrap_or_default();
        let mut middle: Vec<Segment> = segments.collect();
        let end = middle.pop();
        middle.retain(|segment| segment.chars > 0);
        Wildcard {
            start,
            middle,
            end,
            any_case,
        }
    }

    /// Whether the whole text is as the pattern says.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(mut rest) = self.start.strip(text, self.any_case) else {
            return false;
        };
        let Some(end) = &self.end else {
            return rest.is_empty();
        };
        for segment in &self.middle {
            match segment.find(rest, self.any_case) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        end.is_end_of(rest, self.any_case)
    }

    /// The stretches of text that a matching value contains.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let segments = std::iter::once(&self.start)
            .chain(&self.middle)
            .chain(&self.end);
        segments
            .flat_map(|segment| &segment.items)
            .filter_map(|item| match item {
                Item::Text(text) => Some(&**text),
                Item::Ones(_) => None,
            })
    }
}

impl Segment {
    fn push(&mut self, part: Part, any_case: bool) {
        match (part, self.items.last_mut()) {
            (Part::Text(text), _) => {
                let text = if any_case {
                    folded(&text).into_owned()
                } else {
                    text
                };
                self.chars += text.chars().count();
                self.items.push(Item::Text(text.into()));
            }
            (Part::One | Part::Many, Some(Item::Ones(ones))) => {
                *ones += 1;
                self.chars += 1;
            }
            (Part::One | Part::Many, Some(Item::Text(_)) | None) => {
                self.items.push(Item::Ones(1));
                self.chars += 1;
            }
        }
    }

    /// What stands behind the segment at the beginning of the text.
    fn strip<'t>(&self, text: &'t str, any_case: bool) -> Option<&'t str> {
        self.items.iter().try_fold(text, |rest, item| match item {
            Item::Text(wanted) if any_case => strip_folded(rest, wanted),
            Item::Text(wanted) => rest.strip_prefix(&**wanted),
            Item::Ones(ones) => {
                let mut letters = rest.chars();
                letters.nth(ones - 1)?;
                Some(letters.as_str())
            }
        })
    }

    /// What stands behind its first occurrence.
    fn find<'t>(&self, text: &'t str, any_case: bool) -> Option<&'t str> {
        let mut rest = text;
        loop {
            // The first item, where it is text, says where to try.
            if let Some(Item::Text(first)) = self.items.first() {
                let at = if any_case {
                    find_folded(rest, first)
                } else {
                    rest.find(&**first)
                };
                rest = rest.get(at?..)?;
            }
            if let Some(after) = self.strip(rest, any_case) {
                return Some(after);
            }
            let mut letters = rest.chars();
            letters.next()?;
            rest = letters.as_str();
        }
    }

    fn is_end_of(&self, text: &str, any_case: bool) -> bool {
        let Some(last) = self.chars.checked_sub(1) else {
            return true;
        };
        let from = text.char_indices().nth_back(last);
        from.and_then(|(from, _)| self.strip(text.get(from..)?, any_case))
            .is_some_and(str::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Wildcard::new(pattern, true).matches(text)
    }

    /// The definition, by trying everything.
    fn by_definition(parts: &[Part], text: &[char]) -> bool {
        match parts.split_first() {
            None => text.is_empty(),
            Some((Part::Many, rest)) => {
                (0..=text.len()).any(|skip| by_definition(rest, &text[skip..]))
            }
            Some((Part::One, rest)) => !text.is_empty() && by_definition(rest, &text[1..]),
            Some((Part::Text(wanted), rest)) => {
                let wanted: Vec<char> = folded(wanted).chars().collect();
                text.starts_with(&wanted) && by_definition(rest, &text[wanted.len()..])
            }
        }
    }

    #[test]
    fn backslashes_are_as_the_specification_lists_them() {
        let text = |text: &str| Part::Text(text.to_owned());
        for (written, parts) in [
            (r"C:\Windows\cmd.exe", vec![text(r"C:\Windows\cmd.exe")]),
            (r"C:\\Windows", vec![text(r"C:\Windows")]),
            (r"a\*b", vec![text("a*b")]),
            (r"a\?b", vec![text("a?b")]),
            (r"a\\*", vec![text(r"a\"), Part::Many]),
            (r"a\\?b", vec![text(r"a\"), Part::One, text("b")]),
            (r"a\\\*", vec![text(r"a\*")]),
            (r"\\\server", vec![text(r"\\server")]),
            (r"\\\\server", vec![text(r"\\server")]),
            (r"ends\", vec![text(r"ends\")]),
            ("*a??", vec![Part::Many, text("a"), Part::One, Part::One]),
            ("", vec![]),
        ] {
            assert_eq!(parse(written), parts, "{written}");
        }
    }

    #[test]
    fn what_matches_what() {
        assert!(matches("prog?.exe", "PROGA.EXE"));
        assert!(!matches("prog?.exe", "prog.exe"));
        assert!(matches("antivirus_V*.exe", "antivirus_V21.2.1.exe"));
        assert!(matches("*", ""));
        assert!(matches("", ""));
        assert!(!matches("", "a"));
        assert!(matches("*ab*ab", "abab"));
        assert!(!matches("*ab*ab", "ab"));
        assert!(!matches("a*a", "a"));
        assert!(matches("*?", "ß"));
        assert!(!matches("*?", ""));
        assert!(matches("ÄÖ*", "äÖx"));
        assert!(!Wildcard::new("a*", false).matches("Ab"));
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(pattern in r"[aAbäÄ*?\\]{0,8}", text in r"[aAbBäÄ*?\\]{0,8}") {
            let letters: Vec<char> = folded(&text).chars().collect();
            prop_assert_eq!(matches(&pattern, &text), by_definition(&parse(&pattern), &letters));
        }

        #[test]
        fn a_written_pattern_is_read_as_it_was(pattern in r"[aä*?\\]{0,12}") {
            let parts = parse(&pattern);
            prop_assert_eq!(parse(&write(&parts)), parts);
        }
    }
}
