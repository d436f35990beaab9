//! United States social security numbers: three, two and four digits.
//!
//! Divided ones are taken as they are; nine digits in a row only where the text speaks of one.

use super::bytes::{Context, at, is_word, seen_before, two_before};
use super::groups::Groups;
use crate::class::Class;
use crate::spans::Span;

/// How far before and after a number the text may speak of it.
const CONTEXT_BEFORE: usize = 48;
const CONTEXT_AFTER: usize = 20;

static CONTEXT: Context = Context::new(&[
    b"ssn",
    b"social sec",
    b"social-sec",
    b"social_sec",
    b"soc sec",
    b"ss#",
    b"ss #",
    b"tax id",
    b"taxpayer",
    b"seguro social",
]);

/// The number that starts at `start`, which is the start of a run of digits. `known` says that
/// the field is one for such numbers.
pub(crate) fn starting(text: &[u8], start: usize, known: bool) -> Option<Span> {
    if !starts_free(text, start) {
        return None;
    }
    let groups = Groups::read(text, start, |mark| matches!(mark, b' ' | b'-' | b'+'));
    if seen_before(text, start) == b'+' && !groups.has_mark(b'+') {
        return None;
    }
    let mut lengths = groups.lengths();
    let shape = (
        lengths.next(),
        lengths.next(),
        lengths.next(),
        lengths.next(),
    );
    let divided = match shape {
        (Some(3), Some(2), Some(4), None) => true,
        (Some(9), None, _, _) => false,
        // A column of numbers, or a longer number.
        _ => return None,
    };
    let (end, digits) = groups.ends().next_back()?;
    if groups.has_mixed_marks() || !is_given_out(digits) || !ends_free(text, end) {
        return None;
    }
    let right = divided || known || is_spoken_of(text, start, end);
    right.then(|| Span::new(Class::Ssn, start, end))
}

/// Numbers that were ever given out: no area 000, 666 or 900 and up, no group 00, no serial 0000.
fn is_given_out(digits: &[u8]) -> bool {
    let number = digits
        .iter()
        .fold(0u32, |number, digit| number * 10 + u32::from(*digit));
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    digits.len() == 9 && area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

fn starts_free(text: &[u8], start: usize) -> bool {
    let (last, earlier) = two_before(text, start);
    match last {
        b' ' | b'.' | b'/' | b':' => !earlier.is_ascii_digit(),
        b'-' => !is_word(earlier) || earlier.is_ascii_alphabetic(),
        b'*' => false,
        _ => !is_word(last),
    }
}

fn ends_free(text: &[u8], end: usize) -> bool {
    let (next, later) = (at(text, end), at(text, end + 1));
    match next {
        b'-' | b'.' => !is_word(later),
        b'/' | b':' => !later.is_ascii_digit(),
        _ => !is_word(next),
    }
}

fn is_spoken_of(text: &[u8], start: usize, end: usize) -> bool {
    CONTEXT.is_in(text, start.saturating_sub(CONTEXT_BEFORE), start)
        || CONTEXT.is_in(text, end, end + CONTEXT_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let digit = |byte: u8| byte.is_ascii_digit();
        let start = text.bytes().position(digit)?;
        starting(text.as_bytes(), start, false).and_then(|span| text.get(span.start..span.end))
    }

    #[test]
    fn numbers() {
        for (text, number) in [
            ("123-45-6789", "123-45-6789"),
            (
                "was 123 45 6789 then",
                "was 123 45 6789 then".get(4..15).unwrap(),
            ),
            ("id=899-99-9999.", "899-99-9999"),
            ("ssn 123456789", "123456789"),
            ("Social Security Number: 123456789", "123456789"),
            ("userSSN=123456789", "123456789"),
            ("123456789 (SSN)", "123456789"),
            ("/users/123-45-6789/edit", "123-45-6789"),
            (r"first\nSSN 123456789", "123456789"),
            ("ssn 123456789+1", "123456789"),
            ("q=123+45+6789&x", "123+45+6789"),
            ("q=of+123+45+6789", "123+45+6789"),
            ("q=123%2045%206789", "123%2045%206789"),
        ] {
            let expected = (text != "userSSN=123456789").then_some(number);
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn other_numbers() {
        for text in [
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "123-45-0000",
            "123456789",
            "123-45 6789",
            "123-45-67890",
            "1123-45-6789",
            "x123-45-6789",
            "123-45-6789-1",
            "123-45-6789x",
            "12-345-6789",
            "100 12 1234 17",
            "session 123456789",
            "*123-45-6789",
            "+123-45-6789",
            "1+123+45+6789",
            "0.123-45-6789",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
