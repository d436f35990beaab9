//! A multiple of what the pipeline can store, for minutes: what becomes of the excess, how much is
//! stored meanwhile, what memory it takes, and how soon everything is as before.

use super::analyst::{Searches, search};
use super::capacity::{Capacity, ORGS, float, measure};
use super::gauge::Most;
use super::report::Report;
use super::sender::Tally;
use super::site::Site;
use crate::org::Org;
use millrace_shared::Signal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Events of a request: the standard batch.
const BATCH: u32 = 1_000;
/// Back to normal within this.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long it is waited for.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(180);
/// A batch is fresh when it is stored within this: the age of a batch, and its way.
const FRESH: Duration = Duration::from_secs(3);
/// How long what was accepted may take to be stored.
const DRAIN: Duration = Duration::from_secs(300);

/// What was seen in turns with too much load.
#[derive(Default)]
struct Seen {
    tally: Tally,
    orgs: Vec<Org>,
    /// Events offered and stored a second, and the capacity about each turn.
    offered: f64,
    stored: f64,
    capacity: f64,
    searches: Searches,
    /// Of the turn after which it took longest; nothing where a turn was not got over.
    recovered: [Option<Duration>; 2],
    /// Everything that was accepted was stored.
    kept: bool,
}

/// Sends `times` the capacity in turns of so long each, and measures the capacity once more after
/// each: ClickHouse has more to merge at one time than at another, so what is stored in a turn is
/// compared with what could be stored just before and just after it.
///
/// # Panics
/// When a store does not answer.
#[must_use]
pub fn run(
    site: &Site,
    (times, mut before): (f64, Capacity),
    (turns, time): (u32, Duration),
    report: &mut Report,
) -> Capacity {
    let gauge = site.gauge();
    let mut seen = Seen {
        recovered: [Some(Duration::ZERO); 2],
        kept: true,
        ..Seen::default()
    };
    let mut shares = Vec::new();
    for _ in 0..turns {
        let stored = turn(site, before.stored * times, time, &mut seen);
        let after = measure(site, time, report);
        let capacity = f64::midpoint(before.stored, after.stored);
        seen.capacity += capacity / f64::from(turns);
        shares.push(format!("{:.0}", stored / capacity * 100.0));
        before = after;
    }
    let most = gauge.end();
    report.scenario(&format!("{times} × capacity"));
    let (turns, seconds) = (f64::from(turns), time.as_secs());
    let offered = seen.offered / turns;
    let found = format!("{offered:.0} events/s in {turns} turns of {seconds} s");
    report.note("offered", found);
    answers(&seen.tally, report);
    exact(site, &seen.orgs, (&seen.tally, seen.kept), report);
    memory(&most, report);
    report.note("searches meanwhile", seen.searches.to_string());
    back(seen.recovered, report);
    let (stored, capacity) = (seen.stored / turns, seen.capacity);
    let share = stored / capacity * 100.0;
    let found = format!(
        "{stored:.0} events/s, {share:.0} % of {capacity:.0}, the capacity before and after \
         ({} % by turns)",
        shares.join(", ")
    );
    report.aim("stored meanwhile", found, ("≥ 90 %", share >= 90.0));
    before
}

/// A turn in which so many events a second are offered: what is stored a second meanwhile.
fn turn(site: &Site, offered: f64, time: Duration, seen: &mut Seen) -> f64 {
    let orgs: Vec<Org> = (0..ORGS).map(|_| site.org("excess", None)).collect();
    let all: Vec<&Org> = orgs.iter().collect();
    let rate = offered / float(ORGS as u64);
    let analyst = site.org("analyst", None);
    let usual = freshness(&analyst).unwrap_or(FRESH);
    let over = AtomicBool::new(false);
    let (tally, stored) = std::thread::scope(|scope| {
        let searching = scope.spawn(|| search(&analyst, &over));
        let sending: Vec<_> = orgs
            .iter()
            .map(|org| site.load(org, rate, BATCH).start())
            .collect();
        // The first moments only fill the way to the stores.
        std::thread::sleep(time / 10);
        let (begun, before) = (Instant::now(), site.stored(&all).expect("PostgreSQL"));
        std::thread::sleep(time * 9 / 10);
        let after = site.stored(&all).expect("PostgreSQL");
        let stored = float(after - before) / begun.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        for sending in sending {
            tally.merge(&sending.end());
        }
        seen.searches.add(searching.join().expect("the analyst"));
        (tally, stored)
    });
    let recovered = recovery(&analyst, usual.max(FRESH));
    for (longest, this) in seen.recovered.iter_mut().zip(recovered) {
        *longest = longest.zip(this).map(|(longest, this)| longest.max(this));
    }
    seen.kept &= site.settled(&all, tally.accepted, DRAIN).is_some();
    seen.tally.merge(&tally);
    seen.offered += offered;
    seen.stored += stored;
    seen.orgs.extend(orgs);
    stored
}

