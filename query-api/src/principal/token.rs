//! Tokens to principals. A token is looked up by its SHA-256 and remembered for a short while, which
//! bounds how long a revoked one still works; its expiry is checked on every use.

use super::permission::GLOBAL_ADMIN;
use super::{Permissions, Principal};
use crate::error::Problem;
use crate::metrics;
use crate::store::Pg;
use crate::store::tokens::{self, TokenRow};
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The header in which a global admin names an organisation.
pub const TENANT_HEADER: &str = "x-tenant-id";
/// What every token begins with, so that scanners of leaked secrets find it.
const PREFIX: &str = "mlr_";
/// 32 random bytes in base64url.
const SECRET_CHARS: usize = 43;
/// A revoked token works this much longer at most.
const REMEMBERED: Duration = Duration::from_secs(20);
/// Tokens and organisations remembered: some hundred bytes each.
const REMEMBERED_MAX: u64 = 10_000;

/// Turns tokens into principals.
pub struct Authenticator {
    tokens: Cache<[u8; 32], Arc<TokenRow>>,
    organisations: Cache<OrgId, Arc<str>>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticator")
    }
}

impl Default for Authenticator {
    fn default() -> Self {
        Authenticator {
            tokens: cache(),
            organisations: cache(),
        }
    }
}

fn cache<K, V>() -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(REMEMBERED_MAX)
        .time_to_live(REMEMBERED)
        .build()
}

impl Authenticator {
    /// The principal of an `authorization` header, acting for the named organisation or else for
    /// its own.
    ///
    /// # Errors
    /// 401 for no, an unknown, a revoked or an expired token; 403 for naming another organisation
    /// without being allowed to; 503 when the control database is down.
    pub async fn verify(
        &self,
        pg: &Pg,
        authorization: Option<&str>,
        tenant: Option<&str>,
        now_ns: i64,
    ) -> Result<Principal, Problem> {
        let token = bearer(authorization).ok_or_else(unauthorized)?;
        let row = self.token_row(pg, token).await?;
        let expired = row.expires_at_ns.is_some_and(|at| at <= now_ns);
        if expired || row.revoked || row.user_disabled {
            return Err(unauthorized());
        }
        let home = principal(&row);
        match tenant {
            None => Ok(home),
            Some(tenant) => self.visit(pg, home, tenant).await,
        }
    }

    async fn token_row(&self, pg: &Pg, token: &str) -> Result<Arc<TokenRow>, Problem> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(row) = self.tokens.get(&hash) {
            metrics::CACHE.add(&["token", "hit"], 1);
            return Ok(row);
        }
        metrics::CACHE.add(&["token", "miss"], 1);
        let row = tokens::find(pg, &hash).await?.ok_or_else(unauthorized)?;
        let row = Arc::new(row);
        self.tokens.insert(hash, Arc::clone(&row));
        Ok(row)
    }

    async fn visit(&self, pg: &Pg, home: Principal, tenant: &str) -> Result<Principal, Problem> {
        if &*home.role != GLOBAL_ADMIN {
            let detail = format!("only the role {GLOBAL_ADMIN} may send {TENANT_HEADER}");
            return Err(Problem::new(Refusal::Forbidden, detail));
        }
        let org: OrgId = tenant
            .parse()
            .map_err(|_| Problem::parameter(TENANT_HEADER, "is not the id of an organisation"))?;
        let organisation = match self.organisations.get(&org) {
            Some(name) => name,
            None => {
                let name = tokens::organisation(pg, org).await?;
                let name: Arc<str> = name
                    .ok_or_else(|| Problem::not_found("organisation"))?
                    .into();
                self.organisations.insert(org, Arc::clone(&name));
                name
            }
        };
        Ok(Principal {
            org,
            organisation,
            ..home
        })
    }
}

fn unauthorized() -> Problem {
    let detail = "a valid token is needed: `authorization: Bearer mlr_…`";
    Problem::new(Refusal::Unauthorized, detail)
}

/// The token of a header, when it has the form of one.
fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.split_once(' ')?;
    let token = token.trim();
    let secret = token.strip_prefix(PREFIX)?;
    let well_formed = secret.len() == SECRET_CHARS
        && secret
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (scheme.eq_ignore_ascii_case("bearer") && well_formed).then_some(token)
}

fn principal(row: &TokenRow) -> Principal {
    // The one role that reaches beyond its organisation cannot be redefined by one.
    let permissions = match &row.stored_permissions {
        Some(words) if row.role != GLOBAL_ADMIN => Permissions::stored(words),
        Some(_) | None => Permissions::of_role(&row.role),
    };
    let name = match (&row.user_email, row.name.as_str()) {
        (Some(email), _) => email.clone(),
        (None, "") => row.id.to_string(),
        (None, name) => name.to_owned(),
    };
    Principal {
        home: row.org,
        org: row.org,
        organisation: row.organisation.as_str().into(),
        token: row.id,
        name: name.into(),
        role: row.role.as_str().into(),
        permissions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_bearer_token_is_looked_up() {
        let token = format!("mlr_{}", "a".repeat(43));
        let header = format!("bearer {token}");
        assert_eq!(bearer(Some(&header)), Some(token.as_str()));
        for bad in [
            None,
            Some("Bearer"),
            Some(token.as_str()),
            Some(&format!("Basic {token}")),
            Some("Bearer mlr_short"),
            Some(&format!("Bearer mlr_{}", "'".repeat(43))),
        ] {
            assert_eq!(bearer(bad), None, "{bad:?}");
        }
    }
}
