//! What became of an acknowledged batch that is no longer in its stream, and the record of those
//! that are lost: the one thing that the gateway writes.

use millrace_runtime::pg::{PgError, Pool};
use millrace_shared::ids::{BatchId, OrgId};

const NOTE: &str = "
INSERT INTO lost_entry (signal, shard, entry_ms, entry_seq, org_id, batch_id, events, found_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'gateway')
ON CONFLICT (signal, shard, entry_ms, entry_seq) DO UPDATE
   SET org_id = excluded.org_id, batch_id = excluded.batch_id, events = excluded.events";

/// Notes a lost batch; once, however often it is told.
pub(crate) async fn note_lost(pool: &Pool, lost: &LostBatch<'_>) -> Result<(), PgError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(NOTE).await?;
    let (signal, shard, ms, seq) = columns(lost.batch);
    let events = i32::try_from(lost.events).unwrap_or(i32::MAX);
    client
        .execute(
            &statement,
            &[
                &signal,
                &shard,
                &ms,
                &seq,
                &lost.org,
                &lost.batch_id,
                &events,
            ],
        )
        .await?;
    Ok(())
}

/// A batch that was acknowledged and is gone.
pub(crate) struct LostBatch<'l> {
    pub(crate) batch: BatchId,
    pub(crate) org: OrgId,
    pub(crate) batch_id: &'l str,
    pub(crate) events: u32,
}

/// An id in the columns of the ledger.
pub(crate) fn columns(id: BatchId) -> (&'static str, i16, i64, i64) {
    (
        id.shard.signal.as_str(),
        i16::try_from(id.shard.shard).unwrap_or(i16::MAX),
        i64::try_from(id.entry.ms).unwrap_or(i64::MAX),
        i64::try_from(id.entry.seq).unwrap_or(i64::MAX),
    )
}
