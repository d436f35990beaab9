//! The stage of these tests: the three real stores, a worker as a process, and entries appended to
//! the streams as the gateway would.

use millrace_devstack::{Engine, Options, Stack};
use millrace_runtime::clickhouse::{Clickhouse, Query};
use millrace_shared::Signal;
use millrace_shared::entry::{BODY_FIELD, META_FIELD, Meta};
use millrace_shared::ids::{OrgId, ShardId, StreamId};
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::wire::BodyFormat;
use serde_json::Value;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Shards per signal: enough for two workers to share, few enough to take over at once.
const SHARDS: i16 = 2;
/// Of these tests alone.
const MASTER_KEY: &str = "5f1d9c0a7e3b42866ad1f0e29b57c3d84416a8027be9d35c90f86e1247ab3dce";
/// What a busy machine needs for a step that takes a second alone.
const PATIENCE: Duration = Duration::from_secs(120);
/// What has been appended before a worker comes is one batch, however long it takes to read it.
pub const TOGETHER: (&str, &str) = ("MILLRACE_BATCH_AGE_MS", "1000");

/// How large a storm is: in entries of a thousand events, each a match of two rules.
pub const STORM_SETTING: &str = "MILLRACE_TEST_STORM";

/// One test at a time: they share shards.
static ALONE: Mutex<()> = Mutex::new(());

/// Stores and clients.
pub struct Stage {
    pub runtime: Runtime,
    pub pool: deadpool_postgres::Pool,
    pub redis: redis::Client,
    pub clickhouse: Clickhouse,
    pub org: OrgId,
    _alone: MutexGuard<'static, ()>,
}

/// Engines of these tests alone: they look at every shard, batch and dead letter there is.
static ENGINES: LazyLock<Stack> = LazyLock::new(|| {
    let options = Options {
        name: "delivery".to_owned(),
        environment: false,
        ..Options::default()
    };
    Stack::start(&options).unwrap_or_else(|error| panic!("engines: {error}"))
});

impl Stage {
    /// With an organisation of its own, and no worker running.
    pub fn new() -> Stage {
        let alone = ALONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let pool = millrace_runtime::pg::pool(&ENGINES.postgres_url(), "test", 4).unwrap();
        let stage = Stage {
            runtime,
            pool,
            redis: redis::Client::open(ENGINES.redis_url()).unwrap(),
            clickhouse: Clickhouse::new(&ENGINES.clickhouse_url()).unwrap(),
            org: Uuid::now_v7(),
            _alone: alone,
        };
        stage.sql(&format!("UPDATE installation SET shards = {SHARDS}"));
        stage.sql(&format!(
            "INSERT INTO organisation (id, name, pepper) VALUES ('{0}', '{0}', decode('{1}', 'hex'))",
            stage.org,
            "07".repeat(32)
        ));
        stage
    }

    /// Runs a statement of PostgreSQL.
    pub fn sql(&self, sql: &str) -> u64 {
        self.runtime.block_on(async {
            self.pool
                .get()
                .await
                .unwrap()
                .execute(sql, &[])
                .await
                .unwrap()
        })
    }

    /// One number of PostgreSQL.
    pub fn number(&self, sql: &str) -> i64 {
        let sql = format!("SELECT coalesce(({sql})::int8, 0)");
        self.runtime.block_on(async {
            self.pool
                .get()
                .await
                .unwrap()
                .query_one(&sql, &[])
                .await
                .unwrap()
                .get(0)
        })
    }

