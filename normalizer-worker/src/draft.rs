//! What a batch becomes: the pure half's output over its entries, computed away from the network
//! threads, with the entries that it fails on set aside.

use crate::control_loader::Snapshot;
use crate::error::WorkerError;
use crate::pipeline::{Task, transform};
use crate::poison::{self, Bisect, Parked};
use crate::store::Rows;
use crate::work::{Aside, Output, RawEntry, Table, TargetRows};
use bytes::Bytes;
use millrace_shared::ids::{LedgerId, ShardId, StreamId};
use millrace_shared::outcome::DeadReason;
use std::collections::HashSet;
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
    /// What is left out of it: whole entries, which are not among the entries, and events.
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
        let mut targets = self.output.targets.iter();
        let at = targets.position(|target| target.table == table)?;
        let target = self.output.targets.get(at)?;
        Some(Rows {
            table,
            rows: u64::from(target.rows),
            body: self.bodies.get(at)?.clone(),
        })
    }
}

/// Makes the batch, leaving out what is parked already. An entry on which the pure half breaks down
/// is parked too: it must not stop its shard for ever.
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
    let aside = Arc::new(poison::aside(&parked));
    if let Some(output) = run(order, Arc::clone(&entries), &aside).await {
        return Ok(Draft::new(entries, parked, output));
    }
    let mut search = Bisect::new(entries.len());
    while let Some(range) = search.ask() {
        let part = entries.get(range).unwrap_or_default().to_vec();
        search.tell(run(order, Arc::new(part), &aside).await.is_some());
    }
    let bad = search.found();
    tracing::error!(shard = %order.shard, entries = bad.len(), "the worker broke down on entries, parking them");
    for entry in bad.iter().filter_map(|at| entries.get(*at)) {
        let detail = "the worker broke down on this entry";
        parked.retain(|one| one.entry.id != entry.id);
        parked.push(Parked::whole(
            entry.clone(),
            DeadReason::Undecodable,
            detail,
        ));
    }
    let rest = without(&entries, &parked);
    let output = run(order, Arc::clone(&rest), &aside)
        .await
        .ok_or(WorkerError::Transform)?;
    Ok(Draft::new(rest, parked, output))
}

/// The entries that are not parked whole.
#[must_use]
pub fn without(entries: &[RawEntry], parked: &[Parked]) -> Arc<Vec<RawEntry>> {
    let gone: HashSet<StreamId> = parked
        .iter()
        .filter(|one| one.events_at.is_none())
        .map(|one| one.entry.id)
        .collect();
    let rest = entries.iter().filter(|entry| !gone.contains(&entry.id));
    Arc::new(rest.cloned().collect())
}

/// Runs the pure half on a thread of its own; `None` when it breaks down.
async fn run(order: &Order, entries: Arc<Vec<RawEntry>>, aside: &Arc<Aside>) -> Option<Output> {
    let (order, aside) = (order.clone(), Arc::clone(aside));
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
                aside: &aside,
            },
            &entries,
        )
    };
    tokio::task::spawn_blocking(work).await.ok()
}
