//! Starts the three real engines on a machine without Docker.
//!
//! Redis, PostgreSQL with TimescaleDB, and the ClickHouse engine behind ClickHouse's HTTP interface
//! are installed once into an engine root ([`install`]), and run from there as many instances as
//! wanted, each with its own data and ports ([`Stack`]). `make run`, the tests and the benchmarks
//! share this crate. An engine whose address is given by the environment is left alone. [`run`] puts
//! the services on top: it is what `make run` does.
//!
//! What it never does: serve production. The engines listen on the loopback interface only.

pub mod error;
pub mod engine;
pub mod place;
mod process;
mod host;
pub mod install;
mod health;
pub mod ports;
mod launch;
pub mod options;
pub mod stack;
pub mod migrate;
pub mod service;
mod demo;
mod report;
pub mod run;

pub use engine::Engine;
pub use error::Error;
pub use options::{Options, Ports};
pub use service::Service;
pub use stack::Stack;
