//! The windows that keep no hits, against references that keep them all: batch by batch, in
//! whatever order hits come.

#![expect(clippy::cast_possible_truncation, reason = "small numbers made here")]

use super::*;
use std::collections::BTreeMap;

/// What a reference reports: it is told all hits so far, which of them are new, and the newest time
/// before them.
struct Reference<'r, T> {
    all: Vec<Hit>,
    reported: BTreeSet<u128>,
    /// Events that are reported by the hits so far.
    told: &'r T,
}

impl<T: Fn(&[Hit], &[Hit]) -> BTreeSet<u128>> Reference<'_, T> {
    fn apply(&mut self, spec: &WindowSpec, new: &[Hit]) -> BTreeSet<u128> {
        let newest = self.all.iter().map(|hit| hit.at_ns).max();
        let oldest = newest.map(|newest| newest.saturating_sub(spec.lateness_ns()));
        let in_time = new
            .iter()
            .filter(|hit| oldest.is_none_or(|at| hit.at_ns >= at));
        let new: Vec<Hit> = in_time.copied().collect();
        self.all.extend(&new);
        let told = (self.told)(&self.all, &new);
        let new = told.difference(&self.reported).copied().collect();
        self.reported.extend(&told);
        new
    }
}

/// Both must say the same of every batch, and states must survive being stored.
fn agree(
    spec: &WindowSpec,
    (hits, batch): (&[Hit], usize),
    told: &impl Fn(&[Hit], &[Hit]) -> BTreeSet<u128>,
) -> Result<u64, TestCaseError> {
    let mut reference = Reference {
        all: Vec::new(),
        reported: BTreeSet::new(),
        told,
    };
    let (mut state, mut total) = (WindowState::new(), 0);
    for hits in hits.chunks(batch) {
        let firings = state.apply(spec, hits);
        let added: u64 = firings.iter().map(|firing| firing.added).sum();
        let expected = reference.apply(spec, hits);
        prop_assert_eq!(added, expected.len() as u64, "of {:?}", hits);
        for event in firings.iter().flat_map(|firing| &firing.events) {
            prop_assert!(reference.reported.contains(event));
        }
        let again = WindowState::from_bytes(&state.to_bytes()).unwrap();
        prop_assert_eq!(&again, &state);
        total += added;
    }
    Ok(total)
}

fn windows(length: i64, hits: &[Hit]) -> impl Iterator<Item = Vec<&Hit>> {
    hits.iter().map(move |end| {
        let in_window = |hit: &&Hit| hit.at_ns <= end.at_ns && hit.at_ns > end.at_ns - length;
        hits.iter().filter(in_window).collect()
    })
}

fn metered(spec: &WindowSpec, metered: Metered, hits: &[Hit]) -> BTreeSet<u128> {
    let mut told = BTreeSet::new();
    for window in windows(spec.length_ns, hits) {
        let selected = window.iter().filter(|hit| match metered {
            Metered::Sum { .. } | Metered::Rate => true,
            Metered::Ratio(_) => hit.value & 1 == 1,
            Metered::Burn(_) => unreachable!("has a reference of its own"),
        });
        let selected: Vec<u128> = selected.map(|hit| hit.event).collect();
        let satisfied = match metered {
            Metered::Sum { least } => {
                let sum: f64 = window.iter().map(|hit| f64::from_bits(hit.value)).sum();
                (sum * 1e6).round() as i128 >= least
            }
            Metered::Rate => window.len() >= spec.threshold as usize,
            Metered::Ratio(share) => {
                let percent = selected.len() as f64 * 100.0 / window.len() as f64;
                let wanted = f64::from(share.thousandths) / 1000.0;
                let is_equal = (percent - wanted).abs() < 1e-9;
                selected.len() >= spec.threshold as usize
                    && if share.over {
                        percent > wanted && !is_equal
                    } else {
                        percent > wanted || is_equal
                    }
            }
            Metered::Burn(_) => unreachable!("has a reference of its own"),
        };
        if satisfied {
            told.extend(selected);
        }
    }
    told
}

