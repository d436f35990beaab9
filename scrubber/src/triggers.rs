//! Which positions of a window deserve a detector: shapes of bits, decided for 64 positions at once.
//!
//! A trigger may be wrong, never missing: detectors judge, triggers only save them the work. All
//! shapes are short, so that windows that overlap a little cut none in two.

use crate::class::{Class, ClassSet};
use crate::masks::Masks;

/// How far from its trigger a shape reaches at most, less one: a run of sixteen.
pub(crate) const REACH: usize = 15;

/// The positions for each family of detectors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Triggers {
    /// A mark that is worth a look by itself: `@`, `%`, `=`, `>`, `+` or `(`.
    pub(crate) mark: u64,
    /// A colon that may stand between a name and a value.
    pub(crate) colon: u64,
    /// The first dash of a flag.
    pub(crate) flag: u64,
    /// The start of a run of word bytes that is long enough for a token, or of a part of one.
    pub(crate) token: u64,
    /// What may be `Bearer` or `Basic`.
    pub(crate) scheme: u64,
    /// The first of five dashes.
    pub(crate) dashes: u64,
    /// The slash before what may be `home` or `Users`.
    pub(crate) home: u64,
    /// The first mark of a hardware address.
    pub(crate) mac: u64,
    /// The start of digits that may be a card, a social security or telephone number.
    pub(crate) digits: u64,
    /// The second mark of a number in short groups.
    pub(crate) groups: u64,
    /// Two letters and two digits.
    pub(crate) iban: u64,
    /// A dot between digits.
    pub(crate) ipv4: u64,
    /// A colon that may be an IPv6 address's first.
    pub(crate) ipv6: u64,
}

impl Triggers {
    /// The triggers of a window, at the positions that count. What lies before and after the
    /// window reads as bytes of no kind.
    #[inline(always)]
    pub(crate) fn of(masks: &Masks, counts: u64, active: ClassSet) -> Triggers {
        let Masks {
            digit,
            letter,
            word,
            dash,
            dot,
            colon,
            slash,
            mark,
            ..
        } = *masks;
        let word_start = word & !(word << 1) & counts;
        // Words start behind escapes too: `\n` of JSON, `%3D` of addresses.
        let seen_start = word_start | word & (slash << 2 | mark << 3) & counts;
        // A token's prefix begins a word, or a part of one behind `-` or `_`.
        let token_start = word_start | letter & !((letter | digit) << 1) & counts;
        let fives = dash & dash >> 1 & dash >> 2 & dash >> 3 & dash >> 4 & !(dash << 1);
        let mut triggers = Triggers {
            mark: mark & counts,
            colon: colon & !(digit << 1) & counts,
            flag: seen_start & dash & dash >> 1 & letter >> 2,
            token: token_start & in_a_row_16(word),
            scheme: seen_start & masks.scheme,
            dashes: fives & counts,
            home: slash & masks.home >> 1 & counts,
            mac: (five_by_three(colon) | five_by_three(dash) | dot & dot >> 5) & counts,
            digits: 0,
            groups: 0,
            iban: seen_start & letter & letter >> 1 & digit >> 2 & digit >> 3,
            ipv4: 0,
            ipv6: 0,
        };
        if digit != 0 {
            triggers.digits = digits(masks) & counts;
            triggers.groups = groups(masks, counts);
        }
        if active.contains(Class::Ipv4) {
            triggers.ipv4 = dot & digit << 1 & digit >> 1 & counts;
        }
        if active.contains(Class::Ipv6) {
            let near = colon >> 1 | colon >> 2 | colon >> 3 | colon >> 4 | colon >> 5;
            triggers.ipv6 = colon & near & !(colon << 1) & counts;
        }
        triggers
    }

    /// Whether there is none.
    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.mark
            | self.colon
            | self.flag
            | self.token
            | self.scheme
            | self.dashes
            | self.home
            | self.mac
            | self.digits
            | self.groups
            | self.iban
            | self.ipv4
            | self.ipv6
            == 0
    }
}

/// Where sixteen bits in a row are set.
#[inline(always)]
const fn in_a_row_16(mask: u64) -> u64 {
    let two = mask & mask >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    eight & eight >> 8
}

