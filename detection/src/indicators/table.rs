//! The table of all values: what is known of an indicator stands where its value is looked for.
//!
//! The slots of a part of all positions stand together, in each part nearly nine of ten are taken. A value's
//! slot follows from its fingerprint and from the pilot of its cell, and is nobody else's: one that is known costs one read of the
//! table, and so does one that the filter passed wrongly. A slot is half a cache line and never lies in two of
//! them. A value that several feeds or organisations know has one slot all the same, which says where its
//! entries are. Nothing here chooses pilots: [`super::place`] does.

use super::cells::{CROWDED, Cells, share};
use super::fingerprint::Fingerprint;
use std::ops::Range;

/// Bits of a position that choose its part: of ten million, a part is 1.4 MiB.
pub(super) const PART_BITS: u32 = 8;
/// Parts there are.
pub(super) const PARTS: usize = 1 << PART_BITS;
/// Bits of a number that say which slot of a part it is.
const SLOT_BITS: u32 = 23;
/// Slots of a part, and entries of a list, that have numbers.
const SLOTS_MAX: usize = 1 << SLOT_BITS;
/// Entries of a list that may be followed by others: a list of 8 MiB is no burden while it grows.
const LIST_ENTRIES: usize = 1 << 18;
/// The profile of a slot that stands for several entries.
const SEVERAL: u32 = u32::MAX;
/// No slot has this number.
pub(super) const NOWHERE: u32 = u32::MAX;

/// What is known of an indicator. What many have in common is in its profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Tells the value from others; 0 in an empty slot.
    pub(super) tag: u64,
    /// Its id in the control table; of several, the number of the first.
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
    pub(super) const EMPTY: Entry = Entry {
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
pub(super) struct Slot(pub(super) Entry);

const _: () = assert!(size_of::<Slot>() == 32);

/// All values with their entries. Entries have numbers: which part or list, and which in it.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) cells: Cells,
    /// The slots of each part; behind them, lists of entries that stand in no slot.
    pub(super) parts: Vec<Vec<Slot>>,
    /// Values of crowded cells, and where they are, in order.
    pub(super) crowded: Vec<(Fingerprint, u32)>,
}

impl Table {
    /// For that many values.
    pub(super) fn with_room_for(values: usize) -> Self {
        Table {
            cells: Cells::with_room_for(values, PARTS),
            parts: vec![Vec::new(); PARTS],
            crowded: Vec::new(),
        }
    }

    /// Adds entries that stand behind each other, and in no slot; the number of the first.
    pub(super) fn push_apart(&mut self, entries: &[Entry]) -> Option<u32> {
        let lists = self.parts.get(PARTS..).unwrap_or_default();
        let has_room = |list: &Vec<Slot>| list.len() + entries.len() <= LIST_ENTRIES;
        if entries.len() > SLOTS_MAX {
            return None;
        }
        if !lists.last().is_some_and(has_room) {
            self.parts.push(Vec::new());
        }
        let list = self.parts.len().checked_sub(1)?;
        let entries_of_list = self.parts.last_mut()?;
        let number = number(list, entries_of_list.len())?;
        entries_of_list.extend(entries.iter().copied().map(Slot));
        Some(number)
    }

    /// What stands in the slot of a value that has several entries.
    pub(super) fn head(&mut self, entries: &[Entry]) -> Option<Entry> {
        let count = u32::try_from(entries.len()).ok()?;
        let number = self.push_apart(entries)?;
        Some(Entry {
            tag: entries.first()?.tag,
            id: number.into(),
            profile: SEVERAL,
            first_seen: count,
            ..Entry::EMPTY
        })
    }

    /// Whether the value of that position may be in the table.
    #[inline]
    pub(super) fn may_hold(&self, position: u64) -> bool {
        self.cells.may_hold(position)
    }

    /// The number of the slot where a value is if it is anywhere; the slot is not read.
    #[inline]
    pub(super) fn number_of(&self, value: Fingerprint) -> u32 {
        let pilot = self.cells.pilot(value.position);
        if pilot == CROWDED {
            return self.crowded_number(value);
        }
        let part = part(value.position);
        let slots = self.parts.get(part).map_or(0, Vec::len);
        number(part, slot(value.mixed(), pilot, slots)).unwrap_or(NOWHERE)
    }

    #[cold]
    fn crowded_number(&self, value: Fingerprint) -> u32 {
        let found = self.crowded.binary_search_by_key(&value, |(one, _)| *one);
        let found = found.ok().and_then(|at| self.crowded.get(at));
        found.map_or(NOWHERE, |(_, number)| *number)
    }

    /// The tag of an entry, 0 where nothing is.
    #[inline]
    pub(super) fn tag_of(&self, number: u32) -> u64 {
        self.get(number).map_or(0, |entry| entry.tag)
    }

    /// The number of a value's slot.
    pub(super) fn find(&self, value: Fingerprint) -> Option<u32> {
        let number = self.number_of(value);
        let is_there = self.may_hold(value.position) && self.tag_of(number) == value.tag;
        is_there.then_some(number)
    }

    /// The numbers of the entries that a slot stands for.
    #[inline]
    pub(super) fn entries_of(&self, number: u32) -> Range<u32> {
        let one = number..number.saturating_add(1);
        match self.get(number) {
            Some(entry) if entry.profile == SEVERAL => {
                let first = u32::try_from(entry.id).unwrap_or(NOWHERE);
                first..first.saturating_add(entry.first_seen)
            }
            Some(_) => one,
            None => 0..0,
        }
    }

    /// An entry by its number.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Entry> {
        let part = self.parts.get((number >> SLOT_BITS) as usize)?;
        let slot = part.get(number as usize & (SLOTS_MAX - 1))?;
        Some(&slot.0)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.parts.iter().map(Vec::capacity).sum();
        self.cells.bytes()
            + slots * size_of::<Slot>()
            + self.crowded.capacity() * size_of::<(Fingerprint, u32)>()
    }
}

/// The part of a position.
#[inline]
pub(super) const fn part(position: u64) -> usize {
    share(position, PARTS)
}

/// The number of a slot of a part, or of an entry of a list.
#[inline]
pub(super) fn number(part: usize, slot: usize) -> Option<u32> {
    let is_one = slot < SLOTS_MAX && part < 1 << (u32::BITS - SLOT_BITS);
    let number = is_one.then_some(part << SLOT_BITS | slot)?;
    u32::try_from(number).ok()
}

/// The slot to which a pilot leads a value.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of a product are folded"
)]
pub(super) fn slot(mixed: u64, pilot: u16, slots: usize) -> usize {
    // Odd factors whose bits are as good as random: the fraction of the golden ratio, and of the root of three.
    let steered = mixed ^ u64::from(pilot).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let product = u128::from(steered) * 0xBB67_AE85_84CA_A73B;
    share(product as u64 ^ (product >> u64::BITS) as u64, slots)
}

impl Fingerprint {
    /// Both hashes in one, of which neither alone says anything.
    #[inline]
    pub(super) const fn mixed(self) -> u64 {
        self.position.rotate_left(32) ^ self.tag
    }
}
