//! Ten million indicators: memory, time to build and to swap the index, and look-ups of addresses,
//! domains and digests, known and unknown, all over the index and in no order: each value by itself,
//! and as events have them, several together. `indicators [count]`.

#![expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]

use millrace_benches::hop;
use millrace_detection::indicators::{Asking, Feed, IndexBuilder, Indicator, IndicatorIndex};
use millrace_detection::{FieldAt, Kind, Observable};
use millrace_shared::wire::Severity;
use std::sync::{Arc, RwLock};
use std::time::Instant;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Indicators unless the command line says otherwise.
const INDICATORS: u64 = 10_000_000;
/// Values looked up in a round, of each sort: their places in the index are far more than a
/// processor's caches hold.
const ASKED: u64 = 400_000;
/// Observables of an event.
const TOGETHER: usize = 8;
/// Of an event's values, one in so many is known where most are unknown.
const KNOWN_ONE_IN: usize = 100;
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
    for together in [1, TOGETHER] {
        println!("{together} at a time:");
        look_ups(&index, count, together);
    }
    swap(index);
}

/// Looks up each sort of values, so many of them at a time.
fn look_ups(index: &IndicatorIndex, count: u64, together: usize) {
    let kinds: [(&str, Make, &[u64]); 3] = [
        ("addresses", address, &[0, 1, 2, 3]),
        ("domains", domain, &[4, 5, 6]),
        ("digests", digest, &[7, 8, 9]),
    ];
    let mut event = Vec::new();
    for (name, make, places) in kinds {
        let unknown = asked(count, make, places, false);
        let known = asked(count, make, places, true);
        look_up(&format!("{name}, unknown"), index, &unknown, together);
        look_up(&format!("{name}, known"), index, &known, together);
        let mostly = unknown.into_iter().zip(known).enumerate();
        event.extend(mostly.map(|(n, (unknown, known))| {
            let place = spread(n as u64);
            let value = if n % KNOWN_ONE_IN == 0 {
                known
            } else {
                unknown
            };
            (place, value)
        }));
    }
    let inside = (0..ASKED).map(|n| network_of(spread(n) % NETWORKS, spread(n) >> 56));
    let inside: Vec<_> = inside.map(|value| (Kind::Ipv4, value)).collect();
    look_up("addresses of networks", index, &inside, together);
    event.sort_unstable_by_key(|(place, _)| *place);
    let event: Vec<_> = event.into_iter().map(|(_, value)| value).collect();
    look_up("all sorts, 1 % known", index, &event, together);
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

/// An address of the network of a number.
fn network_of(n: u64, host: u64) -> String {
    let bits = spread(n) % (1 << 21);
    let (a, b, c) = (bits >> 16, bits >> 8 & 255, bits & 255);
    format!("{}.{b}.{c}.{host}", 160 + a)
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
        let value = format!("{}/24", network_of(n, 0));
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

/// Values of a kind, known ones from all over the index or unknown ones. `places` are those among ten
/// at which indicators are of the kind; beyond the last indicator nobody is known.
fn asked(count: u64, make: Make, places: &[u64], known: bool) -> Vec<(Kind, String)> {
    let tens = count.saturating_sub(NETWORKS).max(10) / 10;
    let beyond = if known { 0 } else { tens * 10 + 10 };
    (0..ASKED)
        .zip(places.iter().cycle())
        .map(|(n, place)| make(spread(n) % tens * 10 + place + beyond))
        .collect()
}

fn look_up(name: &str, index: &IndicatorIndex, values: &[(Kind, String)], together: usize) {
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
    let name = format!("  {name}");
    hop(&name, values.len(), bytes, || {
        matching = 0;
        for few in observables.chunks(together) {
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
