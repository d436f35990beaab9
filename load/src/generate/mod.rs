//! Generated events: the same for the same recipe, request number and time.
//!
//! A batch is rendered as JSON text at once. The words are fixed and need no escaping; what a
//! caller puts in (the name of the run) is checked where the recipe is made.

mod logs;
mod metrics;
mod traces;
mod rum;
mod audit;

use crate::error::LoadError;
use crate::planted::{Indicator, Personal, indicator};
use crate::seed::Dice;
use millrace_shared::Signal;
use millrace_shared::limits::events_max;
use std::fmt::Write as _;

/// The number of the first event of a run, unless told otherwise. Twelve digits, so that a
/// rendered body can be numbered anew in place.
pub const FIRST_SEQ: u64 = 100_000_000_000;
/// Letters of a run's name.
const RUN_NAME_MAX: usize = 40;

/// What generated events are like.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Decides everything but the time.
    pub seed: u64,
    /// Marks the events of this run (`load_run`).
    run: String,
    /// Events with planted personal data, in a thousand.
    pub pii_per_mille: u32,
    /// Logs with a planted indicator, in a thousand.
    pub indicators_per_mille: u32,
}

impl Recipe {
    /// The standard recipe of the benchmarks: 10 % of the events carry personal data.
    ///
    /// # Errors
    /// When the name of the run is not 1 to 40 letters, digits, `-` or `_`.
    pub fn new(seed: u64, run: &str) -> Result<Self, LoadError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if run.is_empty() || run.len() > RUN_NAME_MAX || !run.bytes().all(plain) {
            let problem = "the name of a run is 1 to 40 letters, digits, `-` or `_`";
            return Err(LoadError::Option(problem.to_owned()));
        }
        Ok(Recipe {
            seed,
            run: run.to_owned(),
            pii_per_mille: 100,
            indicators_per_mille: 0,
        })
    }

    /// The name of the run.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }
}

/// Which events a batch is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Their signal.
    pub signal: Signal,
    /// The number of the request within the run.
    pub request: u64,
    /// The number of its first event.
    pub first_seq: u64,
    /// How many; capped at what one request may carry.
    pub events: u32,
}

/// One rendered request body.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The signal.
    pub signal: Signal,
    /// The number of the request within the run.
    pub request: u64,
    /// The number of its first event; the others follow.
    pub first_seq: u64,
    /// How many events it holds.
    pub events: u32,
    /// The body as JSON.
    pub json: String,
}

/// Bytes reserved per event: above the mean of every signal.
const EVENT_BYTES_GUESS: usize = 420;

impl Recipe {
    /// Renders the batch at that place, its events happening at `now` (nanoseconds).
    #[must_use]
    pub fn batch(&self, place: Place, now: i64) -> Batch {
        let most = u32::try_from(events_max(place.signal)).unwrap_or(u32::MAX);
        let events = place.events.min(most);
        let mut page = Page {
            out: String::with_capacity(events as usize * EVENT_BYTES_GUESS),
            dice: Dice::new(self.seed, place.request),
            recipe: self,
            now,
        };
        let _ = write!(page.out, "{{\"{}\":[", place.signal.body_key());
        for seq in place.first_seq..place.first_seq.saturating_add(u64::from(events)) {
            if seq > place.first_seq {
                page.out.push(',');
            }
            let _ = match place.signal {
                Signal::Logs => logs::event(&mut page, seq),
                Signal::Metrics => metrics::event(&mut page, seq),
                Signal::Traces => traces::event(&mut page, seq),
                Signal::Rum => rum::event(&mut page, seq),
                Signal::Audit => audit::event(&mut page, seq),
            };
        }
        page.out.push_str(match place.signal {
            Signal::Traces => "],\"resource\":{\"service_name\":\"shop\",\"host\":\"load-1\"}}",
            Signal::Logs | Signal::Metrics | Signal::Rum | Signal::Audit => "]}",
        });
        Batch {
            signal: place.signal,
            request: place.request,
            first_seq: place.first_seq,
            events,
            json: page.out,
        }
    }
}

/// A batch being rendered.
struct Page<'r> {
    out: String,
    dice: Dice,
    recipe: &'r Recipe,
    now: i64,
}

