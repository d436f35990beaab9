//! One vector pass over a window of 64 bytes: one bit mask per kind of byte.
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
    /// `b`, `h` and `u` in any case: how `Bearer`, `home` and `Users` begin.
    pub(crate) initial: u64,
}

impl Masks {
    const NONE: Masks = Masks {
        digit: 0,
        word: 0,
        dash: 0,
        gap: 0,
        dot: 0,
        colon: 0,
        slash: 0,
        zero: 0,
        mark: 0,
        initial: 0,
    };

    /// The masks of the up to 64 bytes at `offset`, in as many lanes as there are bytes for.
    #[inline]
    pub(crate) fn at(text: &[u8], offset: usize) -> Masks {
        let rest = text.get(offset..).unwrap_or_default();
        match rest.len() {
            0 => Masks::NONE,
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
        let mut masks = Masks::NONE;
        for (index, bytes) in lanes.into_iter().enumerate() {
            masks.add(bytes, index * LANE);
        }
        masks
    }

    #[inline(always)]
    fn add(&mut self, bytes: u8x16, shift: usize) {
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        let lower = bytes | u8x16::splat(0x20);
        let lower_is = |byte: u8| lower.simd_eq(u8x16::splat(byte));
        let digit = within(bytes, b'0', 9);
        let alpha = within(lower, b'a', 25);
        let dash = is(b'-');
        let dot = is(b'.');
        let mark = is(b'@') | is(b'%') | is(b'+') | is(b'(') | within(bytes, b'=', 1);
        let initial = lower_is(b'b') | lower_is(b'h') | lower_is(b'u');
        let put = |mask: &mut u64, lane: u8x16| *mask |= u64::from(lane.to_bitmask()) << shift;
        put(&mut self.digit, digit);
        put(&mut self.word, digit | alpha | dash | is(b'_'));
        put(&mut self.dash, dash);
        put(&mut self.dot, dot);
        put(&mut self.gap, dash | dot | is(b' '));
        put(&mut self.colon, is(b':'));
        put(&mut self.slash, is(b'/') | is(b'\\'));
        put(&mut self.zero, is(b'0'));
        put(&mut self.mark, mark);
        put(&mut self.initial, initial);
    }
}

/// Whether each byte is one of `first` and the `more` after it.
#[inline(always)]
fn within(bytes: u8x16, first: u8, more: u8) -> u8x16 {
    let distance = bytes - u8x16::splat(first);
    distance.min(u8x16::splat(more)).simd_eq(distance)
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
        fn every_mask_is_right(text in proptest::collection::vec(any::<u8>(), 1..200), at in 0usize..3) {
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
            prop_assert_eq!(masks.initial, is(|byte| b"bBhHuU".contains(&byte)));
        }
    }
}
