//! How many back-tests run at once: one of an organisation, a few of a process. More are refused, and
//! nobody waits.

use super::AT_ONCE;
use crate::error::Problem;
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Who has a place.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<HashSet<OrgId>>);

/// A place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    org: OrgId,
}

impl Places {
    /// Takes a place for an organisation.
    ///
    /// # Errors
    /// 429 when it has one, or all are taken.
    pub(crate) fn take(self: &Arc<Self>, org: OrgId) -> Result<Place, Problem> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let detail = if taken.contains(&org) {
            "a back-test of the organisation is under way"
        } else if taken.len() >= AT_ONCE {
            "as many back-tests are under way as may be at once"
        } else {
            taken.insert(org);
            let places = Arc::clone(self);
            return Ok(Place { places, org });
        };
        let detail = format!("{detail}; try again when it is done");
        Err(Problem::new(Refusal::QuotaExceeded, detail))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.org);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_an_organisation_and_a_few_in_all() {
        let places = Arc::new(Places::default());
        let org = OrgId::from_u128;
        let held: Vec<Place> = (0..AT_ONCE as u128)
            .map(|n| places.take(org(n)).unwrap())
            .collect();
        let refused = |n| places.take(org(n)).unwrap_err().refusal();
        assert_eq!(refused(0), Refusal::QuotaExceeded);
        assert_eq!(refused(99), Refusal::QuotaExceeded);
        drop(held);
        drop(places.take(org(99)).unwrap());
        assert!(places.0.lock().unwrap().is_empty());
    }
}
