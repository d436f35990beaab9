//! The built-in behaviour rules over four weeks of an organisation: three weeks to learn, a quiet one
//! in which whatever fires is false, and planted anomalies, which must all be found.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a test says what is wrong by failing; its numbers are small"
)]

use bumpalo::Bump;
use millrace_detection::rules::BusinessHours;
use millrace_detection::{
    EventView, Hit, OrgSettings, RuleSet, Scratch, Verdict, WindowState, builtin,
};
use millrace_shared::Signal;
use millrace_shared::time::rfc3339;
use millrace_shared::wire::{Body, BodyFormat, Validity};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const RULES: [&str; 3] = [
    "GEOLOCATION_ANOMALY",
    "GEOLOCATION_ANOMALY_TRAVEL",
    "AUTHENTICATION_ANOMALY",
];
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// A Monday at midnight.
const START: i64 = 1_717_372_800 * SECOND;
const USERS: u64 = 50;
/// Where people live, and where one of them turns up.
const TOWNS: [(&str, f64, f64); 4] = [
    ("DE", 52.52, 13.405),
    ("FR", 48.8566, 2.3522),
    ("AT", 48.2082, 16.3738),
    ("AU", -33.8688, 151.2093),
];

/// `SplitMix64` (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How many come where so many are expected (Knuth's method).
    fn poisson(&mut self, mean: f64) -> u32 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

struct Login {
    at: i64,
    user: u64,
    town: usize,
    /// Degrees by which its address is misplaced.
    blur: f64,
}

impl Login {
    fn event(&self) -> Value {
        let (country, latitude, longitude) = TOWNS[self.town];
        json!({
            "event_type": "AUTHENTICATION", "action": "login", "outcome": "SUCCESS",
            "timestamp": rfc3339(self.at), "actor": {"id": format!("u{}", self.user)},
            "country": country,
            "metadata": {"client.geo.location.lat": latitude + self.blur,
                         "client.geo.location.lon": longitude - self.blur},
        })
    }
}

/// Logins of people who keep office hours, some of whom do not.
fn office(random: &mut Random, days: i64) -> Vec<Login> {
    let mut logins = Vec::new();
    for hour in 0..days * 24 {
        let (of_day, of_week) = (hour % 24, hour / 24 % 7);
        let mean = match (of_week, of_day) {
            (0..5, 8..18) => 1.5,
            (0..5, 6..22) => 0.1,
            (5.., 8..20) => 0.05,
            _ => 0.02,
        };
        for user in 0..USERS {
            for _ in 0..random.poisson(mean) {
                logins.push(Login {
                    at: START + hour * HOUR + (random.unit() * HOUR as f64) as i64,
                    user,
                    town: (user % 3) as usize,
                    blur: random.unit() - 0.5,
                });
            }
        }
    }
    logins.sort_by_key(|login| login.at);
    logins
}

fn behaviour() -> RuleSet {
    let rules = builtin::rules().unwrap();
    let rules = rules
        .into_iter()
        .filter(|rule| RULES.contains(&rule.id.as_str()));
    let settings = OrgSettings {
        hash_key: [7; 32],
        hours: BusinessHours::UTC_OFFICE,
    };
    let (set, errors) = RuleSet::compile(rules.map(Arc::new), settings);
    assert!(errors.is_empty(), "{errors:?}");
    set
}

