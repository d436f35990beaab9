//! One organisation at twenty times its quota beside a quiet one: by how much it moves the quiet
//! one's latency and the time until its events are stored. Both are measured in turns, with the
//! noisy one at its quota and far above it, so that what else the machine does strikes both alike.

use super::capacity::Capacity;
use super::excess::{exact, memory};
use super::report::Report;
use super::sender::Tally;
use super::site::Site;
use crate::org::Org;
use millrace_load::histogram::Histogram;
use std::time::Duration;

/// The noisy organisation's quota, as a part of the capacity.
const QUOTA: f64 = 0.05;
/// How much it sends of it when it is noisy.
const TIMES: f64 = 20.0;
/// Turns of each kind.
const TURNS: u32 = 3;
/// Events of a request of the noisy one: the standard batch.
const NOISY_BATCH: u32 = 1_000;
/// The quiet one: small batches, and often, so that a percentile means something.
const QUIET_BATCH: u32 = 10;
const QUIET_RATE: f64 = 250.0;
/// By how much the quiet one's p99 may move.
const MOVED_MAX: f64 = 1.2;
/// How long what was accepted may take to be stored.
const DRAIN: Duration = Duration::from_secs(120);

/// What the quiet organisation saw.
#[derive(Default)]
struct Quiet {
    tally: Tally,
    visible: Histogram,
}

/// Runs turns of so long each.
///
/// # Panics
/// When a store does not answer.
pub fn run(site: &Site, capacity: Capacity, turn: Duration, report: &mut Report) {
    report.scenario("noisy neighbour");
    let quota = capacity.stored * QUOTA;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate"
    )]
    let noisy = site.org("noisy", Some(quota.max(1.0) as u64));
    let quiet = site.org("quiet", None);
    let gauge = site.gauge();
    let (mut calm, mut loud, mut noise) = (Quiet::default(), Quiet::default(), Tally::default());
    for _ in 0..TURNS {
        for (times, seen) in [(1.0, &mut calm), (TIMES, &mut loud)] {
            let noisy = site.load(&noisy, quota * times, NOISY_BATCH).start();
            let tally = site.load(&quiet, QUIET_RATE, QUIET_BATCH).send_for(turn);
            noise.merge(&noisy.end());
            see(site, &quiet, tally, seen);
        }
    }
    let most = gauge.end();
    report.note(
        "quota and offered",
        format!("{quota:.0} and {:.0} events/s", quota * TIMES),
    );
    super::excess::answers(&noise, report);
    compare(&calm, &loud, report);
    let due = calm.tally.due + loud.tally.due;
    let refused = due - calm.tally.of(202) - loud.tally.of(202);
    // Where the machine stands still for seconds, workers are behind whatever anybody sends.
    report.aim(
        "requests of the quiet one not accepted",
        refused.to_string(),
        ("0", refused == 0),
    );
    report.must(
        "nine in ten requests of the quiet one accepted",
        format!("{} of {due}", due - refused),
        ("true", refused * 10 <= due),
    );
    let mut all = noise;
    all.merge(&calm.tally);
    all.merge(&loud.tally);
    let kept = site
        .settled(&[&noisy, &quiet], all.accepted, DRAIN)
        .is_some();
    exact(site, &[noisy, quiet], (&all, kept), report);
    memory(&most, report);
}

/// Asks when each of the quiet one's batches was stored.
fn see(site: &Site, org: &Org, tally: Tally, seen: &mut Quiet) {
    let visible = tally.batches.iter();
    for after in visible.filter_map(|id| site.visible_after_ms(org, id)) {
        seen.visible
            .add(Duration::from_secs_f64(after.max(0.0) / 1e3));
    }
    seen.tally.merge(&tally);
}

fn compare(calm: &Quiet, loud: &Quiet, report: &mut Report) {
    let pairs = [
        (
            "p99 of the quiet one's requests",
            &calm.tally.latency,
            &loud.tally.latency,
        ),
        (
            "p99 until its events are stored",
            &calm.visible,
            &loud.visible,
        ),
    ];
    for (what, calm, loud) in pairs {
        let (before, after) = (calm.quantile_ms(0.99), loud.quantile_ms(0.99));
        let medians = (calm.quantile_ms(0.5), loud.quantile_ms(0.5));
        let found = format!(
            "{before:.0} → {after:.0} ms, × {:.2} (p50 {:.0} → {:.0} ms, {} and {} samples)",
            after / before,
            medians.0,
            medians.1,
            calm.count(),
            loud.count()
        );
        report.aim(what, found, ("≤ × 1.20", after <= before * MOVED_MAX));
    }
}
