//! What is asked: parameters read into typed questions. Nothing here knows SQL or a store.

mod params;
mod time;
mod cursor;
mod scan;
mod labels;
mod status;
mod samples;

pub use cursor::{Cursor, Position};
pub use labels::{Matcher, Operator};
pub use params::{Asked, BODY_BYTES_MAX, Body, InQuery, Loose, OneOrMany, limit};
pub use samples::{signal, within_trial};
pub use scan::{Condition, Order, Scan, words};
pub use status::AlertStatus;
pub use time::{DAY_S, TimeRange};
