//! The window of a rule as it is written, and what it is to those who keep windows.
//! Reading and writing its document is `window_json`'s.

use super::correlation::CorrelationDef;
use super::def::Selection;
use crate::windows::{
    Baseline, Bound, Bounds, Burn, BurnRate, Measure, Metered, Sequence, Share, Spike,
    THRESHOLD_MAX, Travel, WindowKind, WindowSpec,
};
use millrace_shared::limits::NS_PER_SECOND;

/// What has to add up within a sliding window of event time, or be unlike what was before.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowDef {
    /// So many events.
    Count {
        /// Length of the window.
        seconds: u32,
        /// Fires at this many.
        threshold: u32,
    },
    /// So many different values of a field.
    Distinct {
        /// Length of the window.
        seconds: u32,
        /// Fires at this many.
        threshold: u32,
        /// Path of the field.
        field: String,
    },
    /// The numbers of a field add up to so much.
    Sum {
        /// Length of the window.
        seconds: u32,
        /// Fires at this sum.
        threshold: f64,
        /// Path of the field.
        field: String,
    },
    /// So large a share of the events of a base is selected.
    Ratio {
        /// Length of the window.
        seconds: u32,
        /// Fires at so many selected events, and no sooner.
        threshold: u32,
        /// Fires at this percentage.
        percent: f64,
        /// Whether it must be exceeded rather than reached.
        over: bool,
        /// What the share is of; every event of the rule's scope where absent.
        base: Option<Selection>,
    },
    /// So many events a second.
    Rate {
        /// Length of the window.
        seconds: u32,
        /// Fires at so many a second, on average over the window.
        per_second: f64,
    },
    /// Bad events use up the budget that an objective leaves, faster than they may.
    BurnRate {
        /// The percentage of events that are to be good.
        objective: f64,
        /// Fires at so many bad events, and no sooner.
        threshold: u32,
        /// Pairs of windows with the pace that each tells of, the shortest first.
        rates: Vec<BurnRate>,
        /// What the objective is about; every event of the rule's scope where absent.
        base: Option<Selection>,
        /// Path of the number of events that an event stands for; one where absent.
        field: Option<String>,
    },
    /// The numbers of a field are within bounds.
    Measure {
        /// Length of the window.
        seconds: u32,
        /// What is measured of them.
        of: Measured,
        /// Path of the field.
        field: String,
        /// What it must be.
        bounds: Vec<(Bound, f64)>,
        /// Fires at so many events, and no sooner.
        threshold: u32,
    },
    /// Events that follow upon one another.
    Sequence {
        /// Length of the window, for all of them.
        seconds: u32,
        /// What must follow upon what. The rule's selection holds for each of them.
        steps: Vec<SequenceStep>,
    },
    /// A value of a field that was not seen before, where others were.
    NewValue {
        /// How far is looked back.
        days: u32,
        /// Path of the field.
        field: String,
    },
    /// No event for so long after there were some.
    Silence {
        /// Fires after so long.
        seconds: u32,
    },
    /// An hour with far more events than those before.
    Spike {
        /// Fires above so many times the average.
        factor: f64,
        /// Fires at so many events in the hour, and no sooner.
        threshold: u32,
        /// How far is looked back.
        days: u32,
        /// Which hours are looked back at.
        baseline: Baseline,
    },
    /// Two places too far apart for the time between.
    Travel {
        /// Fires above this speed.
        speed_kmh: u32,
        /// Fires above this distance.
        distance_km: u32,
        /// Path of the latitude, degrees north.
        latitude: String,
        /// Path of the longitude, degrees east.
        longitude: String,
    },
    /// Matches of several selections that belong together.
    Correlation(CorrelationDef),
}

/// What is measured of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measured {
    /// Their average.
    Average,
    /// The least of them.
    Minimum,
    /// The greatest of them.
    Maximum,
    /// A percentile, in percent.
    Percentile(f64),
    /// By how much a counter has grown.
    Increase,
    /// By how much a counter has grown per second of the window.
    Rate,
}