/// Where five bits follow each other at a distance of three.
#[inline(always)]
const fn five_by_three(mask: u64) -> u64 {
    let two = mask & mask >> 3;
    two & two >> 6 & mask >> 12
}

/// Where digits start that look like one of the numbers: eight or more in a row; groups of 3-2-4,
/// of 3-3-4, of 4 and at least 4, of 5 and 5; or a leading zero that belongs to no time or date.
#[inline(always)]
const fn digits(masks: &Masks) -> u64 {
    let Masks {
        digit, gap, colon, ..
    } = *masks;
    let start = digit & !(digit << 1);
    let two = digit & digit >> 1;
    let three = two & digit >> 2;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    let in_threes = three & gap >> 3 & two >> 4;
    let ssn = in_threes & !(masks.dot >> 3) & gap >> 6 & four >> 7;
    // An address of a machine has no group of four.
    let american = in_threes & digit >> 6 & gap >> 7 & four >> 8;
    let fours = four & gap >> 4 & four >> 5;
    let fives = four & digit >> 4 & gap >> 5 & four >> 6 & digit >> 10;
    let zero = masks.zero & digit >> 1 & !(after_date(masks) | colon >> 2);
    start & (eight | ssn | american | fours | fives | zero)
}

/// The positions behind marks that stand within times, dates, addresses and paths.
#[inline(always)]
const fn after_date(masks: &Masks) -> u64 {
    (masks.dash | masks.dot | masks.slash | masks.colon & masks.digit << 1) << 1
}

/// The second mark of three groups, the first of at most three digits, the others of two and more,
/// with spaces or dashes between: telephone numbers of many countries. Adding a start to a row of
/// digits carries to its end, so that all rows of a window are walked at once.
#[inline(always)]
const fn groups(masks: &Masks, counts: u64) -> u64 {
    let Masks {
        digit, gap, dot, ..
    } = *masks;
    let two = digit & digit >> 1;
    let start = digit & !(digit << 1) & !(two & two >> 2) & !after_date(masks) & counts;
    let mark = gap & !dot & two >> 1;
    let first = digit.wrapping_add(start) & !digit & mark;
    let second = digit.wrapping_add(first << 1) & !digit;
    second & mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Triggers {
        Triggers::of(&Masks::at(text.as_bytes(), 0), u64::MAX, ClassSet::ALL)
    }

    #[test]
    fn shapes_are_seen_where_they_start() {
        assert_eq!(of("a 123-45-6789").digits, 1 << 2);
        assert_eq!(of("a 415.555.2671").digits, 1 << 2);
        assert_eq!(of("a 4111 1111").digits, 1 << 2);
        assert_eq!(of("a 12345678").digits, 1 << 2);
        assert_eq!(of("a 98765 43210").digits, 1 << 2);
        assert_eq!(of("a 91 234 56").groups, 1 << 8);
        assert_eq!(of("8-912-345").groups, 1 << 5);
        assert_eq!(of("2026-11-21 04:05").groups, 0);
        assert_eq!(of("a\\nDE89").iban, 1 << 3);
        assert_eq!(of("a%3DDE89").iban, 1 << 4);
        assert_eq!(of("a 07700 900123").digits, 1 << 2);
        assert_eq!(of("00:1a:2b:3c:4d:5e").mac, 1 << 2);
        assert_eq!(of("001a.2b3c.4d5e").mac, 1 << 4);
        assert_eq!(of("a 0123456789abcdef").token, 1 << 2);
        assert_eq!(of("a -----BEGIN").dashes, 1 << 2);
        assert_eq!(of("x --password").flag, 1 << 2);
        assert_eq!(of(" /home").home, 1 << 1);
        assert_eq!(of(" DE89").iban, 1 << 1);
        assert_eq!(of("1.2").ipv4, 1 << 1);
        assert_eq!(of("fe80::1").ipv6, 1 << 4);
    }

    #[test]
    fn ordinary_text_has_none() {
        for text in [
            "checkout",
            "2026-11-21 04:05:06 took 12 ms",
            "GET /api/v1 200",
            "v1.2.3, 17",
        ] {
            let masks = Masks::at(text.as_bytes(), 0);
            let triggers = Triggers::of(&masks, u64::MAX, ClassSet::of(Class::Email));
            assert!(triggers.is_empty(), "{text}: {triggers:?}");
        }
    }
}
