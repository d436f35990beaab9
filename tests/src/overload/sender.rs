//! Requests at a constant rate. Each is due at its time and gets a connection of its own for as
//! long as it takes, so that one slow answer holds up no other request.

use crate::wait::runtime;
use millrace_load::bench::Bench;
use millrace_load::histogram::Histogram;
use millrace_load::prebuilt::Prebuilt;
use millrace_load::raw::{Answered, Connection};
use millrace_load::run::Mix;
use millrace_load::target::Target;
use millrace_shared::Signal;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A request without an answer for this long is a hang: the gateway's own limits are shorter.
const HANG: Duration = Duration::from_secs(60);
/// Connections of one sender at most; a request that is due and finds none is counted as unsent.
const CONNECTIONS_MAX: usize = 2_000;
/// A connection that was idle for longer may be closed by the gateway at any moment, as every
/// client knows: it is not used again.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Different bodies of one sender.
const BODIES: u32 = 8;
/// Answers whose batch ids are kept.
const BATCHES_MAX: usize = 100_000;

/// What became of a sender's requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that were due.
    pub due: u64,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Refusals (429, 503) that do not say when to try again.
    pub without_retry_after: u64,
    /// No answer in time.
    pub hung: u64,
    /// The connection broke or was refused.
    pub broken: u64,
    /// Due while all connections were in use.
    pub unsent: u64,
    /// What was said of one broken request.
    pub example: Option<String>,
    /// Events in accepted requests.
    pub accepted: u64,
    /// From the due time to the answer, of accepted requests.
    pub latency: Histogram,
    /// The same of refused ones.
    pub refusal: Histogram,
    /// Ids of accepted batches.
    pub batches: Vec<String>,
}

impl Tally {
    /// Answers with that status.
    #[must_use]
    pub fn of(&self, status: u16) -> u64 {
        self.answers.get(&status).copied().unwrap_or(0)
    }

    /// Requests that did not get an answer of the contract: neither taken nor refused with a time
    /// to try again.
    #[must_use]
    pub fn improper(&self) -> u64 {
        let known = [202, 429, 503]
            .map(|status| self.of(status))
            .iter()
            .sum::<u64>();
        let others = self.answers.values().sum::<u64>() - known;
        self.without_retry_after + self.hung + self.broken + self.unsent + others
    }

    /// Adds what another tally counted.
    pub fn merge(&mut self, other: &Tally) {
        self.due += other.due;
        for (status, count) in &other.answers {
            *self.answers.entry(*status).or_default() += count;
        }
        self.without_retry_after += other.without_retry_after;
        self.hung += other.hung;
        self.broken += other.broken;
        self.unsent += other.unsent;
        self.example = self.example.take().or_else(|| other.example.clone());
        self.accepted += other.accepted;
        self.latency.merge(&other.latency);
        self.refusal.merge(&other.refusal);
        self.batches.extend(other.batches.iter().cloned());
    }

