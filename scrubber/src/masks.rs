//! One vector pass over the bytes of a text: for every 64 bytes, one bit mask per kind of byte.
//!
//! Reads bytes only; what a pattern of bits may mean is decided in `triggers`.

use wide::u8x16;

/// Bytes per block: one bit each in a `u64`.
pub(crate) const BLOCK: usize = 64;
const LANE: usize = 16;

/// Which bytes of a block are of a kind; bit 0 is the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Masks {
    /// `0`–`9`
    pub(crate) digit: u64,
    /// ASCII letters.
    pub(crate) alpha: u64,
    /// Letters, digits, `_` and `-`.
    pub(crate) word: u64,
    /// `-`
    pub(crate) dash: u64,
    /// `-`, `.` and space: what stands between groups of digits.
    pub(crate) gap: u64,
    /// `.`
    pub(crate) dot: u64,
    /// `@` and `%`
    pub(crate) at: u64,
    /// `:`
    pub(crate) colon: u64,
    /// `=` and `>`
    pub(crate) equals: u64,
    /// `/` and `\`
    pub(crate) slash: u64,
    /// `h`, `H`, `u`, `U`: how home directories begin.
    pub(crate) home: u64,
    /// `+` and `(`: how telephone numbers begin.
    pub(crate) open: u64,
    /// `0`
    pub(crate) zero: u64,
    /// `b` and `B`: how `Bearer` and `Basic` begin.
    pub(crate) b: u64,
}

impl Masks {
    /// The masks of the up to 64 bytes at `offset`.
    #[inline]
    pub(crate) fn at(text: &[u8], offset: usize) -> Masks {
        let mut masks = Masks::default();
        let rest = text.get(offset..).unwrap_or_default();
        if let Some(block) = rest.first_chunk::<BLOCK>() {
            for (index, lane) in block.chunks_exact(LANE).enumerate() {
                if let Some(lane) = lane.first_chunk::<LANE>() {
                    masks.add(*lane, index * LANE);
                }
            }
            return masks;
        }
        let mut lanes = rest.chunks_exact(LANE);
        let mut shift = 0;
        for lane in lanes.by_ref() {
            if let Some(lane) = lane.first_chunk::<LANE>() {
                masks.add(*lane, shift);
            }
            shift += LANE;
        }
        let tail = lanes.remainder();
        if !tail.is_empty() {
            masks.add(padded(tail), shift);
        }
        masks
    }

    #[inline(always)]
    fn add(&mut self, lane: [u8; LANE], shift: usize) {
        let bytes = u8x16::new(lane);
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        let lower = bytes | u8x16::splat(0x20);
        let lower_is = |byte: u8| lower.simd_eq(u8x16::splat(byte));
        let digit = within(bytes, b'0', 9);
        let alpha = within(lower, b'a', 25);
        let dash = is(b'-');
        let dot = is(b'.');
        let put = |mask: &mut u64, lane: u8x16| *mask |= u64::from(lane.to_bitmask()) << shift;
        put(&mut self.digit, digit);
        put(&mut self.alpha, alpha);
        put(&mut self.word, digit | alpha | dash | is(b'_'));
        put(&mut self.dash, dash);
        put(&mut self.dot, dot);
        put(&mut self.gap, dash | dot | is(b' '));
        put(&mut self.at, is(b'@') | is(b'%'));
        put(&mut self.colon, is(b':'));
        put(&mut self.equals, within(bytes, b'=', 1));
        put(&mut self.slash, is(b'/') | is(b'\\'));
        put(&mut self.home, lower_is(b'h') | lower_is(b'u'));
        put(&mut self.open, is(b'+') | is(b'('));
        put(&mut self.zero, is(b'0'));
        put(&mut self.b, lower_is(b'b'));
    }
}

/// Whether each byte is one of `first` and the `more` after it.
#[inline(always)]
fn within(bytes: u8x16, first: u8, more: u8) -> u8x16 {
    let distance = bytes - u8x16::splat(first);
    distance.min(u8x16::splat(more)).simd_eq(distance)
}

/// The last bytes of the text, filled up with zeros.
#[inline(always)]
fn padded(tail: &[u8]) -> [u8; LANE] {
    let mut lane = [0; LANE];
    if let Some(slot) = lane.get_mut(..tail.len()) {
        slot.copy_from_slice(tail);
    }
    lane
}
