//! Groups that fall silent: those that spoke, and then not for the length of the window.
//!
//! A hit cannot tell that none follows; a clock can. [`Gaps::tick`] is told how far everything has
//! been taken in, and reports what stayed silent until then; [`Gaps::apply`] reports nothing, but
//! remembers pauses that ended before the clock came by, and lets late hits fill them.

use super::{Firing, Hit, WindowSpec};

/// Pauses of one group that are kept, the newest ones: the clock comes by every few seconds, so there
/// are several only after an outage.
pub const GAPS_MAX: usize = 16;

/// A pause between two hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The hit before it.
    pub(super) from_ns: i64,
    pub(super) event: u128,
    /// The hit after it.
    pub(super) to_ns: i64,
    /// Whether it was reported; a late hit may still divide what is left of it.
    pub(super) reported: bool,
}

/// When a group spoke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    /// First and last hit, and the event of the last; `None` before there is any.
    pub(super) spoke: Option<(i64, i64, u128)>,
    /// Whether it was reported that none has followed.
    pub(super) reported: bool,
    /// Pauses that lasted too long, sorted by time, until the clock has passed them.
    pub(super) gaps: Vec<Gap>,
}

impl Gaps {
    /// Takes in hits, in any order.
    pub(super) fn apply(&mut self, spec: &WindowSpec, hits: impl Iterator<Item = Hit>) {
        let mut hits: Vec<Hit> = hits.collect();
        hits.sort_unstable_by_key(|hit| (hit.at_ns, hit.event));
        for hit in &hits {
            self.hear(spec.length_ns, hit);
        }
        let too_many = self.gaps.len().saturating_sub(GAPS_MAX);
        self.gaps.drain(..too_many);
    }

    fn hear(&mut self, length: i64, hit: &Hit) {
        let (at, event) = (hit.at_ns, hit.event);
        let Some((first, last, last_event)) = self.spoke else {
            self.spoke = Some((at, at, event));
            return;
        };
        let gap = |from_ns, event, to_ns, reported| Gap {
            from_ns,
            event,
            to_ns,
            reported,
        };
        if at >= last {
            self.put(length, gap(last, last_event, at, self.reported));
            self.reported &= at == last;
            let event = if at == last {
                event.min(last_event)
            } else {
                event
            };
            self.spoke = Some((first, at, event));
        } else if at < first {
            self.put(length, gap(at, event, first, false));
            self.spoke = Some((at, last, last_event));
        } else if let Some(within) = self
            .gaps
            .iter()
            .position(|gap| gap.from_ns < at && at < gap.to_ns)
        {
            let filled = self.gaps.remove(within);
            self.put(
                length,
                gap(filled.from_ns, filled.event, at, filled.reported),
            );
            self.put(length, gap(at, event, filled.to_ns, false));
        }
    }

    fn put(&mut self, length: i64, gap: Gap) {
        if gap.to_ns.saturating_sub(gap.from_ns) > length {
            let at = self
                .gaps
                .partition_point(|other| other.from_ns <= gap.from_ns);
            self.gaps.insert(at, gap);
        }
        // Bounds what a single batch may bring.
        if self.gaps.len() > 2 * GAPS_MAX {
            self.gaps.drain(..GAPS_MAX);
        }
    }

    /// Reports what stayed silent until this instant, up to which every hit has been taken in.
    pub(super) fn tick(&mut self, spec: &WindowSpec, now_ns: i64) -> Vec<Firing> {
        let silent = |from_ns: i64, event| Firing {
            last_ns: from_ns.saturating_add(spec.length_ns),
            ..Firing::of_events(&[(from_ns, event)], 0)
        };
        let is_over = |from_ns: i64| from_ns.saturating_add(spec.length_ns) <= now_ns;
        let mut firings = Vec::new();
        for gap in &mut self.gaps {
            if is_over(gap.from_ns) && !std::mem::replace(&mut gap.reported, true) {
                firings.push(silent(gap.from_ns, gap.event));
            }
        }
        self.gaps.retain(|gap| gap.to_ns > now_ns);
        if let Some((_, last, event)) = self.spoke
            && !self.reported
            && is_over(last)
        {
            self.reported = true;
            firings.push(silent(last, event));
        }
        firings
    }

    /// When the clock should come by next.
    pub(super) fn due_at_ns(&self, spec: &WindowSpec) -> Option<i64> {
        let open = self.spoke.filter(|_| !self.reported);
        let open = open.map(|(_, last, _)| last);
        let gaps = self.gaps.iter().filter(|gap| !gap.reported);
        let gaps = gaps.map(|gap| gap.from_ns);
        let earliest = gaps.chain(open).min()?;
        Some(earliest.saturating_add(spec.length_ns))
    }
}
