//! Signed, open-loop load: generated signals or replayed lines.
//!
//! Read in the order in which one request meets it:
//!
//! ```text
//! seed ─ planted ─ generate ─ attack      (seed, request number) → the same events every time
//!                  lines                  one log line → one event
//! body ─ sign                             events → bytes as sent, with their headers
//! target ─ send ─ record                  one request, answered or retried, acknowledged on disk
//! histogram ─ report                      what became of them all
//! run · replay                            generated requests at their due times · lines from a file
//! prebuilt ─ raw ─ bench                  the same bodies, rendered once, at little cost per event
//! example                                 the documents' examples of the contract, carried out
//! ```
//!
//! Every event carries a number of its own (`load_seq`; the value, where it is a metric sample), so
//! that a test can compare what was acknowledged with what is stored. Requests are due at fixed
//! times whether or not earlier ones were answered, and a latency counts from the due time: a slow
//! server cannot slow the clock that measures it. Nothing here trusts a status alone: where
//! acknowledgements are recorded, the signed receipt is checked too.

pub mod clock;
pub mod seed;
pub mod planted;
pub mod generate;
pub mod attack;
pub mod lines;
pub mod body;
pub mod sign;
pub mod target;
pub mod send;
pub mod record;
pub mod histogram;
pub mod report;
pub mod run;
pub mod replay;
pub mod prebuilt;
pub mod raw;
pub mod bench;
pub mod example;
mod error;

pub use error::LoadError;
