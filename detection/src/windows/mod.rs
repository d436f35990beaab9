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
//! (their own window holds the older ones) and need not be kept. For distinct windows the same
//! holds of the first and the last hit of each value.
//!
//! What is measured rather than counted (sums, percentiles, orders, counts below a bound) has no
//! such hits that can be spared. Of these [`MEASURED_KEPT_MAX`] hits of a group are kept, the newest
//! ones, and windows are exact as long as they hold no more.

mod codec;
mod gauge;

pub use codec::MalformedState;
pub use gauge::{BOUNDS_MAX, Bound, Bounds, CHAIN_MAX, Chain, Measure, Need, STEPS_MAX};

use gauge::Gauge;

use hashbrown::{HashMap, HashSet};

/// The highest threshold. With [`HITS_KEPT_MAX`] it leaves a window's length of lateness.
pub const THRESHOLD_MAX: u32 = 10_000;
/// The longest window: a day, beyond which a query over history is the better tool.
pub const WINDOW_SECONDS_MAX: u32 = 24 * 3600;
/// Hits kept of one group, which bounds its state to about 1.6 MB at the highest threshold and to
/// a few hundred bytes at the usual ones.
pub const HITS_KEPT_MAX: i64 = 65_536;
/// Hits kept of one group whose window measures.
pub const MEASURED_KEPT_MAX: usize = 16_384;
/// Lateness that is allowed for: shards drain at their own pace after an outage.
const LATENESS_NS_MIN: i64 = 10 * 60 * NS;
const LATENESS_NS_MAX: i64 = 3600 * NS;
const NS: i64 = 1_000_000_000;
/// Event ids given with a firing.
pub const SAMPLES_MAX: usize = 20;

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
}

impl WindowKind {
    /// The number under which a state says what it holds.
    const fn tag(self) -> u8 {
        match self {
            WindowKind::Count => COUNT_TAG,
            WindowKind::Distinct => DISTINCT_TAG,
            WindowKind::Measure(measure, _) => measure.tag(),
        }
    }
}

const COUNT_TAG: u8 = 0;
const DISTINCT_TAG: u8 = 1;

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
        let cells = HITS_KEPT_MAX / (2 * i64::from(self.threshold.clamp(1, THRESHOLD_MAX)));
        // So many cells may be kept; a window's length of them is for the window itself, and one
        // cell is only partly covered at either end.
        let room = length.saturating_mul((cells - 2).max(0));
        length.clamp(LATENESS_NS_MIN, LATENESS_NS_MAX).min(room)
    }

    /// For how long a hit may matter, nanoseconds.
    #[must_use]
    pub fn reach_ns(&self) -> i64 {
        let memory_ns = match self.kind {
            WindowKind::Count | WindowKind::Distinct => 0,
            WindowKind::Measure(measure, _) => measure.memory_ns(),
        };
        self.length_ns
            .saturating_add(self.lateness_ns())
            .saturating_add(memory_ns)
    }
}

/// One event that a windowed rule selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// When, nanoseconds ([`crate::RuleMatch::at_ns`]).
    pub at_ns: i64,
    /// The value that a distinct window counts ([`crate::RuleMatch::distinct`]); else 0.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    at_ns: i64,
    event: u128,
    value: u64,
    reported: bool,
}

/// The state of one group of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowState {
    /// Sorted by time and event.
    hits: Vec<Kept>,
    newest_ns: Option<i64>,
    /// What the rule's window is of: [`WindowKind::tag`].
    tag: u8,
}

impl WindowState {
    /// Of a group that was never hit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the hits of a batch, in any order, and tells which episodes they belong to.
    pub fn apply(&mut self, spec: &WindowSpec, hits: &[Hit]) -> Vec<Firing> {
        let tag = spec.kind.tag();
        if self.tag != tag {
            // The rule was changed: what was kept means something else.
            *self = WindowState {
                tag,
                ..WindowState::default()
            };
        }
        self.take_in(spec, hits);
        let firings = self.report(spec);
        self.thin(spec);
        self.forget(spec);
        firings
    }

