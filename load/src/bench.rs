//! Load at little cost: prebuilt requests over plain connections, at their due times.
//!
//! Like [`run`](crate::run::run) it is open-loop; unlike it, it reads only the status of an answer.

use crate::clock::{cpu_seconds, now_ns};
use crate::error::LoadError;
use crate::generate::{FIRST_SEQ, Place, Recipe};
use crate::prebuilt::Prebuilt;
use crate::raw::Connection;
use crate::report::{Report, Tally};
use crate::run::Mix;
use crate::sign::{How, Scheme};
use crate::target::Target;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A benchmark run, as its caller wants it.
#[derive(Clone, Debug)]
pub struct Bench {
    /// What the events are like.
    pub recipe: Recipe,
    /// Which signals.
    pub mix: Mix,
    /// Events in one request.
    pub batch: u32,
    /// Different requests rendered ahead of time.
    pub bodies: u32,
    /// Whether each request's events are numbered anew before it is sent.
    pub unique: bool,
    /// Events due a second; 0 to send the next request as soon as one is answered.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
    /// Requests to send at most; 0 for no limit.
    pub requests: u64,
    /// Connections, each with one request in flight.
    pub connections: usize,
    /// Compression. The signature is always the body's own: it stays valid.
    pub how: How,
}

impl Bench {
    /// The standard batch of the targets: 1,000 JSON logs of about 250 bytes, 10 % of them with
    /// personal data; as fast as it is answered. The other members are public.
    ///
    /// # Errors
    /// When the name of the run cannot be used.
    pub fn standard(run: &str, duration: Duration) -> Result<Self, LoadError> {
        Ok(Bench {
            recipe: Recipe::new(1, run)?,
            mix: Mix::only(millrace_shared::Signal::Logs),
            batch: 1_000,
            bodies: 16,
            unique: false,
            rate: 0.0,
            duration,
            requests: 0,
            connections: 4,
            how: How::default(),
        })
    }

    /// Renders the requests ahead of time.
    ///
    /// # Errors
    /// When a request of that size is not allowed, or a body cannot be compressed.
    pub fn prebuild(&self, target: &Target) -> Result<Vec<Prebuilt>, LoadError> {
        let most = self.mix.batch_max();
        if self.batch == 0 || self.batch > most || self.how.scheme != Scheme::Body {
            let problem = format!(
                "a benchmark is signed by body and sends 1 to {most} events of this mix in a request"
            );
            return Err(LoadError::Option(problem));
        }
        let now = now_ns();
        let prebuilt = |request| {
            let place = Place {
                signal: self.mix.signal(self.recipe.seed, request),
                request,
                first_seq: FIRST_SEQ + request * u64::from(self.batch),
                events: self.batch,
            };
            Prebuilt::new(target, self.how, &self.recipe.batch(place, now))
        };
        (0..u64::from(self.bodies.max(1))).map(prebuilt).collect()
    }
}

/// Runs a benchmark.
///
/// # Errors
/// When it has no sense, or no connection can be opened.
pub async fn bench(
    bench: Bench,
    target: Target,
    stop: CancellationToken,
) -> Result<Report, LoadError> {
    let prebuilt = Arc::new(bench.prebuild(&target)?);
    let cpu_before = cpu_seconds(None);
    let lane = Arc::new(Lane {
        bench,
        target,
        stop,
        next: AtomicU64::new(0),
        begun: Instant::now(),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..lane.bench.connections.max(1) {
        tasks.spawn(Arc::clone(&lane).go(Arc::clone(&prebuilt)));
    }
    let mut tally = Tally::default();
    while let Some(joined) = tasks.join_next().await {
        let joined = joined.map_err(|error| LoadError::Option(format!("a connection: {error}")));
        tally.merge(joined??);
    }
    let mut report = tally.report(lane.begun.elapsed());
    report.generator_cpu_s = cpu_before
        .zip(cpu_seconds(None))
        .map(|(before, after)| after - before);
    Ok(report)
}

struct Lane {
    bench: Bench,
    target: Target,
    stop: CancellationToken,
    next: AtomicU64,
    begun: Instant,
}

impl Lane {
    async fn go(self: Arc<Self>, prebuilt: Arc<Vec<Prebuilt>>) -> Result<Tally, LoadError> {
        let mut tally = Tally::default();
        let mut connection = self.connect().await?;
        let mut own = None;
        while let Some((request, due)) = self.take() {
            let at = usize::try_from(request).unwrap_or(0) % prebuilt.len();
            let Some(ready) = prebuilt.get(at) else { break };
            let ready = if self.bench.unique {
                let own = own.get_or_insert_with(|| ready.clone());
                let first_seq = FIRST_SEQ + request * u64::from(self.bench.batch);
                own.renumber(first_seq, &self.target, self.bench.how)?;
                &*own
            } else {
                ready
            };
            tokio::time::sleep_until(due).await;
            self.send(&mut tally, &mut connection, ready, due).await?;
        }
        Ok(tally)
    }

    async fn send(
        &self,
        tally: &mut Tally,
        connection: &mut Connection,
        ready: &Prebuilt,
        due: Instant,
    ) -> Result<(), LoadError> {
        tally.requests += 1;
        tally.offered += u64::from(ready.events);
        tally.bytes += ready.wire().len() as u64;
        let outcome = connection.exchange(ready.wire()).await;
        tally.latency.add(due.elapsed());
        let name = match outcome {
            Ok(200..300) => {
                tally.accepted += u64::from(ready.events);
                "acknowledged".to_owned()
            }
            Ok(status) => status.to_string(),
            Err(error) => {
                tally.example.get_or_insert_with(|| error.to_string());
                *connection = self.connect().await?;
                "no answer".to_owned()
            }
        };
        *tally.outcomes.entry(name).or_default() += 1;
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, LoadError> {
        let address = self.target.gateway_url.trim_start_matches("http://");
        Connection::open(address)
            .await
            .map_err(|source| LoadError::Connection {
                address: address.to_owned(),
                source,
            })
    }

    fn take(&self) -> Option<(u64, Instant)> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let limited = self.bench.requests > 0 && request >= self.bench.requests;
        if self.stop.is_cancelled() || limited {
            return None;
        }
        let due = if self.bench.rate > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^52 requests")]
            let after = request as f64 * f64::from(self.bench.batch) / self.bench.rate;
            self.begun + Duration::from_secs_f64(after)
        } else {
            Instant::now()
        };
        (due.duration_since(self.begun) < self.bench.duration).then_some((request, due))
    }
}
