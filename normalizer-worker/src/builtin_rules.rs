//! The built-in rules of this program, offered to the organisations that have been offered those of
//! older ones: before the first batch, once. What an organisation has removed, changed or switched off
//! stays so (`timescale-init/120_builtin_rules.sql` decides); what became of its rules is an audit event
//! of its own.

use crate::error::WorkerError;
use deadpool_postgres::Pool;
use millrace_detection::builtin;
use millrace_runtime::trail::{self, Record};
use millrace_shared::ids::OrgId;
use redis::aio::ConnectionManager;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use tokio_postgres::Row;

/// Who changed the rules; stands in the record.
const WHO: &str = "millrace";

/// What became of an organisation's built-in rules: the rules by outcome.
type Outcomes = BTreeMap<String, Vec<String>>;

/// Offers what is new, and records it before it counts.
///
/// # Errors
/// When a store does not answer; then nothing has changed.
pub(crate) async fn offer(
    pool: &Pool,
    redis: &mut ConnectionManager,
    shards: u16,
) -> Result<(), WorkerError> {
    let documents = builtin::documents()
        .map_err(|problem| WorkerError::Control(format!("built-in rules: {problem}")))?;
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    let sql = "SELECT org, rule, outcome FROM offer_builtin_rules($1, $2)";
    let rows = tx.query(sql, &[&documents, &WHO]).await?;
    for (org, outcomes) in by_organisation(&rows)? {
        tracing::info!(%org, ?outcomes, "built-in rules offered");
        trail::record(redis, shards, &record(org, &outcomes)).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn by_organisation(rows: &[Row]) -> Result<BTreeMap<OrgId, Outcomes>, tokio_postgres::Error> {
    let mut all: BTreeMap<OrgId, Outcomes> = BTreeMap::new();
    for row in rows {
        let (org, rule, outcome): (OrgId, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        all.entry(org)
            .or_default()
            .entry(outcome)
            .or_default()
            .push(rule);
    }
    Ok(all)
}

fn record(org: OrgId, outcomes: &Outcomes) -> Record<'static> {
    let mut name = Sha256::new();
    name.update(org.as_bytes());
    let mut metadata = Map::new();
    for (outcome, rules) in outcomes {
        name.update(outcome.as_bytes());
        name.update(rules.join(",").as_bytes());
        metadata.insert(outcome.clone(), Value::from(rules.clone()));
    }
    let digest: [u8; 32] = name.finalize().into();
    let (first, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    Record {
        org,
        who: WHO,
        actor_type: "system",
        event_type: "SYSTEM_CONFIG",
        action: "rule.builtin",
        targets: Vec::new(),
        metadata,
        // Tried again because the commit failed, it is the same record.
        name: uuid::Builder::from_custom_bytes(*first).into_uuid(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_same_offer_is_recorded_under_one_name() {
        let outcomes = |rule: &str| {
            Outcomes::from([("added".to_owned(), vec![rule.to_owned(), "B".to_owned()])])
        };
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let name = |org, rule| record(org, &outcomes(rule)).name;
        assert_eq!(name(one, "A"), name(one, "A"));
        assert_ne!(name(one, "A"), name(one, "C"));
        assert_ne!(name(one, "A"), name(other, "A"));
        let metadata = record(one, &outcomes("A")).metadata;
        assert_eq!(metadata["added"], serde_json::json!(["A", "B"]));
    }
}
