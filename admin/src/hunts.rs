//! Retro-hunts: searches of stored history for the indicators of a feed. They are begun and cancelled
//! here; the workers do them, and what they find becomes alerts.

use crate::organisations;
use crate::output::{Page, table, time};
use crate::stores::Stores;
use crate::trail::{self, Deed, WHO};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use deadpool_postgres::{Client, GenericClient};
use millrace_feeds::{BegunHunt, HUNT_DAYS, NewHunt, begin_hunt, cancel_hunt};
use millrace_shared::ids::OrgId;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};
use tokio_postgres::Row;
use uuid::Uuid;

/// Hunts shown unless asked for more.
const LISTED: i64 = 100;

/// What can be done to hunts.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// List them, newest first
    List {
        /// Of this organisation only, by name or id
        #[arg(long)]
        org: Option<String>,
        /// Of this feed only
        #[arg(long)]
        feed: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = LISTED)]
        limit: i64,
    },
    /// Show one: how far it has come, and why it last failed
    Show {
        /// Its id
        id: Uuid,
    },
    /// Have history searched for all indicators of a feed
    Start(Start),
    /// Cancel one that is not at its end; what it raised stays
    Cancel {
        /// Its id
        id: Uuid,
    },
}

/// A hunt to be begun.
#[derive(Args)]
pub(crate) struct Start {
    /// Name of the feed, the organisation's own or one for all
    feed: String,
    /// Organisation whose history is searched, by name or id
    #[arg(long)]
    org: String,
    /// Search the events of so many days up to now
    #[arg(long, default_value_t = HUNT_DAYS.0, value_parser = clap::value_parser!(i64).range(1..=HUNT_DAYS.1))]
    days: i64,
}

/// Carries an action out.
pub(crate) async fn run(stores: &Stores, action: Action) -> anyhow::Result<Page> {
    let mut client = stores.postgres().await?;
    match action {
        Action::List { org, feed, limit } => {
            let org = match org {
                Some(text) => Some(organisations::find(&client, &text).await?),
                None => None,
            };
            list(&client, (org, feed), limit).await
        }
        Action::Show { id } => show(&client, id).await,
        Action::Start(start) => begin(stores, &mut client, &start).await,
        Action::Cancel { id } => cancel(stores, &mut client, id).await,
    }
}

/// The columns of a listing, and of one hunt those behind them too.
const COLUMNS: [&str; 9] = [
    "id",
    "org",
    "feed",
    "origin",
    "state",
    "rows_read",
    "hits",
    "alerts",
    "created_at",
];
const MORE_COLUMNS: [&str; 9] = [
    "requested_by",
    "start",
    "end",
    "indicators",
    "indicators_all",
    "failures",
    "failure",
    "started_at",
    "finished_at",
];
const SELECT: &str = "SELECT h.*, o.name AS org FROM retro_hunt AS h \
                        JOIN organisation AS o ON o.id = h.org_id";

async fn list(
    client: &impl GenericClient,
    (org, feed): (Option<OrgId>, Option<String>),
    limit: i64,
) -> anyhow::Result<Page> {
    let sql = format!(
        "{SELECT} WHERE ($1::uuid IS NULL OR h.org_id = $1) AND ($2::text IS NULL OR h.feed = $2) \
          ORDER BY h.created_at DESC, h.id DESC LIMIT $3"
    );
    let rows = client.query(&sql, &[&org, &feed, &limit]).await?;
    Ok(Page::Table {
        columns: &COLUMNS,
        rows: rows.iter().map(brief).collect::<Result<_, _>>()?,
    })
}

fn brief(row: &Row) -> anyhow::Result<Vec<Value>> {
    Ok(vec![
        json!(row.try_get::<_, Uuid>("id")?),
        json!(row.try_get::<_, String>("org")?),
        json!(row.try_get::<_, String>("feed")?),
        json!(row.try_get::<_, String>("origin")?),
        json!(row.try_get::<_, String>("state")?),
        json!(row.try_get::<_, i64>("rows_read")?),
        json!(row.try_get::<_, i64>("hits")?),
        json!(row.try_get::<_, i64>("alerts")?),
        time(Some(row.try_get("created_at")?)),
    ])
}

