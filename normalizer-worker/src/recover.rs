//! Take-over and recovery: every prepared batch, in order, is made again from the stream, settled
//! in the store and committed. The same path ends every doubt about a batch.

use crate::age;
use crate::draft::{self, Draft, Order};
use crate::error::WorkerError;
use crate::ledger::{self, Batch};
use crate::lost;
use crate::metrics;
use crate::poison::Parked;
use crate::probe::Step;
use crate::reader::Reader;
use crate::resolve::Target;
use crate::shard::Shard;
use crate::sift::{self, Asked};
use crate::work::{RawEntry, Table};
use millrace_shared::limits::BATCH_BYTES_MAX;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How often poison is looked for in one batch before the shard begins again.
const POISON_ROUNDS: u32 = 3;

/// Ends every doubt there is about the shard.
///
/// # Errors
/// When a store is not available or the lease ends; what was done by then stays done.
pub async fn all(shard: &Shard, stop: &CancellationToken) -> Result<(), WorkerError> {
    shard.lease.check()?;
    let pool = &shard.plant.desk.pool;
    let open = ledger::prepared(&pool.get().await?, shard.lease.fence).await?;
    for batch in open {
        if stop.is_cancelled() {
            return Err(WorkerError::Stopping);
        }
        tracing::info!(shard = %shard.id(), seq = batch.seq, "recovering a prepared batch");
        one(shard, batch).await?;
    }
    Ok(())
}

async fn one(shard: &Shard, mut batch: Batch) -> Result<(), WorkerError> {
    shard.lease.check()?;
    shard.lease.probe.at(Step::Recovering);
    let _memory = shard.plant.budget.hold(BATCH_BYTES_MAX).await;
    let entries = match entries_of(shard, &batch).await? {
        Entries::All(entries) => Some(entries),
        Entries::Others(left) => lost::amend(shard, &mut batch, left).await?,
    };
    let Some(entries) = entries else {
        return Ok(());
    };
    let (mut entries, mut parked) = age::sort_out(entries, batch.too_old);
    for _ in 0..POISON_ROUNDS {
        let draft = settle(shard, &mut batch, (entries, parked)).await?;
        match shard.commit(&batch, &draft).await {
            Err(error) if error.refusal().is_some() => {
                (entries, parked) = sift_out(shard, &batch, draft, Asked::PostgreSql).await?;
            }
            outcome => return outcome,
        }
    }
    Err(again_and_again())
}

/// Parks what the store refuses of a batch; what is left of it, and all that is parked of it.
async fn sift_out(
    shard: &Shard,
    batch: &Batch,
    draft: Draft,
    asked: Asked,
) -> Result<(Arc<Vec<RawEntry>>, Vec<Parked>), WorkerError> {
    let found = sift::refused((shard, batch), &draft, asked).await?;
    tracing::error!(shard = %shard.id(), seq = batch.seq, ?asked, parts = found.len(), "parking what the store refuses");
    let mut parked = draft.parked;
    parked.extend(found);
    Ok((draft::without(&draft.entries, &parked), parked))
}

fn again_and_again() -> WorkerError {
    WorkerError::Store("a store refuses parts of a batch again and again".to_owned())
}

/// What the stream holds in the range of a batch.
pub(crate) enum Entries {
    /// All entries, as they were when the batch was prepared.
    All(Arc<Vec<RawEntry>>),
    /// What is left of them, or has changed.
    Others(Vec<RawEntry>),
}

/// Reads the range of a batch from its stream.
///
/// # Errors
/// When Redis is not available.
pub(crate) async fn entries_of(shard: &Shard, batch: &Batch) -> Result<Entries, WorkerError> {
    let mut reader = Reader::shared(&shard.plant.redis, shard.id());
    let entries = reader.range(batch.first, batch.last).await?;
    let same = i32::try_from(entries.len()) == Ok(batch.entries)
        && ledger::digest(&entries) == batch.digest;
    Ok(if same {
        Entries::All(Arc::new(entries))
    } else {
        Entries::Others(entries)
    })
}

/// Makes a batch again and brings its rows to exactly once, parking what the store refuses.
///
/// # Errors
/// When a store is not available or the lease ends; the batch then is still in doubt.
pub(crate) async fn settle(
    shard: &Shard,
    batch: &mut Batch,
    (mut entries, mut parked): (Arc<Vec<RawEntry>>, Vec<Parked>),
) -> Result<Draft, WorkerError> {
    for _ in 0..POISON_ROUNDS {
        let draft = make_again(shard, batch, (entries, parked)).await?;
        let Some(table) = Table::of(shard.id().signal) else {
            return Ok(draft);
        };
        let target = Target {
            store: &shard.plant.store,
            lease: &shard.lease,
            batch,
            table,
            rows: draft.rows(table),
        };
        match target.settle().await {
            Ok(()) => return Ok(draft),
            Err(WorkerError::RefusedRows(_)) => {
                (entries, parked) = sift_out(shard, batch, draft, Asked::ClickHouse(table)).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Err(again_and_again())
}

async fn make_again(
    shard: &Shard,
    batch: &mut Batch,
    (entries, parked): (Arc<Vec<RawEntry>>, Vec<Parked>),
) -> Result<Draft, WorkerError> {
    let plant = &shard.plant;
    let client = plant.desk.pool.get().await?;
    batch.attempt = ledger::next_attempt(&client, shard.lease.fence, batch.seq).await?;
    drop(client);
    let order = Order {
        shard: shard.id(),
        ledger: batch.ledger_id(shard.id()),
        attempt: batch.attempt_byte(),
        snapshot: plant.controls.at(batch.revision).await?,
    };
    let whole = parked.is_empty() && batch.lost == 0;
    let draft = draft::make(&plant.cpu, &order, entries, parked).await?;
    if let Some(table) = Table::of(shard.id().signal).filter(|_| whole && draft.parked.is_empty()) {
        let made = draft.rows(table).map_or(0, |rows| rows.rows);
        if u64::try_from(batch.rows_of(table)) != Ok(made) {
            metrics::ALARMS.add(&["rows_differ"], 1);
            tracing::error!(shard = %shard.id(), seq = batch.seq, made, "a batch made again has another number of rows");
        }
    }
    Ok(draft)
}
