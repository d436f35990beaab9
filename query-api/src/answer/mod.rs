//! Rows to answers: pure functions over what the stores gave. No clock, no store, no HTTP.

mod moment;
pub mod soc;
pub mod waterfall;
pub mod points;
pub mod balance;

pub use moment::{Moment, Shown};
