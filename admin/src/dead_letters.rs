//! Dead letters: what could not be stored, with the reason. A replay appends the entry to its
//! stream exactly once, whatever breaks in between; only then is it marked replayed.
//!
//! Their contents are raw and unscrubbed: they are shown only when asked for, and that is recorded in
//! the organisation's own audit events first.

use crate::organisations;
use crate::output::{Page, time};
use crate::stores::Stores;
use crate::trail::{self, Deed};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use deadpool_postgres::{Client, GenericClient};
use millrace_runtime::redis::ConnectionManager;
use millrace_runtime::{clock, streams};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::ShardId;
use millrace_shared::inflate::inflate;
use millrace_shared::limits::{NS_PER_DAY, is_past_retention};
use serde_json::{Map, Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

/// Rows shown unless asked for more.
const LISTED: i64 = 100;
/// Closed by; stands in the record.
const CLOSED_BY: &str = "millrace-admin";

/// What can be done to dead letters.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// List them
    List {
        /// Which ones
        #[command(flatten)]
        which: Filter,
        /// How many at most
        #[arg(long, default_value_t = LISTED)]
        limit: i64,
    },
    /// Show one
    Show {
        /// Its number
        id: i64,
        /// Show the contents too: they are raw and may hold personal data. Recorded in the audit events
        #[arg(long)]
        body: bool,
    },
    /// Append to the stream again, exactly once
    Replay(Chosen),
    /// Give up for good: the contents are erased
    Drop(Chosen),
}

/// Narrows a listing.
#[derive(Args)]
pub(crate) struct Filter {
    /// Organisation, by name or id
    #[arg(long)]
    org: Option<String>,
    /// Signal
    #[arg(long)]
    signal: Option<String>,
    /// Reason, as the listing shows it
    #[arg(long)]
    reason: Option<String>,
    /// PARKED, REPLAYED, DROPPED or EXPIRED
    #[arg(long, default_value = "PARKED")]
    state: String,
}

/// Which letters are meant: numbers, or all that are parked.
#[derive(Args)]
pub(crate) struct Chosen {
    /// Their numbers
    #[arg(required_unless_present = "all")]
    ids: Vec<i64>,
    /// All that are parked (narrowed by the options)
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// With --all: of this organisation only
    #[arg(long, requires = "all")]
    org: Option<String>,
    /// With --all: with this reason only
    #[arg(long, requires = "all")]
    reason: Option<String>,
}

/// Carries an action out.
pub(crate) async fn run(stores: &Stores, action: Action) -> anyhow::Result<Page> {
    let mut client = stores.postgres().await?;
    match action {
        Action::List { which, limit } => list(&client, &which, limit).await,
        Action::Show { id, body: false } => show(&client, id).await,
        Action::Show { id, body: true } => show_raw(stores, &client, id).await,
        Action::Replay(chosen) => {
            let ids = chosen.ids(&client).await?;
            let mut redis = stores.redis().await?;
            let mut rows = Vec::new();
            for id in ids {
                let entry = replay(&mut client, &mut redis, id).await;
                let entry = entry.with_context(|| format!("dead letter {id}"))?;
                rows.push(vec![json!(id), json!(entry)]);
            }
            Ok(Page::Table {
                columns: &["id", "entry"],
                rows,
            })
        }
        Action::Drop(chosen) => {
            let ids = chosen.ids(&client).await?;
            let sql = "UPDATE dead_letter SET state = 'DROPPED', closed_at = now(), closed_by = $2, \
                              meta = '', body = '', erased_at = now() \
                        WHERE id = ANY($1) AND state = 'PARKED'";
            let dropped = client.execute(sql, &[&ids, &CLOSED_BY]).await?;
            Ok(Page::Said(
                format!("{dropped} dropped"),
                json!({ "dropped": dropped }),
            ))
        }
    }
}

