//! Sliding windows over event time, as pure transitions: old state and new hits in, new state and
//! firings out. It reads no clock and stores nothing; the caller keeps the state of each group and
//! applies each batch once, in the transaction that commits it.
//!
//! A window ends at every hit and reaches back its length: `(t − length, t]`. It is satisfied when
//! it holds enough hits (or enough different values). Overlapping satisfied windows make an
//! *episode*. Each hit of an episode is reported once, so the `added` of all firings add up to the
//! number of hits that took part in any episode, in whatever order and in whatever batches they
//! came, as long as none is later than [`WindowSpec::lateness_ns`] behind the newest.
//!
//! # Bounded, and still exact
//!
//! Time is cut into cells of one window's length. A window touches at most two cells: the end of
//! one and the beginning of the next. So of each cell only the oldest and the newest `threshold`
//! hits can decide whether a window is satisfied; those between them were reported when they came
//! (their own window holds the older ones) and need not be kept. For distinct windows the first and
//! the last hit of each value decide; beside them those that wait to be reported are kept, and
//! folded into counts of a thirty-second of a window where a group has more than
//! [`DISTINCT_KEPT_MAX`] of them.
//!
//! What is measured rather than counted (averages, percentiles, orders, counts below a bound) has no
//! such hits that can be spared. Of these [`MEASURED_KEPT_MAX`] hits of a group are kept, the newest
//! ones, and windows are exact as long as they hold no more.
//!
//! What adds up (`meter`, `burn`) and what is compared with the past (`novelty`, `silence`, `spike`,
//! `travel`) keeps no hits but what they come to; each of these modules says what it bounds.

mod hits;
mod gauge;
mod burn;
mod meter;
mod novelty;
mod silence;
mod spike;
mod travel;
mod codec;

pub use burn::{BURN_LONG_MAX, BURN_SECONDS_MAX, BURN_SECONDS_MIN, BURNS_MAX, Burn, BurnRate};
pub use codec::MalformedState;
pub use gauge::{
    BOUNDS_MAX, Bound, Bounds, CHAIN_MAX, Chain, Measure, Need, SEQUENCE_HITS_MAX, STEPS_MAX,
    Sequence,
};
pub use meter::{Metered, PILES_MAX, Share, of_base, weighed};
pub use novelty::VALUES_MAX;
pub use silence::GAPS_MAX;
pub use spike::{Baseline, SPIKE_DAYS_MAX, SPIKE_FACTOR_MAX, Spike};
pub use travel::{FARTHEST_KM, PLACES_MAX, SPEED_KMH_MIN, Travel, distance_km, place};

use hits::Hits;
use meter::Piles;
use novelty::Values;
use silence::Gaps;
use spike::Hours;
use travel::Places;

/// The highest threshold. With [`HITS_KEPT_MAX`] it leaves a window's length of lateness.
pub const THRESHOLD_MAX: u32 = 10_000;
/// The longest window, but for burn rates: a day, beyond which a query over history is the better tool.
pub const WINDOW_SECONDS_MAX: u32 = 24 * 3600;
/// Hits kept of one group, which bounds its state to about 1.6 MB at the highest threshold and to
/// a few hundred bytes at the usual ones.
pub const HITS_KEPT_MAX: i64 = 65_536;
/// Hits kept of one group whose window measures.
pub const MEASURED_KEPT_MAX: usize = 16_384;
/// Hits kept of one group that counts values before those that wait are folded: some 120 kB.
pub const DISTINCT_KEPT_MAX: usize = 4_096;
/// Lateness that is allowed for: shards drain at their own pace after an outage.
const LATENESS_NS_MIN: i64 = 10 * 60 * NS;
const LATENESS_NS_MAX: i64 = 3600 * NS;
const NS: i64 = 1_000_000_000;
/// Event ids given with a firing.
pub const SAMPLES_MAX: usize = 20;
/// Firings of one batch that follow upon each other sooner are one: a storm is one line of a report.
const FOLLOWS_NS: i64 = 60 * NS;

const _: () = assert!(2 * (THRESHOLD_MAX as i64) * 3 <= HITS_KEPT_MAX);

/// What a window counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// Hits.
    Count,
    /// Different values among the hits.
    Distinct,
    /// Something of the hits that must be within bounds.
    Measure(Measure, Bounds),
    /// What hits add up to.
    Meter(Metered),
    /// Values that were not there before.
    NewValue,
    /// No hits where there were some.
    Silence,
    /// More hits in an hour than in others.
    Spike(Spike),
    /// Places too far apart.
    Travel(Travel),
}

