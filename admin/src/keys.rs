//! Ingest keys. A secret is shown when it is made and never again; it is stored sealed.

use crate::organisations;
use crate::output::{Page, time};
use crate::stores::Stores;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use deadpool_postgres::GenericClient;
use millrace_shared::Signal;
use millrace_shared::ids::OrgId;
use millrace_shared::secret::{MasterKey, Secret, random};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Random bytes of a made-up key id: unique without being asked for.
const ID_BYTES: usize = 8;

/// What can be done to keys.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// List the keys, of one organisation or of all
    List {
        /// Organisation, by name or id
        #[arg(long)]
        org: Option<String>,
    },
    /// Make a key and show its secret, once
    Create(Create),
    /// Revoke a key; gateways refuse it within a minute
    Revoke {
        /// Id of the key
        id: String,
    },
    /// Give a key a second secret beside the first; --finish makes it the only one
    Rotate {
        /// Id of the key
        id: String,
        /// End the rotation: the older secret is forgotten
        #[arg(long)]
        finish: bool,
    },
}

/// What a new key is.
#[derive(Args)]
pub(crate) struct Create {
    /// Organisation, by name or id
    #[arg(long)]
    pub(crate) org: String,
    /// Id of the key; made up when not given
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// What people call it
    #[arg(long, default_value = "")]
    pub(crate) name: String,
    /// A public key has no secret, and is for browsers and /v1/rum only
    #[arg(long, value_enum, default_value = "secret")]
    pub(crate) kind: Kind,
    /// Signals it may send
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "logs,metrics,traces,rum,audit"
    )]
    pub(crate) signals: Vec<String>,
    /// Signature schemes it may use: body (x-signature), webhook (Standard Webhooks)
    #[arg(long, value_delimiter = ',', default_value = "body,webhook")]
    pub(crate) schemes: Vec<String>,
    /// Networks it may be used from (CIDR); anywhere when none is given
    #[arg(long, value_delimiter = ',')]
    pub(crate) cidrs: Vec<String>,
    /// Origins a public key may be used from, as https://shop.example
    #[arg(long, value_delimiter = ',')]
    pub(crate) origins: Vec<String>,
    /// When it ends (RFC 3339)
    #[arg(long)]
    pub(crate) not_after: Option<String>,
}

/// Secret or public.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Signs its requests.
    Secret,
    /// Unsigned browser events.
    Public,
}

/// Carries an action out.
pub(crate) async fn run(stores: &Stores, action: Action) -> anyhow::Result<Page> {
    let client = stores.postgres().await?;
    match action {
        Action::List { org } => list(&client, org.as_deref()).await,
        Action::Create(create) => {
            let org = organisations::find(&client, &create.org).await?;
            let (id, secret) = insert(&client, stores, org, &create).await?;
            Ok(shown(&id, secret.as_ref()))
        }
        Action::Revoke { id } => {
            let sql =
                "UPDATE ingest_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL";
            if client.execute(sql, &[&id]).await? == 0 {
                bail!("no key {id:?} that is not revoked already");
            }
            let text = format!("key {id} is revoked; gateways refuse it within a minute");
            Ok(Page::Said(text, json!({ "key_id": id, "revoked": true })))
        }
        Action::Rotate { id, finish: false } => {
            let secret = next_secret(&client, &stores.master_key()?, &id).await?;
            Ok(shown(&id, Some(&secret)))
        }
        Action::Rotate { id, finish: true } => {
            let sql = "UPDATE ingest_key SET secret = secret_next, secret_next = NULL \
                        WHERE id = $1 AND secret_next IS NOT NULL";
            if client.execute(sql, &[&id]).await? == 0 {
                bail!("key {id:?} is not in rotation");
            }
            let text = format!("key {id} has its newer secret only, within a minute");
            Ok(Page::Said(text, json!({ "key_id": id, "rotated": true })))
        }
    }
}

fn shown(id: &str, secret: Option<&Secret>) -> Page {
    match secret {
        Some(secret) => Page::Said(
            format!(
                "key    {id}\nsecret {}\nThe secret is not shown again.",
                secret.reveal()
            ),
            json!({ "key_id": id, "secret": secret.reveal() }),
        ),
        None => Page::Said(format!("key    {id} (public)"), json!({ "key_id": id })),
    }
}

