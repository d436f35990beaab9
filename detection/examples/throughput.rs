//! Nanoseconds per event of each step of detection, and bytes per indicator. Not a test: figures
//! of one run on one machine, medians of several rounds, to be compared with each other.
//!
//! `cargo run --release -p millrace-detection --example throughput [indicators]`

#![expect(clippy::print_stdout, reason = "printing is all it does")]

use bumpalo::Bump;
use millrace_detection::indicators::{Asking, Feed, Indicator, IndicatorIndex};
use millrace_detection::observables::OBSERVABLES_MAX;
use millrace_detection::rules::BusinessHours;
use millrace_detection::{
    EventView, FieldAt, Kind, Observable, Observables, OrgSettings, RuleDef, RuleSet, Scratch,
    Verdict,
};
use millrace_shared::wire::{Body, BodyFormat, Validity};
use millrace_shared::{Event, Resource, Signal};
use serde_json::{Value, json};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

const EVENTS: usize = 1_000;
const ROUNDS: usize = 41;
const INDICATORS_DEFAULT: u64 = 1_000_000;

const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [1; 32],
    hours: BusinessHours::UTC_OFFICE,
};

fn main() {
    let arena = Bump::new();
    let bytes = body();
    println!("{} bytes an event", bytes.len() / EVENTS);
    let (events, resource) = read(&bytes, &arena);
    extraction(&events);
    indicators(&events);
    rules(&events, &resource);
}

/// The median time of a round over all events, per event.
fn median(mut round: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    let middle = times.get(ROUNDS / 2).copied().unwrap_or_default();
    middle * 1e9 / f64::from(u32::try_from(EVENTS).unwrap_or(u32::MAX))
}

/// A batch of log events, one in ten of which mentions an e-mail address and an IP address.
fn body() -> Vec<u8> {
    let events: Vec<Value> = (0..EVENTS).map(event).collect();
    json!({"logs": events, "resource": {"service_name": "checkout", "host": "web-17.internal"}})
        .to_string()
        .into_bytes()
}

fn event(n: usize) -> Value {
    let message = match n % 10 {
        0 => format!(
            "user user{n}@example.com logged in from 198.51.{}.{} after 2 attempts",
            n % 250,
            n % 199
        ),
        1 => format!(
            "GET /api/v1/orders/{n}?page=2 200 in {}.{}ms",
            n % 90,
            n % 10
        ),
        2 => format!(
            "connection to db-{}.prod.corp.net:5432 closed: idle for 300s",
            n % 9
        ),
        _ => format!(
            "order {n} accepted, 3 items reserved in warehouse {}, total 42.50 EUR",
            n % 7
        ),
    };
    json!({
        "timestamp": "2024-06-12T12:00:00.123Z",
        "level": "info",
        "message": message,
        "attributes": {
            "http.method": "GET", "http.status_code": 200, "request.id": format!("req-{n:08x}"),
            "thread": "worker-3", "duration_ms": 12.5,
        },
    })
}

fn read<'a>(bytes: &'a [u8], arena: &'a Bump) -> (Vec<Event<'a>>, Resource<'a>) {
    let body = Body {
        signal: Signal::Logs,
        format: BodyFormat::Json,
        validity: Validity::ANY,
        bytes,
    };
    let (mut events, mut resource) = (Vec::new(), Resource::default());
    let read = body.read(arena, |of_body, event| {
        resource = of_body.clone();
        events.extend(event.ok().map(|event| event.clone()));
    });
    assert!(read.is_ok() && events.len() == EVENTS, "{read:?}");
    (events, resource)
}

