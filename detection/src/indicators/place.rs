//! Slots are chosen: each value of a part comes to have one of its own, to which its cell's pilot leads.
//!
//! The cells with most values choose first, while most slots are free: each takes the least pilot that leads
//! all its values to free slots (Pibiri, Trani: PTHash, 2021, here by parts that fit the processor's caches). Cells that find none have
//! their values in a list. That is nobody's lot by chance: but for it, a crowd of values would keep this from
//! coming to an end.

use super::cells::CROWDED;
use super::fingerprint::Fingerprint;
use super::table::{Entry, Slot, Table, slot};
use smallvec::SmallVec;
use std::cmp::Reverse;

/// One slot in so many of a part is free in the end. With fewer free ones, the last cells would try pilots for long.
const ONE_FREE_IN: usize = 10;
/// Values of a cell for which a pilot is looked for. With four and a half expected (Poisson), fewer than one cell in
/// 10¹⁰ has more; they are found all the same.
const TOGETHER_MAX: usize = 24;

/// A value on its way to its slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged {
    pub(super) position: u64,
    pub(super) entry: Entry,
}

impl Staged {
    pub(super) const fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            position: self.position,
            tag: self.entry.tag,
        }
    }
}

impl Table {
    /// Fills a part with its values, which come in the order of their positions, each once.
    pub(super) fn fill(&mut self, part: usize, values: &[Staged]) {
        values
            .iter()
            .for_each(|value| self.cells.add(value.position));
        let mut cells: Vec<&[Staged]> = values
            .chunk_by(|a, b| self.cells.of(a.position) == self.cells.of(b.position))
            .collect();
        cells.sort_unstable_by_key(|values| Reverse(values.len()));
        let mut ground = Ground::new(values.len());
        for values in cells {
            let pilot = ground.settle(values);
            if let Some(first) = values.first() {
                let cell = self.cells.of(first.position);
                self.cells.set_pilot(cell, pilot.unwrap_or(CROWDED));
            }
            if pilot.is_none() {
                self.crowd(values);
            }
        }
        if let Some(slots) = self.parts.get_mut(part) {
            *slots = ground.slots;
        }
    }

    /// Takes in values of a crowded cell.
    fn crowd(&mut self, values: &[Staged]) {
        for value in values {
            if let Some(number) = self.push_apart(&[value.entry]) {
                self.crowded.push((value.fingerprint(), number));
            }
        }
    }

    /// Puts in order what was put in last: to be called when all parts are full.
    pub(super) fn settle(&mut self) {
        self.crowded.sort_unstable();
        self.crowded.shrink_to_fit();
        self.parts.iter_mut().for_each(Vec::shrink_to_fit);
    }
}

/// The slots of a part while they fill.
struct Ground {
    slots: Vec<Slot>,
    /// Which of them are taken, a bit each.
    taken: Vec<u64>,
}

impl Ground {
    fn new(values: usize) -> Self {
        let slots = (values * ONE_FREE_IN).div_ceil(ONE_FREE_IN - 1);
        Ground {
            slots: vec![Slot(Entry::EMPTY); slots],
            taken: vec![0; slots.div_ceil(u64::BITS as usize)],
        }
    }

    /// Puts the values of a cell into slots to which a pilot leads them, and says which pilot.
    fn settle(&mut self, values: &[Staged]) -> Option<u16> {
        if values.len() > TOGETHER_MAX {
            return None;
        }
        let mixed = values.iter().map(|value| value.fingerprint().mixed());
        let mixed: SmallVec<[u64; TOGETHER_MAX]> = mixed.collect();
        let pilot = (0..CROWDED).find(|pilot| self.has_room(&mixed, *pilot))?;
        for (mixed, value) in mixed.iter().zip(values) {
            let at = slot(*mixed, pilot, self.slots.len());
            if let Some(bits) = self.taken.get_mut(at / u64::BITS as usize) {
                *bits |= 1 << (at % u64::BITS as usize);
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = Slot(value.entry);
            }
        }
        Some(pilot)
    }

