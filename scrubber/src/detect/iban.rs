//! International bank account numbers (ISO 13616): country, two check digits, account.

use super::bytes::{at, is_word, mark_between, seen_before};
use crate::class::Class;
use crate::spans::Span;

/// Country and check digits.
const HEAD: usize = 4;
/// The longest number there is.
const MAX_LENGTH: usize = 34;

/// Structure of the account behind the check digits by country, from the SWIFT IBAN registry: so
/// many digits (`n`), letters (`a`), or either (`c`).
#[rustfmt::skip]
const STRUCTURES: &[(&[u8; 2], &[u8])] = &[
    (b"AD", b"8n12c"), (b"AE", b"19n"), (b"AL", b"8n16c"), (b"AT", b"16n"), (b"AZ", b"4a20c"),
    (b"BA", b"16n"), (b"BE", b"12n"), (b"BG", b"4a6n8c"), (b"BH", b"4a14c"), (b"BI", b"23n"),
    (b"BR", b"23n1a1c"), (b"BY", b"4c4n16c"), (b"CH", b"5n12c"), (b"CR", b"18n"),
    (b"CY", b"8n16c"), (b"CZ", b"20n"), (b"DE", b"18n"), (b"DJ", b"23n"), (b"DK", b"14n"),
    (b"DO", b"4c20n"), (b"EE", b"16n"), (b"EG", b"25n"), (b"ES", b"20n"), (b"FI", b"14n"),
    (b"FK", b"2a12n"), (b"FO", b"14n"), (b"FR", b"10n11c2n"), (b"GB", b"4a14n"),
    (b"GE", b"2a16n"), (b"GI", b"4a15c"), (b"GL", b"14n"), (b"GR", b"7n16c"), (b"GT", b"24c"),
    (b"HN", b"4a20n"), (b"HR", b"17n"), (b"HU", b"24n"), (b"IE", b"4a14n"), (b"IL", b"19n"),
    (b"IQ", b"4a15n"), (b"IS", b"22n"), (b"IT", b"1a10n12c"), (b"JO", b"4a4n18c"),
    (b"KW", b"4a22c"), (b"KZ", b"3n13c"), (b"LB", b"4n20c"), (b"LC", b"4a24c"),
    (b"LI", b"5n12c"), (b"LT", b"16n"), (b"LU", b"3n13c"), (b"LV", b"4a13c"), (b"LY", b"21n"),
    (b"MC", b"10n11c2n"), (b"MD", b"20c"), (b"ME", b"18n"), (b"MK", b"3n10c2n"),
    (b"MN", b"16n"), (b"MR", b"23n"), (b"MT", b"4a5n18c"), (b"MU", b"4a19n3a"),
    (b"NI", b"4a20n"), (b"NL", b"4a10n"), (b"NO", b"11n"), (b"OM", b"3n16c"),
    (b"PK", b"4a16c"), (b"PL", b"24n"), (b"PS", b"4a21c"), (b"PT", b"21n"), (b"QA", b"4a21c"),
    (b"RO", b"4a16c"), (b"RS", b"18n"), (b"RU", b"14n15c"), (b"SA", b"2n18c"),
    (b"SC", b"4a20n3a"), (b"SD", b"14n"), (b"SE", b"20n"), (b"SI", b"15n"), (b"SK", b"20n"),
    (b"SM", b"1a10n12c"), (b"SO", b"19n"), (b"ST", b"21n"), (b"SV", b"4a20n"), (b"TL", b"19n"),
    (b"TN", b"20n"), (b"TR", b"6n16c"), (b"UA", b"6n19c"), (b"VA", b"18n"), (b"VG", b"4a16n"),
    (b"XK", b"16n"), (b"YE", b"4a4n18c"),
];

/// A glance at the two letters: most words end here.
fn is_country([first, second]: [u8; 2]) -> bool {
    let seconds = SECONDS.get(usize::from(first & 0x1f)).copied().unwrap_or(0);
    seconds >> (second & 0x1f) & 1 == 1
}

