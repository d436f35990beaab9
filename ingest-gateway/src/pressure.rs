//! When to say "not now": going down, Redis over its budget, too many bytes in flight.
//! Never drops anything that was accepted.

use crate::error::Problem;
use crate::metrics::{IN_FLIGHT, REDIS_MEMORY, REDIS_MEMORY_MAX};
use millrace_runtime::redis::ConnectionManager;
use millrace_runtime::shutdown::CancellationToken;
use millrace_shared::outcome::Refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How often Redis is asked for its memory: at 1 GiB/s of input it grows by a tenth of the default
/// budget between two answers.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The state that all threads share.
pub(crate) struct Pressure {
    in_flight: AtomicUsize,
    in_flight_max: usize,
    redis_memory: AtomicU64,
    redis_memory_max: u64,
    going_down: AtomicBool,
}

impl Pressure {
    pub(crate) fn new(in_flight_max: usize, redis_memory_max: u64) -> Arc<Self> {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        REDIS_MEMORY_MAX.set(&[], redis_memory_max as f64);
        Arc::new(Pressure {
            in_flight: AtomicUsize::new(0),
            in_flight_max,
            redis_memory: AtomicU64::new(0),
            redis_memory_max,
            going_down: AtomicBool::new(false),
        })
    }

    /// Whether a request may begin.
    ///
    /// # Errors
    /// 503 with the reason.
    pub(crate) fn admit(&self) -> Result<(), Problem> {
        if self.going_down.load(Ordering::Relaxed) {
            let detail = "this gateway is shutting down: send to another";
            return Err(Problem::new(Refusal::ShuttingDown, detail));
        }
        if self.redis_memory.load(Ordering::Relaxed) > self.redis_memory_max {
            let detail = "the streams are over their memory budget";
            return Err(Problem::new(Refusal::Overloaded, detail));
        }
        Ok(())
    }

    /// From now on every new request is refused.
    pub(crate) fn go_down(&self) {
        self.going_down.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_going_down(&self) -> bool {
        self.going_down.load(Ordering::Relaxed)
    }

    /// Room for a body that grows as it arrives.
    pub(crate) fn room(self: &Arc<Self>) -> Room {
        Room {
            pressure: Arc::clone(self),
            bytes: 0,
        }
    }

    /// Asks Redis for its memory until shutdown.
    pub(crate) async fn watch(
        self: Arc<Self>,
        mut redis: ConnectionManager,
        shutdown: CancellationToken,
    ) {
        let mut tick = tokio::time::interval(ASK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            // Without an answer the last one stands: appends will fail by themselves.
            let info: Result<String, _> = redis::cmd("INFO")
                .arg("memory")
                .query_async(&mut redis)
                .await;
            if let Some(bytes) = info.ok().as_deref().and_then(used_memory) {
                self.redis_memory.store(bytes, Ordering::Relaxed);
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                REDIS_MEMORY.set(&[], bytes as f64);
            }
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            IN_FLIGHT.set(&[], self.in_flight.load(Ordering::Relaxed) as f64);
        }
    }
}

fn used_memory(info: &str) -> Option<u64> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))?;
    line.trim().parse().ok()
}

/// Bytes held by one request; given back when dropped.
pub(crate) struct Room {
    pressure: Arc<Pressure>,
    bytes: usize,
}

impl Room {
    /// Takes room for `bytes` more.
    ///
    /// # Errors
    /// 503 when all requests together hold too much.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes += bytes;
        let held = self.pressure.in_flight.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > self.pressure.in_flight_max {
            let detail = "too many bytes of requests are in flight";
            return Err(Problem::new(Refusal::Overloaded, detail));
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pressure
            .in_flight
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_given_back() {
        let pressure = Pressure::new(100, 1);
        let mut first = pressure.room();
        assert!(first.grow(60).is_ok());
        let mut second = pressure.room();
        assert!(second.grow(60).is_err());
        drop(second);
        assert!(first.grow(40).is_ok());
        drop(first);
        assert_eq!(pressure.in_flight.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn requests_are_refused_over_the_budget_and_on_the_way_down() {
        let pressure = Pressure::new(1, 1_000);
        assert!(pressure.admit().is_ok());
        let memory = used_memory("# Memory\r\nused_memory:1001\r\nused_memory_human:1K\r\n");
        pressure
            .redis_memory
            .store(memory.unwrap(), Ordering::Relaxed);
        assert_eq!(pressure.admit().unwrap_err().refusal, Refusal::Overloaded);
        pressure.go_down();
        assert_eq!(pressure.admit().unwrap_err().refusal, Refusal::ShuttingDown);
    }
}