impl Measured {
    /// Whether it is of one counter, so that each series is a group of its own.
    #[must_use]
    pub const fn is_of_counter(self) -> bool {
        match self {
            Measured::Increase | Measured::Rate => true,
            Measured::Average | Measured::Minimum | Measured::Maximum | Measured::Percentile(_) => {
                false
            }
        }
    }

    fn kind(self, bounds: &[(Bound, f64)], seconds: u32) -> WindowKind {
        let bounds = bounds.iter().map(|bound| self.bound(*bound, seconds));
        let bounds: Vec<_> = bounds.collect();
        WindowKind::Measure(self.measure(), Bounds::new(&bounds).unwrap_or_default())
    }

    fn measure(self) -> Measure {
        match self {
            Measured::Average => Measure::Average,
            Measured::Minimum => Measure::Percentile(0),
            Measured::Maximum => Measure::Percentile(thousandths(100.0)),
            Measured::Percentile(percent) => Measure::Percentile(thousandths(percent)),
            Measured::Increase | Measured::Rate => Measure::Increase,
        }
    }

    /// A bound of it as one of what is measured over so many seconds.
    fn bound(self, (bound, number): (Bound, f64), seconds: u32) -> (Bound, f64) {
        let times = match self {
            Measured::Rate => f64::from(seconds),
            Measured::Average
            | Measured::Minimum
            | Measured::Maximum
            | Measured::Percentile(_)
            | Measured::Increase => 1.0,
        };
        (bound, number * times)
    }
}

/// A step of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceStep {
    /// Which events it is made of, beside the rule's selection.
    pub selection: Selection,
    /// How many of them it takes.
    pub count: u32,
}

const SECONDS_PER_DAY: u32 = 24 * 3600;

impl WindowDef {
    /// The selections that it has beside the rule's own.
    pub fn selections(&self) -> impl Iterator<Item = &Selection> {
        let (base, steps): (Option<&Selection>, &[SequenceStep]) = match self {
            WindowDef::Ratio { base, .. } | WindowDef::BurnRate { base, .. } => {
                (base.as_ref(), &[])
            }
            WindowDef::Sequence { steps, .. } => (None, steps),
            WindowDef::Count { .. }
            | WindowDef::Distinct { .. }
            | WindowDef::Sum { .. }
            | WindowDef::Rate { .. }
            | WindowDef::Measure { .. }
            | WindowDef::NewValue { .. }
            | WindowDef::Silence { .. }
            | WindowDef::Spike { .. }
            | WindowDef::Travel { .. }
            | WindowDef::Correlation(_) => (None, &[]),
        };
        base.into_iter()
            .chain(steps.iter().map(|step| &step.selection))
    }

    /// Length of the window.
    #[must_use]
    pub fn seconds(&self) -> u32 {
        match self {
            WindowDef::Count { seconds, .. }
            | WindowDef::Distinct { seconds, .. }
            | WindowDef::Sum { seconds, .. }
            | WindowDef::Ratio { seconds, .. }
            | WindowDef::Rate { seconds, .. }
            | WindowDef::Measure { seconds, .. }
            | WindowDef::Sequence { seconds, .. }
            | WindowDef::Silence { seconds } => *seconds,
            WindowDef::BurnRate { rates, .. } => {
                rates.iter().map(|rate| rate.long_s).max().unwrap_or(1)
            }
            WindowDef::NewValue { days, .. } => days.saturating_mul(SECONDS_PER_DAY),
            WindowDef::Spike { .. } => 3_600,
            WindowDef::Travel { speed_kmh, .. } => {
                let seconds = Travel::length_ns(*speed_kmh) / NS_PER_SECOND;
                u32::try_from(seconds).unwrap_or(u32::MAX)
            }
            WindowDef::Correlation(correlation) => correlation.seconds,
        }
    }

