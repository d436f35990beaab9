//! Windows that add up: sums, shares, rates and burn rates of any number of hits in bounded memory.
//!
//! Hits of one instant are one pile, so a window is exact. When a group has more than
//! [`PILES_MAX`] of them, piles that lie closer together than a sixtieth of the window become one,
//! which counts as of its newest hit: no hit is lost, and the window reaches back a sixtieth longer
//! at most. Of burn rates the hits of one step are one pile from the start (`burn`).

use super::burn::{Burn, Burning};
use super::gauge::scaled;
use super::hits::Episode;
use super::{Firing, Hit, SAMPLES_MAX, WindowSpec};

/// Instants of one group that are told apart, which bounds its state to some 15 kB.
pub const PILES_MAX: usize = 512;
/// Piles that lie closer together than this part of the window become one.
const GRAINS: i64 = 60;
/// Thousandths of a percent in all.
const WHOLE: u64 = 100_000;

/// What a metered window adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metered {
    /// The hits' numbers, to at least so many millionths.
    Sum {
        /// The sum that it takes.
        least: i128,
    },
    /// The hits, to at least the threshold.
    Rate,
    /// The share of selected events among all, and at least the threshold of them. A hit is worth
    /// [`weighed`].
    Ratio(Share),
    /// The same, of bad events over pairs of windows.
    Burn(Burn),
}

/// What a hit of a share is worth: how many events it stands for, and whether they are more than its
/// base.
#[must_use]
pub fn weighed(events: u32, is_selected: bool) -> u64 {
    u64::from(events) << 1 | u64::from(is_selected)
}

/// What two hits of one instant are worth together, where both are of the base of a share only: no event
/// of them is told of, so they may be one.
#[must_use]
pub const fn of_base(one: u64, other: u64) -> Option<u64> {
    if one & 1 == 0 && other & 1 == 0 {
        one.checked_add(other)
    } else {
        None
    }
}

/// A share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Thousandths of a percent.
    pub thousandths: u32,
    /// Whether it must be more than that, rather than at least that.
    pub over: bool,
}

impl Share {
    fn holds(self, part: u64, all: u64) -> bool {
        let part = u128::from(part) * u128::from(WHOLE);
        let wanted = u128::from(all) * u128::from(self.thousandths);
        part > wanted || (!self.over && part == wanted)
    }
}

impl Metered {
    /// A sum of at least this number.
    #[must_use]
    pub fn sum(least: f64) -> Metered {
        Metered::Sum {
            least: scaled(least.to_bits()),
        }
    }

    /// How much longer than its window a hit may matter beside its lateness, nanoseconds.
    pub(super) fn memory_ns(self) -> i64 {
        match self {
            Metered::Sum { .. } | Metered::Rate | Metered::Ratio(_) => 0,
            Metered::Burn(burn) => burn.memory_ns(),
        }
    }

    pub(super) const fn tag(self) -> u8 {
        match self {
            Metered::Sum { .. } => SUM_TAG,
            Metered::Rate => RATE_TAG,
            Metered::Ratio(_) => RATIO_TAG,
            Metered::Burn(_) => BURN_TAG,
        }
    }
}

pub(super) const SUM_TAG: u8 = 0x20;
pub(super) const RATE_TAG: u8 = 0x21;
pub(super) const RATIO_TAG: u8 = 0x22;
pub(super) const BURN_TAG: u8 = 0x27;

/// Hits that count as of one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pile {
    pub(super) at_ns: i64,
    /// All of them, or all that they stand for.
    pub(super) hits: u64,
    /// Those that are not only the base of a share.
    pub(super) selected: u64,
    /// How many of these were reported.
    pub(super) reported: u64,
    /// Their numbers in millionths.
    pub(super) sum: i128,
    /// The first selected event, or 0.
    pub(super) event: u128,
}

impl Pile {
    fn of(metered: Metered, hit: &Hit) -> Pile {
        let (hits, selected) = match metered {
            Metered::Sum { .. } | Metered::Rate => (1, 1),
            Metered::Ratio(_) | Metered::Burn(_) => {
                let events = hit.value >> 1;
                (events, events * (hit.value & 1))
            }
        };
        let sum = match metered {
            Metered::Sum { .. } => scaled(hit.value),
            Metered::Rate | Metered::Ratio(_) | Metered::Burn(_) => 0,
        };
        Pile {
            at_ns: hit.at_ns,
            hits,
            selected,
            reported: 0,
            sum,
            event: if selected > 0 { hit.event } else { 0 },
        }
    }