const fn share(thousandths: u32, over: bool) -> Metered {
    Metered::Ratio(Share { thousandths, over })
}

/// Two pairs over a budget of a fifth: thousandths of bad events, seconds of the windows.
const PAIRS: [(u32, i64, i64); 2] = [(300, 120, 60), (200, 480, 120)];

fn burn() -> Burn {
    let pair = |(thousandths, long, short): (u32, i64, i64)| BurnRate {
        // Of a fifth.
        factor_thousandths: thousandths * 5,
        long_s: long as u32,
        short_s: short as u32,
    };
    Burn::new(20_000, &PAIRS.map(pair)).unwrap()
}

/// Bad events in windows that burn, by steps of a twentieth of the short window.
fn burnt(threshold: u32, hits: &[Hit]) -> BTreeSet<u128> {
    let mut told = BTreeSet::new();
    for (thousandths, long, short) in PAIRS {
        let step = short * NS / 20;
        for end in hits {
            let last = end.at_ns.div_euclid(step);
            let window = |seconds: i64| -> Vec<&Hit> {
                let steps = (seconds * NS + step - 1) / step;
                let is_in = |hit: &&Hit| {
                    let place = hit.at_ns.div_euclid(step);
                    place <= last && place > last - steps
                };
                hits.iter().filter(is_in).collect()
            };
            let bad = |window: &[&Hit]| -> Vec<u128> {
                let bad = window.iter().filter(|hit| hit.value & 1 == 1);
                bad.map(|hit| hit.event).collect()
            };
            let is_over =
                |window: &[&Hit]| bad(window).len() * 1_000 > window.len() * thousandths as usize;
            let (long, short) = (window(long), window(short));
            if bad(&long).len() >= threshold as usize && is_over(&long) && is_over(&short) {
                told.extend(bad(&long));
            }
        }
    }
    told
}

/// A measure of a window by its definition; hits are of one group, sorted by time.
fn number_of(measure: Measure, window: &[&Hit]) -> f64 {
    let values: Vec<f64> = window.iter().map(|hit| f64::from_bits(hit.value)).collect();
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    match measure {
        Measure::Average => values.iter().sum::<f64>() / values.len() as f64,
        Measure::Percentile(0) => sorted[0],
        Measure::Percentile(100_000) => sorted[sorted.len() - 1],
        Measure::Percentile(thousandths) => {
            let place = (sorted.len() - 1) as f64 * f64::from(thousandths) / 100_000.0;
            let (low, part) = (place.floor() as usize, place.fract());
            let next = sorted.get(low + 1).copied().unwrap_or(sorted[low]);
            sorted[low] + (next - sorted[low]) * part
        }
        Measure::Increase => {
            let steps = values.windows(2).map(|two| match two[1] < two[0] {
                true => two[1],
                false => two[1] - two[0],
            });
            steps.sum()
        }
        others @ (Measure::Count
        | Measure::Distinct
        | Measure::Sum
        | Measure::Share
        | Measure::Ordered(_)
        | Measure::Chain(_)
        | Measure::Sequence(_)) => unreachable!("{others:?} is compared elsewhere"),
    }
}

fn measured(spec: &WindowSpec, (measure, bound): (Measure, f64), all: &[Hit]) -> BTreeSet<u128> {
    let mut hits = all.to_vec();
    hits.sort_by_key(|hit| (hit.at_ns, hit.event));
    let mut told = BTreeSet::new();
    for window in windows(spec.length_ns, &hits) {
        if window.len() >= spec.threshold as usize && number_of(measure, &window) > bound {
            told.extend(window.iter().map(|hit| hit.event));
        }
    }
    told
}

