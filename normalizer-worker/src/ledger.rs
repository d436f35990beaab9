//! The ledger: which ranges of which stream have become which batches, in which state.
//!
//! Every statement that changes something names the epoch under which the worker owns the shard;
//! a worker that has been replaced changes nothing and is told [`WorkerError::Fenced`].
//! Nothing in here reads a stream or writes a row elsewhere.

use crate::error::WorkerError;
use crate::work::{RawEntry, Table};
use aws_lc_rs::digest::{Context, SHA256};
use deadpool_postgres::{Client, GenericClient};
use millrace_shared::Signal;
use millrace_shared::ids::{LedgerId, ShardId, StreamId};
use std::collections::BTreeMap;
use time::Date;
use tokio_postgres::Row;

/// A shard and the epoch under which it is owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The shard.
    pub shard: ShardId,
    /// The epoch.
    pub epoch: i64,
}

impl Fence {
    pub(crate) const fn signal(&self) -> &'static str {
        self.shard.signal.as_str()
    }

    pub(crate) fn number(&self) -> i16 {
        i16::try_from(self.shard.shard).unwrap_or(i16::MAX)
    }
}

/// How far a shard has been cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the next batch.
    pub next_seq: i64,
    /// The last entry that belongs to a batch.
    pub cursor: StreamId,
}

/// Rows per target table, as the ledger keeps them.
pub type Targets = BTreeMap<String, i64>;

/// The attempt of rows that are stored only to ask whether the store takes them. They are deleted
/// again; until then nobody takes them for the rows of their batch, whatever their number.
pub const ASKED: u8 = u8::MAX;

/// The name under which metric samples stand among the targets.
pub const SAMPLES_TARGET: &str = "metric_samples";

/// A batch as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub seq: i64,
    /// Its first entry.
    pub first: StreamId,
    /// Its last entry.
    pub last: StreamId,
    /// How many entries.
    pub entries: i32,
    /// Events in them.
    pub events: i32,
    /// SHA-256 over them.
    pub digest: [u8; 32],
    /// Rows per target.
    pub targets: Targets,
    /// The control revision that made them.
    pub revision: i64,
    /// The day they were received: the partition of its rows.
    pub received_day: Date,
    /// How often its rows have been written anew.
    pub attempt: i32,
    /// The ids of its entries, packed; empty in batches from before they were kept.
    pub ids: Vec<u8>,
    /// Entries that Redis lost before they became rows; `entries` are the others.
    pub lost: i32,
    /// Its entries were past their retention when it was prepared: all of them are parked.
    pub too_old: bool,
}

impl Batch {
    /// The id its rows carry.
    #[must_use]
    pub fn ledger_id(&self, shard: ShardId) -> LedgerId {
        LedgerId::new(shard.shard, u64::try_from(self.seq).unwrap_or_default())
    }

    /// Rows that a table should hold of it.
    #[must_use]
    pub fn rows_of(&self, table: Table) -> i64 {
        self.targets.get(table.as_str()).copied().unwrap_or(0)
    }

    /// The attempt as rows carry it: the column is a byte, later ones share the last value before
    /// [`ASKED`].
    #[must_use]
    pub fn attempt_byte(&self) -> u8 {
        u8::try_from(self.attempt).unwrap_or(ASKED).min(ASKED - 1)
    }

    /// The name under which the store is asked to take the rows of one table once.
    #[must_use]
    pub fn token(&self, shard: ShardId, table: Table) -> String {
        format!("{shard}:{}:{}", self.seq, table.as_str())
    }

    fn read(row: &Row) -> Result<Self, WorkerError> {
        let digest: &[u8] = row.try_get("digest")?;
        Ok(Batch {
            seq: row.try_get("seq")?,
            first: stream_id(row, "first_ms", "first_seq")?,
            last: stream_id(row, "last_ms", "last_seq")?,
            entries: row.try_get("entries")?,
            events: row.try_get("events")?,
            digest: digest
                .try_into()
                .map_err(|_| WorkerError::Ledger("digest is not 32 bytes"))?,
            targets: serde_json::from_value(row.try_get("targets")?)
                .map_err(|_| WorkerError::Ledger("targets are not rows per table"))?,
            revision: row.try_get("revision")?,
            received_day: row.try_get("received_day")?,
            attempt: row.try_get("attempt")?,
            ids: row.try_get("entry_ids")?,
            lost: row.try_get("lost")?,
            too_old: row.try_get("too_old")?,
        })
    }
}

