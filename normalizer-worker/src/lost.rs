//! What Redis has lost of a batch after it was acknowledged. Each lost entry is reported by its id,
//! and what is left of the batch goes on: it must not be lost with the others.
//!
//! An entry that Redis kept is never given up here, and nothing is guessed: a batch whose entries
//! cannot be read at the moment is left for later.

use crate::entry_ids;
use crate::error::WorkerError;
use crate::ledger::{self, ASKED, Batch};
use crate::metrics;
use crate::probe::Step;
use crate::shard::Shard;
use crate::work::{RawEntry, Table};
use millrace_shared::entry::Meta;
use millrace_shared::ids::StreamId;
use std::collections::HashSet;
use std::sync::Arc;

/// Ids named in the log; all of them are in the table `lost_entry`.
const LOGGED: usize = 20;

/// Makes a prepared batch what is left of it in its stream; `None` when nothing is. What was written
/// of it before is deleted, since it may hold what is reported as lost.
///
/// # Errors
/// When a store is not available or the lease ends; the batch is then as it was.
pub(crate) async fn amend(
    shard: &Shard,
    batch: &mut Batch,
    left: Vec<RawEntry>,
) -> Result<Option<Arc<Vec<RawEntry>>>, WorkerError> {
    let lost = missing(batch, &left);
    report(shard, batch, &lost, left.len());
    if let Some(table) = Table::of(shard.id().signal) {
        let of = (batch.received_day, batch.ledger_id(shard.id()));
        let attempts: Vec<u8> = (0..=batch.attempt_byte()).chain([ASKED]).collect();
        let deletion = shard.plant.store.delete(table, of, &attempts);
        shard.lease.within(deletion).await??;
    }
    let gone = batch.entries - i32::try_from(left.len()).unwrap_or(i32::MAX);
    batch.lost += gone.max(0);
    batch.entries -= gone;
    batch.events = events_of(&left);
    batch.digest = ledger::digest(&left);
    batch.ids = entry_ids::pack(left.iter().map(|entry| entry.id));
    let mut client = shard.plant.desk.pool.get().await?;
    ledger::amend(&mut client, shard.lease.fence, batch, &lost).await?;
    Ok((!left.is_empty()).then(|| Arc::new(left)))
}

/// The ids of the batch that are no longer in its stream. A batch from before ids were kept names
/// none: then only their number is known.
fn missing(batch: &Batch, left: &[RawEntry]) -> Vec<StreamId> {
    let there: HashSet<StreamId> = left.iter().map(|entry| entry.id).collect();
    let mut ids = entry_ids::unpack(&batch.ids).unwrap_or_default();
    ids.retain(|id| !there.contains(id));
    ids
}

fn events_of(entries: &[RawEntry]) -> i32 {
    let metas = entries
        .iter()
        .filter_map(|entry| Meta::parse(&entry.meta).ok());
    let events: u32 = metas
        .map(|meta| meta.accepted.saturating_add(meta.rejected))
        .sum();
    i32::try_from(events).unwrap_or(i32::MAX)
}

fn report(shard: &Shard, batch: &Batch, lost: &[StreamId], left: usize) {
    shard.lease.probe.at(Step::GivingUp);
    metrics::ALARMS.add(&["entries_lost"], 1);
    let named: Vec<String> = lost.iter().take(LOGGED).map(StreamId::to_string).collect();
    tracing::error!(
        shard = %shard.id(),
        seq = batch.seq,
        entries = batch.entries,
        left,
        lost = named.join(" "),
        "Redis has lost or changed acknowledged entries of a batch, going on with what is left"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn exactly_the_entries_that_are_gone_are_named() {
        let id = |ms| StreamId { ms, seq: 0 };
        let entry = |ms| RawEntry {
            id: id(ms),
            meta: Bytes::new(),
            body: Bytes::new(),
        };
        let mut batch = Batch {
            seq: 1,
            first: id(1),
            last: id(9),
            entries: 4,
            events: 4,
            digest: [0; 32],
            targets: ledger::Targets::new(),
            revision: 1,
            received_day: time::Date::MIN,
            attempt: 0,
            ids: entry_ids::pack([1, 4, 6, 9].map(id)),
            lost: 0,
            too_old: false,
        };
        assert_eq!(missing(&batch, &[entry(1), entry(6)]), [id(4), id(9)]);
        assert_eq!(missing(&batch, &[]), [1, 4, 6, 9].map(id));
        batch.ids.clear();
        assert_eq!(missing(&batch, &[]), []);
    }
}
