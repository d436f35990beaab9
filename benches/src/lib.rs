//! What the benchmarks share: the stopwatch, and the events that are sent.
//!
//! Figures are medians of several rounds on one thread, in CPU time: what else runs on the machine
//! disturbs them little, and CPU seconds per million events follow from nanoseconds per event. Benchmarks measure; they assert nothing.

use std::hint::black_box;
use std::time::{Duration, Instant};

pub mod batch;
pub mod sent;
pub mod control;
pub mod worker;

/// Rounds of which the median is taken.
const ROUNDS: usize = 7;
/// Rounds by turns, of which the best counts.
const ROUNDS_BY_TURNS: usize = 9;
/// How long one round lasts at least.
const ROUND: Duration = Duration::from_millis(300);

/// CPU seconds that this thread has used, to the nanosecond (Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns: f64 = stat
        .split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0.0);
    ns / 1e9
}

/// Measures a hop that handles `events` events of `bytes` bytes in one call, and prints a line.
#[expect(clippy::cast_precision_loss, reason = "figures for reading")]
#[expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]
pub fn hop<T>(name: &str, events: usize, bytes: usize, mut call: impl FnMut() -> T) -> f64 {
    black_box(call());
    let rounds = (0..ROUNDS).map(|_| round(events, &mut call)).collect();
    let (_, per_event) = ranked(rounds);
    let megabytes = bytes as f64 / events as f64 / per_event / 1e6;
    println!(
        "{name:<44} {:>8.0} ns/event {:>11.0} events/s {megabytes:>7.0} MB/s {:>6.2} CPU s/M",
        per_event * 1e9,
        1.0 / per_event,
        per_event * 1e6,
    );
    per_event
}

/// Measures what a hop takes for each of `events` events beyond another one, which does all but what is asked about: a
/// round of the one, a round of the other, and so on. The best round of each counts; a line says the median too.
#[expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]
pub fn beyond<T, U>(
    name: &str,
    events: usize,
    mut call: impl FnMut() -> T,
    mut other: impl FnMut() -> U,
) -> f64 {
    let (mut calls, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS_BY_TURNS {
        calls.push(round(events, &mut call));
        others.push(round(events, &mut other));
    }
    let ((best, median), (other, other_median)) = (ranked(calls), ranked(others));
    println!(
        "{name:<44} {:>6.0} ns/event, median {:>6.0}; {:>5.0} ns beside it",
        (best - other) * 1e9,
        (median - other_median) * 1e9,
        other * 1e9,
    );
    best - other
}

/// CPU seconds per event of one round.
#[expect(clippy::cast_precision_loss, reason = "figures for reading")]
fn round<T>(events: usize, call: &mut impl FnMut() -> T) -> f64 {
    let (start, begun) = (Instant::now(), cpu_seconds());
    let mut calls = 0usize;
    while start.elapsed() < ROUND {
        black_box(call());
        calls += 1;
    }
    (cpu_seconds() - begun) / (calls * events) as f64
}

/// The least and the median.
fn ranked(mut rounds: Vec<f64>) -> (f64, f64) {
    rounds.sort_by(f64::total_cmp);
    let at = |at: usize| rounds.get(at).copied().unwrap_or(f64::NAN);
    (at(0), at(rounds.len() / 2))
}