    /// When the state says nothing about the future any more and may be deleted.
    #[must_use]
    pub fn expires_at_ns(&self, spec: &WindowSpec) -> i64 {
        let newest = self.newest_ns.unwrap_or(i64::MIN);
        newest.saturating_add(spec.reach_ns())
    }

    /// How many hits are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// Whether no hit is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    fn take_in(&mut self, spec: &WindowSpec, hits: &[Hit]) {
        let oldest = self
            .newest_ns
            .map(|newest| newest.saturating_sub(spec.lateness_ns()));
        let in_time = hits
            .iter()
            .filter(|hit| oldest.is_none_or(|oldest| hit.at_ns >= oldest));
        self.hits.extend(in_time.map(|hit| Kept {
            at_ns: hit.at_ns,
            event: hit.event,
            value: if self.tag == COUNT_TAG { 0 } else { hit.value },
            reported: false,
        }));
        let newest = hits.iter().map(|hit| hit.at_ns).max();
        self.newest_ns = self.newest_ns.max(newest);
        // Of two hits by one event the reported one stays.
        let is_order = matches!(spec.kind, WindowKind::Measure(measure, _) if measure.is_order());
        self.hits.sort_unstable_by_key(|hit| {
            // What happens at once happens in the order that is asked for.
            let step = if is_order { hit.value } else { 0 };
            (hit.at_ns, step, hit.event, hit.value, !hit.reported)
        });
        self.hits
            .dedup_by_key(|hit| (hit.at_ns, hit.event, hit.value));
    }

    /// Finds the episodes and reports what is new in them.
    fn report(&mut self, spec: &WindowSpec) -> Vec<Firing> {
        let mut firings = Vec::new();
        for Episode { from, to, peak } in self.episodes(spec) {
            let Some(hits) = self.hits.get_mut(from..=to) else {
                continue;
            };
            let (Some(first), Some(last)) = (hits.first().copied(), hits.last().copied()) else {
                continue;
            };
            let mut firing = Firing {
                first_ns: first.at_ns,
                last_ns: last.at_ns,
                first_event: first.event,
                added: 0,
                peak,
                events: Vec::new(),
            };
            for hit in hits.iter_mut().filter(|hit| !hit.reported) {
                hit.reported = true;
                firing.added += 1;
                if firing.events.len() < SAMPLES_MAX {
                    firing.events.push(hit.event);
                }
            }
            if firing.added > 0 {
                firings.push(firing);
            }
        }
        firings
    }

    fn episodes(&self, spec: &WindowSpec) -> Vec<Episode> {
        let mut episodes: Vec<Episode> = Vec::new();
        let mut window = Counter::new(spec.kind);
        let mut from = 0;
        for (to, hit) in self.hits.iter().enumerate() {
            window.add(hit);
            // The window is open at its old end.
            while let Some(old) = self.hits.get(from)
                && hit.at_ns.saturating_sub(old.at_ns) >= spec.length_ns
            {
                window.remove(old);
                from += 1;
            }
            // Hits of one instant belong to one window.
            let is_last = self
                .hits
                .get(to + 1)
                .is_none_or(|next| next.at_ns != hit.at_ns);
            let count = window.count();
            if !is_last || !window.is_satisfied(spec, hit) {
                continue;
            }
            match episodes.last_mut() {
                Some(episode) if from <= episode.to => {
                    episode.to = to;
                    episode.peak = episode.peak.max(count);
                }
                Some(_) | None => episodes.push(Episode {
                    from,
                    to,
                    peak: count,
                }),
            }
        }
        episodes
    }

    /// Keeps of each cell what can still decide.
    fn thin(&mut self, spec: &WindowSpec) {
        if let WindowKind::Measure(..) = spec.kind {
            let too_many = self.hits.len().saturating_sub(MEASURED_KEPT_MAX);
            self.hits.drain(..too_many);
            return;
        }
        let length = spec.length_ns.max(1);
        let threshold = spec.threshold.max(1) as usize;
        let mut kept = Vec::with_capacity(self.hits.len());
        for cell in self
            .hits
            .chunk_by(|a, b| cell_of(a, length) == cell_of(b, length))
        {
            if cell.len() <= 2 * threshold {
                kept.extend_from_slice(cell);
            } else if self.tag == DISTINCT_TAG {
                thin_distinct(cell, threshold, &mut kept);
            } else {
                let (oldest, rest) = cell.split_at(threshold);
                kept.extend_from_slice(oldest);
                let newest = rest.len().saturating_sub(threshold);
                kept.extend_from_slice(rest.get(newest..).unwrap_or_default());
            }
        }
        self.hits = kept;
    }

    fn forget(&mut self, spec: &WindowSpec) {
        let reach = spec.reach_ns();
        if let Some(oldest) = self.newest_ns.map(|newest| newest.saturating_sub(reach)) {
            self.hits.retain(|hit| hit.at_ns > oldest);
        }
    }
}

