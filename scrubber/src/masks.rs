//! One pass over a window of 64 bytes, or over two or four windows side by side: one bit mask per
//! kind of byte.
//!
//! The windows are turned first: bit k of the n-th plane is the n-th bit of byte k. Kinds of bytes
//! are then sums of products over eight words, which is less work than comparing every byte with
//! every kind (the parallel bit streams of Cameron, "A Case Study in SIMD Text Processing with
//! Parallel Bit Streams", PPoPP 2008).
//!
//! Reads bytes only; what a pattern of bits may mean is decided in `triggers`. Everything here is
//! compiled once for every level of vector instructions, into whatever was dispatched by the level:
//! hence `inline(always)`.

use std::ops::{BitAnd, BitOr, BitXor, Not, Shl, Shr};

use fearless_simd::prelude::*;
use fearless_simd::{u8x16, u64x2, u64x4};

/// Bytes per window: one bit each in a `u64`.
pub(crate) const BLOCK: usize = 64;
const LANE: usize = 16;

/// A bit per byte: of one window, or of several in the parts of a vector.
pub(crate) trait Bits:
    Copy
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
{
    /// The sum as numbers, window by window: a carry walks along a row of bits.
    fn carry(self, bits: Self) -> Self;

    /// The bits of one window.
    fn of_window(self, index: usize) -> u64;

    /// No bit, for as many windows.
    #[inline(always)]
    fn none(self) -> Self {
        self & !self
    }
}

impl Bits for u64 {
    #[inline(always)]
    fn carry(self, bits: u64) -> u64 {
        self.wrapping_add(bits)
    }

    #[inline(always)]
    fn of_window(self, _: usize) -> u64 {
        self
    }
}

impl<S: Simd> Bits for u64x2<S> {
    #[inline(always)]
    fn carry(self, bits: u64x2<S>) -> u64x2<S> {
        self + bits
    }

    #[inline(always)]
    fn of_window(self, index: usize) -> u64 {
        self.as_slice().get(index).copied().unwrap_or(0)
    }
}

impl<S: Simd> Bits for u64x4<S> {
    #[inline(always)]
    fn carry(self, bits: u64x4<S>) -> u64x4<S> {
        self + bits
    }

