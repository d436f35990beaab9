//! One atomic append per request: seen before? else XADD, count, and remember the answer.
//!
//! Any doubt about the outcome is a 503: the agent sends again, and under an idempotency key that
//! stores nothing twice. The command itself is never sent twice from here, save after Redis said
//! that it does not know the script, which it says before running anything.

use crate::config::Config;
use crate::error::{EventError, Problem};
use crate::loss::Acknowledged;
use crate::metrics::{APPEND_DURATION, APPEND_FAILURES};
use crate::probe::Step;
use crate::validate::Validated;
use crate::verify::{Sender, Verified};
use bytes::Bytes;
use millrace_runtime::probe::Probe;
use millrace_runtime::redis::{ConnectionManager, Connections};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{BatchId, OrgId, ShardId, StreamId};
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::outcome::Refusal;
use millrace_shared::signature::{DIGEST_BYTES, digest};
use millrace_shared::wire::Counts;
use redis::{RedisError, Script};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Time for one append, its fsync included. Twice a slow disk's worst second; agents wait longer.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of one thread: a large body on one does not hold up the answers on the other.
pub(crate) const CONNECTIONS: usize = 2;
/// As many where each append also waits for replicas.
const CONNECTIONS_WAITING: usize = 32;
/// Time for the replicas, within the time for the whole append.
const REPLICAS_TIMEOUT: Duration = Duration::from_secs(3);
/// Characters of a user agent kept with unsigned browser events.
const USER_AGENT_MAX: usize = 512;

const SOURCE: &str = include_str!("append.lua");
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SOURCE));

/// Which shard a request goes to.
pub(crate) struct Shards {
    count: u16,
    next: AtomicUsize,
}

impl Shards {
    /// Of an installation with that many shards per signal.
    pub(crate) fn new(count: u16) -> Self {
        Shards {
            count: count.max(1),
            next: AtomicUsize::new(0),
        }
    }

    /// A request with an idempotency key always goes to the same shard, where it is remembered:
    /// the first eight bytes, big-endian, of SHA-256(organisation bytes ‖ key) modulo the number
    /// of shards. Any other goes to the next in turn.
    pub(crate) fn of(&self, signal: Signal, org: OrgId, key: Option<&str>) -> ShardId {
        let count = u64::from(self.count);
        let number = match key {
            Some(key) => {
                let hash = digest(&[org.as_bytes(), key.as_bytes()].concat());
                let first = hash.first_chunk().copied().unwrap_or_default();
                u64::from_be_bytes(first) % count
            }
            None => self.next.fetch_add(1, Ordering::Relaxed) as u64 % count,
        };
        ShardId {
            signal,
            shard: u16::try_from(number).unwrap_or(0),
        }
    }
}

/// What Redis keeps under an idempotency key.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    #[serde(skip_serializing)]
    id: String,
    sha: String,
    n: u32,
    r: u32,
    e: Vec<EventError>,
}

/// A batch as it goes into a stream, and what to answer for it.
pub(crate) struct Entry {
    pub(crate) shard: ShardId,
    pub(crate) sender: Sender,
    pub(crate) counts: Counts,
    pub(crate) errors: Vec<EventError>,
    /// SHA-256 of the body on the wire.
    pub(crate) digest: [u8; DIGEST_BYTES],
    meta: String,
    body: Bytes,
    wire_bytes: usize,
    /// Key under which the answer is remembered, and for how long.
    remember: Option<(String, Duration)>,
}

/// A batch that Redis holds on disk.
pub(crate) struct Appended {
    pub(crate) entry: Entry,
    pub(crate) id: StreamId,
    /// It was there already: this is the answer given then.
    pub(crate) replayed: bool,
}

impl Appended {
    /// What is remembered of it for a while.
    pub(crate) fn acknowledged(&self) -> Acknowledged {
        Acknowledged {
            batch: BatchId {
                shard: self.entry.shard,
                entry: self.id,
            },
            org: self.entry.sender.key.org,
            events: self.entry.counts.accepted,
        }
    }
}

/// What an entry records besides the body.
pub(crate) struct Circumstances<'r> {
    /// Nanoseconds since 1970.
    pub(crate) received_at: i64,
    pub(crate) request_id: &'r str,
    /// How long an idempotency key is remembered.
    pub(crate) remember_for: Duration,
}

