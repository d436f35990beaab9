//! Allow-lists: those of the organisation, which it may change, and those of everybody.

use super::indicators::{feed_problem, scope};
use super::pg::{Pg, problem};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use deadpool_postgres::Transaction;
use millrace_detection::indicators::AllowList;
use millrace_feeds::{put_list, remove_list};
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

/// Allow-lists that an organisation may have, and entries on all of them.
const LISTS_MAX: i64 = 50;
const ENTRIES_MAX: i64 = 1_000_000;

/// An allow-list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AllowListRow {
    /// Its name.
    pub name: String,
    /// `organisation`, or `installation` when it is everybody's.
    pub scope: &'static str,
    /// What is on it.
    pub description: String,
    /// `cidr`, `hostname`, `string`, `substring` or `regex`.
    #[serde(rename = "type")]
    pub matching: String,
    /// The types of attributes, as MISP names them, that it is for; all where there are none.
    pub matching_attributes: Vec<String>,
    /// How many entries it has.
    pub entries: i32,
    /// The entries, where one list is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<Vec<String>>,
    /// Who made it what it is.
    pub changed_by: String,
    /// When.
    pub changed_at: Moment,
}

/// The lists without their entries, or one of the organisation's own with them.
#[derive(Clone, Debug)]
pub struct AllowLists(pub Option<String>);

impl Needs for AllowLists {
    fn permission(&self) -> Permission {
        Permission::IndicatorsRead
    }
}

impl PgQuery for AllowLists {
    type Row = AllowListRow;

    fn sql(&self) -> &'static str {
        "SELECT name, org_id IS NOT NULL AS own, description, matching, attributes,
                cardinality(entries) AS count, CASE WHEN $2::text IS NOT NULL THEN entries END AS list,
                changed_by, changed_at
           FROM allow_list
          WHERE (org_id = $1 OR (org_id IS NULL AND $2::text IS NULL)) AND until_revision IS NULL
            AND ($2::text IS NULL OR name = $2)
          ORDER BY org_id NULLS LAST, name LIMIT 1000"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }
}

impl FromRow for AllowListRow {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let own: bool = row.try_get("own")?;
        let who: String = row.try_get("changed_by")?;
        Ok(AllowListRow {
            name: row.try_get("name")?,
            scope: scope(own),
            description: row.try_get("description")?,
            matching: row.try_get("matching")?,
            matching_attributes: row.try_get("attributes")?,
            entries: row.try_get("count")?,
            list: row.try_get("list")?,
            changed_by: if own { who } else { String::new() },
            changed_at: row.try_get::<_, OffsetDateTime>("changed_at")?.into(),
        })
    }
}

/// A change of the allow-list of a name.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What it is from now on; nothing to remove it.
    pub list: Option<Arc<AllowList>>,
    /// Who does it.
    pub who: String,
}

impl Needs for Change {
    fn permission(&self) -> Permission {
        Permission::IndicatorsManage
    }
}

/// Carries a change out; whether there was such a list before. `record` makes the audit event and is
/// the last thing before the commit.
///
/// # Errors
/// 404 when there is none to remove, 422 when the organisation would have too much, 503 when a store
/// is down; then nothing was changed.
pub async fn change(
    pg: &Pg,
    bound: &Bound<Change>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<bool, Problem> {
    let (org, change) = (Some(bound.org()), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let present = match &change.list {
        Some(list) => {
            let to = (org, change.name.as_str());
            let present = put_list(&transaction, to, list, &change.who).await;
            let present = present.map_err(feed_problem)?;
            check_size(&transaction, bound.org()).await?;
            present
        }
        None => {
            let present = remove_list(&transaction, org, &change.name).await;
            match present.map_err(feed_problem)? {
                true => true,
                false => return Err(Problem::not_found("allow-list")),
            }
        }
    };
    record().await?;
    transaction.commit().await.map_err(problem)?;
    Ok(present)
}

async fn check_size(transaction: &Transaction<'_>, org: OrgId) -> Result<(), Problem> {
    let sql = "SELECT count(*), coalesce(sum(cardinality(entries)), 0)::int8 FROM allow_list \
                WHERE org_id = $1 AND until_revision IS NULL";
    let row = transaction.query_one(sql, &[&org]).await.map_err(problem)?;
    let lists: i64 = row.try_get(0).map_err(problem)?;
    let entries: i64 = row.try_get(1).map_err(problem)?;
    if lists <= LISTS_MAX && entries <= ENTRIES_MAX {
        return Ok(());
    }
    let detail = format!(
        "the organisation would have {lists} allow-lists with {entries} entries, more than \
         {LISTS_MAX} with {ENTRIES_MAX}"
    );
    Err(Problem::new(Refusal::Unprocessable, detail))
}
