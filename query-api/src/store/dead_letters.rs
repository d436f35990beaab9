//! Dead letters: listed, shown, replayed and dropped. Raw bytes are read by their own query only,
//! which needs its own permission.

use super::PgQuery;
use super::pg::{Pg, problem};
use super::streams::Streams;
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{ShardId, StreamId};
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use std::collections::HashSet;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

/// A dead letter without its contents.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeadLetter {
    /// Its number.
    pub id: i64,
    /// The signal.
    pub signal: String,
    /// The shard.
    pub shard: i16,
    /// The stream entry it was.
    pub entry: String,
    /// The events of the entry that are parked; all of them where absent.
    pub events_at: Option<Vec<i32>>,
    /// Number of parked events.
    pub events: i32,
    /// Why.
    pub reason: String,
    /// Bytes of its body as it stood in the stream.
    pub body_bytes: i32,
    /// `PARKED`, `REPLAYED` or `DROPPED`.
    pub state: String,
    /// When it was parked.
    pub parked_at: Moment,
    /// When it was replayed or dropped.
    pub closed_at: Option<Moment>,
    /// By whom.
    pub closed_by: Option<String>,
}

macro_rules! letter_columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, signal, shard, entry_ms, entry_seq, events_at, events, reason,
                    octet_length(body) AS body_bytes, state, parked_at, closed_at, closed_by
               FROM dead_letter WHERE org_id = $1 ",
            $rest
        )
    };
}

fn letter(row: &Row) -> Result<DeadLetter, tokio_postgres::Error> {
    let (ms, seq): (i64, i64) = (row.try_get("entry_ms")?, row.try_get("entry_seq")?);
    let whole = |part| u64::try_from(part).unwrap_or_default();
    let closed: Option<OffsetDateTime> = row.try_get("closed_at")?;
    Ok(DeadLetter {
        id: row.try_get("id")?,
        signal: row.try_get("signal")?,
        shard: row.try_get("shard")?,
        entry: StreamId {
            ms: whole(ms),
            seq: whole(seq),
        }
        .to_string(),
        events_at: row.try_get("events_at")?,
        events: row.try_get("events")?,
        reason: row.try_get("reason")?,
        body_bytes: row.try_get("body_bytes")?,
        state: row.try_get("state")?,
        parked_at: row.try_get::<_, OffsetDateTime>("parked_at")?.into(),
        closed_at: closed.map(Moment::from),
        closed_by: row.try_get("closed_by")?,
    })
}

/// A page of dead letters, newest first.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Only in this state.
    pub state: Option<String>,
    /// Only of this signal.
    pub signal: Option<String>,
    /// Only for this reason.
    pub reason: Option<String>,
    /// Only those before this number.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

impl Needs for Listing {
    fn permission(&self) -> Permission {
        Permission::DeadLettersRead
    }
}

impl PgQuery for Listing {
    type Row = DeadLetter;

    fn sql(&self) -> &'static str {
        letter_columns!(
            "AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR signal = $3)
             AND ($4::text IS NULL OR reason = $4) AND ($5::bigint IS NULL OR id < $5)
           ORDER BY id DESC LIMIT $6"
        )
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.state,
            &self.signal,
            &self.reason,
            &self.before,
            &self.limit,
        ]
    }

    fn row(row: &Row) -> Result<DeadLetter, tokio_postgres::Error> {
        letter(row)
    }
}

/// One dead letter.
#[derive(Clone, Copy, Debug)]
pub struct LetterById(pub i64);

impl Needs for LetterById {
    fn permission(&self) -> Permission {
        Permission::DeadLettersRead
    }
}

impl PgQuery for LetterById {
    type Row = DeadLetter;

    fn sql(&self) -> &'static str {
        letter_columns!("AND id = $2")
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }

    fn row(row: &Row) -> Result<DeadLetter, tokio_postgres::Error> {
        letter(row)
    }
}

/// The contents of one dead letter: raw and unscrubbed.
#[derive(Clone, Copy, Debug)]
pub struct Contents(pub i64);

/// The contents. The store's own words may quote them, so they are told here and not in the list.
#[derive(Clone, Debug)]
pub struct RawLetter {
    /// The entry's description.
    pub meta: Vec<u8>,
    /// The entry's body, as packed.
    pub body: Vec<u8>,
    /// What was said when it was parked.
    pub detail: String,
}

impl Needs for Contents {
    fn permission(&self) -> Permission {
        Permission::DeadLettersRaw
    }
}

impl PgQuery for Contents {
    type Row = RawLetter;

    fn sql(&self) -> &'static str {
        "SELECT meta, body, detail FROM dead_letter WHERE org_id = $1 AND id = $2"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }

    fn row(row: &Row) -> Result<RawLetter, tokio_postgres::Error> {
        Ok(RawLetter {
            meta: row.try_get("meta")?,
            body: row.try_get("body")?,
            detail: row.try_get("detail")?,
        })
    }
}

/// A dead letter to be closed.
#[derive(Clone, Debug)]
pub struct Close {
    /// Its number.
    pub id: i64,
    /// Who closes it.
    pub who: String,
}

impl Needs for Close {
    fn permission(&self) -> Permission {
        Permission::DeadLettersManage
    }
}

