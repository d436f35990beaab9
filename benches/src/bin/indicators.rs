//! Ten million indicators: memory, time to build and to swap the index, and look-ups of addresses,
//! domains and digests, known and unknown, all over the index and in no order: each value by itself,
//! and as events have them, several together. `indicators [count]`.
//!
//! The worker looks up what it has just read. So values are copied into an arena first, event by event, as decoding
//! leaves them; what copying takes is measured by itself and not counted.
//!
//! `indicators <count> <sort> <together>` looks up one sort, once, and measures nothing: for
//! `valgrind --tool=callgrind --toggle-collect='*looked_up*'`.

#![expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]

use bumpalo::Bump;
use millrace_benches::beyond;
use millrace_detection::indicators::{
    Asking, Feed, IndexBuilder, Indicator, IndicatorIndex, IndicatorMatch,
};
use millrace_detection::{FieldAt, Kind, Observable};
use millrace_shared::wire::Severity;
use std::hint::black_box;
use std::ops::Range;
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
/// Room for an event's values.
const ARENA_BYTES: usize = 4096;
/// Networks among them.
const NETWORKS: u64 = 100_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().and_then(|count| count.parse().ok());
    let count: u64 = count.unwrap_or(INDICATORS);
    let sort = arguments.next();
    let together = arguments.next().and_then(|together| together.parse().ok());
    let together: usize = together.unwrap_or(TOGETHER);
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
    let sorts = sorts(count);
    if let Some(sort) = sort {
        let chosen = sorts.iter().find(|one| one.name == sort);
        if let Some(chosen) = chosen {
            let matches = pass(&chosen.observables(), together, |few, found| {
                looked_up(&index, few, found)
            });
            println!("{sort}: {matches} of {} match", chosen.places.len());
        }
        return;
    }
    for together in [1, TOGETHER] {
        println!("{together} at a time:");
        for sort in &sorts {
            look_up(sort, &index, together);
        }
    }
    swap(index);
}

/// Values of one sort, one behind the other as they are asked for.
struct Sort {
    name: &'static str,
    text: String,
    places: Vec<(Kind, Range<usize>)>,
}

impl Sort {
    fn new(name: &'static str, values: impl IntoIterator<Item = (Kind, String)>) -> Self {
        let (mut text, mut places) = (String::new(), Vec::new());
        for (kind, value) in values {
            let from = text.len();
            text.push_str(&value);
            places.push((kind, from..text.len()));
        }
        Sort { name, text, places }
    }

    fn observables(&self) -> Vec<Observable<'_>> {
        let observable = |(kind, place): &(Kind, Range<usize>)| {
            let value = self.text.get(place.clone()).unwrap_or_default();
            Observable::new(*kind, value, FieldAt::NONE)
        };
        self.places.iter().map(observable).collect()
    }
}

/// All sorts of values that are looked up.
fn sorts(count: u64) -> Vec<Sort> {
    let kinds: [([&'static str; 2], Make, &[u64]); 3] = [
        (
            ["addresses, unknown", "addresses, known"],
            address,
            &[0, 1, 2, 3],
        ),
        (["domains, unknown", "domains, known"], domain, &[4, 5, 6]),
        (["digests, unknown", "digests, known"], digest, &[7, 8, 9]),
    ];
    let mut sorts = Vec::new();
    let mut event = Vec::new();
    for ([unknown_name, known_name], make, places) in kinds {
        let unknown = asked(count, make, places, false);
        let known = asked(count, make, places, true);
        sorts.push(Sort::new(unknown_name, unknown.clone()));
        sorts.push(Sort::new(known_name, known.clone()));
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
    let inside = inside.map(|value| (Kind::Ipv4, value));
    sorts.push(Sort::new("addresses of networks", inside));
    event.sort_unstable_by_key(|(place, _)| *place);
    let event = event.into_iter().map(|(_, value)| value);
    sorts.push(Sort::new("all sorts, 1 % known", event));
    sorts
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

fn look_up(sort: &Sort, index: &IndicatorIndex, together: usize) {
    let observables = sort.observables();
    let mut matching = 0;
    beyond(
        &format!("  {}", sort.name),
        observables.len(),
        || {
            matching = pass(&observables, together, |few, found| {
                looked_up(index, few, found)
            });
        },
        || pass(&observables, together, copied),
    );
    println!("{:<44} {matching} of {} match", "", observables.len());
}

/// Copies the values event by event, and has something done with each event's.
fn pass(
    observables: &[Observable<'_>],
    together: usize,
    mut of_event: impl FnMut(&[Observable<'_>], &mut Vec<IndicatorMatch>) -> usize,
) -> usize {
    let mut arena = Bump::with_capacity(ARENA_BYTES);
    let (mut found, mut all) = (Vec::new(), 0);
    for few in observables.chunks(together) {
        arena.reset();
        all += of_event(decoded(few, &arena), &mut found);
    }
    all
}

/// The values as decoding leaves them.
fn decoded<'a>(observables: &[Observable<'a>], arena: &'a Bump) -> &'a [Observable<'a>] {
    let copies = observables.iter().map(|one| Observable {
        value: arena.alloc_str(one.value),
        ..*one
    });
    arena.alloc_slice_fill_iter(copies)
}

#[inline(never)]
fn looked_up(
    index: &IndicatorIndex,
    observables: &[Observable<'_>],
    found: &mut Vec<IndicatorMatch>,
) -> usize {
    let asking = Asking {
        org: Uuid::nil(),
        now_ns: 1_790_000_000_000_000_000,
        allowed: None,
    };
    found.clear();
    index.matches(&asking, observables, found);
    found.len()
}

/// The copies are made, and no more is done with them.
#[inline(never)]
fn copied(observables: &[Observable<'_>], found: &mut Vec<IndicatorMatch>) -> usize {
    found.clear();
    black_box(observables).len()
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
