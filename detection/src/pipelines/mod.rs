//! Normalization pipelines: an organisation's own steps for one signal, taken in order before
//! anything is judged or stored. Each step changes fields of an event, or drops the event.
//!
//! ```text
//! JSON ─ def ─→ Pipeline ─ apply ─→ the event, changed ─ or dropped
//!                  step: when? rename | map | extract | parse | default | remove | drop
//! ```
//!
//! A step that does not fit an event leaves it as it is, and a value that a core field cannot take
//! stays an attribute of that name: nothing is lost to a pipeline but what it drops or removes.

mod apply;
mod def;
mod formats;
mod place;
pub mod trial;

pub use apply::{Around, Fate, Pipeline, Scratch};

/// Steps of one pipeline.
pub const STEPS_MAX: usize = 100;
/// Entries of one value table.
pub const MAP_MAX: usize = 1_000;
/// Fields that one `remove` names.
pub const REMOVE_MAX: usize = 100;
/// Bytes of a value that a step sets.
pub const VALUE_BYTES_MAX: usize = 4_096;
/// Fields of an event after a step: what the contract allows of attributes, and every core field.
pub const FIELDS_MAX: usize = millrace_shared::limits::ATTRIBUTES_MAX + 64;