const LOCK: &str = "
    SELECT signal, shard, events_at, meta, body, state FROM dead_letter
     WHERE org_id = $1 AND id = $2 FOR UPDATE";
const CLOSE: &str = "
    UPDATE dead_letter SET state = $3, closed_at = now(), closed_by = $4
     WHERE org_id = $1 AND id = $2";

/// Gives a letter up; `record` makes its audit event.
///
/// # Errors
/// 404 without such a letter, 409 when it is closed, 503 when a store is down.
pub async fn drop_letter(
    pg: &Pg,
    bound: &Bound<Close>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (org, close) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let row = transaction
        .query_opt(LOCK, &[&org, &close.id])
        .await
        .map_err(problem)?;
    parked(row)?;
    let params: [&(dyn ToSql + Sync); 4] = [&org, &close.id, &"DROPPED", &close.who];
    transaction.execute(CLOSE, &params).await.map_err(problem)?;
    record().await?;
    transaction.commit().await.map_err(problem)
}

/// Appends a letter's entry to its stream again, exactly once whatever breaks in between, and marks
/// it; the id of the new entry. `record` makes its audit event.
///
/// # Errors
/// 404 without such a letter, 409 when it is closed, 422 when its description cannot be read, 503
/// when a store is down.
pub async fn replay(
    (pg, streams): (&Pg, &Streams),
    bound: &Bound<Close>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<String, Problem> {
    let (org, close) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let row = transaction
        .query_opt(LOCK, &[&org, &close.id])
        .await
        .map_err(problem)?;
    let row = parked(row)?;
    let (shard, meta) = (shard_of(&row)?, description(&row, close.id)?);
    let body: Vec<u8> = row.try_get("body").map_err(problem)?;
    let params: [&(dyn ToSql + Sync); 4] = [&org, &close.id, &"REPLAYED", &close.who];
    transaction.execute(CLOSE, &params).await.map_err(problem)?;
    record().await?;
    let entry = streams
        .replay(shard, close.id, &meta.to_text(), &body)
        .await?;
    transaction.commit().await.map_err(problem)?;
    streams.forget_replay(shard, close.id).await;
    Ok(entry)
}

fn parked(row: Option<Row>) -> Result<Row, Problem> {
    let row = row.ok_or_else(|| Problem::not_found("dead letter"))?;
    let state: String = row.try_get("state").map_err(problem)?;
    if state == "PARKED" {
        return Ok(row);
    }
    Err(Problem::new(
        Refusal::Conflict,
        format!("the dead letter is {state} already"),
    ))
}

fn shard_of(row: &Row) -> Result<ShardId, Problem> {
    let name: String = row.try_get("signal").map_err(problem)?;
    let number: i16 = row.try_get("shard").map_err(problem)?;
    let signal = Signal::from_name(&name);
    match (signal, u16::try_from(number)) {
        (Some(signal), Ok(shard)) => Ok(ShardId { signal, shard }),
        _ => Err(Problem::internal("a dead letter of no stream", &name)),
    }
}

/// The entry's description, narrowed to the parked events.
fn description(row: &Row, id: i64) -> Result<Meta, Problem> {
    let text: Vec<u8> = row.try_get("meta").map_err(problem)?;
    let parked: Option<Vec<i32>> = row.try_get("events_at").map_err(problem)?;
    let unreadable = |error| {
        let detail = format!("the entry cannot be read, so it can only be dropped: {error}");
        Problem::new(Refusal::Unprocessable, detail)
    };
    Meta::parse(&text)
        .map(|meta| narrowed(meta, id, parked.as_deref()))
        .map_err(unreadable)
}

/// The worker passes over every event that is not parked. What the gateway had rejected was counted
/// when it did so.
fn narrowed(mut meta: Meta, id: i64, parked: Option<&[i32]>) -> Meta {
    if let Some(parked) = parked {
        let rejected = u32::try_from(meta.rejected_at.len()).unwrap_or(u32::MAX);
        let all = meta.accepted.saturating_add(rejected.max(meta.rejected));
        let parked: HashSet<u16> = parked
            .iter()
            .filter_map(|at| u16::try_from(*at).ok())
            .collect();
        let all = u16::try_from(all).unwrap_or(u16::MAX);
        meta.rejected_at = (0..all).filter(|at| !parked.contains(at)).collect();
        meta.accepted = u32::try_from(parked.len()).unwrap_or(u32::MAX);
    }
    meta.rejected = 0;
    meta.replay_of = Some(id);
    meta
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::inflate::Encoding;
    use millrace_shared::wire::BodyFormat;

    #[test]
    fn a_replay_passes_over_what_was_stored_or_rejected() {
        let how = (BodyFormat::Json, Encoding::Lz4);
        let mut meta = Meta::new(uuid::Uuid::from_u128(1), "k", 5, how);
        (meta.accepted, meta.rejected, meta.rejected_at) = (4, 1, vec![2]);
        let some = narrowed(meta.clone(), 9, Some(&[3]));
        assert_eq!(some.rejected_at, [0, 1, 2, 4]);
        assert_eq!(
            (some.accepted, some.rejected, some.replay_of),
            (1, 0, Some(9))
        );
        let whole = narrowed(meta, 9, None);
        assert_eq!(
            (whole.accepted, whole.rejected_at.as_slice()),
            (4, [2].as_slice())
        );
    }
}
