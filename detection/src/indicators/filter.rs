//! A small filter in front of the index: nearly all observables match nothing, and this says so
//! without touching the large tables.
//!
//! A blocked Bloom filter with blocks of one word (Putze, Sanders, Singler: Cache-, Hash- and
//! Space-Efficient Bloom Filters, 2007): a value sets four bits of one word, so a question costs
//! one memory access. It never says no to what was put in.

/// Bits of the filter per value, at least: with four bits set in one word, about 3 % of other
/// values pass.
const BITS_PER_VALUE: usize = 10;

/// Which values may be in the index.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// For that many values.
    pub(super) fn with_room_for(values: usize) -> Self {
        let words = (values * BITS_PER_VALUE / 64 + 1).next_power_of_two();
        Filter {
            words: vec![0; words],
        }
    }

    /// Puts in the value with that hash.
    pub(super) fn add(&mut self, hash: u64) {
        let at = self.place(hash);
        if let Some(word) = self.words.get_mut(at) {
            *word |= bits(hash);
        }
    }

    /// Whether the value with that hash may be in the index.
    #[inline]
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let word = self.words.get(self.place(hash)).copied().unwrap_or(0);
        word & bits(hash) == bits(hash)
    }

    const fn place(&self, hash: u64) -> usize {
        (hash >> 24) as usize & self.words.len().wrapping_sub(1)
    }

    /// Bytes held.
    pub(super) const fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

/// Four bits, each chosen by six of the hash's low 24.
const fn bits(hash: u64) -> u64 {
    1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63) | 1 << (hash >> 18 & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mixed(n: u64) -> u64 {
        let n = (n ^ n >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (n ^ n >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) ^ n >> 32
    }

    #[test]
    fn it_never_denies_and_seldom_errs() {
        let mut filter = Filter::with_room_for(10_000);
        (0..10_000).for_each(|n| filter.add(mixed(n)));
        assert!((0..10_000).all(|n| filter.may_hold(mixed(n))));
        let wrong = (10_000..20_000)
            .filter(|n| filter.may_hold(mixed(*n)))
            .count();
        assert!(wrong < 600, "{wrong} of 10000");
        assert!(!Filter::default().may_hold(7));
    }
}
