//! What is wrong with a rule, and where in its document.

use thiserror::Error;

/// One thing that is wrong: the place in the document, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {what}")]
pub struct Problem {
    /// The place, such as `selection.all[1].value`; `rule` for the whole document.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

impl Problem {
    /// At a path.
    pub fn new(path: &str, what: impl Into<String>) -> Self {
        let path = if path.is_empty() { "rule" } else { path };
        Problem {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// A rule that cannot be used; the others of its organisation can.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("rule {id:?}: {problem}")]
pub struct RuleError {
    /// The rule's id.
    pub id: String,
    /// The first thing that is wrong with it.
    pub problem: Problem,
}
