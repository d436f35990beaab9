//! Retro-hunts: searches of stored history for the indicators of a feed. The workers do them.

use super::indicators::feed_problem;
use super::pg::{Pg, instant, problem};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::ask::TimeRange;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use millrace_feeds::{BegunHunt, NewHunt, begin_hunt, cancel_hunt};
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;
use uuid::Uuid;

/// The tables that are searched, by `retro_hunt.table_number`.
const TABLES: [&str; 4] = ["logs", "spans", "rum_events", "audit_events"];

/// A hunt.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HuntRow {
    /// Its id.
    pub id: Uuid,
    /// The feed whose indicators are looked for.
    pub feed: String,
    /// `feed`: it brought new indicators; `request`: somebody asked for all of it.
    pub origin: String,
    /// Who asked.
    pub requested_by: String,
    /// `pending`, `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// From when on events happened that are searched.
    pub start: Moment,
    /// Until before when.
    pub end: Moment,
    /// Indicators looked for so far, by whole chunks.
    pub indicators: i64,
    /// Of how many; `null` until a worker took it on.
    pub indicators_all: Option<i64>,
    /// While it runs: the table that is searched.
    pub table: Option<String>,
    /// Up to when events of that table have been searched.
    pub searched_to: Option<Moment>,
    /// Stored events looked at so far, for each chunk anew.
    pub rows_read: i64,
    /// Mentions of indicators in them.
    pub hits: i64,
    /// Alerts raised.
    pub alerts: i64,
    /// Attempts in a row that failed; it is tried again, less and less often, and in the end given up.
    pub failures: i32,
    /// Why the last one did.
    pub failure: String,
    /// When it was begun.
    pub created_at: Moment,
    /// When a worker took it on.
    pub started_at: Option<Moment>,
    /// When it ended.
    pub finished_at: Option<Moment>,
}

impl FromRow for HuntRow {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let at = |column: &str| row.try_get::<_, OffsetDateTime>(column).map(Moment::from);
        let state: String = row.try_get("state")?;
        let runs = state == "running";
        let table: i16 = row.try_get("table_number")?;
        let table = usize::try_from(table)
            .ok()
            .and_then(|number| TABLES.get(number));
        let searched_to: Option<i64> = row.try_get("after_ns")?;
        let maybe = |column: &str| -> Result<Option<Moment>, tokio_postgres::Error> {
            let at: Option<OffsetDateTime> = row.try_get(column)?;
            Ok(at.map(Moment::from))
        };
        Ok(HuntRow {
            id: row.try_get("id")?,
            feed: row.try_get("feed")?,
            origin: row.try_get("origin")?,
            requested_by: row.try_get("requested_by")?,
            state,
            start: at("range_start")?,
            end: at("range_end")?,
            indicators: row.try_get("indicators")?,
            indicators_all: row.try_get("indicators_all")?,
            table: table.filter(|_| runs).map(|name| (*name).to_owned()),
            searched_to: searched_to.filter(|_| runs).map(Moment),
            rows_read: row.try_get("rows_read")?,
            hits: row.try_get("hits")?,
            alerts: row.try_get("alerts")?,
            failures: row.try_get("failures")?,
            failure: row.try_get("failure")?,
            created_at: at("created_at")?,
            started_at: maybe("started_at")?,
            finished_at: maybe("finished_at")?,
        })
    }
}

/// A page of hunts, newest first; or one.
#[derive(Clone, Debug, Default)]
pub struct Hunts {
    id: Option<Uuid>,
    limit: i64,
    at: Option<OffsetDateTime>,
    after_id: Option<Uuid>,
}

impl Hunts {
    /// A page after a place.
    #[must_use]
    pub fn page(before: Option<(i64, Uuid)>, limit: i64) -> Self {
        Hunts {
            at: before.map(|(ns, _)| instant(ns)),
            after_id: before.map(|(_, id)| id),
            limit,
            ..Hunts::default()
        }
    }

    /// One hunt.
    #[must_use]
    pub fn one(id: Uuid) -> Self {
        Hunts {
            id: Some(id),
            limit: 1,
            ..Hunts::default()
        }
    }
}

impl Needs for Hunts {
    fn permission(&self) -> Permission {
        Permission::IndicatorsRead
    }
}

impl PgQuery for Hunts {
    type Row = HuntRow;

    fn sql(&self) -> &'static str {
        "SELECT * FROM retro_hunt
          WHERE org_id = $1 AND ($2::uuid IS NULL OR id = $2)
            AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
          ORDER BY created_at DESC, id DESC LIMIT $5"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.id, &self.at, &self.after_id, &self.limit]
    }
}

/// A hunt to be begun: for all indicators of a feed.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The feed, the organisation's own or one for all.
    pub feed: String,
    /// Over which events.
    pub range: TimeRange,
    /// Who asks.
    pub who: String,
}

impl Needs for Begin {
    fn permission(&self) -> Permission {
        Permission::IndicatorsManage
    }
}

/// A hunt to be cancelled.
#[derive(Clone, Copy, Debug)]
pub struct Cancel(pub Uuid);

impl Needs for Cancel {
    fn permission(&self) -> Permission {
        Permission::IndicatorsManage
    }
}

/// Begins a hunt; its id. `record` makes its audit event and is the last thing before the commit.
///
/// # Errors
/// 404 without such a feed, 429 when too many are open, 503 when a store is down; then nothing was
/// begun.
pub async fn begin(
    pg: &Pg,
    bound: &Bound<Begin>,
    record: impl AsyncFnOnce(Uuid) -> Result<(), Problem>,
) -> Result<Uuid, Problem> {
    let (org, asked) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let new = NewHunt {
        org,
        feed: &asked.feed,
        range: (instant(asked.range.start), instant(asked.range.end)),
        who: &asked.who,
    };
    let id = match begin_hunt(&transaction, &new).await.map_err(feed_problem)? {
        BegunHunt::Waits(id) => id,
        BegunHunt::NoFeed => return Err(Problem::not_found("feed")),
        BegunHunt::TooMany(open) => {
            let detail = format!("{open} retro-hunts are open; wait for one to end, or cancel one");
            return Err(Problem::new(Refusal::QuotaExceeded, detail));
        }
    };
    record(id).await?;
    transaction.commit().await.map_err(problem)?;
    Ok(id)
}

/// Cancels a hunt; what it raised stays.
///
/// # Errors
/// 404 without such a hunt that is open, 503 when a store is down; then nothing was changed.
pub async fn cancel(
    pg: &Pg,
    bound: &Bound<Cancel>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (org, Cancel(id)) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let cancelled = cancel_hunt(&transaction, org, *id).await;
    if !cancelled.map_err(feed_problem)? {
        return Err(Problem::not_found("open retro-hunt"));
    }
    record().await?;
    transaction.commit().await.map_err(problem)
}
