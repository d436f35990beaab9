//! What an event means to a defender: observables, indicators of compromise, rules, windows; and the
//! pipelines by which an organisation brings its events into shape before.
//!
//! A pure library: no clock, no file, no network, no metrics. Every function is handed the time
//! it needs, so the same input gives the same answer live, in a rule's own tests, in a dry run and
//! over history.
//!
//! The path of one event:
//!
//! ```text
//! fields ─→ observables ─→ indicators ─→ verdict ─┐
//!      └──────────────→ rules: slots ─ candidates ─ conditions ─→ RuleMatch
//!                                          windows: state + hits ─→ Firing ─→ alert text and id
//! ```
//!
//! Raw values leave this crate only as keyed hashes and as positions of fields; whoever writes
//! them down takes the text from the scrubbed event at those positions.

pub mod field;
pub mod severity;
pub mod observables;
pub mod indicators;
pub mod rules;
pub mod pipelines;
pub mod windows;
pub mod sigma;
pub mod builtin;
pub mod alert;
pub mod history;

pub use field::FieldAt;
pub use indicators::{Indicator, IndicatorIndex, Verdict};
pub use observables::{Kind, Observable, Observables};
pub use rules::{EventView, OrgSettings, RuleDef, RuleMatch, RuleSet, Scratch};
pub use severity::audit_severity;
pub use windows::{Firing, Hit, WindowSpec, WindowState};
