//! How fast is hunted: so many rows a second, so that whoever searches meanwhile does not notice.

use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Keeps to a number of rows a second.
#[derive(Debug)]
pub struct Pace {
    rows_per_second: u64,
    /// When the next rows are due.
    due: Instant,
}

impl Pace {
    /// With so many rows a second, at least one.
    #[must_use]
    pub fn new(rows_per_second: u64) -> Self {
        Pace {
            rows_per_second: rows_per_second.max(1),
            due: Instant::now(),
        }
    }

    /// Waits until so many rows more may be looked at, or the worker stops.
    pub async fn after(&mut self, rows: u64, shutdown: &CancellationToken) {
        self.due = self.due.max(Instant::now()) + self.time(rows);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep_until(self.due) => {}
        }
    }

    fn time(&self, rows: u64) -> Duration {
        Duration::from_millis(rows.saturating_mul(1000) / self.rows_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rows_take_their_time_and_a_stop_does_not_wait() {
        let mut pace = Pace::new(1000);
        let (begun, stop) = (Instant::now(), CancellationToken::new());
        for _ in 0..4 {
            pace.after(500, &stop).await;
        }
        assert_eq!(begun.elapsed().as_millis(), 2000);
        stop.cancel();
        pace.after(1_000_000, &stop).await;
        assert!(begun.elapsed().as_secs() < 3);
    }
}
