//! Indicators of compromise: searched among the organisation's own and those of everybody, and
//! changed among its own. The table's rows are written by the crate that all writers of it share.

use super::pg::{Pg, problem};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use deadpool_postgres::Transaction;
use millrace_detection::Indicator;
use millrace_feeds::{Changes, Ended, FeedError, Load, Mode, end_indicator, load};
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

/// Indicators that an organisation may have; feeds of more are the installation's.
pub const INDICATORS_MAX: i64 = 2_000_000;
/// Feeds that an organisation may have.
pub const FEEDS_MAX: i64 = 100;
/// A large import takes longer than a query may.
const PATIENCE: &str = "SET LOCAL statement_timeout = '120s'";

/// An indicator.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IndicatorRow {
    /// Its number, as events that it matched carry it.
    pub id: i64,
    /// Its feed.
    pub feed: String,
    /// `organisation`, or `installation` when it is everybody's.
    pub scope: &'static str,
    /// `ipv4`, `ipv6`, `cidr`, `domain`, `url`, `email`, `md5`, `sha1`, `sha256`, `sha512` or `cve`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its value.
    pub value: String,
    /// How sure the feed is, 0 to 100.
    pub confidence: i16,
    /// How bad it is.
    pub severity: String,
    /// Name of the threat, or empty.
    pub threat: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Whether it matches private and documentation ranges too.
    pub match_private: bool,
    /// When it was first seen.
    pub first_seen: Option<Moment>,
    /// When it was last seen.
    pub last_seen: Option<Moment>,
    /// When it ceases to match.
    pub expires_at: Option<Moment>,
    /// When it came.
    pub added_at: Moment,
}

impl FromRow for IndicatorRow {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let moment = |name: &str| -> Result<Option<Moment>, tokio_postgres::Error> {
            let at: Option<OffsetDateTime> = row.try_get(name)?;
            Ok(at.map(Moment::from))
        };
        Ok(IndicatorRow {
            id: row.try_get("id")?,
            feed: row.try_get("feed")?,
            scope: scope(row.try_get("own")?),
            kind: row.try_get("kind")?,
            value: row.try_get("value")?,
            confidence: row.try_get("confidence")?,
            severity: row.try_get("severity")?,
            threat: row.try_get("threat")?,
            tags: row.try_get("tags")?,
            match_private: row.try_get("match_private")?,
            first_seen: moment("first_seen")?,
            last_seen: moment("last_seen")?,
            expires_at: moment("expires_at")?,
            added_at: row.try_get::<_, OffsetDateTime>("added_at")?.into(),
        })
    }
}

/// Whose something is, as a word.
pub(super) const fn scope(own: bool) -> &'static str {
    if own { "organisation" } else { "installation" }
}

/// A page of indicators, by number.
#[derive(Clone, Debug)]
pub struct Search {
    /// Only with this value, in its canonical spelling.
    pub value: Option<String>,
    /// Only of this feed.
    pub feed: Option<String>,
    /// Only of this kind.
    pub kind: Option<&'static str>,
    /// Only those after this number.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

impl Needs for Search {
    fn permission(&self) -> Permission {
        Permission::IndicatorsRead
    }
}

/// One of the two halves of a page: each has an index of its own to go along.
macro_rules! half {
    ($whose:literal) => {
        concat!(
            "(SELECT i.id, f.name AS feed, i.org_id IS NOT NULL AS own, i.kind, i.value, i.confidence,
                     i.severity, i.threat, i.tags, i.match_private, i.first_seen, i.last_seen,
                     i.expires_at, i.added_at
                FROM indicator AS i JOIN indicator_feed AS f ON f.id = i.feed_id
               WHERE i.until_revision IS NULL AND i.org_id ",
            $whose,
            " AND ($2::text IS NULL OR i.value = $2) AND ($3::text IS NULL OR f.name = $3)
              AND ($4::text IS NULL OR i.kind = $4) AND i.id > $5
            ORDER BY i.id LIMIT $6)"
        )
    };
}

impl PgQuery for Search {
    type Row = IndicatorRow;

    fn sql(&self) -> &'static str {
        concat!(
            "SELECT * FROM (",
            half!("= $1"),
            " UNION ALL ",
            half!("IS NULL"),
            ") AS both_halves ORDER BY id LIMIT $6"
        )
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.value,
            &self.feed,
            &self.kind,
            &self.after,
            &self.limit,
        ]
    }
}

/// Indicators on their way into a feed of the organisation.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The feed.
    pub feed: String,
    /// How far it is trusted from now on, if that is said.
    pub trust: Option<u8>,
    /// The indicators.
    pub indicators: Arc<Vec<Indicator>>,
    /// How much could not be used.
    pub refused: u64,
    /// SHA-256 of what they were read from.
    pub sha256: String,
    /// Whether they are all that the feed holds.
    pub replace: bool,
    /// Whether nothing is stored.
    pub dry_run: bool,
    /// Who does it.
    pub who: String,
}

