//! A multiple of what the pipeline can store, for minutes: what becomes of the excess, how much is
//! stored meanwhile, what memory it takes, and how soon everything is as before.

use super::analyst::search;
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

/// Sends `times` the capacity for so long, and measures the capacity once more: ClickHouse has more
/// to merge the more it holds, so what is stored is compared with before and after.
///
/// # Panics
/// When a store does not answer.
#[must_use]
pub fn run(
    site: &Site,
    (times, before): (f64, Capacity),
    time: Duration,
    report: &mut Report,
) -> Capacity {
    let scenario = format!("{times} × capacity");
    report.scenario(&scenario);
    let stored = excess(site, before.stored * times, time, report);
    let after = measure(site, time, report);
    report.scenario(&scenario);
    let capacity = f64::midpoint(before.stored, after.stored);
    let share = stored / capacity * 100.0;
    report.aim(
        "stored meanwhile",
        format!(
            "{stored:.0} events/s, {share:.0} % of {capacity:.0}, the capacity before and after"
        ),
        ("≥ 90 %", share >= 90.0),
    );
    after
}

/// What is stored a second while so many events are offered.
fn excess(site: &Site, offered: f64, time: Duration, report: &mut Report) -> f64 {
    let orgs: Vec<Org> = (0..ORGS).map(|_| site.org("excess", None)).collect();
    let all: Vec<&Org> = orgs.iter().collect();
    let rate = offered / float(ORGS as u64);
    let analyst = site.org("analyst", None);
    let usual = freshness(&analyst).unwrap_or(FRESH);
    let (gauge, over) = (site.gauge(), AtomicBool::new(false));
    let (tally, stored, searched) = std::thread::scope(|scope| {
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
        (tally, stored, searching.join().expect("the analyst"))
    });
    let recovered = recovery(&analyst, usual.max(FRESH));
    let kept = site.settled(&all, tally.accepted, DRAIN).is_some();
    let seconds = time.as_secs();
    report.note("offered", format!("{offered:.0} events/s for {seconds} s"));
    answers(&tally, report);
    exact(site, &orgs, (&tally, kept), report);
    memory(&gauge.end(), report);
    report.note("searches meanwhile", searched);
    back(recovered, report);
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