    /// The texts of a column of PostgreSQL.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        self.runtime.block_on(async {
            let rows = self.pool.get().await.unwrap().query(sql, &[]).await;
            rows.unwrap().iter().map(|row| row.get(0)).collect()
        })
    }

    /// Numbers of one row of ClickHouse.
    pub fn counts(&self, sql: &str) -> Vec<u64> {
        self.ask(&format!("{sql} FORMAT TabSeparated"))
            .trim()
            .split('\t')
            .map(|number| number.parse().unwrap())
            .collect()
    }

    /// Runs a statement of ClickHouse.
    pub fn ask(&self, sql: &str) -> String {
        let timeout = Duration::from_secs(60);
        let query = Query {
            sql,
            params: &[],
            settings: &[],
            query_id: "",
            timeout,
        };
        self.runtime.block_on(async {
            let answer = self.clickhouse.select(&query).await.unwrap();
            String::from_utf8(answer.bytes(1 << 20).await.unwrap()).unwrap()
        })
    }

    /// Rows of this organisation in a table, and distinct events among them.
    pub fn rows(&self, table: &str) -> (u64, u64) {
        let sql = format!(
            "SELECT count(), uniqExact(EventId) FROM millrace.{table} WHERE OrgId = '{}'",
            self.org
        );
        let counts = self.counts(&sql);
        (counts[0], counts[1])
    }

    /// What the books say of this organisation: events, stored, rejected, dead-lettered.
    pub fn books(&self) -> [i64; 4] {
        ["events", "stored", "rejected", "dead_lettered"].map(|side| {
            self.number(&format!(
                "SELECT sum({side}) FROM usage_day WHERE org_id = '{}'",
                self.org
            ))
        })
    }

    /// A description of a body of this organisation.
    pub fn meta(&self, accepted: u32) -> Meta {
        let now = millrace_runtime::clock::now_ns();
        let mut meta = Meta::new(self.org, "key-1", now, (BodyFormat::Json, Encoding::Lz4));
        meta.accepted = accepted;
        meta.wire_bytes = 1000;
        meta
    }

    /// Appends a body as the gateway would.
    pub fn append(&self, shard: ShardId, body: &Value, accepted: u32) -> StreamId {
        self.append_raw(
            shard,
            &self.meta(accepted).to_text(),
            &pack(body.to_string().as_bytes()),
        )
    }

    /// Appends any entry.
    pub fn append_raw(&self, shard: ShardId, meta: &str, body: &[u8]) -> StreamId {
        self.runtime.block_on(async {
            let mut connection = self.redis.get_multiplexed_async_connection().await.unwrap();
            let id: String = redis::cmd("XADD")
                .arg(shard.stream())
                .arg("*")
                .arg(META_FIELD)
                .arg(meta)
                .arg(BODY_FIELD)
                .arg(body)
                .query_async(&mut connection)
                .await
                .unwrap();
            id.parse().unwrap()
        })
    }

    /// Appends bodies of ten log records each, numbered on from `first`; all received at one moment, so that
    /// midnight makes no two batches of them.
    pub fn append_logs(&self, shard: ShardId, first: u32, bodies: u32) -> Vec<StreamId> {
        let meta = self.meta(10).to_text();
        let body = |body| {
            let logs: Vec<Value> = (0..10)
                .map(|n| serde_json::json!({"service": "s", "message": format!("event {}", first + body * 10 + n)}))
                .collect();
            let body = serde_json::json!({ "logs": logs }).to_string();
            self.append_raw(shard, &meta, &pack(body.as_bytes()))
        };
        (0..bodies).map(body).collect()
    }

    /// Stops an engine in good order and starts it again.
    pub fn restart(&self, engine: Engine) {
        ENGINES.restart(engine).unwrap();
    }

    /// Runs a command of Redis.
    pub fn redis_command(&self, words: &[&str]) -> redis::Value {
        self.runtime.block_on(async {
            let mut connection = self.redis.get_multiplexed_async_connection().await.unwrap();
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]);
            command.query_async(&mut connection).await.unwrap()
        })
    }

    /// Entries in a stream.
    pub fn length(&self, shard: ShardId) -> u64 {
        self.runtime.block_on(async {
            let mut connection = self.redis.get_multiplexed_async_connection().await.unwrap();
            redis::cmd("XLEN")
                .arg(shard.stream())
                .query_async(&mut connection)
                .await
                .unwrap()
        })
    }

    /// How many of these entries are in their stream.
    pub fn held(&self, shard: ShardId, ids: &[StreamId]) -> usize {
        let is_there = |id: &&StreamId| {
            let id = id.to_string();
            let found = self.redis_command(&["XRANGE", &shard.stream(), &id, &id]);
            matches!(found, redis::Value::Array(entries) if !entries.is_empty())
        };
        ids.iter().filter(is_there).count()
    }

    /// Waits until something is as expected.
    pub fn until<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        expected: &T,
        mut look: impl FnMut() -> T,
    ) {
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = look();
            if seen == *expected {
                return;
            }
            assert!(
                Instant::now() < end,
                "not in time: {what}: {seen:?} instead of {expected:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts a worker with these settings beside those of every test.
    pub fn worker(&self, settings: &[(&str, &str)]) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_normalizer-worker"));
        command
            .envs(ENGINES.settings())
            // It is the tests' own, and a worker starts with no setting that it does not know.
            .env_remove(STORM_SETTING)
            .env("MILLRACE_PROFILE", "development")
            .env("MILLRACE_MASTER_KEY", MASTER_KEY)
            .env("MILLRACE_WORKER_ADMIN_LISTEN", "127.0.0.1:0")
            .env("MILLRACE_WORKER_THREADS", "2")
            .env("MILLRACE_LOG_FORMAT", "text")
            .env("MILLRACE_LOG", "info")
            .env("MILLRACE_LEASE_S", "3")
            .env("MILLRACE_BATCH_AGE_MS", "100")
            .env("MILLRACE_AUDIT_DELAY_S", "0")
            .stdin(Stdio::null());
        for (name, value) in settings {
            command.env(name, value);
        }
        Worker {
            process: command.spawn().unwrap(),
        }
    }
}

/// A worker's process; killed when dropped.
pub struct Worker {
    process: Child,
}

impl Worker {
    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; whether it ended well.
    pub fn ended(&mut self) -> bool {
        self.status().success()
    }

    fn status(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the worker does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it in good order.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.status();
        assert!(status.success(), "the worker did not end well: {status}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A shard.
pub const fn shard(signal: Signal, shard: u16) -> ShardId {
    ShardId { signal, shard }
}
