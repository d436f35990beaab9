//! The query API, asked over HTTP in this process, on the real engines. Every test makes its own
//! organisations, so tests run side by side and over any data.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "a test that meets the unexpected fails"
)]

mod world;
mod access;
mod logs;
mod metrics;
mod traces;
mod audit;
mod rum;
mod alerts;
mod channels;
mod rules;
mod backtest;
mod sigma;
mod indicators;
mod privacy;
mod books;
mod limits;
mod random;
