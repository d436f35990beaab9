//! What crosses a process boundary, and nothing else.
//!
//! Read in the order in which one event meets it:
//!
//! ```text
//! signature ─ inflate ─ json ─ event ─ wire        HTTP body → verified, parsed, validated events
//!           ids ─ entry                            → one entry of a Redis stream
//!                    rows                          → RowBinary rows of the stores' tables
//! channel                                          where alerts are told, from the API to the worker
//! signal, limits, outcome, settings, secret, time  what all of them share
//! ```
//!
//! There is no HTTP server, no Redis and no database client in here, and no clock: every function
//! is handed the time it needs.

pub mod signal;
pub mod limits;
pub mod outcome;
pub mod time;
pub mod signature;
pub mod secret;
pub mod channel;
pub mod inflate;
pub mod json;
pub mod rewrite;
pub mod event;
pub mod wire;
pub mod ids;
pub mod entry;
pub mod rows;
pub mod schema;
pub mod settings;

pub use event::{Event, Field, Resource, Role, Value};
pub use signal::Signal;
