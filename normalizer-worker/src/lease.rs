//! Who owns which shard: leases on the clock of PostgreSQL, fenced by an epoch that grows with
//! every owner. Says when a lease may be used; what is done under it is not its concern.

use crate::error::WorkerError;
use crate::ledger::Fence;
use crate::metrics;
use crate::probe::Step;
use deadpool_postgres::{Pool, Transaction};
use millrace_runtime::probe::Probe;
use millrace_shared::Signal;
use millrace_shared::ids::ShardId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

/// A lease is renewed this many times while it holds.
pub const RENEWALS: u32 = 5;
/// Nothing is begun under a lease in the last part of its time: a fifth.
const MARGIN_PART: u32 = 5;
/// How long taking a shard waits for a commit of its former owner.
const TAKE_LOCK_MS: u32 = 500;

/// The right to write for one shard, while it lasts.
#[derive(Debug)]
pub struct Lease {
    /// The shard and the epoch.
    pub fence: Fence,
    /// Cancelled when somebody else has the shard.
    pub lost: CancellationToken,
    /// Where the worker ends itself, if at all.
    pub probe: Probe<Step>,
    length: Duration,
    ends: Mutex<Instant>,
}

impl Lease {
    /// A lease that was asked for at `asked` and granted.
    #[must_use]
    pub fn new(fence: Fence, length: Duration, asked: Instant) -> Self {
        let ends = Mutex::new(asked + length);
        Lease {
            fence,
            lost: CancellationToken::new(),
            probe: Probe::default(),
            length,
            ends,
        }
    }

    fn with_probe(mut self, probe: Probe<Step>) -> Self {
        self.probe = probe;
        self
    }

    fn renewed(&self, asked: Instant) {
        if let Ok(mut ends) = self.ends.lock() {
            *ends = (*ends).max(asked + self.length);
        }
    }

    /// Time for which writing may go on: the lease without its last part.
    #[must_use]
    pub fn left(&self) -> Duration {
        let ends = self
            .ends
            .lock()
            .map_or_else(|poisoned| *poisoned.into_inner(), |ends| *ends);
        (ends - self.length / MARGIN_PART).saturating_duration_since(Instant::now())
    }

    /// Lets something run for as long as the lease holds, renewals included.
    ///
    /// # Errors
    /// When the lease is lost or about to end first; what ran is then dropped.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, WorkerError> {
        let ended = async {
            while !self.left().is_zero() {
                tokio::time::sleep(self.left()).await;
            }
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.lost.cancelled() => Err(WorkerError::Fenced(self.fence.shard)),
            () = ended => Err(WorkerError::LeaseEnds(self.fence.shard)),
        }
    }

    /// Whether writing may go on.
    ///
    /// # Errors
    /// When the lease is lost or about to end.
    pub fn check(&self) -> Result<(), WorkerError> {
        if self.lost.is_cancelled() {
            Err(WorkerError::Fenced(self.fence.shard))
        } else if self.left().is_zero() {
            Err(WorkerError::LeaseEnds(self.fence.shard))
        } else {
            Ok(())
        }
    }
}

/// What taking a shard came to.
enum Taken {
    /// It is ours.
    Ours,
    /// Its former owner is in the middle of a commit.
    Busy(ShardId),
    /// None is free.
    None,
}

/// What one round of looking after leases has changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Shards that somebody else has.
    pub lost: Vec<ShardId>,
    /// Shards beyond our share, to be given up in good order.
    pub surplus: Vec<ShardId>,
}

/// The leases of one worker.
pub struct Leases {
    pool: Pool,
    name: String,
    signals: Vec<Signal>,
    shards: u32,
    length: Duration,
    held: HashMap<ShardId, Arc<Lease>>,
    /// Shards whose former owner is in the middle of a commit: left for the next round.
    busy: Vec<ShardId>,
    first_round: bool,
    /// The control revision that batches are begun with, now and at the round before.
    revision: Option<(i64, i64)>,
    probe: Probe<Step>,
}

impl Leases {
    /// Of a worker of that name, which takes shards of these signals.
    #[must_use]
    pub fn new(
        pool: Pool,
        name: &str,
        signals: &[Signal],
        (shards, length): (u32, Duration),
    ) -> Self {
        Leases {
            pool,
            name: name.to_owned(),
            signals: signals.to_vec(),
            shards,
            length,
            held: HashMap::new(),
            busy: Vec::new(),
            first_round: true,
            revision: None,
            probe: Probe::default(),
        }
    }

    /// With a fail point, for the leases it takes too.
    #[must_use]
    pub fn with_probe(mut self, probe: &Probe<Step>) -> Self {
        self.probe = probe.clone();
        self
    }