    fn settle(&mut self, outcome: Result<io::Result<Answered>, ()>, events: u32, took: Duration) {
        let answered = match outcome {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => {
                self.broken += 1;
                self.example.get_or_insert_with(|| error.to_string());
                return;
            }
            Err(()) => {
                self.hung += 1;
                return;
            }
        };
        *self.answers.entry(answered.status).or_default() += 1;
        if answered.status == 202 {
            self.accepted += u64::from(events);
            self.latency.add(took);
            if let Some(id) = answered
                .batch_id
                .filter(|_| self.batches.len() < BATCHES_MAX)
            {
                self.batches.push(id);
            }
        } else {
            self.refusal.add(took);
            let told = answered.retry_after_s.is_some_and(|seconds| seconds > 0);
            self.without_retry_after += u64::from(!told);
        }
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Load {
    /// To where and as whom.
    pub target: Target,
    /// Events a second.
    pub rate: f64,
    /// Events in a request.
    pub batch: u32,
}

/// A sender at work.
#[derive(Debug)]
pub struct Sending {
    stop: CancellationToken,
    tally: Arc<Mutex<Tally>>,
    task: JoinHandle<()>,
}

struct Lane {
    target: Target,
    bodies: Vec<Prebuilt>,
    tally: Arc<Mutex<Tally>>,
    idle: Mutex<Vec<(Connection, Instant)>>,
    open: AtomicUsize,
}

impl Load {
    /// Begins to send.
    ///
    /// # Panics
    /// When the load makes no sense.
    #[must_use]
    pub fn start(&self) -> Sending {
        let bench = Bench {
            mix: Mix::only(Signal::Logs),
            batch: self.batch,
            bodies: BODIES,
            ..Bench::standard("overload", Duration::ZERO).expect("a name")
        };
        let tally = Arc::new(Mutex::new(Tally::default()));
        let lane = Arc::new(Lane {
            bodies: bench.prebuild(&self.target).expect("bodies"),
            target: self.target.clone(),
            tally: Arc::clone(&tally),
            idle: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        let every = Duration::from_secs_f64(f64::from(self.batch) / self.rate.max(1e-3));
        let task = runtime().spawn(pump(lane, every, stop.clone()));
        Sending { stop, tally, task }
    }

    /// Sends for a while.
    #[must_use]
    pub fn send_for(&self, time: Duration) -> Tally {
        let sending = self.start();
        std::thread::sleep(time);
        sending.end()
    }
}

impl Sending {
    /// What became of the requests so far.
    ///
    /// # Panics
    /// When a request's task panicked.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.lock().expect("the tally").clone()
    }

    /// Stops, waits for the answers that are due, and says what became of all requests.
    ///
    /// # Panics
    /// When a request's task panicked.
    #[must_use]
    pub fn end(self) -> Tally {
        self.stop.cancel();
        crate::wait::block_on(self.task).expect("the sender");
        self.tally.lock().expect("the tally").clone()
    }
}

async fn pump(lane: Arc<Lane>, every: Duration, stop: CancellationToken) {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for request in 0u32.. {
        let due = begun + every.mul_f64(f64::from(request));
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep_until(due) => {}
        }
        while tasks.try_join_next().is_some() {}
        tasks.spawn(Arc::clone(&lane).one(request as usize, due));
    }
    while tasks.join_next().await.is_some() {}
}

impl Lane {
    async fn one(self: Arc<Self>, request: usize, due: Instant) {
        let body = &self.bodies[request % self.bodies.len()];
        let idle = self.take_idle();
        if idle.is_none() && self.open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            self.open.fetch_sub(1, Ordering::Relaxed);
            let mut tally = self.tally.lock().expect("the tally");
            (tally.due, tally.unsent) = (tally.due + 1, tally.unsent + 1);
            return;
        }
        let exchange = async {
            let mut connection = match idle {
                Some(connection) => connection,
                None => Connection::open(self.address()).await?,
            };
            let answered = connection.ask(body.wire()).await?;
            Ok::<_, io::Error>((answered, connection))
        };
        let outcome = match tokio::time::timeout(HANG, exchange).await {
            Ok(Ok((answered, connection))) if !answered.closes => {
                let mut idle = self.idle.lock().expect("idle connections");
                idle.push((connection, Instant::now()));
                Ok(Ok(answered))
            }
            ended => {
                self.open.fetch_sub(1, Ordering::Relaxed);
                let answered = |ended: io::Result<(Answered, Connection)>| ended.map(|(a, _)| a);
                ended.map(answered).map_err(drop)
            }
        };
        let mut tally = self.tally.lock().expect("the tally");
        tally.due += 1;
        tally.settle(outcome, body.events, due.elapsed());
    }

    /// The connection used last; those idle for too long are closed.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().expect("idle connections");
        let all = idle.len();
        idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        self.open.fetch_sub(all - idle.len(), Ordering::Relaxed);
        idle.pop().map(|(connection, _)| connection)
    }

    fn address(&self) -> &str {
        self.target.gateway_url.trim_start_matches("http://")
    }
}
