//! The ledger as an organisation may see it: a batch may hold rows of several organisations, so it
//! is shown with one's own rows only, and not at all without any.

use super::pg::{Pg, problem};
use super::{ClickhouseQuery, FromRow, PgQuery, Sql, Table};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Needs, Permission};
use millrace_shared::Signal;
use millrace_shared::ids::{LedgerId, StreamId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

/// A batch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Batch {
    /// The signal.
    pub signal: String,
    /// The shard.
    pub shard: i16,
    /// Its number in the shard.
    pub seq: i64,
    /// `PREPARED`, `COMMITTED`, `AUDITED` or `PARKED`.
    pub state: String,
    /// Its first stream entry.
    pub first_entry: String,
    /// Its last stream entry.
    pub last_entry: String,
    /// The control revision whose rules made its rows.
    pub revision: i64,
    /// Times it was written.
    pub attempt: i32,
    /// When it was prepared.
    pub prepared_at: Moment,
    /// When it was committed.
    pub committed_at: Option<Moment>,
    /// When it was audited.
    pub audited_at: Option<Moment>,
    /// Rows or samples of the organisation in it.
    pub rows: u64,
    /// Events of all organisations in it; for those who may see the installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<i32>,
    /// Stream entries in it, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<i32>,
}

impl Batch {
    /// As its rows name it.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        let shard = u16::try_from(self.shard).unwrap_or_default();
        LedgerId::new(shard, u64::try_from(self.seq).unwrap_or_default())
    }
}

/// Batches of a signal, the last prepared first. The organisation is filtered by [`OwnRows`]: the
/// ledger itself knows none.
#[derive(Clone, Debug)]
pub struct Batches {
    /// The signal.
    pub signal: Signal,
    /// Only in this state.
    pub state: Option<String>,
    /// Only those prepared before this one.
    pub before: Option<(OffsetDateTime, i16, i64)>,
    /// At most so many.
    pub limit: i64,
}

const BATCHES: &str = "
    SELECT signal, shard, seq, state, first_ms, first_seq, last_ms, last_seq, revision, attempt,
           prepared_at, committed_at, audited_at, events, entries
      FROM batch
     WHERE signal = $1 AND ($2::text IS NULL OR state = $2)
       AND ($3::timestamptz IS NULL
            OR (prepared_at, shard, seq) < ($3, $4::smallint, $5::bigint))
     ORDER BY prepared_at DESC, shard DESC, seq DESC LIMIT $6";

/// Reads batches, of which the caller shows those with rows of the organisation.
///
/// # Errors
/// 503 when the store cannot be asked.
pub async fn batches(pg: &Pg, asked: &Batches) -> Result<Vec<Batch>, Problem> {
    let (at, shard, seq) = match asked.before {
        Some((at, shard, seq)) => (Some(at), Some(shard), Some(seq)),
        None => (None, None, None),
    };
    let signal = asked.signal.as_str();
    let params: [&(dyn ToSql + Sync); 6] = [&signal, &asked.state, &at, &shard, &seq, &asked.limit];
    let rows = pg.query(BATCHES, &params).await?;
    rows.iter()
        .map(batch)
        .collect::<Result<_, _>>()
        .map_err(problem)
}

fn batch(row: &Row) -> Result<Batch, tokio_postgres::Error> {
    let entry = |ms: &str, seq: &str| -> Result<String, tokio_postgres::Error> {
        let part = |column: &str| {
            row.try_get::<_, i64>(column)
                .map(|part| u64::try_from(part).unwrap_or_default())
        };
        let (ms, seq) = (part(ms)?, part(seq)?);
        Ok(StreamId { ms, seq }.to_string())
    };
    let maybe = |column: &str| -> Result<Option<Moment>, tokio_postgres::Error> {
        row.try_get::<_, Option<OffsetDateTime>>(column)
            .map(|at| at.map(Moment::from))
    };
    Ok(Batch {
        signal: row.try_get("signal")?,
        shard: row.try_get("shard")?,
        seq: row.try_get("seq")?,
        state: row.try_get("state")?,
        first_entry: entry("first_ms", "first_seq")?,
        last_entry: entry("last_ms", "last_seq")?,
        revision: row.try_get("revision")?,
        attempt: row.try_get("attempt")?,
        prepared_at: row.try_get::<_, OffsetDateTime>("prepared_at")?.into(),
        committed_at: maybe("committed_at")?,
        audited_at: maybe("audited_at")?,
        rows: 0,
        events: Some(row.try_get("events")?),
        entries: Some(row.try_get("entries")?),
    })
}

/// The organisation's rows in batches.
#[derive(Clone, Debug)]
pub struct OwnRows {
    /// The table of the signal.
    pub table: Table,
    /// The batches.
    pub batches: Vec<LedgerId>,
}

/// Rows in a batch.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct RowsOfBatch {
    /// The batch.
    pub batch: u64,
    /// Rows.
    pub rows: u64,
}

impl Needs for OwnRows {
    fn permission(&self) -> Permission {
        Permission::LedgerRead
    }
}

impl ClickhouseQuery for OwnRows {
    type Row = RowsOfBatch;

    fn sql(&self) -> Sql {
        let mut sql = Sql::select("BatchId AS batch, count() AS rows", self.table);
        sql.push(" AND BatchId IN (");
        for (at, id) in self.batches.iter().enumerate() {
            sql.push(if at == 0 { "" } else { ", " })
                .bind("UInt64", id.0.to_string());
        }
        sql.push(") GROUP BY batch");
        sql
    }
}

/// The organisation's samples in batches.
#[derive(Clone, Debug)]
pub struct OwnSamples {
    /// The batches.
    pub batches: Vec<i64>,
}

