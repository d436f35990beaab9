//! Some time after its commit the rows of a batch are counted. What is all there is marked audited
//! and its entries are trimmed from the stream; what is not is repaired while the entries are there.
//!
//! Nothing is trimmed that is not audited.

use crate::age;
use crate::draft;
use crate::error::WorkerError;
use crate::ledger::{self, Batch};
use crate::metrics;
use crate::poison::Parked;
use crate::probe::Step;
use crate::reader::Reader;
use crate::recover::{self, Entries};
use crate::resolve::Found;
use crate::shard::Shard;
use crate::work::{RawEntry, Table};
use millrace_shared::ids::StreamId;
use millrace_shared::outcome::DeadReason;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;

/// Pause between two looks for batches that are due.
const EVERY: Duration = Duration::from_secs(1);

/// Audits and trims until halted. Everything not yet audited is counted at once when it begins and
/// whenever ClickHouse was started anew: what a restart lost is put right while its entries are there.
///
/// # Errors
/// When a store is not available or the lease ends.
pub async fn keep_auditing(shard: &Shard, halt: &CancellationToken) -> Result<(), WorkerError> {
    let audit = async {
        let mut shown = Shown::default();
        let mut started = shard.plant.store_started.subscribe();
        let client = shard.plant.desk.pool.get().await?;
        ledger::audit_later(&client, shard.lease.fence).await?;
        drop(client);
        recount(shard).await?;
        loop {
            tokio::select! {
                Ok(()) = started.changed() => recount(shard).await?,
                () = tokio::time::sleep(EVERY) => {}
            }
            round(shard, &mut shown).await?;
        }
    };
    tokio::select! {
        () = halt.cancelled() => Ok(()),
        ended = audit => ended,
    }
}

/// Counts every batch that is not yet audited, however young, and puts right what is wrong. None is
/// marked audited by this: what was found may still not outlast the next loss of power.
async fn recount(shard: &Shard) -> Result<(), WorkerError> {
    let mut after = -1;
    loop {
        shard.lease.check()?;
        let client = shard.plant.desk.pool.get().await?;
        let due = ledger::due_for_audit(&client, shard.lease.fence, 0.0, after).await?;
        drop(client);
        let Some(last) = due.last() else {
            return Ok(());
        };
        after = last.seq;
        judge(shard, due).await?;
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
    let due = ledger::due_for_audit(&pool.get().await?, fence, delay, -1).await?;
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

/// Counts the rows of batches and puts right what is wrong; the numbers of those that were right.
async fn judge(shard: &Shard, due: Vec<Batch>) -> Result<Vec<i64>, WorkerError> {
    let Some(table) = Table::of(shard.id().signal) else {
        // Samples were stored by the commit itself.
        return Ok(due.iter().map(|batch| batch.seq).collect());
    };
    // What is past its retention the store may have dropped: there is nothing to be compared.
    let signal = shard.id().signal;
    let over = |batch: &Batch| age::is_over(signal, age::day_number(batch.received_day));
    let (gone, due): (Vec<Batch>, Vec<Batch>) = due.into_iter().partition(over);
    let mut good: Vec<i64> = gone.iter().map(|batch| batch.seq).collect();
    let due = at_rest(shard, table, due).await?;
    let ids: Vec<_> = due
        .iter()
        .map(|batch| batch.ledger_id(shard.id()))
        .collect();
    let days = due.iter().map(|batch| batch.received_day);
    let (Some(from), Some(to)) = (days.clone().min(), days.max()) else {
        return Ok(good);
    };
    let counts = shard.plant.store.count(table, (from, to), &ids).await?;
    for (batch, id) in due.into_iter().zip(ids) {
        let expected = u64::try_from(batch.rows_of(table)).unwrap_or(0);
        let found = match &counts {
            Some(counts) => Found::judge(counts.get(&id).map_or(&[], Vec::as_slice), expected),
            None => Found::All,
        };
        let seq = batch.seq;
        if found == Found::All {
            good.push(seq);
        } else {
            repair(shard, batch, found).await?;
        }
    }
    Ok(good)
}

/// Those of which nothing runs that could change their rows: an insert or a deletion that somebody
/// has given up. There is none of a batch that was written at its first attempt.
async fn at_rest(shard: &Shard, table: Table, due: Vec<Batch>) -> Result<Vec<Batch>, WorkerError> {
    let mut quiet = Vec::with_capacity(due.len());
    for batch in due {
        let (token, id) = (batch.token(shard.id(), table), batch.ledger_id(shard.id()));
        let store = &shard.plant.store;
        if batch.attempt == 0 || store.running(table, &token, id).await? == 0 {
            quiet.push(batch);
        }
    }
    Ok(quiet)
}

/// Makes the rows of a committed batch right again. Its audit then is due later: the new rows may
/// not be on disk yet. A batch whose entries are gone is given up, with what there is of its rows.
async fn repair(shard: &Shard, mut batch: Batch, found: Found) -> Result<(), WorkerError> {
    metrics::ALARMS.add(&["audit_mismatch"], 1);
    tracing::error!(shard = %shard.id(), seq = batch.seq, ?found, "rows of a committed batch are not as they were written, repairing");
    let pool = &shard.plant.desk.pool;
    let Entries::All(entries) = recover::entries_of(shard, &batch).await? else {
        metrics::ALARMS.add(&["unrepairable"], 1);
        tracing::error!(shard = %shard.id(), seq = batch.seq, ?found, "its entries are gone from the stream, parking the batch");
        return ledger::park(&pool.get().await?, shard.lease.fence, batch.seq).await;
    };
    let parked = parked_of(shard, &batch).await?;
    let parked = part(&entries, &parked);
    let kept = draft::without(&entries, &parked);
    recover::settle(shard, &mut batch, (kept, parked)).await?;
    ledger::rewritten(&pool.get().await?, shard.lease.fence, batch.seq).await
}

/// An entry with the events of it that were parked; with none when it was parked whole.
type Refused = (StreamId, Option<Vec<i32>>);

/// What of the batch was parked because a store refused it.
async fn parked_of(shard: &Shard, batch: &Batch) -> Result<Vec<Refused>, WorkerError> {
    let sql = "SELECT entry_ms, entry_seq, events_at FROM dead_letter \
                WHERE signal = $1 AND shard = $2 AND reason = $3 \
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
    let refused = |row: &Row| {
        let id = ledger::stream_id(row, "entry_ms", "entry_seq")?;
        Ok((id, row.try_get("events_at")?))
    };
    rows.iter().map(refused).collect()
}

fn part(entries: &[RawEntry], refused: &[Refused]) -> Vec<Parked> {
    let park = |(id, events): &Refused| {
        let entry = entries.iter().find(|entry| entry.id == *id)?;
        let at = |events: &Vec<i32>| {
            let indexes = events.iter().filter_map(|at| u16::try_from(*at).ok());
            indexes.collect()
        };
        Some(Parked {
            events_at: events.as_ref().map(at),
            ..Parked::whole(entry.clone(), DeadReason::RefusedByStore, "")
        })
    };
    refused.iter().filter_map(park).collect()
}
