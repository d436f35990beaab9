//! What an operator reads of an organisation's raw data becomes an audit event of that organisation,
//! through the pipeline like any other. It is appended before the reading, so none goes unrecorded.

use crate::stores::Stores;
use anyhow::Context as _;
use deadpool_postgres::GenericClient;
use millrace_runtime::trail::{self, Record};
use millrace_shared::ids::OrgId;
use serde_json::Map;
use uuid::Uuid;

/// Who did it.
const WHO: &str = "millrace-admin";

/// Appends the event that `action` was done to `target`, a kind and an id.
pub(crate) async fn record(
    stores: &Stores,
    client: &impl GenericClient,
    org: OrgId,
    (action, target): (&str, &(&str, String)),
) -> anyhow::Result<()> {
    let row = client
        .query_one("SELECT shards FROM installation", &[])
        .await?;
    let shards = u16::try_from(row.try_get::<_, i16>(0)?)?;
    let record = Record {
        org,
        who: WHO,
        actor_type: "operator",
        event_type: "DATA_PRIVACY",
        action,
        targets: vec![target.clone()],
        metadata: Map::new(),
        name: Uuid::now_v7(),
    };
    let mut redis = stores.redis().await?;
    let recorded = trail::record(&mut redis, shards, &record).await;
    recorded.context("no audit event could be appended")
}
