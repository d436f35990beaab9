//! How long to wait before trying again. Knows no error and no store.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause: a store that returns is used again well within half a minute.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double up to a limit, each shortened at random by up to half, so that many who wait
/// for one store do not return to it at once.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        // A fresh RandomState is seeded by the operating system.
        let random = RandomState::new().build_hasher().finish() % 1000;
        let part = u32::try_from(random).unwrap_or(0);
        whole / 2 + whole * part / 2000
    }

    /// Whether nothing has failed since the last success.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.tries == 0
    }

    /// After a success: begins with the first pause again.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_again_after_a_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..20).map(|_| backoff.pause()).collect();
        assert!(
            pauses
                .first()
                .is_some_and(|pause| *pause <= FIRST && *pause >= FIRST / 2)
        );
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses.last().is_some_and(|pause| *pause >= LONGEST / 2));
        assert!(!backoff.is_fresh());
        backoff.reset();
        assert!(backoff.is_fresh());
        assert!(backoff.pause() <= FIRST);
    }
}
