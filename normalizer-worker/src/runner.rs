//! Runs a worker: takes leases, gives every shard it holds a task of its own, keeps the control
//! tables fresh, the gauges set and the house clean, and ends in good order.

use crate::backoff::Backoff;
use crate::budget::Budget;
use crate::commit::{Desk, SeriesCache};
use crate::config::Config;
use crate::control_loader::Controls;
use crate::error::WorkerError;
use crate::lease::{Lease, Leases, RENEWALS};
use crate::ledger::{self, Fence};
use crate::shard::{Plant, Shard};
use crate::store::Store;
use crate::{builtin_rules, gauges, housekeeping, hunt, indicator_files, metrics, notify, quiet};
use deadpool_postgres::Pool;
use millrace_feeds::{Fetched, Fetcher};
use millrace_runtime::redis::open;
use millrace_shared::ids::ShardId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Time for a short command of Redis.
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is asked whether rules, indicators or policies have changed: well within 5 s.
const CONTROL_EVERY: Duration = Duration::from_secs(1);
/// How often ClickHouse is asked when it was started.
const STORE_EVERY: Duration = Duration::from_secs(2);
/// How often it is asked whether a feed is due.
const FEEDS_EVERY: Duration = Duration::from_secs(2);
/// Seconds by which two answers to that differ though it was not started anew.
const STARTED_BLUR_S: i64 = 1;
/// How long a stop waits for batches in flight; after that they are recovered by whoever comes next.
const STOP_PATIENCE: Duration = Duration::from_secs(12);

/// What a worker is handed.
pub struct Parts {
    /// Its settings.
    pub config: Config,
    /// PostgreSQL.
    pub pool: Pool,
    /// Where rows go.
    pub store: Store,
    /// Turns at the processor at a time.
    pub threads: usize,
}

/// Runs until shutdown. `ready` is filled as soon as the worker has what it needs.
///
/// # Errors
/// When something it is told cannot be used at all; a store that is down is waited for.
pub async fn run(
    parts: Parts,
    ready: Arc<OnceLock<Arc<Plant>>>,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let Some((plant, shards)) = start(&parts, &shutdown).await? else {
        return Ok(());
    };
    let _ = ready.set(Arc::clone(&plant));
    let config = &parts.config;
    let count = u32::try_from(shards).unwrap_or(0);
    let leases = Leases::new(
        parts.pool.clone(),
        &config.name,
        &config.signals,
        (count, config.lease),
    )
    .with_probe(&config.probe);
    let held = Arc::new(Mutex::new(Vec::new()));
    let mut owner = Owner {
        plant: Arc::clone(&plant),
        leases,
        tasks: HashMap::new(),
        held: Arc::clone(&held),
    };
    let side = beside(&parts, &plant, (held, shards), &shutdown);
    tracing::info!(worker = config.name, shards, "worker started");
    owner.own(config.lease / RENEWALS, &shutdown).await;
    owner.stop().await;
    for task in side {
        let _ = task.await;
    }
    Ok(())
}

/// What goes on beside the shards, until shutdown.
fn beside(
    parts: &Parts,
    plant: &Arc<Plant>,
    (held, shards): (Arc<Mutex<Vec<Fence>>>, i16),
    shutdown: &CancellationToken,
) -> [JoinHandle<()>; 8] {
    let config = &parts.config;
    [
        tokio::spawn(refresh_control(
            Arc::clone(plant),
            config.indicators_dir.clone(),
            shutdown.clone(),
        )),
        tokio::spawn(show(Arc::clone(plant), held, shards, shutdown.clone())),
        tokio::spawn(keep_house(
            parts.pool.clone(),
            config.letter_days,
            shutdown.clone(),
        )),
        tokio::spawn(watch_store(Arc::clone(plant), shutdown.clone())),
        tokio::spawn(hunt_in_history(
            Arc::clone(plant),
            config.hunt,
            shutdown.clone(),
        )),
        tokio::spawn(notice_silence(Arc::clone(plant), shutdown.clone())),
        tokio::spawn(notify::run(
            notify::Sender::new(parts.pool.clone(), &config.name, config.notify.clone()),
            shutdown.clone(),
        )),
        tokio::spawn(fetch_feeds(
            Fetcher::new(
                parts.pool.clone(),
                config.notify.outgoing.clone(),
                config.notify.master.clone(),
            ),
            shutdown.clone(),
        )),
    ]
}

