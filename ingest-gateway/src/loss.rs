//! Finds what Redis lost after it was acknowledged. The gateway remembers what it acknowledged lately;
//! when another Redis answers than before (restarted, restored, failed over), it looks for each of
//! these batches in the streams and in the ledger, and reports those that are in neither, by id.
//!
//! Changes nothing in Redis, and never says that a batch is lost while a worker may still store it.

use crate::error::Problem;
use crate::gateway::Shared;
use crate::metrics::{LOST_BATCHES, LOST_EVENTS};
use crate::store::{self, Fate, LostBatch};
use millrace_runtime::pg::PgError;
use millrace_runtime::redis::ConnectionManager;
use millrace_runtime::shutdown::CancellationToken;
use millrace_shared::ids::{BatchId, OrgId, ShardId, StreamId};
use millrace_shared::outcome::Refusal;
use redis::RedisError;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often it is asked which Redis answers.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Acknowledgements remembered: 8 MiB of them.
const REMEMBERED_MAX: usize = 128 * 1024;
/// Milliseconds for which one is remembered. Data that Redis fsynced is on disk; what a lying disk
/// or a replica that lags may lose is seconds old, not minutes.
const REMEMBERED_MS: u64 = 600_000;
/// Time for workers to prepare what they had read before the restart: they begin again from the
/// ledger as soon as they notice it, and only a batch already cut still goes on.
pub(crate) const SETTLE: Duration = Duration::from_secs(15);
/// Pause before batches that a worker has in hand are looked at again, or a store is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// Entries looked for with one round trip.
const ASKED_AT_ONCE: usize = 500;

/// A batch that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) batch: BatchId,
    pub(crate) org: OrgId,
    /// Events accepted.
    pub(crate) events: u32,
}

/// What was acknowledged lately.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<VecDeque<Acknowledged>>);

impl Memory {
    /// Remembers one more, and forgets what is too old or too much.
    pub(crate) fn note(&self, acknowledged: Acknowledged) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = acknowledged.batch.entry.ms;
        while all.front().is_some_and(|oldest| {
            all.len() >= REMEMBERED_MAX || oldest.batch.entry.ms + REMEMBERED_MS < now
        }) {
            all.pop_front();
        }
        all.push_back(acknowledged);
    }

    fn all(&self) -> Vec<Acknowledged> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().copied().collect()
    }
}

