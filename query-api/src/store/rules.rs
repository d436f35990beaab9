//! Rules and their versions. Every change takes a control revision, closes the version before and
//! writes the next, so that a batch can be recomputed with the rules it used.

use super::pg::{Pg, problem};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use deadpool_postgres::Transaction;
use millrace_shared::outcome::Refusal;
use millrace_shared::schema::REVISION_LOCK;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

/// A version of a rule.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RuleRow {
    /// Id of the rule.
    pub id: String,
    /// Number of the version.
    pub version: i32,
    /// Whether it runs.
    pub enabled: bool,
    /// Whether it came with the installation.
    pub builtin: bool,
    /// The rule.
    pub rule: Value,
    /// Who made this version.
    pub changed_by: String,
    /// When.
    pub changed_at: Moment,
    /// Whether it is the present one.
    pub current: bool,
}

macro_rules! rule_columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, version, enabled, builtin, body, changed_by, changed_at,
                    until_revision IS NULL AS current FROM rule WHERE org_id = $1 ",
            $rest
        )
    };
}

impl FromRow for RuleRow {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(RuleRow {
            id: row.try_get("id")?,
            version: row.try_get("version")?,
            enabled: row.try_get("enabled")?,
            builtin: row.try_get("builtin")?,
            rule: row.try_get("body")?,
            changed_by: row.try_get("changed_by")?,
            changed_at: row.try_get::<_, OffsetDateTime>("changed_at")?.into(),
            current: row.try_get("current")?,
        })
    }
}

/// A page of present rules, by id.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Only those that run, or do not.
    pub enabled: Option<bool>,
    /// Only with this in id or name.
    pub text: Option<String>,
    /// Only those after this id.
    pub after: Option<String>,
    /// At most so many.
    pub limit: i64,
}

impl Needs for Listing {
    fn permission(&self) -> Permission {
        Permission::RulesRead
    }
}

impl PgQuery for Listing {
    type Row = RuleRow;

    fn sql(&self) -> &'static str {
        rule_columns!(
            "AND until_revision IS NULL AND ($2::boolean IS NULL OR enabled = $2)
             AND ($3::text IS NULL
                  OR position(lower($3) IN lower(id || ' ' || coalesce(body ->> 'name', ''))) > 0)
             AND ($4::text IS NULL OR id > $4)
           ORDER BY id LIMIT $5"
        )
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.enabled, &self.text, &self.after, &self.limit]
    }
}

/// All versions of a rule, newest first.
#[derive(Clone, Debug)]
pub struct Versions(pub String);

impl Needs for Versions {
    fn permission(&self) -> Permission {
        Permission::RulesRead
    }
}

impl PgQuery for Versions {
    type Row = RuleRow;

    fn sql(&self) -> &'static str {
        rule_columns!("AND id = $2 ORDER BY version DESC LIMIT 100")
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }
}

/// What is done to a rule.
#[derive(Clone, Debug)]
pub enum Deed {
    /// It is made; there must be none of its id.
    Create(Value),
    /// It is replaced; with the version it is expected to have, if any.
    Update(Value, Option<i32>),
    /// It is switched on or off.
    Enable(bool),
    /// It is removed; its versions stay.
    Delete,
}

/// A change of one rule.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// What is done.
    pub deed: Deed,
    /// Who does it.
    pub who: String,
}

impl Needs for Change {
    fn permission(&self) -> Permission {
        Permission::RulesManage
    }
}

pub(super) const REVISION: &str = "SELECT nextval('control_revision')";
const PRESENT: &str = "
    SELECT version, enabled, builtin, body FROM rule
     WHERE org_id = $1 AND id = $2 AND until_revision IS NULL FOR UPDATE";
const LAST: &str = "SELECT coalesce(max(version), 0) FROM rule WHERE org_id = $1 AND id = $2";
const CLOSE: &str = "
    UPDATE rule SET until_revision = $3
     WHERE org_id = $1 AND id = $2 AND until_revision IS NULL";