fn more(row: &Row) -> anyhow::Result<Vec<Value>> {
    Ok(vec![
        json!(row.try_get::<_, String>("requested_by")?),
        time(Some(row.try_get("range_start")?)),
        time(Some(row.try_get("range_end")?)),
        json!(row.try_get::<_, i64>("indicators")?),
        json!(row.try_get::<_, Option<i64>>("indicators_all")?),
        json!(row.try_get::<_, i32>("failures")?),
        json!(row.try_get::<_, String>("failure")?),
        time(row.try_get("started_at")?),
        time(row.try_get("finished_at")?),
    ])
}

async fn show(client: &impl GenericClient, id: Uuid) -> anyhow::Result<Page> {
    let row = client
        .query_opt(&format!("{SELECT} WHERE h.id = $1"), &[&id])
        .await?;
    let row = row.with_context(|| format!("there is no hunt {id}"))?;
    let names = COLUMNS.iter().chain(&MORE_COLUMNS);
    let values = brief(&row)?.into_iter().chain(more(&row)?);
    let lines: Vec<Vec<Value>> = names
        .zip(values)
        .map(|(name, value)| vec![json!(name), value])
        .collect();
    let members = lines.iter().filter_map(|line| match line.as_slice() {
        [Value::String(name), value] => Some((name.clone(), value.clone())),
        _ => None,
    });
    let value = Value::Object(members.collect());
    Ok(Page::Said(table(&["what", "value"], &lines), value))
}

async fn begin(stores: &Stores, client: &mut Client, start: &Start) -> anyhow::Result<Page> {
    let tx = client.transaction().await?;
    let org = organisations::find(&tx, &start.org).await?;
    let now = OffsetDateTime::from_unix_timestamp_nanos(millrace_runtime::clock::now_ns().into())?;
    let new = NewHunt {
        org,
        feed: &start.feed,
        range: (now - Duration::days(start.days), now),
        who: WHO,
    };
    let id = match begin_hunt(&tx, &new).await? {
        BegunHunt::Waits(id) => id,
        BegunHunt::NoFeed => bail!(
            "there is no feed {:?}: `millrace-admin indicators feeds list` shows them",
            start.feed
        ),
        BegunHunt::TooMany(open) => {
            bail!("{open} hunts of the organisation are open; wait for one to end, or cancel one")
        }
    };
    let feed = Map::from_iter([("feed".to_owned(), json!(start.feed))]);
    let deed = deed("retro_hunt.begin", id, feed);
    trail::record(stores, &tx, org, &deed).await?;
    tx.commit().await?;
    Ok(Page::Said(
        format!(
            "hunt {id} for feed {} waits for a worker; `millrace-admin hunts show {id}` says how far it is",
            start.feed
        ),
        json!({ "id": id, "feed": start.feed, "days": start.days }),
    ))
}

async fn cancel(stores: &Stores, client: &mut Client, id: Uuid) -> anyhow::Result<Page> {
    let tx = client.transaction().await?;
    let sql = "SELECT org_id FROM retro_hunt WHERE id = $1";
    let row = tx.query_opt(sql, &[&id]).await?;
    let org: OrgId = row
        .with_context(|| format!("there is no hunt {id}"))?
        .try_get(0)?;
    if !cancel_hunt(&tx, org, id).await? {
        bail!("hunt {id} is at its end already");
    }
    let deed = deed("retro_hunt.cancel", id, Map::new());
    trail::record(stores, &tx, org, &deed).await?;
    tx.commit().await?;
    Ok(Page::Said(
        format!("hunt {id} is cancelled; what it raised stays"),
        json!({ "id": id, "state": "cancelled" }),
    ))
}

fn deed(action: &'static str, hunt: Uuid, metadata: Map<String, Value>) -> Deed {
    Deed {
        event_type: "SYSTEM_CONFIG",
        action,
        target: ("retro_hunt", hunt.to_string()),
        metadata,
    }
}