impl Needs for OwnSamples {
    fn permission(&self) -> Permission {
        Permission::LedgerRead
    }
}

impl PgQuery for OwnSamples {
    type Row = RowsOfBatch;

    fn sql(&self) -> &'static str {
        "SELECT m.batch_id AS batch, count(*) AS rows
           FROM metric_samples m JOIN metric_series s ON s.id = m.series_id AND s.org_id = $1
          WHERE m.batch_id = ANY($2) GROUP BY m.batch_id"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.batches]
    }
}

impl FromRow for RowsOfBatch {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let (batch, rows): (i64, i64) = (row.try_get("batch")?, row.try_get("rows")?);
        Ok(RowsOfBatch {
            batch: u64::try_from(batch).unwrap_or_default(),
            rows: u64::try_from(rows).unwrap_or_default(),
        })
    }
}

/// Acknowledged batches of the organisation that Redis lost, the last found first.
#[derive(Clone, Copy, Debug)]
pub struct LostBatches {
    /// At most so many.
    pub limit: i64,
}

/// A batch that was acknowledged, and lost by Redis before it was stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LostBatch {
    /// The id that was given to the agent.
    pub batch_id: String,
    /// The signal.
    pub signal: String,
    /// Events accepted in it.
    pub events: i32,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_at_ms: i64,
    /// When the loss was found.
    pub found_at: Moment,
}

impl Needs for LostBatches {
    fn permission(&self) -> Permission {
        Permission::LedgerRead
    }
}

impl PgQuery for LostBatches {
    type Row = LostBatch;

    fn sql(&self) -> &'static str {
        "SELECT coalesce(batch_id, '') AS batch_id, signal, coalesce(events, 0) AS events,
                entry_ms, found_at
           FROM lost_entry WHERE org_id = $1
          ORDER BY found_at DESC, entry_ms DESC, entry_seq DESC LIMIT $2"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.limit]
    }
}

impl FromRow for LostBatch {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(LostBatch {
            batch_id: row.try_get("batch_id")?,
            signal: row.try_get("signal")?,
            events: row.try_get("events")?,
            accepted_at_ms: row.try_get("entry_ms")?,
            found_at: row.try_get::<_, OffsetDateTime>("found_at")?.into(),
        })
    }
}

/// What the books say is settled, by signal.
#[derive(Clone, Copy, Debug)]
pub struct Settled;

/// The books of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledOf {
    /// The signal.
    pub signal: String,
    /// Events stored.
    pub stored: i64,
    /// Events rejected.
    pub rejected: i64,
    /// Events in the dead-letter store.
    pub dead_lettered: i64,
}

impl Needs for Settled {
    fn permission(&self) -> Permission {
        Permission::LedgerRead
    }
}

impl PgQuery for Settled {
    type Row = SettledOf;

    fn sql(&self) -> &'static str {
        "SELECT signal, sum(stored)::bigint AS stored, sum(rejected)::bigint AS rejected,
                sum(dead_lettered)::bigint AS dead_lettered
           FROM usage_day WHERE org_id = $1 GROUP BY signal ORDER BY signal"
    }
}

impl FromRow for SettledOf {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(SettledOf {
            signal: row.try_get("signal")?,
            stored: row.try_get("stored")?,
            rejected: row.try_get("rejected")?,
            dead_lettered: row.try_get("dead_lettered")?,
        })
    }
}

/// How far a shard's entries are settled, and whether a batch of it is under way.
#[derive(Clone, Copy, Debug)]
pub struct ShardState {
    /// The signal.
    pub signal: Signal,
    /// The shard.
    pub shard: u16,
    /// The last entry that belongs to a batch.
    pub cursor: StreamId,
    /// Whether a batch is prepared and not yet committed.
    pub open: bool,
}

const SHARDS: &str = "
    SELECT s.signal, s.shard, s.cursor_ms, s.cursor_seq,
           EXISTS (SELECT FROM batch b WHERE b.signal = s.signal AND b.shard = s.shard
                      AND b.state = 'PREPARED') AS open
      FROM shard s";

/// The state of all shards.
///
/// # Errors
/// 503 when the store cannot be asked.
pub async fn shards(pg: &Pg) -> Result<Vec<ShardState>, Problem> {
    let rows = pg.query(SHARDS, &[]).await?;
    let read = |row: &Row| -> Result<Option<ShardState>, tokio_postgres::Error> {
        let signal: String = row.try_get("signal")?;
        let (shard, open): (i16, bool) = (row.try_get("shard")?, row.try_get("open")?);
        let (ms, seq): (i64, i64) = (row.try_get("cursor_ms")?, row.try_get("cursor_seq")?);
        let whole = |part| u64::try_from(part).unwrap_or_default();
        let state = |signal| ShardState {
            signal,
            shard: u16::try_from(shard).unwrap_or_default(),
            cursor: StreamId {
                ms: whole(ms),
                seq: whole(seq),
            },
            open,
        };
        Ok(Signal::from_name(&signal).map(state))
    };
    let states = rows.iter().filter_map(|row| read(row).transpose());
    states.collect::<Result<_, _>>().map_err(problem)
}

/// The number of shards per signal, fixed when the installation was made.
///
/// # Errors
/// 503 when the store cannot be asked.
pub async fn installed_shards(pg: &Pg) -> Result<u16, Problem> {
    let rows = pg.query("SELECT shards FROM installation", &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| Problem::store_down("the installation's record"))?;
    let shards: i16 = row.try_get("shards").map_err(problem)?;
    Ok(u16::try_from(shards).unwrap_or(1).max(1))
}
