//! What is parked because it cannot be stored, and the search for it among its neighbours.

use crate::work::{Aside, EntryUsage, RawEntry};
use millrace_shared::entry::Meta;
use millrace_shared::outcome::DeadReason;
use std::ops::Range;

/// An entry, or some events of one, that is left out of a batch and parked.
#[derive(Clone, Debug)]
pub struct Parked {
    /// The entry.
    pub entry: RawEntry,
    /// Indexes of the events in its body; `None` when the entry is parked whole.
    pub events_at: Option<Vec<u16>>,
    /// Why.
    pub reason: DeadReason,
    /// Why, in words; holds nothing of the entry itself.
    pub detail: String,
}

impl Parked {
    /// A whole entry.
    #[must_use]
    pub fn whole(entry: RawEntry, reason: DeadReason, detail: &str) -> Self {
        Parked {
            entry,
            events_at: None,
            reason,
            detail: detail.to_owned(),
        }
    }

    /// How many events it is; 0 when that cannot be told.
    #[must_use]
    pub fn events(&self) -> u32 {
        match &self.events_at {
            Some(at) => u32::try_from(at.len()).unwrap_or(u32::MAX),
            None => Meta::parse(&self.entry.meta).map_or(0, |meta| meta.accepted),
        }
    }

    /// What the entry adds to its organisation's usage; `None` when it cannot be told whose it is,
    /// and for events of an entry whose others are stored: the entry's own usage counts them.
    #[must_use]
    pub fn usage(&self) -> Option<EntryUsage> {
        if self.events_at.is_some() {
            return None;
        }
        let meta = Meta::parse(&self.entry.meta).ok()?;
        Some(EntryUsage {
            org: meta.org,
            events: meta.accepted.saturating_add(meta.rejected),
            stored: 0,
            rejected: meta.rejected,
            dead_lettered: meta.accepted,
            bytes: meta.wire_bytes,
            replay_of: meta.replay_of,
        })
    }
}

/// The events that are left out of entries which otherwise stay.
#[must_use]
pub fn aside(parked: &[Parked]) -> Aside {
    let events = |one: &Parked| Some((one.entry.id, one.events_at.clone()?));
    parked.iter().filter_map(events).collect()
}

/// A search for the bad ones among many, all of which together are known to be bad: asks about
/// halves until single ones remain.
#[derive(Debug)]
pub struct Bisect {
    todo: Vec<Range<usize>>,
    bad: Vec<usize>,
}

impl Bisect {
    /// Among `count` of them.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let mut search = Bisect {
            todo: Vec::new(),
            bad: Vec::new(),
        };
        search.halve(0..count);
        search
    }

    fn halve(&mut self, range: Range<usize>) {
        match range.len() {
            0 => {}
            1 => self.bad.push(range.start),
            len => {
                let middle = range.start + len / 2;
                self.todo.push(middle..range.end);
                self.todo.push(range.start..middle);
            }
        }
    }

    /// The range to be tried next.
    #[must_use]
    pub fn ask(&self) -> Option<Range<usize>> {
        self.todo.last().cloned()
    }

    /// Whether the range last asked about is good.
    pub fn tell(&mut self, good: bool) {
        if let Some(range) = self.todo.pop().filter(|_| !good) {
            self.halve(range);
        }
    }

    /// The bad ones, in order, once nothing is left to ask.
    #[must_use]
    pub fn found(self) -> Vec<usize> {
        self.bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exactly_the_bad_ones_are_found(count in 1usize..200, bad in prop::collection::btree_set(0usize..200, 1..5)) {
            let bad: Vec<usize> = bad.into_iter().filter(|at| *at < count).collect();
            prop_assume!(!bad.is_empty());
            let mut search = Bisect::new(count);
            let mut asked = 0;
            while let Some(range) = search.ask() {
                asked += 1;
                search.tell(!bad.iter().any(|at| range.contains(at)));
            }
            prop_assert!(asked <= bad.len() * 2 * 8);
            prop_assert_eq!(search.found(), bad);
        }
    }
}
