//! What an installation is fixed to. Refuses to change it once entries exist: an idempotency key
//! must find its shard again.

use crate::output::Page;
use crate::stores::Stores;
use anyhow::bail;
use millrace_shared::Signal;
use millrace_shared::ids::ShardId;
use serde_json::json;

/// Sets the shards per signal.
pub(crate) async fn run(stores: &Stores, shards: i16) -> anyhow::Result<Page> {
    let mut client = stores.postgres().await?;
    let tx = client.transaction().await?;
    let row = tx
        .query_one("SELECT shards FROM installation FOR UPDATE", &[])
        .await?;
    let before: i16 = row.try_get(0)?;
    if before != shards {
        let used = "SELECT count(*) FROM shard WHERE next_seq > 0 OR cursor_ms > 0";
        let used: i64 = tx.query_one(used, &[]).await?.try_get(0)?;
        if used > 0 || entries(stores, before).await? > 0 {
            bail!(
                "this installation has {before} shards per signal and has taken entries: the \
                 number cannot change any more"
            );
        }
        tx.execute("UPDATE installation SET shards = $1", &[&shards])
            .await?;
        // Workers make the rows of the shards there are; unused ones beyond go.
        tx.execute("DELETE FROM shard WHERE shard >= $1", &[&shards])
            .await?;
    }
    tx.commit().await?;
    Ok(Page::Said(
        format!("{shards} shards per signal"),
        json!({ "shards": shards }),
    ))
}

/// Entries in all streams.
async fn entries(stores: &Stores, shards: i16) -> anyhow::Result<u64> {
    let mut redis = stores.redis().await?;
    let mut entries = 0;
    for signal in Signal::ALL {
        for shard in 0..u16::try_from(shards)? {
            let stream = ShardId { signal, shard }.stream();
            let length: u64 = redis::cmd("XLEN")
                .arg(stream)
                .query_async(&mut redis)
                .await?;
            entries += length;
        }
    }
    Ok(entries)
}
