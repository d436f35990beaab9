//! A generated run: requests at their due times, over several connections.

use crate::attack::Attack;
use crate::clock::now_ns;
use crate::error::LoadError;
use crate::generate::{Batch, Place, Recipe};
use crate::record::Record;
use crate::report::{Report, Tally};
use crate::send::{Outcome, Sender};
use millrace_shared::Signal;
use millrace_shared::limits::events_max;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Which share of the requests carries which signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    weights: Vec<(Signal, u32)>,
}

impl Mix {
    /// Nothing but one signal.
    #[must_use]
    pub fn only(signal: Signal) -> Self {
        Mix {
            weights: vec![(signal, 1)],
        }
    }

    /// Reads `logs=70,metrics=10,…`.
    ///
    /// # Errors
    /// When it is of another form, or without any weight.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let problem = || {
            LoadError::Option(format!(
                "`{text}` is no mix: write signals with weights, as logs=70,metrics=10,traces=10,rum=5,audit=5"
            ))
        };
        let part = |part: &str| {
            let (name, weight) = part.split_once('=')?;
            Some((Signal::from_name(name.trim())?, weight.trim().parse().ok()?))
        };
        let weights: Option<Vec<(Signal, u32)>> = text.split(',').map(part).collect();
        let mut weights = weights.ok_or_else(problem)?;
        weights.retain(|(_, weight)| *weight > 0);
        if weights.is_empty() {
            return Err(problem());
        }
        Ok(Mix { weights })
    }

    /// The most events that every request of the mix may carry.
    #[must_use]
    pub fn batch_max(&self) -> u32 {
        let most = self
            .weights
            .iter()
            .map(|(signal, _)| events_max(*signal))
            .min();
        u32::try_from(most.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// The signal of a request. Over as many requests as the weights add up to (once divided by
    /// what they have in common) each signal has exactly its share, and they come well mixed.
    #[must_use]
    pub fn signal(&self, seed: u64, request: u64) -> Signal {
        let common = self
            .weights
            .iter()
            .fold(0, |all, (_, weight)| divisor(all, u64::from(*weight)));
        let share = |weight: u32| u64::from(weight) / common.max(1);
        let total: u64 = self.weights.iter().map(|(_, weight)| share(*weight)).sum();
        let mut place = ((request % total) * stride(total) + seed % total) % total;
        for (signal, weight) in &self.weights {
            match place.checked_sub(share(*weight)) {
                Some(rest) => place = rest,
                None => return *signal,
            }
        }
        Signal::Logs
    }
}

/// The greatest common divisor (Euclid).
const fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// A step through `0..total` that meets every place once and keeps neighbours apart: the first
/// from the golden section on that has no divisor in common with `total`.
fn stride(total: u64) -> u64 {
    let golden = (total * 618 / 1000).max(1);
    let mut steps = golden..golden + total;
    steps.find(|step| divisor(*step, total) == 1).unwrap_or(1)
}

/// A run, as its caller wants it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the events are like.
    pub recipe: Recipe,
    /// Which signals.
    pub mix: Mix,
    /// Events in one request.
    pub batch: u32,
    /// The number of the first event.
    pub first_seq: u64,
    /// Events due a second; 0 to send the next request as soon as one is answered.
    pub rate: f64,
    /// Requests in all; `None` to go on for the duration.
    pub requests: Option<u64>,
    /// How long requests are due; `None` to go on until their number is reached.
    pub duration: Option<Duration>,
    /// Requests in flight at most.
    pub connections: usize,
    /// An attack sent before all else.
    pub attack: Option<Attack>,
    /// Whether each request gets an idempotency key and is repeated until it is taken.
    pub until_acknowledged: bool,
}

impl Plan {
    /// A plan of so many requests of logs, one after the other; the other members are public.
    #[must_use]
    pub fn new(recipe: Recipe, requests: u64) -> Self {
        Plan {
            recipe,
            mix: Mix::only(Signal::Logs),
            batch: 100,
            first_seq: crate::generate::FIRST_SEQ,
            rate: 0.0,
            requests: Some(requests),
            duration: None,
            connections: 1,
            attack: None,
            until_acknowledged: false,
        }
    }

    /// The batch of a request, its events happening at `now` (nanoseconds).
    #[must_use]
    pub fn render(&self, request: u64, now: i64) -> Batch {
        let place = Place {
            signal: self.mix.signal(self.recipe.seed, request),
            request,
            first_seq: self.first_seq + request * u64::from(self.batch),
            events: self.batch,
        };
        self.recipe.batch(place, now)
    }

    fn check(&self) -> Result<(), LoadError> {
        let most = self.mix.batch_max();
        if self.batch == 0 || self.batch > most {
            let problem = format!("a request of this mix may carry 1 to {most} events");
            return Err(LoadError::Option(problem));
        }
        if self.requests.is_none() && self.duration.is_none() {
            let problem = "a run needs a duration or a number of events";
            return Err(LoadError::Option(problem.to_owned()));
        }
        if !self.rate.is_finite() || self.rate < 0.0 || self.connections == 0 {
            let problem = "a run needs a rate of 0 or more and at least one connection";
            return Err(LoadError::Option(problem.to_owned()));
        }
        Ok(())
    }