const INSERT: &str = "
    INSERT INTO rule (org_id, id, version, enabled, builtin, body, from_revision, changed_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
pub(super) const NOTIFY: &str = "NOTIFY millrace_control";

/// The version that runs before a change.
struct Present {
    version: i32,
    builtin: bool,
    body: Value,
}

/// Takes the lock of those who take a revision.
pub(super) async fn hold(transaction: &Transaction<'_>) -> Result<(), Problem> {
    let sql = "SELECT pg_advisory_xact_lock($1)";
    let held = transaction.execute(sql, &[&REVISION_LOCK]).await;
    held.map(drop).map_err(problem)
}

/// Carries out a change; `record` makes its audit event and is the last thing before the commit.
///
/// # Errors
/// 404 without such a rule, 409 when one exists that should not or has another version, 503 when a
/// store is down; then nothing was changed.
pub async fn change(
    pg: &Pg,
    bound: &Bound<Change>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (org, change) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    hold(&transaction).await?;
    let row = transaction
        .query_opt(PRESENT, &[&org, &change.id])
        .await
        .map_err(problem)?;
    let present = row.as_ref().map(present).transpose().map_err(problem)?;
    let next = next(change, present.as_ref())?;
    let revision: i64 = scalar(&transaction, REVISION, &[]).await?;
    if present.is_some() {
        let params: [&(dyn ToSql + Sync); 3] = [&org, &change.id, &revision];
        transaction.execute(CLOSE, &params).await.map_err(problem)?;
    }
    if let Some((enabled, mut body)) = next {
        let last: i32 = scalar(&transaction, LAST, &[&org, &change.id]).await?;
        let (version, builtin) = (last + 1, present.is_some_and(|present| present.builtin));
        if let Some(members) = body.as_object_mut() {
            members.insert("version".to_owned(), version.into());
            members.insert("enabled".to_owned(), enabled.into());
        }
        let params: [&(dyn ToSql + Sync); 8] = [
            &org,
            &change.id,
            &version,
            &enabled,
            &builtin,
            &body,
            &revision,
            &change.who,
        ];
        transaction
            .execute(INSERT, &params)
            .await
            .map_err(problem)?;
    }
    transaction.execute(NOTIFY, &[]).await.map_err(problem)?;
    record().await?;
    transaction.commit().await.map_err(problem)
}

pub(super) async fn scalar<T: for<'a> tokio_postgres::types::FromSql<'a>>(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<T, Problem> {
    let row = transaction.query_one(sql, params).await.map_err(problem)?;
    row.try_get(0).map_err(problem)
}

fn present(row: &Row) -> Result<Present, tokio_postgres::Error> {
    Ok(Present {
        version: row.try_get("version")?,
        builtin: row.try_get("builtin")?,
        body: row.try_get("body")?,
    })
}

/// What the rule is after the change: whether it runs, and its body; nothing when it is removed.
fn next(change: &Change, present: Option<&Present>) -> Result<Option<(bool, Value)>, Problem> {
    let enabled = |body: &Value| body.get("enabled").and_then(Value::as_bool).unwrap_or(true);
    match (&change.deed, present) {
        (Deed::Create(_), Some(_)) => {
            let detail = format!("there is a rule {} already", change.id);
            Err(Problem::new(Refusal::Conflict, detail))
        }
        (Deed::Create(body), None) => Ok(Some((enabled(body), body.clone()))),
        (_, None) => Err(Problem::not_found("rule")),
        (Deed::Update(_, Some(expected)), Some(present)) if *expected != present.version => {
            let detail = format!("the rule is at version {}, not {expected}", present.version);
            Err(Problem::new(Refusal::Conflict, detail))
        }
        (Deed::Update(body, _), Some(_)) => Ok(Some((enabled(body), body.clone()))),
        (Deed::Enable(on), Some(present)) => Ok(Some((*on, present.body.clone()))),
        (Deed::Delete, Some(_)) => Ok(None),
    }
}
