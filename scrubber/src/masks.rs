//! One vector pass over a window of 64 bytes, or over two windows side by side: one bit mask per
//! kind of byte.
//!
//! The windows are turned first: bit k of the n-th plane is the n-th bit of byte k. Kinds of bytes
//! are then sums of products over eight words, which is less work than comparing every byte with
//! every kind (the parallel bit streams of Cameron, "A Case Study in SIMD Text Processing with
//! Parallel Bit Streams", PPoPP 2008).
//!
//! Reads bytes only; what a pattern of bits may mean is decided in `triggers`.

use std::ops::{BitAnd, BitOr, Not, Shl, Shr};

use wide::{bytemuck, u8x16, u64x2};

/// Bytes per window: one bit each in a `u64`.
pub(crate) const BLOCK: usize = 64;
const LANE: usize = 16;

/// A bit per byte: of one window, or of two in the halves of a vector.
pub(crate) trait Bits:
    Copy
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + Not<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
{
    /// No bit.
    const NONE: Self;

    /// The sum as numbers, window by window: a carry walks along a row of bits.
    fn carry(self, bits: Self) -> Self;
}

impl Bits for u64 {
    const NONE: u64 = 0;

    #[inline(always)]
    fn carry(self, bits: u64) -> u64 {
        self.wrapping_add(bits)
    }
}

impl Bits for u64x2 {
    const NONE: u64x2 = u64x2::splat(0);

    #[inline(always)]
    fn carry(self, bits: u64x2) -> u64x2 {
        self + bits
    }
}

/// Which bytes of a window are of a kind; bit 0 is the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Masks<B> {
    /// `0`–`9`
    pub(crate) digit: B,
    /// Letters of ASCII.
    pub(crate) letter: B,
    /// Letters, digits, `_` and `-`.
    pub(crate) word: B,
    /// `-`
    pub(crate) dash: B,
    /// Space.
    pub(crate) space: B,
    /// `-`, `.` and space: what stands between groups of digits.
    pub(crate) gap: B,
    /// `.`
    pub(crate) dot: B,
    /// `:`
    pub(crate) colon: B,
    /// `/` and `\`
    pub(crate) slash: B,
    /// `'`
    pub(crate) quote: B,
    /// `0`
    pub(crate) zero: B,
    /// `@`
    pub(crate) at: B,
    /// `%`
    pub(crate) percent: B,
    /// `+`
    pub(crate) plus: B,
    /// `(`
    pub(crate) open: B,
    /// `=` and `>`
    pub(crate) sign: B,
    /// The first byte of full-width marks.
    pub(crate) full: B,
    /// `b` before `ea` or `as`, in any case: how `Bearer` and `Basic` begin.
    pub(crate) scheme: B,
    /// `hom` and `use`, in any case: how `home` and `Users` begin.
    pub(crate) home: B,
    /// `u` of a `\u0040`, or what looks like one.
    pub(crate) unicode_at: B,
}

/// The bits of the windows' bytes, the lowest first.
#[derive(Clone, Copy)]
struct Planes<B>([B; 8]);