const BATCH_COLUMNS: &str = "seq, first_ms, first_seq, last_ms, last_seq, entries, events, digest, \
                             targets, revision, received_day, attempt, entry_ids, lost, too_old";

/// SHA-256 over ids, descriptions and bodies, each with its length before it.
#[must_use]
pub fn digest(entries: &[RawEntry]) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    for entry in entries {
        hash.update(&entry.id.ms.to_be_bytes());
        hash.update(&entry.id.seq.to_be_bytes());
        for part in [&entry.meta, &entry.body] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    // SHA-256 has that length.
    hash.finish().as_ref().try_into().unwrap_or([0; 32])
}

pub(crate) fn stream_id(row: &Row, ms: &str, seq: &str) -> Result<StreamId, WorkerError> {
    let part = |name: &str| -> Result<u64, WorkerError> {
        let value: i64 = row.try_get(name)?;
        u64::try_from(value).map_err(|_| WorkerError::Ledger("a stream id is negative"))
    };
    Ok(StreamId {
        ms: part(ms)?,
        seq: part(seq)?,
    })
}

/// A stream id in the columns of the ledger.
pub(crate) fn columns(id: StreamId) -> (i64, i64) {
    let part = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    (part(id.ms), part(id.seq))
}

/// Makes sure that every shard has its row.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn create_shards(client: &Client, shards: i16) -> Result<(), WorkerError> {
    let signals: Vec<&str> = Signal::ALL.iter().map(|signal| signal.as_str()).collect();
    let sql = "INSERT INTO shard (signal, shard) \
               SELECT s, n FROM unnest($1::text[]) AS s, generate_series(0, $2::int - 1) AS n \
               ON CONFLICT DO NOTHING";
    client.execute(sql, &[&signals, &i32::from(shards)]).await?;
    Ok(())
}

/// Shards per signal, fixed when the installation was made.
///
/// # Errors
/// When PostgreSQL is not available or the installation was never set up.
pub async fn shards_per_signal(client: &Client) -> Result<i16, WorkerError> {
    let row = client
        .query_one("SELECT shards FROM installation", &[])
        .await?;
    Ok(row.try_get(0)?)
}

/// Where the shard stands.
///
/// # Errors
/// [`WorkerError::Fenced`] when another worker has it.
pub async fn position(client: &Client, fence: Fence) -> Result<Position, WorkerError> {
    let sql = "SELECT next_seq, cursor_ms, cursor_seq FROM shard \
               WHERE signal = $1 AND shard = $2 AND epoch = $3";
    let statement = client.prepare_cached(sql).await?;
    let row = client
        .query_opt(
            &statement,
            &[&fence.signal(), &fence.number(), &fence.epoch],
        )
        .await?
        .ok_or(WorkerError::Fenced(fence.shard))?;
    Ok(Position {
        next_seq: row.try_get("next_seq")?,
        cursor: stream_id(&row, "cursor_ms", "cursor_seq")?,
    })
}

/// Makes the batch part of the ledger and moves the cursor past it, in one statement.
///
/// # Errors
/// [`WorkerError::Fenced`] when epoch, number or cursor are not as expected.
pub async fn prepare(
    client: &Client,
    fence: Fence,
    from: Position,
    batch: &Batch,
) -> Result<(), WorkerError> {
    let sql = "WITH moved AS ( \
                 UPDATE shard SET next_seq = next_seq + 1, cursor_ms = $9, cursor_seq = $10 \
                  WHERE signal = $1 AND shard = $2 AND epoch = $3 \
                    AND next_seq = $4 AND cursor_ms = $5 AND cursor_seq = $6 RETURNING 1) \
               INSERT INTO batch (signal, shard, epoch, seq, first_ms, first_seq, last_ms, last_seq, \
                                  entries, events, digest, targets, revision, received_day, \
                                  entry_ids, too_old) \
               SELECT $1, $2, $3, $4, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18 FROM moved";
    let statement = client.prepare_cached(sql).await?;
    let (cursor_ms, cursor_seq) = columns(from.cursor);
    let (first_ms, first_seq) = columns(batch.first);
    let (last_ms, last_seq) = columns(batch.last);
    let moved = client
        .execute(
            &statement,
            &[
                &fence.signal(),
                &fence.number(),
                &fence.epoch,
                &from.next_seq,
                &cursor_ms,
                &cursor_seq,
                &first_ms,
                &first_seq,
                &last_ms,
                &last_seq,
                &batch.entries,
                &batch.events,
                &batch.digest.as_slice(),
                &serde_json::json!(batch.targets),
                &batch.revision,
                &batch.received_day,
                &batch.ids,
                &batch.too_old,
            ],
        )
        .await?;
    one(moved, fence)
}