fn is_new(length: i64, hit: &Hit, known: &[&Hit]) -> bool {
    let is_in = |one: &&&Hit, until: i64| one.at_ns > hit.at_ns - length && one.at_ns <= until;
    let seen = known.iter().filter(|one| is_in(one, hit.at_ns));
    let history = known.iter().filter(|one| is_in(one, hit.at_ns - 1));
    seen.clone().all(|one| one.value != hit.value) && history.count() > 0
}

/// Those of a batch that are new, in the order of their times.
fn novelties(length: i64, all: &[Hit], new: &[Hit]) -> BTreeSet<u128> {
    let mut new: Vec<&Hit> = new.iter().collect();
    new.sort_by_key(|hit| (hit.at_ns, hit.event));
    let is_old = |hit: &&Hit| new.iter().all(|one| one.event != hit.event);
    let mut known: Vec<&Hit> = all.iter().filter(is_old).collect();
    let mut told = BTreeSet::new();
    for hit in new.clone() {
        if is_new(length, hit, &known) {
            told.insert(hit.event);
        }
        known.push(hit);
    }
    told
}

const HOUR: i64 = 3_600 * NS;

/// Those of hours that hold too much, when the hits of a batch come hour by hour.
fn spikes(spec: &WindowSpec, spike: Spike, (all, new): (&[Hit], &[Hit])) -> BTreeSet<u128> {
    let mut by_hour: BTreeMap<i64, Vec<Hit>> = BTreeMap::new();
    for hit in new {
        let hour = hit.at_ns.div_euclid(HOUR);
        by_hour.entry(hour).or_default().push(*hit);
    }
    let is_old = |hit: &&Hit| new.iter().all(|one| one.event != hit.event);
    let mut known: Vec<Hit> = all.iter().filter(is_old).copied().collect();
    let mut told = BTreeSet::new();
    for hits in by_hour.into_values() {
        known.extend(hits);
        told.extend(newest_spikes(spec, spike, &known));
    }
    told
}

/// Those of the newest two hours, where they hold too much, by counting.
fn newest_spikes(spec: &WindowSpec, spike: Spike, all: &[Hit]) -> BTreeSet<u128> {
    let mut hours: BTreeMap<i64, Vec<u128>> = BTreeMap::new();
    for hit in all {
        hours
            .entry(hit.at_ns.div_euclid(HOUR))
            .or_default()
            .push(hit.event);
    }
    let first = *hours.keys().next().unwrap();
    let newest = *hours.keys().last().unwrap();
    let count = |hour: i64| hours.get(&hour).map_or(0, Vec::len);
    let days = i64::from(spike.days);
    let mut told = BTreeSet::new();
    for hour in [newest - 1, newest] {
        let compared: Vec<i64> = match spike.baseline {
            Baseline::SameHour => (1..=days).map(|day| hour - 24 * day).collect(),
            Baseline::EveryHour => (1..=24 * days).map(|back| hour - back).collect(),
            Baseline::HourOfWeek => (1..=days / 7).map(|week| hour - 168 * week).collect(),
        };
        let compared: Vec<i64> = compared.into_iter().filter(|hour| *hour >= first).collect();
        let least = if spike.baseline == Baseline::EveryHour {
            24
        } else {
            1
        };
        if compared.len() < least {
            continue;
        }
        let sum: usize = compared.iter().map(|hour| count(*hour)).sum();
        let average = sum as f64 / compared.len() as f64;
        let factor = f64::from(spike.factor_thousandths) / 1000.0;
        let is_spike = count(hour) as f64 > average * factor + 1e-9;
        if count(hour) >= spec.threshold as usize && is_spike {
            told.extend(hours.get(&hour).into_iter().flatten());
        }
    }
    told
}

/// Berlin, Hamburg, New York, Fiji, Samoa.
const PLACES: [(f64, f64); 5] = [
    (52.52, 13.405),
    (53.5511, 9.9937),
    (40.7128, -74.006),
    (-18.1248, 178.4501),
    (-13.8507, -171.7514),
];
const FAST: Travel = Travel {
    speed_kmh: 900,
    distance_km: 500,
};

