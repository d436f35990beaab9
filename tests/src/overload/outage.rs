//! A store goes away and comes back with the load going on: what is accepted waits in the streams,
//! within their budget, and is stored afterwards faster than more comes.

use super::capacity::float;
use super::excess::{answers, exact, memory};
use super::report::Report;
use super::sender::Tally;
use super::site::Site;
use crate::org::Org;
use crate::wait::block_on;
use millrace_devstack::Engine;
use std::time::{Duration, Instant};

/// Events a second that go on, of all organisations together, where nothing else is said.
pub const LIVE: f64 = 5_000.0;
/// Events of a request.
const BATCH: u32 = 500;
/// Organisations that send them.
const ORGS: usize = 2;
/// What waits when nothing is behind: a few seconds of the load.
const CAUGHT_UP_S: f64 = 4.0;
/// How long the backlog may take, in lengths of the outage: as long as it, at twice the live rate.
const DRAIN_LENGTHS: u32 = 2;
/// And at least so long.
const DRAIN_LEAST: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Which store goes away, and with what going on.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// The engine.
    pub engine: Engine,
    /// What it is called.
    pub name: &'static str,
    /// For how long.
    pub time: Duration,
    /// Events a second.
    pub live: f64,
}

/// Takes an engine away, after a tenth of the time with everything in place.
///
/// # Panics
/// When an engine cannot be killed or resumed.
pub fn run(site: &Site, outage: &Outage, report: &mut Report) {
    let Outage {
        engine,
        name,
        time,
        live,
    } = *outage;
    report.scenario(&format!("{name} away"));
    let orgs: Vec<Org> = (0..ORGS).map(|_| site.org("outage", None)).collect();
    let all: Vec<&Org> = orgs.iter().collect();
    let gauge = site.gauge();
    let rate = live / float(ORGS as u64);
    let sending: Vec<_> = orgs
        .iter()
        .map(|org| site.load(org, rate, BATCH).start())
        .collect();
    std::thread::sleep(time / 10);
    let stack = site.installation.engines.stack();
    stack.kill(engine).expect("an engine to kill");
    let gone = Instant::now();
    std::thread::sleep(time);
    let redis_mib = redis_memory_mib(site);
    stack.resume(engine).expect("the engine again");
    let (gone, back) = (gone.elapsed(), Instant::now());
    let caught_up = catch_up(site, &all, &sending, outage);
    let mut tally = Tally::default();
    for sending in sending {
        tally.merge(&sending.end());
    }
    let kept = site.settled(&all, tally.accepted, DRAIN_LEAST).is_some();
    let back = back.elapsed();
    report.note(
        "away",
        format!("{:.0} s at {live:.0} events/s", gone.as_secs_f64()),
    );
    answers(&tally, report);
    exact(site, &orgs, (&tally, kept), report);
    report.note(
        "memory of Redis at the end of it",
        format!("{redis_mib:.0} MiB"),
    );
    match caught_up {
        Some((rate, seconds)) => report.aim(
            "stored while catching up",
            format!("{rate:.0} events/s, caught up after {seconds:.0} s"),
            ("≥ 2 × live", rate >= 2.0 * live),
        ),
        None => report.aim(
            "stored while catching up",
            format!("not caught up after {:.0} s", back.as_secs_f64()),
            ("≥ 2 × live", false),
        ),
    }
    memory(&gauge.end(), report);
}

/// Waits until no more waits than a few seconds of the load; says how much was stored a second
/// meanwhile, from the first that was, and how long it took from now.
fn catch_up(
    site: &Site,
    orgs: &[&Org],
    sending: &[super::sender::Sending],
    outage: &Outage,
) -> Option<(f64, f64)> {
    let (begun, patience) = (
        Instant::now(),
        (outage.time * DRAIN_LENGTHS).max(DRAIN_LEAST),
    );
    let mut first: Option<(Instant, u64)> = None;
    while begun.elapsed() < patience {
        std::thread::sleep(LOOK_AGAIN);
        let Some(stored) = site.stored(orgs) else {
            continue;
        };
        let (since, before) = *first.get_or_insert((Instant::now(), stored));
        if stored == before {
            first = Some((Instant::now(), stored));
            continue;
        }
        let accepted: u64 = sending.iter().map(|sending| sending.tally().accepted).sum();
        if float(accepted.saturating_sub(stored)) <= outage.live * CAUGHT_UP_S {
            let rate = float(stored - before) / since.elapsed().as_secs_f64();
            return Some((rate, begun.elapsed().as_secs_f64()));
        }
    }
    None
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn redis_memory_mib(site: &Site) -> f64 {
    let mut redis = site.installation.redis();
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let info: String = block_on(info.query_async(&mut redis)).unwrap_or_default();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let bytes: u64 = line
        .and_then(|bytes| bytes.trim().parse().ok())
        .unwrap_or(0);
    bytes as f64 / (1024.0 * 1024.0)
}