impl Needs for Intake {
    fn permission(&self) -> Permission {
        Permission::IndicatorsManage
    }
}

/// Brings indicators into a feed; `record` makes the audit event, by what came of it, and is the
/// last thing before the commit.
///
/// # Errors
/// 409 when the feed is fetched from an address, 422 when the organisation would have too much, 503
/// when a store is down; then nothing was changed.
pub async fn take(
    pg: &Pg,
    bound: &Bound<Intake>,
    record: impl AsyncFnOnce(&Changes) -> Result<(), Problem>,
) -> Result<Changes, Problem> {
    let (org, intake) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    transaction.batch_execute(PATIENCE).await.map_err(problem)?;
    check_feed(&transaction, bound).await?;
    let content = Load {
        org: Some(org),
        name: &intake.feed,
        trust: intake.trust,
        source: "api",
        sha256: &intake.sha256,
        indicators: &intake.indicators,
        refused: intake.refused,
        mode: match intake.replace {
            true => Mode::Replace,
            false => Mode::Merge,
        },
        lease: None,
        who: &intake.who,
    };
    let changes = load(&transaction, &content).await.map_err(feed_problem)?;
    room_for_feeds(&transaction, org).await?;
    check_size(&transaction, bound).await?;
    if intake.dry_run {
        transaction.rollback().await.map_err(problem)?;
        return Ok(changes);
    }
    record(&changes).await?;
    transaction.commit().await.map_err(problem)?;
    Ok(changes)
}

/// Whether the feed may be filled by hand.
async fn check_feed(transaction: &Transaction<'_>, bound: &Bound<Intake>) -> Result<(), Problem> {
    let sql = "SELECT 1 FROM indicator_feed \
                WHERE org_id = $1 AND name = $2 AND deleted_at IS NULL AND url <> ''";
    let feed = &bound.query().feed;
    let fetched = transaction.query_opt(sql, &[&bound.org(), feed]).await;
    if fetched.map_err(problem)?.is_none() {
        return Ok(());
    }
    let detail = format!("feed {feed} is fetched from its address, which replaces what it holds");
    Err(Problem::new(Refusal::Conflict, detail))
}

/// Whether the organisation has no more feeds than it may.
pub(super) async fn room_for_feeds(
    transaction: &Transaction<'_>,
    org: OrgId,
) -> Result<(), Problem> {
    let sql = "SELECT count(*) FROM indicator_feed WHERE org_id = $1 AND deleted_at IS NULL";
    let row = transaction.query_one(sql, &[&org]).await.map_err(problem)?;
    let count: i64 = row.try_get(0).map_err(problem)?;
    if count <= FEEDS_MAX {
        return Ok(());
    }
    let detail = format!("the organisation would have {count} feeds, more than {FEEDS_MAX}");
    Err(Problem::new(Refusal::Unprocessable, detail))
}

async fn check_size(transaction: &Transaction<'_>, bound: &Bound<Intake>) -> Result<(), Problem> {
    let sql = "SELECT coalesce(sum(indicators), 0)::int8 FROM indicator_feed \
                WHERE org_id = $1 AND deleted_at IS NULL";
    let row = transaction.query_one(sql, &[&bound.org()]).await;
    let count: i64 = row.map_err(problem)?.try_get(0).map_err(problem)?;
    if count <= INDICATORS_MAX {
        return Ok(());
    }
    let detail =
        format!("the organisation would have {count} indicators, more than {INDICATORS_MAX}");
    Err(Problem::new(Refusal::Unprocessable, detail))
}

/// The end of an indicator of the organisation.
#[derive(Clone, Copy, Debug)]
pub struct End(pub i64);

impl Needs for End {
    fn permission(&self) -> Permission {
        Permission::IndicatorsManage
    }
}

/// Ends an indicator; `record` makes the audit event, and is the last thing before the commit.
///
/// # Errors
/// 404 when the organisation has no such one, 503 when a store is down; then nothing was changed.
pub async fn end(
    pg: &Pg,
    bound: &Bound<End>,
    record: impl AsyncFnOnce(&Ended) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let ended = end_indicator(&transaction, Some(bound.org()), bound.query().0).await;
    let ended = ended.map_err(feed_problem)?;
    let ended = ended.ok_or_else(|| Problem::not_found("indicator"))?;
    record(&ended).await?;
    transaction.commit().await.map_err(problem)
}

/// What a failure of the tables of feeds means for the caller.
pub(super) fn feed_problem(error: FeedError) -> Problem {
    match error {
        FeedError::Postgres(error) => problem(error),
        FeedError::Pool(_) => Problem::store_down("PostgreSQL"),
        FeedError::OtherServer => Problem::new(Refusal::Unprocessable, error.to_string()),
        FeedError::NotHeld => Problem::internal("a feed could not be changed", &error),
    }
}