/// Waits for the stores and loads what the worker cannot begin without; `None` when stopped first.
async fn start(
    parts: &Parts,
    shutdown: &CancellationToken,
) -> Result<Option<(Arc<Plant>, i16)>, WorkerError> {
    let mut backoff = Backoff::default();
    loop {
        match build(parts).await {
            Ok(built) => return Ok(Some(built)),
            Err(error) => tracing::warn!(%error, "cannot start yet"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(backoff.pause()) => {}
        }
    }
}

async fn build(parts: &Parts) -> Result<(Arc<Plant>, i16), WorkerError> {
    let config = &parts.config;
    let client = parts.pool.get().await?;
    let shards = ledger::shards_per_signal(&client).await?;
    ledger::create_shards(&client, shards).await?;
    drop(client);
    if let Some(directory) = &config.indicators_dir {
        indicator_files::load(&parts.pool, directory).await?;
    }
    let mut redis = open(&config.redis_url, REDIS_TIMEOUT)?;
    let streams = u16::try_from(shards).unwrap_or(1);
    builtin_rules::offer(&parts.pool, &mut redis, streams).await?;
    let controls = Controls::load(parts.pool.clone(), config.fixed.clone()).await?;
    let plant = Plant {
        redis_url: config.redis_url.clone(),
        redis,
        desk: Desk {
            pool: parts.pool.clone(),
            series: SeriesCache::default(),
            series_max: config.series_max,
        },
        store: parts.store.clone(),
        controls,
        budget: Budget::new(config.memory),
        cpu: Semaphore::new(parts.threads.max(1)),
        full: config.full,
        audit_delay: config.audit_delay,
        store_started: watch::Sender::new(0),
    };
    Ok((Arc::new(plant), shards))
}

/// The shards of this worker and their tasks.
struct Owner {
    plant: Arc<Plant>,
    leases: Leases,
    tasks: HashMap<ShardId, (Arc<Lease>, CancellationToken, JoinHandle<()>)>,
    held: Arc<Mutex<Vec<Fence>>>,
}

impl Owner {
    async fn own(&mut self, every: Duration, shutdown: &CancellationToken) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            self.leases
                .begins_with(self.plant.controls.current().revision);
            // A round that hangs must not keep the next renewal from being tried.
            let surplus = match timeout(every.saturating_mul(2), self.leases.round()).await {
                Ok(Ok(changes)) => changes.surplus,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot look after leases");
                    Vec::new()
                }
                Err(_) => {
                    tracing::warn!("looking after leases takes too long");
                    Vec::new()
                }
            };
            self.follow(&surplus).await;
        }
    }

    /// Brings the tasks in line with the leases held, whatever became of the round.
    async fn follow(&mut self, surplus: &[ShardId]) {
        let held = self.leases.held();
        for lease in held {
            let shard = lease.fence.shard;
            if surplus.contains(&shard) {
                self.give_up(shard).await;
            } else if !self.works_on(&lease) {
                self.work_on(lease);
            }
        }
        self.show_held();
    }

    fn works_on(&self, lease: &Lease) -> bool {
        self.tasks
            .get(&lease.fence.shard)
            .is_some_and(|(known, _, task)| known.fence == lease.fence && !task.is_finished())
    }

    /// Stops a shard's task, and releases the shard as soon as it has ended.
    async fn give_up(&mut self, shard: ShardId) {
        if let Some((_, stop, task)) = self.tasks.get(&shard) {
            stop.cancel();
            if !task.is_finished() {
                return;
            }
        }
        self.tasks.remove(&shard);
        if let Err(error) = self.leases.release(shard).await {
            tracing::warn!(%shard, %error, "cannot release a shard, its lease will run out");
        }
    }

    fn work_on(&mut self, lease: Arc<Lease>) {
        let shard_id = lease.fence.shard;
        let before = self.tasks.remove(&shard_id);
        let stop = CancellationToken::new();
        let shard = Shard::new(Arc::clone(&self.plant), Arc::clone(&lease));
        let told = stop.clone();
        let task = tokio::spawn(async move {
            // What was done under the lease before must have ended first.
            if let Some((_, stop, task)) = before {
                stop.cancel();
                let _ = task.await;
            }
            shard.live(&told).await;
        });
        self.tasks.insert(shard_id, (lease, stop, task));
    }

    fn show_held(&self) {
        if let Ok(mut held) = self.held.lock() {
            let ours = self
                .tasks
                .values()
                .filter(|(lease, _, _)| !lease.lost.is_cancelled());
            *held = ours.map(|(lease, _, _)| lease.fence).collect();
        }
    }

    /// Lets what is in flight end, then gives all shards up.
    async fn stop(&mut self) {
        for (_, stop, _) in self.tasks.values() {
            stop.cancel();
        }
        let tasks: Vec<_> = self.tasks.drain().collect();
        let end = async {
            for (shard, (_, _, task)) in tasks {
                let _ = task.await;
                if let Err(error) = self.leases.release(shard).await {
                    tracing::warn!(%shard, %error, "cannot release a shard, its lease will run out");
                }
            }
        };
        if timeout(STOP_PATIENCE, end).await.is_err() {
            tracing::warn!("stopping with batches in flight, they will be recovered");
        }
        if let Err(error) = self.leases.leave().await {
            tracing::warn!(%error, "cannot sign off");
        }
    }
}