impl Validated<'_> {
    /// Packs the batch for its stream. Computes only.
    pub(crate) fn into_entry(self, shards: &Shards, circumstances: &Circumstances<'_>) -> Entry {
        let Validated { verified, findings } = self;
        let Verified {
            head, sender, body, ..
        } = verified;
        let key = &sender.key;
        // What anybody may send must not take the names of what the key's owner sends.
        let name = head.idempotency_key.map(|name| match key.public {
            true => format!("public:{}:{name}", key.id),
            false => name.to_owned(),
        });
        let shard = shards.of(head.signal, key.org, name.as_deref());
        let encoding = match head.encoding {
            Encoding::Identity | Encoding::Lz4 => Encoding::Lz4,
            encoding @ (Encoding::Gzip | Encoding::Zstd) => encoding,
        };
        let mut meta = Meta::new(
            key.org,
            &key.id,
            circumstances.received_at,
            (head.format, encoding),
        );
        meta.accepted = findings.counts.accepted;
        meta.rejected = findings.counts.rejected;
        meta.rejected_at = findings.rejected_at;
        meta.wire_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        meta.request_id = circumstances.request_id.to_owned();
        meta.ip = Some(head.credentials.address);
        meta.untrusted = key.public;
        meta.user_agent = (head.signal == Signal::Rum)
            .then(|| Some(head.user_agent?.chars().take(USER_AGENT_MAX).collect()))
            .flatten();
        Entry {
            shard,
            counts: findings.counts,
            errors: findings.errors,
            digest: digest(&body),
            meta: meta.to_text(),
            wire_bytes: body.len(),
            remember: name
                .map(|name| (shard.remembered(key.org, &name), circumstances.remember_for)),
            body: match encoding {
                Encoding::Lz4 => pack(&body).into(),
                Encoding::Identity | Encoding::Gzip | Encoding::Zstd => body,
            },
            sender,
        }
    }
}

impl Entry {
    /// Bytes that the stream will hold.
    pub(crate) fn packed_bytes(&self) -> usize {
        self.body.len()
    }

    fn command(&self) -> redis::Cmd {
        let (remembered, seconds) = match &self.remember {
            Some((key, time)) => (key.clone(), time.as_secs()),
            None => (format!("{}:none", self.shard.tag()), 0),
        };
        let answer = match seconds {
            0 => String::new(),
            _ => self.answer_to_remember(),
        };
        let mut command = redis::cmd("EVALSHA");
        command
            .arg(SCRIPT.get_hash())
            .arg(3)
            .arg(self.shard.stream())
            .arg(self.shard.received())
            .arg(remembered)
            .arg(&self.meta)
            .arg(self.body.as_ref())
            .arg(self.sender.key.org.simple().to_string())
            .arg(self.counts.accepted)
            .arg(self.counts.rejected)
            .arg(self.wire_bytes)
            .arg(seconds)
            .arg(answer);
        command
    }

    /// The answer's JSON without its opening brace and id, which the script puts before it.
    fn answer_to_remember(&self) -> String {
        let answer = Remembered {
            id: String::new(),
            sha: hex::encode(self.digest),
            n: self.counts.accepted,
            r: self.counts.rejected,
            e: self.errors.clone(),
        };
        let text = serde_json::to_string(&answer).unwrap_or_default();
        text.strip_prefix('{').unwrap_or_default().to_owned()
    }

    /// The entry as it was first accepted.
    fn recall(mut self, answer: &str) -> Result<Appended, Problem> {
        let unreadable = || Problem::new(Refusal::Internal, "the remembered answer is unreadable");
        let first: Remembered = serde_json::from_str(answer).map_err(|_| unreadable())?;
        if first.sha != hex::encode(self.digest) {
            let detail = "the idempotency key was used with another body";
            return Err(Problem::new(Refusal::KeyReused, detail));
        }
        self.counts = Counts {
            accepted: first.n,
            rejected: first.r,
        };
        self.errors = first.e;
        Ok(Appended {
            id: first.id.parse().map_err(|_| unreadable())?,
            entry: self,
            replayed: true,
        })
    }
}

/// Appends through the connections of one thread.
pub(crate) struct Appender {
    connections: Connections,
    /// Replicas that must have an append on disk. `WAITAOF` holds up its connection, so with
    /// replicas more connections serve more requests at once.
    replicas: u64,
    probe: Probe<Step>,
}

