//! Error budgets over days: what is kept, and when they are told of.

use super::*;

/// A budget of 0.1 %, watched as it usually is, and ten thousand requests a minute for four days.
#[test]
fn a_budget_of_many_requests_is_watched_in_bounded_memory() {
    let rate = |factor_thousandths, long_s, short_s| BurnRate {
        factor_thousandths,
        long_s,
        short_s,
    };
    let rates = [
        rate(14_400, 3_600, 300),
        rate(6_000, 21_600, 1_800),
        rate(1_000, 259_200, 21_600),
    ];
    let spec = WindowSpec {
        kind: WindowKind::Meter(Metered::Burn(Burn::new(100, &rates).unwrap())),
        length_ns: 259_200 * NS,
        threshold: 1,
    };
    let (mut state, mut added, mut bad) = (WindowState::new(), 0, 0);
    for minute in 0..4 * 24 * 60_i64 {
        // On the third day 0.2 % fail, which is twice what the budget allows for.
        let fail = if (2 * 1_440..3 * 1_440).contains(&minute) {
            20
        } else {
            5
        };
        let at = |part: i64| (minute * 60 + part * 20) * NS;
        let hits: Vec<Hit> = (0..3)
            .flat_map(|part| {
                let event = (minute * 3 + part) as u128 * 2;
                let hit = |value, event| Hit {
                    at_ns: at(part),
                    value,
                    event,
                };
                [
                    hit(weighed(10_000 / 3, false), event),
                    hit(weighed(fail / 3 + 1, true), event + 1),
                ]
            })
            .collect();
        bad += 3 * u64::from(fail / 3 + 1);
        let firings = state.apply(&spec, &hits);
        added += firings.iter().map(|firing| firing.added).sum::<u64>();
        if minute % 500 == 0 {
            state = WindowState::from_bytes(&state.to_bytes()).unwrap();
        }
    }
    assert!(state.len() < 1_500, "{} steps kept", state.len());
    assert!(
        state.to_bytes().len() < 50_000,
        "{}",
        state.to_bytes().len()
    );
    // Told of once, from when the three days were over the budget on.
    assert!(added > 0 && added < bad, "{added} of {bad}");
}

/// The pairs of the workbook over an objective of 99.9 %, a request a second.
#[test]
fn a_fast_burn_is_told_of_within_minutes_and_a_slow_one_within_hours() {
    let rate = |factor_thousandths, long_s, short_s| BurnRate {
        factor_thousandths,
        long_s,
        short_s,
    };
    let rates = [rate(14_400, 3_600, 300), rate(6_000, 21_600, 1_800)];
    let spec = WindowSpec {
        kind: WindowKind::Meter(Metered::Burn(Burn::new(100, &rates).unwrap())),
        length_ns: 21_600 * NS,
        threshold: 1,
    };
    // When one in so many fails, after six good hours: minutes until it is told of.
    let told_after = |one_in: i64| {
        let mut state = WindowState::new();
        for minute in 0..12 * 60_i64 {
            let hits: Vec<Hit> = (0..60)
                .map(|second| {
                    let n = minute * 60 + second;
                    let is_bad = minute >= 360 && n % one_in == 0;
                    hit(n, weighed(1, is_bad), n as u128)
                })
                .collect();
            if !state.apply(&spec, &hits).is_empty() {
                return Some(minute - 360);
            }
        }
        None
    };
    // All: 1.44 % of an hour is 52 seconds.
    assert_eq!(told_after(1), Some(0));
    // A tenth: 14.4 % of an hour.
    assert!(
        matches!(told_after(10), Some(8..=9)),
        "{:?}",
        told_after(10)
    );
    // 1 % burns at ten times the pace: only six hours tell, after 0.6 of them.
    assert!(
        matches!(told_after(100), Some(213..=218)),
        "{:?}",
        told_after(100)
    );
    // 0.2 % is over the budget, and no reason to wake anybody.
    assert_eq!(told_after(500), None);
}

#[test]
fn pairs_of_windows_that_cannot_be_are_none() {
    let rate = |long_s, short_s| BurnRate {
        factor_thousandths: 2_000,
        long_s,
        short_s,
    };
    for wrong in [
        vec![],
        vec![rate(60, 59)],
        vec![rate(60, 61)],
        vec![rate(1_500, 60)],
        vec![rate(BURN_SECONDS_MAX + 1, 60_000)],
        vec![rate(3_600, 300), rate(1_800, 300)],
        vec![rate(3_600, 300), rate(7_200, 299)],
        vec![rate(3_600, 300); BURNS_MAX + 1],
    ] {
        assert_eq!(Burn::new(100, &wrong), None, "{wrong:?}");
    }
    assert!(Burn::new(100, &[rate(60, 60), rate(1_440, 60)]).is_some());
}
