//! Audit events of our own: what a service or the operator's tool does to an organisation goes through
//! the pipeline like anything that is sent.

use crate::clock;
use crate::streams::{self, Appended};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{OrgId, ShardId};
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::time::rfc3339;
use millrace_shared::wire::BodyFormat;
use redis::RedisError;
use redis::aio::ConnectionManager;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Who records what was done through the query API: the key of its records, which no agent can have, for it
/// is in no table of keys.
pub const QUERY_API: &str = "query-api";
/// The same of the operator's tool.
pub const ADMIN: &str = "millrace-admin";

/// Something that was done.
#[derive(Clone, Debug)]
pub struct Record<'r> {
    /// To whom.
    pub org: OrgId,
    /// Who did it; stands as key in the entry, and in no table: no agent can have it.
    pub who: &'r str,
    /// What they are, as `operator`.
    pub actor_type: &'r str,
    /// What kind of audit event it is, as `SYSTEM_CONFIG`.
    pub event_type: &'r str,
    /// What was done, as `rule.builtin`.
    pub action: &'r str,
    /// To what: kind and id; at most 64.
    pub targets: Vec<(&'r str, String)>,
    /// Details.
    pub metadata: Map<String, Value>,
    /// Names the record: the same name is recorded once.
    pub name: Uuid,
}

/// Appends the event to a stream, of which there are so many for audit events.
///
/// # Errors
/// When Redis cannot be asked or refuses.
pub async fn record(
    redis: &mut ConnectionManager,
    shards: u16,
    record: &Record<'_>,
) -> Result<(), RedisError> {
    let shard = u16::try_from(record.name.as_u128() % u128::from(shards.max(1))).unwrap_or(0);
    let now = clock::now_ns();
    let targets = record.targets.iter();
    let targets: Vec<Value> = targets
        .map(|(kind, id)| json!({ "type": kind, "id": id }))
        .collect();
    let event = json!({
        "timestamp": rfc3339(now), "event_type": record.event_type, "action": record.action,
        "outcome": "SUCCESS", "service": record.who, "operation": record.action,
        "actor": { "id": record.who, "type": record.actor_type },
        "targets": targets, "metadata": record.metadata,
    });
    let (meta, body) = packed(record.org, (record.who, now), event);
    let appended = Appended {
        shard: ShardId {
            signal: Signal::Audit,
            shard,
        },
        meta: &meta,
        body: &body,
        nonce: &format!("{}-{}", record.who, record.name),
    };
    streams::append(redis, &appended).await.map(drop)
}

/// An audit event as an entry: its description and its body, of who says so at a time (nanoseconds).
#[must_use]
pub fn packed(org: OrgId, (who, now): (&str, i64), event: Value) -> (Meta, Vec<u8>) {
    let body = json!({ "events": [event] }).to_string();
    let mut meta = Meta::new(org, who, now, (BodyFormat::Json, Encoding::Lz4));
    meta.accepted = 1;
    meta.wire_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    (meta, pack(body.as_bytes()))
}
