//! Where an entry is, by the ledger.

use super::lost::columns;
use millrace_runtime::pg::{PgError, Pool};
use millrace_shared::ids::BatchId;

const CURSOR: &str = "SELECT cursor_ms, cursor_seq FROM shard WHERE signal = $1 AND shard = $2";
const BATCH: &str = "
SELECT state, first_ms, first_seq,
       (extract(epoch FROM prepared_at) * 1000)::bigint AS prepared_at,
       (extract(epoch FROM committed_at) * 1000)::bigint AS committed_at,
       (extract(epoch FROM audited_at) * 1000)::bigint AS audited_at
  FROM batch
 WHERE signal = $1 AND shard = $2 AND (last_ms, last_seq) >= ($3, $4)
 ORDER BY last_ms, last_seq LIMIT 1";
const DEAD: &str = "
SELECT coalesce(sum(events), 0)::bigint, coalesce(bool_or(events_at IS NULL), false)
  FROM dead_letter
 WHERE signal = $1 AND shard = $2 AND entry_ms = $3 AND entry_seq = $4 AND state <> 'REPLAYED'";
/// Audited batches are forgotten after a week, the oldest first. So where one before the entry is
/// remembered well within that time, the one that held it would be too.
const LOST: &str = "
SELECT EXISTS (SELECT FROM lost_entry
                WHERE signal = $1 AND shard = $2 AND entry_ms = $3 AND entry_seq = $4) AS noted,
       EXISTS (SELECT FROM batch
                WHERE signal = $1 AND shard = $2 AND (last_ms, last_seq) < ($3, $4)
                  AND audited_at > now() - interval '5 days') AS before_known";

/// What the ledger knows of an entry behind its shard's cursor.
pub(crate) struct Place {
    /// The ledger batch whose range holds it.
    pub(crate) batch: Option<Batch>,
    /// Events of it that are dead-lettered: parked, or given up since.
    pub(crate) dead_lettered: i64,
    /// It is parked whole.
    pub(crate) dead_whole: bool,
    /// Redis lost it before it was stored.
    pub(crate) lost: bool,
}

/// A ledger batch.
pub(crate) struct Batch {
    pub(crate) state: String,
    /// When it was prepared, committed and audited, milliseconds since 1970.
    pub(crate) times_ms: [Option<i64>; 3],
}

/// Finds an entry; `None` while it lies past the cursor.
pub(crate) async fn place(pool: &Pool, id: BatchId) -> Result<Option<Place>, PgError> {
    let client = pool.get().await?;
    let (signal, shard, ms, seq) = columns(id);
    let cursor = client.prepare_cached(CURSOR).await?;
    let Some(row) = client.query_opt(&cursor, &[&signal, &shard]).await? else {
        return Ok(None);
    };
    let cursor: (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let lost = client.prepare_cached(LOST).await?;
    let lost = client
        .query_one(&lost, &[&signal, &shard, &ms, &seq])
        .await?;
    let (noted, before_known): (bool, bool) =
        (lost.try_get("noted")?, lost.try_get("before_known")?);
    if (ms, seq) > cursor && !noted {
        return Ok(None);
    }
    let dead = client.prepare_cached(DEAD).await?;
    let dead = client
        .query_one(&dead, &[&signal, &shard, &ms, &seq])
        .await?;
    let batch = client.prepare_cached(BATCH).await?;
    let batch = client
        .query_opt(&batch, &[&signal, &shard, &ms, &seq])
        .await?;
    let batch = match batch {
        Some(row) if (row.try_get("first_ms")?, row.try_get("first_seq")?) <= (ms, seq) => {
            Some(Batch {
                state: row.try_get("state")?,
                times_ms: [
                    row.try_get("prepared_at")?,
                    row.try_get("committed_at")?,
                    row.try_get("audited_at")?,
                ],
            })
        }
        Some(_) | None => None,
    };
    Ok(Some(Place {
        lost: noted || (batch.is_none() && before_known),
        batch,
        dead_lettered: dead.try_get(0)?,
        dead_whole: dead.try_get(1)?,
    }))
}

/// What becomes of an entry that is no longer in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is stored, or parked.
    Stored,
    /// A worker has it in hand.
    Open,
    /// Neither; nobody can store it any more.
    Lost,
}

/// Judges an entry that is no longer in its stream.
pub(crate) async fn fate(pool: &Pool, id: BatchId) -> Result<Fate, PgError> {
    let Some(place) = place(pool, id).await? else {
        return Ok(Fate::Lost);
    };
    Ok(match &place.batch {
        _ if place.lost => Fate::Lost,
        _ if place.dead_whole => Fate::Stored,
        Some(batch) if batch.state == "PREPARED" => Fate::Open,
        Some(_) | None => Fate::Stored,
    })
}
