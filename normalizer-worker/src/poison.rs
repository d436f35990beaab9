//! Finds the entries that cannot be stored, so that they can be parked and their neighbours go on.

use crate::error::WorkerError;
use crate::lease::Lease;
use crate::ledger::Batch;
use crate::store::{InsertName, Rows, Store};
use crate::work::{EntryUsage, RawEntry, TargetRows};
use crate::write::{self, Outcome};
use bytes::Bytes;
use millrace_shared::entry::Meta;
use millrace_shared::outcome::DeadReason;
use std::ops::Range;

/// An entry that is parked whole.
#[derive(Clone, Debug)]
pub struct Parked {
    /// The entry.
    pub entry: RawEntry,
    /// Why.
    pub reason: DeadReason,
    /// Why, in words.
    pub detail: String,
}

impl Parked {
    /// What the entry adds to its organisation's usage; `None` when it cannot be told whose it is.
    #[must_use]
    pub fn usage(&self) -> Option<EntryUsage> {
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

/// Finds the entries whose rows the store refuses, by posting parts of the batch. What the store
/// takes of these parts is deleted by the caller before the rest is written.
///
/// # Errors
/// [`WorkerError::RefusesAll`] when no entry of several is taken; any error leaves the batch in doubt.
pub async fn refused_entries(
    (store, lease): (&Store, &Lease),
    batch: &Batch,
    target: (&TargetRows, &Bytes),
) -> Result<Vec<usize>, WorkerError> {
    let (rows, body) = target;
    let mut search = Bisect::new(rows.entry_ends.len());
    let mut code = 0;
    while let Some(range) = search.ask() {
        let part = part(rows, body, range.clone());
        let token = batch.token(lease.fence.shard, rows.table);
        let name = format!(
            "{token}:part-{}.{}-{}",
            batch.attempt, range.start, range.end
        );
        let name = InsertName {
            token: name.clone(),
            query_id: name,
        };
        let good = part.rows == 0
            || match write::post(store, lease, &part, &name).await? {
                Outcome::Written => true,
                Outcome::InDoubt => return Err(WorkerError::Store("part in doubt".to_owned())),
                Outcome::Refused(said) => {
                    code = said;
                    false
                }
            };
        search.tell(good);
    }
    let (found, all) = (search.found(), rows.entry_ends.len());
    if all > 1 && found.len() == all {
        return Err(WorkerError::RefusesAll(code));
    }
    Ok(found)
}

/// The rows of some consecutive entries.
fn part(target: &TargetRows, body: &Bytes, entries: Range<usize>) -> Rows {
    let end_of = |count: usize| {
        count
            .checked_sub(1)
            .and_then(|at| target.entry_ends.get(at))
            .map_or(0, |end| end.0)
    };
    let bytes = end_of(entries.start)..end_of(entries.end).min(body.len());
    let rows = target.entry_ends.get(entries).unwrap_or_default();
    Rows {
        table: target.table,
        rows: rows.iter().map(|(_, rows)| u64::from(*rows)).sum(),
        body: if bytes.start <= bytes.end {
            body.slice(bytes)
        } else {
            Bytes::new()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Table;
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

    #[test]
    fn a_part_holds_the_rows_of_its_entries_and_no_others() {
        let body = Bytes::from_static(b"aabbbbc");
        let target = TargetRows {
            table: Table::Logs,
            rows: 4,
            body: Vec::new(),
            entry_ends: vec![(2, 1), (2, 0), (6, 2), (7, 1)],
        };
        let shown = |range| {
            let rows = part(&target, &body, range);
            (rows.rows, rows.body)
        };
        assert_eq!(shown(0..4), (4, body.clone()));
        assert_eq!(shown(0..1), (1, Bytes::from_static(b"aa")));
        assert_eq!(shown(1..2), (0, Bytes::new()));
        assert_eq!(shown(2..4), (3, Bytes::from_static(b"bbbbc")));
    }
}
