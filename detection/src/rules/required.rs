//! Texts that a regular expression cannot do without: one of them stands in every value that it
//! matches, so a rule need not be tried where none does.

use super::literal::is_caseless;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Texts of which one is required.
const TEXTS_MAX: usize = 64;

/// What is known of a part of an expression.
struct Known {
    /// The only text it matches, in lower case.
    exact: Option<String>,
    /// Texts of which one stands in whatever it matches.
    any: Option<Vec<String>>,
}

/// Texts in lower case of which one stands, ASCII case aside, in every text that the expression
/// matches; `None` when there are none.
pub(super) fn required(pattern: &str, any_case: bool) -> Option<Vec<String>> {
    let hir = ParserBuilder::new()
        .case_insensitive(any_case)
        .build()
        .parse(pattern)
        .ok()?;
    let texts = known(&hir).texts()?;
    let are_texts = texts.iter().all(|text| !text.is_empty());
    (are_texts && texts.len() <= TEXTS_MAX).then_some(texts)
}

impl Known {
    const NOTHING: Known = Known {
        exact: None,
        any: None,
    };

    fn exact(text: String) -> Known {
        Known {
            exact: Some(text),
            any: None,
        }
    }

    fn texts(self) -> Option<Vec<String>> {
        let exact = self.exact.filter(|text| !text.is_empty());
        exact.map(|text| vec![text]).or(self.any)
    }
}

fn known(hir: &Hir) -> Known {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Known::exact(String::new()),
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0)
            .ok()
            .filter(|text| text.chars().all(is_fixed))
            .map_or(Known::NOTHING, |text| {
                Known::exact(text.to_ascii_lowercase())
            }),
        HirKind::Class(class) => of_class(class).map_or(Known::NOTHING, Known::exact),
        HirKind::Capture(capture) => known(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min == 0 => Known::NOTHING,
        HirKind::Repetition(repetition) => Known {
            exact: None,
            any: known(&repetition.sub).texts(),
        },
        HirKind::Concat(parts) => of_sequence(parts),
        HirKind::Alternation(parts) => {
            let texts = parts.iter().map(|part| known(part).texts());
            let texts: Option<Vec<Vec<String>>> = texts.collect();
            let any: Option<Vec<String>> = texts.map(|texts| texts.concat());
            Known {
                exact: None,
                any: any.filter(|texts| texts.len() <= TEXTS_MAX),
            }
        }
    }
}

fn is_fixed(letter: char) -> bool {
    letter.is_ascii() || is_caseless(letter)
}

/// The letter of a class that holds only the two cases of one.
fn of_class(class: &Class) -> Option<String> {
    let letters: Vec<char> = match class {
        Class::Unicode(class) => {
            let ranges = class.iter().map(|range| (range.start(), range.end()));
            let ranges: Vec<_> = ranges.take(3).collect();
            ranges
                .iter()
                .all(|(start, end)| start == end)
                .then(|| ranges.iter().map(|(start, _)| *start).collect())?
        }
        Class::Bytes(_) => return None,
    };
    let lower = letters.first()?.to_ascii_lowercase();
    let same = letters
        .iter()
        .all(|letter| letter.to_ascii_lowercase() == lower);
    (same && is_fixed(lower)).then(|| lower.to_string())
}

/// Of parts one after the other: the best of what their neighbouring texts make together, and of
/// what each requires.
fn of_sequence(parts: &[Hir]) -> Known {
    let (mut run, mut whole) = (String::new(), true);
    let mut best: Option<Vec<String>> = None;
    for part in parts {
        let known = known(part);
        match known.exact {
            Some(text) => run.push_str(&text),
            None => {
                whole = false;
                best = better(best, Some(vec![std::mem::take(&mut run)]));
                best = better(best, known.any);
            }
        }
    }
    if whole {
        return Known::exact(run);
    }
    Known {
        exact: None,
        any: better(best, Some(vec![run]))
            .filter(|texts| texts.iter().all(|text| !text.is_empty())),
    }
}

/// The choice whose shortest text is longer.
fn better(one: Option<Vec<String>>, other: Option<Vec<String>>) -> Option<Vec<String>> {
    let shortest = |texts: &Vec<String>| texts.iter().map(String::len).min().unwrap_or(0);
    match (one, other) {
        (Some(one), Some(other)) if shortest(&other) > shortest(&one) => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    #[test]
    fn what_expressions_require() {
        let of = |pattern: &str| required(pattern, false).unwrap_or_default();
        assert_eq!(of("abc.*defg"), ["defg"]);
        assert_eq!(of("(?i)Clip(?:\\.exe)?.{0,4}&&"), ["clip"]);
        assert_eq!(of("(?:foo|barbaz)x+"), ["foo", "barbaz"]);
        assert_eq!(of(r"\bcmd\b\s"), ["cmd"]);
        assert_eq!(of("(abc)+"), ["abc"]);
        assert!(of("a?b*").is_empty());
        assert!(of("(?:abc|.)").is_empty());
        assert!(of("[abc]def").contains(&"def".to_owned()));
    }

    proptest! {
        #[test]
        fn what_matches_holds_what_is_required(
            pattern in r"(?:(?:abc|b|\.|[ab]|\(a\|bcd\)|\(abcd\))[+?*]?){1,5}",
            text in "[abcdABCD]{0,12}",
            any_case in any::<bool>(),
        ) {
            let cased = if any_case { format!("(?i){pattern}") } else { pattern.clone() };
            let (Ok(regex), Some(texts)) = (Regex::new(&cased), required(&pattern, any_case)) else {
                return Ok(());
            };
            let lower = text.to_ascii_lowercase();
            let holds = texts.iter().any(|required| lower.contains(required));
            prop_assert!(!regex.is_match(&text) || holds, "{} {:?} {}", cased, texts, text);
        }
    }
}
