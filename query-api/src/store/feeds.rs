//! Indicator feeds: those of the organisation, which it may change, and those of everybody.

use super::indicators::{feed_problem, room_for_feeds, scope};
use super::pg::{Pg, problem};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use millrace_feeds::{FeedSettings, end_feed, put_feed};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

/// A feed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeedRow {
    /// Its name.
    pub name: String,
    /// `organisation`, or `installation` when it is everybody's.
    pub scope: &'static str,
    /// How far it is trusted, 0 to 100.
    pub trust: i16,
    /// Days after it was last seen or came, whichever is later, at which an indicator without an end
    /// of its own ceases to match.
    pub expire_days: Option<i32>,
    /// Where it is fetched from, without what follows a question mark for those who may not change it.
    pub url: Option<String>,
    /// The kind of credential that its server is sent, and the name of a header or user; for those
    /// only who may change it, and never its secret.
    #[schema(value_type = Option<Object>)]
    pub credential: Option<Value>,
    /// Its format, where it is not told by the content.
    pub format: Option<String>,
    /// Seconds between two fetches.
    pub every_seconds: Option<i32>,
    /// Where its content came from last.
    pub source: String,
    /// When its content changed last.
    pub loaded_at: Option<Moment>,
    /// When it was last asked for.
    pub checked_at: Option<Moment>,
    /// When it is asked for next.
    pub next_at: Option<Moment>,
    /// Fetches in a row that failed. What it held before is kept meanwhile.
    pub failures: i32,
    /// Why the last one failed.
    pub failure: Option<String>,
    /// Indicators that it holds.
    pub indicators: i64,
    /// Lines or objects of its content that could not be used.
    pub refused: i64,
    /// How often its indicators matched events of the organisation.
    pub hits: i64,
    /// When they did last.
    pub last_hit: Option<Moment>,
    /// Who changed it last.
    pub changed_by: String,
    /// When.
    pub changed_at: Moment,
}

impl FromRow for FeedRow {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let moment = |name: &str| -> Result<Option<Moment>, tokio_postgres::Error> {
            let at: Option<OffsetDateTime> = row.try_get(name)?;
            Ok(at.map(Moment::from))
        };
        let said = |name: &str| -> Result<Option<String>, tokio_postgres::Error> {
            let text: String = row.try_get(name)?;
            Ok(Some(text).filter(|text| !text.is_empty()))
        };
        let own: bool = row.try_get("own")?;
        let url = said("url")?;
        let fetched = url.is_some();
        Ok(FeedRow {
            name: row.try_get("name")?,
            scope: scope(own),
            trust: row.try_get("trust")?,
            expire_days: row.try_get("expire_days")?,
            // Where the operator fetches from is his own business.
            url: url.filter(|_| own),
            credential: row
                .try_get::<_, Option<Value>>("credential")?
                .filter(|_| own),
            format: said("format")?,
            every_seconds: Some(row.try_get("every_s")?).filter(|_| fetched),
            source: said("source")?.filter(|_| own).unwrap_or_default(),
            loaded_at: moment("loaded_at")?,
            checked_at: moment("checked_at")?,
            next_at: moment("next_at")?,
            failures: row.try_get("failures")?,
            failure: said("failure")?.filter(|_| own),
            indicators: row.try_get("indicators")?,
            refused: row.try_get("refused")?,
            hits: row.try_get("hits")?,
            last_hit: moment("last_hit")?,
            changed_by: said("changed_by")?.filter(|_| own).unwrap_or_default(),
            changed_at: row.try_get::<_, OffsetDateTime>("changed_at")?.into(),
        })
    }
}

/// The feeds, or one of the organisation's own.
#[derive(Clone, Debug)]
pub struct Feeds(pub Option<String>);

impl Needs for Feeds {
    fn permission(&self) -> Permission {
        Permission::IndicatorsRead
    }
}

impl PgQuery for Feeds {
    type Row = FeedRow;

    fn sql(&self) -> &'static str {
        "SELECT f.name, f.org_id IS NOT NULL AS own, f.trust, f.expire_days, f.url, f.credential, f.format,
                f.every_s, f.source, f.loaded_at, f.checked_at, f.next_at, f.failures, f.failure, f.indicators,
                f.refused, f.changed_by, f.changed_at, coalesce(h.hits, 0) AS hits, h.last_hit
           FROM indicator_feed AS f
           LEFT JOIN (SELECT feed_id, sum(hits)::int8 AS hits, max(last_hit) AS last_hit
                        FROM indicator_feed_hit WHERE org_id = $1 GROUP BY feed_id) AS h
             ON h.feed_id = f.id
          WHERE (f.org_id = $1 OR (f.org_id IS NULL AND $2::text IS NULL)) AND f.deleted_at IS NULL
            AND ($2::text IS NULL OR f.name = $2)
          ORDER BY f.org_id NULLS LAST, f.name LIMIT 1000"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }
}

/// What a feed of the organisation is to be.
#[derive(Clone, Debug)]
pub struct Put {
    /// Its name.
    pub name: String,
    /// What it is.
    pub settings: FeedSettings,
    /// Who says so.
    pub who: String,
}

impl Needs for Put {
    fn permission(&self) -> Permission {
        Permission::IndicatorsManage
    }
}

/// Makes a feed, or changes what it is; whether there was one before. `record` makes the audit event
/// and is the last thing before the commit.
///
/// # Errors
/// 422 when the organisation has too many, 503 when a store is down; then nothing was changed.
pub async fn put(
    pg: &Pg,
    bound: &Bound<Put>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<bool, Problem> {
    let (org, put) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let to = (Some(org), put.name.as_str());
    let present = put_feed(&transaction, to, &put.settings, &put.who).await;
    let present = present.map_err(feed_problem)?;
    room_for_feeds(&transaction, org).await?;
    record().await?;
    transaction.commit().await.map_err(problem)?;
    Ok(present)
}

/// The end of a feed of the organisation, with all that it holds.
#[derive(Clone, Debug)]
pub struct End(pub String);

impl Needs for End {
    fn permission(&self) -> Permission {
        Permission::IndicatorsManage
    }
}

/// Ends a feed; `record` makes the audit event, by how many indicators it held, and is the last thing
/// before the commit.
///
/// # Errors
/// 404 when the organisation has no such one, 503 when a store is down; then nothing was changed.
pub async fn end(
    pg: &Pg,
    bound: &Bound<End>,
    record: impl AsyncFnOnce(u64) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let ended = end_feed(&transaction, Some(bound.org()), &bound.query().0).await;
    let ended = ended.map_err(feed_problem)?;
    record(ended.ok_or_else(|| Problem::not_found("feed"))?).await?;
    transaction.commit().await.map_err(problem)
}
