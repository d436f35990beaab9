//! The commit of a batch: one transaction of PostgreSQL with everything that goes with it.
//!
//! ```text
//! ledger row (fenced) → samples → locks → windows → alerts → dead letters → seals → sources → hits → usage
//! ```
//!
//! Every transaction takes what it shares with others in this order, and within a step in the order
//! of keys, so no two of them wait for each other. What many share (usage) comes last and is held
//! shortest. Nothing outside PostgreSQL is touched.

mod text;
mod series;
mod locks;
mod windows;
pub(crate) mod silence;
mod plan;
mod raise;
mod retrospect;
mod letters;
mod books;

pub use books::{Usage, link};
pub use raise::rank;
pub(crate) use retrospect::{Hunter, Retrospect, raise_in_retrospect};
pub use series::SeriesCache;

use crate::error::WorkerError;
use crate::lease::Lease;
use crate::ledger::{self, Batch, Fence, SAMPLES_TARGET, Targets};
use crate::poison::Parked;
use crate::probe::Step;
use crate::work::{Output, RawEntry};
use deadpool_postgres::{Client, Pool, Transaction};
use millrace_shared::ids::{LedgerId, OrgId};
use std::collections::{BTreeMap, HashMap};

/// Time for one statement of the commit, and for waiting inside it: a worker that stops in the
/// middle lets go of its locks before its successor could have the lease.
const STATEMENT_TIMEOUT_MS: u32 = 12_000;
/// Time between two statements.
const IDLE_TIMEOUT_MS: u32 = 8_000;

/// One batch, ready to be committed: its rows are in ClickHouse.
#[derive(Clone, Copy, Debug)]
pub struct Work<'w> {
    /// Shard and epoch.
    pub fence: Fence,
    /// What the ledger says of it.
    pub batch: &'w Batch,
    /// The entries that the output was made of.
    pub entries: &'w [RawEntry],
    /// What is left out of it.
    pub parked: &'w [Parked],
    /// Everything that is stored.
    pub output: &'w Output,
}

impl Work<'_> {
    /// The id its rows carry.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        self.batch.ledger_id(self.fence.shard)
    }

    fn targets(&self) -> Targets {
        let rows = |target: &crate::work::TargetRows| {
            (target.table.as_str().to_owned(), i64::from(target.rows))
        };
        self.output.targets.iter().map(rows).collect()
    }

    fn books(&self, refused: &HashMap<u32, u32>) -> BTreeMap<OrgId, Usage> {
        let parked = self.parked.iter().map(Parked::usage);
        let entries: Vec<_> = self.output.usage.iter().cloned().chain(parked).collect();
        books::add_up(&entries, refused)
    }
}

/// Where commits go.
pub struct Desk {
    /// PostgreSQL.
    pub pool: Pool,
    /// Series seen lately.
    pub series: SeriesCache,
    /// Series an organisation may have.
    pub series_max: u64,
}

impl Desk {
    /// Commits a batch; what it has added to the books.
    ///
    /// # Errors
    /// [`WorkerError::Fenced`] when another worker has the batch; on any other error it may be
    /// committed or not, and the ledger tells.
    pub async fn commit(&self, lease: &Lease, work: &Work<'_>) -> Result<Usage, WorkerError> {
        lease.check()?;
        lease.probe.at(Step::Landing);
        let mut client = self.pool.get().await?;
        let tx = begin(&mut client).await?;
        let (stored, books) = self.fill(&tx, lease, work).await?;
        lease.probe.at(Step::Committing);
        tx.commit().await?;
        self.series.learn(&stored);
        Ok(books
            .values()
            .fold(Usage::default(), |all, one| all.plus(one)))
    }

    /// Does all of a commit but the last step, and undoes it.
    ///
    /// # Errors
    /// Those of the commit.
    pub async fn rehearse(&self, lease: &Lease, work: &Work<'_>) -> Result<(), WorkerError> {
        lease.check()?;
        let mut client = self.pool.get().await?;
        let tx = begin(&mut client).await?;
        self.fill(&tx, lease, work).await?;
        tx.rollback().await?;
        Ok(())
    }

    async fn fill(
        &self,
        tx: &Transaction<'_>,
        lease: &Lease,
        work: &Work<'_>,
    ) -> Result<(series::Stored, BTreeMap<OrgId, Usage>), WorkerError> {
        let (output, id, place) = (work.output, work.ledger_id(), work.batch.seq);
        let mut targets = work.targets();
        let planned = i64::try_from(output.samples.len()).unwrap_or(i64::MAX);
        if planned > 0 {
            targets.insert(SAMPLES_TARGET.to_owned(), planned);
        }
        ledger::commit(tx, work.fence, place, &targets).await?;
        lease.probe.at(Step::Fenced);
        let stored = series::store(tx, &self.series, self.series_max, (output, id)).await?;
        if !stored.refused.is_empty() {
            targets.insert(
                SAMPLES_TARGET.to_owned(),
                i64::try_from(stored.samples).unwrap_or(i64::MAX),
            );
            ledger::correct_targets(tx, work.fence, place, &targets).await?;
        }
        locks::take(tx, output).await?;
        let mut drafts = output.alerts.clone();
        drafts.extend(windows::apply(tx, output, work.fence.shard.signal).await?);
        raise::store(tx, (work.fence.shard, id), drafts).await?;
        letters::store(tx, work).await?;
        letters::close_replayed(tx, work).await?;
        books::store_seals(tx, work).await?;
        books::store_sources(tx, work).await?;
        books::store_hits(tx, work).await?;
        let books = work.books(&stored.refused);
        books::store_usage(tx, work, &books).await?;
        Ok((stored, books))
    }
}

async fn begin(client: &mut Client) -> Result<Transaction<'_>, WorkerError> {
    let tx = client.transaction().await?;
    tx.batch_execute(&format!(
        "SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}; \
         SET LOCAL idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}"
    ))
    .await?;
    Ok(tx)
}
