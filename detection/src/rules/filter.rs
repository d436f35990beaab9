//! Small tables of keys that most of what is looked up is not in: a bitmap says so first.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Bits of a bitmap for each key: one in sixty-four of all others passes.
const BITS_PER_KEY: usize = 64;
/// Words of the largest bitmap: 128 kB, which stay in the second cache.
const WORDS_MAX: usize = 16 * 1024;
/// Bits of a word.
const WORD: usize = 64;

/// A stretch of a list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    from: u32,
    to: u32,
}

impl Span {
    pub(super) fn new(from: usize, to: usize) -> Span {
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Span {
            from: number(from),
            to: number(to),
        }
    }

    #[inline]
    pub(super) fn of<T>(self, list: &[T]) -> &[T] {
        let stretch = list.get(self.from as usize..self.to as usize);
        stretch.unwrap_or_default()
    }
}

/// Values by keys, several of one key together.
#[derive(Debug)]
pub(super) struct Filtered<T> {
    words: Box<[u64]>,
    shift: u32,
    table: HashMap<u64, Span, FixedState>,
    values: Box<[T]>,
}

impl<T> Default for Filtered<T> {
    fn default() -> Self {
        Filtered {
            words: Box::default(),
            shift: 0,
            table: HashMap::default(),
            values: Box::default(),
        }
    }
}

/// Spreads the bits of a key over the upper ones (D. Knuth's multiplicative hashing).
#[inline]
const fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl<T: Copy + Ord> Filtered<T> {
    pub(super) fn new(mut pairs: Vec<(u64, T)>) -> Self {
        if pairs.is_empty() {
            return Filtered::default();
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut table: HashMap<u64, Span, FixedState> = HashMap::default();
        let mut values = Vec::with_capacity(pairs.len());
        for of_key in pairs.chunk_by(|one, next| one.0 == next.0) {
            let from = values.len();
            values.extend(of_key.iter().map(|(_, value)| *value));
            if let Some((key, _)) = of_key.first() {
                table.insert(*key, Span::new(from, values.len()));
            }
        }
        table.shrink_to_fit();
        let words = table.len() * BITS_PER_KEY / WORD;
        let words = words.next_power_of_two().min(WORDS_MAX);
        let mut filtered = Filtered {
            words: vec![0; words].into(),
            shift: (words * WORD).leading_zeros() + 1,
            table,
            values: values.into(),
        };
        for (key, _) in &pairs {
            let (word, bit) = filtered.place(*key);
            if let Some(word) = filtered.words.get_mut(word) {
                *word |= bit;
            }
        }
        filtered
    }
}

impl<T> Filtered<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    #[inline]
    fn place(&self, key: u64) -> (usize, u64) {
        #[expect(clippy::cast_possible_truncation, reason = "so few bits are left")]
        let bit = (spread(key) >> self.shift) as usize;
        (bit / WORD, 1 << (bit % WORD))
    }

    /// Whether the key may be known.
    #[inline]
    pub(super) fn may_have(&self, key: u64) -> bool {
        let (word, bit) = self.place(key);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The values of a key that may be known.
    #[inline(never)]
    pub(super) fn of_likely(&self, key: u64) -> &[T] {
        let span = self.table.get(&key).copied().unwrap_or_default();
        span.of(&self.values)
    }

    /// The values of a key.
    #[inline]
    pub(super) fn of(&self, key: u64) -> &[T] {
        if self.may_have(key) {
            self.of_likely(key)
        } else {
            &[]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_is_found_under_its_key_and_no_other(
            pairs in prop::collection::vec((0..50_u64, any::<u32>()), 0..60),
            key in 0..60_u64,
        ) {
            let filtered = Filtered::new(pairs.clone());
            let mut expected: Vec<u32> =
                pairs.iter().filter(|pair| pair.0 == key).map(|pair| pair.1).collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(filtered.of(key), expected.as_slice());
            prop_assert_eq!(filtered.is_empty(), pairs.is_empty());
        }
    }
}
