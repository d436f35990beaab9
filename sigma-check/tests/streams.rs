//! The two evaluators find the same when events come one after the other: correlations of every type,
//! filters and pipelines, made up by seed. Every reading is needed.

use millrace_sigma_check::streams::compare::{compare, unneeded};
use millrace_sigma_check::streams::readings::Readings;
use millrace_sigma_check::streams::{Case, made, record};

/// Cases that are compared.
const CASES: u64 = 3_000;
/// Cases in which each reading must make a difference.
const CASES_OF_READINGS: u64 = 300;
/// Differences that are told.
const TOLD_MAX: usize = 4;

fn cases(count: u64) -> Vec<Case> {
    (0..count).map(made::case).collect()
}

#[test]
fn streams_made_up_by_seed() {
    let comparison = compare(&cases(CASES), &Readings::default());
    let told = comparison.told(TOLD_MAX);
    println!("{told}");
    assert!(comparison.differences.is_empty(), "{told}");
    assert!(comparison.refused.is_empty(), "{told}");
    assert!(
        comparison.fired > 2_000 && comparison.fires > 15_000,
        "{told}"
    );
}

#[test]
fn every_reading_is_needed() {
    let unneeded = unneeded(&cases(CASES_OF_READINGS));
    assert!(unneeded.is_empty(), "{unneeded:?}");
}

/// The tests of the engine itself hold it to this file; `make sigma-record` writes it anew.
#[test]
fn what_is_written_down_is_what_is_said() {
    assert!(
        record::document().unwrap() == record::RECORDED,
        "streams.json is not up to date"
    );
}
