//! Malformed requests by the thousand, each with the answer that is due.
//!
//! ```text
//! sender    whose keys the requests are signed with
//! request   a request as bytes, right in everything until a case makes one thing wrong
//! case      one case: what is sent, and what must come back
//! framing   Content-Length, Transfer-Encoding, chunks, pipelines, truncation
//! bytes     control characters, line ends and noise where HTTP does not have them
//! targets   methods, targets, versions, parameters, content types
//! headers   floods, giants, duplicates, tenants, expectations
//! auth      every way in which a key or a signature can be wrong
//! packed    damaged, nested, mislabelled and exploding compression
//! texts     values that are no JSON
//! json      text that is no JSON, after the categories of the public parsing suites
//! shape     fields of another type, absent, empty, too long, unknown
//! limits    one more than each limit allows
//! injection text that means something to somebody else: kept as it is, or refused
//! stand     a gateway of its own to send them to
//! exchange  one case over a bare TCP connection
//! judge     whether what came back was due
//! api       the same for the query API, from its OpenAPI document
//! crowd     slow clients, all at once
//! timing    whether the time of a refusal tells why
//! ```
//!
//! What is due follows from the contract and from RFC 9110, 9112 and 8259, never from what the
//! gateway happens to do. Where they leave a choice, each of the choices is right and no other.
//! The corpus is a function of the sender and the time: nothing in it is random from run to run.

pub mod sender;
pub mod request;
pub mod case;
mod framing;
mod bytes;
mod targets;
mod headers;
mod auth;
mod packed;
mod texts;
mod json;
mod shape;
mod limits;
mod injection;
pub mod stand;
pub mod exchange;
pub mod judge;
pub mod api;
pub mod crowd;
pub mod timing;

pub use case::{Area, Case};
pub use sender::Sender;

use std::collections::HashSet;

/// All cases, signed by this sender where they are signed. What two areas both try is in it once.
#[must_use]
pub fn corpus(sender: &Sender) -> Vec<Case> {
    let mut cases = [
        framing::cases(sender),
        bytes::cases(sender),
        targets::cases(sender),
        headers::cases(sender),
        auth::cases(sender),
        packed::cases(sender),
        json::cases(sender),
        shape::cases(sender),
        limits::cases(sender),
        injection::cases(sender),
    ]
    .concat();
    let mut sent = HashSet::new();
    cases.retain(|case| sent.insert((case.wire.clone(), case.then)));
    cases
}

/// Texts that mean something to somebody else and must be stored as they are sent.
#[must_use]
pub fn injected() -> &'static [&'static str] {
    &injection::TEXTS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of malformed requests that the project promises to try.
    const PROMISED: usize = 2_000;

    #[test]
    fn there_are_as_many_as_promised_and_no_two_are_the_same() {
        let all = corpus(&Sender::example());
        let malformed = all.iter().filter(|case| case.is_malformed()).count();
        assert!(malformed >= PROMISED, "{malformed}");
        let mut names = HashSet::new();
        for case in &all {
            assert!(
                names.insert(&case.name),
                "two cases are named {}",
                case.name
            );
        }
    }

    #[test]
    fn the_same_sender_and_time_give_the_same_corpus() {
        let once = corpus(&Sender::example());
        let again = corpus(&Sender::example());
        let wires = |cases: &[Case]| -> Vec<Vec<u8>> {
            cases.iter().map(|case| case.wire.clone()).collect()
        };
        assert_eq!(wires(&once), wires(&again));
    }
}
