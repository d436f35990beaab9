//! The one word that is read for every value: whether it may be in the index, and if so, what leads to
//! its slot.
//!
//! Values fall into cells, some four or five into each. Most of a cell's word is a Bloom filter of its
//! values (blocks of one word: Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters,
//! 2007): a value sets four bits, and it never says no to what was put in. The rest is the cell's pilot, a number
//! that leads each of its values to a slot of its own: [`super::place`].

/// Cells for so many values: 10.7 bits of the filter for each, with which about 2 % of other values pass.
const CELLS: usize = 2;
const FOR_VALUES: usize = 9;
/// Bits of a word that are the filter's; the pilot's are above.
const FILTER_BITS: u32 = u64::BITS - u16::BITS;
/// The pilot of a cell whose values have no places of their own.
pub(super) const CROWDED: u16 = u16::MAX;

/// All cells, in the order of positions.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    words: Vec<u64>,
}

impl Cells {
    /// For that many values, as many for each part of the positions.
    pub(super) fn with_room_for(values: usize, parts: usize) -> Self {
        let of_part = (values * CELLS).div_ceil(FOR_VALUES * parts).max(1);
        Cells {
            words: vec![0; of_part * parts],
        }
    }

    /// Puts in the value of that position.
    pub(super) fn add(&mut self, position: u64) {
        let cell = self.of(position);
        if let Some(word) = self.words.get_mut(cell) {
            *word |= bits(position);
        }
    }

    /// Notes what leads the values of a cell to their slots.
    pub(super) fn set_pilot(&mut self, cell: usize, pilot: u16) {
        if let Some(word) = self.words.get_mut(cell) {
            *word = *word & ((1 << FILTER_BITS) - 1) | u64::from(pilot) << FILTER_BITS;
        }
    }

    /// Whether the value of that position may be in the index.
    #[inline]
    pub(super) fn may_hold(&self, position: u64) -> bool {
        let bits = bits(position);
        self.word(position) & bits == bits
    }

    /// What leads the value of that position to its slot.
    #[inline]
    pub(super) fn pilot(&self, position: u64) -> u16 {
        (self.word(position) >> FILTER_BITS) as u16
    }

    /// The cell of a position.
    #[inline]
    pub(super) const fn of(&self, position: u64) -> usize {
        share(position, self.words.len())
    }

    #[inline]
    fn word(&self, position: u64) -> u64 {
        self.words.get(self.of(position)).copied().unwrap_or(0)
    }

    /// Bytes held.
    pub(super) const fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

/// Four of the filter's bits, each chosen by ten of the position's low forty; the cell is chosen by high ones.
#[inline]
const fn bits(position: u64) -> u64 {
    bit(position) | bit(position >> 10) | bit(position >> 20) | bit(position >> 30)
}

#[inline]
const fn bit(chosen_by: u64) -> u64 {
    // Of 1,024 numbers, 48 of equal shares but for one in a thousand.
    1 << (((chosen_by & 1023) * FILTER_BITS as u64) >> 10)
}

/// The number among `whole` that is as far on as `of` is among all numbers.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the product's upper half is less than the whole"
)]
pub(super) const fn share(of: u64, whole: usize) -> usize {
    ((of as u128 * whole as u128) >> u64::BITS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mixed(n: u64) -> u64 {
        let n = (n ^ n >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (n ^ n >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) ^ n >> 32
    }

    #[test]
    fn it_never_denies_and_seldom_errs_and_pilots_do_not_disturb_it() {
        let mut cells = Cells::with_room_for(10_000, 16);
        (0..10_000).for_each(|n| cells.add(mixed(n)));
        for n in 0..10_000 {
            cells.set_pilot(cells.of(mixed(n)), u16::MAX);
        }
        assert!((0..10_000).all(|n| cells.may_hold(mixed(n))));
        assert_eq!(cells.pilot(mixed(7)), u16::MAX);
        let wrong = (10_000..20_000)
            .filter(|n| cells.may_hold(mixed(*n)))
            .count();
        assert!(wrong < 400, "{wrong} of 10000");
        assert!(!Cells::default().may_hold(7));
    }
}