/// How often each rule fires from an instant on, batch by batch of half an hour.
fn fired(logins: &[Login], from: i64) -> BTreeMap<&'static str, usize> {
    let set = behaviour();
    let mut states: HashMap<(u32, Option<u128>), WindowState> = HashMap::new();
    let mut fired: BTreeMap<&str, usize> = RULES.into_iter().map(|rule| (rule, 0)).collect();
    let (mut scratch, mut event) = (Scratch::default(), 0_u128);
    for batch in logins.chunk_by(|a, b| a.at / (HOUR / 2) == b.at / (HOUR / 2)) {
        let mut hits: HashMap<(u32, Option<u128>), Vec<Hit>> = HashMap::new();
        let events: Vec<Value> = batch.iter().map(Login::event).collect();
        let bytes = json!({ "events": events }).to_string();
        let arena = Bump::new();
        let body = Body {
            signal: Signal::Audit,
            format: BodyFormat::Json,
            validity: Validity::ANY,
            bytes: bytes.as_bytes(),
        };
        body.read(&arena, |resource, read| {
            let read = read.unwrap();
            let at = read.timestamp.unwrap();
            let view = EventView {
                event: read,
                resource,
                timestamp_ns: at,
                received_ns: at,
                verdict: Verdict::NONE,
            };
            let mut matches = Vec::new();
            set.evaluate(&view, &mut scratch, &mut matches);
            event += 1;
            for found in matches {
                let value = found.distinct.unwrap_or(0);
                let hit = Hit {
                    at_ns: found.at_ns,
                    value,
                    event,
                };
                hits.entry((found.rule.0, found.group))
                    .or_default()
                    .push(hit);
            }
        })
        .unwrap();
        for (key, hits) in hits {
            let rule = &set.rules()[key.0 as usize];
            let state = states.entry(key).or_default();
            let firings = state.apply(&rule.window.unwrap(), &hits).len();
            let known = RULES.into_iter().find(|id| *id == rule.def.id).unwrap();
            if batch[0].at >= from && firings > 0 {
                *fired.get_mut(known).unwrap() += 1;
            }
        }
    }
    fired
}

#[test]
fn planted_anomalies_are_found() {
    let mut random = Random(1);
    let quiet = office(&mut random, 21);
    let stranger = |at, user, town| Login {
        at,
        user,
        town,
        blur: 0.0,
    };
    let night = START + 20 * DAY + 3 * HOUR;
    let plants: [(&str, Vec<Login>); 3] = [
        // Of a user of Berlin, in Paris, two days after the last of Berlin.
        (
            "GEOLOCATION_ANOMALY",
            vec![stranger(START + 20 * DAY + 23 * HOUR, 0, 1)],
        ),
        // In Sydney, an hour after Vienna.
        (
            "GEOLOCATION_ANOMALY_TRAVEL",
            vec![stranger(night, 2, 2), stranger(night + HOUR, 2, 3)],
        ),
        (
            "AUTHENTICATION_ANOMALY",
            (0..40)
                .map(|n| stranger(night + n * SECOND, 1, 1))
                .collect(),
        ),
    ];
    let before = fired(&quiet, START + 20 * DAY);
    for (rule, planted) in plants {
        let mut logins = office(&mut Random(1), 21);
        logins.extend(planted);
        logins.sort_by_key(|login| login.at);
        let after = fired(&logins, START + 20 * DAY);
        assert!(
            after[rule] > before[rule],
            "{rule} finds nothing: {after:?}"
        );
    }
}

/// What `docs/detection.md` says of a quiet week.
#[test]
fn a_quiet_week_is_quiet() {
    const WEEKS: usize = 8;
    let mut all: BTreeMap<&str, usize> = BTreeMap::new();
    let mut logins = 0;
    for seed in 0..WEEKS as u64 {
        let month = office(&mut Random(seed), 28);
        let week = START + 21 * DAY;
        logins += month.iter().filter(|login| login.at >= week).count();
        for (rule, count) in fired(&month, week) {
            *all.entry(rule).or_default() += count;
        }
    }
    println!("{logins} logins in {WEEKS} quiet weeks: {all:?}");
    assert_eq!(all["GEOLOCATION_ANOMALY"], 0);
    assert_eq!(all["GEOLOCATION_ANOMALY_TRAVEL"], 0);
    assert!(all["AUTHENTICATION_ANOMALY"] <= 2 * WEEKS, "{all:?}");
}
