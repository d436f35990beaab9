//! Some time after its commit the rows of a batch are counted. What is all there is marked audited
//! and its entries are trimmed from the stream; what is not is repaired while the entries are there.
//!
//! Nothing is trimmed that is not audited.

use crate::error::WorkerError;
use crate::ledger::{self, Batch};
use crate::metrics;
use crate::poison::Parked;
use crate::probe::Step;
use crate::reader::Reader;
use crate::recover;
use crate::resolve::Found;
use crate::shard::Shard;
use crate::work::{RawEntry, Table};
use millrace_shared::ids::StreamId;
use millrace_shared::outcome::DeadReason;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pause between two looks for batches that are due.
const EVERY: Duration = Duration::from_secs(1);

/// Audits and trims until halted.
///
/// # Errors
/// When a store is not available or the lease ends.
pub async fn keep_auditing(shard: &Shard, halt: &CancellationToken) -> Result<(), WorkerError> {
    let mut shown = Shown::default();
    loop {
        tokio::select! {
            () = halt.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        let done = round(shard, &mut shown);
        tokio::select! {
            () = halt.cancelled() => return Ok(()),
            outcome = done => outcome?,
        }
    }
}

/// What the stream was last brought to.
#[derive(Default)]
struct Shown {
    trimmed: StreamId,
    cursor: StreamId,
}

async fn round(shard: &Shard, shown: &mut Shown) -> Result<(), WorkerError> {
    shard.lease.check()?;
    let fence = shard.lease.fence;
    let pool = &shard.plant.desk.pool;
    let delay = shard.plant.audit_delay.as_secs_f64();
    let due = ledger::due_for_audit(&pool.get().await?, fence, delay).await?;
    let trim = !due.is_empty() || shown.trimmed == StreamId::ZERO;
    if !due.is_empty() {
        let started = Instant::now();
        shard.lease.probe.at(Step::Auditing);
        let good = judge(shard, due).await?;
        shard.lease.probe.at(Step::Counted);
        ledger::audited(&pool.get().await?, fence, &good).await?;
        shard.observe("audit", started);
        shard.lease.probe.at(Step::Audited);
    }
    let mut reader = Reader::shared(&shard.plant.redis, shard.id());
    if trim {
        let keep = ledger::keep_from(&pool.get().await?, fence).await?;
        if keep > shown.trimmed {
            reader.trim_before(keep).await?;
            shard.lease.probe.at(Step::Trimmed);
            shown.trimmed = keep;
        }
    }
    let cursor = shard.cursor();
    if cursor > shown.cursor {
        reader.show_cursor(cursor).await?;
        shown.cursor = cursor;
    }
    Ok(())
}

/// Counts the rows of batches; the numbers of those that are right, or put right.
async fn judge(shard: &Shard, due: Vec<Batch>) -> Result<Vec<i64>, WorkerError> {
    let Some(table) = Table::of(shard.id().signal) else {
        // Samples were stored by the commit itself.
        return Ok(due.iter().map(|batch| batch.seq).collect());
    };
    let ids: Vec<_> = due
        .iter()
        .map(|batch| batch.ledger_id(shard.id()))
        .collect();
    let days = due.iter().map(|batch| batch.received_day);
    let (Some(from), Some(to)) = (days.clone().min(), days.max()) else {
        return Ok(Vec::new());
    };
    let counts = shard.plant.store.count(table, (from, to), &ids).await?;
    let mut good = Vec::with_capacity(due.len());
    for (batch, id) in due.into_iter().zip(ids) {
        let expected = u64::try_from(batch.rows_of(table)).unwrap_or(0);
        let found = match &counts {
            Some(counts) => Found::judge(counts.get(&id).map_or(&[], Vec::as_slice), expected),
            None => Found::All,
        };
        let seq = batch.seq;
        if found == Found::All || repair(shard, batch, found).await? {
            good.push(seq);
        }
    }
    Ok(good)
}

/// Makes the rows of a committed batch right again; false if its entries are gone.
async fn repair(shard: &Shard, mut batch: Batch, found: Found) -> Result<bool, WorkerError> {
    metrics::ALARMS.add(&["audit_mismatch"], 1);
    tracing::error!(shard = %shard.id(), seq = batch.seq, ?found, "rows of a committed batch are not as they were written, repairing");
    let Some(entries) = recover::entries_of(shard, &batch).await? else {
        recover::give_up(shard, &batch).await?;
        return Ok(false);
    };
    let parked = parked_of(shard, &batch).await?;
    let (kept, parked) = part(&entries, &parked);
    recover::settle(shard, &mut batch, (Arc::new(kept), parked)).await?;
    Ok(true)
}

/// Entries of the batch that were parked because the store refused them.
async fn parked_of(shard: &Shard, batch: &Batch) -> Result<Vec<StreamId>, WorkerError> {
    let sql = "SELECT entry_ms, entry_seq FROM dead_letter \
                WHERE signal = $1 AND shard = $2 AND events_at IS NULL AND reason = $3 \
                  AND (entry_ms, entry_seq) >= ($4, $5) AND (entry_ms, entry_seq) <= ($6, $7)";
    let fence = shard.lease.fence;
    let (first, last) = (ledger::columns(batch.first), ledger::columns(batch.last));
    let reason = DeadReason::RefusedByStore.as_str();
    let client = shard.plant.desk.pool.get().await?;
    let rows = client
        .query(
            sql,
            &[
                &fence.signal(),
                &fence.number(),
                &reason,
                &first.0,
                &first.1,
                &last.0,
                &last.1,
            ],
        )
        .await?;
    rows.iter()
        .map(|row| ledger::stream_id(row, "entry_ms", "entry_seq"))
        .collect()
}

fn part(entries: &[RawEntry], parked: &[StreamId]) -> (Vec<RawEntry>, Vec<Parked>) {
    let (away, kept): (Vec<RawEntry>, Vec<RawEntry>) = entries
        .iter()
        .cloned()
        .partition(|entry| parked.contains(&entry.id));
    let park = |entry| Parked {
        entry,
        reason: DeadReason::RefusedByStore,
        detail: String::new(),
    };
    (kept, away.into_iter().map(park).collect())
}
