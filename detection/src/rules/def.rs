//! A rule as it is written: plain data, one field per member of the JSON document.
//! Reading, checking and writing the document is `json`'s.

use super::window_def::WindowDef;
use millrace_shared::Signal;
use millrace_shared::wire::Severity;
use serde_json::Value;

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleDef {
    /// Id, unique in the organisation.
    pub id: String,
    /// Name, and title of its alerts.
    pub name: String,
    /// Version; raised with every change.
    pub version: u32,
    /// Severity of its alerts.
    pub severity: RuleSeverity,
    /// Text of its alerts, with `{field.path}` placeholders.
    pub message: String,
    /// Whether it runs.
    pub enabled: bool,
    /// The signals it looks at.
    pub scope: Vec<Signal>,
    /// ATT&CK techniques and tactics.
    pub attack: Vec<String>,
    /// Which events it selects.
    pub selection: Selection,
    /// What has to add up before it fires.
    pub window: Option<WindowDef>,
    /// The fields whose values make a group; each group has a window of its own.
    pub group_by: Vec<String>,
    /// What becomes of an event that lacks a field of `group_by`.
    pub missing_group: MissingGroup,
    /// Which firings are the same alert; the default where absent.
    pub dedupe: Option<DedupeDef>,
    /// What is let pass although it is selected.
    pub exceptions: Vec<ExceptionDef>,
    /// When it is silent.
    pub mute: Vec<MuteDef>,
    /// Its own test cases.
    pub tests: Vec<TestDef>,
    /// What is known of where it comes from (author, licence, references); nothing is made of it.
    pub origin: Option<Value>,
}

impl RuleDef {
    /// Every selection in it: those of its exceptions, its own, and those of its window.
    pub fn selections(&self) -> impl Iterator<Item = &Selection> {
        let exceptions = self.exceptions.iter();
        let exceptions = exceptions.map(|exception| &exception.selection);
        let of_window = self.window.iter().flat_map(WindowDef::selections);
        exceptions.chain([&self.selection]).chain(of_window)
    }
}

/// The severity of a rule's alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSeverity {
    /// Always the same.
    Fixed(Severity),
    /// That of the event's indicator score (`"ioc"`).
    Ioc,
}

/// Conditions and groups of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// Every one holds.
    All(Vec<Selection>),
    /// At least one holds.
    Any(Vec<Selection>),
    /// Not one holds.
    None(Vec<Selection>),
    /// The condition holds.
    Condition(Condition),
}

impl Selection {
    /// Every condition in it.
    pub fn each<'s>(&'s self, visit: &mut impl FnMut(&'s Condition)) {
        match self {
            Selection::All(list) | Selection::Any(list) | Selection::None(list) => {
                list.iter().for_each(|one| one.each(visit));
            }
            Selection::Condition(condition) => visit(condition),
        }
    }

    /// How many of its conditions are meant.
    pub(crate) fn count(&self, is_meant: &impl Fn(&Condition) -> bool) -> usize {
        match self {
            Selection::All(list) | Selection::Any(list) | Selection::None(list) => {
                list.iter().map(|one| one.count(is_meant)).sum()
            }
            Selection::Condition(condition) => usize::from(is_meant(condition)),
        }
    }
}

/// One condition on one field. A field with several values (targets, arrays) satisfies it when
/// one of them does.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Path of the field, or several separated by ` || ` of which each may hold the value, or `*`
    /// for every field of the event; empty for `after_hours` and `ioc_score_gte`.
    pub field: String,
    /// What is asked.
    pub op: Op,
    /// What it is compared with: a scalar or a list, as the operator wants, or `{"field": path}`
    /// for the value of another field of the event.
    pub value: Value,
}

/// An operator and whether case matters to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// The operator.
    pub operator: Operator,
    /// Whether upper and lower case are the same to it (`_ci`).
    pub any_case: bool,
}