impl WindowKind {
    /// The number under which a state says what it holds.
    const fn tag(self) -> u8 {
        match self {
            WindowKind::Count => COUNT_TAG,
            WindowKind::Distinct => DISTINCT_TAG,
            WindowKind::Measure(measure, _) => measure.tag(),
            WindowKind::Meter(metered) => metered.tag(),
            WindowKind::NewValue => NEW_VALUE_TAG,
            WindowKind::Silence => SILENCE_TAG,
            WindowKind::Spike(_) => SPIKE_TAG,
            WindowKind::Travel(_) => TRAVEL_TAG,
        }
    }
}

const COUNT_TAG: u8 = 0;
const DISTINCT_TAG: u8 = 1;
const NEW_VALUE_TAG: u8 = 0x23;
const SILENCE_TAG: u8 = 0x24;
const SPIKE_TAG: u8 = 0x25;
const TRAVEL_TAG: u8 = 0x26;

/// A window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    /// What it counts.
    pub kind: WindowKind,
    /// Its length, nanoseconds.
    pub length_ns: i64,
    /// Satisfied from this count on.
    pub threshold: u32,
}

impl WindowSpec {
    /// How far behind the newest hit a hit may come and still count.
    #[must_use]
    pub fn lateness_ns(&self) -> i64 {
        let length = self.length_ns.max(1);
        let usual = length.clamp(LATENESS_NS_MIN, LATENESS_NS_MAX);
        match self.kind {
            WindowKind::Count | WindowKind::Distinct | WindowKind::Measure(..) => {
                let cells = HITS_KEPT_MAX / (2 * i64::from(self.threshold.clamp(1, THRESHOLD_MAX)));
                // So many cells may be kept; a window's length of them is for the window itself, and
                // one cell is only partly covered at either end.
                let room = length.saturating_mul((cells - 2).max(0));
                usual.min(room)
            }
            WindowKind::Meter(_) => usual,
            WindowKind::NewValue => length - 1,
            // What is late fills a pause, however long ago.
            WindowKind::Silence => i64::MAX,
            WindowKind::Spike(spike) => spike.memory_ns(),
            WindowKind::Travel(_) => LATENESS_NS_MAX,
        }
    }

    /// For how long a hit may matter, nanoseconds.
    #[must_use]
    pub fn reach_ns(&self) -> i64 {
        let beyond = match self.kind {
            WindowKind::Count | WindowKind::Distinct => self.lateness_ns(),
            WindowKind::Meter(metered) => self.lateness_ns().saturating_add(metered.memory_ns()),
            WindowKind::Measure(measure, _) => {
                self.lateness_ns().saturating_add(measure.memory_ns())
            }
            WindowKind::NewValue | WindowKind::Travel(_) => self.lateness_ns(),
            WindowKind::Silence => LATENESS_NS_MAX,
            WindowKind::Spike(spike) => spike.memory_ns(),
        };
        self.length_ns.saturating_add(beyond)
    }
}

/// One event that a windowed rule selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// When, nanoseconds ([`crate::RuleMatch::at_ns`]).
    pub at_ns: i64,
    /// What the window makes use of ([`crate::RuleMatch::distinct`]); else 0.
    pub value: u64,
    /// The event's id: the same event counts once.
    pub event: u128,
}

/// An episode that has new hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// First hit of the episode, as far as it is still known.
    pub first_ns: i64,
    /// Last hit of the episode.
    pub last_ns: i64,
    /// The event of the first hit.
    pub first_event: u128,
    /// Hits not reported before: what to add to the count of an alert.
    pub added: u64,
    /// The highest count (or number of values) of one window, kept hits only.
    pub peak: u32,
    /// Events among those added, the oldest first, at most [`SAMPLES_MAX`].
    pub events: Vec<u128>,
}

impl Firing {
    /// Of these events, sorted by time.
    fn of_events(events: &[(i64, u128)], peak: u32) -> Firing {
        let (first_ns, first_event) = events.first().copied().unwrap_or_default();
        Firing {
            first_ns,
            last_ns: events.last().map_or(first_ns, |(at_ns, _)| *at_ns),
            first_event,
            added: events.len() as u64,
            peak,
            events: events.iter().map(|(_, event)| *event).collect(),
        }
    }

    /// Adds it to those before it, to the last of them where it follows at once.
    fn add_to(self, firings: &mut Vec<Firing>) {
        if self.added == 0 {
            return;
        }
        let last = firings.last_mut();
        let last = last.filter(|last| self.first_ns.saturating_sub(last.last_ns) < FOLLOWS_NS);
        let Some(last) = last else {
            firings.push(self);
            return;
        };
        last.last_ns = last.last_ns.max(self.last_ns);
        last.added = last.added.saturating_add(self.added);
        last.peak = last.peak.max(self.peak);
        let room = SAMPLES_MAX.saturating_sub(last.events.len());
        last.events.extend(self.events.into_iter().take(room));
    }
}

