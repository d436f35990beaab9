//! Redis: what was received, and the two ways in which this service appends to a stream. Both are
//! one script each, guarded by a key, so that a repeated call appends nothing.

use crate::error::Problem;
use crate::metrics;
use millrace_runtime::redis::Connections;
use millrace_shared::Signal;
use millrace_shared::entry::{BODY_FIELD, META_FIELD, Meta};
use millrace_shared::ids::{OrgId, ShardId, StreamId};
use redis::{RedisError, Script};
use std::time::Duration;

/// A busy disk makes an fsync wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections: one large answer does not hold up the others.
const CONNECTIONS: usize = 2;
/// Seconds for which the guard of an append of our own is kept: longer than any retry.
const GUARD_S: u32 = 120;
/// Seconds for which a finished replay is still remembered.
const REPLAYED_S: u32 = 24 * 3600;

/// Counts and appends what the API itself has to say; the guard makes a repeated call harmless.
const APPEND: &str = "
local before = redis.call('GET', KEYS[3])
if before then return before end
local id = redis.call('XADD', KEYS[1], '*', ARGV[1], ARGV[2], ARGV[3], ARGV[4])
redis.call('HINCRBY', KEYS[2], ARGV[5] .. ':events', ARGV[6])
redis.call('HINCRBY', KEYS[2], ARGV[5] .. ':bytes', ARGV[7])
redis.call('HINCRBY', KEYS[2], ARGV[5] .. ':batches', 1)
redis.call('SET', KEYS[3], id, 'EX', ARGV[8])
return id
";

/// Appends a dead letter's entry. It was counted when it came first. The guard has no expiry until
/// the letter is marked.
const REPLAY: &str = "
local before = redis.call('GET', KEYS[2])
if before then return before end
local id = redis.call('XADD', KEYS[1], '*', ARGV[1], ARGV[2], ARGV[3], ARGV[4])
redis.call('SET', KEYS[2], id)
return id
";

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

/// Something to append.
#[derive(Clone, Debug)]
pub struct Appended<'a> {
    /// The stream.
    pub shard: ShardId,
    /// Its description.
    pub meta: &'a Meta,
    /// Its body, packed.
    pub body: &'a [u8],
    /// Names the append: the same name appends once.
    pub nonce: &'a str,
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
        let meta = entry.meta;
        let guard = entry.shard.remembered(meta.org, entry.nonce);
        Script::new(APPEND)
            .key(entry.shard.stream())
            .key(entry.shard.received())
            .key(guard)
            .arg(META_FIELD)
            .arg(meta.to_text())
            .arg(BODY_FIELD)
            .arg(entry.body)
            .arg(meta.org.simple().to_string())
            .arg(meta.accepted)
            .arg(meta.wire_bytes)
            .arg(GUARD_S)
            .invoke_async(&mut self.connections.get())
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
        letter: i64,
        meta: &str,
        body: &[u8],
    ) -> Result<String, Problem> {
        Script::new(REPLAY)
            .key(shard.stream())
            .key(guard(shard, letter))
            .arg(META_FIELD)
            .arg(meta)
            .arg(BODY_FIELD)
            .arg(body)
            .invoke_async(&mut self.connections.get())
            .await
            .map_err(problem)
    }

    /// Lets the guard of a marked letter expire; that it might not is no harm.
    pub async fn forget_replay(&self, shard: ShardId, letter: i64) {
        let key = guard(shard, letter);
        let mut expire = redis::cmd("EXPIRE");
        expire.arg(key).arg(REPLAYED_S);
        let done: Result<(), _> = expire.query_async(&mut self.connections.get()).await;
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

fn guard(shard: ShardId, letter: i64) -> String {
    format!("{}:replay:{letter}", shard.tag())
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