/// A run of hits covered by overlapping satisfied windows.
struct Episode {
    from: usize,
    to: usize,
    peak: u32,
}

const fn cell_of(hit: &Kept, length: i64) -> i64 {
    hit.at_ns.div_euclid(length)
}

/// Of a cell: the first hits of the earliest values and the last hits of the latest ones.
fn thin_distinct(cell: &[Kept], threshold: usize, kept: &mut Vec<Kept>) {
    let mut keep = vec![false; cell.len()];
    let mut mark = |hits: &mut dyn Iterator<Item = (usize, &Kept)>| {
        let mut values = HashSet::new();
        for (at, hit) in hits {
            if values.len() == threshold {
                break;
            }
            if values.insert(hit.value)
                && let Some(keep) = keep.get_mut(at)
            {
                *keep = true;
            }
        }
    };
    mark(&mut cell.iter().enumerate());
    mark(&mut cell.iter().enumerate().rev());
    kept.extend(
        cell.iter()
            .zip(keep)
            .filter(|(_, keep)| *keep)
            .map(|(hit, _)| *hit),
    );
}

/// What a window counts, as hits come and go.
enum Counter {
    Hits(u32),
    Values(HashMap<u64, u32>),
    Gauge(Gauge),
}

impl Counter {
    fn new(kind: WindowKind) -> Self {
        match kind {
            WindowKind::Count => Counter::Hits(0),
            WindowKind::Distinct => Counter::Values(HashMap::new()),
            WindowKind::Measure(measure, _) => Counter::Gauge(Gauge::new(measure)),
        }
    }

    fn add(&mut self, hit: &Kept) {
        match self {
            Counter::Hits(count) => *count += 1,
            Counter::Values(values) => *values.entry(hit.value).or_insert(0) += 1,
            Counter::Gauge(gauge) => gauge.add(hit),
        }
    }

    fn remove(&mut self, hit: &Kept) {
        match self {
            Counter::Hits(count) => *count = count.saturating_sub(1),
            Counter::Values(values) => {
                if let Some(count) = values.get_mut(&hit.value) {
                    *count -= 1;
                    if *count == 0 {
                        values.remove(&hit.value);
                    }
                }
            }
            Counter::Gauge(gauge) => gauge.remove(hit),
        }
    }

    fn count(&self) -> u32 {
        match self {
            Counter::Hits(count) => *count,
            Counter::Values(values) => u32::try_from(values.len()).unwrap_or(u32::MAX),
            Counter::Gauge(gauge) => gauge.count(),
        }
    }

    /// Whether the window that ends with this hit fires.
    fn is_satisfied(&self, spec: &WindowSpec, last: &Kept) -> bool {
        match (self, spec.kind) {
            (Counter::Gauge(gauge), WindowKind::Measure(_, bounds)) => {
                gauge.is_satisfied(&bounds, last, spec.length_ns)
            }
            (Counter::Hits(_) | Counter::Values(_) | Counter::Gauge(_), _) => {
                self.count() >= spec.threshold
            }
        }
    }
}

#[cfg(test)]
mod tests;
