//! Prints how fast one core scrubs text without and with personal data, lines of the usual programs
//! and short fields; the lines of files too, where some are named.
//!
//! `cargo run --release -p millrace-scrubber --example throughput -- /var/log/dpkg.log`
//!
//! `--only NAME` measures one set, `--rounds N` passes over each so many times. What one more round
//! costs under `valgrind --tool=callgrind` are the instructions, which nothing else disturbs.

#![expect(clippy::print_stdout, reason = "its answer is what it prints")]

#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared with the tests, which use all of it"
)]
#[path = "../tests/corpus/dice.rs"]
mod dice;
#[path = "../tests/corpus/ordinary.rs"]
mod ordinary;

use std::hint::black_box;
use std::time::Instant;

use bumpalo::Bump;
use millrace_scrubber::{ClassSet, Pepper, Policy, Scrubber};

/// Ordinary messages; `{}` takes a number that differs per line.
const CLEAN: &[&str] = &[
    "GET /api/v1/orders/{} 200 in 12 ms",
    "connection from 10.250.19.{} port 54106 closed by peer",
    "2026-11-21T04:05:06.{}Z INFO worker started batch with 1000 events",
    "Receiving block blk_-16089996879198{} src: /10.250.19.102:54106 dest: /10.250.19.102:50010",
    "user session 3f2504e0-4f89-11d3-9a0c-0305e82c{} refreshed",
    "cache hit for product list, {} items",
    "jk2_init() Found child {} in scoreboard slot 9",
    "payment accepted for order number {} after two attempts",
    "checkout",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "instance 96abccce-8d1f-4e07-b6d1-4b2ab87e{} building image from backing store, claim successful",
    "TypeError: Cannot read properties of undefined (reading 'map') at Array.forEach (app.js:{}:17)",
];

const PERSONAL: &[&str] = &[
    "mail sent to alice{}@example.com from queue 7",
    "card 4111 1111 1111 1111 declined for order {}",
    "customer 123-45-6789 asked for order {}",
    "login failed password=hunter{} for the account",
    "Authorization: Bearer 0a1b2c3d4e5f6071{}abc sent upstream",
];

/// Values of fields, as most are: short, and one of a kind.
const FIELDS: &[&str] = &[
    "GET",
    "checkout",
    "200",
    "prod-eu-1",
    "10.250.19.102",
    "/api/v1/orders",
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "2026-11-21T04:05:06.123Z",
    "orders-6b7f9c8d5-x2k4q",
    "application/json; charset=utf-8",
    "cache hit for product list",
    "true",
    "de-DE,de;q=0.9,en;q=0.8",
    "com.example.orders.OrderService",
];

/// What is asked for on the command line.
struct Asked {
    only: Option<String>,
    rounds: usize,
    files: Vec<String>,
}

impl Asked {
    fn read(mut words: impl Iterator<Item = String>) -> Asked {
        let mut asked = Asked {
            only: None,
            rounds: 25,
            files: Vec::new(),
        };
        while let Some(word) = words.next() {
            match &*word {
                "--only" => asked.only = words.next(),
                "--rounds" => {
                    let rounds = words.next().and_then(|rounds| rounds.parse().ok());
                    asked.rounds = rounds.unwrap_or(asked.rounds);
                }
                _ => asked.files.push(word),
            }
        }
        asked
    }
}

/// Lines to scrub, about a tenth of them with personal data if asked for.
fn lines(personal: bool) -> Vec<String> {
    (0..20_000usize)
        .map(|index| {
            let (list, place) = if personal && index % 10 == 3 {
                (PERSONAL, index / 10)
            } else {
                (CLEAN, index)
            };
            let line = list.get(place % list.len()).copied().unwrap_or_default();
            line.replace("{}", &(1000 + index % 9000).to_string())
        })
        .collect()
}

fn measure((scrubber, asked): (&Scrubber, &Asked), name: &str, lines: &[String]) {
    if asked.only.as_ref().is_some_and(|only| only != name) {
        return;
    }
    let bytes: usize = lines.iter().map(String::len).sum();
    let mut arena = Bump::with_capacity(1 << 20);
    let mut rates = Vec::new();
    let mut changed = 0;
    for _ in 0..asked.rounds {
        changed = 0;
        let start = Instant::now();
        for line in lines {
            let mut found = ClassSet::EMPTY;
            let scrubbed = scrubber.scrub(&arena, "message", black_box(line), &mut found);
            changed += usize::from(black_box(scrubbed).is_some());
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate to three digits")]
        rates.push(bytes as f64 / start.elapsed().as_secs_f64() / 1e6);
        arena.reset();
    }
    // The best round: what else the machine does takes from all of them, and adds to none.
    let rate = rates.into_iter().fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a rate to three digits")]
    let per_line = bytes as f64 / lines.len() as f64;
    println!(
        "{name:<22} {rate:>7.0} MB/s  {:>6.1} ns a string of {per_line:.0} bytes, {changed} of {} changed",
        per_line / rate * 1e3,
        lines.len(),
    );
}

fn main() -> Result<(), millrace_scrubber::PolicyError> {
    let pepper = Pepper::new(1, b"a pepper for measuring")?;
    let scrubber = Scrubber::new(&Policy::default(), pepper)?;
    let asked = Asked::read(std::env::args().skip(1));
    let with = (&scrubber, &asked);
    let clean = lines(false);
    let personal = lines(true);
    let mut dice = dice::Dice::new(1);
    let usual: Vec<String> = (0..20_000).map(|_| ordinary::line(&mut dice)).collect();
    let fields = FIELDS.iter().cycle().take(2_000 * FIELDS.len());
    let fields: Vec<String> = fields.map(|field| (*field).to_owned()).collect();
    measure(with, "usual log lines", &usual);
    measure(with, "usual, one long text", &[usual.join("\n")]);
    for path in &asked.files {
        let bytes = std::fs::read(path).unwrap_or_default();
        let lines: Vec<String> = String::from_utf8_lossy(&bytes)
            .lines()
            .map(str::to_owned)
            .collect();
        measure(with, path.rsplit('/').next().unwrap_or_default(), &lines);
    }
    measure(with, "clean strings", &clean);
    measure(with, "10 % personal strings", &personal);
    measure(with, "short fields", &fields);
    measure(with, "clean, one long text", &[clean.join("\n")]);
    measure(with, "10 %, one long text", &[personal.join("\n")]);
    if asked.only.is_none() {
        measure_each(with);
        measure_keys(&scrubber);
    }
    Ok(())
}

/// Every line and field by itself.
fn measure_each(with: (&Scrubber, &Asked)) {
    for (index, line) in CLEAN.iter().enumerate() {
        let lines = vec![line.replace("{}", "4711"); 5_000];
        measure(with, &format!("line {index}"), &lines);
    }
    for field in FIELDS {
        measure(with, field, &vec![(*field).to_owned(); 5_000]);
    }
}

/// Names of fields.
fn measure_keys(scrubber: &Scrubber) {
    let keys: Vec<&str> = [
        "http.method",
        "user.id",
        "trace_id",
        "attributes.password",
        "service",
    ]
    .into_iter()
    .cycle()
    .take(20_000)
    .collect();
    let start = Instant::now();
    let sensitive = keys
        .iter()
        .filter(|key| scrubber.is_sensitive_key(black_box(key)))
        .count();
    println!(
        "key check {:?} each, {sensitive} sensitive",
        start.elapsed() / 20_000
    );
}
