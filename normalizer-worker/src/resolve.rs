//! Brings the rows of one batch in one table to exactly once, whatever happened before: waits until
//! no insert or deletion of it runs, counts by batch id, and inserts or deletes by what is found.
//!
//! Writes only under a lease that holds, and trusts a count rather than an answer.

use crate::backoff::Backoff;
use crate::error::WorkerError;
use crate::lease::Lease;
use crate::ledger::{ASKED, Batch};
use crate::metrics;
use crate::probe::Step;
use crate::store::{Counts, InsertName, Rows, Store};
use crate::work::Table;
use crate::write::{self, Outcome};
use std::time::Duration;

/// Rounds of count and repair before the shard begins again from the ledger.
const ROUNDS_MAX: u32 = 4;
/// Pause between two looks at whether an insert still runs.
const RUNNING_POLL: Duration = Duration::from_millis(200);

/// What a count says of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All rows, once.
    All,
    /// No row.
    None,
    /// A part of the rows, or rows of several attempts.
    Some,
    /// More rows than there should be.
    More,
}

impl Found {
    /// Judges the rows by attempt against the number there should be. Rows of one insert stand or
    /// fall together, so a right number made up of two attempts is no right number; nor is one of
    /// rows that were stored only to [ask](ASKED).
    #[must_use]
    pub fn judge(counts: &[(u8, u64)], expected: u64) -> Found {
        let total: u64 = counts.iter().map(|(_, rows)| rows).sum();
        let attempts = counts.iter().filter(|(_, rows)| *rows > 0).count();
        let asked = counts.iter().any(|(attempt, _)| *attempt == ASKED);
        match total {
            total if total == expected && attempts <= 1 && !asked => Found::All,
            0 => Found::None,
            total if total > expected => Found::More,
            _ => Found::Some,
        }
    }

    /// The attempts whose rows must go: all but the last whole one. Deletions name attempts, so one
    /// that arrives late, after its sender has lost the shard, never takes rows that were written
    /// since: those are of a later attempt.
    #[must_use]
    pub fn surplus(counts: &[(u8, u64)], expected: u64) -> Vec<u8> {
        let whole = counts
            .iter()
            .filter(|(attempt, rows)| *rows == expected && *attempt != ASKED);
        let kept = whole
            .map(|(attempt, _)| *attempt)
            .max()
            .filter(|_| expected > 0);
        let attempts = counts.iter().map(|(attempt, _)| *attempt);
        attempts.filter(|attempt| Some(*attempt) != kept).collect()
    }

    const fn label(self) -> &'static str {
        match self {
            Found::All => "all",
            Found::None => "none",
            Found::Some => "some",
            Found::More => "more",
        }
    }
}

/// The rows of one batch in one table.
pub struct Target<'t> {
    /// Where they go.
    pub store: &'t Store,
    /// Under which lease.
    pub lease: &'t Lease,
    /// Of which batch, at which attempt.
    pub batch: &'t Batch,
    /// To which table.
    pub table: Table,
    /// The rows; `None` when there should be none.
    pub rows: Option<Rows>,
}

