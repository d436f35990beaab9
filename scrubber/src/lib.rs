//! Personal data and secrets, found in text and replaced.
//!
//! A pure library: it reads no clock, no file, no network and keeps no state between calls. The
//! same policy, pepper and text always give the same answer.
//!
//! The path of a string:
//!
//! ```text
//! path ─→ plan (whole field? which classes?) ─→ masks ─→ triggers ─→ detectors ─→ spans ─→ new text
//!         keys, policy                          one vector pass      only where    leftmost,
//!                                               over the bytes       a bit is set  longest
//! ```
//!
//! Most strings end after the triggers: nothing was found, nothing was allocated and the caller
//! keeps the string it had. The short strings of an event share the windows of one sheet. What detection and joins need is never eaten: trace ids, UUIDs,
//! digests, version numbers, timestamps and digit runs that fail their checksum.
//!
//! Scrubbing is idempotent: what a strategy writes is not found again. The one exception is by
//! nature [`Strategy::Pseudonym`], whose answer is an address like any other.

mod class;
mod policy;
mod keys;
mod masks;
mod triggers;
mod detect;
mod sheet;
mod spans;
mod canonical;
mod pseudonym;
mod pepper;
mod replace;
mod scrubber;
mod event;
mod trial;

pub use class::{Class, ClassSet};
pub use pepper::Pepper;
pub use policy::{PathRule, Policy, PolicyError, Strategy};
pub use replace::is_marked;
pub use scrubber::{FieldPlan, Scrubbed, Scrubber};
