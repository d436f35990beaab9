//! The outbox as a queue: channels are leased, their messages taken one by one, and what became of
//! each is noted under the lease. Time is PostgreSQL's alone. Sends nothing.
//!
//! The lease of a channel carries an epoch: a worker whose lease has run out, and who does not know
//! it yet, can note nothing any more.

use super::verdict::{Fate, Verdict};
use crate::error::WorkerError;
use deadpool_postgres::Pool;
use millrace_shared::channel::{ChannelKind, Happening};
use serde_json::Value;
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

/// Seconds after which a test that nobody has sent is of no interest.
const TEST_S: f64 = 60.0;
/// Rows that one statement gives up: keeps transactions short.
const ROWS_AT_ONCE: i64 = 10_000;

/// A channel that is ours for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) channel: Uuid,
    pub(super) kind: ChannelKind,
    pub(super) epoch: i64,
    /// Between two messages.
    pub(super) spacing: Duration,
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: i64,
    pub(super) key: String,
    pub(super) happening: Happening,
    pub(super) attempts: u32,
    pub(super) age: Duration,
    pub(super) payload: Value,
    pub(super) sealed: Vec<u8>,
    pub(super) channel_name: String,
    pub(super) failures: u32,
}

/// The queue, as one worker sees it.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) pool: Pool,
    pub(super) worker: String,
    pub(super) lease: Duration,
}

/// Channels with something to send, that may be sent to, and that nobody has; those that have waited
/// longest first, so that none waits for the others.
const CLAIM: &str = "WITH due AS ( \
     SELECT c.id FROM notification_channel AS c \
      WHERE c.enabled AND c.free_at <= now() \
        AND (c.rests_until IS NULL OR c.rests_until <= now()) \
        AND (c.leased_until IS NULL OR c.leased_until < now()) \
        AND EXISTS (SELECT FROM outbox AS o WHERE o.channel_id = c.id AND o.state = 'pending' \
                       AND o.next_attempt_at <= now() \
                       AND NOT EXISTS (SELECT FROM outbox AS earlier \
                                        WHERE earlier.channel_id = o.channel_id \
                                          AND earlier.alert_id = o.alert_id \
                                          AND earlier.state = 'pending' AND earlier.id < o.id)) \
      ORDER BY c.served_at NULLS FIRST LIMIT $1 FOR UPDATE SKIP LOCKED) \
   UPDATE notification_channel AS c \
      SET leased_by = $2, leased_until = now() + make_interval(secs => $3), epoch = c.epoch + 1 \
     FROM due WHERE c.id = due.id \
   RETURNING c.id, c.kind, c.epoch, c.per_minute";

/// The next message of a channel: none before an earlier one of the same alert, a test before all.
/// The rate is counted before it is sent, and so is the attempt: a worker that dies over it has used
/// both.
const TAKE: &str = "WITH next AS ( \
     SELECT o.id FROM outbox AS o \
      WHERE o.channel_id = $1 AND o.state = 'pending' AND o.next_attempt_at <= now() \
        AND NOT EXISTS (SELECT FROM outbox AS earlier \
                         WHERE earlier.channel_id = o.channel_id AND earlier.alert_id = o.alert_id \
                           AND earlier.state = 'pending' AND earlier.id < o.id) \
      ORDER BY o.event <> 'test', o.next_attempt_at, o.id LIMIT 1), \
   held AS ( \
     UPDATE notification_channel AS c \
        SET leased_until = now() + make_interval(secs => $3), served_at = now(), \
            free_at = now() + make_interval(secs => 60.0 / c.per_minute) \
       FROM next \
      WHERE c.id = $1 AND c.epoch = $2 AND c.enabled AND c.free_at <= now() \
        AND (c.rests_until IS NULL OR c.rests_until <= now()) \
     RETURNING c.sealed, c.name, c.failures) \
   UPDATE outbox AS o SET attempts = o.attempts + 1, attempted_at = now() \
     FROM next, held WHERE o.id = next.id AND o.state = 'pending' \
   RETURNING o.id, o.idempotency_key, o.event, o.attempts, \
             extract(epoch FROM now() - o.queued_at)::float8, o.payload, \
             held.sealed, held.name, held.failures";

const SETTLE: &str = "WITH held AS ( \
     UPDATE notification_channel AS c \
        SET failures = CASE WHEN $8::float8 IS NULL THEN 0 ELSE c.failures + 1 END, \
            rests_until = now() + make_interval(secs => $8::float8) \
      WHERE c.id = $2 AND c.epoch = $3 RETURNING c.id) \
   UPDATE outbox AS o \
      SET state = $4, last_error = $5, last_status = $6, \
          finished_at = CASE WHEN $4 = 'pending' THEN NULL ELSE now() END, \
          next_attempt_at = now() + make_interval(secs => $7) \
     FROM held WHERE o.id = $1 AND o.state = 'pending'";

const RELEASE: &str = "UPDATE notification_channel SET leased_by = NULL, leased_until = NULL \
      WHERE id = $1 AND epoch = $2";

