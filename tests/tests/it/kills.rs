//! `kill -9` at random moments: nothing acknowledged is lost, nothing is doubled, the books balance.
//!
//! The seed is printed; `MILLRACE_TEST_SEED` repeats a run's moments (the machine's part of chance
//! remains).

use crate::load::{Oracle, Retry};
use millrace_shared::Signal;
use millrace_shared::ids::ShardId;
use millrace_tests::engines::Engines;
use millrace_tests::installation::{Part, Running};
use millrace_tests::stores::clickhouse;
use millrace_tests::wait::block_on;
use millrace_tests::{Installation, Org, within};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Kills of a worker.
const WORKER_KILLS: u32 = 20;
/// Kills of a gateway.
const GATEWAY_KILLS: u32 = 10;
/// A lease of the test; the least that a worker takes.
const LEASE_S: &str = "3";
/// After the last kill everything must be stored within this: leases end, a backlog is written.
const DRAIN: Duration = Duration::from_secs(90);

/// Moments by xorshift (Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn new() -> Chance {
        let given = std::env::var_os("MILLRACE_TEST_SEED").and_then(|seed| seed.into_string().ok());
        let seed = given.and_then(|seed| seed.parse().ok());
        let seed = seed
            .unwrap_or_else(|| u64::from_be_bytes(millrace_shared::secret::random().unwrap()) | 1);
        eprintln!("MILLRACE_TEST_SEED={seed}");
        Chance(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Waits for a random moment. Time is what this test is about: there is no condition to await.
    fn moment(&mut self, least_ms: u64, most_ms: u64) {
        std::thread::sleep(Duration::from_millis(
            least_ms + self.below(most_ms - least_ms),
        ));
    }
}

fn installation(name: &str) -> Installation {
    let mut installation = Installation::on(Engines::own(name), name);
    installation.set("MILLRACE_LEASE_S", LEASE_S);
    // The organisation's own quota stays far above what two cores can send.
    installation
}

/// Waits until every entry is behind a cursor and every batch is committed.
fn drained(installation: &Installation) {
    let (postgres, mut redis) = (installation.postgres(), installation.redis());
    let last = |redis: &mut redis::aio::MultiplexedConnection, shard: u16| -> (i64, i64) {
        let stream = ShardId {
            signal: Signal::Logs,
            shard,
        }
        .stream();
        let mut command = redis::cmd("XREVRANGE");
        command.arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
        let rows: Vec<(String, Vec<Vec<u8>>)> = block_on(command.query_async(redis)).unwrap();
        let id = rows.first().map_or("0-0", |(id, _)| id.as_str());
        let (ms, seq) = id.split_once('-').unwrap();
        (ms.parse().unwrap(), seq.parse().unwrap())
    };
    within(DRAIN, "everything is committed", || {
        let sql = "SELECT count(*) FROM batch WHERE state = 'PREPARED'";
        let open: i64 = block_on(postgres.query_one(sql, &[])).unwrap().get(0);
        let sql = "SELECT shard, cursor_ms, cursor_seq FROM shard WHERE signal = 'logs'";
        let shards = block_on(postgres.query(sql, &[])).unwrap();
        let behind = shards.iter().filter(|row| {
            let shard = u16::try_from(row.get::<_, i16>(0)).unwrap();
            (row.get::<_, i64>(1), row.get::<_, i64>(2)) < last(&mut redis, shard)
        });
        let behind = behind.count();
        if open == 0 && behind == 0 {
            Ok(())
        } else {
            Err(format!("{open} batches open, {behind} shards behind"))
        }
    });
}

/// How often each number is stored.
fn stored(installation: &Installation, org: &Org) -> BTreeMap<u64, u64> {
    let sql = format!(
        "SELECT toUInt64(LogAttributes['n']) AS n, count() AS c, any(Body) AS body FROM millrace.logs \
         WHERE OrgId = '{}' AND ServiceName = 'load' GROUP BY n",
        org.id
    );
    let number = |value: &Value| -> u64 {
        value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .unwrap()
    };
    let rows = clickhouse(installation, &sql);
    rows.iter()
        .map(|row| {
            let n = number(&row["n"]);
            assert_eq!(
                row["body"],
                format!("event {n}"),
                "the content is that of another event"
            );
            (n, number(&row["c"]))
        })
        .collect()
}

/// received = stored + rejected + dead-lettered, with nothing pending any more.
fn books_balance(installation: &Installation, org: &Org, stored: usize) {
    let mut redis = installation.redis();
    let mut received = 0;
    for shard in 0..4 {
        let key = ShardId {
            signal: Signal::Logs,
            shard,
        }
        .received();
        let mut command = redis::cmd("HGET");
        command.arg(key).arg(format!("{}:events", org.id.simple()));
        received += block_on(command.query_async::<Option<i64>>(&mut redis))
            .unwrap()
            .unwrap_or(0);
    }
    let sql = "SELECT coalesce(sum(stored), 0)::bigint, coalesce(sum(rejected + dead_lettered), 0)::bigint \
                 FROM usage_day WHERE org_id = $1";
    let row = block_on(installation.postgres().query_one(sql, &[&org.id])).unwrap();
    let (booked, refused): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(
        (received, refused),
        (booked, 0),
        "received, and rejected or dead-lettered"
    );
    assert_eq!(
        usize::try_from(booked).unwrap(),
        stored,
        "booked as stored, and stored"
    );
}

