//! A short campaign of the fault laboratory: `kill -9` of everything at random moments, the fail
//! points of gateways and workers, damaged rows, a rolling restart. Nothing acknowledged is lost,
//! nothing is doubled, the books balance.
//!
//! The seed is printed; `MILLRACE_TEST_SEED` repeats a run's choices (the machine's part of chance
//! remains).

use millrace_tests::chaos::{self, Kind, Settings};
use std::time::Duration;

/// Random kills of a short campaign at least.
const KILLS: u64 = 20;
/// Rounds of fail points that come by all of them.
const SWEEP: usize = 3;

fn seed() -> u64 {
    let given = std::env::var_os("MILLRACE_TEST_SEED").and_then(|seed| seed.into_string().ok());
    let seed = given.and_then(|seed| seed.parse().ok());
    let seed =
        seed.unwrap_or_else(|| u64::from_be_bytes(millrace_shared::secret::random().unwrap()));
    eprintln!("MILLRACE_TEST_SEED={seed}");
    seed
}

#[test]
fn a_short_campaign_loses_nothing_and_doubles_nothing() {
    let mut settings = Settings::new(seed());
    settings.kinds = vec![Kind::Kills, Kind::Damage, Kind::Rolling];
    settings.kinds.extend([Kind::Points; SWEEP]);
    settings.rounds_max = u32::try_from(settings.kinds.len()).unwrap();
    settings.duration = Duration::MAX;
    let tally = chaos::run(&settings);
    println!("{}", chaos::report::section(&tally));
    assert_eq!(tally.violations, Vec::<String>::new());
    assert!(tally.kills() >= KILLS, "{:?}", tally.faults);
    assert_eq!(
        tally.faults.get("rolling restart"),
        Some(&2),
        "{:?}",
        tally.faults
    );
    // A load that proves something.
    assert!(tally.events["acknowledged"] > 2_000, "{:?}", tally.events);
    assert!(tally.events["alerts"] > 0, "{:?}", tally.events);
    // Those that every batch comes by.
    for point in [
        "worker prepared",
        "worker posted",
        "worker written",
        "worker committing",
        "gateway appended",
    ] {
        let struck = tally.faults.get(&format!("point {point}"));
        assert!(struck.is_some(), "{point}: {:?}", tally.faults);
    }
    for found in ["all", "none", "some", "more"] {
        let times = tally.resolved.get(found).copied().unwrap_or(0);
        assert!(times > 0, "{found}: {:?}", tally.resolved);
    }
}
