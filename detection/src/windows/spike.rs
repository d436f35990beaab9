//! Hours that hold far more hits than those they are compared with: a ring of hourly counters, so
//! the state of a group is of constant size whatever it counts. Hours are those of UTC.
//!
//! The newest two hours fire, so that hits may come late across a full hour; what is older still
//! counts for what later hours are compared with. Hits of one batch are taken hour by hour, so that
//! how many hours a batch spans makes no difference.

use super::{Firing, Hit, SAMPLES_MAX, WindowSpec};
use millrace_shared::limits::NS_PER_SECOND;

/// The longest baseline: four weeks, of which a ring takes some 700 counters.
pub const SPIKE_DAYS_MAX: u32 = 28;
/// The highest factor.
pub const SPIKE_FACTOR_MAX: f64 = 1_000.0;
/// An hour, the length of what is compared.
pub(super) const HOUR_NS: i64 = 3_600 * NS_PER_SECOND;
const HOURS_PER_DAY: i64 = 24;
const DAYS_PER_WEEK: i64 = 7;
/// Hours of history before every hour may be the measure: a whole day, or the nights are missing.
const HISTORY_HOURS: i64 = HOURS_PER_DAY;
/// The newest hours, which may still fire.
pub(super) const OPEN_HOURS: i64 = 2;

/// What an hour is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The same hour of the days before.
    SameHour,
    /// Every hour of the days before.
    EveryHour,
    /// The same hour of the same day of the weeks before.
    HourOfWeek,
}

/// A spike: more than so many times the average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spike {
    /// The factor in thousandths.
    pub factor_thousandths: u32,
    /// Days that are looked back upon, at most [`SPIKE_DAYS_MAX`].
    pub days: u8,
    /// What of these days counts.
    pub baseline: Baseline,
}

impl Spike {
    pub(super) fn memory_ns(self) -> i64 {
        (i64::from(self.days) * HOURS_PER_DAY + OPEN_HOURS) * HOUR_NS
    }

    /// Counters that it takes.
    fn hours(self) -> usize {
        let hours = i64::from(self.days) * HOURS_PER_DAY + OPEN_HOURS;
        usize::try_from(hours).unwrap_or(1)
    }

    /// How far back from an hour those lie that it is compared with, and how many must be known.
    fn steps(self) -> (i64, i64, i64) {
        let days = i64::from(self.days);
        match self.baseline {
            Baseline::SameHour => (HOURS_PER_DAY, days, 1),
            Baseline::EveryHour => (1, days * HOURS_PER_DAY, HISTORY_HOURS),
            Baseline::HourOfWeek => (HOURS_PER_DAY * DAYS_PER_WEEK, days / DAYS_PER_WEEK, 1),
        }
    }
}

/// One of the newest hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) hour: i64,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) first_event: u128,
    pub(super) reported: u32,
}

/// Hourly counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hours {
    /// The hour of the newest counter.
    pub(super) head: i64,
    /// The hour of the first hit of all.
    pub(super) since: i64,
    /// Counters, the newest last; empty before the first hit.
    pub(super) counts: Vec<u32>,
    /// The newest hours, sorted.
    pub(super) open: Vec<Open>,
}

impl Hours {
    /// Takes in hits, and reports the hours that are spikes while they are among the newest.
    pub(super) fn apply(
        &mut self,
        spike: Spike,
        spec: &WindowSpec,
        hits: impl Iterator<Item = Hit>,
    ) -> Vec<Firing> {
        let mut hits: Vec<Hit> = hits.collect();
        hits.sort_unstable_by_key(|hit| (hit.at_ns, hit.event));
        let mut firings = Vec::new();
        for of_hour in hits.chunk_by(|one, next| hour_of(one) == hour_of(next)) {
            firings.extend(self.take(spike, spec, of_hour));
        }
        firings
    }

