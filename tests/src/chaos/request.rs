//! What one request holds, made from a few numbers: its body as an agent sends it, and every row
//! that must come of it. Both follow from the numbers alone, so nothing else need be remembered.

use super::chance::mix;
use millrace_shared::Signal;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Events of a request lie so far apart, microseconds.
const EVENT_EVERY_US: u64 = 10;
/// Levels of log records, in turn.
const LEVELS: [&str; 5] = ["debug", "info", "warn", "error", "fatal"];
/// Series that the samples of a round are spread over.
const SERIES: u64 = 7;
/// How a message begins that the store is told to refuse.
pub const POISON: &str = "poison";

/// What one request holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number, its idempotency key too.
    pub id: u64,
    /// The round it belongs to: it names the service, so that a round is found again.
    pub round: u32,
    /// Place of the organisation.
    pub org: usize,
    /// Its signal.
    pub signal: Signal,
    /// The number of its first event; the others follow.
    pub first: u64,
    /// How many events.
    pub events: u32,
    /// How many more that must be rejected.
    pub rejected: u32,
    /// When the first event happened, microseconds.
    pub at_us: u64,
    /// The attack that its audit events are part of; 0 for none.
    pub attack: u32,
    /// Whether the store refuses its log records, so that they must end as dead letters.
    pub poison: bool,
}

impl Request {
    /// The numbers of its events.
    pub fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + u64::from(self.events)
    }

    /// The service that all events of a round have.
    #[must_use]
    pub fn service(round: u32) -> String {
        format!("chaos-{round}")
    }

    /// The body as it is sent.
    #[must_use]
    pub fn body(&self) -> String {
        let mut events: Vec<Value> = self.numbers().map(|n| self.event(n)).collect();
        // Events without what they must have, in the middle of the others.
        for _ in 0..self.rejected {
            events.insert(events.len() / 2, json!({"metadata": {"n": "none"}}));
        }
        let service = Request::service(self.round);
        let name = match self.signal {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
            Signal::Rum | Signal::Audit => "events",
        };
        json!({name: events, "resource": {"service_name": service}}).to_string()
    }

    fn event(&self, n: u64) -> Value {
        let (at, salt) = (self.at(n), salt(n));
        match self.signal {
            Signal::Logs if self.poison => json!({"message": format!("{POISON} {n}")}),
            Signal::Logs => json!({
                "timestamp": at, "level": level(n), "message": format!("event {n} {salt}"),
                "attributes": {"n": n.to_string(), "salt": salt},
            }),
            Signal::Metrics => json!({
                "timestamp": at, "name": Request::service(self.round), "value": n,
                "type": "gauge", "labels": {"series": (n % SERIES).to_string()},
            }),
            Signal::Traces => json!({
                "trace_id": trace(n), "span_id": span(n), "name": format!("step {salt}"),
                "kind": "server", "start_time": at, "end_time": at + n % 1000,
                "attributes": {"n": n.to_string()},
            }),
            Signal::Rum => json!({
                "timestamp": at, "session_id": salt, "event_type": "pageview",
                "page_url": format!("https://shop.example.com/{salt}"),
                "custom_attributes": {"n": n.to_string()},
            }),
            Signal::Audit if self.attack > 0 => json!({
                "timestamp": at, "event_type": "AUTHENTICATION", "action": "login",
                "outcome": "FAILURE", "actor": {"id": format!("intruder-{}", self.attack)},
                "ip": address(self.attack), "metadata": {"n": n.to_string()},
            }),
            Signal::Audit => json!({
                "timestamp": at, "event_type": "AUTHORIZATION", "action": salt,
                "outcome": "SUCCESS", "actor": {"id": format!("worker-{salt}")},
                "metadata": {"n": n.to_string()},
            }),
        }
    }

    fn at(&self, n: u64) -> u64 {
        self.at_us + (n - self.first) * EVENT_EVERY_US
    }

    /// What the row of an event must say, as [`columns`] asks for it.
    #[must_use]
    pub fn row(&self, n: u64) -> String {
        let (at, salt) = (self.at(n), salt(n));
        match self.signal {
            Signal::Logs => format!("{at}\tevent {n} {salt}\t{}\t{salt}", level(n)),
            Signal::Metrics => format!("{at}\t{}", n % SERIES),
            Signal::Traces => {
                let nanos = n % 1000 * 1000;
                format!("{at}\t{}\t{}\tstep {salt}\t{nanos}", trace(n), span(n))
            }
            Signal::Rum => format!("{at}\t{salt}\thttps://shop.example.com/{salt}"),
            Signal::Audit if self.attack > 0 => {
                format!(
                    "{at}\tFAILURE\tintruder-{}\t{}",
                    self.attack,
                    address(self.attack)
                )
            }
            Signal::Audit => format!("{at}\tSUCCESS\tworker-{salt}\t"),
        }
    }

    /// Itself on one line of a journal.
    #[must_use]
    pub fn line(&self) -> String {
        let Request {
            id,
            round,
            org,
            signal,
            first,
            events,
            rejected,
            ..
        } = self;
        let Request {
            at_us,
            attack,
            poison,
            ..
        } = self;
        format!(
            "sent {id} {round} {org} {signal} {first} {events} {rejected} {at_us} {attack} {poison}"
        )
    }

    /// Read back from such a line.
    #[must_use]
    pub fn read(line: &str) -> Option<Request> {
        let mut words = line.strip_prefix("sent ")?.split(' ');
        let mut word = || words.next();
        Some(Request {
            id: word()?.parse().ok()?,
            round: word()?.parse().ok()?,
            org: word()?.parse().ok()?,
            signal: Signal::from_name(word()?)?,
            first: word()?.parse().ok()?,
            events: word()?.parse().ok()?,
            rejected: word()?.parse().ok()?,
            at_us: word()?.parse().ok()?,
            attack: word()?.parse().ok()?,
            poison: word()?.parse().ok()?,
        })
    }
}

