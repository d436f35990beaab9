//! Texts that may stand anywhere in a value, found by a few of their bytes.
//!
//! Any *stride* neighbouring positions within a text hold one of the positions that are looked at,
//! so of each text the grams at so many positions, where they are rarest, are put into a table
//! (after S. Wu and U. Manber, "A fast algorithm for multi-pattern searching", 1994).

use super::filter::Filtered;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What makes the two cases of a letter one (and a few other bytes, which a comparison in full tells
/// apart).
const FOLD: u8 = 0x20;

/// Texts by grams of `SIZE` bytes, of which one in `STRIDE` is looked at: they have
/// `SIZE + STRIDE - 1` bytes at least.
#[derive(Debug, Default)]
pub(super) struct Grams<const SIZE: usize, const STRIDE: usize> {
    /// The number of the text, and where in it the gram stands.
    table: Filtered<(u32, u32)>,
}

/// The first bytes, case aside.
#[inline]
fn gram<const SIZE: usize>(bytes: &[u8]) -> u64 {
    let folded = |key: u64, byte: &u8| key << 8 | u64::from(byte | FOLD);
    let bytes = bytes.first_chunk::<SIZE>();
    bytes.map_or(0, |bytes| bytes.iter().rev().fold(0, folded))
}

impl<const SIZE: usize, const STRIDE: usize> Grams<SIZE, STRIDE> {
    /// Bytes of the shortest text.
    pub(super) const SHORTEST: usize = SIZE + STRIDE - 1;

    pub(super) fn new(texts: &[(u32, &[u8])]) -> Self {
        // How many texts have a gram: those of paths that every other text has are shunned.
        let mut shared: HashMap<u64, u32, FixedState> = HashMap::default();
        for (_, text) in texts {
            for window in text.windows(SIZE) {
                *shared.entry(gram::<SIZE>(window)).or_default() += 1;
            }
        }
        let mut pairs = Vec::with_capacity(texts.len() * STRIDE);
        for (number, text) in texts {
            let cost = |window: &[u8]| -> u32 {
                let grams = window.windows(SIZE).map(gram::<SIZE>);
                grams.filter_map(|gram| shared.get(&gram)).sum()
            };
            let stretches = text.windows(Self::SHORTEST).enumerate();
            let rarest = stretches.min_by_key(|(_, stretch)| cost(stretch));
            let Some((from, stretch)) = rarest else {
                continue;
            };
            for (at, window) in (from..).zip(stretch.windows(SIZE)) {
                if let Ok(at) = u32::try_from(at) {
                    pairs.push((gram::<SIZE>(window), (*number, at)));
                }
            }
        }
        Grams {
            table: Filtered::new(pairs),
        }
    }

    /// Hands over the texts that may stand in a value, and where they would begin.
    #[inline]
    pub(super) fn each(&self, value: &[u8], found: &mut impl FnMut(u32, usize)) {
        if self.table.is_empty() {
            return;
        }
        for (step, window) in value.windows(SIZE).step_by(STRIDE).enumerate() {
            let gram = gram::<SIZE>(window);
            if !self.table.may_have(gram) {
                continue;
            }
            for (number, offset) in self.table.of_likely(gram) {
                if let Some(from) = (step * STRIDE).checked_sub(*offset as usize) {
                    found(*number, from);
                }
            }
        }
    }
}