/// Ends of impossible journeys between neighbours in time, of which one is new.
fn journeys(all: &[Hit], new: &[Hit]) -> BTreeSet<u128> {
    let mut sorted: Vec<&Hit> = all.iter().collect();
    sorted.sort_by_key(|hit| (hit.at_ns, hit.event));
    let mut told = BTreeSet::new();
    for pair in sorted.windows(2) {
        let is_new = pair
            .iter()
            .any(|hit| new.iter().any(|one| one.event == hit.event));
        let distance = distance_km(pair[0].value, pair[1].value);
        let hours = (pair[1].at_ns - pair[0].at_ns) as f64 / HOUR as f64;
        if is_new && distance > 500.0 && distance > 900.0 * hours {
            told.extend(pair.iter().map(|hit| hit.event));
        }
    }
    told
}

/// Hits over ten days, crowded into a few hours of each.
fn days() -> impl Strategy<Value = Vec<Hit>> {
    let hits = prop::collection::vec((0..10_i64, 0..3_i64, 0..3_600_i64), 1..150);
    hits.prop_map(|hits| {
        let at = |(day, hour, second)| (day * 24 + hour) * 3_600 + second;
        let hits = hits.into_iter().map(at).zip(0..);
        hits.map(|(second, event)| hit(second, 0, event)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn meters_equal_the_reference(
        (_, hits) in arrivals(),
        seconds in 1..120_i64,
        threshold in 1..6_u32,
        which in 0..5_usize,
        batch in 1..20_usize,
    ) {
        let kinds = [
            Metered::sum(7.5), Metered::Rate, share(40_000, false), share(50_000, true), share(100_000, false),
        ];
        let kind = kinds[which];
        let valued = |hit: &Hit| Hit {
            value: match kind {
                // Negative ones too.
                Metered::Sum { .. } => (hit.value as f64 * 1.5 - 2.0).to_bits(),
                Metered::Rate => 0,
                Metered::Ratio(_) | Metered::Burn(_) => weighed(1, hit.value < 3),
            },
            ..*hit
        };
        let hits: Vec<Hit> = hits.iter().map(valued).collect();
        let spec = spec(WindowKind::Meter(kind), seconds, threshold);
        agree(&spec, (&hits, batch), &|all, _| metered(&spec, kind, all))?;
    }

    #[test]
    fn burn_rates_equal_the_reference(
        (_, hits) in arrivals(),
        threshold in 1..6_u32,
        scale in 1..40_i64,
        batch in 1..20_usize,
    ) {
        // Spread far enough, most come too late, and what is kept is kept in longer steps.
        let valued = |hit: &Hit| Hit {
            at_ns: hit.at_ns * scale / 4,
            value: weighed(1, hit.value < 2),
            ..*hit
        };
        let hits: Vec<Hit> = hits.iter().map(valued).collect();
        let spec = spec(WindowKind::Meter(Metered::Burn(burn())), 480, threshold);
        agree(&spec, (&hits, batch), &|all, _| burnt(threshold, all))?;
    }

    #[test]
    fn measures_equal_the_reference_batch_by_batch(
        (_, hits) in arrivals(),
        seconds in 1..120_i64,
        threshold in 1..5_u32,
        which in 0..5_usize,
        batch in 1..20_usize,
    ) {
        let measure = [
            Measure::Average,
            Measure::Percentile(0),
            Measure::Percentile(100_000),
            Measure::Percentile(95_000),
            Measure::Increase,
        ][which];
        let valued = |hit: &Hit| Hit { value: (hit.value as f64 * 1.5).to_bits(), ..*hit };
        let hits: Vec<Hit> = hits.iter().map(valued).collect();
        let bounds = Bounds::new(&[(Bound::Gt, 2.5)]).unwrap();
        let spec = spec(WindowKind::Measure(measure, bounds), seconds, threshold);
        agree(&spec, (&hits, batch), &|all, _| measured(&spec, (measure, 2.5), all))?;
    }

    #[test]
    fn new_values_equal_the_reference(
        (sorted, shuffled) in arrivals(),
        seconds in 1..300_i64,
        batch in 1..20_usize,
    ) {
        let spec = spec(WindowKind::NewValue, seconds, 1);
        let told = |all: &[Hit], new: &[Hit]| novelties(spec.length_ns, all, new);
        agree(&spec, (&shuffled, batch), &told)?;
        // In the order of their times it does not matter how they are cut.
        let mut sorted = sorted;
        sorted.sort_by_key(|hit| (hit.at_ns, hit.event));
        let whole = agree(&spec, (&sorted, 1_000), &told)?;
        prop_assert_eq!(agree(&spec, (&sorted, batch), &told)?, whole);
    }

    #[test]
    fn spikes_equal_the_reference(
        hits in days(),
        threshold in 1..6_u32,
        which in 0..3_usize,
        batch in 1..40_usize,
    ) {
        let baseline = [Baseline::SameHour, Baseline::EveryHour, Baseline::HourOfWeek][which];
        let spike = Spike { factor_thousandths: 1_500, days: 14, baseline };
        let spec = WindowSpec { kind: WindowKind::Spike(spike), length_ns: HOUR, threshold };
        let told = |all: &[Hit], new: &[Hit]| spikes(&spec, spike, (all, new));
        agree(&spec, (&hits, batch), &told)?;
        // In the order of their times it does not matter how they are cut.
        let mut sorted = hits;
        sorted.sort_by_key(|hit| (hit.at_ns, hit.event));
        let whole = agree(&spec, (&sorted, 1_000), &told)?;
        prop_assert_eq!(agree(&spec, (&sorted, batch), &told)?, whole);
    }

    #[test]
    fn journeys_equal_the_reference((_, hits) in arrivals(), batch in 1..20_usize, scale in 1..60_i64) {
        let placed = |hit: &Hit| {
            let (latitude, longitude) = PLACES[hit.value as usize % PLACES.len()];
            Hit { at_ns: hit.at_ns * scale / 10, value: place(latitude, longitude).unwrap(), ..*hit }
        };
        let hits: Vec<Hit> = hits.iter().map(placed).collect();
        let spec = WindowSpec { kind: WindowKind::Travel(FAST), length_ns: Travel::length_ns(FAST.speed_kmh), threshold: 1 };
        agree(&spec, (&hits, batch), &journeys)?;
    }

    /// The clock never passes what is still to come, as whoever ticks has to see to.
    #[test]
    fn silences_equal_the_reference(
        (_, hits) in arrivals(),
        seconds in 1..60_i64,
        batch in 1..20_usize,
    ) {
        let spec = spec(WindowKind::Silence, seconds, 1);
        let (mut state, mut silent) = (WindowState::new(), Vec::new());
        // So few that all their pauses are kept.
        let hits: Vec<Hit> = hits.into_iter().take(GAPS_MAX).collect();
        let mut rest = hits.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            rest = later;
            prop_assert!(state.apply(&spec, now).is_empty());
            let clock = later.iter().map(|hit| hit.at_ns - 1).min().unwrap_or(1_000 * NS);
            let due = state.due_at_ns(&spec);
            let firings = state.tick(&spec, clock);
            prop_assert_eq!(due.is_some_and(|due| due <= clock), !firings.is_empty());
            silent.extend(firings.iter().map(|firing| firing.first_ns));
            state = WindowState::from_bytes(&state.to_bytes()).unwrap();
        }
        let mut times: Vec<i64> = hits.iter().map(|hit| hit.at_ns).collect();
        times.sort_unstable();
        times.push(i64::MAX);
        let pauses = times.windows(2).filter(|pair| pair[1] - pair[0] > spec.length_ns);
        let expected: Vec<i64> = pauses.map(|pair| pair[0]).collect();
        silent.sort_unstable();
        prop_assert_eq!(silent, expected);
    }
}

/// One window of each kind.
fn kinds() -> Vec<WindowSpec> {
    let spike = Spike {
        factor_thousandths: 3_000,
        days: 7,
        baseline: Baseline::EveryHour,
    };
    let sequence = Measure::Sequence(Sequence::new(&SEQUENCE).unwrap());
    let kinds = [
        WindowKind::Count,
        WindowKind::Distinct,
        WindowKind::Measure(sequence, Bounds::default()),
        WindowKind::Meter(Metered::sum(10.0)),
        WindowKind::Meter(Metered::Rate),
        WindowKind::Meter(share(50_000, true)),
        WindowKind::Meter(Metered::Burn(burn())),
        WindowKind::Measure(Measure::Increase, Bounds::default()),
        WindowKind::NewValue,
        WindowKind::Silence,
        WindowKind::Spike(spike),
        WindowKind::Travel(FAST),
    ];
    kinds.map(|kind| spec(kind, 60, 3)).into()
}

proptest! {
    /// Whatever a state says, hits and clocks are taken without a fault.
    #[test]
    fn any_state_goes_on(
        which in 0..12_usize,
        folded in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        hits in prop::collection::vec((any::<i64>(), any::<u64>(), any::<u128>()), 0..20),
    ) {
        let spec = kinds()[which];
        let tag = spec.kind.tag();
        let first = if tag < 0x10 && folded { 0x20 | tag } else { 0x10 + tag };
        if let Ok(mut state) = WindowState::from_bytes(&[vec![first], bytes].concat()) {
            prop_assert_eq!(WindowState::from_bytes(&state.to_bytes()), Ok(state.clone()));
            let hits: Vec<Hit> = hits.iter().map(|(at_ns, value, event)| Hit {
                at_ns: *at_ns, value: *value, event: *event,
            }).collect();
            state.apply(&spec, &hits);
            state.tick(&spec, hits.first().map_or(0, |hit| hit.at_ns));
            prop_assert_eq!(WindowState::from_bytes(&state.to_bytes()), Ok(state.clone()));
            let _ = (state.due_at_ns(&spec), state.expires_at_ns(&spec));
        }
    }
}

#[test]
fn a_storm_is_metered_exactly_in_bounded_memory() {
    let spec = spec(WindowKind::Meter(Metered::Rate), 60, 20_000);
    let (mut state, mut added) = (WindowState::new(), 0);
    for batch in 0..100_i64 {
        let at = |n: i64| batch * NS + n * 1_000_000;
        let event = |n: i64| (batch * 1000 + n) as u128;
        let hits: Vec<Hit> = (0..1000)
            .map(|n| Hit {
                at_ns: at(n),
                value: 0,
                event: event(n),
            })
            .collect();
        let firings = state.apply(&spec, &hits);
        added += firings.iter().map(|firing| firing.added).sum::<u64>();
        state = WindowState::from_bytes(&state.to_bytes()).unwrap();
    }
    assert_eq!(added, 100_000);
    assert!(state.len() <= PILES_MAX && state.to_bytes().len() < 15_000);
}

/// What is levelled reaches back a sixtieth further, and no less far.
#[test]
fn levelled_windows_hold_what_is_in_them_and_a_sixtieth_more() {
    let spec = spec(WindowKind::Meter(Metered::Rate), 600, 3_000);
    let fires = |last_s: i64| {
        let mut state = WindowState::new();
        let hits: Vec<Hit> = (0..2_999)
            .map(|n| Hit {
                at_ns: n * 1_000_000,
                value: 0,
                event: n as u128,
            })
            .collect();
        assert!(state.apply(&spec, &hits).is_empty());
        assert!(state.len() < 10);
        !state.apply(&spec, &[hit(last_s, 0, 9_999)]).is_empty()
    };
    assert!(fires(599) && !fires(600 + 10 + 3));
}

#[test]
fn values_of_a_group_are_bounded_and_those_seen_last_stay() {
    let spec = spec(WindowKind::NewValue, 86_400, 1);
    let mut state = WindowState::new();
    let many: Vec<Hit> = (0..10_000).map(|n| hit(n, n as u64, n as u128)).collect();
    let added: u64 = state
        .apply(&spec, &many)
        .iter()
        .map(|firing| firing.added)
        .sum();
    assert_eq!((added, state.len()), (9_999, VALUES_MAX));
    assert!(
        state
            .apply(&spec, &[hit(10_000, 9_999, 1 << 70)])
            .is_empty()
    );
    assert_eq!(state.apply(&spec, &[hit(10_001, 1, 2 << 70)]).len(), 1);
}

#[test]
fn distances_are_those_of_the_globe() {
    let at = |(latitude, longitude)| place(latitude, longitude).unwrap();
    let [berlin, hamburg, new_york, fiji, samoa] = PLACES.map(at);
    for (one, other, kilometres) in [
        (berlin, hamburg, 255.0),
        (berlin, new_york, 6_385.0),
        (fiji, samoa, 1_150.0),
        (berlin, berlin, 0.0),
        (at((90.0, 0.0)), at((-90.0, 0.0)), 20_015.0),
    ] {
        let distance = distance_km(one, other);
        assert!(
            (distance - kilometres).abs() < 5.0,
            "{distance} instead of {kilometres}"
        );
        assert!((distance - distance_km(other, one)).abs() < 1e-6);
    }
    assert!(f64::from(FARTHEST_KM) >= distance_km(at((90.0, 0.0)), at((-90.0, 0.0))));
    assert_eq!(place(0.0, 0.0), None);
    assert_eq!(place(90.1, 0.0), None);
    assert_eq!(place(f64::NAN, 1.0), None);
}

#[test]
fn a_baseline_that_grows_keeps_its_counters() {
    let days = |days| {
        let spike = Spike {
            factor_thousandths: 3_000,
            days,
            baseline: Baseline::SameHour,
        };
        WindowSpec {
            kind: WindowKind::Spike(spike),
            length_ns: HOUR,
            threshold: 1,
        }
    };
    let mut state = WindowState::new();
    let hours = |day: i64, count: i64| -> Vec<Hit> {
        (0..count)
            .map(|n| hit(day * 86_400 + n, 0, (day * 100 + n) as u128))
            .collect()
    };
    assert!(state.apply(&days(1), &hours(0, 10)).is_empty());
    assert!(state.apply(&days(14), &hours(1, 20)).is_empty());
    let firings = state.apply(&days(14), &hours(2, 46));
    assert_eq!(firings[0].added, 46);
    assert!(state.to_bytes().len() < 500);
}

/// A state whose time is over may be deleted or not: hours of before say nothing either way.
#[test]
fn a_group_that_was_silent_for_too_long_has_no_history() {
    let spike = Spike {
        factor_thousandths: 3_000,
        days: 1,
        baseline: Baseline::SameHour,
    };
    let spec = WindowSpec {
        kind: WindowKind::Spike(spike),
        length_ns: HOUR,
        threshold: 1,
    };
    let burst = |hour: i64| -> Vec<Hit> {
        (0..20)
            .map(|n| hit(hour * 3_600 + n, 0, (hour * 100 + n) as u128))
            .collect()
    };
    // A day and two hours are remembered.
    for (later, fires) in [
        (25, true),
        (26, true),
        (27, false),
        (28, false),
        (500, false),
    ] {
        let mut state = WindowState::new();
        assert!(state.apply(&spec, &burst(0)).is_empty());
        let is_over = state.expires_at_ns(&spec) <= later * HOUR;
        assert!(!(is_over && fires), "{later}");
        let fired = !state.apply(&spec, &burst(later)).is_empty();
        assert_eq!(fired, fires, "{later}");
    }
}
