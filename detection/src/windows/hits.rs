//! Windows that keep hits: those that count, and those that measure what takes every hit to tell.

use super::gauge::Gauge;
use super::{
    DISTINCT_KEPT_MAX, Firing, Hit, MEASURED_KEPT_MAX, SAMPLES_MAX, WindowKind, WindowSpec,
};
use hashbrown::{HashMap, HashSet};

/// Parts of a cell in which hits that wait to be reported are folded into one where there are too
/// many of them: a fold stands for hits that lie no further apart than this part of a window.
const FOLDS: i64 = 32;

/// A hit that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kept {
    pub(super) at_ns: i64,
    pub(super) event: u128,
    pub(super) value: u64,
    pub(super) reported: bool,
    /// Further hits, shortly before it, that are not kept and not reported.
    pub(super) more: u32,
}

/// Hits, sorted by time and event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hits(pub(super) Vec<Kept>);

impl Hits {
    /// Takes in hits that are in time, and reports the episodes that they make.
    pub(super) fn apply(
        &mut self,
        spec: &WindowSpec,
        hits: impl Iterator<Item = Hit>,
        newest_ns: i64,
    ) -> Vec<Firing> {
        self.take_in(spec, hits);
        let firings = self.report(spec);
        self.thin(spec);
        let oldest = newest_ns.saturating_sub(spec.reach_ns());
        self.0.retain(|hit| hit.at_ns > oldest);
        firings
    }

    fn take_in(&mut self, spec: &WindowSpec, hits: impl Iterator<Item = Hit>) {
        let has_value = spec.kind != WindowKind::Count;
        self.0.extend(hits.map(|hit| Kept {
            at_ns: hit.at_ns,
            event: hit.event,
            value: if has_value { hit.value } else { 0 },
            reported: false,
            more: 0,
        }));
        // Of two hits by one event the reported one stays.
        let is_order = matches!(spec.kind, WindowKind::Measure(measure, _) if measure.is_order());
        self.0.sort_unstable_by_key(|hit| {
            // What happens at once happens in the order that is asked for.
            let step = if is_order { hit.value } else { 0 };
            (hit.at_ns, step, hit.event, hit.value, !hit.reported)
        });
        self.0.dedup_by(|again, kept| {
            let is_same =
                (again.at_ns, again.event, again.value) == (kept.at_ns, kept.event, kept.value);
            if is_same {
                kept.more = kept.more.saturating_add(again.more);
            }
            is_same
        });
    }