    /// Seconds between two due times.
    fn interval(&self) -> f64 {
        if self.rate > 0.0 {
            f64::from(self.batch) / self.rate
        } else {
            0.0
        }
    }
}

/// Runs a plan to its end, or until `stop` is called; requests in flight are waited for.
///
/// # Errors
/// When the plan has no sense, or an acknowledgement cannot be recorded.
pub async fn run(
    plan: Plan,
    sender: Sender,
    record: Option<Record>,
    stop: CancellationToken,
) -> Result<Report, LoadError> {
    plan.check()?;
    let lane = Arc::new(Lane {
        plan,
        sender,
        record,
        stop,
        next: AtomicU64::new(0),
        begun: Instant::now(),
    });
    let mut tally = Tally::default();
    if let Some(attack) = lane.plan.attack {
        let batch = attack.brute_force(&lane.plan.recipe, now_ns());
        lane.send(&mut tally, &batch, Instant::now()).await?;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..lane.plan.connections {
        tasks.spawn(Arc::clone(&lane).go());
    }
    while let Some(joined) = tasks.join_next().await {
        let joined = joined.map_err(|error| LoadError::Option(format!("a connection: {error}")));
        tally.merge(joined??);
    }
    Ok(tally.report(lane.begun.elapsed()))
}

/// What the connections of one run share.
struct Lane {
    plan: Plan,
    sender: Sender,
    record: Option<Record>,
    stop: CancellationToken,
    next: AtomicU64,
    begun: Instant,
}

impl Lane {
    async fn go(self: Arc<Self>) -> Result<Tally, LoadError> {
        let mut tally = Tally::default();
        while let Some((request, due)) = self.take() {
            let batch = self.plan.render(request, now_ns());
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.stop.cancelled() => break,
            }
            self.send(&mut tally, &batch, due).await?;
        }
        Ok(tally)
    }

    /// The next request and its due time; `None` when the run is over.
    fn take(&self) -> Option<(u64, Instant)> {
        if self.stop.is_cancelled() {
            return None;
        }
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        if self.plan.requests.is_some_and(|most| request >= most) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^52 requests")]
        let after = Duration::from_secs_f64(request as f64 * self.plan.interval());
        let due = if self.plan.rate > 0.0 {
            self.begun + after
        } else {
            Instant::now()
        };
        let over = |duration| due.duration_since(self.begun) >= duration;
        (!self.plan.duration.is_some_and(over)).then_some((request, due))
    }

    async fn send(&self, tally: &mut Tally, batch: &Batch, due: Instant) -> Result<(), LoadError> {
        let id = if self.plan.until_acknowledged || self.sender.needs_id() {
            format!("load-{}-{}", self.plan.recipe.run(), batch.request)
        } else {
            String::new()
        };
        let packed = self.sender.pack(batch.signal, &batch.json, id)?;
        tally.requests += 1;
        tally.offered += u64::from(batch.events);
        tally.bytes += packed.bytes.len() as u64;
        let (outcome, attempts) = if self.plan.until_acknowledged {
            self.sender.until_acknowledged(&packed, &self.stop).await
        } else {
            (self.sender.once(&packed).await, 1)
        };
        if let (Outcome::Acknowledged(answer), Some(record)) = (&outcome, &self.record) {
            record.write(batch, answer)?;
        }
        tally.settle(&outcome, attempts, due.elapsed());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_gives_each_signal_its_share_and_repeats() {
        let mix = Mix::parse("logs=70,metrics=10,traces=10,rum=5,audit=5").unwrap();
        assert_eq!(mix.batch_max(), 500);
        let count = |wanted| (7..27).filter(|n| mix.signal(9, *n) == wanted).count();
        assert_eq!(Signal::ALL.map(count), [14, 2, 2, 1, 1]);
        let odd = Mix::parse("logs=7,audit=5").unwrap();
        assert_eq!(
            (0..12)
                .filter(|n| odd.signal(1, *n) == Signal::Audit)
                .count(),
            5
        );
        assert_eq!(mix.signal(9, 77), mix.signal(9, 77));
        for bad in ["", "logs", "logs=x", "lags=1", "logs=0"] {
            assert!(Mix::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_follow_from_the_request_alone() {
        let plan = Plan::new(Recipe::new(5, "plan").unwrap(), 10);
        assert_eq!(plan.render(3, 0).first_seq, plan.first_seq + 300);
        assert_eq!(plan.render(3, 0).json, plan.render(3, 0).json);
    }

    #[test]
    fn a_plan_without_sense_is_refused() {
        let recipe = Recipe::new(5, "plan").unwrap();
        let mut endless = Plan::new(recipe.clone(), 1);
        endless.requests = None;
        assert!(endless.check().is_err());
        let mut large = Plan::new(recipe, 1);
        large.batch = 1_001;
        assert!(large.check().is_err());
    }
}
