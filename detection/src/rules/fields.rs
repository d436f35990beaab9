//! Which fields fill which slots. Every name is looked up once an event, however many slots it
//! fills and whatever else is known of it: what stands behind it is its *entry*.
//!
//! It holds no values: those of an event are in [`Slots`](super::slots::Slots).

use super::path::{Keys, Source, all_sources, keys_of};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use millrace_shared::{Field, Role};
use std::hash::{BuildHasher, Hasher};

/// The number of a core field, or of a key, that fills a slot.
pub(super) type Entry = u32;

/// No entry.
const NONE: Entry = Entry::MAX;

/// A fixed seed: names come from rules, and what events call their fields only costs a look.
const STATE: FixedState = FixedState::with_seed(0x006E_616D_6573);

/// The word of an entry's bit.
#[inline]
pub(super) const fn word_of(entry: Entry) -> usize {
    entry as usize / 64
}

/// The bit of an entry in its word.
#[inline]
pub(super) const fn bit_of(entry: Entry) -> u64 {
    1 << (entry % 64)
}

/// The entry of a bit.
#[inline]
pub(super) fn entry_of(word: usize, bit: u32) -> Entry {
    Entry::try_from(word * 64).map_or(NONE, |first| first + bit)
}

/// A slot that an entry fills, and how much the slot's path prefers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed {
    pub(super) slot: u32,
    pub(super) rank: u8,
}

/// A key with its entry.
#[derive(Debug)]
struct Name {
    keys: Keys,
    key: Box<str>,
    entry: Entry,
}

/// Which fields of a signal's events fill which slots.
#[derive(Debug)]
pub(super) struct FieldMap {
    roles: Vec<Entry>,
    resource_roles: Vec<Entry>,
    names: Vec<Name>,
    /// The numbers of names.
    by_hash: HashTable<u32>,
    /// By entry.
    feeds: Vec<Vec<Feed>>,
    /// By slot: the entries that fill it, as words of bits.
    words: Vec<Vec<(usize, u64)>>,
}

impl Default for FieldMap {
    fn default() -> Self {
        FieldMap {
            roles: vec![NONE; Role::COUNT],
            resource_roles: vec![NONE; Role::COUNT],
            names: Vec::new(),
            by_hash: HashTable::new(),
            feeds: Vec::new(),
            words: Vec::new(),
        }
    }
}

impl Name {
    #[inline]
    fn is(&self, keys: Keys, key: &str) -> bool {
        self.keys == keys && *self.key == *key
    }
}

/// Which name came after which in the events before: those of one source name their fields in the same
/// order, and a name that is expected need only be compared. It never changes what is found.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    /// The matcher whose names they are.
    of: u64,
    /// One more than the number of the name before.
    before: usize,
    /// By that, the number of the next.
    next: Vec<u32>,
}

impl Sequence {
    /// Begins an event, with the number of the matcher that looks at it.
    pub(super) fn begin(&mut self, matcher: u64) {
        if self.of != matcher {
            self.of = matcher;
            self.next.clear();
        }
        self.before = 0;
    }

    #[inline]
    fn expected(&self) -> u32 {
        self.next.get(self.before).copied().unwrap_or(NONE)
    }

    fn note(&mut self, number: u32) {
        if self.next.len() <= self.before {
            self.next.resize(self.before + 1, NONE);
        }
        if let Some(next) = self.next.get_mut(self.before) {
            *next = number;
        }
    }
}

#[inline]
fn hash(keys: Keys, key: &str) -> u64 {
    let mut hasher = STATE.build_hasher();
    hasher.write(key.as_bytes());
    hasher.finish() ^ (keys as u64)
}

impl FieldMap {
    /// Has the slot filled by the fields that the path may mean.
    pub(super) fn add(&mut self, slot: u32, path: &str) {
        for (rank, source) in all_sources(path) {
            match source {
                Source::Core(role) => {
                    let entry = entry_at(&mut self.feeds, self.roles.get_mut(role.index()));
                    self.feed(slot, entry, rank);
                    self.feed_of_resource(slot, role, rank);
                }
                Source::ResourceCore(role) => self.feed_of_resource(slot, role, rank),
                Source::Key(keys, key) => {
                    let entry = self.name(keys, &key);
                    self.feed(slot, entry, rank);
                }
            }
        }
    }

