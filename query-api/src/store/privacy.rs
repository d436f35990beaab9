//! The scrubbing policy of an organisation with its versions, and the peppers it had. As with
//! rules, a change takes a control revision (the table's trigger does) and closes the version
//! before, so that a batch can be made again with what it used.

use super::pg::{Pg, problem};
use super::rules::{hold, scalar};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

/// What holds for an organisation, or did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PolicyRow {
    /// The control revision from which it holds.
    pub revision: i64,
    /// The revision from which it does not hold any more; absent for the present one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_revision: Option<i64>,
    /// The policy.
    #[schema(value_type = Object)]
    pub policy: Value,
    /// The version of the pepper that hashes are made with.
    pub pepper_version: i32,
    /// Who made it what it is; empty for the installation itself.
    pub changed_by: String,
    /// When; absent where that was not kept yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Moment>,
}

/// The versions of the policy, the present one first.
#[derive(Clone, Copy, Debug)]
pub struct PolicyVersions {
    /// At most so many.
    pub limit: i64,
}

impl Needs for PolicyVersions {
    fn permission(&self) -> Permission {
        Permission::PrivacyRead
    }
}

impl PgQuery for PolicyVersions {
    type Row = PolicyRow;

    fn sql(&self) -> &'static str {
        "SELECT from_revision, until_revision, pii_policy, pepper_version, changed_by, changed_at
           FROM organisation_version WHERE org_id = $1 ORDER BY from_revision DESC LIMIT $2"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.limit]
    }
}

impl FromRow for PolicyRow {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let changed_at: Option<OffsetDateTime> = row.try_get("changed_at")?;
        Ok(PolicyRow {
            revision: row.try_get("from_revision")?,
            until_revision: row.try_get("until_revision")?,
            policy: row.try_get("pii_policy")?,
            pepper_version: row.try_get("pepper_version")?,
            changed_by: row.try_get("changed_by")?,
            changed_at: changed_at.map(Moment::from),
        })
    }
}

/// A version of the pepper, without the pepper.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PepperRow {
    /// Its number, as it stands in hashes.
    pub version: i32,
    /// Who made it; empty for the installation itself.
    pub made_by: String,
    /// When.
    pub made_at: Moment,
}

/// The versions of the pepper, the present one first.
#[derive(Clone, Copy, Debug)]
pub struct PepperVersions {
    /// At most so many.
    pub limit: i64,
}

impl Needs for PepperVersions {
    fn permission(&self) -> Permission {
        Permission::PrivacyRead
    }
}

impl PgQuery for PepperVersions {
    type Row = PepperRow;

    fn sql(&self) -> &'static str {
        "SELECT version, made_by, made_at FROM organisation_pepper
          WHERE org_id = $1 ORDER BY version DESC LIMIT $2"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.limit]
    }
}

impl FromRow for PepperRow {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(PepperRow {
            version: row.try_get("version")?,
            made_by: row.try_get("made_by")?,
            made_at: row.try_get::<_, OffsetDateTime>("made_at")?.into(),
        })
    }
}

/// The peppers themselves, for whoever may search for hashed values. They never leave this process.
#[derive(Clone, Copy, Debug)]
pub struct Peppers {
    /// The newest, at most so many.
    pub limit: i64,
}

/// A pepper with its version.
pub struct Key {
    /// Its version.
    pub version: i32,
    /// The key.
    pub pepper: Vec<u8>,
}

impl Needs for Peppers {
    fn permission(&self) -> Permission {
        Permission::PiiRevealHash
    }
}

impl PgQuery for Peppers {
    type Row = Key;

    fn sql(&self) -> &'static str {
        "SELECT version, pepper FROM organisation_pepper
          WHERE org_id = $1 ORDER BY version DESC LIMIT $2"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.limit]
    }
}

impl FromRow for Key {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Key {
            version: row.try_get("version")?,
            pepper: row.try_get("pepper")?,
        })
    }
}

/// A change of what holds for an organisation.
#[derive(Clone)]
pub struct Change {
    /// What is changed.
    pub deed: Deed,
    /// The revision it is expected to be at, if any.
    pub expected: Option<i64>,
    /// Who does it.
    pub who: String,
}

/// What is changed.
#[derive(Clone)]
pub enum Deed {
    /// The policy is replaced.
    Policy(Value),
    /// A new pepper is used from now on; the old ones are kept for searches.
    Rotate([u8; 32]),
}

impl Needs for Change {
    fn permission(&self) -> Permission {
        Permission::PrivacyManage
    }
}

const PRESENT: &str = "
    SELECT from_revision FROM organisation_version WHERE org_id = $1 AND until_revision IS NULL";
/// Read by the trigger that keeps the versions.
const WHO: &str = "SELECT set_config('millrace.who', $1, true)";
const POLICY: &str = "UPDATE organisation SET pii_policy = $2 WHERE id = $1";
const ROTATE: &str = "
    UPDATE organisation SET pepper = $2, pepper_version = pepper_version + 1 WHERE id = $1";

/// Carries out a change; `record` makes its audit event and is the last thing before the commit.
///
/// # Errors
/// 409 when it is at another revision than expected, 503 when a store is down; then nothing was
/// changed.
pub async fn change(
    pg: &Pg,
    bound: &Bound<Change>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (org, change) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    hold(&transaction).await?;
    let present: i64 = scalar(&transaction, PRESENT, &[&org]).await?;
    if let Some(expected) = change.expected
        && expected != present
    {
        let detail = format!("the policy is at revision {present}, not {expected}");
        return Err(Problem::new(Refusal::Conflict, detail));
    }
    transaction
        .execute(WHO, &[&change.who])
        .await
        .map_err(problem)?;
    let changed = match &change.deed {
        Deed::Policy(policy) => transaction.execute(POLICY, &[&org, policy]).await,
        Deed::Rotate(pepper) => {
            transaction
                .execute(ROTATE, &[&org, &pepper.as_slice()])
                .await
        }
    };
    changed.map_err(problem)?;
    record().await?;
    transaction.commit().await.map_err(problem)
}