    /// Takes in hits of one hour, sorted.
    fn take(&mut self, spike: Spike, spec: &WindowSpec, hits: &[Hit]) -> Vec<Firing> {
        let mut firings = Vec::new();
        let Some(hour) = hits.first().map(hour_of) else {
            return firings;
        };
        self.move_to(hour, spike.hours());
        for hit in hits {
            self.count(hit);
        }
        let oldest = self.head - OPEN_HOURS;
        self.open.retain(|open| open.hour > oldest);
        for at in 0..self.open.len() {
            let Some(open) = self.open.get(at).copied() else {
                continue;
            };
            let count = self.at(open.hour);
            let added = count.saturating_sub(open.reported);
            if added == 0 || count < spec.threshold || !self.is_spike(spike, open.hour, count) {
                continue;
            }
            let mut firing = Firing {
                first_ns: open.first_ns,
                last_ns: open.last_ns,
                first_event: open.first_event,
                added: u64::from(added),
                peak: count,
                events: Vec::new(),
            };
            if open.reported == 0 {
                firing.events.push(open.first_event);
            }
            sample(&mut firing.events, open.hour, hits);
            if let Some(open) = self.open.get_mut(at) {
                open.reported = count;
            }
            firings.push(firing);
        }
        firings
    }

    /// Makes room for an hour, if it is newer than all.
    fn move_to(&mut self, hour: i64, hours: usize) {
        if self.counts.is_empty() {
            (self.head, self.since) = (hour, hour);
        }
        let by = usize::try_from(hour.saturating_sub(self.head)).unwrap_or(0);
        if by > hours {
            // So long ago that the state may have been deleted: it says the same as if it had been.
            self.since = hour;
        }
        let before = self.counts.len();
        if before < hours {
            // New, or the rule looks back further than it did.
            let missing = hours - before;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
        } else {
            self.counts.drain(..before - hours);
        }
        let by = by.min(hours);
        self.counts.drain(..by);
        self.counts.extend(std::iter::repeat_n(0, by));
        self.head = self.head.max(hour);
    }

    fn place(&self, hour: i64) -> Option<usize> {
        let back = usize::try_from(self.head.checked_sub(hour)?).ok()?;
        self.counts.len().checked_sub(back.checked_add(1)?)
    }

    fn at(&self, hour: i64) -> u32 {
        let count = self.place(hour).and_then(|at| self.counts.get(at));
        count.copied().unwrap_or(0)
    }

    fn count(&mut self, hit: &Hit) {
        let hour = hour_of(hit);
        let place = self.place(hour);
        let Some(count) = place.and_then(|at| self.counts.get_mut(at)) else {
            return;
        };
        *count = count.saturating_add(1);
        self.since = self.since.min(hour);
        if hour <= self.head - OPEN_HOURS {
            return;
        }
        let at = self.open.partition_point(|open| open.hour < hour);
        match self.open.get_mut(at).filter(|open| open.hour == hour) {
            Some(open) => {
                if (hit.at_ns, hit.event) < (open.first_ns, open.first_event) {
                    (open.first_ns, open.first_event) = (hit.at_ns, hit.event);
                }
                open.last_ns = open.last_ns.max(hit.at_ns);
            }
            None => self.open.insert(
                at,
                Open {
                    hour,
                    first_ns: hit.at_ns,
                    last_ns: hit.at_ns,
                    first_event: hit.event,
                    reported: 0,
                },
            ),
        }
    }

    /// Whether the hour's count is above the average so many times. Hours before the first hit say
    /// nothing, and without any others there is nothing to compare with.
    fn is_spike(&self, spike: Spike, hour: i64, count: u32) -> bool {
        let (step, most, least) = spike.steps();
        let back = (1..=most).map(|n| hour.saturating_sub(n * step));
        let known = back.take_while(|hour| *hour >= self.since);
        let (hours, sum) = known.fold((0_i64, 0_u128), |(hours, sum), hour| {
            (hours + 1, sum + u128::from(self.at(hour)))
        });
        let factor = u128::from(spike.factor_thousandths);
        hours >= least
            && u128::from(count) * u128::from(hours.unsigned_abs()) * 1_000 > factor * sum
    }
}

const fn hour_of(hit: &Hit) -> i64 {
    hit.at_ns.div_euclid(HOUR_NS)
}

fn sample(events: &mut Vec<u128>, hour: i64, hits: &[Hit]) {
    for hit in hits.iter().filter(|hit| hour_of(hit) == hour) {
        if events.len() == SAMPLES_MAX {
            return;
        }
        if !events.contains(&hit.event) {
            events.push(hit.event);
        }
    }
}
