//! The API's own audit trail: every change, and every sensitive read, becomes an audit event of the
//! organisation, sent through the pipeline like any other. A change is recorded before it is
//! committed, so none goes unrecorded; when the record cannot be made, there is no change.

use crate::error::Problem;
use crate::metrics;
use crate::principal::Caller;
use crate::store::{Appended, Pg, Streams, ledger};
use millrace_runtime::trail::{QUERY_API as KEY, packed};
use millrace_shared::Signal;
use millrace_shared::ids::ShardId;
use millrace_shared::time::rfc3339;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// What happened.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    event_type: &'static str,
    action: &'static str,
    targets: Vec<Value>,
    metadata: Map<String, Value>,
}

impl Entry {
    /// Of a type and an action, as `SYSTEM_CONFIG` and `rule.create`.
    #[must_use]
    pub(crate) fn of(event_type: &'static str, action: &'static str) -> Self {
        Entry {
            event_type,
            action,
            targets: Vec::new(),
            metadata: Map::new(),
        }
    }

    /// Names what it was done to.
    #[must_use]
    pub(crate) fn target(mut self, kind: &'static str, id: &str) -> Self {
        self.targets.push(json!({ "type": kind, "id": id }));
        self
    }

    /// Adds a detail.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }
}

/// Where the events go.
#[derive(Debug)]
pub(crate) struct Trail {
    pg: Pg,
    streams: Arc<Streams>,
    shards: OnceCell<u16>,
    next: AtomicU16,
}

impl Trail {
    /// Through these stores.
    #[must_use]
    pub(crate) fn new(pg: Pg, streams: Arc<Streams>) -> Self {
        Trail {
            pg,
            streams,
            shards: OnceCell::new(),
            next: AtomicU16::new(0),
        }
    }

    /// Appends an event about what a caller does.
    ///
    /// # Errors
    /// 503 when it cannot be made durable.
    pub(crate) async fn record(&self, caller: &Caller, entry: Entry) -> Result<(), Problem> {
        let outcome = self.append(caller, entry).await;
        let label = if outcome.is_ok() {
            "recorded"
        } else {
            "failed"
        };
        metrics::TRAIL.add(&[label], 1);
        outcome
    }

    async fn append(&self, caller: &Caller, entry: Entry) -> Result<(), Problem> {
        let shard = ShardId {
            signal: Signal::Audit,
            shard: self.next.fetch_add(1, Ordering::Relaxed) % self.shards().await?,
        };
        let said = (KEY, caller.now_ns);
        let (mut meta, body) = packed(caller.org(), said, event(caller, entry));
        meta.request_id = caller.request_id.clone();
        let nonce = format!("query-api-{}", Uuid::now_v7());
        let appended = Appended {
            shard,
            meta: &meta,
            body: &body,
            nonce: &nonce,
        };
        self.streams.append(&appended).await.map(drop)
    }

    /// The installation's number of shards.
    ///
    /// # Errors
    /// 503 when it is not known yet and cannot be asked for.
    pub(crate) async fn shards(&self) -> Result<u16, Problem> {
        self.shards
            .get_or_try_init(|| ledger::installed_shards(&self.pg))
            .await
            .copied()
    }
}

fn event(caller: &Caller, entry: Entry) -> Value {
    let mut event = json!({
        "timestamp": rfc3339(caller.now_ns),
        "event_type": entry.event_type,
        "action": entry.action,
        "outcome": "SUCCESS",
        "service": KEY,
        "operation": entry.action,
        "actor": {
            "id": caller.token().to_string(),
            "name": clip(caller.name()),
            "type": caller.role(),
        },
        "targets": entry.targets,
        "user_agent": clip(&caller.user_agent),
        "request_id": clip(&caller.request_id),
        "metadata": entry.metadata,
    });
    if let (Some(address), Some(members)) = (caller.address, event.as_object_mut()) {
        members.insert("ip".to_owned(), address.to_string().into());
    }
    event
}

/// Clients choose these texts; the contract bounds them.
fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(256)).unwrap_or(text)
}