    /// Takes up a pile that is not older.
    fn take(&mut self, other: &Pile) {
        if self.selected == 0 {
            self.event = other.event;
        } else if other.selected > 0 && other.at_ns == self.at_ns {
            self.event = self.event.min(other.event);
        }
        self.at_ns = other.at_ns;
        self.hits = self.hits.saturating_add(other.hits);
        self.selected = self.selected.saturating_add(other.selected);
        self.reported = self.reported.saturating_add(other.reported);
        // Of the same range on both sides of 0, as it is written.
        self.sum = self.sum.saturating_add(other.sum).max(-i128::MAX);
    }

    fn unreported(&self) -> u64 {
        self.selected.saturating_sub(self.reported)
    }
}

/// What is in a window.
#[derive(Default)]
struct Total {
    hits: u64,
    selected: u64,
    sum: i128,
}

impl Total {
    fn add(&mut self, pile: &Pile) {
        self.hits = self.hits.saturating_add(pile.hits);
        self.selected = self.selected.saturating_add(pile.selected);
        self.sum = self.sum.saturating_add(pile.sum);
    }

    fn remove(&mut self, pile: &Pile) {
        self.hits = self.hits.saturating_sub(pile.hits);
        self.selected = self.selected.saturating_sub(pile.selected);
        self.sum = self.sum.saturating_sub(pile.sum);
    }

    fn satisfies(&self, metered: Metered, threshold: u32) -> bool {
        match metered {
            Metered::Sum { least } => self.hits > 0 && self.sum >= least,
            Metered::Rate => self.hits >= u64::from(threshold),
            Metered::Ratio(share) => {
                self.selected >= u64::from(threshold.max(1))
                    && share.holds(self.selected, self.hits)
            }
            // Of several windows at once.
            Metered::Burn(_) => false,
        }
    }
}

/// Piles, sorted by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Piles(pub(super) Vec<Pile>);

impl Piles {
    /// Takes in hits that are in time, and reports the episodes that they make.
    pub(super) fn apply(
        &mut self,
        metered: Metered,
        spec: &WindowSpec,
        hits: impl Iterator<Item = Hit> + Clone,
        newest_ns: i64,
    ) -> Vec<Firing> {
        let mut new: Vec<Hit> = hits.clone().collect();
        new.sort_unstable_by_key(|hit| (hit.at_ns, hit.event));
        let before = self.0.len();
        for hit in &new {
            let pile = Pile::of(metered, hit);
            let last = self.0.get_mut(before..).and_then(<[Pile]>::last_mut);
            match last.filter(|last| last.at_ns == hit.at_ns) {
                Some(last) => last.take(&pile),
                None => self.0.push(pile),
            }
        }
        // Two runs that are sorted become one.
        self.0.sort_by_key(|pile| pile.at_ns);
        let step = match metered {
            Metered::Sum { .. } | Metered::Rate | Metered::Ratio(_) => 1,
            Metered::Burn(burn) => burn.step(),
        };
        self.join(|before, next| before.at_ns.div_euclid(step) == next.at_ns.div_euclid(step));
        let since_ns = new.first().map_or(newest_ns, |hit| hit.at_ns);
        let firings = self.report((metered, since_ns), spec, hits);
        self.level(metered, spec, newest_ns);
        let oldest = newest_ns.saturating_sub(spec.reach_ns());
        self.0.retain(|pile| pile.at_ns > oldest);
        firings
    }

    fn join(&mut self, is_one: impl Fn(&Pile, &Pile) -> bool) {
        self.0.dedup_by(|next, before| {
            let is_one = is_one(before, next);
            if is_one {
                before.take(next);
            }
            is_one
        });
    }