/// The second letters of the countries, by their first.
static SECONDS: [u32; 32] = {
    let mut seconds = [0; 32];
    let mut index = 0;
    #[expect(clippy::indexing_slicing, reason = "checked when compiled")]
    while index < STRUCTURES.len() {
        let [first, second] = *STRUCTURES[index].0;
        seconds[(first & 0x1f) as usize] |= 1 << (second & 0x1f);
        index += 1;
    }
    seconds
};

/// The number that starts at `start`, where two letters are followed by two digits.
pub(crate) fn starting(text: &[u8], start: usize) -> Option<Span> {
    let country = [
        at(text, start).to_ascii_uppercase(),
        at(text, start + 1).to_ascii_uppercase(),
    ];
    if !is_country(country) {
        return None;
    }
    let (_, structure) = STRUCTURES.iter().find(|(code, _)| **code == country)?;
    let length = HEAD + groups(structure).map(|(count, _)| count).sum::<usize>();
    if is_word(seen_before(text, start)) {
        return None;
    }
    let mut account = [0; MAX_LENGTH];
    let mut position = start;
    // Fours with one mark between, all the way, or none: a UUID has dashes elsewhere.
    let between = mark_between(text, start + 4);
    let divided = matches!(between.0, b' ' | b'-' | b'+');
    for (written, slot) in account.iter_mut().take(length).enumerate() {
        if divided && written > 0 && written % 4 == 0 {
            if mark_between(text, position) != between {
                return None;
            }
            position += between.1;
        }
        *slot = at(text, position);
        if !slot.is_ascii_alphanumeric() {
            return None;
        }
        position += 1;
    }
    let account = account.get(..length)?;
    let upper = account.iter().any(u8::is_ascii_uppercase);
    let lower = account.iter().any(u8::is_ascii_lowercase);
    let one_case = !upper || !lower;
    let next = at(text, position);
    let goes_on = next == b'-' && is_word(at(text, position + 1));
    let free = !goes_on && !is_word(next);
    // Check digits run from 02 to 98: others would pass the same test.
    let check = account.get(2..4)?;
    let given_out = !matches!(check, b"00" | b"01" | b"99");
    let right = one_case && free && given_out && fits(account, structure);
    let right = right && remainder(account) == 1;
    right.then(|| Span::new(Class::Iban, start, position))
}

/// The groups of a structure: how many characters, of which kind.
fn groups(structure: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let mut count = 0;
    structure.iter().filter_map(move |mark| {
        if mark.is_ascii_digit() {
            count = count * 10 + usize::from(mark - b'0');
            return None;
        }
        Some((std::mem::take(&mut count), *mark))
    })
}

/// Whether the account behind the head has the characters of the structure.
fn fits(account: &[u8], structure: &[u8]) -> bool {
    let mut from = HEAD;
    groups(structure).all(|(count, kind)| {
        let part = account.get(from..from + count).unwrap_or_default();
        from += count;
        part.iter().all(|byte| match kind {
            b'n' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            _ => byte.is_ascii_alphanumeric(),
        })
    })
}

/// The number, its first four places moved to the end and its letters read as 10 to 35, modulo 97.
fn remainder(account: &[u8]) -> u32 {
    let (head, tail) = account.split_at(HEAD.min(account.len()));
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
            "CH93+0076+2011+6238+5295+7",
            "CH93%200076%202011%206238%205295%207",
        ] {
            assert_eq!(found(number), Some(number));
            assert_eq!(found(&format!("to {number}, thanks")), Some(number));
        }
    }

    #[test]
    fn no_account_is_longer_than_the_buffer() {
        for (country, structure) in STRUCTURES {
            let length = HEAD + groups(structure).map(|(count, _)| count).sum::<usize>();
            assert!((15..=MAX_LENGTH).contains(&length), "{country:?}");
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
            "be70b00763440001",
            "ad59b00763440001aabb0123",
            "be16b007-634d-44ec-8a00-0aa0a0aaa000",
            "DE89",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
