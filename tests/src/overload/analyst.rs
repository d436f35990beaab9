//! An analyst who searches all the time, whatever the load: while the capacity is measured too, so that
//! figures differ by the load alone.

use crate::org::Org;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two searches.
const SEARCH_EVERY: Duration = Duration::from_millis(500);

/// Searches like an analyst until it is over, and says how that went.
pub(super) fn search(org: &Org, over: &AtomicBool) -> String {
    let (mut good, mut refused) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let answer = org.ask("/api/v1/logs/search?limit=100");
        match answer.status {
            200 => good += 1,
            _ => refused += 1,
        }
        std::thread::sleep(SEARCH_EVERY);
    }
    format!("{good} answered, {refused} refused")
}