fn extraction(events: &[Event<'_>]) {
    let mut arena = Bump::new();
    let mut found = 0;
    let time = median(|| {
        let mut observables = Observables::new();
        found = 0;
        for event in events {
            observables.clear();
            observables.extract_event(&event.fields, &arena);
            found += observables.as_slice().len();
        }
        drop(observables);
        arena.reset();
    });
    println!("extraction: {time:.0} ns an event ({found} observables in {EVENTS} events)");
}

fn indicator(n: u64, feed: &Arc<Feed>) -> Indicator {
    let (kind, value) = match n % 4 {
        0 => (Kind::Ipv4, std::net::Ipv4Addr::from(hashed(n)).to_string()),
        1 => (Kind::Domain, format!("host{:x}.evil{n}.com", hashed(n))),
        2 => (Kind::Url, format!("http://evil{n}.com/{:x}", hashed(n))),
        _ => (
            Kind::Sha256,
            format!("{:064x}", u128::from(hashed(n)) * u128::from(n)),
        ),
    };
    let mut indicator = Indicator::new(kind, value, Arc::clone(feed));
    indicator.id = n;
    indicator.threat = format!("family {}", n % 1000);
    indicator
}

fn hashed(n: u64) -> u32 {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    u32::try_from(mixed >> 32).unwrap_or_default()
}

fn indicators(events: &[Event<'_>]) {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let count: u64 = count.unwrap_or(INDICATORS_DEFAULT);
    let feed = Arc::new(Feed {
        id: 0,
        name: "bench".to_owned(),
        trust: 90,
    });
    let start = Instant::now();
    let networks = (0..20_000_u32).map(|n| {
        let value = format!("{}.{}.{}.0/24", n % 199 + 1, n / 199 % 250, n % 251);
        Indicator::new(Kind::Cidr, value, Arc::clone(&feed))
    });
    let index = IndicatorIndex::build((0..count).map(|n| indicator(n, &feed)).chain(networks));
    let seconds = start.elapsed().as_secs_f64();
    let each = index.bytes() / index.len();
    println!(
        "index of {} built in {seconds:.1} s, {each} bytes each",
        index.len()
    );

    let arena = Bump::new();
    let mut of_events = Vec::new();
    for event in events {
        let mut observables = Observables::new();
        observables.extract_event(&event.fields, &arena);
        of_events.extend(observables.as_slice().iter().copied());
    }
    lookups("of the events' observables", &index, &of_events);
    let spread = |from: u64| -> Vec<_> {
        let values = (from..from + count).step_by(7).map(|n| indicator(n, &feed));
        let observables = values.map(|indicator| {
            let value = arena.alloc_str(&indicator.value);
            Observable::new(indicator.kind, value, FieldAt::NONE)
        });
        observables.collect()
    };
    lookups(
        "of unknown values, each once a round",
        &index,
        &spread(count + 1),
    );
    lookups("of known values, each once a round", &index, &spread(0));
}

/// Looks observables up, as many at a time as one event may have.
fn lookups(what: &str, index: &IndicatorIndex, list: &[Observable<'_>]) {
    let mut found = Vec::new();
    let mut matching = 0;
    let asking = Asking {
        org: Uuid::nil(),
        now_ns: 0,
        allowed: None,
    };
    let time = median(|| {
        matching = 0;
        for observables in list.chunks(OBSERVABLES_MAX) {
            found.clear();
            index.matches(&asking, observables, &mut found);
            black_box(&found);
            matching += found.len();
        }
    });
    let each = time * 1e3 / f64::from(u32::try_from(list.len()).unwrap_or(1));
    println!(
        "lookup {what}: {each:.0} ns ({matching} of {} match)",
        list.len()
    );
}

/// Rules as people write them, none of which selects the events.
fn rule(n: usize) -> Option<Arc<RuleDef>> {
    let selection = match n % 6 {
        0 => {
            json!([{"field": "message", "op": "contains_ci", "value": format!("malware family {n}")}])
        }
        1 => {
            json!([{"field": "process.image", "op": "ends_with_ci", "value": format!("\\tool{n}.exe")}])
        }
        2 => json!([{"field": "level", "op": "eq", "value": "info"},
            {"field": "user.name", "op": "in", "value": [format!("svc{n}"), format!("adm{n}")]}]),
        3 => {
            json!([{"field": "message", "op": "contains", "value": [format!("exploit-{n}"), format!("shell {n}")]},
            {"field": "http.status_code", "op": "gte", "value": 500}])
        }
        4 => json!([{"field": "request.id", "op": "eq", "value": format!("blocked-{n}")}]),
        _ => json!([{"field": "command", "op": "regex", "value": format!("rm -rf /data/{n}")},
            {"field": "message", "op": "starts_with", "value": format!("audit {n}:")}]),
    };
    let document = json!({"id": format!("bench-{n}"), "severity": "low", "scope": ["logs"], "selection": selection});
    RuleDef::from_json(&document).ok().map(Arc::new)
}

fn rules(events: &[Event<'_>], resource: &Resource<'_>) {
    let mut scratch = Scratch::default();
    let mut matches = Vec::new();
    for count in [1, 100, 1_000, 3_000] {
        let start = Instant::now();
        let (set, errors) = RuleSet::compile((0..count).filter_map(rule), SETTINGS);
        let compiled = start.elapsed().as_secs_f64() * 1e3;
        assert!(errors.is_empty(), "{errors:?}");
        let time = median(|| {
            matches.clear();
            for event in events {
                let view = EventView {
                    event,
                    resource,
                    timestamp_ns: 0,
                    received_ns: 0,
                    verdict: Verdict::NONE,
                };
                set.evaluate(&view, &mut scratch, &mut matches);
            }
            black_box(&matches);
        });
        println!(
            "{count} rules: {time:.0} ns an event ({} matches, compiled in {compiled:.0} ms)",
            matches.len()
        );
    }
}
