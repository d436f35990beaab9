#![expect(
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small numbers made here"
)]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const fn spec(kind: WindowKind, seconds: i64, threshold: u32) -> WindowSpec {
    WindowSpec {
        kind,
        length_ns: seconds * NS,
        threshold,
    }
}

fn hit(second: i64, value: u64, event: u128) -> Hit {
    Hit {
        at_ns: second * NS,
        value,
        event,
    }
}

mod burn;
mod compared;

#[test]
fn five_within_the_window_fire_and_four_do_not() {
    let spec = spec(WindowKind::Count, 300, 5);
    let mut state = WindowState::new();
    let hits: Vec<Hit> = (0..5).map(|n| hit(n * 10, 0, n as u128)).collect();
    assert!(state.apply(&spec, &hits[..4]).is_empty());
    let firings = state.apply(&spec, &hits[4..]);
    assert_eq!(
        firings,
        [Firing {
            first_ns: 0,
            last_ns: 40 * NS,
            first_event: 0,
            added: 5,
            peak: 5,
            events: vec![0, 1, 2, 3, 4],
        }]
    );
    // The next one belongs to the same episode and is reported alone.
    let firings = state.apply(&spec, &[hit(50, 0, 9)]);
    assert_eq!((firings[0].first_event, firings[0].added), (0, 1));
}

#[test]
fn the_window_is_open_at_its_old_end() {
    let spec = spec(WindowKind::Count, 60, 2);
    let fires = |second| {
        let mut state = WindowState::new();
        !state
            .apply(&spec, &[hit(0, 0, 1), hit(second, 0, 2)])
            .is_empty()
    };
    assert!(fires(59) && !fires(60));
}

#[test]
fn a_redelivered_hit_counts_once() {
    let spec = spec(WindowKind::Count, 60, 2);
    let mut state = WindowState::new();
    assert!(state.apply(&spec, &[hit(0, 0, 1)]).is_empty());
    assert!(state.apply(&spec, &[hit(0, 0, 1)]).is_empty());
    assert_eq!(state.apply(&spec, &[hit(1, 0, 2)]).len(), 1);
    assert!(state.apply(&spec, &[hit(1, 0, 2), hit(0, 0, 1)]).is_empty());
}

#[test]
fn different_values_count_and_repeated_ones_do_not() {
    let spec = spec(WindowKind::Distinct, 600, 3);
    let mut state = WindowState::new();
    assert!(
        state
            .apply(
                &spec,
                &(0..50)
                    .map(|n| hit(n, n as u64 % 2, n as u128))
                    .collect::<Vec<_>>()
            )
            .is_empty()
    );
    assert_eq!(state.apply(&spec, &[hit(60, 7, 99)])[0].peak, 3);
}

#[test]
fn a_late_hit_completes_a_window_and_a_very_late_one_is_ignored() {
    let spec = spec(WindowKind::Count, 60, 3);
    let mut state = WindowState::new();
    assert!(
        state
            .apply(&spec, &[hit(1000, 0, 1), hit(1010, 0, 2), hit(1500, 0, 3)])
            .is_empty()
    );
    let firings = state.apply(&spec, &[hit(1005, 0, 4)]);
    assert_eq!((firings[0].added, firings[0].first_ns), (3, 1000 * NS));
    assert!(
        state
            .apply(&spec, &[hit(0, 0, 5), hit(1, 0, 6), hit(2, 0, 7)])
            .is_empty()
    );
}

#[test]
fn a_storm_is_counted_exactly_in_bounded_memory() {
    let spec = spec(WindowKind::Count, 60, 10);
    let mut state = WindowState::new();
    let mut added = 0;
    for batch in 0..100_i64 {
        let hits: Vec<Hit> = (0..1000)
            .map(|n| Hit {
                at_ns: batch * NS + n * 1_000_000,
                value: 0,
                event: (batch * 1000 + n) as u128,
            })
            .collect();
        added += state
            .apply(&spec, &hits)
            .iter()
            .map(|firing| firing.added)
            .sum::<u64>();
    }
    assert_eq!(added, 100_000);
    assert!(state.len() <= 60, "{} hits kept", state.len());
    assert!(state.to_bytes().len() < 1_500);
}