/// The table of a signal in ClickHouse and what is asked of its rows: the number, then the columns
/// of [`Request::row`]. None for samples.
#[must_use]
pub fn columns(signal: Signal) -> Option<(&'static str, &'static str)> {
    match signal {
        Signal::Logs => Some((
            "logs",
            "LogAttributes['n'], toUnixTimestamp64Micro(Timestamp), Body, SeverityText, LogAttributes['salt']",
        )),
        Signal::Traces => Some((
            "spans",
            "SpanAttributes['n'], toUnixTimestamp64Micro(Timestamp), TraceId, SpanId, SpanName, Duration",
        )),
        Signal::Rum => Some((
            "rum_events",
            "CustomAttributes['n'], toUnixTimestamp64Micro(Timestamp), SessionId, PageUrl",
        )),
        Signal::Audit => Some((
            "audit_events",
            "Metadata['n'], toUnixTimestamp64Micro(Timestamp), Outcome, ActorId, ClientIp",
        )),
        Signal::Metrics => None,
    }
}

/// The address that an attack comes from, and no other does.
#[must_use]
pub fn address(attack: u32) -> String {
    let [_, a, b, c] = attack.to_be_bytes();
    format!("11.{a}.{b}.{c}")
}

fn level(n: u64) -> &'static str {
    LEVELS[usize::try_from(n % LEVELS.len() as u64).unwrap_or(0)]
}

/// Ten letters that only this number has; letters, because digits may look like personal data.
fn salt(n: u64) -> String {
    let mut bits = mix(n);
    let mut text = String::new();
    for _ in 0..10 {
        text.push(char::from(b'a' + u8::try_from(bits % 16).unwrap_or(0)));
        bits /= 16;
    }
    text
}

/// Letters only, for the same reason.
fn hexadecimal(n: u64, digits: usize) -> String {
    let mut text = String::new();
    let mut bits = mix(n);
    while text.len() < digits {
        let _ = write!(
            text,
            "{}",
            char::from(b'a' + u8::try_from(bits % 6).unwrap_or(0))
        );
        bits = mix(bits);
    }
    text
}

fn trace(n: u64) -> String {
    hexadecimal(n, 32)
}

fn span(n: u64) -> String {
    hexadecimal(n + 1, 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(signal: Signal) -> Request {
        Request {
            id: 7,
            round: 3,
            org: 1,
            signal,
            first: 100,
            events: 4,
            rejected: 1,
            at_us: 1_700_000_000_000_000,
            attack: 0,
            poison: false,
        }
    }

    #[test]
    fn a_line_of_the_journal_says_everything() {
        for signal in Signal::ALL {
            let request = request(signal);
            assert_eq!(Request::read(&request.line()), Some(request));
        }
        assert_eq!(Request::read("acked 7"), None);
    }

    #[test]
    fn every_number_has_a_body_and_a_row_of_its_own() {
        for signal in Signal::ALL {
            let request = request(signal);
            let body: Value = serde_json::from_str(&request.body()).unwrap();
            let list = body.as_object().unwrap().values().find(|v| v.is_array());
            assert_eq!(
                list.unwrap().as_array().unwrap().len(),
                5,
                "four and a bad one"
            );
            let rows: std::collections::BTreeSet<_> =
                request.numbers().map(|n| request.row(n)).collect();
            assert_eq!(rows.len(), 4);
        }
    }
}
