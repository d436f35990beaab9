//! One vector pass over a window of 64 bytes: one bit mask per kind of byte.
//!
//! The window is turned first: bit k of the n-th plane is the n-th bit of byte k. Kinds of bytes are
//! then sums of products over eight words of 64 bits, which is less work than comparing every byte
//! with every kind (the parallel bit streams of Cameron, "A Case Study in SIMD Text Processing with
//! Parallel Bit Streams", PPoPP 2008).
//!
//! Reads bytes only; what a pattern of bits may mean is decided in `triggers`.

use wide::u8x16;

/// Bytes per window: one bit each in a `u64`.
pub(crate) const BLOCK: usize = 64;
const LANE: usize = 16;

/// Which bytes of a window are of a kind; bit 0 is the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Masks {
    /// `0`–`9`
    pub(crate) digit: u64,
    /// Letters of ASCII.
    pub(crate) letter: u64,
    /// Letters, digits, `_` and `-`.
    pub(crate) word: u64,
    /// `-`
    pub(crate) dash: u64,
    /// `-`, `.` and space: what stands between groups of digits.
    pub(crate) gap: u64,
    /// `.`
    pub(crate) dot: u64,
    /// `:`
    pub(crate) colon: u64,
    /// `/` and `\`
    pub(crate) slash: u64,
    /// `0`
    pub(crate) zero: u64,
    /// `@`, `%`, `=`, `>`, `+` and `(`: marks that are each worth a look.
    pub(crate) mark: u64,
    /// `b` before `e` or `a`, in any case: how `Bearer` and `Basic` begin.
    pub(crate) scheme: u64,
    /// `ho` and `us`, in any case: how `home` and `Users` begin.
    pub(crate) home: u64,
}

/// The bits of a window's bytes, the lowest first.
#[derive(Clone, Copy)]
struct Planes([u64; 8]);

impl Masks {
    /// The masks of the up to 64 bytes at `offset`, in as many lanes as there are bytes for.
    #[inline]
    pub(crate) fn at(text: &[u8], offset: usize) -> Masks {
        let rest = text.get(offset..).unwrap_or_default();
        match rest.len() {
            0 => Masks::default(),
            1..=16 => Masks::of([tail(text, rest)]),
            17..=32 => Masks::of([lane(rest, 0), tail(text, rest)]),
            33..=48 => Masks::of([lane(rest, 0), lane(rest, 1), tail(text, rest)]),
            49..64 => Masks::of([
                lane(rest, 0),
                lane(rest, 1),
                lane(rest, 2),
                tail(text, rest),
            ]),
            _ => Masks::of([lane(rest, 0), lane(rest, 1), lane(rest, 2), lane(rest, 3)]),
        }
    }

    #[inline(always)]
    fn of<const LANES: usize>(lanes: [u8x16; LANES]) -> Masks {
        let mut planes = Planes([0; 8]);
        for (index, bytes) in lanes.into_iter().enumerate() {
            planes.add(bytes, index * LANE);
        }
        planes.masks()
    }
}

impl Planes {
    #[inline(always)]
    fn add(&mut self, lane: u8x16, shift: usize) {
        let mut bytes = lane;
        for plane in self.0.iter_mut().rev() {
            *plane |= u64::from(bytes.to_bitmask()) << shift;
            // The next bit becomes the sign.
            bytes += bytes;
        }
    }

