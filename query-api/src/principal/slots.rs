//! How many requests of one organisation run at a time. One organisation's rush costs it a 429, and
//! the others nothing.

use crate::error::Problem;
use crate::metrics;
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The slots of all organisations.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    taken: Mutex<HashMap<OrgId, usize>>,
}

/// A slot, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    org: OrgId,
}

impl Slots {
    /// With so many for each organisation.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Slots {
            most,
            taken: Mutex::default(),
        })
    }

    /// Takes a slot of the organisation.
    ///
    /// # Errors
    /// 429 when all are taken.
    pub fn take(self: &Arc<Self>, org: OrgId) -> Result<Slot, Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(org).or_insert(0);
        if *count >= self.most {
            metrics::CONCURRENCY_REFUSALS.add(&[], 1);
            let detail = format!("{} queries of the organisation already run", self.most);
            return Err(Problem::new(Refusal::QuotaExceeded, detail));
        }
        *count += 1;
        drop(taken);
        Ok(Slot {
            slots: Arc::clone(self),
            org,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self
            .slots
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.org) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.org);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_organisation_cannot_take_anothers_slots() {
        let slots = Slots::new(1);
        let (ours, theirs) = (OrgId::from_u128(1), OrgId::from_u128(2));
        let held = slots.take(ours).unwrap();
        assert_eq!(
            slots.take(ours).unwrap_err().refusal(),
            Refusal::QuotaExceeded
        );
        slots.take(theirs).unwrap();
        drop(held);
        slots.take(ours).unwrap();
        assert!(slots.taken.lock().unwrap().is_empty());
    }
}
