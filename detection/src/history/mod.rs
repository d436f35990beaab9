//! Rules over history: stored events through the same engine, the same windows and the same joining
//! of alerts as live ones, in the order in which they happened.
//!
//! ```text
//! rule ─ fit ─→ can rows answer for it at all?
//! row ─ Stored ─→ event ─ rules ─→ RuleMatch ─ windows ─→ Firing ─ alerts ─→ RaisedAlert
//! ```
//!
//! It reads no store and no clock. What a row does not tell makes a rule unfit rather than its answer
//! wrong; what is left to say of rows stands in `docs/detection.md`.

mod fit;
mod alerts;
mod replay;

pub use alerts::RaisedAlert;
pub use fit::check;
pub use replay::{Full, GROUPS_MAX, HITS_MAX, Replay, Seen, view};
