//! Payment card numbers: 13 to 19 digits, bare or in groups, with an issuer's prefix and a right
//! check digit.

use super::bytes::{at, is_word, seen_before, two_before};
use super::groups::Groups;
use crate::class::Class;
use crate::spans::Span;

/// The card number that starts at `start`, which is the start of a run of digits.
pub(crate) fn starting(text: &[u8], start: usize) -> Option<Span> {
    if !stands_free_before(text, start) {
        return None;
    }
    let groups = Groups::read(text, start, |mark| matches!(mark, b' ' | b'-' | b'+'));
    // Behind a plus stands a number with a sign, but a word of a query where the marks are such too.
    let signed = seen_before(text, start) == b'+' && !groups.has_mark(b'+');
    if signed || groups.has_mixed_marks() || !matches!(groups.lengths().next(), Some(4 | 13..)) {
        return None;
    }
    // From the longest number to the shortest: `4111 1111 1111 1111 123` ends in a card's code.
    groups.ends().rev().find_map(|(end, digits)| {
        let right = stands_free_after(text, end) && is_issued(digits) && passes_luhn(digits);
        right.then(|| Span::new(Class::PaymentCard, start, end))
    })
}

/// Numbers with a sign, a fraction or a name grown onto them are no cards, nor is the inside of a
/// longer identifier.
fn stands_free_before(text: &[u8], start: usize) -> bool {
    let (last, earlier) = two_before(text, start);
    match last {
        b'-' => earlier.is_ascii_alphabetic(),
        b'.' => !earlier.is_ascii_alphanumeric(),
        b'*' => false,
        _ => !is_word(last),
    }
}

fn stands_free_after(text: &[u8], end: usize) -> bool {
    let (next, later) = (at(text, end), at(text, end + 1));
    match next {
        b'-' | b'.' | b':' => !is_word(later),
        _ => !is_word(next),
    }
}

/// The check digit of ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let doubled = u32::from(*digit) << (index % 2);
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether an issuer gives out numbers of this prefix and length. Ranges as the networks publish
/// them; no range starts with 1, which keeps epoch timestamps out.
fn is_issued(digits: &[u8]) -> bool {
    let length = digits.len();
    let lead = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0u32, |number, digit| number * 10 + u32::from(*digit))
    };
    if !(13..=19).contains(&length) {
        return false;
    }
    match lead(4) {
        4000..=4999 => matches!(length, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => length == 16,
        3400..=3499 | 3700..=3799 => length == 15,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => length == 14 || length == 16,
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 | 8100..=8199 | 2200..=2204 => length >= 16,
        6000..=6010 | 6012..=6099 | 5080..=5089 | 8200..=8299 | 9792 => length == 16,
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let start = text.bytes().position(|byte| byte.is_ascii_digit())?;
        starting(text.as_bytes(), start).and_then(|span| text.get(span.start..span.end))
    }

    #[test]
    fn cards_of_every_network_and_spelling() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "30569309025904",
            "3056 930902 5904",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
            "6759649826438453",
            "4000000000000000006",
        ] {
            assert_eq!(found(card), Some(card));
            assert_eq!(found(&format!("paid with {card}, thanks")), Some(card));
            assert_eq!(found(&format!("card={card}&x")), Some(card));
            for mark in ["+", "%20"] {
                let card = card.replace(' ', mark);
                assert_eq!(found(&format!("card={card}&x")), Some(&*card));
            }
            assert_eq!(
                found(&format!("card:\\n{card}\\n")),
                Some(card),
                "behind an escape"
            );
        }
        for text in [
            "card 4111 1111 1111 1111 2027",
            "card 4111 1111 1111 1111+5",
            "q=paid+with+4111+1111+1111+1111+5",
        ] {
            let card = found(text).map(|card| card.replace('+', " "));
            assert_eq!(card.as_deref(), Some("4111 1111 1111 1111"), "{text}");
        }
    }

    #[test]
    fn other_numbers() {
        for text in [
            "4111111111111112",
            "1700000000000",
            "1700000000000000000",
            "20240101120000",
            "x4111111111111111",
            "4111111111111111x",
            "blk_-4111111111111111",
            "4111111111111111.5",
            "0.4111111111111111",
            "-4111111111111111",
            "41111111111111111111",
            "4111 1111-1111 1111",
            "4111-1111-1111-1111-1111",
            "9999999999999995",
            "4111",
            "*4111111111111111",
            "+4111111111111111",
            "%2B4111 1111 1111 1111",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
