//! The loop: channels are claimed, each gets a task that sends its messages one after another, and
//! what is left behind is swept up. Several workers do so side by side.

use super::message::Message;
use super::queue::{Claim, Job, Queue};
use super::send::send;
use super::verdict::{Attempt, Standing, Verdict, judge};
use super::{Means, escalate};
use crate::error::WorkerError;
use crate::metrics;
use deadpool_postgres::Pool;
use millrace_shared::channel::{Address, Happening};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// How often the outbox is looked at: an alert is told of within seconds.
const EVERY: Duration = Duration::from_millis(500);
/// How often is looked for alerts to be escalated and messages to be given up.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Channels that one worker sends to at a time; a receiver that never answers holds one of them.
const CHANNELS_MAX: usize = 32;
/// A task that would wait for longer than this for the rate of its channel gives it back.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// A channel with much to send gives its place up after this time.
const TURN_MAX: Duration = Duration::from_secs(30);
/// What a lease has beyond two attempts: time for the statements around them.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// Everything that a worker sends with.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: Queue,
    means: Means,
}

impl Sender {
    /// Of a worker with this name.
    #[must_use]
    pub fn new(pool: Pool, worker: &str, means: Means) -> Self {
        let lease = means.rules.timeout * 2 + LEASE_MARGIN;
        Sender {
            queue: Queue {
                pool,
                worker: worker.to_owned(),
                lease,
            },
            means,
        }
    }

    /// Sends what a channel has to send, for as long as its turn lasts.
    async fn serve(&self, claim: Claim, stop: CancellationToken) -> Result<(), WorkerError> {
        let ends = Instant::now() + TURN_MAX;
        while let Some(job) = self.queue.take(&claim).await? {
            let next = Instant::now() + claim.spacing;
            let verdict = self.attempt(&claim, &job).await;
            let noted = self.queue.settle(&claim, &job, &verdict).await?;
            note(&claim, &job, &verdict, noted);
            let resting = verdict.rest.is_some() || claim.spacing > WAIT_MAX;
            if !noted || resting || Instant::now() > ends || stop.is_cancelled() {
                break;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(next.saturating_duration_since(Instant::now())) => {}
            }
        }
        self.queue.release(&claim).await
    }

    async fn attempt(&self, claim: &Claim, job: &Job) -> Verdict {
        let started = Instant::now();
        let attempt = self.tried(claim, job).await;
        let took = started.elapsed().as_secs_f64();
        metrics::NOTIFICATION_SECONDS.observe(&[claim.kind.as_str()], took);
        let standing = Standing {
            happening: job.happening,
            attempts: job.attempts,
            failures: job.failures,
            age: job.age,
        };
        judge(attempt, standing, &self.means.rules)
    }

    async fn tried(&self, claim: &Claim, job: &Job) -> Attempt {
        let channel = claim.channel.to_string();
        let Ok(address) = Address::open(&self.means.master, &channel, &job.sealed) else {
            return Attempt::never("the address cannot be opened with this master key");
        };
        let Ok(mut message) = Message::read(job.payload.clone(), job.happening) else {
            return Attempt::never("what was stored cannot be read");
        };
        message.key.clone_from(&job.key);
        message.channel.clone_from(&job.channel_name);
        message.link = message
            .alert
            .as_ref()
            .and_then(|alert| self.means.rules.link_to(&alert.id));
        send(&self.means, &address, &message).await
    }

    async fn sweep(&self) -> Result<(), WorkerError> {
        let rules = &self.means.rules;
        let escalated = escalate::round(&self.queue.pool, rules.escalate).await?;
        metrics::ESCALATIONS.add(&[], escalated);
        for (kind, fate) in self.queue.sweep(rules.give_up).await? {
            let kind = kind.map_or("none", |kind| kind.as_str());
            let fate = if fate == "dead" { "dead" } else { "dropped" };
            metrics::NOTIFICATIONS.add(&[kind, fate], 1);
        }
        Ok(())
    }
}

/// Counts, and says in the log what an operator would want to know; of the message nothing.
fn note(claim: &Claim, job: &Job, verdict: &Verdict, noted: bool) {
    let outcome = if noted {
        verdict.fate.as_str()
    } else {
        "overtaken"
    };
    metrics::NOTIFICATIONS.add(&[claim.kind.as_str(), outcome], 1);
    if verdict.error.is_some() && job.happening != Happening::Test {
        tracing::warn!(
            channel = %claim.channel,
            kind = claim.kind.as_str(),
            notification = job.id,
            attempts = job.attempts,
            outcome,
            error = verdict.error.as_deref().unwrap_or_default(),
            "a notification was not delivered"
        );
    }
}

/// Sends until shutdown; then lets end what is on its way.
pub async fn run(sender: Sender, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(CHANNELS_MAX));
    let mut tasks = JoinSet::new();
    let mut look = interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept: Option<Instant> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = look.tick() => {}
        }
        while tasks.try_join_next().is_some() {}
        if swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
            swept = Some(Instant::now());
            log("sweeping the outbox", sender.sweep().await);
        }
        let free = i64::try_from(places.available_permits()).unwrap_or(0);
        let claims = match sender.queue.claim(free).await {
            Ok(claims) => claims,
            Err(error) => {
                log("looking at the outbox", Err(error));
                continue;
            }
        };
        for claim in claims {
            // Only this loop takes places, and no more channels are claimed than there are.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                break;
            };
            let (sender, stop) = (sender.clone(), shutdown.clone());
            tasks.spawn(async move {
                log("sending", sender.serve(claim, stop).await);
                drop(place);
            });
        }
    }
    while tasks.join_next().await.is_some() {}
}

fn log(task: &'static str, outcome: Result<(), WorkerError>) {
    if let Err(error) = outcome {
        tracing::warn!(task, %error, "notifications wait, trying again");
    }
}