    /// The kinds, by the two halves of their codes: `0x2d` is a dash.
    #[inline(always)]
    const fn masks(self) -> Masks {
        let Planes([b0, b1, b2, b3, b4, b5, b6, b7]) = self;
        let marks = !b7 & !b6 & b5 & !b4;
        let numbers = !b7 & !b6 & b5 & b4;
        let letters = !b7 & b6;
        let capitals = letters & !b5;
        // Lower halves from 0 to 3, from 4 to 7 and so on, and their places in there.
        let (h0, h4, h8, hc) = (!b3 & !b2, !b3 & b2, b3 & !b2, b3 & b2);
        let (l0, l1, l2, l3) = (!b1 & !b0, !b1 & b0, b1 & !b0, b1 & b0);
        let digit = numbers & (!b3 | h8 & !b1);
        let letter = letters & (b4 | b3 | b2 | b1 | b0) & !(b4 & (hc | h8 & l3));
        let dash = marks & hc & l1;
        let dot = marks & hc & l2;
        let (low, high) = (letters & !b4, letters & b4);
        let (b, e_or_a) = (low & h0 & l2, low & !b3 & l1);
        let (h, o, u, s) = (low & h8 & l0, low & hc & l3, high & h4 & l1, high & h0 & l3);
        Masks {
            digit,
            letter,
            word: digit | letter | dash | capitals & b4 & hc & l3,
            dash,
            gap: dash | dot | marks & h0 & l0,
            dot,
            colon: numbers & h8 & l2,
            slash: marks & hc & l3 | capitals & b4 & hc & l0,
            zero: numbers & h0 & l0,
            mark: capitals & !b4 & h0 & l0
                | marks & (h4 & l1 | h8 & (l0 | l3))
                | numbers & hc & (l1 | l2),
            scheme: b & e_or_a >> 1,
            home: h & o >> 1 | u & s >> 1,
        }
    }
}

/// A whole lane.
#[inline(always)]
fn lane(rest: &[u8], index: usize) -> u8x16 {
    let bytes = rest
        .get(index * LANE..)
        .and_then(|lane| lane.first_chunk::<LANE>());
    u8x16::new(bytes.copied().unwrap_or_default())
}

/// The last lane, filled up with zeros. Read as the last bytes of the text and shifted into place,
/// which is faster than a copy of unknown length.
#[inline(always)]
fn tail(text: &[u8], rest: &[u8]) -> u8x16 {
    let missing = u32::try_from(rest.len().wrapping_neg() % LANE).unwrap_or(0);
    let bytes = if let Some(last) = text.last_chunk::<LANE>() {
        u128::from_le_bytes(*last) >> (8 * missing)
    } else if let (Some(head), Some(last)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        let high = u64::from_le_bytes(*last)
            .checked_shr(8 * missing)
            .unwrap_or(0);
        u128::from(u64::from_le_bytes(*head)) | u128::from(high) << 64
    } else {
        rest.iter()
            .rev()
            .fold(0, |bytes, byte| bytes << 8 | u128::from(*byte))
    };
    u8x16::new(bytes.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, byte by byte.
    fn slowly(text: &[u8], offset: usize, kind: impl Fn(u8) -> bool) -> u64 {
        let block = text.iter().skip(offset).take(BLOCK).enumerate();
        block
            .filter(|(_, byte)| kind(**byte))
            .fold(0, |mask, (index, _)| mask | 1 << index)
    }

    proptest! {
        #[test]
        fn every_mask_is_right(
            text in proptest::collection::vec(prop_oneof![any::<u8>(), 0x20u8..0x7f], 1..200),
            at in 0usize..3,
        ) {
            let offset = at * BLOCK;
            let masks = Masks::at(&text, offset);
            let is = |kind: fn(u8) -> bool| slowly(&text, offset, kind);
            prop_assert_eq!(masks.digit, is(|byte| byte.is_ascii_digit()));
            prop_assert_eq!(masks.word, is(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
            prop_assert_eq!(masks.dash, is(|byte| byte == b'-'));
            prop_assert_eq!(masks.gap, is(|byte| b"-. ".contains(&byte)));
            prop_assert_eq!(masks.dot, is(|byte| byte == b'.'));
            prop_assert_eq!(masks.colon, is(|byte| byte == b':'));
            prop_assert_eq!(masks.slash, is(|byte| b"/\\".contains(&byte)));
            prop_assert_eq!(masks.zero, is(|byte| byte == b'0'));
            prop_assert_eq!(masks.mark, is(|byte| b"@%=>+(".contains(&byte)));
            prop_assert_eq!(masks.letter, is(|byte| byte.is_ascii_alphabetic()));
            let pair = |first: &[u8], second: &[u8]| {
                let of = |kind: &[u8]| slowly(&text, offset, |byte| kind.contains(&byte));
                of(first) & of(second) >> 1
            };
            prop_assert_eq!(masks.scheme, pair(b"bB", b"eEaA"));
            prop_assert_eq!(masks.home, pair(b"hH", b"oO") | pair(b"uU", b"sS"));
        }
    }
}
