//! Delivery on the real stores: each event once, whatever is killed when; take-over with fencing;
//! poison set aside; nothing trimmed before its audit. Needs the stores that `make test` starts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test says what is wrong by failing"
)]

mod stage;
mod faults;
mod loss;
mod commit;
mod windows;
mod flow;
mod poison;
mod revisions;
mod builtin;
