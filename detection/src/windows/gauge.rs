//! What a window measures as hits come and go: sums, averages, percentiles, shares, orders, and
//! counts that must stay within bounds rather than reach a threshold.
//!
//! Numbers are added up in millionths, as integers, so that what is taken away again is exactly
//! what was added, in whatever order.

use super::hits::Kept;
use hashbrown::HashMap;
use millrace_shared::limits::NS_PER_SECOND;
use std::collections::VecDeque;

/// Millionths in one.
const SCALE: f64 = 1e6;
/// The largest number that is added up; beyond it there is no precision to speak of.
const NUMBER_MAX: f64 = 1e24;
/// Rules of one order.
pub const STEPS_MAX: usize = 50;

/// What is measured of the hits in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// How many they are.
    Count,
    /// How many different values they have.
    Distinct,
    /// The sum of their values, which are numbers.
    Sum,
    /// The average of their values.
    Average,
    /// The percentile of their values, in thousandths of a percent.
    Percentile(u32),
    /// Which percentage of them has the value of the last one.
    Share,
    /// Whether the values 0, 1, … below this number follow upon one another.
    Ordered(u8),
    /// Whether every value has come, and come often enough.
    Chain(Chain),
    /// Whether so many hits of each value have come, one value after the other.
    Sequence(Sequence),
    /// By how much the values of a counter have grown from hit to hit. One that is less than the one
    /// before has begun anew, at nothing.
    Increase,
}

/// Hits of all steps of a sequence together: each hit moves so many places on, and more than this
/// in a row is a count, not a sequence.
pub const SEQUENCE_HITS_MAX: u32 = 200;

/// So many hits of a first step, then so many of a second one, and so on; no event counts twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    counts: [u8; CHAIN_MAX],
    steps: u8,
}

impl Sequence {
    /// Of steps that take so many hits; `None` for none, for more than [`CHAIN_MAX`], for a step
    /// without hits, and for more than [`SEQUENCE_HITS_MAX`] hits.
    #[must_use]
    pub fn new(list: &[u32]) -> Option<Sequence> {
        let total = list
            .iter()
            .try_fold(0_u32, |sum, one| sum.checked_add(*one))?;
        if list.is_empty() || list.contains(&0) || total > SEQUENCE_HITS_MAX {
            return None;
        }
        let mut counts = [0; CHAIN_MAX];
        for (at, count) in list.iter().enumerate() {
            *counts.get_mut(at)? = u8::try_from(*count).ok()?;
        }
        let steps = u8::try_from(list.len()).ok()?;
        Some(Sequence { counts, steps })
    }

    /// The places of a step in the row of all hits.
    fn places(&self, step: u64) -> std::ops::Range<usize> {
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let counts = |steps: Option<&[u8]>| -> usize {
            steps
                .unwrap_or_default()
                .iter()
                .map(|one| usize::from(*one))
                .sum()
        };
        let count = self.counts.get(step).copied().map_or(0, usize::from);
        let from = counts(self.counts.get(..step.min(CHAIN_MAX)));
        from..from + count
    }

    fn len(&self) -> usize {
        self.places(u64::from(self.steps)).start
    }
}

const _: () = assert!(SEQUENCE_HITS_MAX <= u8::MAX as u32);

/// Steps of a chain.
pub const CHAIN_MAX: usize = 8;

/// Steps that must be reached, each by a number of hits within a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    needs: [Need; CHAIN_MAX],
    steps: u8,
    ordered: bool,
}

/// What it takes to reach a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// So many hits.
    pub hits: u32,
    /// Within so many seconds.
    pub seconds: u32,
}

impl Chain {
    /// Of these steps, in this order if `ordered`; `None` for more than [`CHAIN_MAX`] or none.
    #[must_use]
    pub fn new(list: &[Need], ordered: bool) -> Option<Chain> {
        let mut needs = [Need::default(); CHAIN_MAX];
        needs.get_mut(..list.len())?.copy_from_slice(list);
        let steps = u8::try_from(list.len()).ok().filter(|steps| *steps > 0)?;
        Some(Chain {
            needs,
            steps,
            ordered,
        })
    }

