//! Values that conditions compare with, and how they compare.
//!
//! Text equals text; a number equals a number, and a number written as text in the rule equals
//! the number in the event. Equality has a hash, so that the index and the condition agree.

use foldhash::fast::FixedState;
use millrace_shared::Value;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};

/// A value of an `eq` or `in` condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Literal {
    pub(super) text: Box<str>,
    pub(super) number: Option<f64>,
}

impl Literal {
    /// Of a JSON scalar; folded when case does not matter.
    pub(super) fn new(value: &Json, any_case: bool) -> Option<Literal> {
        let (text, number) = match value {
            Json::String(text) => (
                text.clone(),
                text.parse().ok().filter(|n: &f64| n.is_finite()),
            ),
            Json::Number(number) => (number.to_string(), number.as_f64()),
            Json::Bool(flag) => (flag.to_string(), None),
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
        };
        let text = if any_case {
            folded(&text).into_owned()
        } else {
            text
        };
        Some(Literal {
            text: text.into(),
            number,
        })
    }

    /// The hashes under which an event's value may be equal.
    pub(super) fn hashes(&self, any_case: bool) -> impl Iterator<Item = u64> {
        let text = if any_case {
            hash_folded(&self.text)
        } else {
            hash_text(&self.text)
        };
        [Some(text), self.number.map(hash_number)]
            .into_iter()
            .flatten()
    }

    /// Whether the event's value is this one.
    pub(super) fn is(&self, value: &Value<'_>, any_case: bool) -> bool {
        match value {
            Value::Text(text) | Value::Json(text) => {
                if any_case {
                    equals_folded(text, &self.text)
                } else {
                    **text == *self.text
                }
            }
            Value::Int(_) | Value::Float(_) => value
                .as_number()
                .is_some_and(|number| self.number == Some(number)),
            Value::Bool(flag) => *self.text == *if *flag { "true" } else { "false" },
            Value::Null => false,
        }
    }
}

const STATE: FixedState = FixedState::with_seed(0x0072_756C_6573);

/// The hash of a text as it is.
#[inline]
pub(super) fn hash_text(text: &str) -> u64 {
    let mut hasher = STATE.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Bytes hashed at a time. The pieces of a folded text are cut the same way wherever they come
/// from, so that folding needs no copy of the text.
const PIECE: usize = 64;

/// The hash of a text in lower case, which is that of its [`folded`] copy.
pub(super) fn hash_folded(text: &str) -> u64 {
    let mut hasher = STATE.build_hasher();
    let mut piece = [0_u8; PIECE];
    if text.is_ascii() {
        for part in text.as_bytes().chunks(PIECE) {
            let Some(copy) = piece.get_mut(..part.len()) else {
                continue;
            };
            copy.copy_from_slice(part);
            copy.make_ascii_lowercase();
            hasher.write(copy);
        }
        return hasher.finish();
    }
    let mut filled = 0;
    let mut utf8 = [0; 4];
    for letter in text.chars() {
        for byte in fold(letter).encode_utf8(&mut utf8).bytes() {
            if filled == PIECE {
                hasher.write(&piece);
                filled = 0;
            }
            if let Some(place) = piece.get_mut(filled) {
                *place = byte;
                filled += 1;
            }
        }
    }
    hasher.write(piece.get(..filled).unwrap_or_default());
    hasher.finish()
}

/// The hash of a number: one for every way of writing it.
#[inline]
pub(super) fn hash_number(number: f64) -> u64 {
    let mut hasher = STATE.build_hasher();
    // Zero has two signs.
    hasher.write_u64((number + 0.0).to_bits());
    hasher.write_u8(1);
    hasher.finish()
}

/// The hash of an event's value; `None` for what equals nothing.
#[inline]
pub(super) fn hash_value(value: &Value<'_>, any_case: bool) -> Option<u64> {
    match value {
        Value::Text(text) | Value::Json(text) => Some(if any_case {
            hash_folded(text)
        } else {
            hash_text(text)
        }),
        Value::Int(_) | Value::Float(_) => value.as_number().map(hash_number),
        Value::Bool(flag) => Some(hash_text(if *flag { "true" } else { "false" })),
        Value::Null => None,
    }
}

/// The text in lower case, letter by letter: the same rule for rules and events. A letter whose
/// lower case is ASCII without being so itself (the Kelvin sign) stays, so that ASCII text is
/// compared with ASCII text only.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
    }
    Cow::Owned(text.chars().map(fold).collect())
}

/// One letter in lower case, by the rule of [`folded`].
pub(super) fn fold(letter: char) -> char {
    if letter.is_ascii() {
        return letter.to_ascii_lowercase();
    }
    let mut lower = letter.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if !one.is_ascii() => one,
        _ => letter,
    }
}

/// Whether no other letter folds to this one, so that it stands in every spelling of a text
/// (ASCII letters aside, for which there are other means).
pub(super) fn is_caseless(letter: char) -> bool {
    fold(letter) == letter && letter.to_uppercase().eq([letter])
}

/// Whether a text is the folded one, case aside.
pub(super) fn equals_folded(text: &str, wanted: &str) -> bool {
    text.eq_ignore_ascii_case(wanted)
        || (!text.is_ascii() && strip_folded(text, wanted).is_some_and(str::is_empty))
}