impl Chosen {
    async fn ids(&self, client: &impl GenericClient) -> anyhow::Result<Vec<i64>> {
        if !self.all {
            return Ok(self.ids.clone());
        }
        let org = match &self.org {
            Some(text) => Some(organisations::find(client, text).await?),
            None => None,
        };
        let sql = "SELECT id FROM dead_letter WHERE state = 'PARKED' \
                      AND ($1::uuid IS NULL OR org_id = $1) AND ($2::text IS NULL OR reason = $2) \
                    ORDER BY id";
        let rows = client.query(sql, &[&org, &self.reason]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

async fn list(client: &impl GenericClient, which: &Filter, limit: i64) -> anyhow::Result<Page> {
    let org = match &which.org {
        Some(text) => Some(organisations::find(client, text).await?),
        None => None,
    };
    let sql = "SELECT d.id, o.name, d.signal, d.events, d.reason, d.detail, d.state, d.parked_at, \
                      length(d.body) \
                 FROM dead_letter d LEFT JOIN organisation o ON o.id = d.org_id \
                WHERE d.state = $1 AND ($2::uuid IS NULL OR d.org_id = $2) \
                  AND ($3::text IS NULL OR d.signal = $3) AND ($4::text IS NULL OR d.reason = $4) \
                ORDER BY d.id LIMIT $5";
    let state = which.state.to_uppercase();
    let found = client
        .query(sql, &[&state, &org, &which.signal, &which.reason, &limit])
        .await?;
    let mut rows = Vec::new();
    for row in found {
        rows.push(vec![
            json!(row.try_get::<_, i64>(0)?),
            json!(row.try_get::<_, Option<String>>(1)?),
            json!(row.try_get::<_, String>(2)?),
            json!(row.try_get::<_, i32>(3)?),
            json!(row.try_get::<_, String>(4)?),
            json!(row.try_get::<_, String>(5)?),
            json!(row.try_get::<_, String>(6)?),
            time(row.try_get(7)?),
            json!(row.try_get::<_, i32>(8)?),
        ]);
    }
    let columns = &[
        "id",
        "org",
        "signal",
        "events",
        "reason",
        "detail",
        "state",
        "parked_at",
        "bytes",
    ];
    Ok(Page::Table { columns, rows })
}

async fn show(client: &impl GenericClient, id: i64) -> anyhow::Result<Page> {
    let about = about(client, id).await?;
    Ok(Page::Said(serde_json::to_string_pretty(&about)?, about))
}

/// All that is known of a letter but its contents.
async fn about(client: &impl GenericClient, id: i64) -> anyhow::Result<Value> {
    let sql = "SELECT org_id, signal, shard, entry_ms, entry_seq, events_at, events, reason, detail, \
                      octet_length(body) AS body_bytes, state, parked_at, closed_at, closed_by, \
                      replay_of, replayed_as, erased_at \
                 FROM dead_letter WHERE id = $1";
    let row = client.query_opt(sql, &[&id]).await?;
    let row = row.with_context(|| format!("no dead letter {id}"))?;
    Ok(json!({
        "id": id,
        "org_id": row.try_get::<_, Option<Uuid>>("org_id")?,
        "signal": row.try_get::<_, String>("signal")?,
        "shard": row.try_get::<_, i16>("shard")?,
        "entry": format!("{}-{}", row.try_get::<_, i64>("entry_ms")?, row.try_get::<_, i64>("entry_seq")?),
        "events_at": row.try_get::<_, Option<Vec<i32>>>("events_at")?,
        "events": row.try_get::<_, i32>("events")?,
        "reason": row.try_get::<_, String>("reason")?,
        "detail": row.try_get::<_, String>("detail")?,
        "body_bytes": row.try_get::<_, i32>("body_bytes")?,
        "state": row.try_get::<_, String>("state")?,
        "parked_at": time(row.try_get("parked_at")?),
        "closed_at": time(row.try_get("closed_at")?),
        "closed_by": row.try_get::<_, Option<String>>("closed_by")?,
        "replay_of": row.try_get::<_, Option<i64>>("replay_of")?,
        "replayed_as": row.try_get::<_, Option<String>>("replayed_as")?,
        "erased_at": time(row.try_get("erased_at")?),
    }))
}

/// The same with the contents, once the organisation has been told.
async fn show_raw(stores: &Stores, client: &Client, id: i64) -> anyhow::Result<Page> {
    let mut about = about(client, id).await?;
    let sql = "SELECT org_id, meta, body FROM dead_letter WHERE id = $1 AND erased_at IS NULL";
    let row = client.query_opt(sql, &[&id]).await?;
    let row = row.with_context(|| format!("the contents of dead letter {id} are erased"))?;
    if let Some(org) = row.try_get::<_, Option<Uuid>>("org_id")? {
        let deed = Deed {
            event_type: "DATA_PRIVACY",
            action: "dead_letter.read_raw",
            target: ("dead_letter", id.to_string()),
            metadata: Map::new(),
        };
        trail::record(stores, client, org, &deed)
            .await
            .context("the reading cannot be recorded, so nothing is read")?;
    }
    let (meta, body): (Vec<u8>, Vec<u8>) = (row.try_get("meta")?, row.try_get("body")?);
    let inflated = Meta::parse(&meta).ok().and_then(|meta| {
        let bytes = inflate(meta.encoding(), &body).ok()?;
        Some(bytes.into_owned())
    });
    let text = inflated.as_deref().unwrap_or(&body);
    if let Some(members) = about.as_object_mut() {
        let readable = |bytes: &[u8]| json!(String::from_utf8_lossy(bytes));
        members.insert("meta".to_owned(), readable(&meta));
        members.insert("body".to_owned(), readable(text));
    }
    Ok(Page::Said(serde_json::to_string_pretty(&about)?, about))
}

/// Appends the entry again and marks the letter; answers the id of the new entry.
async fn replay(
    client: &mut Client,
    redis: &mut ConnectionManager,
    id: i64,
) -> anyhow::Result<String> {
    let tx = client.transaction().await?;
    let sql = "SELECT signal, shard, events_at, meta, body, state FROM dead_letter \
                WHERE id = $1 FOR UPDATE";
    let row = tx
        .query_opt(sql, &[&id])
        .await?
        .context("there is none of this number")?;
    let state: String = row.try_get("state")?;
    if state != "PARKED" {
        bail!("is {state} already");
    }
    let shard = shard_of(&row)?;
    let meta = replayed_meta(&row, (shard.signal, id))?;
    let body: Vec<u8> = row.try_get("body")?;
    let entry = streams::replay(redis, shard, &meta, &body).await?;
    let sql = "UPDATE dead_letter SET state = 'REPLAYED', closed_at = now(), closed_by = $2 WHERE id = $1";
    tx.execute(sql, &[&id, &CLOSED_BY]).await?;
    tx.commit().await?;
    // That it might stay is no harm.
    let _kept = streams::forget_replay(redis, shard, id).await;
    Ok(entry)
}

fn shard_of(row: &Row) -> anyhow::Result<ShardId> {
    let name: String = row.try_get("signal")?;
    let signal = Signal::from_name(&name).with_context(|| format!("unknown signal {name:?}"))?;
    Ok(ShardId {
        signal,
        shard: u16::try_from(row.try_get::<_, i16>("shard")?)?,
    })
}

/// The entry's description, as a replay of the parked events only.
fn replayed_meta(row: &Row, (signal, id): (Signal, i64)) -> anyhow::Result<Meta> {
    let text: Vec<u8> = row.try_get("meta")?;
    let meta = Meta::parse(&text).context(
        "its description cannot be read, so it can only be dropped (or replayed by a newer release)",
    )?;
    let today = clock::now_ns().div_euclid(NS_PER_DAY);
    if is_past_retention(signal, meta.received_day(), today) {
        bail!("is past its signal's retention, so it can only be dropped");
    }
    let parked: Option<Vec<i32>> = row.try_get("events_at")?;
    Ok(meta.again(id, parked.as_deref()))
}
