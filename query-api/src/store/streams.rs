//! Redis: what was received, what stands last in a stream, and what this service appends itself.

use crate::error::Problem;
use crate::metrics;
use millrace_runtime::redis::Connections;
use millrace_runtime::streams;
pub use millrace_runtime::streams::Appended;
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{OrgId, ShardId, StreamId};
use redis::RedisError;
use std::time::Duration;

/// A busy disk makes an fsync wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections: one large answer does not hold up the others.
const CONNECTIONS: usize = 2;
/// Answers the id only: bodies stay where they are.
const LAST_ENTRY: &str = "
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if last[1] then return last[1][1] end
return ''
";

/// The streams.
#[derive(Debug)]
pub struct Streams {
    connections: Connections,
}

/// What was received of a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Events accepted.
    pub events: i64,
    /// Events rejected.
    pub rejected: i64,
    /// Bytes.
    pub bytes: i64,
    /// Requests.
    pub batches: i64,
}

impl Streams {
    /// At this address.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(address: &str) -> Result<Self, RedisError> {
        let connections = Connections::open(address, CONNECTIONS, ANSWER_TIMEOUT)?;
        Ok(Streams { connections })
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), RedisError> {
        self.connections.ping().await
    }

    /// Appends an entry of the API's own, once; the entry's id.
    ///
    /// # Errors
    /// 503 when Redis cannot be asked or refuses.
    pub async fn append(&self, entry: &Appended<'_>) -> Result<String, Problem> {
        streams::append(&mut self.connections.get(), entry)
            .await
            .map_err(problem)
    }

    /// Appends the entry of a dead letter, once; the entry's id.
    ///
    /// # Errors
    /// 503 when Redis cannot be asked or refuses.
    pub async fn replay(
        &self,
        shard: ShardId,
        meta: &Meta,
        body: &[u8],
    ) -> Result<String, Problem> {
        streams::replay(&mut self.connections.get(), shard, meta, body)
            .await
            .map_err(problem)
    }

    /// Lets the guard of a marked letter expire; that it might not is no harm.
    pub async fn forget_replay(&self, shard: ShardId, letter: i64) {
        let done = streams::forget_replay(&mut self.connections.get(), shard, letter).await;
        if let Err(error) = done {
            tracing::debug!(%error, "a replay's guard stays");
        }
    }

    /// What an organisation has sent of a signal.
    ///
    /// # Errors
    /// 503 when Redis cannot be asked.
    pub async fn received(
        &self,
        org: OrgId,
        signal: Signal,
        shards: u16,
    ) -> Result<Received, Problem> {
        let org = org.simple().to_string();
        let fields =
            ["events", "rejected", "bytes", "batches"].map(|field| format!("{org}:{field}"));
        let mut pipeline = redis::pipe();
        for shard in 0..shards {
            let key = ShardId { signal, shard }.received();
            pipeline.cmd("HMGET").arg(key).arg(&fields[..]);
        }
        let counts: Vec<[Option<i64>; 4]> = pipeline
            .query_async(&mut self.connections.get())
            .await
            .map_err(problem)?;
        let mut sum = Received::default();
        for [events, rejected, bytes, batches] in counts {
            sum.events += events.unwrap_or(0);
            sum.rejected += rejected.unwrap_or(0);
            sum.bytes += bytes.unwrap_or(0);
            sum.batches += batches.unwrap_or(0);
        }
        Ok(sum)
    }

    /// The last entry of every shard of a signal; zero where there never was one.
    ///
    /// # Errors
    /// 503 when Redis cannot be asked.
    pub async fn last_entries(
        &self,
        signal: Signal,
        shards: u16,
    ) -> Result<Vec<StreamId>, Problem> {
        let mut pipeline = redis::pipe();
        for shard in 0..shards {
            let key = ShardId { signal, shard }.stream();
            pipeline.cmd("EVAL").arg(LAST_ENTRY).arg(1).arg(key);
        }
        let newest: Vec<String> = pipeline
            .query_async(&mut self.connections.get())
            .await
            .map_err(problem)?;
        Ok(newest
            .iter()
            .map(|id| id.parse().unwrap_or(StreamId::ZERO))
            .collect())
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature map_err asks for"
)]
fn problem(error: RedisError) -> Problem {
    metrics::STORE_ERRORS.add(&["redis", "unavailable"], 1);
    tracing::warn!(%error, "Redis is not available");
    Problem::store_down("Redis")
}
