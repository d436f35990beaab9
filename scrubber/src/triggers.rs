//! Which positions of a window deserve a detector: shapes of bits, decided for 64 positions at once,
//! or for several windows side by side.
//!
//! A trigger may be wrong, never missing: detectors judge, triggers only save them the work. All
//! shapes are short, so that windows that overlap a little cut none in two.

use crate::class::{Class, ClassSet};
use crate::masks::{Bits, Masks};

/// How far from its trigger a shape reaches at most, less one: a run of sixteen.
pub(crate) const REACH: usize = 15;
/// How far before its trigger a shape looks: an escape of three bytes.
pub(crate) const BEHIND: usize = 3;
/// How far a trigger would look back if it could: an escape of six bytes. Where it cannot, it stays.
const FAR_BEHIND: usize = 6;

/// Which positions of a window are asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<B> {
    pub(crate) counts: B,
    /// Positions of whose escapes a part may lie before the window.
    pub(crate) unseen: B,
}

impl Asked<u64> {
    /// All of a text that fits into one window.
    pub(crate) const ALL: Asked<u64> = Asked {
        counts: u64::MAX,
        unseen: 0,
    };

    /// None, where fewer windows are left than are looked at side by side.
    pub(crate) const NONE: Asked<u64> = Asked {
        counts: 0,
        unseen: 0,
    };

    /// Those of a window that begins and ends inside the text.
    pub(crate) const MIDST: Asked<u64> =
        Asked::within((u64::MAX << BEHIND) & (u64::MAX >> REACH), BEHIND);

    /// Those of a window that begins inside the text, or at its start.
    pub(crate) const fn within(counts: u64, offset: usize) -> Asked<u64> {
        let unseen = if offset == 0 {
            0
        } else {
            (1 << FAR_BEHIND) - 1
        };
        Asked { counts, unseen }
    }
}

impl<B> Asked<B> {
    /// Those of several windows, which the function lays side by side.
    #[inline(always)]
    pub(crate) fn abreast<const WINDOWS: usize>(
        windows: &[(usize, Asked<u64>); WINDOWS],
        lay: impl Fn([u64; WINDOWS]) -> B,
    ) -> Asked<B> {
        let (mut counts, mut unseen) = ([0; WINDOWS], [0; WINDOWS]);
        for ((counts, unseen), (_, asked)) in counts.iter_mut().zip(&mut unseen).zip(windows) {
            (*counts, *unseen) = (asked.counts, asked.unseen);
        }
        Asked {
            counts: lay(counts),
            unseen: lay(unseen),
        }
    }
}

/// The positions for each family of detectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Triggers<B> {
    /// A mark that is worth a look by itself: `@`, `%` or `+` or `(` before a digit, the `u` of
    /// `\u0040`.
    pub(crate) mark: B,
    /// `=`, `>` or a full-width mark that may stand between a name and a value.
    pub(crate) sign: B,
    /// A colon that may do so.
    pub(crate) colon: B,
    /// A quote behind a word: `PASSWORD '…'`.
    pub(crate) quote: B,
    /// The first dash of a flag.
    pub(crate) flag: B,
    /// The start of a run of word bytes that is long enough for a token, or of a part of one.
    pub(crate) token: B,
    /// What may be `Bearer` or `Basic`.
    pub(crate) scheme: B,
    /// The first of five dashes.
    pub(crate) dashes: B,
    /// The slash before what may be `home` or `Users`.
    pub(crate) home: B,
    /// The first mark of a hardware address.
    pub(crate) mac: B,
    /// The start of digits that may be a card, a social security or telephone number.
    pub(crate) digits: B,
    /// The second mark of a number in short groups.
    pub(crate) groups: B,
    /// Two letters and two digits.
    pub(crate) iban: B,
    /// A dot between digits.
    pub(crate) ipv4: B,
    /// A colon that may be an IPv6 address's first.
    pub(crate) ipv6: B,
}