    #[inline(always)]
    fn of_window(self, index: usize) -> u64 {
        self.as_slice().get(index).copied().unwrap_or(0)
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
    #[inline(always)]
    pub(crate) fn at<S: Simd>(simd: S, text: &[u8], offset: usize) -> Masks<u64> {
        let rest = text.get(offset..).unwrap_or_default();
        let mut planes = Planes([0; 8]);
        match rest.len().min(BLOCK).checked_sub(LANE) {
            None => planes.add(short(simd, rest), 0),
            // Whole lanes, and a last one that overlaps them: both say the same there.
            Some(last) => {
                planes.add(lane(simd, rest, 0), 0);
                if last > LANE {
                    planes.add(lane(simd, rest, LANE), LANE);
                }
                if last > 2 * LANE {
                    planes.add(lane(simd, rest, 2 * LANE), 2 * LANE);
                }
                planes.add(lane(simd, rest, last), last);
            }
        }
        planes.masks()
    }
}

impl<S: Simd> Masks<u64x2<S>> {
    /// The masks of the 64 bytes at each of two places.
    #[inline(always)]
    pub(crate) fn of_two(simd: S, text: &[u8], places: [usize; 2]) -> Masks<u64x2<S>> {
        let [first, second] = places;
        let [a01, a23, a45, a67] = columns(simd, text, first);
        let [b01, b23, b45, b67] = columns(simd, text, second);
        let low = [
            a01.zip_low(b01),
            a01.zip_high(b01),
            a23.zip_low(b23),
            a23.zip_high(b23),
        ];
        let high = [
            a45.zip_low(b45),
            a45.zip_high(b45),
            a67.zip_low(b67),
            a67.zip_high(b67),
        ];
        turned(low, high, |pattern| u64x2::splat(simd, pattern)).masks()
    }
}

impl<S: Simd> Masks<u64x4<S>> {
    /// The masks of the 64 bytes at each of four places.
    #[inline(always)]
    pub(crate) fn of_four(simd: S, text: &[u8], places: [usize; 4]) -> Masks<u64x4<S>> {
        let [first, second, third, fourth] = places;
        let [a01, a23, a45, a67] = columns(simd, text, first);
        let [b01, b23, b45, b67] = columns(simd, text, second);
        let [c01, c23, c45, c67] = columns(simd, text, third);
        let [d01, d23, d45, d67] = columns(simd, text, fourth);
        let (r01, r23) = ([a01, b01, c01, d01], [a23, b23, c23, d23]);
        let (r45, r67) = ([a45, b45, c45, d45], [a67, b67, c67, d67]);
        let low = [lower(r01), upper(r01), lower(r23), upper(r23)];
        let high = [lower(r45), upper(r45), lower(r67), upper(r67)];
        turned(low, high, |pattern| u64x4::splat(simd, pattern)).masks()
    }
}

impl Planes<u64> {
    /// Adds the bits of a lane at its place.
    #[inline(always)]
    fn add<S: Simd>(&mut self, lane: u8x16<S>, place: usize) {
        let mut bytes = lane;
        for plane in self.0.iter_mut().rev() {
            *plane |= signs(bytes) << place;
            // The next bit becomes the sign.
            bytes += bytes;
        }
    }
}

/// The highest bit of every byte.
#[inline(always)]
fn signs<S: Simd>(bytes: u8x16<S>) -> u64 {
    let signed: fearless_simd::i8x16<S> = bytes.bitcast();
    signed.simd_lt(0).to_bitmask()
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
fn columns<S: Simd>(simd: S, text: &[u8], offset: usize) -> [u64x2<S>; 4] {
    let rest = text.get(offset..).unwrap_or_default();
    let block = rest.first_chunk::<BLOCK>().unwrap_or(&[0; BLOCK]);
    let (lanes, _) = block.as_chunks::<LANE>();
    let &[a, b, c, d] = lanes else {
        return [u64x2::splat(simd, 0); 4];
    };
    let (a, b) = (u8x16::simd_from(simd, a), u8x16::simd_from(simd, b));
    let (c, d) = (u8x16::simd_from(simd, c), u8x16::simd_from(simd, d));
    let (r04, r15, r26, r37) = (a.zip_low(c), a.zip_high(c), b.zip_low(d), b.zip_high(d));
    let (even, odd) = (r04.zip_low(r26), r15.zip_low(r37));
    let (even_high, odd_high) = (r04.zip_high(r26), r15.zip_high(r37));
    [
        even.zip_low(odd).bitcast(),
        even.zip_high(odd).bitcast(),
        even_high.zip_low(odd_high).bitcast(),
        even_high.zip_high(odd_high).bitcast(),
    ]
}

/// The first of two columns of four windows.
#[inline(always)]
fn lower<S: Simd>([a, b, c, d]: [u64x2<S>; 4]) -> u64x4<S> {
    a.zip_low(b).combine(c.zip_low(d))
}

/// The second of two columns of four windows.
#[inline(always)]
fn upper<S: Simd>([a, b, c, d]: [u64x2<S>; 4]) -> u64x4<S> {
    a.zip_high(b).combine(c.zip_high(d))
}

/// Turns eight rows of eight bits at every byte: the n-th bits of all rows become the n-th row.
/// Halves of halves change places, as in Warren, "Hacker's Delight", 7-3.
#[inline(always)]
fn turned<B: Bits>(low: [B; 4], high: [B; 4], every: impl Fn(u64) -> B) -> Planes<B> {
    let ([a, b, c, d], [e, f, g, h]) = (low, high);
    let halves = every(0x0f0f_0f0f_0f0f_0f0f);
    let (a, e) = exchanged::<4, B>(a, e, halves);
    let (b, f) = exchanged::<4, B>(b, f, halves);
    let (c, g) = exchanged::<4, B>(c, g, halves);
    let (d, h) = exchanged::<4, B>(d, h, halves);
    let quarters = every(0x3333_3333_3333_3333);
    let (a, c) = exchanged::<2, B>(a, c, quarters);
    let (b, d) = exchanged::<2, B>(b, d, quarters);
    let (e, g) = exchanged::<2, B>(e, g, quarters);
    let (f, h) = exchanged::<2, B>(f, h, quarters);
    let eighths = every(0x5555_5555_5555_5555);
    let (a, b) = exchanged::<1, B>(a, b, eighths);
    let (c, d) = exchanged::<1, B>(c, d, eighths);
    let (e, f) = exchanged::<1, B>(e, f, eighths);
    let (g, h) = exchanged::<1, B>(g, h, eighths);
    Planes([a, b, c, d, e, f, g, h])
}

/// The upper bits of one row in exchange for the lower ones of another.
#[inline(always)]
fn exchanged<const BY: u32, B: Bits>(one: B, other: B, low: B) -> (B, B) {
    let moved = (one >> BY ^ other) & low;
    (one ^ moved << BY, other ^ moved)
}

/// The sixteen bytes at a place.
#[inline(always)]
fn lane<S: Simd>(simd: S, rest: &[u8], place: usize) -> u8x16<S> {
    let bytes = rest
        .get(place..)
        .and_then(|lane| lane.first_chunk::<LANE>());
    u8x16::simd_from(simd, bytes.copied().unwrap_or_default())
}

/// Fewer bytes than sixteen, filled up with zeros. Read as the first and the last eight or four, laid
/// over each other, which is faster than a copy of unknown length.
#[inline(always)]
fn short<S: Simd>(simd: S, rest: &[u8]) -> u8x16<S> {
    let far = |size: usize| u32::try_from(8 * rest.len().saturating_sub(size)).unwrap_or(0);
    let bytes = if let (Some(head), Some(last)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>())
    {
        let last = u128::from(u64::from_le_bytes(*last)) << (far(8) & 127);
        u128::from(u64::from_le_bytes(*head)) | last
    } else if let (Some(head), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        let last = u64::from(u32::from_le_bytes(*last)) << (far(4) & 63);
        u128::from(u64::from(u32::from_le_bytes(*head)) | last)
    } else {
        rest.iter()
            .rev()
            .fold(0, |bytes, byte| bytes << 8 | u128::from(*byte))
    };
    u8x16::simd_from(simd, bytes.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    /// The same, byte by byte.
    fn slowly(text: &[u8], offset: usize, kind: impl Fn(u8) -> bool) -> u64 {
        let block = text.iter().skip(offset).take(BLOCK).enumerate();
        block
            .filter(|(_, byte)| kind(**byte))
            .fold(0, |mask, (index, _)| mask | 1 << index)
    }

    /// One of several windows.
    fn of_window<B: Bits>(masks: &Masks<B>, index: usize) -> Masks<u64> {
        let of = |bits: B| bits.of_window(index);
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
            let masks = dispatch!(Level::new(), simd => Masks::at(simd, &text, offset));
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
        fn windows_abreast_are_as_one_by_one(
            text in bytes(64..300),
            places in proptest::array::uniform4(0usize..300),
        ) {
            let places = places.map(|place| place.min(text.len() - BLOCK));
            for level in [Level::baseline(), Level::new()] {
                dispatch!(level, simd => {
                    let (four, two) = (
                        Masks::of_four(simd, &text, places),
                        Masks::of_two(simd, &text, [places[0], places[1]]),
                    );
                    for (index, place) in places.into_iter().enumerate() {
                        let alone = Masks::at(simd, &text, place);
                        prop_assert_eq!(of_window(&four, index), alone);
                        if index < 2 {
                            prop_assert_eq!(of_window(&two, index), alone);
                        }
                    }
                    Ok(())
                })?;
            }
        }
    }
}
