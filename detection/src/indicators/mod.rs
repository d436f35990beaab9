//! Indicators of compromise: what feeds say of addresses, names, links and digests; which of them
//! an event mentions; and how bad that is.
//!
//! [`parse`] reads feeds, [`IndexBuilder`] makes an index of them, [`IndicatorIndex`] answers look-ups and never changes
//! once built (a new one takes its place), [`allow`] holds what never matches, [`Verdict`] weighs the matches of one
//! event.

mod fingerprint;
mod cells;
mod table;
mod place;
mod prefixes;
mod build;
mod probes;
mod index;
mod query;
mod score;
pub mod parse;
pub mod allow;

pub use allow::{Allow, AllowList, Allowed};
pub use build::IndexBuilder;
pub use index::{IndicatorIndex, IndicatorMatch, Known};
pub use query::Asking;
pub use score::{ScoreMode, Verdict, severity_of_score};

use crate::observables::Kind;
use millrace_shared::ids::OrgId;
use millrace_shared::wire::Severity;
use std::sync::Arc;

/// Confidence of an indicator whose feed gives none: neither trusted nor dismissed.
pub const CONFIDENCE_DEFAULT: u8 = 50;

/// Where indicators come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Feed {
    /// Its id in the control table; 0 before it has one.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// How far it is believed, 0–100.
    pub trust: u8,
}

/// One indicator of compromise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indicator {
    /// Its id in the control table; 0 before it has one.
    pub id: u64,
    /// The organisation it is valid for; `None` for every organisation.
    pub org: Option<OrgId>,
    /// What it is.
    pub kind: Kind,
    /// Its canonical value, as [`crate::observables::canonical`] gives it.
    pub value: String,
    /// Who says so.
    pub feed: Arc<Feed>,
    /// How sure the feed is, 0–100.
    pub confidence: u8,
    /// How bad it is.
    pub severity: Severity,
    /// Name of the threat, or empty.
    pub threat: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Whether it may match private, loopback, link-local and documentation addresses.
    pub match_private: bool,
    /// When it was first seen, nanoseconds.
    pub first_seen: Option<i64>,
    /// When it was last seen, nanoseconds; its confidence decays from then on.
    pub last_seen: Option<i64>,
    /// When it ceases to match, nanoseconds.
    pub expires_at: Option<i64>,
}

impl Indicator {
    /// An indicator of that feed for every organisation, with the defaults for all else.
    #[must_use]
    pub fn new(kind: Kind, value: String, feed: Arc<Feed>) -> Self {
        Indicator {
            id: 0,
            org: None,
            kind,
            value,
            feed,
            confidence: CONFIDENCE_DEFAULT,
            severity: Severity::Medium,
            threat: String::new(),
            tags: Vec::new(),
            match_private: false,
            first_seen: None,
            last_seen: None,
            expires_at: None,
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod format_tests;