    fn needs(&self) -> &[Need] {
        self.needs
            .get(..usize::from(self.steps))
            .unwrap_or_default()
    }

    /// The longest time of a step, nanoseconds.
    fn longest_ns(&self) -> i64 {
        let longest = self.needs().iter().map(|need| need.seconds).max();
        i64::from(longest.unwrap_or(0)) * NS_PER_SECOND
    }
}

impl Measure {
    /// The number under which a state says what it holds.
    pub(super) const fn tag(self) -> u8 {
        match self {
            Measure::Count => 2,
            Measure::Distinct => 3,
            Measure::Sum => 4,
            Measure::Average => 5,
            Measure::Percentile(_) => 6,
            Measure::Share => 7,
            Measure::Ordered(_) => 8,
            Measure::Chain(_) => 9,
            Measure::Sequence(_) => 10,
            Measure::Increase => 11,
        }
    }

    /// How much longer than its window a hit may matter, nanoseconds.
    pub(super) fn memory_ns(self) -> i64 {
        match self {
            Measure::Chain(chain) => chain.longest_ns(),
            Measure::Count
            | Measure::Distinct
            | Measure::Sum
            | Measure::Average
            | Measure::Percentile(_)
            | Measure::Share
            | Measure::Ordered(_)
            | Measure::Sequence(_)
            | Measure::Increase => 0,
        }
    }

    /// Whether it matters in which order steps come.
    pub(super) const fn is_order(self) -> bool {
        match self {
            Measure::Ordered(_) | Measure::Sequence(_) => true,
            Measure::Chain(chain) => chain.ordered,
            Measure::Count
            | Measure::Distinct
            | Measure::Sum
            | Measure::Average
            | Measure::Percentile(_)
            | Measure::Share
            | Measure::Increase => false,
        }
    }
}

/// How what is measured stands to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Equal.
    Eq,
    /// Different.
    Neq,
}

/// Bounds of one measure.
pub const BOUNDS_MAX: usize = 4;

/// Bounds that must all hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds([Option<(Bound, u64)>; BOUNDS_MAX]);

impl Bounds {
    /// Of these; `None` for more than [`BOUNDS_MAX`].
    #[must_use]
    pub fn new(list: &[(Bound, f64)]) -> Option<Bounds> {
        let mut bounds = Bounds::default();
        let mut places = bounds.0.iter_mut();
        for (bound, number) in list {
            *places.next()? = Some((*bound, number.to_bits()));
        }
        Some(bounds)
    }

    fn hold(&self, measured: f64) -> bool {
        self.0.iter().flatten().all(|(bound, bits)| {
            let number = f64::from_bits(*bits);
            match bound {
                Bound::Gt => measured > number,
                Bound::Gte => measured >= number,
                Bound::Lt => measured < number,
                Bound::Lte => measured <= number,
                Bound::Eq => (measured - number).abs() < 0.5 / SCALE,
                Bound::Neq => (measured - number).abs() >= 0.5 / SCALE,
            }
        })
    }
}

/// The hits of a window, as far as its measure goes.
#[derive(Debug)]
pub(super) struct Gauge {
    measure: Measure,
    hits: u32,
    sum: i128,
    values: HashMap<u64, u32>,
    /// Numbers in order, for percentiles.
    sorted: Vec<i128>,
    /// By the last value of an order: when the latest run of values up to it began.
    runs: Vec<Option<i64>>,
    /// By step of a chain: its latest hits, and when it was reached last.
    latest: Vec<VecDeque<i64>>,
    reached: Vec<Option<i64>>,
    /// By place in a sequence: the latest run up to it.
    rows: Vec<Row>,
    /// The values of a counter.
    counter: VecDeque<i128>,
}

/// What a counter has counted between two values.
fn grown(before: i128, after: i128) -> i128 {
    if after < before {
        after
    } else {
        after - before
    }
}

/// The latest run of hits up to a place of a sequence.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// When it began.
    began: Option<i64>,
    /// The event it has come to.
    event: u128,
    /// When the latest one that has come here by another event began.
    before: Option<i64>,
}

