//! Organisations: made with a random pepper and with the built-in rules switched on.

use crate::output::{Page, time};
use crate::rules;
use crate::stores::Stores;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use deadpool_postgres::{GenericClient, Transaction};
use millrace_shared::ids::OrgId;
use millrace_shared::secret::random;
use serde_json::json;
use uuid::Uuid;

/// Bytes of the key of an organisation's hashes.
const PEPPER_BYTES: usize = 32;

/// What can be done to organisations.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// List them
    List,
    /// Make one, with the built-in rules
    Create {
        /// Its name
        name: String,
    },
    /// Set its quotas and its weight, those that are given; shows them all
    Limits(Limits),
}

/// Quotas and weight. Gateways follow within the time for which they cache keys.
#[derive(Args)]
pub(crate) struct Limits {
    /// The organisation, by name or id
    org: String,
    /// Requests a minute
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    requests_per_minute: Option<i32>,
    /// Events a second
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    events_per_second: Option<i64>,
    /// Bytes on the wire a second
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    bytes_per_second: Option<i64>,
    /// Its part of what is scarce, against the weights of the others (1 to 1000)
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=1000))]
    weight: Option<i32>,
}

/// Carries an action out.
pub(crate) async fn run(stores: &Stores, action: Action) -> anyhow::Result<Page> {
    let mut client = stores.postgres().await?;
    match action {
        Action::List => list(&client).await,
        Action::Limits(limits) => {
            let org = find(&client, &limits.org).await?;
            set_limits(&client, org, &limits).await
        }
        Action::Create { name } => {
            let tx = client.transaction().await?;
            if id_of(&tx, &name).await?.is_some() {
                bail!("there is an organisation {name:?} already");
            }
            let org = create(&tx, &name).await?;
            tx.commit().await?;
            Ok(Page::Said(
                format!("organisation {name} is {org}"),
                json!({ "org_id": org, "name": name }),
            ))
        }
    }
}

async fn list(client: &impl GenericClient) -> anyhow::Result<Page> {
    let sql = "SELECT o.id, o.name, o.created_at, \
                      (SELECT count(*) FROM ingest_key k WHERE k.org_id = o.id AND k.revoked_at IS NULL), \
                      (SELECT count(*) FROM rule r WHERE r.org_id = o.id AND r.until_revision IS NULL) \
                 FROM organisation o ORDER BY o.name";
    let mut rows = Vec::new();
    for row in client.query(sql, &[]).await? {
        rows.push(vec![
            json!(row.try_get::<_, Uuid>(0)?),
            json!(row.try_get::<_, String>(1)?),
            time(row.try_get(2)?),
            json!(row.try_get::<_, i64>(3)?),
            json!(row.try_get::<_, i64>(4)?),
        ]);
    }
    Ok(Page::Table {
        columns: &["id", "name", "created_at", "keys", "rules"],
        rows,
    })
}

async fn set_limits(
    client: &impl GenericClient,
    org: OrgId,
    limits: &Limits,
) -> anyhow::Result<Page> {
    let sql = "UPDATE organisation \
                  SET requests_per_minute = coalesce($2, requests_per_minute), \
                      events_per_second = coalesce($3, events_per_second), \
                      bytes_per_second = coalesce($4, bytes_per_second), \
                      weight = coalesce($5, weight) \
                WHERE id = $1 \
            RETURNING requests_per_minute, events_per_second, bytes_per_second, weight";
    let Limits {
        requests_per_minute,
        events_per_second,
        bytes_per_second,
        weight,
        ..
    } = limits;
    let row = client
        .query_one(
            sql,
            &[
                &org,
                requests_per_minute,
                events_per_second,
                bytes_per_second,
                weight,
            ],
        )
        .await?;
    Ok(Page::Table {
        columns: &[
            "requests_per_minute",
            "events_per_second",
            "bytes_per_second",
            "weight",
        ],
        rows: vec![vec![
            json!(row.try_get::<_, i32>(0)?),
            json!(row.try_get::<_, i64>(1)?),
            json!(row.try_get::<_, i64>(2)?),
            json!(row.try_get::<_, i32>(3)?),
        ]],
    })
}

/// Makes an organisation with the built-in rules.
pub(crate) async fn create(tx: &Transaction<'_>, name: &str) -> anyhow::Result<OrgId> {
    let org = uuid::Builder::from_random_bytes(random()?).into_uuid();
    let pepper = random::<PEPPER_BYTES>()?;
    let sql = "INSERT INTO organisation (id, name, pepper) VALUES ($1, $2, $3)";
    tx.execute(sql, &[&org, &name, &pepper.as_slice()])
        .await
        .with_context(|| format!("organisation {name:?} cannot be made"))?;
    rules::offer_builtin(tx, org).await?;
    Ok(org)
}

/// The organisation of that name, if there is one.
pub(crate) async fn id_of(
    client: &impl GenericClient,
    name: &str,
) -> anyhow::Result<Option<OrgId>> {
    let row = client
        .query_opt("SELECT id FROM organisation WHERE name = $1", &[&name])
        .await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// The organisation that an operator means, by name or id.
pub(crate) async fn find(client: &impl GenericClient, text: &str) -> anyhow::Result<OrgId> {
    if let Ok(id) = text.parse::<Uuid>() {
        let row = client
            .query_opt("SELECT id FROM organisation WHERE id = $1", &[&id])
            .await?;
        if row.is_some() {
            return Ok(id);
        }
    }
    id_of(client, text)
        .await?
        .with_context(|| format!("no organisation {text:?}: `millrace-admin orgs list` shows them"))
}
