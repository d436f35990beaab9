//! The style guide as a test: what can be checked of it is checked here. Needs no engines.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

mod tree;
mod code;
mod crates;
mod sql;
mod settings;
mod documents;
