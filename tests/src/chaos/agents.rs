//! Agents: they send signed requests of every signal for several organisations, some of them again
//! and again until they are acknowledged, some never twice. Each request is in the journal before
//! it leaves, each 2xx before the agent goes on.

use super::chance::Chance;
use super::journal::Journal;
use super::request::Request;
use super::site::Site;
use crate::http::Http;
use millrace_shared::Signal;
use millrace_shared::signature::sign_body;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An agent gives up on an answer after this: longer than a gateway waits for Redis.
const ANSWER: Duration = Duration::from_secs(9);
/// An agent that is refused waits this long.
const PAUSE: Duration = Duration::from_millis(150);
/// After the end of all faults an agent that retries is heard within this.
const HEARD: Duration = Duration::from_secs(240);
/// Signals as often as they are sent: mostly logs.
const MIX: [Signal; 10] = [
    Signal::Logs,
    Signal::Logs,
    Signal::Logs,
    Signal::Logs,
    Signal::Metrics,
    Signal::Metrics,
    Signal::Traces,
    Signal::Rum,
    Signal::Audit,
    Signal::Audit,
];
/// Most events of a request.
const EVENTS: u64 = 80;
/// Failures of one part of an attack: few enough that no other rule fires too.
const FAILURES: std::ops::Range<u64> = 2..7;
/// Parts of an attack.
const PARTS: std::ops::Range<u64> = 1..4;

/// What an agent does when there is no answer, or a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Sends it again under its idempotency key, through either gateway, until it is acknowledged.
    Retries,
    /// Has an idempotency key and goes on with the next.
    GoesOn,
    /// Has no idempotency key and goes on.
    Keyless,
}

/// Numbers that are given out once in the life of a site.
#[derive(Debug, Default)]
pub struct Counters {
    request: AtomicU64,
    event: AtomicU64,
    attack: AtomicU32,
}

/// Load of one round.
pub struct Load<'s> {
    /// Where it goes.
    pub site: &'s Site,
    /// Numbers.
    pub counters: &'s Counters,
    /// The record.
    pub journal: &'s Journal,
    /// The round.
    pub round: u32,
    /// Events a second of all agents together, as long as they are answered.
    pub rate: u64,
    /// Set when the agents are to end.
    pub stop: AtomicBool,
    /// What no agent should see.
    pub violations: Mutex<Vec<String>>,
}

impl Load<'_> {
    /// Agents of a round: three of each habit, the organisations in turn.
    pub const AGENTS: u64 = 9;

    /// One agent, until told to stop.
    pub fn run(&self, seed: u64, number: u64) {
        let habit = match number % 3 {
            0 => Habit::Retries,
            1 => Habit::GoesOn,
            _ => Habit::Keyless,
        };
        let agent = Agent {
            load: self,
            org: usize::try_from(number + number / 3).unwrap_or(0) % self.site.orgs.len(),
            habit,
            http: Http::patient(ANSWER),
        };
        let mut chance = Chance::of(seed, &format!("agent-{}-{number}", self.round));
        let mut due = Instant::now();
        while !self.stop.load(Ordering::SeqCst) {
            let mut sent = 0;
            for request in agent.next(&mut chance) {
                sent += u64::from(request.events);
                if let Err(violation) = agent.send(&request, &mut chance) {
                    self.violations
                        .lock()
                        .expect("no panic inside")
                        .push(violation);
                }
            }
            // Its share of the rate; what an outage held up is not made up for.
            due = due.max(Instant::now() - Duration::from_secs(1));
            due += Duration::from_micros(sent * 1_000_000 * Load::AGENTS / self.rate.max(1));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

struct Agent<'l> {
    load: &'l Load<'l>,
    org: usize,
    habit: Habit,
    http: Http,
}

impl Agent<'_> {
    /// The next request, or the parts of an attack.
    fn next(&self, chance: &mut Chance) -> Vec<Request> {
        let signal = chance.pick(&MIX);
        if signal == Signal::Audit && chance.one_in(2) {
            let attack = self.load.counters.attack.fetch_add(1, Ordering::SeqCst) + 1;
            let parts = chance.between(PARTS.start, PARTS.end);
            let counts: Vec<u64> = (0..parts)
                .map(|_| chance.between(FAILURES.start, FAILURES.end))
                .collect();
            let made = counts
                .into_iter()
                .map(|count| self.request((signal, count), (0, attack)));
            return made.collect();
        }
        let poison = self.load.site.poison.load(Ordering::SeqCst);
        if signal == Signal::Logs && chance.one_in(poison) {
            let request = self.request((signal, 1), (0, 0));
            return vec![Request {
                poison: true,
                ..request
            }];
        }
        let events = if chance.one_in(4) {
            1
        } else {
            chance.between(1, EVENTS)
        };
        let rejected = u32::from(chance.one_in(8));
        vec![self.request((signal, events), (rejected, 0))]
    }

    fn request(&self, (signal, events): (Signal, u64), (rejected, attack): (u32, u32)) -> Request {
        let counters = self.load.counters;
        Request {
            id: counters.request.fetch_add(1, Ordering::SeqCst),
            round: self.load.round,
            org: self.org,
            signal,
            first: counters.event.fetch_add(events, Ordering::SeqCst),
            events: u32::try_from(events).unwrap_or(0),
            rejected,
            at_us: u64::try_from(millrace_runtime::clock::now_ns() / 1000).unwrap_or(0),
            attack,
            poison: false,
        }
    }

    /// Sends a request as its habit is; what it sees and should not is the error.
    fn send(&self, request: &Request, chance: &mut Chance) -> Result<(), String> {
        let journal = |error: std::io::Error| format!("the journal: {error}");
        self.load.journal.sent(request).map_err(journal)?;
        let body = request.body();
        let mut patience: Option<Instant> = None;
        loop {
            let gateway = chance.pick(&["gateway-1", "gateway-2"]);
            if self.acknowledged(request, &body, gateway)? {
                return self.load.journal.acknowledged(request.id).map_err(journal);
            }
            if self.habit != Habit::Retries {
                return Ok(());
            }
            if self.load.stop.load(Ordering::SeqCst) {
                let end = *patience.get_or_insert_with(|| Instant::now() + HEARD);
                if Instant::now() > end {
                    return Err(format!("request {} is never acknowledged", request.id));
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Posts once; whether it was acknowledged.
    fn acknowledged(&self, request: &Request, body: &str, gateway: &str) -> Result<bool, String> {
        let org = &self.load.site.orgs[self.org];
        let url = format!("{}/v1/{}", self.load.site.url(gateway), request.signal);
        let (signature, key) = (
            sign_body(&org.secret, body.as_bytes()),
            request.id.to_string(),
        );
        let mut headers = vec![
            ("x-org-key", org.key_id.as_str()),
            ("x-signature", &signature),
            ("content-type", "application/json"),
        ];
        if self.habit != Habit::Keyless {
            headers.push(("x-idempotency-key", &key));
        }
        let Ok(answer) = self.http.post(&url, &headers, body.as_bytes()) else {
            return Ok(false);
        };
        let counts = answer.json();
        match answer.status {
            202 if counts["accepted"] == request.events
                && counts["rejected"] == request.rejected =>
            {
                Ok(true)
            }
            // An agent that stands still in the middle of a request is told that it is slow.
            408 | 429 | 503 => Ok(false),
            status => Err(format!(
                "request {} is answered {status}: {}",
                request.id,
                answer.text()
            )),
        }
    }
}
