//! Tokens and organisations: the only statements that run before anybody is known.

use super::pg::{Pg, problem};
use crate::error::Problem;
use millrace_shared::ids::OrgId;
use tokio_postgres::Row;
use uuid::Uuid;

/// A token with all that is known of its owner.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// Its id.
    pub id: Uuid,
    /// Its organisation.
    pub org: OrgId,
    /// Name of the organisation.
    pub organisation: String,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: String,
    /// What the organisation says the role may do.
    pub stored_permissions: Option<Vec<String>>,
    /// The user it belongs to.
    pub user_email: Option<String>,
    /// Whether that user is disabled.
    pub user_disabled: bool,
    /// When it ends, nanoseconds since 1970.
    pub expires_at_ns: Option<i64>,
    /// Whether it was revoked.
    pub revoked: bool,
}

const FIND: &str = "
    SELECT t.id, t.org_id, o.name AS organisation, t.name, t.role, r.permissions, u.email,
           u.disabled_at IS NOT NULL AS disabled, t.revoked_at IS NOT NULL AS revoked,
           CASE WHEN isfinite(t.expires_at)
                THEN (extract(epoch FROM t.expires_at) * 1000)::bigint END AS expires_ms
      FROM api_token t
      JOIN organisation o ON o.id = t.org_id
      LEFT JOIN role r ON r.org_id = t.org_id AND r.name = t.role
      LEFT JOIN app_user u ON u.id = t.user_id
     WHERE t.hash = $1";

/// Finds a token by its hash.
///
/// # Errors
/// 503 when the store cannot be asked.
pub async fn find(pg: &Pg, hash: &[u8; 32]) -> Result<Option<TokenRow>, Problem> {
    let rows = pg.query(FIND, &[&hash.as_slice()]).await?;
    rows.first().map(read).transpose().map_err(problem)
}

fn read(row: &Row) -> Result<TokenRow, tokio_postgres::Error> {
    let expires: Option<i64> = row.try_get("expires_ms")?;
    Ok(TokenRow {
        id: row.try_get("id")?,
        org: row.try_get("org_id")?,
        organisation: row.try_get("organisation")?,
        name: row.try_get("name")?,
        role: row.try_get("role")?,
        stored_permissions: row.try_get("permissions")?,
        user_email: row.try_get("email")?,
        user_disabled: row.try_get("disabled")?,
        expires_at_ns: expires.map(|ms| ms.saturating_mul(1_000_000)),
        revoked: row.try_get("revoked")?,
    })
}

/// The name of an organisation.
///
/// # Errors
/// 503 when the store cannot be asked.
pub async fn organisation(pg: &Pg, org: OrgId) -> Result<Option<String>, Problem> {
    let rows = pg
        .query("SELECT name FROM organisation WHERE id = $1", &[&org])
        .await?;
    rows.first()
        .map(|row| row.try_get("name"))
        .transpose()
        .map_err(problem)
}
