//! How late a thread is: a task that wants to run every few milliseconds sees how long it really
//! takes until the thread comes round to it. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two beats.
const BEAT: Duration = Duration::from_millis(20);

/// The pulse of one thread.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    /// When the last beat was, nanoseconds since `start`.
    last: AtomicU64,
    /// How late it was, nanoseconds.
    late: AtomicU64,
}

impl Pulse {
    /// Of this thread, beating until it is dropped. Must be called on the thread's own executor.
    pub(crate) fn start() -> Arc<Self> {
        let pulse = Arc::new(Pulse::new());
        let beating = Arc::downgrade(&pulse);
        actix_web::rt::spawn(async move {
            loop {
                tokio::time::sleep(BEAT).await;
                let Some(pulse) = beating.upgrade() else {
                    return;
                };
                pulse.beat();
            }
        });
        pulse
    }

    fn new() -> Self {
        Pulse {
            start: Instant::now(),
            last: AtomicU64::new(0),
            late: AtomicU64::new(0),
        }
    }

    fn beat(&self) {
        let now = nanos(self.start.elapsed());
        let since = now.saturating_sub(self.last.swap(now, Ordering::Relaxed));
        let late = since.saturating_sub(nanos(BEAT));
        self.late.store(late, Ordering::Relaxed);
    }

    /// How long a task waits for its turn on this thread: as the last one did, or as the next one
    /// does already.
    pub(crate) fn late(&self) -> Duration {
        let now = nanos(self.start.elapsed());
        let since = now.saturating_sub(self.last.load(Ordering::Relaxed));
        let due = since.saturating_sub(nanos(BEAT));
        Duration::from_nanos(due.max(self.late.load(Ordering::Relaxed)))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_thread_that_is_busy_is_late() {
        let pulse = Pulse::start();
        while pulse.last.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(BEAT).await;
        }
        std::thread::sleep(BEAT * 10);
        assert!(pulse.late() >= BEAT * 8, "{:?}", pulse.late());
        let beaten = pulse.last.load(Ordering::Relaxed);
        // Seen before another beat, which would be in time.
        while pulse.last.load(Ordering::Relaxed) == beaten {
            tokio::task::yield_now().await;
        }
        assert!(pulse.late() >= BEAT * 8, "it remembers: {:?}", pulse.late());
    }
}