impl Gauge {
    pub(super) fn new(measure: Measure) -> Self {
        let steps = match measure {
            Measure::Ordered(steps) => usize::from(steps),
            Measure::Chain(chain) => usize::from(chain.steps),
            Measure::Count
            | Measure::Distinct
            | Measure::Sum
            | Measure::Average
            | Measure::Percentile(_)
            | Measure::Share
            | Measure::Sequence(_)
            | Measure::Increase => 0,
        };
        let places = match measure {
            Measure::Sequence(sequence) => sequence.len(),
            Measure::Count
            | Measure::Distinct
            | Measure::Sum
            | Measure::Average
            | Measure::Percentile(_)
            | Measure::Share
            | Measure::Ordered(_)
            | Measure::Chain(_)
            | Measure::Increase => 0,
        };
        Gauge {
            measure,
            hits: 0,
            sum: 0,
            values: HashMap::new(),
            sorted: Vec::new(),
            runs: vec![None; steps],
            latest: vec![VecDeque::new(); steps],
            reached: vec![None; steps],
            rows: vec![Row::default(); places],
            counter: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, hit: &Kept) {
        self.hits += 1;
        match self.measure {
            Measure::Count => {}
            Measure::Distinct | Measure::Share => {
                *self.values.entry(hit.value).or_insert(0) += 1;
            }
            Measure::Sum | Measure::Average => self.sum += scaled(hit.value),
            Measure::Percentile(_) => {
                let number = scaled(hit.value);
                let at = self.sorted.partition_point(|other| *other < number);
                self.sorted.insert(at, number);
            }
            Measure::Ordered(_) => self.step(hit),
            Measure::Chain(chain) => self.reach(&chain, hit),
            Measure::Sequence(sequence) => self.follow(&sequence, hit),
            Measure::Increase => {
                let value = scaled(hit.value);
                if let Some(before) = self.counter.back() {
                    self.sum += grown(*before, value);
                }
                self.counter.push_back(value);
            }
        }
    }

    /// Runs that have come to the place before go on; the last place first, so that a hit takes one
    /// place of a run only.
    fn follow(&mut self, sequence: &Sequence, hit: &Kept) {
        for place in sequence.places(hit.value).rev() {
            let began = match place.checked_sub(1) {
                None => Some(hit.at_ns),
                Some(before) => self.rows.get(before).and_then(|row| {
                    if row.event == hit.event {
                        row.before
                    } else {
                        row.began
                    }
                }),
            };
            if let (Some(row), Some(_)) = (self.rows.get_mut(place), began) {
                let before = if row.event == hit.event {
                    row.before
                } else {
                    row.began
                };
                *row = Row {
                    began,
                    event: hit.event,
                    before,
                };
            }
        }
    }

    /// A run of steps goes on, or begins.
    fn step(&mut self, hit: &Kept) {
        let step = usize::try_from(hit.value).unwrap_or(usize::MAX);
        let began = match step.checked_sub(1) {
            None => Some(hit.at_ns),
            Some(before) => self.runs.get(before).copied().flatten(),
        };
        if let (Some(run), Some(_)) = (self.runs.get_mut(step), began) {
            *run = began;
        }
    }

    /// A hit of a step that may be reached by it.
    fn reach(&mut self, chain: &Chain, hit: &Kept) {
        let step = usize::try_from(hit.value).unwrap_or(usize::MAX);
        let (Some(need), Some(latest)) = (chain.needs().get(step), self.latest.get_mut(step))
        else {
            return;
        };
        let length = i64::from(need.seconds) * NS_PER_SECOND;
        latest.push_back(hit.at_ns);
        while latest.len() > need.hits.max(1) as usize {
            latest.pop_front();
        }
        let oldest = latest.front().copied().unwrap_or(hit.at_ns);
        let is_within = need.hits <= 1 || hit.at_ns.saturating_sub(oldest) < length;
        if latest.len() < need.hits.max(1) as usize || !is_within {
            return;
        }
        if let Some(reached) = self.reached.get_mut(step) {
            *reached = Some(hit.at_ns);
        }
        self.step(hit);
    }

    pub(super) fn remove(&mut self, hit: &Kept) {
        self.hits = self.hits.saturating_sub(1);
        match self.measure {
            // An order remembers when it began, and forgets by that.
            Measure::Count | Measure::Ordered(_) | Measure::Chain(_) | Measure::Sequence(_) => {}
            Measure::Distinct | Measure::Share => {
                if let Some(count) = self.values.get_mut(&hit.value) {
                    *count -= 1;
                    if *count == 0 {
                        self.values.remove(&hit.value);
                    }
                }
            }
            Measure::Sum | Measure::Average => self.sum -= scaled(hit.value),
            Measure::Percentile(_) => {
                let number = scaled(hit.value);
                let at = self.sorted.partition_point(|other| *other < number);
                if self.sorted.get(at) == Some(&number) {
                    self.sorted.remove(at);
                }
            }
            Measure::Increase => {
                // The oldest goes first.
                let oldest = self.counter.pop_front();
                if let Some((before, after)) = oldest.zip(self.counter.front()) {
                    self.sum -= grown(before, *after);
                }
            }
        }
    }

    /// How many hits, or different values, there are.
    pub(super) fn count(&self) -> u32 {
        match self.measure {
            Measure::Distinct => u32::try_from(self.values.len()).unwrap_or(u32::MAX),
            Measure::Count
            | Measure::Sum
            | Measure::Average
            | Measure::Percentile(_)
            | Measure::Share
            | Measure::Ordered(_)
            | Measure::Chain(_)
            | Measure::Sequence(_)
            | Measure::Increase => self.hits,
        }
    }

    /// Whether the window that ends with this hit is as the bounds say.
    pub(super) fn is_satisfied(&self, bounds: &Bounds, last: &Kept, length_ns: i64) -> bool {
        let hits = f64::from(self.hits);
        let from = last.at_ns.saturating_sub(length_ns);
        if self.hits == 0 {
            return false;
        }
        // A hit that reaches no step is none of what a chain is made of, and so fires nothing.
        let is_idle =
            matches!(self.measure, Measure::Chain(_)) && !self.reached.contains(&Some(last.at_ns));
        if is_idle {
            return false;
        }
        let measured = match self.measure {
            Measure::Count | Measure::Distinct => f64::from(self.count()),
            Measure::Sum | Measure::Increase => unscaled(self.sum),
            Measure::Average => unscaled(self.sum) / hits,
            Measure::Percentile(thousandths) => self.percentile(thousandths),
            Measure::Share => {
                let same = self.values.get(&last.value).copied().unwrap_or(0);
                f64::from(same) * 100.0 / hits
            }
            Measure::Chain(chain) if !chain.ordered => {
                let is_recent = |at: &Option<i64>| at.is_some_and(|at| at > from);
                return self.reached.iter().all(is_recent);
            }
            Measure::Sequence(_) => {
                let began = self.rows.last().and_then(|row| row.began);
                return began.is_some_and(|began| began > from);
            }
            Measure::Ordered(_) | Measure::Chain(_) => {
                let began = self.runs.last().copied().flatten();
                return began.is_some_and(|began| began > from);
            }
        };
        bounds.hold(measured)
    }

    /// The percentile with linear interpolation between the two nearest numbers (Hyndman and Fan's
    /// seventh definition).
    fn percentile(&self, thousandths: u32) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let last = u32::try_from(last).unwrap_or(u32::MAX);
        let place = u64::from(last) * u64::from(thousandths);
        let (below, part) = (place / 100_000, place % 100_000);
        let at = |index: u64| {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            unscaled(self.sorted.get(index).copied().unwrap_or_default())
        };
        let low = at(below);
        let part = u32::try_from(part).unwrap_or(0);
        if part == 0 {
            return low;
        }
        low + (at(below + 1) - low) * f64::from(part) / 100_000.0
    }
}

/// The number that a hit's value is the bits of, in millionths.
#[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
pub(super) fn scaled(bits: u64) -> i128 {
    let number = f64::from_bits(bits).clamp(-NUMBER_MAX, NUMBER_MAX);
    (number * SCALE).round() as i128
}

#[expect(
    clippy::cast_precision_loss,
    reason = "comparisons are in floating point throughout"
)]
fn unscaled(number: i128) -> f64 {
    number as f64 / SCALE
}
