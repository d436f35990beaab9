//! Requests rendered, compressed and signed ahead of time, so that a benchmark measures the
//! pipeline and not the generator.
//!
//! A request can be sent as it is any number of times (each is a new batch to the gateway, its
//! events numbered as before), or be numbered anew in place, which costs a pass over the body and
//! one signature.

use crate::body::Encoding;
use crate::error::LoadError;
use crate::generate::{Batch, FIRST_SEQ};
use crate::sign::{How, headers};
use crate::target::Target;
use millrace_shared::Signal;
use millrace_shared::limits::NS_PER_SECOND;
use std::io::Write as _;

/// What stands before the number of an event in a rendered body.
const fn number_mark(signal: Signal) -> &'static [u8] {
    match signal {
        Signal::Logs | Signal::Traces | Signal::Rum | Signal::Audit => b"\"load_seq\":",
        Signal::Metrics => b"\"value\":",
    }
}

/// Digits of that number.
const NUMBER_DIGITS: usize = 12;
const _: () = assert!(FIRST_SEQ >= 100_000_000_000 && FIRST_SEQ < 1_000_000_000_000);

/// One request as it goes over the wire, headers and all.
#[derive(Clone, Debug)]
pub struct Prebuilt {
    /// The signal.
    pub signal: Signal,
    /// How many events it holds.
    pub events: u32,
    json: Vec<u8>,
    numbers: Vec<usize>,
    wire: Vec<u8>,
}

impl Prebuilt {
    /// Renders a batch for a target. Standard Webhooks needs a time in the signature, so only
    /// [`Scheme::Body`](crate::sign::Scheme::Body) stays valid for as long as a benchmark lasts.
    ///
    /// # Errors
    /// When the body cannot be compressed.
    pub fn new(target: &Target, how: How, batch: &Batch) -> Result<Self, LoadError> {
        let json = batch.json.clone().into_bytes();
        let mut prebuilt = Prebuilt {
            signal: batch.signal,
            events: batch.events,
            numbers: number_places(&json, number_mark(batch.signal)),
            json,
            wire: Vec::new(),
        };
        prebuilt.render(target, how)?;
        Ok(prebuilt)
    }

    /// The bytes to be written to a connection.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The body before compression.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// Numbers the events anew from `first_seq` (twelve digits), and signs again.
    ///
    /// # Errors
    /// When the number has not twelve digits, or the body cannot be compressed.
    pub fn renumber(&mut self, first_seq: u64, target: &Target, how: How) -> Result<(), LoadError> {
        for (at, seq) in self.numbers.iter().zip(first_seq..) {
            let digits = seq.to_string();
            let place = self.json.get_mut(*at..*at + NUMBER_DIGITS);
            match place.filter(|_| digits.len() == NUMBER_DIGITS) {
                Some(place) => place.copy_from_slice(digits.as_bytes()),
                None => {
                    let problem = format!("{seq} has not {NUMBER_DIGITS} digits");
                    return Err(LoadError::Option(problem));
                }
            }
        }
        self.render(target, how)
    }

    fn render(&mut self, target: &Target, how: How) -> Result<(), LoadError> {
        let packed;
        let body = if how.encoding == Encoding::None {
            &self.json
        } else {
            let result = how.encoding.pack(&self.json);
            packed = result.map_err(|error| LoadError::Option(format!("compression: {error}")))?;
            &packed
        };
        let now_s = crate::clock::now_ns() / NS_PER_SECOND;
        let host = target.gateway_url.trim_start_matches("http://");
        self.wire.clear();
        let wire = &mut self.wire;
        // Writing to a vector does not fail.
        let _ = write!(
            wire,
            "POST /v1/{} HTTP/1.1\r\nhost: {host}\r\n",
            self.signal
        );
        for (name, value) in headers(target, how, body, "", now_s) {
            let _ = write!(wire, "{name}: {value}\r\n");
        }
        let _ = write!(wire, "content-length: {}\r\n\r\n", body.len());
        wire.extend_from_slice(body);
        Ok(())
    }
}

/// Where the numbers of the events stand.
fn number_places(json: &[u8], mark: &[u8]) -> Vec<usize> {
    json.windows(mark.len())
        .enumerate()
        .filter(|(_, window)| *window == mark)
        .map(|(at, _)| at + mark.len())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Place, Recipe};
    use millrace_shared::signature::parse_body_signature;

    #[test]
    fn a_renumbered_request_is_whole_and_verifies() {
        let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let target = Target::new("http://127.0.0.1:9", "k", secret).unwrap();
        let recipe = Recipe::new(1, "pre").unwrap();
        let place = Place {
            signal: Signal::Logs,
            request: 0,
            first_seq: FIRST_SEQ,
            events: 10,
        };
        let batch = recipe.batch(place, 1_790_000_000_000_000_000);
        let how = How::default();
        let mut prebuilt = Prebuilt::new(&target, how, &batch).unwrap();
        assert_eq!(prebuilt.json(), batch.json.as_bytes());
        let moved = FIRST_SEQ + 777;
        prebuilt.renumber(moved, &target, how).unwrap();
        let expected = recipe.batch(
            Place {
                first_seq: moved,
                ..place
            },
            1_790_000_000_000_000_000,
        );
        let number = |json: &[u8], at: usize| -> u64 {
            let json: serde_json::Value = serde_json::from_slice(json).unwrap();
            json["logs"][at]["attributes"]["load_seq"].as_u64().unwrap()
        };
        assert_eq!(number(prebuilt.json(), 9), moved + 9);
        assert_eq!(number(expected.json.as_bytes(), 9), moved + 9);
        let wire = String::from_utf8(prebuilt.wire().to_vec()).unwrap();
        let (head, body) = wire.split_once("\r\n\r\n").unwrap();
        let signature = head
            .lines()
            .find_map(|line| line.strip_prefix("x-signature: "))
            .unwrap();
        let claim = parse_body_signature(signature).unwrap();
        assert!(claim.holds(std::slice::from_ref(&target.secret), body.as_bytes()));
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(prebuilt.renumber(1, &target, how).is_err());
    }
}
