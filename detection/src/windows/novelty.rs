//! Values that a group was not seen with before: of each value, when it was seen first and last
//! without a pause as long as the window. Hits may come late, within a window's length.

use super::{Firing, Hit, WindowSpec};

/// Values kept of one group, those seen last: more than there are countries, and some 7 kB. A group
/// with more values than that meets new ones all the time; one that was pushed out is new again.
pub const VALUES_MAX: usize = 256;

/// A value and when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Value {
    pub(super) hash: u64,
    /// Since then without a pause.
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    /// When it was seen last before the pause that ended with `first_ns`.
    pub(super) before_ns: Option<i64>,
}

impl Value {
    const fn new(hit: &Hit) -> Value {
        Value {
            hash: hit.value,
            first_ns: hit.at_ns,
            last_ns: hit.at_ns,
            before_ns: None,
        }
    }

    /// Whether it was seen in the window that ends at an instant, the instant included.
    fn is_known(&self, at_ns: i64, length_ns: i64) -> bool {
        let from = at_ns.saturating_sub(length_ns);
        let of_run = self.first_ns <= at_ns && self.last_ns > from;
        of_run || self.before_ns.is_some_and(|before| before > from)
    }

    /// Whether it was seen in the window before an instant.
    fn is_history(&self, at_ns: i64, length_ns: i64) -> bool {
        let from = at_ns.saturating_sub(length_ns);
        let of_run = self.first_ns < at_ns && self.last_ns > from;
        of_run || self.before_ns.is_some_and(|before| before > from)
    }

    fn see(&mut self, at_ns: i64, length_ns: i64) {
        if at_ns > self.last_ns {
            if at_ns.saturating_sub(self.last_ns) >= length_ns {
                self.before_ns = Some(self.last_ns);
                self.first_ns = at_ns;
            }
            self.last_ns = at_ns;
        } else if at_ns < self.first_ns {
            // Late, and within a window's length of the newest hit: no pause lies between.
            self.first_ns = at_ns;
            if let Some(before) = self.before_ns
                && at_ns.saturating_sub(before) < length_ns
            {
                self.first_ns = before.min(at_ns);
                self.before_ns = None;
            }
        }
    }
}

/// The values of a group, sorted by hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values(pub(super) Vec<Value>);

impl Values {
    /// Takes in hits that are in time, and reports those that are new in a group with history.
    pub(super) fn apply(
        &mut self,
        spec: &WindowSpec,
        hits: impl Iterator<Item = Hit>,
        newest_ns: i64,
    ) -> Vec<Firing> {
        let length = spec.length_ns;
        let oldest = newest_ns.saturating_sub(spec.reach_ns());
        let mut hits: Vec<Hit> = hits.collect();
        hits.sort_unstable_by_key(|hit| (hit.at_ns, hit.event));
        let mut firings = Vec::new();
        for hit in &hits {
            let place = self.0.binary_search_by_key(&hit.value, |value| value.hash);
            let known = place.ok().and_then(|at| self.0.get_mut(at));
            let is_new = known
                .as_ref()
                .is_none_or(|value| !value.is_known(hit.at_ns, length));
            match (known, place) {
                (Some(value), _) => value.see(hit.at_ns, length),
                (None, Ok(at) | Err(at)) => self.0.insert(at.min(self.0.len()), Value::new(hit)),
            }
            let has_history = || {
                let mut others = self.0.iter();
                others.any(|value| value.hash != hit.value && value.is_history(hit.at_ns, length))
            };
            if is_new && has_history() {
                Firing::of_events(&[(hit.at_ns, hit.event)], 1).add_to(&mut firings);
            }
            if self.0.len() > 2 * VALUES_MAX {
                self.forget(oldest);
            }
        }
        self.forget(oldest);
        firings
    }

    fn forget(&mut self, oldest: i64) {
        self.0.retain(|value| value.last_ns > oldest);
        let too_many = self.0.len().saturating_sub(VALUES_MAX);
        if too_many > 0 {
            self.0
                .sort_unstable_by_key(|value| (value.last_ns, value.hash));
            self.0.drain(..too_many);
            self.0.sort_unstable_by_key(|value| value.hash);
        }
    }
}
