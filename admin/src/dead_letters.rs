//! Dead letters: what could not be stored, with the reason. A replay appends the entry to its
//! stream exactly once, whatever breaks in between; only then is it marked replayed.
//!
//! Bodies are raw and unscrubbed: they are shown only when asked for.

use crate::organisations;
use crate::output::{Page, time};
use crate::stores::Stores;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use deadpool_postgres::{Client, GenericClient};
use millrace_runtime::redis::ConnectionManager;
use millrace_shared::Signal;
use millrace_shared::entry::{BODY_FIELD, META_FIELD, Meta};
use millrace_shared::ids::ShardId;
use millrace_shared::inflate::inflate;
use serde_json::json;
use std::collections::HashSet;
use tokio_postgres::Row;
use uuid::Uuid;

/// Rows shown unless asked for more.
const LISTED: i64 = 100;
/// Seconds for which a finished replay is remembered: longer than any command runs.
const REMEMBERED_S: i64 = 24 * 3600;
/// Closed by; stands in the record.
const CLOSED_BY: &str = "millrace-admin";

/// Appends an entry unless it was appended before, and says under which id it stands.
const APPEND_ONCE: &str = "
local before = redis.call('GET', KEYS[2])
if before then return before end
local id = redis.call('XADD', KEYS[1], '*', ARGV[1], ARGV[2], ARGV[3], ARGV[4])
redis.call('SET', KEYS[2], id)
return id
";

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
        /// Show the body too: it is raw and may hold personal data
        #[arg(long)]
        body: bool,
    },
    /// Append to the stream again, exactly once
    Replay(Chosen),
    /// Give up for good
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
    /// PARKED, REPLAYED or DROPPED
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
        Action::Show { id, body } => show(&client, id, body).await,
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
            let sql = "UPDATE dead_letter SET state = 'DROPPED', closed_at = now(), closed_by = $2 \
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

async fn show(client: &impl GenericClient, id: i64, with_body: bool) -> anyhow::Result<Page> {
    let sql = "SELECT org_id, signal, shard, entry_ms, entry_seq, events_at, events, reason, \
                      detail, meta, body, state, parked_at, closed_at, closed_by \
                 FROM dead_letter WHERE id = $1";
    let row = client.query_opt(sql, &[&id]).await?;
    let row = row.with_context(|| format!("no dead letter {id}"))?;
    let (meta, body): (Vec<u8>, Vec<u8>) = (row.try_get("meta")?, row.try_get("body")?);
    let mut about = json!({
        "id": id,
        "org_id": row.try_get::<_, Option<Uuid>>("org_id")?,
        "signal": row.try_get::<_, String>("signal")?,
        "shard": row.try_get::<_, i16>("shard")?,
        "entry": format!("{}-{}", row.try_get::<_, i64>("entry_ms")?, row.try_get::<_, i64>("entry_seq")?),
        "events_at": row.try_get::<_, Option<Vec<i32>>>("events_at")?,
        "events": row.try_get::<_, i32>("events")?,
        "reason": row.try_get::<_, String>("reason")?,
        "detail": row.try_get::<_, String>("detail")?,
        "state": row.try_get::<_, String>("state")?,
        "parked_at": time(row.try_get("parked_at")?),
        "closed_at": time(row.try_get("closed_at")?),
        "closed_by": row.try_get::<_, Option<String>>("closed_by")?,
        "meta": String::from_utf8_lossy(&meta),
        "body_bytes": body.len(),
    });
    if with_body {
        let inflated = Meta::parse(&meta).ok().and_then(|meta| {
            inflate(meta.encoding(), &body)
                .ok()
                .map(|bytes| bytes.into_owned())
        });
        let text = inflated.as_deref().unwrap_or(&body);
        if let Some(members) = about.as_object_mut() {
            members.insert("body".to_owned(), json!(String::from_utf8_lossy(text)));
        }
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
    let (shard, meta) = (shard_of(&row)?, replayed_meta(&row, id)?);
    let body: Vec<u8> = row.try_get("body")?;
    let remembered = format!("{}:replay:{id}", shard.tag());
    let entry: String = redis::Script::new(APPEND_ONCE)
        .key(shard.stream())
        .key(&remembered)
        .arg(META_FIELD)
        .arg(meta.to_text())
        .arg(BODY_FIELD)
        .arg(body)
        .invoke_async(redis)
        .await?;
    let sql = "UPDATE dead_letter SET state = 'REPLAYED', closed_at = now(), closed_by = $2 WHERE id = $1";
    tx.execute(sql, &[&id, &CLOSED_BY]).await?;
    tx.commit().await?;
    // Until the letter is marked, only this key keeps a second try from appending twice: it may
    // expire from now on, and not before.
    redis::cmd("EXPIRE")
        .arg(&remembered)
        .arg(REMEMBERED_S)
        .query_async::<()>(redis)
        .await?;
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
fn replayed_meta(row: &Row, id: i64) -> anyhow::Result<Meta> {
    let text: Vec<u8> = row.try_get("meta")?;
    let meta = Meta::parse(&text).context(
        "its description cannot be read, so it can only be dropped (or replayed by a newer release)",
    )?;
    let parked: Option<Vec<i32>> = row.try_get("events_at")?;
    Ok(only(meta, id, parked.as_deref()))
}

/// Narrows a description to the parked events: the worker passes over all others.
fn only(mut meta: Meta, id: i64, parked: Option<&[i32]>) -> Meta {
    meta.replay_of = Some(id);
    if let Some(parked) = parked {
        let rejected = u32::try_from(meta.rejected_at.len())
            .unwrap_or(u32::MAX)
            .max(meta.rejected);
        let parked: HashSet<u16> = parked
            .iter()
            .filter_map(|at| u16::try_from(*at).ok())
            .collect();
        let all = u16::try_from(meta.accepted.saturating_add(rejected)).unwrap_or(u16::MAX);
        meta.rejected_at = (0..all).filter(|at| !parked.contains(at)).collect();
        meta.accepted = u32::try_from(parked.len()).unwrap_or(u32::MAX);
    }
    // What the gateway rejected was counted when it did so.
    meta.rejected = 0;
    meta
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::inflate::Encoding;
    use millrace_shared::wire::BodyFormat;

    #[test]
    fn a_replay_passes_over_what_was_stored_or_rejected() {
        let mut meta = Meta::new(
            Uuid::from_u128(1),
            "k",
            5,
            (BodyFormat::Json, Encoding::Lz4),
        );
        (meta.accepted, meta.rejected, meta.rejected_at) = (4, 1, vec![2]);
        let again = only(meta.clone(), 9, Some(&[3]));
        assert_eq!(again.rejected_at, [0, 1, 2, 4]);
        assert_eq!(
            (again.accepted, again.rejected, again.replay_of),
            (1, 0, Some(9))
        );
        let whole = only(meta, 9, None);
        assert_eq!(
            (whole.accepted, whole.rejected_at.as_slice()),
            (4, [2].as_slice())
        );
        // A replay of a replay narrows further.
        let twice = only(again, 10, Some(&[3]));
        assert_eq!(
            (twice.accepted, twice.rejected_at.as_slice()),
            (1, [0, 1, 2, 4].as_slice())
        );
    }
}
