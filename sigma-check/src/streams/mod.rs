//! Correlations, filters and pipelines: what fires, at which event and for which group, when events
//! come one after the other.
//!
//! ```text
//! made       rules, correlations, filters, pipelines and events by seed
//! ours       our engine with its windows
//! theirs     the other evaluator with its windows
//! readings   where the other is known to read otherwise, each with what it has to be given
//! compare    both on all cases: differences, and which readings were needed
//! record     what is said of some cases, for tests that have not got the other
//! ```
//!
//! Events come in the order of their times, which are whole seconds; what comes late is the matter of
//! the engine's own tests.

pub mod made;
mod ours;
mod theirs;
pub mod readings;
pub mod compare;
pub mod record;

use crate::events::Fields;
use std::collections::BTreeSet;

/// Rules, and a stream of events for them.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// Documents of rules, correlations and filters.
    pub rules: String,
    /// Pipelines.
    pub pipelines: Vec<String>,
    /// The events, in the order of their times.
    pub events: Vec<Timed>,
}

/// An event.
#[derive(Clone, Debug)]
pub struct Timed {
    /// When it happens, seconds.
    pub second: i64,
    /// Its fields.
    pub fields: Fields,
}

/// A rule that fires: its id, the number of the event, and the values of its group.
pub type Fire = (String, usize, Vec<String>);
/// All that fire.
pub type Fires = BTreeSet<Fire>;
