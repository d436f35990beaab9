//! How much the pipeline stores a second when more than that is offered: several senders that send
//! the next batch as soon as the one before is answered, and wait a little when they are refused.

use super::analyst::search;
use super::report::Report;
use super::site::Site;
use crate::org::Org;
use crate::wait::{block_on, runtime};
use millrace_load::bench::Bench;
use millrace_load::prebuilt::Prebuilt;
use millrace_load::raw::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Organisations that send together.
pub(super) const ORGS: usize = 4;
/// Senders of each: enough requests in flight that one fsync serves several.
const SENDERS: usize = 2;
/// A sender that is refused waits this long; with the workers' backlog behind it, nothing idles.
const PAUSE: Duration = Duration::from_millis(50);
/// How long what was accepted may take to be stored.
const DRAIN: Duration = Duration::from_secs(180);

/// What the pipeline can do on this machine just now, events a second.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Stored, while more is offered.
    pub stored: f64,
    /// Accepted before anything was refused.
    pub accepted: f64,
}

/// Measures for so long, of which the first third is not counted.
///
/// # Panics
/// When a store does not answer.
pub fn measure(site: &Site, time: Duration, report: &mut Report) -> Capacity {
    report.scenario("capacity");
    let orgs: Vec<Org> = (0..ORGS).map(|_| site.org("capacity", None)).collect();
    let all: Vec<&Org> = orgs.iter().collect();
    let bench = Bench::standard("capacity", Duration::ZERO).expect("a name");
    let bodies = orgs.iter().map(|org| bench.prebuild(&site.target(org)));
    let bodies: Vec<_> = bodies
        .map(|bodies| Arc::new(bodies.expect("bodies")))
        .collect();
    let accepted = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let begun = Instant::now();
    let senders: Vec<_> = std::iter::repeat_n(bodies, SENDERS)
        .flatten()
        .map(|bodies| {
            let address = site.gateway.url.trim_start_matches("http://").to_owned();
            runtime().spawn(send(address, bodies, Arc::clone(&accepted), stop.clone()))
        })
        .collect();
    let (analyst, over) = (site.org("analyst", None), AtomicBool::new(false));
    let (first, rate) = std::thread::scope(|scope| {
        let _searching = scope.spawn(|| search(&analyst, &over));
        std::thread::sleep(time / 3);
        let (at, before) = (Instant::now(), stored(site, &all));
        let first = float(accepted.load(Ordering::Relaxed)) / begun.elapsed().as_secs_f64();
        std::thread::sleep(time * 2 / 3);
        let stored_meanwhile = stored(site, &all) - before;
        over.store(true, Ordering::Relaxed);
        (first, float(stored_meanwhile) / at.elapsed().as_secs_f64())
    });
    stop.cancel();
    for sender in senders {
        block_on(sender).expect("a sender");
    }
    let accepted = accepted.load(Ordering::Relaxed);
    let kept = site.settled(&all, accepted, DRAIN).is_some();
    report.note("stored, with more offered", format!("{rate:.0} events/s"));
    report.note("accepted at first", format!("{first:.0} events/s"));
    let found = if kept { "all" } else { "not all of" };
    let found = format!("{found} {accepted}");
    report.must("accepted events stored", found, ("all", kept));
    Capacity {
        stored: rate,
        accepted: first,
    }
}

fn stored(site: &Site, orgs: &[&Org]) -> u64 {
    site.stored(orgs).expect("PostgreSQL")
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

async fn send(
    address: String,
    bodies: Arc<Vec<Prebuilt>>,
    accepted: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let mut connection = Connection::open(&address).await.expect("the gateway");
    for body in bodies.iter().cycle() {
        if stop.is_cancelled() {
            return;
        }
        let answered = connection.ask(body.wire()).await.expect("an answer");
        if answered.status == 202 {
            accepted.fetch_add(u64::from(body.events), Ordering::Relaxed);
            continue;
        }
        assert!([429, 503].contains(&answered.status), "{answered:?}");
        tokio::time::sleep(PAUSE).await;
        if answered.closes {
            connection = Connection::open(&address).await.expect("the gateway");
        }
    }
}