impl Page<'_> {
    /// The personal data due in this event, if any.
    fn personal(&mut self, seq: u64) -> Option<(Personal, String)> {
        let kind = Personal::of(seq);
        self.dice
            .chance(self.recipe.pii_per_mille)
            .then(|| (kind, kind.value(seq)))
    }

    /// The indicator due in this event, if any.
    fn indicator(&mut self, seq: u64) -> Option<Indicator> {
        self.dice
            .chance(self.recipe.indicators_per_mille)
            .then(|| indicator(seq))
    }

    /// A time within the last second, RFC 3339.
    fn time(&mut self) -> String {
        let back = i64::try_from(self.dice.below(1_000)).unwrap_or(0);
        millrace_shared::time::rfc3339(millis(self.now) - back * NS_PER_MILLI)
    }
}

const NS_PER_MILLI: i64 = 1_000_000;

const fn millis(ns: i64) -> i64 {
    ns - ns.rem_euclid(NS_PER_MILLI)
}

const SERVICES: &[&str] = &[
    "checkout", "catalog", "payments", "accounts", "search", "mailer", "shipping", "gateway",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const NOW: i64 = 1_790_000_000_123_000_000;

    fn batch(signal: Signal, events: u32) -> Batch {
        let mut recipe = Recipe::new(42, "unit").unwrap();
        recipe.indicators_per_mille = 50;
        let place = Place {
            signal,
            request: 3,
            first_seq: FIRST_SEQ,
            events,
        };
        recipe.batch(place, NOW)
    }

    fn events(batch: &Batch) -> Vec<Value> {
        let body: Value = serde_json::from_str(&batch.json).unwrap();
        body[batch.signal.body_key()].as_array().unwrap().clone()
    }

    fn number(signal: Signal, event: &Value) -> u64 {
        let number = match signal {
            Signal::Logs | Signal::Traces => &event["attributes"]["load_seq"],
            Signal::Metrics => &event["value"],
            Signal::Rum => &event["custom_attributes"]["load_seq"],
            Signal::Audit => &event["metadata"]["load_seq"],
        };
        number.as_u64().unwrap()
    }

    #[test]
    fn the_contract_accepts_every_generated_event() {
        use millrace_shared::wire::{Body, BodyFormat, Validity};
        for signal in Signal::ALL {
            let batch = batch(signal, 500);
            let arena = Default::default();
            let body = Body {
                signal,
                format: BodyFormat::Json,
                validity: Validity::at(signal, NOW),
                bytes: batch.json.as_bytes(),
            };
            let counts = body
                .read(&arena, |_, event| {
                    assert!(event.is_ok(), "{signal}: {:?}", event.err());
                })
                .unwrap();
            assert_eq!((counts.accepted, counts.rejected), (500, 0));
        }
    }

    #[test]
    fn every_event_has_its_own_number_and_a_batch_repeats() {
        for signal in Signal::ALL {
            let batch = batch(signal, 200);
            let numbers: Vec<u64> = events(&batch).iter().map(|e| number(signal, e)).collect();
            assert_eq!(numbers, (FIRST_SEQ..FIRST_SEQ + 200).collect::<Vec<_>>());
            assert_eq!(batch.json, super::tests::batch(signal, 200).json);
        }
    }

    #[test]
    fn the_standard_batch_is_what_the_targets_say() {
        let recipe = Recipe::new(1, "standard").unwrap();
        let place = Place {
            signal: Signal::Logs,
            request: 0,
            first_seq: FIRST_SEQ,
            events: 1_000,
        };
        let batch = recipe.batch(place, NOW);
        let mean = batch.json.len() / 1_000;
        assert!((235..=275).contains(&mean), "{mean} bytes an event");
        let planted = (FIRST_SEQ..FIRST_SEQ + 1_000)
            .filter(|seq| batch.json.contains(&Personal::of(*seq).value(*seq)))
            .count();
        assert!((70..=130).contains(&planted), "{planted} of 1000");
    }

    #[test]
    fn a_name_that_would_need_escaping_is_refused() {
        assert!(Recipe::new(1, "a\"b").is_err());
        assert!(Recipe::new(1, "").is_err());
        assert!(Recipe::new(1, &"x".repeat(41)).is_err());
    }
}