/// Whether a text contains the folded one, case aside.
pub(super) fn contains_folded(text: &str, wanted: &str) -> bool {
    find_folded(text, wanted).is_some()
}

/// Where a text contains the folded one, case aside, for the first time.
pub(super) fn find_folded(text: &str, wanted: &str) -> Option<usize> {
    let Some(first) = wanted.chars().next() else {
        return Some(0);
    };
    // No other letter folds to an ASCII one: a text of those alone has no letter that is none.
    if !wanted.is_ascii() && text.is_ascii() {
        return None;
    }
    if !first.is_ascii() {
        let starts = |(at, letter): (usize, char)| {
            let here = fold(letter) == first && starts_folded(text.get(at..)?, wanted);
            here.then_some(at)
        };
        return text.char_indices().find_map(starts);
    }
    // ASCII letters fold to themselves only, so other bytes of the text need no folding.
    let lower = first as u8;
    let starts = |at: &usize| {
        text.get(*at..)
            .is_some_and(|rest| starts_folded(rest, wanted))
    };
    memchr::memchr2_iter(lower, lower.to_ascii_uppercase(), text.as_bytes()).find(starts)
}

/// What stands behind the folded text at the beginning of a text, case aside.
pub(super) fn strip_folded<'t>(text: &'t str, wanted: &str) -> Option<&'t str> {
    if wanted.is_ascii() {
        let start = text.as_bytes().get(..wanted.len())?;
        return start
            .eq_ignore_ascii_case(wanted.as_bytes())
            .then(|| text.get(wanted.len()..))?;
    }
    let mut letters = text.chars();
    for wanted in wanted.chars() {
        if fold(letters.next()?) != wanted {
            return None;
        }
    }
    Some(letters.as_str())
}

/// Whether a text starts with the folded one, case aside.
pub(super) fn starts_folded(text: &str, wanted: &str) -> bool {
    strip_folded(text, wanted).is_some()
}

/// Whether a text ends with the folded one, case aside.
pub(super) fn ends_folded(text: &str, wanted: &str) -> bool {
    if wanted.is_ascii() {
        let from = text.len().checked_sub(wanted.len());
        let end = from.and_then(|from| text.as_bytes().get(from..));
        return end.is_some_and(|end| end.eq_ignore_ascii_case(wanted.as_bytes()));
    }
    let mut letters = text.chars();
    wanted
        .chars()
        .rev()
        .all(|wanted| letters.next_back().map(fold) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn is(literal: Json, any_case: bool, value: Value<'_>) -> bool {
        let literal = Literal::new(&literal, any_case).unwrap();
        let equal = literal.is(&value, any_case);
        let hash = hash_value(&value, any_case);
        if equal {
            assert!(literal.hashes(any_case).any(|known| Some(known) == hash));
        }
        equal
    }

    #[test]
    fn what_equals_what() {
        assert!(is(json!("x"), false, Value::Text("x")));
        assert!(!is(json!("x"), false, Value::Text("X")));
        assert!(is(json!("ÄX"), true, Value::Text("äx")));
        assert!(is(json!(500), false, Value::Int(500)));
        assert!(is(json!("500"), false, Value::Int(500)));
        assert!(is(json!(500), false, Value::Text("500")));
        assert!(is(json!(0.0), false, Value::Float(-0.0)));
        assert!(is(json!(true), false, Value::Bool(true)));
        assert!(!is(json!("500"), false, Value::Text("500.0")));
        assert!(!is(json!("k"), true, Value::Text("\u{212A}")));
        assert!(Literal::new(&json!(null), false).is_none());
    }

    #[test]
    fn no_letter_folds_to_a_caseless_one() {
        for letter in '\u{80}'..=char::MAX {
            let lower = fold(letter);
            assert!(
                lower == letter || !is_caseless(lower),
                "{letter:?} {lower:?}"
            );
            assert!(!lower.is_ascii(), "{letter:?}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_is_that_of_the_folded_copy(text in "[aAäÄ\u{212A}ẞ☃]{0,90}") {
            prop_assert_eq!(hash_folded(&text), hash_folded(&folded(&text)));
        }

        #[test]
        fn equal_values_have_a_common_hash(a in "[aAäÄkK0-9.\u{212A}ßſİ]{0,4}", b in "[aAäÄkK0-9.\u{212A}ßſİ]{0,4}") {
            let _ = is(json!(a), true, Value::Text(&b));
            let _ = is(json!(a), false, Value::Text(&b));
        }

        #[test]
        fn folding_before_or_while_comparing_is_the_same(text in "[aAäÄkK\u{212A}x]{0,8}", part in "[aAäÄkK\u{212A}x]{0,3}") {
            let part = folded(&part).into_owned();
            let whole = folded(&text).into_owned();
            prop_assert_eq!(contains_folded(&text, &part), whole.contains(&part));
            prop_assert_eq!(starts_folded(&text, &part), whole.starts_with(&part));
            prop_assert_eq!(ends_folded(&text, &part), whole.ends_with(&part));
            prop_assert_eq!(equals_folded(&text, &part), whole == part);
        }
    }
}