    /// The window as those who keep windows know it.
    #[must_use]
    pub fn spec(&self) -> WindowSpec {
        let (kind, threshold) = self.kind();
        WindowSpec {
            kind,
            length_ns: i64::from(self.seconds()) * NS_PER_SECOND,
            threshold,
        }
    }

    fn kind(&self) -> (WindowKind, u32) {
        match self {
            WindowDef::Count { threshold, .. } => (WindowKind::Count, *threshold),
            WindowDef::Distinct { threshold, .. } => (WindowKind::Distinct, *threshold),
            WindowDef::Sum { threshold, .. } => (WindowKind::Meter(Metered::sum(*threshold)), 1),
            WindowDef::Ratio {
                threshold,
                percent,
                over,
                ..
            } => {
                let share = Share {
                    thousandths: thousandths(*percent),
                    over: *over,
                };
                (WindowKind::Meter(Metered::Ratio(share)), *threshold)
            }
            WindowDef::Rate {
                seconds,
                per_second,
            } => rate(events(*per_second, *seconds)),
            WindowDef::BurnRate {
                objective,
                threshold,
                rates,
                ..
            } => (burn(*objective, rates), *threshold),
            WindowDef::Measure {
                seconds,
                of,
                bounds,
                threshold,
                ..
            } => (of.kind(bounds, *seconds), *threshold),
            WindowDef::Sequence { steps, .. } => (sequence(steps), 1),
            WindowDef::NewValue { .. } => (WindowKind::NewValue, 1),
            WindowDef::Silence { .. } => (WindowKind::Silence, 1),
            WindowDef::Spike {
                factor,
                threshold,
                days,
                baseline,
            } => (spike(*factor, *days, *baseline), *threshold),
            WindowDef::Travel {
                speed_kmh,
                distance_km,
                ..
            } => {
                let travel = Travel {
                    speed_kmh: *speed_kmh,
                    distance_km: *distance_km,
                };
                (WindowKind::Travel(travel), 1)
            }
            WindowDef::Correlation(correlation) => correlation.kind(),
        }
    }
}

fn sequence(steps: &[SequenceStep]) -> WindowKind {
    let counts: Vec<u32> = steps.iter().map(|step| step.count).collect();
    // A sequence that cannot be is refused when it is read.
    let measure = Sequence::new(&counts).map_or(Measure::Count, Measure::Sequence);
    WindowKind::Measure(measure, Bounds::default())
}

fn spike(factor: f64, days: u32, baseline: Baseline) -> WindowKind {
    WindowKind::Spike(Spike {
        factor_thousandths: thousandths(factor),
        days: u8::try_from(days).unwrap_or(u8::MAX),
        baseline,
    })
}

fn burn(objective: f64, rates: &[BurnRate]) -> WindowKind {
    // Pairs that cannot be are refused when they are read.
    let burn = Burn::new(budget(objective), rates);
    burn.map_or(WindowKind::Count, |burn| {
        WindowKind::Meter(Metered::Burn(burn))
    })
}

/// What an objective leaves, in thousandths of a percent.
pub(super) fn budget(objective: f64) -> u32 {
    thousandths(100.0).saturating_sub(thousandths(objective))
}

/// What a plain count can tell, it tells with every hit in its place.
fn rate(events: u64) -> (WindowKind, u32) {
    match u32::try_from(events).unwrap_or(u32::MAX) {
        count @ ..=THRESHOLD_MAX => (WindowKind::Count, count),
        count => (WindowKind::Meter(Metered::Rate), count),
    }
}

/// Events of a window that make a rate.
pub(super) fn events(per_second: f64, seconds: u32) -> u64 {
    let thousandths = u64::from(thousandths(per_second));
    (thousandths * u64::from(seconds)).div_ceil(1_000).max(1)
}

/// A number that is not negative, in thousandths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits"
)]
pub(super) fn thousandths(number: f64) -> u32 {
    (number * 1_000.0).round().clamp(0.0, f64::from(u32::MAX)) as u32
}