    /// One round: shows that we live, renews what we hold, takes what is free up to our share.
    ///
    /// # Errors
    /// When PostgreSQL is not available; leases then run out by themselves.
    pub async fn round(&mut self) -> Result<Changes, WorkerError> {
        let mut changes = Changes {
            lost: self.renew().await?,
            ..Changes::default()
        };
        let workers = self.show_up().await?;
        for signal in self.signals.clone() {
            let share = share(self.shards, workers.get(&signal).copied().unwrap_or(1));
            let mut held: Vec<ShardId> = self
                .held
                .keys()
                .copied()
                .filter(|shard| shard.signal == signal)
                .collect();
            held.sort_unstable();
            changes.surplus.extend(held.iter().skip(share));
            let mut missing = share.saturating_sub(held.len());
            self.busy.clear();
            while missing > 0 {
                match self.take(signal).await? {
                    Taken::Ours => missing -= 1,
                    Taken::Busy(shard) => self.busy.push(shard),
                    Taken::None => break,
                }
            }
        }
        self.first_round = false;
        self.count();
        Ok(changes)
    }

    /// Tells with which control revision batches are begun. Shown is that of the round before: what was
    /// begun until then is in the ledger by now, if it ever will be.
    pub fn begins_with(&mut self, revision: i64) {
        let before = self.revision.map_or(revision, |(now, _)| now);
        self.revision = Some((revision, before));
    }

    /// The leases held at this moment.
    #[must_use]
    pub fn held(&self) -> Vec<Arc<Lease>> {
        self.held.values().cloned().collect()
    }

    /// Gives a shard up, so that another worker need not wait for the lease to end.
    ///
    /// # Errors
    /// When PostgreSQL is not available; the lease then runs out by itself.
    pub async fn release(&mut self, shard: ShardId) -> Result<(), WorkerError> {
        let Some(lease) = self.held.remove(&shard) else {
            return Ok(());
        };
        self.count();
        let client = self.pool.get().await?;
        let sql = "UPDATE shard SET owner = '', lease_until = '-infinity' \
                    WHERE signal = $1 AND shard = $2 AND epoch = $3 AND owner = $4";
        let fence = lease.fence;
        client
            .execute(
                sql,
                &[&fence.signal(), &fence.number(), &fence.epoch, &self.name],
            )
            .await?;
        metrics::LEASE_CHANGES.add(&["released"], 1);
        Ok(())
    }

    /// No longer counts as a living worker.
    ///
    /// # Errors
    /// When PostgreSQL is not available; the entry then runs out by itself.
    pub async fn leave(&self) -> Result<(), WorkerError> {
        let client = self.pool.get().await?;
        client
            .execute("DELETE FROM worker WHERE name = $1", &[&self.name])
            .await?;
        Ok(())
    }

    fn count(&self) {
        for signal in Signal::ALL {
            let held = self
                .held
                .keys()
                .filter(|shard| shard.signal == signal)
                .count();
            let held = u32::try_from(held).unwrap_or(u32::MAX);
            metrics::LEASES.set(&[signal.as_str()], f64::from(held));
        }
    }

    async fn renew(&mut self) -> Result<Vec<ShardId>, WorkerError> {
        let fences: Vec<Fence> = self.held.values().map(|lease| lease.fence).collect();
        if fences.is_empty() {
            return Ok(Vec::new());
        }
        let asked = Instant::now();
        let client = self.pool.get().await?;
        let sql = "UPDATE shard SET lease_until = clock_timestamp() + make_interval(secs => $2) \
                     FROM unnest($3::text[], $4::int2[], $5::int8[]) AS held (signal, shard, epoch) \
                    WHERE shard.signal = held.signal AND shard.shard = held.shard \
                      AND shard.epoch = held.epoch AND shard.owner = $1 \
                RETURNING shard.signal, shard.shard";
        let signals: Vec<&str> = fences.iter().map(Fence::signal).collect();
        let numbers: Vec<i16> = fences.iter().map(Fence::number).collect();
        let epochs: Vec<i64> = fences.iter().map(|fence| fence.epoch).collect();
        let statement = client.prepare_cached(sql).await?;
        let seconds = self.length.as_secs_f64();
        let rows = client
            .query(
                &statement,
                &[&self.name, &seconds, &signals, &numbers, &epochs],
            )
            .await?;
        let mut lost: Vec<ShardId> = fences.iter().map(|fence| fence.shard).collect();
        for row in rows {
            let shard = shard_id(row.try_get(0)?, row.try_get(1)?)?;
            lost.retain(|other| *other != shard);
            if let Some(lease) = self.held.get(&shard) {
                lease.renewed(asked);
            }
        }
        for shard in &lost {
            if let Some(lease) = self.held.remove(shard) {
                lease.lost.cancel();
                metrics::LEASE_CHANGES.add(&["lost"], 1);
            }
        }
        Ok(lost)
    }

