//! Our rule engine beside an independent evaluator of Sigma rules (rsigma): the same rules on the
//! same events, and every difference told.
//!
//! ```text
//! dice        the same numbers on every run
//! made        rules made up by seed
//! values      values that match what a rule asks for
//! events      events made of what rules ask for: such as match, near misses, others
//! files       rules, events and log lines of directories
//! ours, theirs   the two evaluators
//! exceptions  where the other is known to read otherwise, each with what it would have to read
//! compare     both on all pairs: differences, but for those that an exception undoes
//! record      what the other says of the checked-in rules, for tests that have not got it
//! streams     correlations, filters and pipelines: what fires when events come one after the other
//! ```
//!
//! A difference is let pass only if it is gone once the other evaluator is given the rule or the
//! event as an exception says. Nothing of this is part of what is deployed.

pub mod dice;
pub mod made;
mod values;
pub mod events;
pub mod files;
mod ours;
mod theirs;
pub mod exceptions;
pub mod compare;
pub mod record;
pub mod streams;