    /// Finds the episodes and reports what is new in them.
    fn report(&mut self, spec: &WindowSpec) -> Vec<Firing> {
        let mut firings = Vec::new();
        for Episode { from, to, peak } in self.episodes(spec) {
            let Some(hits) = self.0.get_mut(from..=to) else {
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
            for hit in hits {
                firing.added += u64::from(std::mem::take(&mut hit.more));
                if std::mem::replace(&mut hit.reported, true) {
                    continue;
                }
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
        for (to, hit) in self.0.iter().enumerate() {
            window.add(hit);
            // The window is open at its old end.
            while let Some(old) = self.0.get(from)
                && hit.at_ns.saturating_sub(old.at_ns) >= spec.length_ns
            {
                window.remove(old);
                from += 1;
            }
            // Hits of one instant belong to one window.
            let is_last = self
                .0
                .get(to + 1)
                .is_none_or(|next| next.at_ns != hit.at_ns);
            let count = window.count();
            if is_last && window.is_satisfied(spec, hit) {
                Episode::join(&mut episodes, (from, to), count);
            }
        }
        episodes
    }

    /// Keeps of each cell what can still decide, or is still to be reported.
    fn thin(&mut self, spec: &WindowSpec) {
        if let WindowKind::Measure(..) = spec.kind {
            let too_many = self.0.len().saturating_sub(MEASURED_KEPT_MAX);
            self.0.drain(..too_many);
            return;
        }
        let length = spec.length_ns.max(1);
        let threshold = spec.threshold.max(1) as usize;
        let is_distinct = spec.kind == WindowKind::Distinct;
        let folds = is_distinct && self.0.len() > DISTINCT_KEPT_MAX;
        let mut kept = Vec::with_capacity(self.0.len());
        for cell in self
            .0
            .chunk_by(|a, b| a.at_ns.div_euclid(length) == b.at_ns.div_euclid(length))
        {
            if cell.len() <= 2 * threshold {
                kept.extend_from_slice(cell);
            } else if is_distinct {
                let decides = deciding(cell, threshold);
                if folds {
                    fold(cell, &decides, length, &mut kept);
                } else {
                    let stays = cell.iter().zip(decides);
                    let stays = stays.filter(|(hit, decides)| *decides || is_waiting(hit));
                    kept.extend(stays.map(|(hit, _)| *hit));
                }
            } else {
                let (oldest, rest) = cell.split_at(threshold);
                kept.extend_from_slice(oldest);
                let newest = rest.len().saturating_sub(threshold);
                kept.extend_from_slice(rest.get(newest..).unwrap_or_default());
            }
        }
        self.0 = kept;
    }
}

/// A run of hits covered by overlapping satisfied windows.
pub(super) struct Episode {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) peak: u32,
}

impl Episode {
    /// Adds a satisfied window, the latest so far, to the episode that it overlaps.
    pub(super) fn join(episodes: &mut Vec<Episode>, (from, to): (usize, usize), count: u32) {
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
}

const fn is_waiting(hit: &Kept) -> bool {
    !hit.reported || hit.more > 0
}

/// Of a cell: the first hits of the earliest values and the last hits of the latest ones.
fn deciding(cell: &[Kept], threshold: usize) -> Vec<bool> {
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
    keep
}

/// Keeps what decides, and one hit for all those of a part of the cell that wait to be reported:
/// the last of them, which says how many more there are.
fn fold(cell: &[Kept], decides: &[bool], length: i64, kept: &mut Vec<Kept>) {
    let part = (length / FOLDS).max(1);
    let mut folded: Option<Kept> = None;
    for (hit, decides) in cell.iter().zip(decides) {
        let is_apart = folded
            .is_some_and(|before| before.at_ns.div_euclid(part) != hit.at_ns.div_euclid(part));
        if is_apart {
            kept.extend(folded.take());
        }
        if !is_waiting(hit) && !decides {
            continue;
        }
        if *decides {
            // It may not become one with others: but it can speak for them.
            kept.push(with(hit, folded.take()));
            continue;
        }
        folded = Some(with(hit, folded));
    }
    kept.extend(folded);
}

/// The hit, speaking also for one before it.
fn with(hit: &Kept, before: Option<Kept>) -> Kept {
    let more = before.map_or(0, |before| {
        before.more.saturating_add(u32::from(!before.reported))
    });
    Kept {
        more: hit.more.saturating_add(more),
        ..*hit
    }
}

/// What a window counts, as hits come and go.
enum Counter {
    Hits(u32),
    Values(HashMap<u64, u32>),
    Gauge(Box<Gauge>),
}

impl Counter {
    fn new(kind: WindowKind) -> Self {
        match kind {
            WindowKind::Distinct => Counter::Values(HashMap::new()),
            WindowKind::Measure(measure, _) => Counter::Gauge(Box::new(Gauge::new(measure))),
            WindowKind::Count
            | WindowKind::Meter(_)
            | WindowKind::NewValue
            | WindowKind::Silence
            | WindowKind::Spike(_)
            | WindowKind::Travel(_) => Counter::Hits(0),
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
                self.count() >= spec.threshold && gauge.is_satisfied(&bounds, last, spec.length_ns)
            }
            (Counter::Hits(_) | Counter::Values(_) | Counter::Gauge(_), _) => {
                self.count() >= spec.threshold
            }
        }
    }
}