/// Watches for another Redis until shutdown.
pub(crate) async fn watch(
    shared: &Shared,
    mut redis: ConnectionManager,
    shutdown: CancellationToken,
) {
    let mut tick = interval(ASK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let look = async {
        let mut known = String::new();
        loop {
            tick.tick().await;
            // Without an answer the last one stands: whoever answers next is asked then.
            let Ok(id) = run_id(&mut redis).await else {
                continue;
            };
            if !known.is_empty() && id != known {
                tracing::warn!(
                    "another Redis answers than before: looking for what was acknowledged"
                );
                look_for(shared, &mut redis, shared.acknowledged.all()).await;
            }
            known = id;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = look => {}
    }
}

async fn run_id(redis: &mut ConnectionManager) -> Result<String, RedisError> {
    let info: String = redis::cmd("INFO").arg("server").query_async(redis).await?;
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    Ok(id.unwrap_or_default().trim().to_owned())
}

/// Looks until the fate of each is known.
async fn look_for(shared: &Shared, redis: &mut ConnectionManager, mut open: Vec<Acknowledged>) {
    let remembered = open.len();
    sleep(SETTLE).await;
    let mut lost = 0;
    while !open.is_empty() {
        match look_once(shared, redis, &mut open).await {
            Ok(found) => lost += found,
            Err(error) => {
                tracing::warn!(%error, "cannot look for acknowledged batches, trying again")
            }
        }
        if !open.is_empty() {
            sleep(AGAIN).await;
        }
    }
    tracing::warn!(remembered, lost, "looked for what was acknowledged");
}

/// Settles what can be settled now, and leaves the rest in `open`; how many are lost.
async fn look_once(
    shared: &Shared,
    redis: &mut ConnectionManager,
    open: &mut Vec<Acknowledged>,
) -> Result<usize, LossError> {
    let there = in_streams(redis, open).await?;
    let mut there = there.into_iter();
    open.retain(|_| !there.next().unwrap_or(false));
    let (mut lost, mut undecided) = (0, Vec::new());
    while let Some(one) = open.pop() {
        let fate = match store::fate(&shared.pool, one.batch).await {
            Ok(fate) => fate,
            Err(error) => {
                open.push(one);
                open.append(&mut undecided);
                return Err(error.into());
            }
        };
        match fate {
            Fate::Stored => {}
            Fate::Open => undecided.push(one),
            Fate::Lost => match report(shared, one).await {
                Ok(()) => lost += 1,
                Err(error) => {
                    open.push(one);
                    open.append(&mut undecided);
                    return Err(error.into());
                }
            },
        }
    }
    *open = undecided;
    Ok(lost)
}

async fn report(shared: &Shared, one: Acknowledged) -> Result<(), PgError> {
    let batch_id = shared.batch_ids.text(one.org, one.batch);
    let lost = LostBatch {
        batch: one.batch,
        org: one.org,
        batch_id: &batch_id,
        events: one.events,
    };
    store::note_lost(&shared.pool, &lost).await?;
    let signal = one.batch.shard.signal.as_str();
    LOST_BATCHES.add(&[signal], 1);
    LOST_EVENTS.add(&[signal], u64::from(one.events));
    tracing::error!(batch_id, org = %one.org, events = one.events, "an acknowledged batch is lost: Redis no longer has it, and it was not stored");
    Ok(())
}

/// Whether each is in its stream.
async fn in_streams(
    redis: &mut ConnectionManager,
    batches: &[Acknowledged],
) -> Result<Vec<bool>, RedisError> {
    let mut there = Vec::with_capacity(batches.len());
    for part in batches.chunks(ASKED_AT_ONCE) {
        let mut asked = redis::pipe();
        for one in part {
            asked.add_command(look_up(one.batch.shard, one.batch.entry));
        }
        let found: Vec<Vec<redis::Value>> = asked.query_async(redis).await?;
        there.extend(found.iter().map(|entries| !entries.is_empty()));
    }
    Ok(there)
}

fn look_up(shard: ShardId, entry: StreamId) -> redis::Cmd {
    let (mut command, id) = (redis::cmd("XRANGE"), entry.to_string());
    command
        .arg(shard.stream())
        .arg(&id)
        .arg(&id)
        .arg("COUNT")
        .arg(1);
    command
}

/// Whether an entry that the ledger does not know of is waiting in its stream.
///
/// # Errors
/// 503 when Redis cannot be asked.
pub(crate) async fn is_waiting(
    redis: &mut ConnectionManager,
    batch: BatchId,
) -> Result<bool, Problem> {
    let command = look_up(batch.shard, batch.entry);
    // A connection finds out with its first command that Redis was restarted; to ask again is
    // harmless.
    let mut found: Result<Vec<redis::Value>, RedisError> = command.query_async(redis).await;
    if found.is_err() {
        found = command.query_async(redis).await;
    }
    found.map(|entries| !entries.is_empty()).map_err(|error| {
        tracing::warn!(%error, "a stream cannot be asked");
        let detail = "the streams cannot be asked at the moment";
        Problem::new(Refusal::DependencyDown, detail)
    })
}

/// Why batches cannot be looked for at the moment.
#[derive(Debug, thiserror::Error)]
enum LossError {
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Postgres(#[from] PgError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::Signal;

    fn at(ms: u64) -> Acknowledged {
        let shard = ShardId {
            signal: Signal::Logs,
            shard: 0,
        };
        let entry = StreamId { ms, seq: 0 };
        Acknowledged {
            batch: BatchId { shard, entry },
            org: OrgId::nil(),
            events: 1,
        }
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten_and_nothing_else() {
        let memory = Memory::default();
        for ms in [1, 2, REMEMBERED_MS, REMEMBERED_MS + 2] {
            memory.note(at(ms));
        }
        assert_eq!(memory.all(), [2, REMEMBERED_MS, REMEMBERED_MS + 2].map(at));
        for _ in 0..REMEMBERED_MAX + 5 {
            memory.note(at(REMEMBERED_MS + 3));
        }
        assert_eq!(memory.all().len(), REMEMBERED_MAX);
    }
}