impl Masks<u64> {
    /// The masks of the up to 64 bytes at `offset`, in as many lanes as there are bytes for.
    #[inline]
    pub(crate) fn at(text: &[u8], offset: usize) -> Masks<u64> {
        let rest = text.get(offset..).unwrap_or_default();
        match rest.len() {
            0 => Planes([0; 8]).masks(),
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
    fn of<const LANES: usize>(lanes: [u8x16; LANES]) -> Masks<u64> {
        let mut planes = Planes([0; 8]);
        for (index, bytes) in lanes.into_iter().enumerate() {
            planes.add(bytes, index * LANE);
        }
        planes.masks()
    }
}

impl Masks<u64x2> {
    /// The masks of the 64 bytes at each of two places.
    #[inline(always)]
    pub(crate) fn at_both(text: &[u8], first: usize, second: usize) -> Masks<u64x2> {
        let [a, b, c, d] = columns(text, first);
        let [e, f, g, h] = columns(text, second);
        let rows = [
            a.unpack_lo(e),
            a.unpack_hi(e),
            b.unpack_lo(f),
            b.unpack_hi(f),
            c.unpack_lo(g),
            c.unpack_hi(g),
            d.unpack_lo(h),
            d.unpack_hi(h),
        ];
        Planes(turned(rows)).masks()
    }
}

impl Planes<u64> {
    #[inline(always)]
    fn add(&mut self, lane: u8x16, shift: usize) {
        let mut bytes = lane;
        for plane in self.0.iter_mut().rev() {
            *plane |= u64::from(bytes.to_bitmask()) << shift;
            // The next bit becomes the sign.
            bytes += bytes;
        }
    }
}

impl<B: Bits> Planes<B> {
    /// The kinds, by the two halves of their codes: `0x2d` is a dash.
    #[inline(always)]
    fn masks(self) -> Masks<B> {
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
        let space = marks & h0 & l0;
        let zero = numbers & h0 & l0;
        let backslash = capitals & b4 & hc & l0;
        let (low, high) = (letters & !b4, letters & b4);
        let (a, b, e) = (low & h0 & l1, low & h0 & l2, low & h4 & l1);
        let (h, m, o) = (low & h8 & l0, low & hc & l1, low & hc & l3);
        let (s, u) = (high & h0 & l3, high & h4 & l1);
        Masks {
            digit,
            letter,
            word: digit | letter | dash | capitals & b4 & hc & l3,
            dash,
            space,
            gap: dash | dot | space,
            dot,
            colon: numbers & h8 & l2,
            slash: marks & hc & l3 | backslash,
            quote: marks & h4 & l3,
            zero,
            at: capitals & !b4 & h0 & l0,
            percent: marks & h4 & l1,
            plus: marks & h8 & l3,
            open: marks & h8 & l0,
            sign: numbers & hc & (l1 | l2),
            full: b7 & b6 & b5 & !b4 & hc & l3,
            scheme: b & (e >> 1 & a >> 2 | a >> 1 & s >> 2),
            home: h & o >> 1 & m >> 2 | u & s >> 1 & e >> 2,
            unicode_at: u & zero >> 1 & zero >> 2 & zero >> 4,
        }
    }
}

/// The bytes of a window, those that lie eight apart together, two such columns in a vector.
#[inline(always)]
fn columns(text: &[u8], offset: usize) -> [u64x2; 4] {
    let rest = text.get(offset..).unwrap_or_default();
    let Some(block) = rest.first_chunk::<BLOCK>() else {
        return [u64x2::NONE; 4];
    };
    let [a, b, c, d]: [u8x16; 4] = bytemuck::cast(*block);
    let (low, high) = (u8x16::unpack_low, u8x16::unpack_high);
    let (r04, r15, r26, r37) = (low(a, c), high(a, c), low(b, d), high(b, d));
    let (even, odd) = (low(r04, r26), low(r15, r37));
    let (even_high, odd_high) = (high(r04, r26), high(r15, r37));
    [
        bytemuck::cast(low(even, odd)),
        bytemuck::cast(high(even, odd)),
        bytemuck::cast(low(even_high, odd_high)),
        bytemuck::cast(high(even_high, odd_high)),
    ]
}

/// Turns eight rows of eight bits at every byte: the n-th bits of all rows become the n-th row.
/// Halves of halves change places, as in Warren, "Hacker's Delight", 7-3.
#[inline(always)]
fn turned(rows: [u64x2; 8]) -> [u64x2; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    let halves = u64x2::splat(0x0f0f_0f0f_0f0f_0f0f);
    let (a, e) = exchanged::<4>(a, e, halves);
    let (b, f) = exchanged::<4>(b, f, halves);
    let (c, g) = exchanged::<4>(c, g, halves);
    let (d, h) = exchanged::<4>(d, h, halves);
    let quarters = u64x2::splat(0x3333_3333_3333_3333);
    let (a, c) = exchanged::<2>(a, c, quarters);
    let (b, d) = exchanged::<2>(b, d, quarters);
    let (e, g) = exchanged::<2>(e, g, quarters);
    let (f, h) = exchanged::<2>(f, h, quarters);
    let eighths = u64x2::splat(0x5555_5555_5555_5555);
    let (a, b) = exchanged::<1>(a, b, eighths);
    let (c, d) = exchanged::<1>(c, d, eighths);
    let (e, f) = exchanged::<1>(e, f, eighths);
    let (g, h) = exchanged::<1>(g, h, eighths);
    [a, b, c, d, e, f, g, h]
}

/// The upper bits of one row in exchange for the lower ones of another.
#[inline(always)]
fn exchanged<const BY: u32>(one: u64x2, other: u64x2, low: u64x2) -> (u64x2, u64x2) {
    let moved = (one >> BY ^ other) & low;
    (one ^ moved << BY, other ^ moved)
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

    /// One of two windows.
    fn of_window(masks: &Masks<u64x2>, index: usize) -> Masks<u64> {
        let of = |bits: u64x2| bits.to_array()[index];
        Masks {
            digit: of(masks.digit),
            letter: of(masks.letter),
            word: of(masks.word),
            dash: of(masks.dash),
            space: of(masks.space),
            gap: of(masks.gap),
            dot: of(masks.dot),
            colon: of(masks.colon),
            slash: of(masks.slash),
            quote: of(masks.quote),
            zero: of(masks.zero),
            at: of(masks.at),
            percent: of(masks.percent),
            plus: of(masks.plus),
            open: of(masks.open),
            sign: of(masks.sign),
            full: of(masks.full),
            scheme: of(masks.scheme),
            home: of(masks.home),
            unicode_at: of(masks.unicode_at),
        }
    }

    fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
        let some = prop_oneof![any::<u8>(), 0x20u8..0x7f, Just(b'0'), Just(b'u')];
        proptest::collection::vec(some, length)
    }

    proptest! {
        #[test]
        fn every_mask_is_right(text in bytes(1..200), at in 0usize..3) {
            let offset = at * BLOCK;
            let masks = Masks::at(&text, offset);
            let is = |kind: fn(u8) -> bool| slowly(&text, offset, kind);
            prop_assert_eq!(masks.digit, is(|byte| byte.is_ascii_digit()));
            prop_assert_eq!(masks.word, is(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
            prop_assert_eq!(masks.dash, is(|byte| byte == b'-'));
            prop_assert_eq!(masks.space, is(|byte| byte == b' '));
            prop_assert_eq!(masks.gap, is(|byte| b"-. ".contains(&byte)));
            prop_assert_eq!(masks.dot, is(|byte| byte == b'.'));
            prop_assert_eq!(masks.colon, is(|byte| byte == b':'));
            prop_assert_eq!(masks.slash, is(|byte| b"/\\".contains(&byte)));
            prop_assert_eq!(masks.quote, is(|byte| byte == b'\''));
            prop_assert_eq!(masks.zero, is(|byte| byte == b'0'));
            prop_assert_eq!(masks.at, is(|byte| byte == b'@'));
            prop_assert_eq!(masks.percent, is(|byte| byte == b'%'));
            prop_assert_eq!(masks.plus, is(|byte| byte == b'+'));
            prop_assert_eq!(masks.open, is(|byte| byte == b'('));
            prop_assert_eq!(masks.sign, is(|byte| b"=>".contains(&byte)));
            prop_assert_eq!(masks.full, is(|byte| byte == 0xef));
            prop_assert_eq!(masks.letter, is(|byte| byte.is_ascii_alphabetic()));
            let row = |kinds: &[&[u8]]| {
                let of = |(index, kind): (usize, &&[u8])| {
                    slowly(&text, offset, |byte| kind.contains(&byte)) >> index
                };
                kinds.iter().enumerate().map(of).fold(u64::MAX, |all, bits| all & bits)
            };
            let scheme = row(&[b"bB", b"eE", b"aA"]) | row(&[b"bB", b"aA", b"sS"]);
            prop_assert_eq!(masks.scheme, scheme);
            let home = row(&[b"hH", b"oO", b"mM"]) | row(&[b"uU", b"sS", b"eE"]);
            prop_assert_eq!(masks.home, home);
            let any: Vec<u8> = (0..=255).collect();
            prop_assert_eq!(masks.unicode_at & !(row(&[b"uU", b"0", b"0", &any, b"0"])), 0);
            prop_assert_eq!(row(&[b"u", b"0", b"0", b"4", b"0"]) & !masks.unicode_at, 0);
        }

        #[test]
        fn two_windows_are_as_one_and_one(text in bytes(64..200), first in 0usize..100, second in 0usize..100) {
            let last = text.len() - BLOCK;
            let (first, second) = (first.min(last), second.min(last));
            let both = Masks::at_both(&text, first, second);
            prop_assert_eq!(of_window(&both, 0), Masks::at(&text, first));
            prop_assert_eq!(of_window(&both, 1), Masks::at(&text, second));
        }
    }
}