/// Waits until a batch is prepared that was not there before.
fn works(installation: &Installation) {
    let postgres = installation.postgres();
    let prepared = || -> i64 {
        let sql = "SELECT coalesce(sum(next_seq), 0)::bigint FROM shard";
        block_on(postgres.query_one(sql, &[])).unwrap().get(0)
    };
    let before = prepared();
    within(DRAIN, "a worker takes up the work", || {
        let now = prepared();
        if now > before { Ok(()) } else { Err(now) }
    });
}

fn worker(installation: &Installation, name: &str) -> Running {
    installation.launch(Part::Worker, &[("MILLRACE_WORKER_NAME", name.to_owned())])
}

#[test]
fn a_worker_killed_twenty_times_loses_nothing_and_doubles_nothing() {
    let installation = installation("worker-kills");
    let gateway = installation.start(Part::Gateway);
    let org = Org::of(&installation, "kills", (&gateway.url, ""));
    let (oracle, mut chance) = (Oracle::default(), Chance::new());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| oracle.send(&org, Retry::Never));
        }
        let mut running = worker(&installation, "first");
        for kill in 0..WORKER_KILLS {
            // Mostly in the middle of the work; now and then while it starts and recovers.
            if kill % 4 != 3 {
                works(&installation);
            }
            chance.moment(1, 700);
            running.process.kill();
            // Mostly the worker comes back under its name and takes its shards back at once; now
            // and then a stranger has to wait for the leases to end.
            let name = if kill % 5 == 4 {
                format!("stranger-{kill}")
            } else {
                "first".to_owned()
            };
            running = worker(&installation, &name);
        }
        oracle.stop();
        running.must_get_ready();
        drained(&installation);
    });
    let stored = stored(&installation, &org);
    let sql = "SELECT count(*)::bigint, coalesce(sum(attempt), 0)::bigint, max(epoch) FROM batch";
    let row = block_on(installation.postgres().query_one(sql, &[])).unwrap();
    let (batches, repeated, epoch): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    eprintln!("{batches} batches, {repeated} repeated attempts, epochs up to {epoch}");
    assert!(
        batches >= i64::from(WORKER_KILLS),
        "a load that the kills could strike"
    );
    eprintln!(
        "{} events sent, {} acknowledged, {} stored, {:?}",
        oracle.sent(),
        oracle.acknowledged(),
        stored.len(),
        started.elapsed()
    );
    assert!(
        oracle.acknowledged() > 2_000,
        "a load that proves something: {}",
        oracle.acknowledged()
    );
    oracle.compare(&stored);
    books_balance(&installation, &org, stored.len());
}

#[test]
fn a_killed_gateway_and_a_retrying_agent_store_everything_once() {
    let installation = installation("gateway-kills");
    let mut gateway = installation.start(Part::Gateway);
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let org = Org::of(&installation, "kills", (&gateway.url, ""));
    let mut worker = worker(&installation, "only");
    worker.must_get_ready();
    let (oracle, mut chance) = (Oracle::default(), Chance::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| oracle.send(&org, Retry::UntilAcknowledged));
        }
        for _ in 0..GATEWAY_KILLS {
            chance.moment(100, 900);
            gateway.process.kill();
            gateway = installation.launch(
                Part::Gateway,
                &[("MILLRACE_GATEWAY_LISTEN", address.clone())],
            );
            gateway.must_get_ready();
        }
        oracle.stop();
    });
    drained(&installation);
    assert_eq!(
        oracle.acknowledged(),
        oracle.sent(),
        "an agent that retries gets everything in"
    );
    let stored = stored(&installation, &org);
    oracle.compare(&stored);
    books_balance(&installation, &org, stored.len());
}

#[test]
fn a_gateway_asked_to_end_finishes_what_it_has_taken() {
    let shared = millrace_tests::shared();
    let mut gateway = shared.installation.start(Part::Gateway);
    let org = Org::of(
        &shared.installation,
        "graceful",
        (&gateway.url, &shared.query.url),
    );
    let oracle = Oracle::default();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| oracle.send(&org, Retry::Never));
        }
        within(DRAIN, "a load under way", || {
            let acknowledged = oracle.acknowledged();
            if acknowledged >= 400 {
                Ok(())
            } else {
                Err(acknowledged)
            }
        });
        let status = gateway.process.terminate(Duration::from_secs(30));
        assert!(status.success(), "{status}");
        oracle.stop();
    });
    let expected = oracle.acknowledged();
    within(DRAIN, "everything acknowledged is stored", || {
        let count = stored(&shared.installation, &org).len();
        if count >= expected {
            Ok(())
        } else {
            Err((count, expected))
        }
    });
    oracle.compare(&stored(&shared.installation, &org));
}