    /// Whether a pilot leads all values to free slots, each to another.
    fn has_room(&self, mixed: &[u64], pilot: u16) -> bool {
        let slots = self.slots.len();
        let mut at = mixed.iter().map(|mixed| slot(*mixed, pilot, slots));
        // Nearly every pilot fails at this, most at the first value.
        if at.any(|at| self.is_taken(at)) {
            return false;
        }
        let at = mixed.iter().map(|mixed| slot(*mixed, pilot, slots));
        let at: SmallVec<[usize; TOGETHER_MAX]> = at.collect();
        let mut rest = at.as_slice();
        while let [first, others @ ..] = rest {
            if others.contains(first) {
                return false;
            }
            rest = others;
        }
        true
    }

    fn is_taken(&self, at: usize) -> bool {
        let bits = self.taken.get(at / u64::BITS as usize).copied();
        bits.is_none_or(|bits| bits >> (at % u64::BITS as usize) & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::table::{PARTS, part};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const NOBODYS: u64 = 0x6E6F_626F_6479_7321;

    /// Values of these fingerprints, with as many entries each.
    fn table(values: &BTreeMap<(u64, u64), usize>) -> Table {
        let mut table = Table::with_room_for(values.len());
        let mut parts: Vec<Vec<Staged>> = vec![Vec::new(); PARTS];
        for ((position, tag), count) in values {
            let entries: Vec<_> = (0..*count)
                .map(|id| Entry {
                    tag: *tag,
                    id: id as u64,
                    ..Entry::EMPTY
                })
                .collect();
            let entry = match entries.as_slice() {
                [one] => *one,
                several => table.head(several).unwrap(),
            };
            parts[part(*position)].push(Staged {
                position: *position,
                entry,
            });
        }
        for (number, staged) in parts.iter().enumerate() {
            table.fill(number, staged);
        }
        table.settle();
        table
    }

    fn agrees(table: &Table, values: &BTreeMap<(u64, u64), usize>) {
        for ((position, tag), count) in values {
            let (position, tag) = (*position, *tag);
            let number = table.find(Fingerprint { position, tag }).unwrap();
            let entries = table
                .entries_of(number)
                .map(|number| table.get(number).unwrap());
            let found: Vec<_> = entries.map(|entry| (entry.tag, entry.id)).collect();
            let put: Vec<_> = (0..*count).map(|id| (tag, id as u64)).collect();
            assert_eq!(found, put);
            for position in [position, position ^ 1, !position] {
                let tag = NOBODYS;
                assert_eq!(table.find(Fingerprint { position, tag }), None);
            }
        }
    }

    /// All numbers, few of them, or next to each other.
    fn numbers() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            1..4_u64,
            (0..40_u64).prop_map(|n| u64::MAX - n)
        ]
    }

    proptest! {
        /// Positions and tags that are the same or crowd together among them, at both ends too.
        #[test]
        fn each_value_is_found_with_its_entries_and_no_other(
            values in prop::collection::btree_map((numbers(), numbers().prop_map(|tag| tag.max(1))), 1..4_usize, 0..300),
        ) {
            agrees(&table(&values), &values);
        }
    }

    #[test]
    fn a_crowd_that_fits_no_slots_is_found_all_the_same() {
        let crowd = (1..5_000).map(|tag| ((7 << 40, tag), 1));
        let others = (1..5_000_u64).map(|n| ((n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n), 2));
        let values: BTreeMap<_, _> = crowd.chain(others).collect();
        let table = table(&values);
        assert!(table.crowded.len() >= 4_999);
        agrees(&table, &values);
    }

    #[test]
    fn values_in_no_order_all_have_slots_and_one_in_ten_is_free() {
        let spread = |n: u64| {
            let n = (n ^ n >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (n ^ n >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) ^ n >> 32
        };
        let values = (0..100_000).map(|n| ((spread(n), spread(!n)), 1));
        let values: BTreeMap<_, _> = values.collect();
        let table = table(&values);
        assert!(table.crowded.is_empty());
        let slots: usize = table.parts.iter().map(Vec::len).sum();
        assert!((111_000..112_000).contains(&slots), "{slots}");
        agrees(&table, &values);
    }
}
