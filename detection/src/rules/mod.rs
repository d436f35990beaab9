//! Rules: one engine for live events, a rule's own tests, dry runs and history.
//!
//! ```text
//! JSON ─ def ─→ RuleDef ─ compile ─→ RuleSet
//!                          per signal: which fields fill which slots, and which values of a
//!                          field make which rules candidates
//! event ─→ candidates (one pass over its fields) ─→ slots ─→ conditions ─→ RuleMatch
//! ```
//!
//! Nothing is allocated per event: the [`Scratch`] is used again and again.

mod error;
mod window_def;
mod def;
mod json;
mod reserved;
mod window_json;
pub(crate) mod correlation;
pub(crate) mod path;
mod literal;
pub(crate) mod wildcard;
mod moment;
mod compare;
mod required;
mod condition;
mod filter;
mod elements;
mod grams;
mod tiny;
mod packed;
mod texts;
mod facts;
mod fields;
mod keywords;
mod index;
mod order;
mod gates;
mod recent;
mod candidates;
mod compile;
mod slots;
mod evaluate;
mod reads;
mod keys;
mod hours;
pub mod trial;

pub use compile::{OrgSettings, Rule, RuleIndex, RuleSet};
pub use correlation::{Correlated, CorrelationDef, StepDef};
pub use def::{
    Condition, DedupeDef, ExceptionDef, Expect, MissingGroup, MuteDef, Op, Operator, RuleDef,
    RuleSeverity, Selection, TestDef,
};
pub use error::{Problem, RuleError};
pub use evaluate::{EventView, RuleMatch, Scratch};
pub use hours::{BusinessHours, HoursError};
pub use keys::{KEY_PATHS_MAX, KeyFields};
pub use path::{field_names, find_field};
pub use reads::Reads;
pub use reserved::{RESERVED_IDS, check_new_id};
pub use window_def::{Measured, SequenceStep, WindowDef};

/// Rules of one organisation.
pub const RULES_MAX: usize = 20_000;
/// Conditions of one rule: a rule of thousands is a list that belongs into indicators.
pub const CONDITIONS_MAX: usize = 500;
/// Values of one condition.
pub const VALUES_MAX: usize = 5_000;
/// Bytes of one value.
pub const VALUE_BYTES_MAX: usize = 4_096;
/// Groups inside groups.
pub const SELECTION_DEPTH_MAX: usize = 16;
/// Bytes of a regular expression as written, and of its compiled form.
pub const REGEX_BYTES_MAX: usize = 1_024;
/// Bytes of a compiled regular expression: Unicode classes fit, and a thousand times any character;
/// larger counted repetitions do not.
pub const REGEX_COMPILED_BYTES_MAX: usize = 1024 * 1024;
/// Regular expressions of one rule, which bounds what all of them take together.
pub const REGEXES_MAX: usize = 100;
/// Characters of a path: a dozen alternatives.
pub const PATH_CHARS_MAX: usize = 1_000;
/// Test cases of one rule, and events of one test case.
pub const TESTS_MAX: usize = 100;
/// Events of one test case.
pub const TEST_EVENTS_MAX: usize = 500;
/// Exceptions, and mute windows, of one rule.
pub const EXCEPTIONS_MAX: usize = 100;
/// Seconds of a dedupe window when the rule names none.
pub const DEDUPE_SECONDS_DEFAULT: u32 = 15 * 60;
/// Seconds of a count window given by `threshold_count` alone.
pub const WINDOW_SECONDS_DEFAULT: u32 = 5 * 60;

#[cfg(test)]
mod tests;
