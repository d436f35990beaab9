//! What an operator reads of an organisation's raw data, changes of what happens to its personal data,
//! and what he has searched in its history, becomes an audit event of that organisation, through the pipeline like any other. It is appended
//! before the reading, and before the change is committed, so none goes unrecorded.

use crate::stores::Stores;
use anyhow::Context as _;
use deadpool_postgres::GenericClient;
use millrace_runtime::trail::{self, Record};
use millrace_shared::ids::OrgId;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Who did it.
pub(crate) const WHO: &str = trail::ADMIN;

/// What was done.
pub(crate) struct Deed {
    /// What kind of audit event it is.
    pub(crate) event_type: &'static str,
    /// The action, named as the query API names it.
    pub(crate) action: &'static str,
    /// To what: a kind and an id.
    pub(crate) target: (&'static str, String),
    /// Details.
    pub(crate) metadata: Map<String, Value>,
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
    let shards = u16::try_from(row.try_get::<_, i16>(0)?)?;
    let (kind, id) = &deed.target;
    let record = Record {
        org,
        who: WHO,
        actor_type: "operator",
        event_type: deed.event_type,
        action: deed.action,
        targets: vec![(kind, id.clone())],
        metadata: deed.metadata.clone(),
        name: Uuid::now_v7(),
    };
    let mut redis = stores.redis().await?;
    let recorded = trail::record(&mut redis, shards, &record).await;
    recorded.context("no audit event could be appended")
}
