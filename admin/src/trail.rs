//! What an operator reads of an organisation's raw data, and changes of what happens to its personal
//! data, becomes an audit event of that organisation, through the pipeline like any other. It is appended
//! before the reading, and before the change is committed, so none goes unrecorded.

use crate::stores::Stores;
use anyhow::Context as _;
use deadpool_postgres::GenericClient;
use millrace_runtime::clock;
use millrace_runtime::streams::{self, Appended};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{OrgId, ShardId};
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::time::rfc3339;
use millrace_shared::wire::BodyFormat;
use serde_json::{Value, json};
use uuid::Uuid;

/// The key that stands in the entry: no agent can have it, for it is in no table.
const KEY: &str = "millrace-admin";

/// What was done.
pub(crate) struct Deed {
    /// The action, named as the query API names it.
    pub(crate) action: &'static str,
    /// To what: a kind and an id.
    pub(crate) target: (&'static str, String),
    /// Details, as an object.
    pub(crate) metadata: Value,
}

/// Appends the event that something was done.
pub(crate) async fn record(
    stores: &Stores,
    client: &impl GenericClient,
    org: OrgId,
    deed: &Deed,
) -> anyhow::Result<()> {
    let row = client
        .query_one("SELECT shards FROM installation", &[])
        .await?;
    let shards = u128::try_from(row.try_get::<_, i16>(0)?)?.max(1);
    let nonce = Uuid::now_v7();
    let shard = ShardId {
        signal: Signal::Audit,
        shard: u16::try_from(nonce.as_u128() % shards)?,
    };
    let now = clock::now_ns();
    let Deed {
        action,
        target: (kind, id),
        metadata,
    } = deed;
    let body = json!({ "events": [{
        "timestamp": rfc3339(now), "event_type": "DATA_PRIVACY", "action": action,
        "outcome": "SUCCESS", "service": KEY, "operation": action,
        "actor": { "id": KEY, "type": "operator" },
        "targets": [{ "type": kind, "id": id }], "metadata": metadata,
    }] })
    .to_string();
    let mut meta = Meta::new(org, KEY, now, (BodyFormat::Json, Encoding::Lz4));
    meta.accepted = 1;
    meta.wire_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let appended = Appended {
        shard,
        meta: &meta,
        body: &pack(body.as_bytes()),
        nonce: &format!("{KEY}-{nonce}"),
    };
    let mut redis = stores.redis().await?;
    let entry = streams::append(&mut redis, &appended).await;
    entry.map(drop).context("no audit event could be appended")
}
