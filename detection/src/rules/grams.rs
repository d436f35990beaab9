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
const FOLD: u64 = 0x2020_2020_2020_2020;

/// Positions that are looked at in one go.
const BLOCK: usize = 64;

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
    bytes.first_chunk::<SIZE>().map_or(0, of_chunk)
}

/// The bytes, the first of all lowest, case aside: one look at the memory where the machine can.
#[inline]
fn of_chunk<const SIZE: usize>(bytes: &[u8; SIZE]) -> u64 {
    let key = |key: u64, byte: &u8| key << 8 | u64::from(*byte);
    bytes.iter().rev().fold(0, key) | (FOLD >> (64 - 8 * SIZE))
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

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Hands over the texts that may stand in a value, and where they would begin.
    #[inline]
    pub(super) fn each(&self, value: &[u8], found: &mut impl FnMut(u32, usize)) {
        if self.is_empty() {
            return;
        }
        let mut rest = value;
        while rest.len() >= SIZE {
            let from = value.len() - rest.len();
            let mut hits = self.hits(rest);
            while hits != 0 {
                let at = hits.trailing_zeros() as usize * STRIDE;
                hits &= hits - 1;
                let gram = rest.get(at..).map_or(0, gram::<SIZE>);
                for (number, offset) in self.table.of_likely(gram) {
                    if let Some(from) = (from + at).checked_sub(*offset as usize) {
                        found(*number, from);
                    }
                }
            }
            rest = rest.get(BLOCK * STRIDE..).unwrap_or_default();
        }
    }

    /// Which of the first positions that are looked at may have a known gram, a bit each: nothing
    /// else is done meanwhile, and nothing depends on what was seen before.
    #[inline(never)]
    fn hits(&self, value: &[u8]) -> u64 {
        let (mut rest, mut hits) = (value, 0);
        for position in 0..BLOCK {
            let Some(bytes) = rest.first_chunk::<SIZE>() else {
                break;
            };
            hits |= u64::from(self.table.may_have(of_chunk(bytes))) << position;
            rest = rest.get(STRIDE..).unwrap_or_default();
        }
        hits
    }
}