/// What became of the requests.
pub(super) fn answers(tally: &Tally, report: &mut Report) {
    let by_status: Vec<String> = tally
        .answers
        .iter()
        .map(|(status, count)| format!("{count} × {status}"))
        .collect();
    report.note("answers", by_status.join(", "));
    let example = tally.example.as_deref().unwrap_or("");
    let improper = format!(
        "{} ({} hung, {} broken, {} unsent, {} without Retry-After) {example}",
        tally.improper(),
        tally.hung,
        tally.broken,
        tally.unsent,
        tally.without_retry_after,
    );
    report.must(
        "neither accepted nor refused properly",
        improper,
        ("0", tally.improper() == 0),
    );
    let ms = |share| tally.latency.quantile_ms(share);
    report.note(
        "latency of what was accepted",
        format!("p50 {:.0} ms, p99 {:.0} ms", ms(0.5), ms(0.99)),
    );
    let ms = |share| tally.refusal.quantile_ms(share);
    report.note(
        "latency of refusals",
        format!("p50 {:.0} ms, p99 {:.0} ms", ms(0.5), ms(0.99)),
    );
}

/// Every accepted event is stored once.
pub(super) fn exact(site: &Site, orgs: &[Org], (tally, kept): (&Tally, bool), report: &mut Report) {
    let counts = orgs.iter().map(|org| site.rows(org));
    let (rows, events) = counts.fold((0, 0), |(rows, events), (r, e)| (rows + r, events + e));
    // A request without an answer may have been accepted.
    let open = (tally.hung + tally.broken) * u64::from(BATCH);
    let holds =
        kept && rows == events && (tally.accepted..=tally.accepted + open).contains(&events);
    report.must(
        "accepted, rows, different events",
        format!("{}, {rows}, {events}", tally.accepted),
        ("all equal", holds),
    );
}

/// The most memory of each service.
pub(super) fn memory(most: &Most, report: &mut Report) {
    for (name, what, target, limit) in [
        ("gateway", "memory of the gateway", "≤ 300 MiB", 300.0),
        ("worker", "memory of the worker", "≤ 600 MiB", 600.0),
        ("query", "memory of the query API", "≤ 300 MiB", 300.0),
    ] {
        let resident = most.get(name).copied().unwrap_or(f64::NAN);
        report.must(
            what,
            format!("{resident:.0} MiB"),
            (target, resident <= limit),
        );
    }
}

/// How soon everything is as before: accepted, and stored again as soon as usual.
fn back(recovered: [Option<Duration>; 2], report: &mut Report) {
    let both = recovered.iter().all(Option::is_some);
    report.must("gets back to normal", both.to_string(), ("true", both));
    let whats = ["accepting again after", "stored as soon as before, after"];
    for (what, after) in whats.into_iter().zip(recovered) {
        let found = after.map_or("not at all".to_owned(), |after| {
            format!("{:.1} s", after.as_secs_f64())
        });
        let holds = after.is_some_and(|after| after <= RECOVERY);
        report.aim(what, found, ("≤ 30 s", holds));
    }
}

fn probe(org: &Org) -> Option<Duration> {
    let body = br#"{"logs":[{"service":"probe","message":"is all well again?"}]}"#;
    let begun = Instant::now();
    let answer = org.try_post(Signal::Logs, body, &[]).ok()?;
    if answer.status != 202 {
        return None;
    }
    let id = answer.json()["batch_id"].as_str()?.to_owned();
    let status = org.batch(&id, "?wait=committed&timeout=30s").json();
    let state = status["state"].as_str()?;
    ["committed", "audited"]
        .contains(&state)
        .then(|| begun.elapsed())
}

/// How soon a batch is stored when nothing else is sent: the slowest of a few.
fn freshness(org: &Org) -> Option<Duration> {
    (0..3).filter_map(|_| probe(org)).max()
}

/// How long after now a request is accepted, and how long until it is stored soon.
fn recovery(org: &Org, fresh: Duration) -> [Option<Duration>; 2] {
    let begun = Instant::now();
    let mut accepted = None;
    while begun.elapsed() < RECOVERY_PATIENCE {
        let sent_after = begun.elapsed();
        if let Some(took) = probe(org) {
            accepted.get_or_insert(sent_after);
            if took <= fresh {
                return [accepted, Some(sent_after)];
            }
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    [accepted, None]
}