async fn refresh_control(
    plant: Arc<Plant>,
    directory: Option<std::path::PathBuf>,
    shutdown: CancellationToken,
) {
    let mut watch = directory.map(indicator_files::Watch::new);
    let mut again = Again::every(CONTROL_EVERY);
    while again.is_time(&shutdown).await {
        if let Some(watch) = &mut watch {
            again.note("indicator files", watch.look(&plant.desk.pool).await);
        }
        again.note("control tables", plant.controls.refresh().await.map(drop));
    }
}

async fn show(
    plant: Arc<Plant>,
    held: Arc<Mutex<Vec<Fence>>>,
    shards: i16,
    shutdown: CancellationToken,
) {
    let mut again = Again::every(gauges::EVERY);
    while again.is_time(&shutdown).await {
        let ours = held.lock().map(|held| held.clone()).unwrap_or_default();
        again.note("gauges", gauges::look(&plant, &ours, shards).await);
    }
}

/// Tells the shards when ClickHouse was started anew.
async fn watch_store(plant: Arc<Plant>, shutdown: CancellationToken) {
    let mut again = Again::every(STORE_EVERY);
    while again.is_time(&shutdown).await {
        // A store that is down is noticed by whoever needs it.
        let Ok(started) = plant.store.started().await else {
            continue;
        };
        plant.store_started.send_if_modified(|known| {
            let first = *known == 0;
            let anew = started - *known > STARTED_BLUR_S;
            if anew {
                *known = started;
            }
            anew && !first
        });
    }
}

async fn keep_house(pool: Pool, letter_days: i32, shutdown: CancellationToken) {
    let mut again = Again::every(housekeeping::EVERY);
    while again.is_time(&shutdown).await {
        again.note(
            "housekeeping",
            housekeeping::round(&pool, letter_days).await,
        );
    }
}

async fn notice_silence(plant: Arc<Plant>, shutdown: CancellationToken) {
    let mut again = Again::every(quiet::EVERY);
    while again.is_time(&shutdown).await {
        again.note("silence", quiet::round(&plant).await);
    }
}

/// Fetches the feeds that are due, one after the other; other workers fetch others meanwhile.
async fn fetch_feeds(fetcher: Fetcher, shutdown: CancellationToken) {
    let mut again = Again::every(FEEDS_EVERY);
    while again.is_time(&shutdown).await {
        loop {
            let fetched = tokio::select! {
                () = shutdown.cancelled() => return,
                fetched = fetcher.next() => fetched,
            };
            match fetched {
                Ok(None) => break,
                Ok(Some((feed, fetched))) => {
                    metrics::FEED_FETCHES.add(&[fetched.as_str()], 1);
                    if let Fetched::Failed(why) = fetched {
                        tracing::warn!(feed, why, "a feed cannot be fetched, keeping what it held");
                    }
                }
                Err(error) => {
                    again.note("feeds", Err(error.into()));
                    break;
                }
            }
        }
    }
}

async fn hunt_in_history(plant: Arc<Plant>, terms: hunt::Terms, shutdown: CancellationToken) {
    let mut again = Again::every(hunt::EVERY);
    while again.is_time(&shutdown).await {
        again.note("retro-hunts", hunt::round(&plant, terms, &shutdown).await);
    }
}

/// Something done again and again beside the pipeline; what fails is logged and tried again.
struct Again {
    tick: Interval,
}

impl Again {
    fn every(period: Duration) -> Self {
        let mut tick = interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Again { tick }
    }

    async fn is_time(&mut self, shutdown: &CancellationToken) -> bool {
        tokio::select! {
            () = shutdown.cancelled() => false,
            _ = self.tick.tick() => true,
        }
    }

    fn note(&self, task: &'static str, outcome: Result<(), WorkerError>) {
        if let Err(error) = outcome {
            tracing::warn!(task, %error, every = ?self.tick.period(), "failed, trying again");
        }
    }
}