/// What waits for a channel that is gone or switched off, and what has waited for too long. A message
/// that is on its way at this moment is left to its sender.
const SWEEP: &str = "WITH due AS ( \
     SELECT o.id, c.kind, \
            CASE WHEN c.id IS NULL THEN 'the channel was deleted' \
                 WHEN NOT c.enabled THEN 'the channel was switched off' \
                 ELSE coalesce(o.last_error, 'it was never its turn') END AS why, \
            CASE WHEN c.id IS NULL OR NOT c.enabled OR o.event = 'test' THEN 'dropped' ELSE 'dead' END \
              AS state \
       FROM outbox AS o LEFT JOIN notification_channel AS c ON c.id = o.channel_id \
      WHERE o.state = 'pending' \
        AND (o.attempted_at IS NULL OR o.attempted_at < now() - make_interval(secs => $1)) \
        AND (c.id IS NULL OR NOT c.enabled OR o.queued_at < now() - make_interval( \
               secs => CASE WHEN o.event = 'test' THEN $2::float8 ELSE $3::float8 END)) \
      LIMIT $4 FOR UPDATE OF o SKIP LOCKED) \
   UPDATE outbox AS o SET state = due.state, finished_at = now(), last_error = due.why \
     FROM due WHERE o.id = due.id RETURNING due.kind, due.state";

impl Queue {
    /// Leases up to so many channels.
    pub(super) async fn claim(&self, most: i64) -> Result<Vec<Claim>, WorkerError> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(CLAIM).await?;
        let lease = self.lease.as_secs_f64();
        let rows = client
            .query(&statement, &[&most, &self.worker, &lease])
            .await?;
        let claims = rows.iter().map(claim);
        claims.filter_map(Result::transpose).collect()
    }

    /// Takes the next message; none when there is none that may be sent now, or the lease is lost.
    pub(super) async fn take(&self, claim: &Claim) -> Result<Option<Job>, WorkerError> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(TAKE).await?;
        let lease = self.lease.as_secs_f64();
        let row = client
            .query_opt(&statement, &[&claim.channel, &claim.epoch, &lease])
            .await?;
        row.as_ref().map(job).transpose()
    }

    /// Notes what became of a message; false when the lease is lost, or somebody else has settled it.
    pub(super) async fn settle(
        &self,
        claim: &Claim,
        job: &Job,
        verdict: &Verdict,
    ) -> Result<bool, WorkerError> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(SETTLE).await?;
        let pause = match verdict.fate {
            Fate::Pending(pause) => pause.as_secs_f64(),
            Fate::Sent | Fate::Dead | Fate::Dropped => 0.0,
        };
        let settled = client
            .execute(
                &statement,
                &[
                    &job.id,
                    &claim.channel,
                    &claim.epoch,
                    &verdict.fate.as_str(),
                    &verdict.error,
                    &verdict.status.map(i32::from),
                    &pause,
                    &verdict.rest.map(|rest| rest.as_secs_f64()),
                ],
            )
            .await?;
        Ok(settled == 1)
    }

    /// Gives a channel back.
    pub(super) async fn release(&self, claim: &Claim) -> Result<(), WorkerError> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(RELEASE).await?;
        client
            .execute(&statement, &[&claim.channel, &claim.epoch])
            .await?;
        Ok(())
    }

    /// Gives up what cannot or need not be sent any more: kind and fate of each.
    pub(super) async fn sweep(
        &self,
        give_up: Duration,
    ) -> Result<Vec<(Option<ChannelKind>, String)>, WorkerError> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(SWEEP).await?;
        let (lease, age) = (self.lease.as_secs_f64(), give_up.as_secs_f64());
        let rows = client
            .query(&statement, &[&lease, &TEST_S, &age, &ROWS_AT_ONCE])
            .await?;
        let fate = |row: &Row| -> Result<_, WorkerError> {
            let kind: Option<String> = row.try_get(0)?;
            Ok((kind.as_deref().and_then(kind_of), row.try_get(1)?))
        };
        rows.iter().map(fate).collect()
    }
}

fn kind_of(word: &str) -> Option<ChannelKind> {
    ChannelKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word)
}

/// A kind that this program does not know is a newer one's to serve.
fn claim(row: &Row) -> Result<Option<Claim>, WorkerError> {
    let Some(kind) = kind_of(row.try_get(1)?) else {
        return Ok(None);
    };
    let per_minute: i32 = row.try_get(3)?;
    Ok(Some(Claim {
        channel: row.try_get(0)?,
        kind,
        epoch: row.try_get(2)?,
        spacing: Duration::from_secs(60) / per_minute.unsigned_abs().max(1),
    }))
}

fn job(row: &Row) -> Result<Job, WorkerError> {
    let (attempts, failures): (i32, i32) = (row.try_get(3)?, row.try_get(8)?);
    let age: f64 = row.try_get(4)?;
    let event: String = row.try_get(2)?;
    let happening = Happening::parse(&event)
        .ok_or(WorkerError::Ledger("the outbox tells of something unknown"))?;
    Ok(Job {
        id: row.try_get(0)?,
        key: row.try_get(1)?,
        happening,
        attempts: attempts.unsigned_abs(),
        age: Duration::try_from_secs_f64(age).unwrap_or_default(),
        payload: row.try_get(5)?,
        sealed: row.try_get(6)?,
        channel_name: row.try_get(7)?,
        failures: failures.unsigned_abs(),
    })
}
