//! Processing pipelines in pySigma's format: how the fields and log sources of published rules are
//! called here.
//!
//! ```yaml
//! name: my sysmon
//! priority: 20
//! transformations:
//!   - id: image
//!     type: field_name_mapping
//!     mapping: {Image: process.executable}
//!     rule_conditions: [{type: logsource, product: windows}]
//! ```
//!
//! Types that make a rule mean something else, and are not known here, refuse the pipeline. Two
//! are of our own: `field_name_alternatives` adds prefixed names beside a field's own, and the
//! `conditions` of `add_condition` may be a list of maps of which one must hold.

mod read;
mod apply;

use crate::rules::Problem;
use crate::sigma::detection::Detection;
use crate::sigma::document::LogSource;
use crate::sigma::placeholder::Bindings;
use crate::sigma::value::Value;
use regex::Regex;
use std::collections::BTreeMap;

pub(super) use apply::{Names, Subject};

/// A pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(super) name: String,
    pub(super) priority: i64,
    pub(super) vars: BTreeMap<String, Vec<String>>,
    pub(super) items: Vec<Item>,
}

/// A transformation, and when it is made.
#[derive(Clone, Debug)]
pub(super) struct Item {
    id: String,
    what: Transformation,
    rules: Conditions<RuleCondition>,
    items: Conditions<ItemCondition>,
    fields: Conditions<FieldCondition>,
}

/// Conditions, and how they are linked.
#[derive(Clone, Debug)]
struct Conditions<C> {
    list: Vec<(C, bool)>,
    any: bool,
    negated: bool,
}

impl<C> Conditions<C> {
    fn hold(&self, holds: impl Fn(&C) -> bool) -> bool {
        let each = |(condition, negated): &(C, bool)| holds(condition) != *negated;
        let all = if self.any {
            self.list.is_empty() || self.list.iter().any(each)
        } else {
            self.list.iter().all(each)
        };
        all != self.negated
    }
}

/// What is done.
#[derive(Clone, Debug)]
enum Transformation {
    Rename(Renaming),
    Change(Change),
    AddCondition(Detection, bool),
    ChangeLogsource(LogSource),
    SetState(String, String),
    Placeholders(Option<Vec<String>>, Vec<String>),
    WildPlaceholders(Option<Vec<String>>),
    Nest(Vec<Item>),
    RuleFailure(String),
    Nothing,
}

/// New names for fields.
#[derive(Clone, Debug)]
enum Renaming {
    Mapping(BTreeMap<String, Vec<String>>),
    PrefixMapping(Vec<(String, Vec<String>)>),
    Prefix(String),
    Suffix(String),
    Alternatives(Vec<String>),
}

/// What becomes of items.
#[derive(Clone, Debug)]
enum Change {
    Drop,
    Fail(String),
    SetValue(Value),
    Values(Revaluing),
}

/// New values for old ones.
#[derive(Clone, Debug)]
enum Revaluing {
    Replace(Regex, String),
    Map(BTreeMap<String, Vec<String>>),
    ToText,
    ToNumber,
}

#[derive(Clone, Debug)]
enum RuleCondition {
    Logsource(LogSource),
    ContainsField(String),
    ContainsItem(String, Option<String>),
    Applied(String),
    State(String, String),
    IsRule,
    IsCorrelation,
    Attribute(String, String),
    Tag(String),
}

#[derive(Clone, Debug)]
enum ItemCondition {
    MatchString(Regex, bool),
    IsNull(bool),
    ContainsWildcard(bool),
    Applied(String),
    State(String, String),
}

#[derive(Clone, Debug)]
enum FieldCondition {
    Include(Names),
    Exclude(Names),
    Applied(String),
    State(String, String),
}

impl Pipeline {
    /// Reads a pipeline.
    ///
    /// # Errors
    /// The first thing that is wrong, or that would make rules mean something else.
    pub fn from_yaml(text: &str) -> Result<Pipeline, Problem> {
        read::pipeline(text)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Puts pipelines in the order in which they are applied.
pub(super) fn sort(pipelines: &mut [Pipeline]) {
    pipelines.sort_by_key(|pipeline| pipeline.priority);
}

/// What the pipelines bind placeholders of a rule to.
pub(super) fn bind<'b>(pipelines: &'b [Pipeline], subject: &Subject, bindings: &mut Bindings<'b>) {
    for pipeline in pipelines {
        apply::bind(pipeline, subject, bindings);
    }
}

/// Applies the pipelines to a rule.
///
/// # Errors
/// What a pipeline refuses the rule for.
pub(super) fn apply(pipelines: &[Pipeline], subject: &mut Subject) -> Result<(), Problem> {
    pipelines
        .iter()
        .try_for_each(|pipeline| apply::apply(&pipeline.items, subject))
}
