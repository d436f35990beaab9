//! Ten million indicators: memory, time to build and to swap the index, and look-ups of addresses,
//! domains and digests, all over the index and in no order, half of which match.
//! `indicators [count]`.

#![expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]

use millrace_benches::hop;
use millrace_detection::indicators::{Asking, Feed, IndexBuilder, Indicator, IndicatorIndex};
use millrace_detection::observables::OBSERVABLES_MAX;
use millrace_detection::{FieldAt, Kind, Observable};
use millrace_shared::wire::Severity;
use std::sync::{Arc, RwLock};
use std::time::Instant;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Indicators unless the command line says otherwise.
const INDICATORS: u64 = 10_000_000;
/// Values looked up in a round, of each kind: far more than a processor's caches hold.
const ASKED: u64 = 400_000;
/// Networks among them.
const NETWORKS: u64 = 100_000;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let count: u64 = count.unwrap_or(INDICATORS);
    let before = resident();
    let started = Instant::now();
    let index = build(count);
    let built = started.elapsed().as_secs_f64();
    println!(
        "{} indicators in {built:.1} s: {} MiB, {} bytes each; process {} MiB, at most {} MiB",
        index.len(),
        index.bytes() >> 20,
        index.bytes() / index.len().max(1),
        resident().0 - before.0,
        resident().1 - before.0,
    );
    let kinds: [(Make, &[u64]); 3] = [
        (address, &[0, 1, 2, 3]),
        (domain, &[4, 5, 6]),
        (digest, &[7, 8, 9]),
    ];
    let all: Vec<(Kind, String)> = kinds
        .into_iter()
        .flat_map(|(make, places)| asked(count, make, places))
        .collect();
    for (name, kind) in [
        ("addresses", Some(Kind::Ipv4)),
        ("domains", Some(Kind::Domain)),
        ("digests", Some(Kind::Sha256)),
        ("all of them", None),
    ] {
        let some = all
            .iter()
            .filter(|(one, _)| kind.is_none_or(|kind| kind == *one));
        look_up(name, &index, &some.collect::<Vec<_>>());
    }
    swap(index);
}

/// Resident memory now and at most, MiB (Linux).
fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number
            .and_then(|number| number.parse::<u64>().ok())
            .unwrap_or(0)
            / 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Spreads numbers over all numbers, each to another.
const fn spread(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ n >> 31
}

/// Public addresses, each number another one: below 2²⁸ they do not come again.
fn address(n: u64) -> (Kind, String) {
    // An odd factor permutes the 28 bits.
    let bits = n.wrapping_mul(0x09E3_779B) & 0x0FFF_FFFF;
    let (a, b, c, d) = (bits >> 24, bits >> 16 & 255, bits >> 8 & 255, bits & 255);
    (Kind::Ipv4, format!("{}.{b}.{c}.{d}", 64 + a))
}

fn domain(n: u64) -> (Kind, String) {
    let (host, zone) = (spread(n), spread(n / 3) % 1_000_000);
    (Kind::Domain, format!("h{:08x}.bad-{zone}.com", host >> 32))
}

fn digest(n: u64) -> (Kind, String) {
    let parts = [n, n + 1, n + 2, n + 3].map(|n| spread(spread(n)));
    let text = parts.iter().map(|part| format!("{part:016x}"));
    (Kind::Sha256, text.collect())
}

/// 40 % addresses, 30 % domains, 30 % digests, of them some networks.
fn indicator(n: u64, feed: &Arc<Feed>) -> Indicator {
    let (kind, value) = match n % 10 {
        0..4 => address(n),
        4..7 => domain(n),
        _ => digest(n),
    };
    Indicator {
        id: n + 1,
        severity: Severity::High,
        threat: format!("family {}", n % 1_000),
        tags: vec!["c2".to_owned()],
        last_seen: Some(1_790_000_000_000_000_000),
        ..Indicator::new(kind, value, Arc::clone(feed))
    }
}

fn build(count: u64) -> IndicatorIndex {
    let feed = Arc::new(Feed {
        id: 1,
        name: "bench".to_owned(),
        trust: 90,
    });
    let mut builder = IndexBuilder::with_capacity(usize::try_from(count).unwrap_or(0));
    for n in 0..count.saturating_sub(NETWORKS) {
        builder.add(&indicator(n, &feed));
    }
    for n in 0..NETWORKS.min(count) {
        let bits = spread(n) % (1 << 21);
        let (a, b, c) = (bits >> 16, bits >> 8 & 255, bits & 255);
        let value = format!("{}.{b}.{c}.0/24", 160 + a);
        let network = Indicator::new(Kind::Cidr, value, Arc::clone(&feed));
        builder.add(&Indicator {
            id: count + n,
            ..network
        });
    }
    builder.finish()
}

/// Makes the value of a number.
type Make = fn(u64) -> (Kind, String);

/// Values of a kind of which every other one is known, all over the index. `places` are those among
/// ten at which indicators are of the kind; beyond the last indicator nobody is known.
fn asked(count: u64, make: Make, places: &[u64]) -> impl Iterator<Item = (Kind, String)> {
    let tens = count.saturating_sub(NETWORKS).max(10) / 10;
    (0..ASKED)
        .zip(places.iter().cycle())
        .map(move |(n, place)| {
            let beyond = if spread(n) & 1 == 0 {
                0
            } else {
                tens * 10 + 10
            };
            make(spread(n) % tens * 10 + place + beyond)
        })
}

/// Looks values up as events have them: a few at a time, one after the other.
fn look_up(name: &str, index: &IndicatorIndex, values: &[&(Kind, String)]) {
    let observables: Vec<Observable<'_>> = values
        .iter()
        .map(|(kind, value)| Observable {
            kind: *kind,
            value,
            at: FieldAt::NONE,
        })
        .collect();
    let asking = Asking {
        org: Uuid::nil(),
        now_ns: 1_790_000_000_000_000_000,
        allowed: None,
    };
    let (mut found, mut matching) = (Vec::new(), 0);
    let bytes = values.iter().map(|(_, value)| value.len()).sum();
    hop(&format!("look-up: {name}"), values.len(), bytes, || {
        matching = 0;
        for few in observables.chunks(OBSERVABLES_MAX / 8) {
            found.clear();
            index.matches(&asking, few, &mut found);
            matching += found.len();
        }
        matching
    });
    println!("{:<44} {matching} of {} match", "", values.len());
}

/// A new index takes the place of the old one, which goes when the last batch is done with it.
fn swap(index: IndicatorIndex) {
    let place = RwLock::new(Arc::new(index));
    let next = Arc::new(IndicatorIndex::default());
    let started = Instant::now();
    let Ok(mut held) = place.write() else {
        return;
    };
    let old = std::mem::replace(&mut *held, next);
    drop(held);
    let swapped = started.elapsed();
    let started = Instant::now();
    drop(old);
    println!(
        "swapped in {:.1} µs; the old one is gone in {:.1} ms",
        swapped.as_secs_f64() * 1e6,
        started.elapsed().as_secs_f64() * 1e3
    );
}
