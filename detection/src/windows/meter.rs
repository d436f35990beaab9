//! Windows that add up: sums, shares and rates of any number of hits in bounded memory.
//!
//! Hits of one instant are one pile, so a window is exact. When a group has more than
//! [`PILES_MAX`] of them, piles that lie closer together than a sixtieth of the window become one,
//! which counts as of its newest hit: no hit is lost, and the window reaches back a sixtieth longer
//! at most.

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
    /// The share of hits worth 1 among all, and at least the threshold of them.
    Ratio(Share),
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

    pub(super) const fn tag(self) -> u8 {
        match self {
            Metered::Sum { .. } => SUM_TAG,
            Metered::Rate => RATE_TAG,
            Metered::Ratio(_) => RATIO_TAG,
        }
    }
}

pub(super) const SUM_TAG: u8 = 0x20;
pub(super) const RATE_TAG: u8 = 0x21;
pub(super) const RATIO_TAG: u8 = 0x22;

/// Hits that count as of one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pile {
    pub(super) at_ns: i64,
    /// All of them.
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
        let selected = match metered {
            Metered::Sum { .. } | Metered::Rate => 1,
            Metered::Ratio(_) => u64::from(hit.value == 1),
        };
        let sum = match metered {
            Metered::Sum { .. } => scaled(hit.value),
            Metered::Rate | Metered::Ratio(_) => 0,
        };
        Pile {
            at_ns: hit.at_ns,
            hits: 1,
            selected,
            reported: 0,
            sum,
            event: if selected == 1 { hit.event } else { 0 },
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
        self.join(|before, next| before.at_ns == next.at_ns);
        let firings = self.report(metered, spec, hits);
        self.level(spec);
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

    fn report(
        &mut self,
        metered: Metered,
        spec: &WindowSpec,
        hits: impl Iterator<Item = Hit> + Clone,
    ) -> Vec<Firing> {
        let mut firings = Vec::new();
        for episode in self.episodes(metered, spec) {
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

    /// Makes one of piles that lie close together, where there are too many.
    fn level(&mut self, spec: &WindowSpec) {
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
