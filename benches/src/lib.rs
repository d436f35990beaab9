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
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (start, begun) = (Instant::now(), cpu_seconds());
            let mut calls = 0usize;
            while start.elapsed() < ROUND {
                black_box(call());
                calls += 1;
            }
            (cpu_seconds() - begun) / (calls * events) as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let per_event = rounds.get(ROUNDS / 2).copied().unwrap_or(f64::NAN);
    let megabytes = bytes as f64 / events as f64 / per_event / 1e6;
    println!(
        "{name:<44} {:>8.0} ns/event {:>11.0} events/s {megabytes:>7.0} MB/s {:>6.2} CPU s/M",
        per_event * 1e9,
        1.0 / per_event,
        per_event * 1e6,
    );
    per_event
}