/// Makes the key; the answer holds the secret of a secret one.
pub(crate) async fn insert(
    client: &impl GenericClient,
    stores: &Stores,
    org: OrgId,
    create: &Create,
) -> anyhow::Result<(String, Option<Secret>)> {
    let id = match &create.id {
        Some(id) => id.clone(),
        None => format!("k_{}", hex::encode(random::<ID_BYTES>()?)),
    };
    let public = create.kind == Kind::Public;
    let signals = signals(create)?;
    let not_after = create
        .not_after
        .as_deref()
        .map(|text| OffsetDateTime::parse(text, &Rfc3339));
    let not_after = not_after
        .transpose()
        .context("--not-after is not an RFC 3339 time")?;
    let secret = if public {
        None
    } else {
        Some(Secret::generate()?)
    };
    let sealed = match &secret {
        Some(secret) => stores.master_key()?.seal(&id, secret)?,
        None => Vec::new(),
    };
    let kind = if public { "public" } else { "secret" };
    let schemes: Vec<String> = if public { Vec::new() } else { schemes(create)? };
    let sql = "INSERT INTO ingest_key (id, org_id, name, kind, signals, schemes, secret, \
                                       allowed_cidrs, allowed_origins, not_after) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text[]::cidr[], $9, $10)";
    client
        .execute(
            sql,
            &[
                &id,
                &org,
                &create.name,
                &kind,
                &signals,
                &schemes,
                &sealed,
                &create.cidrs,
                &create.origins,
                &not_after,
            ],
        )
        .await
        .with_context(|| format!("key {id:?} cannot be made"))?;
    Ok((id, secret))
}

fn signals(create: &Create) -> anyhow::Result<Vec<String>> {
    if create.kind == Kind::Public {
        if create.origins.is_empty() {
            bail!("a public key needs --origins");
        }
        return Ok(vec![Signal::Rum.as_str().to_owned()]);
    }
    match create
        .signals
        .iter()
        .find(|name| Signal::from_name(name).is_none())
    {
        Some(unknown) => bail!("{unknown:?} is no signal (logs, metrics, traces, rum, audit)"),
        None => Ok(create.signals.clone()),
    }
}

fn schemes(create: &Create) -> anyhow::Result<Vec<String>> {
    match create
        .schemes
        .iter()
        .find(|name| !["body", "webhook"].contains(&name.as_str()))
    {
        Some(unknown) => bail!("{unknown:?} is no signature scheme (body, webhook)"),
        None => Ok(create.schemes.clone()),
    }
}

/// Gives a key a second secret.
async fn next_secret(
    client: &impl GenericClient,
    master: &MasterKey,
    id: &str,
) -> anyhow::Result<Secret> {
    let secret = Secret::generate()?;
    let sealed = master.seal(id, &secret)?;
    let sql = "UPDATE ingest_key SET secret_next = $2 \
                WHERE id = $1 AND kind = 'secret' AND revoked_at IS NULL AND secret_next IS NULL";
    if client.execute(sql, &[&id, &sealed]).await? == 0 {
        bail!("no secret key {id:?}, or it is revoked, or in rotation already (--finish ends it)");
    }
    Ok(secret)
}

async fn list(client: &impl GenericClient, org: Option<&str>) -> anyhow::Result<Page> {
    let org = match org {
        Some(text) => Some(organisations::find(client, text).await?),
        None => None,
    };
    let sql = "SELECT k.id, o.name, k.name, k.kind, k.signals, k.schemes, k.allowed_origins, \
                      k.allowed_cidrs::text[], k.secret_next IS NOT NULL, k.not_after, k.revoked_at \
                 FROM ingest_key k JOIN organisation o ON o.id = k.org_id \
                WHERE $1::uuid IS NULL OR k.org_id = $1 ORDER BY o.name, k.id";
    let mut rows = Vec::new();
    for row in client.query(sql, &[&org]).await? {
        let text =
            |at: usize| -> anyhow::Result<Value> { Ok(json!(row.try_get::<_, String>(at)?)) };
        let list =
            |at: usize| -> anyhow::Result<Value> { Ok(json!(row.try_get::<_, Vec<String>>(at)?)) };
        rows.push(vec![
            text(0)?,
            text(1)?,
            text(2)?,
            text(3)?,
            list(4)?,
            list(5)?,
            list(6)?,
            list(7)?,
            json!(row.try_get::<_, bool>(8)?),
            time(row.try_get(9)?),
            time(row.try_get(10)?),
        ]);
    }
    let columns = &[
        "id",
        "org",
        "name",
        "kind",
        "signals",
        "schemes",
        "origins",
        "cidrs",
        "rotating",
        "not_after",
        "revoked_at",
    ];
    Ok(Page::Table { columns, rows })
}
