//! What a batch becomes: the pure half's output over its entries, computed away from the network
//! threads, with the entries that it fails on set aside.

use crate::control_loader::Snapshot;
use crate::error::WorkerError;
use crate::pipeline::{Task, transform};
use crate::poison::{Bisect, Parked};
use crate::store::Rows;
use crate::work::{Output, RawEntry, Table, TargetRows};
use bytes::Bytes;
use millrace_shared::ids::{LedgerId, ShardId};
use millrace_shared::outcome::DeadReason;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Which batch is made, and with what.
#[derive(Clone)]
pub struct Order {
    /// Of which shard.
    pub shard: ShardId,
    /// Which batch.
    pub ledger: LedgerId,
    /// At which attempt; stands in every row.
    pub attempt: u8,
    /// With which rules, indicators and policies.
    pub snapshot: Arc<Snapshot>,
}

/// A batch ready to be stored.
#[derive(Debug)]
pub struct Draft {
    /// The entries it was made of.
    pub entries: Arc<Vec<RawEntry>>,
    /// Entries left out of it.
    pub parked: Vec<Parked>,
    /// What it becomes; the bodies of its targets are in `bodies`.
    pub output: Output,
    bodies: Vec<Bytes>,
}

impl Draft {
    fn new(entries: Arc<Vec<RawEntry>>, parked: Vec<Parked>, mut output: Output) -> Self {
        let take = |target: &mut TargetRows| Bytes::from(std::mem::take(&mut target.body));
        let bodies = output.targets.iter_mut().map(take).collect();
        Draft {
            entries,
            parked,
            output,
            bodies,
        }
    }

    /// The rows for a table, ready to be posted.
    #[must_use]
    pub fn rows(&self, table: Table) -> Option<Rows> {
        let (target, body) = self.target(table)?;
        Some(Rows {
            table,
            rows: u64::from(target.rows),
            body: body.clone(),
        })
    }

    /// The rows for a table, with where those of each entry end.
    #[must_use]
    pub fn target(&self, table: Table) -> Option<(&TargetRows, &Bytes)> {
        let at = self
            .output
            .targets
            .iter()
            .position(|target| target.table == table)?;
        Some((self.output.targets.get(at)?, self.bodies.get(at)?))
    }
}

/// Makes the batch, leaving out the entries already parked. An entry on which the pure half breaks
/// down is parked too: it must not stop its shard for ever.
///
/// # Errors
/// When the pure half gives no answer at all.
pub async fn make(
    cpu: &Semaphore,
    order: &Order,
    entries: Arc<Vec<RawEntry>>,
    mut parked: Vec<Parked>,
) -> Result<Draft, WorkerError> {
    let _turn = cpu.acquire().await.map_err(|_| WorkerError::Stopping)?;
    if let Some(output) = run(order, Arc::clone(&entries)).await {
        return Ok(Draft::new(entries, parked, output));
    }
    let mut search = Bisect::new(entries.len());
    while let Some(range) = search.ask() {
        let part = entries.get(range).unwrap_or_default().to_vec();
        search.tell(run(order, Arc::new(part)).await.is_some());
    }
    let bad = search.found();
    tracing::error!(shard = %order.shard, entries = bad.len(), "the worker broke down on entries, parking them");
    let detail = "the worker broke down on this entry";
    let rest = set_aside(
        &entries,
        &bad,
        &mut parked,
        (DeadReason::Undecodable, detail),
    );
    let output = run(order, Arc::clone(&rest))
        .await
        .ok_or(WorkerError::Transform)?;
    Ok(Draft::new(rest, parked, output))
}

/// Moves the entries at `bad` to those parked; returns the others.
#[must_use]
pub fn set_aside(
    entries: &[RawEntry],
    bad: &[usize],
    parked: &mut Vec<Parked>,
    (reason, detail): (DeadReason, &str),
) -> Arc<Vec<RawEntry>> {
    let mut rest = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        if bad.contains(&at) {
            parked.push(Parked {
                entry: entry.clone(),
                reason,
                detail: detail.to_owned(),
            });
        } else {
            rest.push(entry.clone());
        }
    }
    Arc::new(rest)
}

/// Runs the pure half on a thread of its own; `None` when it breaks down.
async fn run(order: &Order, entries: Arc<Vec<RawEntry>>) -> Option<Output> {
    let order = order.clone();
    let work = move || {
        let Order {
            shard,
            ledger,
            attempt,
            snapshot,
        } = &order;
        let control = &snapshot.control;
        transform(
            &Task {
                shard: *shard,
                ledger: *ledger,
                attempt: *attempt,
                control,
            },
            &entries,
        )
    };
    tokio::task::spawn_blocking(work).await.ok()
}
