//! Rows of the control tables, as they stood at one revision: what the pure half is configured by.
//!
//! The loader reads them from PostgreSQL; nothing in here knows how.

use millrace_detection::indicators::AllowList;
use millrace_shared::Signal;
use millrace_shared::ids::OrgId;
use std::sync::Arc;

/// Everything that decides what the worker makes of an event, at one revision.
#[derive(Clone, Debug, Default)]
pub struct ControlRows {
    /// The revision of all of it.
    pub revision: i64,
    /// Every organisation with its policies.
    pub organisations: Vec<OrganisationRow>,
    /// Enabled rules of all organisations, by organisation and id.
    pub rules: Vec<RuleRow>,
    /// Indicators by id; left out where the index over them is at hand, as it always is when they come
    /// from the table.
    pub indicators: Vec<IndicatorRow>,
    /// Allow-lists; left out when they are at hand from another revision.
    pub allow_lists: Vec<AllowListRow>,
    /// Normalization pipelines.
    pub pipelines: Vec<PipelineRow>,
}

/// An organisation's policies.
#[derive(Clone, Debug)]
pub struct OrganisationRow {
    /// Which organisation.
    pub org: OrgId,
    /// Keys the hashes of its scrubbed values.
    pub pepper: [u8; 32],
    /// Which of its peppers that is; stands in the hashes.
    pub pepper_version: u32,
    /// `scrubber::Policy`; `{}` is the default.
    pub pii_policy: serde_json::Value,
    /// Detection settings (time zone, working hours); `{}` is the default.
    pub settings: serde_json::Value,
}

/// An enabled rule.
#[derive(Clone, Debug)]
pub struct RuleRow {
    /// Whose.
    pub org: OrgId,
    /// Its id within the organisation.
    pub id: String,
    /// Its version.
    pub version: i32,
    /// `detection::rules::RuleDef`.
    pub body: serde_json::Value,
}

/// An indicator with what matters of its feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndicatorRow {
    /// Its id, as events carry it.
    pub id: u64,
    /// Whose; `None` for every organisation.
    pub org: Option<OrgId>,
    /// Id of the feed it came from.
    pub feed_id: i64,
    /// Its name.
    pub feed: Arc<str>,
    /// How far the feed is trusted, 0–100.
    pub trust: u8,
    /// Kind, in the words of `detection::indicators`.
    pub kind: String,
    /// The value, in its canonical spelling.
    pub value: String,
    /// 0–100.
    pub confidence: u8,
    /// `info`, `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// Name of the threat, or empty.
    pub threat: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Whether it matches private and documentation ranges too.
    pub match_private: bool,
    /// Nanoseconds since 1970.
    pub first_seen: Option<i64>,
    /// Nanoseconds since 1970.
    pub last_seen: Option<i64>,
    /// Nanoseconds since 1970; matches nothing from then on.
    pub expires_at: Option<i64>,
}

/// A list of what is known to be harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowListRow {
    /// Whose; `None` for every organisation.
    pub org: Option<OrgId>,
    /// The list.
    pub list: AllowList,
}

/// An organisation's steps for one signal.
#[derive(Clone, Debug)]
pub struct PipelineRow {
    /// Whose.
    pub org: OrgId,
    /// For which signal.
    pub signal: Signal,
    /// The steps, in order.
    pub steps: serde_json::Value,
}
