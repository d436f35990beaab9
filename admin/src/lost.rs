//! Acknowledged batches that Redis lost before they were stored: empty, unless Redis lost what it had
//! on disk. Only reads.

use crate::organisations;
use crate::output::{Page, time};
use crate::stores::Stores;
use clap::Args;
use serde_json::json;

/// Rows shown unless asked for more.
const LISTED: i64 = 1_000;

/// Narrows the listing.
#[derive(Args)]
pub(crate) struct Filter {
    /// Organisation, by name or id; batches of unknown organisations are then left out
    #[arg(long)]
    org: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = LISTED)]
    limit: i64,
}

/// Lists them, the last found first.
pub(crate) async fn run(stores: &Stores, which: &Filter) -> anyhow::Result<Page> {
    let client = stores.postgres().await?;
    let org = match &which.org {
        Some(text) => Some(organisations::find(&client, text).await?),
        None => None,
    };
    let sql = "SELECT batch_id, org_id, signal, shard, entry_ms, entry_seq, events, found_by, found_at \
                 FROM lost_entry WHERE $1::uuid IS NULL OR org_id = $1 \
                ORDER BY found_at DESC, entry_ms DESC, entry_seq DESC LIMIT $2";
    let mut rows = Vec::new();
    for row in client.query(sql, &[&org, &which.limit]).await? {
        let batch_id: Option<String> = row.try_get(0)?;
        let org: Option<uuid::Uuid> = row.try_get(1)?;
        let (signal, shard): (String, i16) = (row.try_get(2)?, row.try_get(3)?);
        let (ms, seq): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
        let (events, found_by): (Option<i32>, String) = (row.try_get(6)?, row.try_get(7)?);
        rows.push(vec![
            json!(batch_id),
            json!(org),
            json!(format!("{signal}:{shard}")),
            json!(format!("{ms}-{seq}")),
            json!(events),
            json!(found_by),
            time(Some(row.try_get(8)?)),
        ]);
    }
    Ok(Page::Table {
        columns: &[
            "batch_id", "org_id", "shard", "entry", "events", "found_by", "found_at",
        ],
        rows,
    })
}
