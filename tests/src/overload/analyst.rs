//! An analyst who searches all the time, whatever the load: while the capacity is measured too, so that
//! figures differ by the load alone.

use crate::org::Org;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two searches.
const SEARCH_EVERY: Duration = Duration::from_millis(500);

/// How searches went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Searches {
    answered: u64,
    refused: u64,
}

impl Searches {
    /// Adds those of another time.
    pub(super) const fn add(&mut self, other: Searches) {
        self.answered += other.answered;
        self.refused += other.refused;
    }
}

impl fmt::Display for Searches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered, {} refused", self.answered, self.refused)
    }
}

/// Searches like an analyst until it is over, and says how that went.
pub(super) fn search(org: &Org, over: &AtomicBool) -> Searches {
    let mut searches = Searches::default();
    while !over.load(Ordering::Relaxed) {
        let answer = org.ask("/api/v1/logs/search?limit=100");
        match answer.status {
            200 => searches.answered += 1,
            _ => searches.refused += 1,
        }
        std::thread::sleep(SEARCH_EVERY);
    }
    searches
}