macro_rules! operators {
    ($($(#[$doc:meta])* $operator:ident = $name:literal,)*) => {
        /// What a condition asks of a field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operator { $($(#[$doc])* $operator,)* }

        impl Operator {
            /// All operators.
            pub const ALL: &'static [Operator] = &[$(Operator::$operator,)*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Operator::$operator => $name,)* }
            }
        }
    };
}

operators! {
    /// Is the value.
    Eq = "eq",
    /// Is not the value, or is missing.
    Neq = "neq",
    /// Contains the text, or one of them.
    Contains = "contains",
    /// Is one of the values.
    In = "in",
    /// Is none of the values, or is missing.
    NotIn = "not_in",
    /// Starts with the text, or one of them.
    StartsWith = "starts_with",
    /// Ends with the text, or one of them.
    EndsWith = "ends_with",
    /// Matches the regular expression somewhere.
    Regex = "regex",
    /// Is as the pattern says, or as one of them: `*` is any text, `?` one character, a backslash
    /// takes their meaning from them.
    Like = "like",
    /// Is there and not null (`true`), or is not (`false`).
    Exists = "exists",
    /// Is there, be it null (`true`), or is not (`false`).
    Present = "present",
    /// Is greater.
    Gt = "gt",
    /// Is greater or equal.
    Gte = "gte",
    /// Is less.
    Lt = "lt",
    /// Is less or equal.
    Lte = "lte",
    /// Is an address in the network, or in one of them.
    Cidr = "cidr",
    /// Is a time in this minute of its hour, or in one of them (UTC), or in a range.
    Minute = "minute",
    /// Is a time in this hour of its day.
    Hour = "hour",
    /// Is a time on this day of its month.
    Day = "day",
    /// Is a time in this week of its year (ISO 8601).
    Week = "week",
    /// Is a time in this month of its year.
    Month = "month",
    /// Is a time in this year.
    Year = "year",
    /// Happened outside business hours (`true`), or within (`false`).
    AfterHours = "after_hours",
    /// The event's indicator score is at least the value.
    IocScoreGte = "ioc_score_gte",
}

impl Operator {
    /// Whether there is a `_ci` variant.
    #[must_use]
    pub const fn has_any_case(self) -> bool {
        match self {
            Operator::Eq
            | Operator::Neq
            | Operator::Contains
            | Operator::In
            | Operator::NotIn
            | Operator::StartsWith
            | Operator::EndsWith
            | Operator::Regex
            | Operator::Like => true,
            Operator::Exists
            | Operator::Present
            | Operator::Minute
            | Operator::Hour
            | Operator::Day
            | Operator::Week
            | Operator::Month
            | Operator::Year
            | Operator::Gt
            | Operator::Gte
            | Operator::Lt
            | Operator::Lte
            | Operator::Cidr
            | Operator::AfterHours
            | Operator::IocScoreGte => false,
        }
    }
}

impl Op {
    /// Reads a name such as `eq` or `contains_ci`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Op> {
        let (base, any_case) = name
            .strip_suffix("_ci")
            .map_or((name, false), |base| (base, true));
        let operator = *Operator::ALL
            .iter()
            .find(|operator| operator.as_str() == base)?;
        (!any_case || operator.has_any_case()).then_some(Op { operator, any_case })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        let suffix = if self.any_case { "_ci" } else { "" };
        format!("{}{suffix}", self.operator.as_str())
    }
}

/// What becomes of an event that lacks a value to group by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingGroup {
    /// It belongs to no group: it counts in no window (`"skip"`).
    #[default]
    Skip,
    /// Missing is a value like any other (`"own"`).
    Own,
}

/// Which firings are the same alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DedupeDef {
    /// Paths of the fields whose values must agree; none: all firings of the rule are the same.
    pub keys: Vec<String>,
    /// For how long after the last of them.
    pub window_seconds: u32,
}

/// What is let pass.
#[derive(Clone, Debug, PartialEq)]
pub struct ExceptionDef {
    /// Which events.
    pub selection: Selection,
    /// Until when, nanoseconds.
    pub expires_at: Option<i64>,
    /// Why.
    pub reason: String,
}

/// A stretch of time in which a rule is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuteDef {
    /// From then on, nanoseconds.
    pub from: i64,
    /// Until before then, nanoseconds.
    pub until: i64,
    /// Why.
    pub reason: String,
}

/// A test case of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct TestDef {
    /// What it shows.
    pub name: String,
    /// Events as the contract has them, sent in this order.
    pub events: Vec<Value>,
    /// How often the list is sent.
    pub repeat: u32,
    /// The signal they are of; the rule's first where absent.
    pub signal: Option<Signal>,
    /// The indicator score they are given.
    pub ioc_score: u8,
    /// What is expected.
    pub expect: Expect,
}

/// What a test case expects of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It fires.
    Match,
    /// It does not fire.
    NoMatch,
}