#[test]
fn the_bound_on_kept_hits_holds_for_every_threshold_and_length() {
    for seconds in [1, 60, 600, 3600, i64::from(WINDOW_SECONDS_MAX)] {
        for threshold in [1, 5, 100, THRESHOLD_MAX] {
            let spec = spec(WindowKind::Count, seconds, threshold);
            let cells = (spec.length_ns + spec.lateness_ns()) / spec.length_ns + 1;
            assert!(
                2 * i64::from(threshold) * cells <= HITS_KEPT_MAX,
                "{seconds} {threshold}"
            );
            assert!(
                spec.lateness_ns() >= spec.length_ns.min(LATENESS_NS_MAX),
                "{seconds} {threshold}"
            );
        }
    }
}

/// Hits of one value that wait for others are counted when these come, however many they are.
#[test]
fn hits_that_wait_for_other_values_are_counted() {
    let spec = spec(WindowKind::Distinct, 600, 3);
    for (hits, batch) in [(100_i64, 7), (1_000, 50), (100_000, 2_000)] {
        let mut state = WindowState::new();
        let same: Vec<Hit> = (0..hits)
            .map(|n| Hit {
                at_ns: n * 300 * NS / hits,
                value: 1,
                event: n as u128,
            })
            .collect();
        for batch in same.chunks(batch) {
            assert!(state.apply(&spec, batch).is_empty());
            state = WindowState::from_bytes(&state.to_bytes()).unwrap();
        }
        assert!(
            state.len() <= DISTINCT_KEPT_MAX,
            "{} hits kept",
            state.len()
        );
        assert!(state.apply(&spec, &[hit(301, 2, 1 << 64)]).is_empty());
        let firings = state.apply(&spec, &[hit(302, 3, 2 << 64)]);
        assert_eq!(firings[0].added, hits as u64 + 2);
        assert_eq!(state.apply(&spec, &[hit(303, 1, 3 << 64)])[0].added, 1);
    }
}

#[test]
fn one_event_is_not_two_steps_of_a_sequence() {
    let kind = |counts| {
        let measure = Measure::Sequence(Sequence::new(counts).unwrap());
        WindowKind::Measure(measure, Bounds::default())
    };
    let both = |second, event| [hit(second, 0, event), hit(second, 1, event)];
    let spec_ab = spec(kind(&[1, 1]), 60, 1);
    let mut state = WindowState::new();
    assert!(state.apply(&spec_ab, &both(0, 1)).is_empty());
    assert_eq!(state.apply(&spec_ab, &both(10, 2)).len(), 1);
    // Of two at once either may be the first.
    assert_eq!(
        WindowState::new()
            .apply(&spec_ab, &[hit(0, 1, 1), hit(0, 0, 2)])
            .len(),
        1
    );
    let spec_aab = spec(kind(&[2, 1]), 60, 1);
    let mut state = WindowState::new();
    assert!(
        state
            .apply(&spec_aab, &[hit(0, 0, 1), hit(1, 1, 2)])
            .is_empty()
    );
    assert!(state.apply(&spec_aab, &[hit(2, 0, 3)]).is_empty());
    assert_eq!(state.apply(&spec_aab, &[hit(3, 1, 4)])[0].added, 4);
}

#[test]
fn sequences_that_cannot_be_are_none() {
    assert_eq!(Sequence::new(&[]), None);
    assert_eq!(Sequence::new(&[1, 0]), None);
    assert_eq!(Sequence::new(&[SEQUENCE_HITS_MAX, 1]), None);
    assert_eq!(Sequence::new(&[1; CHAIN_MAX + 1]), None);
    assert!(Sequence::new(&[1; CHAIN_MAX]).is_some());
}

#[test]
fn a_changed_rule_begins_anew() {
    let mut state = WindowState::new();
    state.apply(&spec(WindowKind::Count, 60, 2), &[hit(0, 0, 1)]);
    assert!(
        state
            .apply(&spec(WindowKind::Distinct, 60, 2), &[hit(1, 5, 2)])
            .is_empty()
    );
}

#[test]
fn states_expire_when_nothing_can_reach_them() {
    let spec = spec(WindowKind::Count, 60, 2);
    let mut state = WindowState::new();
    state.apply(&spec, &[hit(0, 0, 1)]);
    assert_eq!(state.expires_at_ns(&spec), 660 * NS);
}

