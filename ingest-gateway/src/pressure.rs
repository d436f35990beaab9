//! When to say "not now" to everybody alike: going down, Redis over its budget, too many requests or
//! bytes in flight. Never drops anything that was accepted.

use crate::error::Problem;
use crate::metrics::{IN_FLIGHT, IN_FLIGHT_REQUESTS, REDIS_MEMORY, REDIS_MEMORY_MAX, SHED};
use millrace_shared::outcome::Refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Requests in flight are many only for a moment: senders come back when those are answered.
const RETRY_AFTER_IN_FLIGHT_S: u64 = 1;

/// A thread that is later than this has more to do than it can: whoever comes waits in vain.
pub(crate) const LATE_MAX: Duration = Duration::from_millis(500);
/// Requests that are open before a late thread refuses more: with fewer, it is late because the
/// machine is busy with other things, and refusing would not help it.
const OPEN_MIN: usize = 32;

/// What may be in use at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of request bodies.
    pub(crate) in_flight_bytes: usize,
    /// Requests.
    pub(crate) in_flight_requests: usize,
    /// Redis memory.
    pub(crate) redis_memory: u64,
}

/// The state that all threads share.
pub(crate) struct Pressure {
    in_flight: AtomicUsize,
    in_flight_max: usize,
    /// Requests from their headers to their answers.
    open: AtomicUsize,
    /// Those of them that are here whole.
    requests: AtomicUsize,
    requests_max: usize,
    redis_memory: AtomicU64,
    redis_memory_max: u64,
    going_down: AtomicBool,
}

impl Pressure {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        REDIS_MEMORY_MAX.set(&[], limits.redis_memory as f64);
        Arc::new(Pressure {
            in_flight: AtomicUsize::new(0),
            in_flight_max: limits.in_flight_bytes,
            open: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            requests_max: limits.in_flight_requests,
            redis_memory: AtomicU64::new(0),
            redis_memory_max: limits.redis_memory,
            going_down: AtomicBool::new(false),
        })
    }

    /// Whether a request may begin.
    ///
    /// # Errors
    /// 503 with the reason.
    pub(crate) fn admit(&self) -> Result<(), Problem> {
        if self.going_down.load(Ordering::Relaxed) {
            SHED.add(&["down"], 1);
            let detail = "this gateway is shutting down: send to another";
            return Err(Problem::new(Refusal::ShuttingDown, detail));
        }
        if self.redis_memory.load(Ordering::Relaxed) > self.redis_memory_max {
            SHED.add(&["memory"], 1);
            let detail = "the streams are over their memory budget";
            return Err(Problem::new(Refusal::Overloaded, detail));
        }
        Ok(())
    }

    /// Opens a request, unless there is no place to work on it, or the thread, that much late, has
    /// too much to do.
    ///
    /// # Errors
    /// 503 with the reason.
    pub(crate) fn open(self: &Arc<Self>, late: Duration) -> Result<Open, Problem> {
        self.admit()?;
        if self.requests.load(Ordering::Relaxed) >= self.requests_max {
            return Err(crowded());
        }
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            pressure: Arc::clone(self),
        };
        if late <= LATE_MAX || before < OPEN_MIN {
            return Ok(open);
        }
        Err(too_late())
    }

    /// Begins to work on a request that is here whole, unless as many are worked on as may be. One
    /// that is still arriving takes no place: slow senders must not keep the others out.
    ///
    /// # Errors
    /// 503 with the reason.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<InWork, Problem> {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        let in_work = InWork {
            pressure: Arc::clone(self),
        };
        match before < self.requests_max {
            true => Ok(in_work),
            false => Err(crowded()),
        }
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

    /// Remembers how much memory Redis uses.
    pub(crate) fn note_memory(&self, bytes: u64) {
        self.redis_memory.store(bytes, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        REDIS_MEMORY.set(&[], bytes as f64);
    }

    /// Bytes of the budget that are free.
    pub(crate) fn free_memory(&self) -> u64 {
        let used = self.redis_memory.load(Ordering::Relaxed);
        self.redis_memory_max.saturating_sub(used)
    }

    /// Shows what is in flight.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub(crate) fn show(&self) {
        IN_FLIGHT.set(&[], self.in_flight.load(Ordering::Relaxed) as f64);
        IN_FLIGHT_REQUESTS.set(&[], self.requests.load(Ordering::Relaxed) as f64);
    }
}