    fn feed_of_resource(&mut self, slot: u32, role: Role, rank: u8) {
        let place = self.resource_roles.get_mut(role.index());
        let entry = entry_at(&mut self.feeds, place);
        self.feed(slot, entry, rank);
    }

    /// Lets an entry fill the slot, unless a source of lower rank does so already.
    fn feed(&mut self, slot: u32, entry: Entry, rank: u8) {
        let Some(feeds) = self.feeds.get_mut(entry as usize) else {
            return;
        };
        if feeds.iter().any(|feed| feed.slot == slot) {
            return;
        }
        feeds.push(Feed { slot, rank });
        let place = slot as usize;
        if self.words.len() <= place {
            self.words.resize_with(place + 1, Vec::new);
        }
        if let Some(words) = self.words.get_mut(place) {
            match words.iter_mut().find(|(word, _)| *word == word_of(entry)) {
                Some((_, bits)) => *bits |= bit_of(entry),
                None => words.push((word_of(entry), bit_of(entry))),
            }
        }
    }

    /// The entry of a key, made where there is none.
    fn name(&mut self, keys: Keys, key: &str) -> Entry {
        if let Some(name) = self
            .find(keys, key)
            .and_then(|name| self.names.get(name as usize))
        {
            return name.entry;
        }
        let mut entry = NONE;
        entry_at(&mut self.feeds, Some(&mut entry));
        let number = u32::try_from(self.names.len()).unwrap_or(NONE);
        let key = key.into();
        self.names.push(Name { keys, key, entry });
        let names = &self.names;
        let hash_of = |number: &u32| {
            let name = names.get(*number as usize);
            name.map_or(0, |name| hash(name.keys, &name.key))
        };
        self.by_hash
            .insert_unique(hash_of(&number), number, hash_of);
        entry
    }

    /// The number of a name.
    fn find(&self, keys: Keys, key: &str) -> Option<u32> {
        let is_meant = |number: &u32| {
            let name = self.names.get(*number as usize);
            name.is_some_and(|name| name.is(keys, key))
        };
        self.by_hash.find(hash(keys, key), is_meant).copied()
    }

    /// The entry of a field of the event.
    #[inline]
    pub(super) fn of_event(&self, field: &Field<'_>, sequence: &mut Sequence) -> Option<Entry> {
        self.of(&self.roles, field, sequence)
    }

    /// The entry of a field of the resource.
    #[inline]
    pub(super) fn of_resource(&self, field: &Field<'_>, sequence: &mut Sequence) -> Option<Entry> {
        self.of(&self.resource_roles, field, sequence)
    }

    #[inline]
    fn of(&self, roles: &[Entry], field: &Field<'_>, sequence: &mut Sequence) -> Option<Entry> {
        let Some(keys) = keys_of(field.role) else {
            let entry = roles.get(field.role.index()).copied();
            return entry.filter(|entry| *entry != NONE);
        };
        let mut number = sequence.expected();
        let mut name = self.names.get(number as usize);
        if !name.is_some_and(|name| name.is(keys, field.name)) {
            number = self.find(keys, field.name)?;
            name = self.names.get(number as usize);
            sequence.note(number);
        }
        sequence.before = number as usize + 1;
        name.map(|name| name.entry)
    }

    /// How much a slot prefers an entry that fills it.
    #[inline]
    pub(super) fn rank(&self, entry: Entry, slot: u32) -> Option<u8> {
        let mut feeds = self.feeds.get(entry as usize)?.iter();
        feeds.find(|feed| feed.slot == slot).map(|feed| feed.rank)
    }

    /// The entries that fill a slot, as words of bits.
    #[inline]
    pub(super) fn feeds_of(&self, slot: u32) -> &[(usize, u64)] {
        self.words.get(slot as usize).map_or(&[], Vec::as_slice)
    }

    /// What each entry fills, in the order of their numbers.
    pub(super) fn feeds(&self) -> &[Vec<Feed>] {
        &self.feeds
    }
}

/// The entry that stands in a place, made where there is none.
fn entry_at(feeds: &mut Vec<Vec<Feed>>, place: Option<&mut Entry>) -> Entry {
    let Some(place) = place else {
        return NONE;
    };
    if *place == NONE {
        *place = Entry::try_from(feeds.len()).unwrap_or(NONE);
        feeds.push(Vec::new());
    }
    *place
}