impl Target<'_> {
    /// Returns when the store holds exactly these rows of the batch.
    ///
    /// # Errors
    /// [`WorkerError::RefusedRows`] when the store refuses them for their content; any other error
    /// leaves the batch in doubt.
    pub async fn settle(&self) -> Result<(), WorkerError> {
        let expected = self.rows.as_ref().map_or(0, |rows| rows.rows);
        let (mut token, mut claimed) = (self.token(), false);
        for round in 0..ROUNDS_MAX {
            self.lease.probe.at(Step::Resolving);
            self.wait_until_nothing_runs().await?;
            let Some(counts) = self.count().await? else {
                return Ok(());
            };
            let found = Found::judge(&counts, expected);
            self.tell(found);
            let surplus = Found::surplus(&counts, expected);
            match found {
                Found::All => return Ok(()),
                Found::None => {}
                Found::Some => self.delete("some_rows", &counts, &surplus).await?,
                Found::More => self.delete("more_rows", &counts, &surplus).await?,
            }
            // Where rows were deleted, or the store claimed success and wrote nothing, it takes the
            // token for that of rows it has: they need another. Otherwise the token stays the same,
            // so that an insert still on its way is not written twice.
            if found != Found::None || claimed {
                token = format!("{}:fresh-{}.{round}", self.token(), self.batch.attempt);
            }
            // What was kept is whole, and only counted again.
            let Some(rows) = self.rows.as_ref().filter(|_| surplus.len() == counts.len()) else {
                continue;
            };
            let query_id = format!("{}:{}.{round}", self.token(), self.batch.attempt);
            let name = InsertName {
                query_id,
                token: token.clone(),
            };
            claimed = match write::post(self.store, self.lease, rows, &name).await? {
                Outcome::Written => true,
                Outcome::InDoubt => false,
                Outcome::Refused(code) => return Err(WorkerError::RefusedRows(code)),
            };
        }
        Err(WorkerError::Store(
            "rows are in doubt after several rounds".to_owned(),
        ))
    }

    fn tell(&self, found: Found) {
        let (table, found) = (self.table.as_str(), found.label());
        metrics::RESOLVES.add(&[table, found], 1);
        let (shard, seq) = (self.lease.fence.shard, self.batch.seq);
        tracing::info!(%shard, seq, table, found, "judged the rows of a batch in doubt");
    }

    fn token(&self) -> String {
        self.batch.token(self.lease.fence.shard, self.table)
    }

    async fn wait_until_nothing_runs(&self) -> Result<(), WorkerError> {
        let (token, id) = (self.token(), self.batch.ledger_id(self.lease.fence.shard));
        loop {
            self.lease.check()?;
            if self.store.running(self.table, &token, id).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(RUNNING_POLL).await;
        }
    }

    async fn count(&self) -> Result<Option<Counts>, WorkerError> {
        let id = self.batch.ledger_id(self.lease.fence.shard);
        let day = self.batch.received_day;
        let counts = self.store.count(self.table, (day, day), &[id]).await?;
        Ok(counts.map(|mut counts| counts.remove(&id).unwrap_or_default()))
    }

    async fn delete(
        &self,
        alarm: &'static str,
        counts: &Counts,
        surplus: &[u8],
    ) -> Result<(), WorkerError> {
        self.lease.check()?;
        self.lease.probe.at(Step::Deleting);
        let shard = self.lease.fence.shard;
        metrics::ALARMS.add(&[alarm], 1);
        tracing::warn!(%shard, seq = self.batch.seq, ?counts, alarm, "deleting rows to write them anew");
        let id = self.batch.ledger_id(shard);
        let of = (self.batch.received_day, id);
        let deletion = self.store.delete(self.table, of, surplus);
        self.lease.within(deletion).await??;
        self.lease.probe.at(Step::Deleted);
        Ok(())
    }
}

/// Waits out refusals that come before anything is written, while the lease holds.
pub(crate) async fn pause(lease: &Lease, backoff: &mut Backoff) -> Result<(), WorkerError> {
    lease.check()?;
    tokio::time::sleep(backoff.pause()).await;
    lease.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_judged_by_number_and_by_attempt() {
        assert_eq!(Found::judge(&[(0, 10)], 10), Found::All);
        assert_eq!(Found::judge(&[(3, 10)], 10), Found::All);
        assert_eq!(Found::judge(&[], 10), Found::None);
        assert_eq!(Found::judge(&[], 0), Found::All);
        assert_eq!(Found::judge(&[(0, 4)], 10), Found::Some);
        assert_eq!(Found::judge(&[(0, 4), (1, 6)], 10), Found::Some);
        assert_eq!(Found::judge(&[(0, 10), (1, 10)], 10), Found::More);
        assert_eq!(Found::judge(&[(0, 1)], 0), Found::More);
        assert_eq!(Found::judge(&[(ASKED, 1)], 1), Found::Some);
    }

    #[test]
    fn one_whole_attempt_stays_and_all_else_goes() {
        assert_eq!(Found::surplus(&[(0, 10), (1, 10)], 10), [0]);
        assert_eq!(Found::surplus(&[(0, 4), (1, 10), (2, 9)], 10), [0, 2]);
        assert_eq!(Found::surplus(&[(0, 4), (1, 6)], 10), [0, 1]);
        assert_eq!(Found::surplus(&[(2, 20)], 10), [2]);
        assert_eq!(Found::surplus(&[(0, 1)], 0), [0]);
        assert_eq!(Found::surplus(&[(ASKED, 1)], 1), [ASKED]);
        assert_eq!(Found::surplus(&[(3, 10), (ASKED, 10)], 10), [ASKED]);
    }
}