    /// Reports what is new in episodes that hits since then may have changed.
    fn report(
        &mut self,
        (metered, since_ns): (Metered, i64),
        spec: &WindowSpec,
        hits: impl Iterator<Item = Hit> + Clone,
    ) -> Vec<Firing> {
        let mut firings = Vec::new();
        let episodes = match metered {
            Metered::Sum { .. } | Metered::Rate | Metered::Ratio(_) => self.episodes(metered, spec),
            Metered::Burn(burn) => joined(burn.burning(&self.0, spec.threshold, since_ns)),
        };
        for episode in episodes {
            let Some(piles) = self.0.get_mut(episode.from..=episode.to) else {
                continue;
            };
            let mut selected = piles.iter().filter(|pile| pile.selected > 0);
            let Some(first) = selected.next().copied() else {
                continue;
            };
            let last_ns = selected.next_back().map_or(first.at_ns, |pile| pile.at_ns);
            let mut firing = Firing {
                first_ns: first.at_ns,
                last_ns,
                first_event: first.event,
                added: 0,
                peak: episode.peak,
                events: Vec::new(),
            };
            let mut samples = Vec::new();
            for pile in piles.iter_mut().filter(|pile| pile.unreported() > 0) {
                if pile.reported == 0 && samples.len() < SAMPLES_MAX {
                    samples.push((pile.at_ns, pile.event));
                }
                firing.added = firing.added.saturating_add(pile.unreported());
                pile.reported = pile.selected;
            }
            if firing.added > 0 {
                firing.events = sampled(metered, samples, &firing, hits.clone());
                firings.push(firing);
            }
        }
        firings
    }

    fn episodes(&self, metered: Metered, spec: &WindowSpec) -> Vec<Episode> {
        let mut episodes: Vec<Episode> = Vec::new();
        let mut window = Total::default();
        let mut from = 0;
        for (to, pile) in self.0.iter().enumerate() {
            window.add(pile);
            // The window is open at its old end.
            while let Some(old) = self.0.get(from)
                && pile.at_ns.saturating_sub(old.at_ns) >= spec.length_ns
            {
                window.remove(old);
                from += 1;
            }
            if window.satisfies(metered, spec.threshold) {
                let count = u32::try_from(window.selected).unwrap_or(u32::MAX);
                Episode::join(&mut episodes, (from, to), count);
            }
        }
        episodes
    }

    /// Makes one of piles that lie close together, where there are too many or where they are old.
    fn level(&mut self, metered: Metered, spec: &WindowSpec, newest_ns: i64) {
        if let Metered::Burn(burn) = metered {
            let now = (newest_ns, spec.lateness_ns());
            self.join(|before, next| burn.is_one((before.at_ns, next.at_ns), now));
            return;
        }
        if self.0.len() <= PILES_MAX {
            return;
        }
        let piles = i64::try_from(PILES_MAX).unwrap_or(i64::MAX);
        let grain = (spec.length_ns / GRAINS)
            .max(spec.reach_ns() / piles)
            .max(1);
        self.join(|before, next| before.at_ns.div_euclid(grain) == next.at_ns.div_euclid(grain));
    }
}

/// Windows, by their beginning, to the episodes that they make.
fn joined(burning: Vec<Burning>) -> Vec<Episode> {
    let mut episodes: Vec<Episode> = Vec::new();
    for (from, to, bad) in burning {
        let count = u32::try_from(bad).unwrap_or(u32::MAX);
        let last = episodes.last().map_or(to, |last| last.to.max(to));
        Episode::join(&mut episodes, (from, last), count);
    }
    episodes
}

/// Events of a firing: those that piles remember, and those of the hits that came just now.
fn sampled(
    metered: Metered,
    mut samples: Vec<(i64, u128)>,
    firing: &Firing,
    hits: impl Iterator<Item = Hit>,
) -> Vec<u128> {
    let within = firing.first_ns..=firing.last_ns;
    let new = hits.filter(|hit| within.contains(&hit.at_ns));
    let new = new.filter(|hit| Pile::of(metered, hit).selected > 0);
    samples.extend(new.map(|hit| (hit.at_ns, hit.event)).take(SAMPLES_MAX));
    samples.sort_unstable();
    samples.dedup();
    samples.truncate(SAMPLES_MAX);
    samples.into_iter().map(|(_, event)| event).collect()
}