/// The state of one group of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowState {
    memory: Memory,
    newest_ns: Option<i64>,
    /// What the rule's window is of: [`WindowKind::tag`].
    tag: u8,
}

/// What is kept of the hits of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Memory {
    Hits(Hits),
    Piles(Piles),
    Values(Values),
    Gaps(Gaps),
    Hours(Hours),
    Places(Places),
}

impl Default for Memory {
    fn default() -> Self {
        Memory::Hits(Hits::default())
    }
}

impl Memory {
    fn of(kind: WindowKind) -> Memory {
        match kind {
            WindowKind::Count | WindowKind::Distinct | WindowKind::Measure(..) => Memory::default(),
            WindowKind::Meter(_) => Memory::Piles(Piles::default()),
            WindowKind::NewValue => Memory::Values(Values::default()),
            WindowKind::Silence => Memory::Gaps(Gaps::default()),
            WindowKind::Spike(_) => Memory::Hours(Hours::default()),
            WindowKind::Travel(_) => Memory::Places(Places::default()),
        }
    }
}

impl WindowState {
    /// Of a group that was never hit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the hits of a batch, in any order, and tells which episodes they belong to. Of a
    /// silence only [`WindowState::tick`] tells.
    pub fn apply(&mut self, spec: &WindowSpec, hits: &[Hit]) -> Vec<Firing> {
        let tag = spec.kind.tag();
        if self.tag != tag {
            // The rule was changed: what was kept means something else.
            *self = WindowState {
                memory: Memory::of(spec.kind),
                newest_ns: None,
                tag,
            };
        }
        let oldest = self
            .newest_ns
            .map(|newest| newest.saturating_sub(spec.lateness_ns()));
        self.newest_ns = self.newest_ns.max(hits.iter().map(|hit| hit.at_ns).max());
        let Some(newest) = self.newest_ns else {
            return Vec::new();
        };
        let hits = hits.iter().copied();
        let hits = hits.filter(|hit| oldest.is_none_or(|oldest| hit.at_ns >= oldest));
        match (&mut self.memory, spec.kind) {
            (Memory::Hits(kept), _) => kept.apply(spec, hits, newest),
            (Memory::Piles(piles), WindowKind::Meter(metered)) => {
                piles.apply(metered, spec, hits, newest)
            }
            (Memory::Values(values), _) => values.apply(spec, hits, newest),
            (Memory::Gaps(gaps), _) => {
                gaps.apply(spec, hits);
                Vec::new()
            }
            (Memory::Hours(hours), WindowKind::Spike(spike)) => hours.apply(spike, spec, hits),
            (Memory::Places(places), WindowKind::Travel(travel)) => {
                places.apply(travel, spec, hits, newest)
            }
            // The tag says which memory belongs to which kind.
            (Memory::Piles(_) | Memory::Hours(_) | Memory::Places(_), _) => Vec::new(),
        }
    }

    /// Tells what has stayed silent until this instant, up to which every hit has been taken in.
    /// Windows of other kinds have nothing to say without a hit.
    pub fn tick(&mut self, spec: &WindowSpec, now_ns: i64) -> Vec<Firing> {
        match (&mut self.memory, spec.kind) {
            (Memory::Gaps(gaps), WindowKind::Silence) => gaps.tick(spec, now_ns),
            (
                Memory::Hits(_)
                | Memory::Piles(_)
                | Memory::Values(_)
                | Memory::Gaps(_)
                | Memory::Hours(_)
                | Memory::Places(_),
                _,
            ) => Vec::new(),
        }
    }

    /// When [`WindowState::tick`] may have something to tell, unless hits come before.
    #[must_use]
    pub fn due_at_ns(&self, spec: &WindowSpec) -> Option<i64> {
        match &self.memory {
            Memory::Gaps(gaps) => gaps.due_at_ns(spec),
            Memory::Hits(_)
            | Memory::Piles(_)
            | Memory::Values(_)
            | Memory::Hours(_)
            | Memory::Places(_) => None,
        }
    }

    /// When the state says nothing about the future any more and may be deleted.
    #[must_use]
    pub fn expires_at_ns(&self, spec: &WindowSpec) -> i64 {
        let newest = self.newest_ns.unwrap_or(i64::MIN);
        newest.saturating_add(spec.reach_ns())
    }

    /// How many hits (or what is kept in their place) are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.memory {
            Memory::Hits(Hits(hits)) => hits.len(),
            Memory::Piles(Piles(piles)) => piles.len(),
            Memory::Values(Values(values)) => values.len(),
            Memory::Gaps(gaps) => gaps.gaps.len() + usize::from(gaps.spoke.is_some()),
            Memory::Hours(hours) => hours.counts.len(),
            Memory::Places(Places(places)) => places.len(),
        }
    }

    /// Whether no hit is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