impl Appender {
    /// Opens them when first used.
    pub(crate) fn open(config: &Config) -> Result<Self, RedisError> {
        let replicas = config.redis_replicas;
        let count = match replicas {
            0 => CONNECTIONS,
            _ => CONNECTIONS_WAITING,
        };
        let connections = Connections::open(&config.redis_url, count, RESPONSE_TIMEOUT)?;
        Ok(Appender {
            connections,
            replicas,
            probe: config.probe.clone(),
        })
    }

    /// One of its connections, for a question.
    pub(crate) fn connection(&self) -> ConnectionManager {
        self.connections.get()
    }

    /// Appends, or recalls the answer given before.
    ///
    /// # Errors
    /// 422 when the idempotency key was used with another body, 503 on any doubt.
    pub(crate) async fn append(&self, entry: Entry) -> Result<Appended, Problem> {
        let started = Instant::now();
        self.probe.at(Step::Validated);
        let mut connection = self.connections.get();
        let command = entry.command();
        let append = run(&mut connection, &command, self.replicas);
        let outcome = self.probe.during(Step::Appending, append).await;
        let took = started.elapsed().as_secs_f64();
        APPEND_DURATION.observe(&[entry.shard.signal.as_str()], took);
        match outcome {
            Ok((1, id)) => {
                self.probe.at(Step::Appended);
                Ok(Appended {
                    id: id.parse().map_err(|_| doubt("other"))?,
                    entry,
                    replayed: false,
                })
            }
            Ok((_, answer)) => {
                self.probe.at(Step::Recalled);
                entry.recall(&answer)
            }
            Err(failure) => Err(refuse(&failure)),
        }
    }
}

/// Why an append is not a success.
#[derive(Debug)]
enum Failure {
    /// Redis refused, or did not answer in time.
    Redis(RedisError),
    /// Too few disks have it.
    Replicas,
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Failure::Redis(error)
    }
}

async fn run(
    connection: &mut ConnectionManager,
    command: &redis::Cmd,
    replicas: u64,
) -> Result<(u8, String), Failure> {
    match once(connection, command, replicas).await {
        Err(Failure::Redis(error)) if error.code() == Some("NOSCRIPT") => {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(SOURCE);
            let () = load.query_async(connection).await?;
            once(connection, command, replicas).await
        }
        outcome => outcome,
    }
}

/// With replicas, the wait goes out with the append: it counts what its own connection wrote, so
/// on another (after a reconnection) it would wait for nothing.
async fn once(
    connection: &mut ConnectionManager,
    command: &redis::Cmd,
    replicas: u64,
) -> Result<(u8, String), Failure> {
    if replicas == 0 {
        return Ok(command.query_async(connection).await?);
    }
    let patience = u64::try_from(REPLICAS_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let mut wait = redis::cmd("WAITAOF");
    wait.arg(1).arg(replicas).arg(patience);
    let mut both = redis::pipe();
    both.add_command(command.clone()).add_command(wait);
    let (outcome, (local, others)): ((u8, String), (u64, u64)) =
        both.query_async(connection).await?;
    if local >= 1 && others >= replicas {
        Ok(outcome)
    } else {
        Err(Failure::Replicas)
    }
}

fn doubt(kind: &'static str) -> Problem {
    APPEND_FAILURES.add(&[kind], 1);
    let detail = "the batch may not have been stored: send it again";
    Problem::new(Refusal::DependencyDown, detail)
}

fn refuse(failure: &Failure) -> Problem {
    let error = match failure {
        Failure::Redis(error) => error,
        Failure::Replicas => {
            tracing::warn!("too few replicas have the append on disk");
            return doubt("replicas");
        }
    };
    tracing::warn!(%error, "append failed");
    if error.code() == Some("OOM") {
        APPEND_FAILURES.add(&["memory"], 1);
        return Problem::new(Refusal::Overloaded, "the streams have no memory left");
    }
    doubt(if error.is_timeout() {
        "timeout"
    } else {
        "other"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_always_finds_its_shard() {
        let shards = Shards::new(16);
        let org = OrgId::from_u128(1);
        let first = shards.of(Signal::Logs, org, Some("key-1"));
        assert!((0..100).all(|_| shards.of(Signal::Logs, org, Some("key-1")) == first));
        // SHA-256(0…01 ‖ "key-1") begins 06 17 f6 77 7a e0 e3 4a: written down so that it never moves.
        assert_eq!(first.shard, 0x4a % 16);
        let all: std::collections::BTreeSet<_> = (0..16)
            .map(|_| shards.of(Signal::Logs, org, None).shard)
            .collect();
        assert_eq!(all.len(), 16);
    }
}