/// Batches that are prepared and not committed, in order.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn prepared(client: &Client, fence: Fence) -> Result<Vec<Batch>, WorkerError> {
    let sql = format!(
        "SELECT {BATCH_COLUMNS} FROM batch \
          WHERE signal = $1 AND shard = $2 AND state = 'PREPARED' ORDER BY seq"
    );
    let statement = client.prepare_cached(&sql).await?;
    let rows = client
        .query(&statement, &[&fence.signal(), &fence.number()])
        .await?;
    rows.iter().map(Batch::read).collect()
}

/// How far a shard has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frontier {
    /// Which shard.
    pub shard: ShardId,
    /// The last entry that belongs to a batch.
    pub cursor: StreamId,
    /// Milliseconds of the first entry in a batch that is not committed.
    pub prepared_ms: Option<i64>,
}

/// How far every shard has come, at one moment.
///
/// # Errors
/// When PostgreSQL does not answer.
pub async fn frontiers(client: &Client) -> Result<Vec<Frontier>, WorkerError> {
    let sql = "SELECT s.signal, s.shard, s.cursor_ms, s.cursor_seq, \
                      (SELECT min(b.first_ms) FROM batch AS b WHERE b.signal = s.signal \
                          AND b.shard = s.shard AND b.state = 'PREPARED') AS prepared_ms \
                 FROM shard AS s";
    let mut frontiers = Vec::new();
    for row in client.query(sql, &[]).await? {
        let (signal, number): (&str, i16) = (row.try_get("signal")?, row.try_get("shard")?);
        let (Some(signal), Ok(shard)) = (Signal::from_name(signal), u16::try_from(number)) else {
            continue;
        };
        frontiers.push(Frontier {
            shard: ShardId { signal, shard },
            cursor: stream_id(&row, "cursor_ms", "cursor_seq")?,
            prepared_ms: row.try_get("prepared_ms")?,
        });
    }
    Ok(frontiers)
}

/// Begins another attempt at the rows of a batch and returns its number.
///
/// # Errors
/// [`WorkerError::Fenced`] when another worker has the batch.
pub async fn next_attempt(client: &Client, fence: Fence, seq: i64) -> Result<i32, WorkerError> {
    let sql = "UPDATE batch SET attempt = attempt + 1 \
                WHERE signal = $1 AND shard = $2 AND epoch = $3 AND seq = $4 \
                  AND state IN ('PREPARED', 'COMMITTED') RETURNING attempt";
    let statement = client.prepare_cached(sql).await?;
    let row = client
        .query_opt(
            &statement,
            &[&fence.signal(), &fence.number(), &fence.epoch, &seq],
        )
        .await?
        .ok_or(WorkerError::Fenced(fence.shard))?;
    Ok(row.try_get(0)?)
}

/// Marks a batch committed, inside the transaction that stores everything that goes with it. Takes
/// the lock on the ledger's row first, so a take-over waits for the transaction or makes it fail.
///
/// # Errors
/// [`WorkerError::Fenced`] when another worker has the batch.
pub async fn commit(
    tx: &impl GenericClient,
    fence: Fence,
    seq: i64,
    targets: &Targets,
) -> Result<(), WorkerError> {
    let sql = "UPDATE batch SET state = 'COMMITTED', committed_at = clock_timestamp(), targets = $5 \
                WHERE signal = $1 AND shard = $2 AND epoch = $3 AND seq = $4 AND state = 'PREPARED'";
    let statement = tx.prepare_cached(sql).await?;
    let targets = serde_json::json!(targets);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [
        &fence.signal(),
        &fence.number(),
        &fence.epoch,
        &seq,
        &targets,
    ];
    one(tx.execute(&statement, &parameters).await?, fence)
}

