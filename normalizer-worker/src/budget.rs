//! The memory that all batches of a worker may take together. A shard with a batch in hand never
//! waits for more: it goes on with what it has, so shards cannot block each other.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one permit: budgets of terabytes still fit a semaphore.
const UNIT: usize = 1024;

/// Bytes to be shared.
#[derive(Clone, Debug)]
pub struct Budget {
    permits: Arc<Semaphore>,
    whole: u32,
}

/// A part of the budget in use; given back when dropped.
#[derive(Debug)]
pub struct Held {
    permit: OwnedSemaphorePermit,
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Budget {
    /// Of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let whole = units(bytes).max(1);
        Budget {
            permits: Arc::new(Semaphore::new(whole as usize)),
            whole,
        }
    }

    /// Waits for a part; one larger than the whole gets the whole.
    pub async fn hold(&self, bytes: usize) -> Option<Held> {
        let wanted = units(bytes).min(self.whole);
        let permit = Arc::clone(&self.permits)
            .acquire_many_owned(wanted)
            .await
            .ok()?;
        Some(Held { permit })
    }

    /// A part if it is free now.
    #[must_use]
    pub fn try_hold(&self, bytes: usize) -> Option<Held> {
        let permit = Arc::clone(&self.permits)
            .try_acquire_many_owned(units(bytes))
            .ok()?;
        Some(Held { permit })
    }

    /// Bytes that are not in use.
    #[must_use]
    pub fn free(&self) -> usize {
        self.permits.available_permits() * UNIT
    }
}

impl Held {
    /// Adds another part to this one.
    pub fn add(&mut self, other: Held) {
        self.permit.merge(other.permit);
    }

    /// Takes a part of this one away, at most all of it.
    pub fn part(&mut self, bytes: usize) -> Option<Held> {
        let wanted = (units(bytes) as usize).min(self.permit.num_permits());
        self.permit.split(wanted).map(|permit| Held { permit })
    }

    /// Bytes in this part.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.permit.num_permits() * UNIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_come_back_and_the_whole_is_never_exceeded() {
        let budget = Budget::new(10 * UNIT);
        let mut held = budget.hold(6 * UNIT).await.unwrap();
        assert!(budget.try_hold(5 * UNIT).is_none());
        held.add(budget.try_hold(4 * UNIT).unwrap());
        assert_eq!((budget.free(), held.bytes()), (0, 10 * UNIT));
        let part = held.part(3 * UNIT).unwrap();
        drop(held);
        assert_eq!(budget.free(), 7 * UNIT);
        drop(part);
        assert_eq!(budget.hold(100 * UNIT).await.unwrap().bytes(), 10 * UNIT);
    }

    #[tokio::test]
    async fn who_waits_for_much_is_not_overtaken_by_those_who_want_little() {
        let budget = Budget::new(10 * UNIT);
        let held = budget.hold(6 * UNIT).await.unwrap();
        let much = budget.hold(8 * UNIT);
        tokio::pin!(much);
        let mut now = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(much.as_mut().poll(&mut now).is_pending());
        assert!(
            budget.try_hold(UNIT).is_none(),
            "what is free is the waiting one's"
        );
        drop(held);
        assert_eq!(much.await.unwrap().bytes(), 8 * UNIT);
    }
}
