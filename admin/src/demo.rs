//! The demonstration: organisations `demo`, `other` and `millrace-self`, with keys of known ids,
//! tokens, the built-in rules and a few indicators. Done twice, it changes nothing: secrets and
//! tokens that the file holds are kept as long as they work, and made anew where they do not.

use crate::output::Page;
use crate::stores::Stores;
use crate::{indicators, keys, organisations, rules, tokens};
use anyhow::{Context as _, bail};
use deadpool_postgres::Transaction;
use millrace_shared::ids::OrgId;
use millrace_shared::secret::Secret;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use uuid::Uuid;

/// Where a browser of a developer's machine comes from; `null` is a page opened from a file.
const ORIGINS: &str = "http://localhost:*,http://127.0.0.1:*,null";

/// What `make run` and the scripts use.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Demo {
    #[serde(flatten)]
    demo: Access,
    other_org: Access,
    #[serde(rename = "self")]
    own: Access,
}

/// Ways into one organisation.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Access {
    org_id: Uuid,
    key_id: String,
    secret: String,
    public_rum_key_id: String,
    tokens: Tokens,
}

/// A token of each role.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Tokens {
    viewer: String,
    analyst: String,
    admin: String,
}

/// Makes what is missing and writes the file.
pub(crate) async fn run(stores: &Stores, out: &Path) -> anyhow::Result<Page> {
    if !stores.development()? {
        bail!("demo credentials are for MILLRACE_PROFILE=development");
    }
    let known: Demo = match std::fs::read(out) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => Demo::default(),
    };
    let mut client = stores.postgres().await?;
    let tx = client.transaction().await?;
    let made = Demo {
        demo: access(&tx, stores, "demo", known.demo).await?,
        other_org: access(&tx, stores, "other", known.other_org).await?,
        own: access(&tx, stores, "millrace-self", known.own).await?,
    };
    indicators::store(&tx, &indicators::demo()?).await?;
    tx.commit().await?;
    let text = serde_json::to_string_pretty(&made)?;
    write(out, &text).with_context(|| format!("cannot write {}", out.display()))?;
    let said = format!(
        "organisations demo, other and millrace-self are there; {} holds the secrets",
        out.display()
    );
    Ok(Page::Said(said, serde_json::from_str(&text)?))
}

/// The file holds secrets: only its owner may read it.
fn write(out: &Path, text: &str) -> std::io::Result<()> {
    let new = out.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, out)
}

async fn access(
    tx: &Transaction<'_>,
    stores: &Stores,
    name: &str,
    known: Access,
) -> anyhow::Result<Access> {
    let org = match organisations::id_of(tx, name).await? {
        Some(org) => {
            rules::offer_builtin(tx, org).await?;
            org
        }
        None => organisations::create(tx, name).await?,
    };
    let key_id = format!("{name}-agent");
    let secret = secret_key(tx, stores, (org, &key_id), &known.secret).await?;
    let public_rum_key_id = format!("{name}-browser");
    public_key(tx, stores, org, &public_rum_key_id).await?;
    let tokens = Tokens {
        viewer: token(tx, org, "viewer", known.tokens.viewer).await?,
        analyst: token(tx, org, "analyst", known.tokens.analyst).await?,
        admin: token(tx, org, "admin", known.tokens.admin).await?,
    };
    Ok(Access {
        org_id: org,
        key_id,
        secret,
        public_rum_key_id,
        tokens,
    })
}

async fn token(
    tx: &Transaction<'_>,
    org: OrgId,
    role: &str,
    known: String,
) -> anyhow::Result<String> {
    if tokens::works(tx, org, role, &known).await? {
        return Ok(known);
    }
    Ok(tokens::insert(tx, org, (role, "demo"), None).await?.1)
}

/// Keeps the secret when it is the key's; makes the key or gives it another secret when not.
async fn secret_key(
    tx: &Transaction<'_>,
    stores: &Stores,
    (org, id): (OrgId, &str),
    known: &str,
) -> anyhow::Result<String> {
    let master = stores.master_key()?;
    let sql = "SELECT secret FROM ingest_key WHERE id = $1 AND org_id = $2 AND revoked_at IS NULL";
    let Some(row) = tx.query_opt(sql, &[&id, &org]).await? else {
        tx.execute(
            "DELETE FROM ingest_key WHERE id = $1 AND org_id = $2",
            &[&id, &org],
        )
        .await?;
        let (_, secret) = keys::insert(tx, stores, org, &key(id, keys::Kind::Secret)).await?;
        return Ok(secret
            .map(|secret| secret.reveal().to_owned())
            .unwrap_or_default());
    };
    let sealed: Vec<u8> = row.try_get(0)?;
    if master
        .open(id, &sealed)
        .is_ok_and(|secret| secret.reveal() == known)
    {
        return Ok(known.to_owned());
    }
    let secret = Secret::generate()?;
    let sealed = master.seal(id, &secret)?;
    let sql = "UPDATE ingest_key SET secret = $2, secret_next = NULL WHERE id = $1";
    tx.execute(sql, &[&id, &sealed]).await?;
    Ok(secret.reveal().to_owned())
}

async fn public_key(
    tx: &Transaction<'_>,
    stores: &Stores,
    org: OrgId,
    id: &str,
) -> anyhow::Result<()> {
    let sql = "SELECT 1 FROM ingest_key WHERE id = $1 AND org_id = $2 AND revoked_at IS NULL";
    if tx.query_opt(sql, &[&id, &org]).await?.is_none() {
        tx.execute(
            "DELETE FROM ingest_key WHERE id = $1 AND org_id = $2",
            &[&id, &org],
        )
        .await?;
        keys::insert(tx, stores, org, &key(id, keys::Kind::Public)).await?;
    }
    Ok(())
}

fn key(id: &str, kind: keys::Kind) -> keys::Create {
    let parts = |text: &str| text.split(',').map(str::to_owned).collect();
    keys::Create {
        org: String::new(),
        id: Some(id.to_owned()),
        name: "demo".to_owned(),
        kind,
        signals: parts("logs,metrics,traces,rum,audit"),
        schemes: parts("body,webhook"),
        cidrs: Vec::new(),
        origins: if kind == keys::Kind::Public {
            parts(ORIGINS)
        } else {
            Vec::new()
        },
        not_after: None,
    }
}