/// All hits that lie in a satisfied window, tried window by window.
fn reference(spec: &WindowSpec, hits: &[Hit]) -> BTreeSet<u128> {
    let mut covered = BTreeSet::new();
    for end in hits {
        let window: Vec<&Hit> = hits
            .iter()
            .filter(|hit| hit.at_ns <= end.at_ns && hit.at_ns > end.at_ns - spec.length_ns)
            .collect();
        let count = match spec.kind {
            WindowKind::Count => window.len(),
            WindowKind::Distinct => window
                .iter()
                .map(|hit| hit.value)
                .collect::<BTreeSet<_>>()
                .len(),
            WindowKind::Measure(measure, _) => usize::from(measured(measure, &window, hits)),
            WindowKind::Meter(_)
            | WindowKind::NewValue
            | WindowKind::Silence
            | WindowKind::Spike(_)
            | WindowKind::Travel(_) => unreachable!("has a reference of its own"),
        };
        if count >= spec.threshold as usize {
            covered.extend(window.iter().map(|hit| hit.event));
        }
    }
    covered
}

/// The bounds of the measured windows below: at least this.
const LEAST: f64 = 4.0;
/// Two steps, the first of which needs two hits within ten seconds.
const NEEDS: [Need; 2] = [
    Need {
        hits: 2,
        seconds: 10,
    },
    Need {
        hits: 1,
        seconds: 0,
    },
];

/// Hits of the steps of a sequence.
const SEQUENCE: [u32; 3] = [2, 1, 2];

/// A measure of a window by its definition; the window ends with the last of its hits.
fn measured(measure: Measure, window: &[&Hit], all: &[Hit]) -> bool {
    let numbers: Vec<f64> = window.iter().map(|hit| f64::from_bits(hit.value)).collect();
    let sum: f64 = numbers.iter().sum();
    let hits = f64::from(u32::try_from(window.len()).unwrap());
    let at_least = |wanted: f64| wanted >= LEAST - 1e-9;
    match measure {
        Measure::Count => at_least(hits),
        Measure::Distinct => {
            let values: BTreeSet<u64> = window.iter().map(|hit| hit.value).collect();
            at_least(f64::from(u32::try_from(values.len()).unwrap()))
        }
        Measure::Sum => at_least(sum),
        Measure::Average => at_least(sum / hits),
        Measure::Percentile(_) => {
            // The median: of an even number the middle of the middle two.
            let mut sorted = numbers;
            sorted.sort_by(f64::total_cmp);
            let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
            at_least(f64::midpoint(sorted[low], sorted[high]))
        }
        Measure::Share => unreachable!("which of one instant is last has no definition"),
        Measure::Increase => unreachable!("is compared batch by batch"),
        Measure::Ordered(steps) => {
            let mut at = vec![None; usize::from(steps)];
            in_order(&mut at, 0, window)
        }
        Measure::Sequence(_) => {
            let mut steps: Vec<(i64, u64)> =
                window.iter().map(|hit| (hit.at_ns, hit.value)).collect();
            // What happens at once happens in the order that is asked for.
            steps.sort_unstable();
            let mut steps = steps.iter().map(|(_, step)| *step);
            let mut wanted = SEQUENCE.iter().zip(0_u64..);
            wanted.all(|(count, step)| (0..*count).all(|_| steps.any(|one| one == step)))
        }
        Measure::Chain(_) => {
            let reached = |hit: &&&Hit| {
                let before = all.iter().filter(|one| {
                    let apart = hit.at_ns - one.at_ns;
                    one.value == 0 && (0..10 * NS).contains(&apart)
                });
                hit.value == 0 && before.count() >= 2
            };
            let end = window.iter().map(|hit| hit.at_ns).max();
            let ends = |hit: &&&Hit| Some(hit.at_ns) == end && (hit.value == 1 || reached(hit));
            // It ends with what reaches a step.
            window.iter().any(|hit| ends(&hit))
                && window.iter().any(|hit| reached(&hit))
                && window.iter().any(|hit| hit.value == 1)
        }
    }
}

/// Whether hits of all steps follow upon one another, by trying them all.
fn in_order(at: &mut Vec<Option<i64>>, step: usize, window: &[&Hit]) -> bool {
    if step == at.len() {
        return true;
    }
    let before = step.checked_sub(1).and_then(|before| at[before]);
    window.iter().any(|hit| {
        let follows = before.is_none_or(|before| hit.at_ns >= before);
        at[step] = Some(hit.at_ns);
        hit.value == step as u64 && follows && in_order(at, step + 1, window)
    })
}

/// Hits within the allowed lateness of each other, and an order in which they come.
fn arrivals() -> impl Strategy<Value = (Vec<Hit>, Vec<Hit>)> {
    prop::collection::vec((0..500_i64, 0..6_u64), 1..60).prop_flat_map(|hits| {
        let hits: Vec<Hit> = hits
            .into_iter()
            .zip(0..)
            .map(|((second, value), event)| hit(second, value, event))
            .collect();
        (Just(hits.clone()), Just(hits).prop_shuffle())
    })
}