impl<B: Bits> Triggers<B> {
    /// The triggers of a window, counted or not but for `groups`. What lies before and after the
    /// window reads as bytes of no kind.
    #[inline(always)]
    pub(crate) fn of(masks: &Masks<B>, asked: &Asked<B>, active: ClassSet) -> Triggers<B> {
        let Masks {
            digit,
            letter,
            word,
            dash,
            space,
            dot,
            colon,
            slash,
            open,
            plus,
            ..
        } = *masks;
        let marks = masks.at | masks.percent | masks.sign | plus | open;
        let word_start = word & !(word << 1);
        // Words start behind escapes too: `\n` of JSON, `%3D` of addresses.
        let seen_start = word_start | word & (slash << 2 | marks << 3);
        // A token's prefix begins a word, or a part of one behind `-` or `_`.
        let name = letter | digit;
        let token_start = word_start | letter & !(name << 1);
        let (names, dashes, digits) = (name & name >> 1, dash & dash >> 1, digit & digit >> 1);
        let dotted = dot & dot >> 5 & names >> 1 & names >> 3;
        let mut triggers = Triggers {
            mark: masks.at
                | (masks.percent | plus | open) & digit >> 1
                | masks.unicode_at & slash << 1,
            sign: masks.sign | masks.full,
            colon: colon & !(digit << 1),
            quote: masks.quote & ((space | open) << 1) & ((letter | space) << 2),
            flag: seen_start & dashes & letter >> 2,
            token: token_start & in_a_row_16(word),
            scheme: seen_start & masks.scheme,
            dashes: dashes & dashes >> 2 & dash >> 4 & !(dash << 1),
            home: slash & masks.home >> 1,
            mac: five_by_three(colon | dash) | dotted,
            digits: numbers(masks, digits, asked.unseen),
            groups: groups(masks, digits, asked.counts),
            iban: seen_start & letter & letter >> 1 & digits >> 2,
            ipv4: digit.none(),
            ipv6: digit.none(),
        };
        if active.contains(Class::Ipv4) {
            triggers.ipv4 = dot & digit << 1 & digit >> 1;
        }
        if active.contains(Class::Ipv6) {
            let near = colon >> 1 | colon >> 2 | colon >> 3 | colon >> 4 | colon >> 5;
            triggers.ipv6 = colon & near & !(colon << 1);
        }
        triggers
    }

    /// The marks that may stand between a name and a value: most names are not ours.
    #[inline(always)]
    pub(crate) fn between(&self, counts: B) -> B {
        (self.sign | self.colon) & counts
    }

    /// The starts of long words: most are no tokens.
    #[inline(always)]
    pub(crate) fn words(&self, counts: B) -> B {
        self.token & counts
    }

    /// All but those.
    #[inline(always)]
    pub(crate) fn others(&self, counts: B) -> B {
        let counted = self.mark
            | self.quote
            | self.flag
            | self.scheme
            | self.dashes
            | self.home
            | self.mac
            | self.digits
            | self.iban
            | self.ipv4
            | self.ipv6;
        counted & counts | self.groups
    }
}

impl Triggers<u64> {
    /// Those that count, with these of the marks between names and values only, and these starts
    /// of long words.
    #[inline(always)]
    pub(crate) const fn counted(self, counts: u64, names: u64, words: u64) -> Triggers<u64> {
        Triggers {
            mark: self.mark & counts,
            sign: self.sign & names,
            colon: self.colon & names,
            quote: self.quote & counts,
            flag: self.flag & counts,
            token: words,
            scheme: self.scheme & counts,
            dashes: self.dashes & counts,
            home: self.home & counts,
            mac: self.mac & counts,
            digits: self.digits & counts,
            groups: self.groups,
            iban: self.iban & counts,
            ipv4: self.ipv4 & counts,
            ipv6: self.ipv6 & counts,
        }
    }
}

impl<B: Bits> Triggers<B> {
    /// Those of one of the windows.
    #[inline(always)]
    pub(crate) fn of_window(&self, index: usize) -> Triggers<u64> {
        let take = |bits: B| bits.of_window(index);
        Triggers {
            mark: take(self.mark),
            sign: take(self.sign),
            colon: take(self.colon),
            quote: take(self.quote),
            flag: take(self.flag),
            token: take(self.token),
            scheme: take(self.scheme),
            dashes: take(self.dashes),
            home: take(self.home),
            mac: take(self.mac),
            digits: take(self.digits),
            groups: take(self.groups),
            iban: take(self.iban),
            ipv4: take(self.ipv4),
            ipv6: take(self.ipv6),
        }
    }
}

/// Where sixteen bits in a row are set.
#[inline(always)]
fn in_a_row_16<B: Bits>(mask: B) -> B {
    let two = mask & mask >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    eight & eight >> 8
}

/// Where five bits follow each other at a distance of three.
#[inline(always)]
fn five_by_three<B: Bits>(mask: B) -> B {
    let two = mask & mask >> 3;
    two & two >> 6 & mask >> 12
}

