//! Whole-pipeline tests on the real engines. One binary, so that one installation serves them all.
//!
//! Engines come from the environment (`make test` gives them) or are started here; the binaries of
//! the services must be built (`make test` does).

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

mod contract;
mod signing;
mod accepting;
mod quota;
mod stories;
mod tenancy;
mod strangers;
mod privacy;
mod privacy_policy;
mod hostile;
mod canaries;
mod detection;
mod backtest;
mod hunts;
mod indicators;
mod sigma;
mod notifications;
mod pipelines;
mod series;
mod outages;
mod tail;
mod dead_letters;
mod entries;
mod schema;
mod operator;
mod health;
