//! International bank account numbers (ISO 13616): country, two check digits, account.

use super::bytes::{at, before, is_word};
use crate::class::Class;
use crate::spans::Span;

/// The longest number there is.
const MAX_LENGTH: usize = 34;

/// Length by country, from the SWIFT IBAN registry.
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// The number that starts at `start`, where two letters are followed by two digits.
pub(crate) fn starting(text: &[u8], start: usize) -> Option<Span> {
    let country = [
        at(text, start).to_ascii_uppercase(),
        at(text, start + 1).to_ascii_uppercase(),
    ];
    let (_, length) = LENGTHS.iter().find(|(code, _)| **code == country)?;
    if is_word(before(text, start)) {
        return None;
    }
    let mut account = [0; MAX_LENGTH];
    let mut position = start;
    // Fours with one mark between, all the way, or none: a UUID has dashes elsewhere.
    let mark = at(text, start + 4);
    let divided = matches!(mark, b' ' | b'-');
    for (written, slot) in account.iter_mut().take(*length).enumerate() {
        if divided && written > 0 && written % 4 == 0 {
            if at(text, position) != mark {
                return None;
            }
            position += 1;
        }
        *slot = at(text, position);
        if !slot.is_ascii_alphanumeric() {
            return None;
        }
        position += 1;
    }
    let account = account.get(..*length)?;
    let upper = account.iter().any(u8::is_ascii_uppercase);
    let lower = account.iter().any(u8::is_ascii_lowercase);
    let one_case = !upper || !lower;
    let next = at(text, position);
    let goes_on = next == b'-' && is_word(at(text, position + 1));
    let free = !goes_on && !is_word(next);
    let right = one_case && free && remainder(account) == 1;
    right.then(|| Span::new(Class::Iban, start, position))
}

/// The number, its first four places moved to the end and its letters read as 10 to 35, modulo 97.
fn remainder(account: &[u8]) -> u32 {
    let (head, tail) = account.split_at(4.min(account.len()));
    tail.iter()
        .chain(head)
        .fold(0, |rest, byte| match byte.to_ascii_uppercase() {
            digit @ b'0'..=b'9' => (rest * 10 + u32::from(digit - b'0')) % 97,
            letter @ b'A'..=b'Z' => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
            _ => rest,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let mut spans = (0..text.len()).filter_map(|start| starting(text.as_bytes(), start));
        spans.next().and_then(|span| text.get(span.start..span.end))
    }

    #[test]
    fn numbers() {
        for number in [
            "GB82WEST12345698765432",
            "GB82 WEST 1234 5698 7654 32",
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "FR1420041010050500013M02606",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
            "de89370400440532013000",
            "CH93-0076-2011-6238-5295-7",
        ] {
            assert_eq!(found(number), Some(number));
            assert_eq!(found(&format!("to {number}, thanks")), Some(number));
        }
    }

    #[test]
    fn other_words() {
        for text in [
            "GB82WEST12345698765433",
            "DE89370400440532013001",
            "DE8937040044053201300",
            "DE893704004405320130000",
            "XDE89370400440532013000",
            "ZZ89370400440532013000",
            "De89370400440532013000x",
            "DE89  370400440532013000",
            "be16b007-634d-44ec-8a00-0aa0a0aaa000",
            "DE89",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