fn too_late() -> Problem {
    SHED.add(&["late"], 1);
    let detail = "more comes than this gateway can look at";
    Problem::new(Refusal::Overloaded, detail).retry_after(RETRY_AFTER_IN_FLIGHT_S)
}

/// A body that did not arrive in time on a thread that is that much late: it may have been here and
/// not been looked at, so the sender is not to blame.
pub(crate) fn excuse(problem: Problem, late: Duration) -> Problem {
    match problem.refusal == Refusal::TooSlow && late > LATE_MAX {
        true => too_late(),
        false => problem,
    }
}

fn crowded() -> Problem {
    SHED.add(&["requests"], 1);
    let detail = "too many requests are in flight";
    Problem::new(Refusal::Overloaded, detail).retry_after(RETRY_AFTER_IN_FLIGHT_S)
}

/// A request that is open; no more than that when dropped.
pub(crate) struct Open {
    pressure: Arc<Pressure>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.pressure.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that is worked on; no more than that when dropped.
pub(crate) struct InWork {
    pressure: Arc<Pressure>,
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.pressure.requests.fetch_sub(1, Ordering::Relaxed);
    }
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
            SHED.add(&["bytes"], 1);
            let detail = "too many bytes of requests are in flight";
            let problem = Problem::new(Refusal::Overloaded, detail);
            return Err(problem.retry_after(RETRY_AFTER_IN_FLIGHT_S));
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

    fn pressure(in_flight_bytes: usize, in_flight_requests: usize) -> Arc<Pressure> {
        Pressure::new(&Limits {
            in_flight_bytes,
            in_flight_requests,
            redis_memory: 1_000,
        })
    }

    #[test]
    fn a_slow_body_is_the_senders_fault_unless_the_thread_is_late() {
        let slow = || Problem::new(Refusal::TooSlow, "slow");
        let refusal = |problem, late| excuse(problem, late).refusal;
        assert_eq!(refusal(slow(), LATE_MAX), Refusal::TooSlow);
        assert_eq!(refusal(slow(), LATE_MAX * 2), Refusal::Overloaded);
        let large = Problem::new(Refusal::TooLarge, "large");
        assert_eq!(refusal(large, LATE_MAX * 2), Refusal::TooLarge);
    }

    #[test]
    fn requests_at_once_are_bounded_and_their_places_given_back() {
        let pressure = pressure(1, 2);
        let first = pressure.begin().ok().unwrap();
        let _second = pressure.begin().ok().unwrap();
        let refused = pressure.begin().err().unwrap();
        assert_eq!(refused.refusal, Refusal::Overloaded);
        assert!(pressure.open(Duration::ZERO).is_err() && pressure.admit().is_ok());
        drop(first);
        assert!(pressure.open(Duration::ZERO).is_ok());
        assert!(pressure.begin().is_ok());
        assert_eq!(pressure.requests.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_thread_that_is_late_takes_no_more_when_it_has_much_to_do() {
        let pressure = pressure(1, 100);
        let late = LATE_MAX * 2;
        let open: Vec<_> = (0..OPEN_MIN)
            .map(|_| pressure.open(late).ok().unwrap())
            .collect();
        assert_eq!(
            pressure.open(late).err().unwrap().refusal,
            Refusal::Overloaded
        );
        assert!(pressure.open(LATE_MAX).is_ok());
        drop(open);
        assert!(pressure.open(late).is_ok());
        assert_eq!(pressure.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn room_is_bounded_and_given_back() {
        let pressure = pressure(100, 1);
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
        let pressure = pressure(1, 1);
        assert!(pressure.admit().is_ok());
        pressure.note_memory(1_001);
        assert_eq!(pressure.free_memory(), 0);
        assert_eq!(pressure.admit().unwrap_err().refusal, Refusal::Overloaded);
        pressure.go_down();
        assert_eq!(pressure.admit().unwrap_err().refusal, Refusal::ShuttingDown);
    }
}