fn run(spec: &WindowSpec, hits: &[Hit], batch: usize) -> (WindowState, u64, BTreeSet<u128>) {
    let mut state = WindowState::new();
    let (mut added, mut events) = (0, BTreeSet::new());
    for hits in hits.chunks(batch) {
        for firing in state.apply(spec, hits) {
            added += firing.added;
            events.extend(firing.events);
        }
        // Every state survives being stored.
        state = WindowState::from_bytes(&state.to_bytes()).unwrap();
    }
    (state, added, events)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn counts_equal_the_reference_in_any_order_and_any_batches(
        (sorted, shuffled) in arrivals(),
        seconds in 1..120_i64,
        threshold in 1..8_u32,
        batch in 1..20_usize,
    ) {
        let spec = spec(WindowKind::Count, seconds, threshold);
        let expected = reference(&spec, &sorted);
        let (state, added, events) = run(&spec, &sorted, 1000);
        prop_assert_eq!(added, expected.len() as u64);
        let (other, other_added, _) = run(&spec, &shuffled, batch);
        prop_assert_eq!(other_added, expected.len() as u64);
        prop_assert!(events.is_subset(&expected));
        prop_assert_eq!(state, other);
    }

    #[test]
    fn distinct_windows_fire_exactly_when_the_reference_does(
        (sorted, shuffled) in arrivals(),
        seconds in 1..120_i64,
        threshold in 1..6_u32,
        batch in 1..20_usize,
    ) {
        let spec = spec(WindowKind::Distinct, seconds, threshold);
        let expected = reference(&spec, &sorted);
        let (state, added, _) = run(&spec, &sorted, 1000);
        prop_assert_eq!(added, expected.len() as u64);
        let (other, other_added, events) = run(&spec, &shuffled, batch);
        prop_assert_eq!(other_added, expected.len() as u64);
        prop_assert!(events.is_subset(&expected));
        // What is kept decides the same: both satisfy the same windows from here on.
        let probe: Vec<Hit> = (0..5).map(|n| hit(500 + n, n as u64, 1000 + n as u128)).collect();
        let peak = |mut state: WindowState| {
            let firings = state.apply(&spec, &probe);
            firings.iter().map(|firing| (firing.last_ns, firing.peak.min(threshold))).collect::<Vec<_>>()
        };
        prop_assert_eq!(peak(state), peak(other));
    }

    #[test]
    fn measures_equal_the_reference(
        (sorted, shuffled) in arrivals(),
        seconds in 1..120_i64,
        which in 0..8_usize,
        batch in 1..20_usize,
    ) {
        let measure = [
            Measure::Sum,
            Measure::Ordered(3),
            Measure::Chain(Chain::new(&NEEDS, false).unwrap()),
            Measure::Count,
            Measure::Distinct,
            Measure::Average,
            Measure::Percentile(50_000),
            Measure::Sequence(Sequence::new(&SEQUENCE).unwrap()),
        ][which];
        let is_numeric = matches!(measure, Measure::Sum | Measure::Average | Measure::Percentile(_));
        let valued = |hits: &[Hit]| -> Vec<Hit> {
            let value = |hit: &Hit| if is_numeric { (hit.value as f64).to_bits() } else { hit.value };
            hits.iter().map(|hit| Hit { value: value(hit), ..*hit }).collect()
        };
        let (sorted, shuffled) = (valued(&sorted), valued(&shuffled));
        let bounds = Bounds::new(&[(Bound::Gte, LEAST)]).unwrap();
        let spec = spec(WindowKind::Measure(measure, bounds), seconds, 1);
        let expected = reference(&spec, &sorted);
        let (_, added, _) = run(&spec, &shuffled, 1000);
        prop_assert_eq!(added, expected.len() as u64);
        // What can only grow is the same in any order and any batches.
        let grows = matches!(measure, Measure::Sum | Measure::Count | Measure::Distinct | Measure::Ordered(_) | Measure::Chain(_) | Measure::Sequence(_));
        if grows {
            let (_, added, events) = run(&spec, &shuffled, batch);
            prop_assert_eq!(added, expected.len() as u64);
            prop_assert!(events.is_subset(&expected));
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(state) = WindowState::from_bytes(&bytes) {
            prop_assert_eq!(WindowState::from_bytes(&state.to_bytes()), Ok(state));
        }
    }
}
