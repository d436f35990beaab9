//! The table of all values: what is known of an indicator stands where its value is looked for.
//!
//! Open addressing with linear probing, filled in the order of the places (Amble, Knuth: Ordered Hash
//! Tables, 1974), so that filling writes from front to back. A slot is half a cache line and never lies
//! in two of them: a value that is known costs one miss, seldom two. A value that several feeds or
//! organisations know has one slot all the same, which says where its entries are; else a popular value
//! would push its neighbours away.

use std::ops::Range;

/// Slots for every three values. Three fifths full, a value is found at the second slot on average,
/// and ten million take 509 MiB.
const SLOTS_PER_THREE_VALUES: usize = 5;
/// Slots behind the last place, for values that find theirs taken; more are made where these do not do.
const SLOTS_BEHIND: usize = 256;
/// The profile of a slot that stands for several entries.
const SEVERAL: u32 = u32::MAX;

/// What is known of an indicator. What many have in common is in its profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Tells the value from others; 0 in an empty slot.
    pub(super) tag: u64,
    /// Its id in the control table; of several, where they begin.
    pub(super) id: u64,
    /// The number of its profile, less than [`SEVERAL`].
    pub(super) profile: u32,
    /// Seconds; of several, how many they are.
    pub(super) first_seen: u32,
    /// Seconds.
    pub(super) last_seen: u32,
    /// Seconds; 0 for never.
    pub(super) expires_at: u32,
}

impl Entry {
    const EMPTY: Entry = Entry {
        tag: 0,
        id: 0,
        profile: 0,
        first_seen: 0,
        last_seen: 0,
        expires_at: 0,
    };
}

#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Slot(Entry);

const _: () = assert!(size_of::<Slot>() == 32);

/// All values with their entries. Entries have numbers: those of slots first, then those of values
/// that have several.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    several: Vec<Entry>,
    /// How many slots are somebody's place.
    places: usize,
}

impl Table {
    /// For that many values.
    pub(super) fn with_room_for(values: usize) -> Self {
        let places = values.div_ceil(3) * SLOTS_PER_THREE_VALUES;
        Table {
            slots: Vec::with_capacity(places + SLOTS_BEHIND),
            several: Vec::new(),
            places,
        }
    }

    /// Puts in a value with its entries, behind all values of lower positions.
    pub(super) fn push(
        &mut self,
        position: u64,
        mut entries: impl ExactSizeIterator<Item = Entry>,
    ) {
        let count = entries.len();
        let Some(first) = entries.next() else {
            return;
        };
        let place = self.place(position);
        if self.slots.len() < place {
            self.slots.resize(place, Slot(Entry::EMPTY));
        }
        if count == 1 {
            self.slots.push(Slot(first));
            return;
        }
        let (begin, Ok(count)) = (self.several.len() as u64, u32::try_from(count)) else {
            return;
        };
        self.several.push(first);
        self.several.extend(entries);
        self.slots.push(Slot(Entry {
            tag: first.tag,
            id: begin,
            profile: SEVERAL,
            first_seen: count,
            ..Entry::EMPTY
        }));
    }

    /// Where a value of that position is, or behind it.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the product's upper half is less than the number of places"
    )]
    pub(super) const fn place(&self, position: u64) -> usize {
        ((position as u128 * self.places as u128) >> u64::BITS) as usize
    }

    /// The tag at a place, 0 where nothing is.
    #[inline]
    pub(super) fn tag_at(&self, place: usize) -> u64 {
        self.slots.get(place).map_or(0, |slot| slot.0.tag)
    }

    /// The slot with that tag, from its value's place on.
    #[inline]
    pub(super) fn find(&self, mut place: usize, tag: u64) -> Option<u32> {
        loop {
            match self.tag_at(place) {
                0 => return None,
                found if found == tag => return u32::try_from(place).ok(),
                _ => place += 1,
            }
        }
    }

    /// The numbers of the entries that a slot stands for.
    pub(super) fn entries_of(&self, slot: u32) -> Range<u32> {
        let one = slot..slot.saturating_add(1);
        let Some(Slot(entry)) = self.slots.get(slot as usize) else {
            return 0..0;
        };
        if entry.profile != SEVERAL {
            return one;
        }
        let first = u32::try_from(self.slots.len() as u64 + entry.id).unwrap_or(u32::MAX);
        first..first.saturating_add(entry.first_seen)
    }

    /// An entry by its number.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Entry> {
        let number = number as usize;
        match self.slots.get(number) {
            Some(slot) => Some(&slot.0),
            None => self.several.get(number.checked_sub(self.slots.len())?),
        }
    }

    /// Bytes held.
    pub(super) const fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.several.capacity() * size_of::<Entry>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(tag: u64, id: u64) -> Entry {
        Entry {
            tag,
            id,
            ..Entry::EMPTY
        }
    }

    proptest! {
        /// Positions that crowd together, at both ends too, and values with several entries.
        #[test]
        fn each_value_is_found_with_its_entries_and_no_other(
            crowd in prop::collection::btree_map((0..4_u64, 0..40_u64), 1..4_usize, 0..60),
        ) {
            let position = |(side, n): (u64, u64)| (side << 62 | n).wrapping_sub(20);
            let mut crowd: Vec<_> = crowd.into_iter().collect();
            crowd.sort_by_key(|(at, _)| position(*at));
            let mut table = Table::with_room_for(crowd.len());
            let tag = |(side, n): (u64, u64)| side * 1_000 + n + 1;
            for (at, count) in &crowd {
                let entries = (0..*count).map(|id| entry(tag(*at), id as u64));
                table.push(position(*at), entries);
            }
            for (at, count) in &crowd {
                let slot = table.find(table.place(position(*at)), tag(*at)).unwrap();
                let entries = table.entries_of(slot).map(|number| table.get(number).unwrap());
                let found: Vec<_> = entries.map(|entry| (entry.tag, entry.id)).collect();
                let put: Vec<_> = (0..*count).map(|id| (tag(*at), id as u64)).collect();
                prop_assert_eq!(found, put);
                prop_assert_eq!(table.find(table.place(position(*at)), 999_999), None);
            }
        }
    }
}