/// Puts right the rows per target that a commit stores, within its transaction.
///
/// # Errors
/// [`WorkerError::Fenced`] when another worker has the batch.
pub async fn correct_targets(
    tx: &impl GenericClient,
    fence: Fence,
    seq: i64,
    targets: &Targets,
) -> Result<(), WorkerError> {
    let sql = "UPDATE batch SET targets = $5 \
                WHERE signal = $1 AND shard = $2 AND epoch = $3 AND seq = $4";
    let targets = serde_json::json!(targets);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [
        &fence.signal(),
        &fence.number(),
        &fence.epoch,
        &seq,
        &targets,
    ];
    one(tx.execute(sql, &parameters).await?, fence)
}

/// Makes a batch that is not yet committed what is left of it, and notes the lost entries, in one
/// transaction. A batch of which nothing is left is parked.
///
/// # Errors
/// [`WorkerError::Fenced`] when another worker has the batch.
pub async fn amend(
    client: &mut Client,
    fence: Fence,
    batch: &Batch,
    lost: &[StreamId],
) -> Result<(), WorkerError> {
    let tx = client.transaction().await?;
    let sql = "UPDATE batch SET entries = $5, events = $6, digest = $7, entry_ids = $8, lost = $9, \
                      state = CASE WHEN $5 = 0 THEN 'PARKED' ELSE state END \
                WHERE signal = $1 AND shard = $2 AND epoch = $3 AND seq = $4 AND state = 'PREPARED'";
    let changed = tx
        .execute(
            sql,
            &[
                &fence.signal(),
                &fence.number(),
                &fence.epoch,
                &batch.seq,
                &batch.entries,
                &batch.events,
                &batch.digest.as_slice(),
                &batch.ids,
                &batch.lost,
            ],
        )
        .await?;
    one(changed, fence)?;
    let sql = "INSERT INTO lost_entry (signal, shard, entry_ms, entry_seq, found_by) \
               SELECT $1, $2, ms, seq, 'worker' FROM unnest($3::int8[], $4::int8[]) AS l (ms, seq) \
               ON CONFLICT DO NOTHING";
    let (ms, seq): (Vec<i64>, Vec<i64>) = lost.iter().copied().map(columns).unzip();
    tx.execute(sql, &[&fence.signal(), &fence.number(), &ms, &seq])
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Notes that the audit wrote the rows of a batch anew: its audit is due again later.
///
/// # Errors
/// [`WorkerError::Fenced`] when another worker has the batch.
pub async fn rewritten(client: &Client, fence: Fence, seq: i64) -> Result<(), WorkerError> {
    let sql = "UPDATE batch SET rewritten_at = clock_timestamp() \
                WHERE signal = $1 AND shard = $2 AND epoch = $3 AND seq = $4 \
                  AND state = 'COMMITTED'";
    let changed = client
        .execute(sql, &[&fence.signal(), &fence.number(), &fence.epoch, &seq])
        .await?;
    one(changed, fence)
}

/// Notes, for whoever begins to audit, that he does not know how young rows are that were written
/// anew: the audit of their batches is due the whole time after now. Who wrote them may have died
/// before he could note it.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn audit_later(client: &Client, fence: Fence) -> Result<(), WorkerError> {
    let sql = "UPDATE batch SET rewritten_at = clock_timestamp() \
                WHERE signal = $1 AND shard = $2 AND epoch = $3 \
                  AND state = 'COMMITTED' AND attempt > 0";
    let statement = client.prepare_cached(sql).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&fence.signal(), &fence.number(), &fence.epoch];
    client.execute(&statement, &parameters).await?;
    Ok(())
}