    /// Says that we live, and counts the living per signal.
    async fn show_up(&self) -> Result<HashMap<Signal, u32>, WorkerError> {
        let client = self.pool.get().await?;
        let sql = "INSERT INTO worker (name, signals, seen_until, revision) \
                   VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3), $4) \
                   ON CONFLICT (name) DO UPDATE SET signals = excluded.signals, \
                   seen_until = excluded.seen_until, revision = excluded.revision";
        let signals: Vec<&str> = self.signals.iter().map(|signal| signal.as_str()).collect();
        let (seconds, revision) = (
            self.length.as_secs_f64(),
            self.revision.map(|(_, then)| then),
        );
        client
            .execute(sql, &[&self.name, &signals, &seconds, &revision])
            .await?;
        let sql = "SELECT s, count(*) FROM worker, unnest(signals) AS s \
                    WHERE seen_until > clock_timestamp() GROUP BY s";
        let mut living = HashMap::new();
        for row in client.query(sql, &[]).await? {
            let count: i64 = row.try_get(1)?;
            if let Some(signal) = Signal::from_name(row.try_get(0)?) {
                living.insert(signal, u32::try_from(count).unwrap_or(u32::MAX));
            }
        }
        Ok(living)
    }

    /// Takes one free shard of the signal. A worker that has just started also takes back what it
    /// held under its name before.
    async fn take(&mut self, signal: Signal) -> Result<Taken, WorkerError> {
        let asked = Instant::now();
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        tx.batch_execute(&format!("SET LOCAL lock_timeout = {TAKE_LOCK_MS}"))
            .await?;
        let sql = "UPDATE shard SET epoch = epoch + 1, owner = $2, \
                          lease_until = clock_timestamp() + make_interval(secs => $3) \
                    WHERE signal = $1 AND shard = ( \
                        SELECT shard FROM shard \
                         WHERE signal = $1 AND NOT shard = ANY($5) \
                           AND (lease_until <= clock_timestamp() OR ($4 AND owner = $2)) \
                         ORDER BY shard LIMIT 1 FOR UPDATE SKIP LOCKED) \
                RETURNING shard, epoch";
        let ours = self.held.keys().chain(&self.busy);
        let ours: Vec<i16> = ours
            .filter(|shard| shard.signal == signal)
            .filter_map(|shard| i16::try_from(shard.shard).ok())
            .collect();
        let seconds = self.length.as_secs_f64();
        let row = tx
            .query_opt(
                sql,
                &[
                    &signal.as_str(),
                    &self.name,
                    &seconds,
                    &self.first_round,
                    &ours,
                ],
            )
            .await?;
        let Some(row) = row else {
            return Ok(Taken::None);
        };
        let shard = shard_id(signal.as_str(), row.try_get(0)?)?;
        let fence = Fence {
            shard,
            epoch: row.try_get(1)?,
        };
        if !fence_batches(&tx, fence).await? {
            return Ok(Taken::Busy(shard));
        }
        tx.commit().await?;
        self.probe.at(Step::Taken);
        let lease = Lease::new(fence, self.length, asked).with_probe(self.probe.clone());
        let lease = Arc::new(lease);
        self.held.insert(shard, lease);
        metrics::LEASE_CHANGES.add(&["taken"], 1);
        Ok(Taken::Ours)
    }
}

/// From here on whatever the former owner is about to commit is refused; false when he is in the
/// middle of it, and nothing was done.
async fn fence_batches(tx: &Transaction<'_>, fence: Fence) -> Result<bool, WorkerError> {
    let sql = "UPDATE batch SET epoch = $3 WHERE signal = $1 AND shard = $2 \
                  AND state IN ('PREPARED', 'COMMITTED')";
    let fenced = tx
        .execute(sql, &[&fence.signal(), &fence.number(), &fence.epoch])
        .await;
    match fenced {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(true),
    }
}

/// Shards of a signal that one of so many workers should hold: rounded up, so that all shards are
/// held by somebody.
fn share(shards: u32, workers: u32) -> usize {
    shards.div_ceil(workers.max(1)) as usize
}

fn shard_id(signal: &str, shard: i16) -> Result<ShardId, WorkerError> {
    let signal = Signal::from_name(signal).ok_or(WorkerError::Ledger("unknown signal"))?;
    let shard = u16::try_from(shard).map_err(|_| WorkerError::Ledger("negative shard"))?;
    Ok(ShardId { signal, shard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_all_shards_and_differ_by_rounding_only() {
        for shards in 1..=32u32 {
            for workers in 1..=40u32 {
                let share = share(shards, workers);
                assert!(share * workers as usize >= shards as usize);
                assert!(share <= shards as usize / workers as usize + 1);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_in_the_last_part_of_a_lease() {
        let shard = ShardId {
            signal: Signal::Logs,
            shard: 0,
        };
        let length = Duration::from_secs(15);
        let lease = Lease::new(Fence { shard, epoch: 1 }, length, Instant::now());
        assert!(lease.check().is_ok());
        tokio::time::advance(Duration::from_secs(12)).await;
        assert!(matches!(lease.check(), Err(WorkerError::LeaseEnds(_))));
        lease.renewed(Instant::now());
        assert_eq!(lease.left(), Duration::from_secs(12));
        lease.lost.cancel();
        assert!(matches!(lease.check(), Err(WorkerError::Fenced(_))));
    }
}
