//! Tokens of the query API: random, stored as a hash, shown when made and never again.

use crate::organisations;
use crate::output::{Page, time};
use crate::stores::Stores;
use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use deadpool_postgres::GenericClient;
use millrace_shared::ids::OrgId;
use millrace_shared::secret::random;
use millrace_shared::signature::digest;
use serde_json::json;
use uuid::Uuid;

/// How every token begins, so that leaked ones can be found.
const PREFIX: &str = "mlr_";
/// Random bytes of a token: 43 characters.
const TOKEN_BYTES: usize = 32;
/// Seconds of a day.
const DAY_S: f64 = 86_400.0;
/// Roles that every organisation has.
const ROLES: [&str; 5] = [
    "viewer",
    "analyst",
    "threat_hunter",
    "admin",
    "global_admin",
];

/// What can be done to tokens.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// List the tokens, of one organisation or of all
    List {
        /// Organisation, by name or id
        #[arg(long)]
        org: Option<String>,
    },
    /// Make a token and show it, once
    Create {
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
        /// viewer, analyst, threat_hunter, admin, global_admin, or a role the organisation made
        #[arg(long)]
        role: String,
        /// What people call it
        #[arg(long, default_value = "")]
        name: String,
        /// Days until it expires; never when not given
        #[arg(long)]
        days: Option<i32>,
    },
    /// Revoke a token
    Revoke {
        /// Id of the token (not the token itself)
        id: Uuid,
    },
}

/// Carries an action out.
pub(crate) async fn run(stores: &Stores, action: Action) -> anyhow::Result<Page> {
    let client = stores.postgres().await?;
    match action {
        Action::List { org } => list(&client, org.as_deref()).await,
        Action::Create {
            org,
            role,
            name,
            days,
        } => {
            let org = organisations::find(&client, &org).await?;
            let seconds = days.map(|days| f64::from(days) * DAY_S);
            let (id, token) = insert(&client, org, (&role, &name), seconds).await?;
            let text = format!("id    {id}\ntoken {token}\nThe token is not shown again.");
            Ok(Page::Said(text, json!({ "id": id, "token": token })))
        }
        Action::Revoke { id } => {
            let sql =
                "UPDATE api_token SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL";
            if client.execute(sql, &[&id]).await? == 0 {
                bail!("no token {id} that is not revoked already");
            }
            Ok(Page::Said(
                format!("token {id} is revoked"),
                json!({ "id": id, "revoked": true }),
            ))
        }
    }
}

/// Makes a token of a role and name that expires after so many seconds; never when not given.
pub(crate) async fn insert(
    client: &impl GenericClient,
    org: OrgId,
    (role, name): (&str, &str),
    seconds: Option<f64>,
) -> anyhow::Result<(Uuid, String)> {
    let own = "SELECT 1 FROM role WHERE org_id = $1 AND name = $2";
    if !ROLES.contains(&role) && client.query_opt(own, &[&org, &role]).await?.is_none() {
        bail!("no role {role:?}; there are {}", ROLES.join(", "));
    }
    let token = format!(
        "{PREFIX}{}",
        URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>()?)
    );
    let id = uuid::Builder::from_random_bytes(random()?).into_uuid();
    let hash = digest(token.as_bytes());
    let sql = "INSERT INTO api_token (id, org_id, name, role, hash, expires_at) \
               VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))";
    client
        .execute(sql, &[&id, &org, &name, &role, &hash.as_slice(), &seconds])
        .await?;
    Ok((id, token))
}

/// Removes a token that nobody was given.
pub(crate) async fn remove(client: &impl GenericClient, id: Uuid) -> anyhow::Result<()> {
    let sql = "DELETE FROM api_token WHERE id = $1";
    client.execute(sql, &[&id]).await?;
    Ok(())
}

/// Whether a token works for an organisation and role.
pub(crate) async fn works(
    client: &impl GenericClient,
    org: OrgId,
    role: &str,
    token: &str,
) -> anyhow::Result<bool> {
    let sql = "SELECT 1 FROM api_token WHERE hash = $1 AND org_id = $2 AND role = $3 \
                  AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())";
    let hash = digest(token.as_bytes());
    Ok(client
        .query_opt(sql, &[&hash.as_slice(), &org, &role])
        .await?
        .is_some())
}

async fn list(client: &impl GenericClient, org: Option<&str>) -> anyhow::Result<Page> {
    let org = match org {
        Some(text) => Some(organisations::find(client, text).await?),
        None => None,
    };
    let sql = "SELECT t.id, o.name, t.name, t.role, t.created_at, t.expires_at, t.revoked_at \
                 FROM api_token t JOIN organisation o ON o.id = t.org_id \
                WHERE $1::uuid IS NULL OR t.org_id = $1 ORDER BY o.name, t.created_at";
    let mut rows = Vec::new();
    for row in client.query(sql, &[&org]).await? {
        rows.push(vec![
            json!(row.try_get::<_, Uuid>(0)?),
            json!(row.try_get::<_, String>(1)?),
            json!(row.try_get::<_, String>(2)?),
            json!(row.try_get::<_, String>(3)?),
            time(row.try_get(4)?),
            time(row.try_get(5)?),
            time(row.try_get(6)?),
        ]);
    }
    let columns = &[
        "id",
        "org",
        "name",
        "role",
        "created_at",
        "expires_at",
        "revoked_at",
    ];
    Ok(Page::Table { columns, rows })
}