/// Gives a batch up whose rows are wrong and whose entries are gone: it cannot be put right, and
/// must not block its neighbours.
///
/// # Errors
/// [`WorkerError::Fenced`] when another worker has the batch.
pub async fn park(client: &Client, fence: Fence, seq: i64) -> Result<(), WorkerError> {
    let sql = "UPDATE batch SET state = 'PARKED' \
                WHERE signal = $1 AND shard = $2 AND epoch = $3 AND seq = $4 \
                  AND state IN ('PREPARED', 'COMMITTED')";
    let changed = client
        .execute(sql, &[&fence.signal(), &fence.number(), &fence.epoch, &seq])
        .await?;
    one(changed, fence)
}

/// The first batches after `after` whose rows were written at least `delay_s` seconds ago and that
/// are not yet audited, in order.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn due_for_audit(
    client: &Client,
    fence: Fence,
    delay_s: f64,
    after: i64,
) -> Result<Vec<Batch>, WorkerError> {
    let sql = format!(
        "SELECT {BATCH_COLUMNS} FROM batch \
          WHERE signal = $1 AND shard = $2 AND state = 'COMMITTED' \
            AND greatest(committed_at, rewritten_at) <= clock_timestamp() - make_interval(secs => $3) \
            AND seq > $4 ORDER BY seq LIMIT {AUDITED_AT_ONCE}"
    );
    let statement = client.prepare_cached(&sql).await?;
    let rows = client
        .query(
            &statement,
            &[&fence.signal(), &fence.number(), &delay_s, &after],
        )
        .await?;
    rows.iter().map(Batch::read).collect()
}

/// Batches audited with one count: keeps the list of ids in the query short.
pub const AUDITED_AT_ONCE: usize = 200;

/// Marks batches audited; their rows have been counted.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn audited(client: &Client, fence: Fence, seqs: &[i64]) -> Result<(), WorkerError> {
    let sql = "UPDATE batch SET state = 'AUDITED', audited_at = clock_timestamp() \
                WHERE signal = $1 AND shard = $2 AND epoch = $3 AND seq = ANY($4) \
                  AND state = 'COMMITTED'";
    let statement = client.prepare_cached(sql).await?;
    client
        .execute(
            &statement,
            &[&fence.signal(), &fence.number(), &fence.epoch, &seqs],
        )
        .await?;
    Ok(())
}

/// The oldest entry that must stay in the stream: the first of the oldest batch not yet audited, or
/// else the one after the cursor.
///
/// # Errors
/// [`WorkerError::Fenced`] when another worker has the shard.
pub async fn keep_from(client: &Client, fence: Fence) -> Result<StreamId, WorkerError> {
    let sql = "SELECT first_ms, first_seq FROM batch \
                WHERE signal = $1 AND shard = $2 AND state IN ('PREPARED', 'COMMITTED') \
                ORDER BY seq LIMIT 1";
    // The position is read first: a batch prepared in between only lies further on.
    let end = position(client, fence).await?.cursor.next();
    let statement = client.prepare_cached(sql).await?;
    match client
        .query_opt(&statement, &[&fence.signal(), &fence.number()])
        .await?
    {
        Some(row) => Ok(stream_id(&row, "first_ms", "first_seq")?.min(end)),
        None => Ok(end),
    }
}

fn one(changed: u64, fence: Fence) -> Result<(), WorkerError> {
    if changed == 1 {
        Ok(())
    } else {
        Err(WorkerError::Fenced(fence.shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entry(ms: u64, meta: &'static str, body: &'static str) -> RawEntry {
        let id = StreamId { ms, seq: 1 };
        RawEntry {
            id,
            meta: Bytes::from_static(meta.as_bytes()),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn the_digest_tells_any_change_and_any_shift_of_bytes() {
        let base = digest(&[entry(1, "m", "b"), entry(2, "mm", "bb")]);
        let others = [
            digest(&[entry(1, "m", "b")]),
            digest(&[entry(2, "mm", "bb"), entry(1, "m", "b")]),
            digest(&[entry(1, "mb", ""), entry(2, "mm", "bb")]),
            digest(&[entry(1, "m", "b"), entry(3, "mm", "bb")]),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_eq!(base, digest(&[entry(1, "m", "b"), entry(2, "mm", "bb")]));
    }
}