/// Where digits start that look like one of the numbers: eight or more in a row; groups of 3-2-4,
/// of 3-3-4, of 4 and at least 4, of 5 and 5, with `+` between them too, or 3 and 4 before an escape
/// such as `%20`; or a leading zero that belongs to no time or date. `two` has the pairs of digits.
#[inline(always)]
fn numbers<B: Bits>(masks: &Masks<B>, two: B, unseen: B) -> B {
    let Masks { digit, zero, .. } = *masks;
    let joint = masks.gap | masks.plus;
    let escape = masks.percent & digit >> 1;
    let start = digit & !(digit << 1) & !grown_on(masks, unseen);
    let three = two & digit >> 2;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    let before_four = joint & four >> 1;
    // An address of a machine has no group of four.
    let american = digit >> 6 & before_four >> 7;
    let in_threes =
        joint >> 3 & two >> 4 & (before_four >> 6 & !(masks.dot >> 3) | american) | escape >> 3;
    let fives = digit >> 4 & before_four >> 5 & digit >> 10;
    let in_fours = before_four >> 4 | escape >> 4 | fives;
    let leading = zero & two & !(after_date(masks) | no_number(masks, two));
    start & (eight | three & in_threes | four & in_fours | leading)
}

/// The positions behind a letter or `_` that no escape ends with: what grows there is a name.
#[inline(always)]
fn grown_on<B: Bits>(masks: &Masks<B>, unseen: B) -> B {
    let slash = masks.slash;
    let escape = slash << 2 | masks.percent << 3 | slash << 6 | unseen;
    (masks.word & !masks.dash) << 1 & !escape
}

/// Where two digits can begin no number: before a colon; with neither digit nor parenthesis beyond
/// the byte behind them; and before two more and a colon, as in `09 06:07`.
#[inline(always)]
fn no_number<B: Bits>(masks: &Masks<B>, two: B) -> B {
    let Masks {
        digit, colon, gap, ..
    } = *masks;
    let alone = !(digit >> 2) & !((digit | masks.open) >> 3);
    alone | (colon | gap & two >> 1 & colon >> 3) >> 2
}

/// The positions behind marks that stand within times, dates, addresses and paths.
#[inline(always)]
fn after_date<B: Bits>(masks: &Masks<B>) -> B {
    (masks.dash | masks.dot | masks.slash | masks.colon & masks.digit << 1) << 1
}

/// The second mark of three groups, the first of at most three digits, the others of two and more,
/// with spaces or dashes between: telephone numbers of many countries. Adding a start to a row of
/// digits carries to its end, so that all rows of a window are walked at once.
#[inline(always)]
fn groups<B: Bits>(masks: &Masks<B>, two: B, counts: B) -> B {
    let Masks {
        digit, dash, space, ..
    } = *masks;
    let start = digit & !(digit << 1) & !(two & two >> 2) & !after_date(masks) & counts;
    let mark = (dash | space) & two >> 1;
    let first = digit.carry(start) & !digit & mark;
    let second = digit.carry(first << 1) & !digit;
    second & mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::{Level, dispatch};

    fn of(text: &str) -> Triggers<u64> {
        let masks = dispatch!(Level::new(), simd => Masks::at(simd, text.as_bytes(), 0));
        let triggers = Triggers::of(&masks, &Asked::ALL, ClassSet::ALL);
        triggers.counted(u64::MAX, u64::MAX, triggers.token)
    }

    #[test]
    fn shapes_are_seen_where_they_start() {
        assert_eq!(of("a 123-45-6789").digits, 1 << 2);
        assert_eq!(of("a 415.555.2671").digits, 1 << 2);
        assert_eq!(of("a 4111 1111").digits, 1 << 2);
        assert_eq!(of("a 12345678").digits, 1 << 2);
        assert_eq!(of("a 98765 43210").digits, 1 << 2);
        assert_eq!(of("q=4111+1111").digits, 1 << 2);
        assert_eq!(of("q=4111%201111").digits, 1 << 2);
        assert_eq!(of("q=123%2045%206789").digits & 1 << 2, 1 << 2);
        assert_eq!(of("a\\n12345678").digits, 1 << 3);
        assert_eq!(of("a%3D12345678").digits, 1 << 4);
        assert_eq!(of("a\\u003d12345678").digits & 1 << 7, 1 << 7);
        assert_eq!(of("ab12345678 x_12345678").digits, 0);
        assert_eq!(of("a (02) 9374").digits, 0);
        assert_eq!(of("a 02 (93").digits, 1 << 2);
        assert_eq!(of("bob\\u0040example").mark, 1 << 4);
        assert_eq!(of("PASSWORD 'x'").quote, 1 << 9);
        assert_eq!(of("密码：x").sign, 1 << 6);
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
            "09 06:07:04 [09/Nov/2026]",
            "10.1.23.4 port 54106",
            "/usr/lib/x86_64 /host",
            "be (bad) on 100 % + more",
        ] {
            let masks = dispatch!(Level::new(), simd => Masks::at(simd, text.as_bytes(), 0));
            let triggers = Triggers::of(&masks, &Asked::ALL, ClassSet::of(Class::Email));
            let named = triggers.between(u64::MAX) | triggers.words(u64::MAX);
            let any = named | triggers.others(u64::MAX);
            assert_eq!(any, 0, "{text}: {triggers:?}");
        }
    }
}
