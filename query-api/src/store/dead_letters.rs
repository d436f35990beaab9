//! Dead letters: listed, shown, replayed and dropped. Raw bytes are read by their own query only,
//! which needs its own permission.

use super::pg::{Pg, problem};
use super::streams::Streams;
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use millrace_runtime::clock;
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{ShardId, StreamId};
use millrace_shared::limits::{NS_PER_DAY, is_past_retention};
use millrace_shared::outcome::Refusal;
use serde::Serialize;
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
    /// `PARKED`, `REPLAYED`, `DROPPED` or `EXPIRED`. All but a replayed one count as dead-lettered.
    pub state: String,
    /// When it was parked.
    pub parked_at: Moment,
    /// When it was replayed or dropped, or has expired.
    pub closed_at: Option<Moment>,
    /// By whom.
    pub closed_by: Option<String>,
    /// The letter whose replay was parked again as this one.
    pub replay_of: Option<i64>,
    /// The entry as which its replay was worked on; absent while that is under way.
    pub replayed_as: Option<String>,
    /// When its contents were erased: it cannot be replayed any more.
    pub erased_at: Option<Moment>,
}

macro_rules! letter_columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, signal, shard, entry_ms, entry_seq, events_at, events, reason,
                    octet_length(body) AS body_bytes, state, parked_at, closed_at, closed_by,
                    replay_of, replayed_as, erased_at
               FROM dead_letter WHERE org_id = $1 ",
            $rest
        )
    };
}

impl FromRow for DeadLetter {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let (ms, seq): (i64, i64) = (row.try_get("entry_ms")?, row.try_get("entry_seq")?);
        let whole = |part| u64::try_from(part).unwrap_or_default();
        let closed: Option<OffsetDateTime> = row.try_get("closed_at")?;
        let erased: Option<OffsetDateTime> = row.try_get("erased_at")?;
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
            replay_of: row.try_get("replay_of")?,
            replayed_as: row.try_get("replayed_as")?,
            erased_at: erased.map(Moment::from),
        })
    }
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
        "SELECT meta, body, detail FROM dead_letter
          WHERE org_id = $1 AND id = $2 AND erased_at IS NULL"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }
}

impl FromRow for RawLetter {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
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
const REPLAYED: &str = "
    UPDATE dead_letter SET state = 'REPLAYED', closed_at = now(), closed_by = $3
     WHERE org_id = $1 AND id = $2";
/// What nobody will replay any more is kept no longer.
const DROPPED: &str = "
    UPDATE dead_letter SET state = 'DROPPED', closed_at = now(), closed_by = $3,
                           meta = '', body = '', erased_at = now()
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
    let params: [&(dyn ToSql + Sync); 3] = [&org, &close.id, &close.who];
    transaction
        .execute(DROPPED, &params)
        .await
        .map_err(problem)?;
    record().await?;
    transaction.commit().await.map_err(problem)
}

/// Appends a letter's entry to its stream again, exactly once whatever breaks in between, and marks
/// it; the id of the new entry. `record` makes its audit event.
///
/// # Errors
/// 404 without such a letter, 409 when it is closed, 422 when its description cannot be read or it
/// is past its retention, 503 when a store is down.
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
    let shard = shard_of(&row)?;
    let meta = description(&row, (shard.signal, close.id))?;
    let body: Vec<u8> = row.try_get("body").map_err(problem)?;
    let params: [&(dyn ToSql + Sync); 3] = [&org, &close.id, &close.who];
    transaction
        .execute(REPLAYED, &params)
        .await
        .map_err(problem)?;
    record().await?;
    let entry = streams.replay(shard, &meta, &body).await?;
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

/// The description of the entry's replay.
fn description(row: &Row, (signal, id): (Signal, i64)) -> Result<Meta, Problem> {
    let text: Vec<u8> = row.try_get("meta").map_err(problem)?;
    let parked: Option<Vec<i32>> = row.try_get("events_at").map_err(problem)?;
    let only_dropped = |why: &str| {
        let detail = format!("{why}, so it can only be dropped");
        Problem::new(Refusal::Unprocessable, detail)
    };
    let meta = Meta::parse(&text)
        .map_err(|error| only_dropped(&format!("the entry cannot be read ({error})")))?;
    let today = clock::now_ns().div_euclid(NS_PER_DAY);
    if is_past_retention(signal, meta.received_day(), today) {
        return Err(only_dropped("the entry is past its signal's retention"));
    }
    Ok(meta.again(id, parked.as_deref()))
}
