//! Windows over the matches of several selections: the document of a `correlation` window, and what
//! the windows make of it.
//!
//! The members of the rule's `any` are its steps. Each has fields of its own to group by, so that
//! one value is found under different names, and an event that several of them select is a hit of
//! each.

use super::def::Selection;
use super::error::Problem;
use super::json::{Object, Read, each};
use super::path;
use super::{KEY_PATHS_MAX, PATH_CHARS_MAX};
use crate::windows::{
    BOUNDS_MAX, Bound, Bounds, CHAIN_MAX, Chain, Measure, Need, STEPS_MAX, THRESHOLD_MAX,
    WINDOW_SECONDS_MAX, WindowKind,
};
use serde_json::{Map, Value, json};

/// What adds up to what.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelationDef {
    /// Length of the window.
    pub seconds: u32,
    /// What is measured.
    pub of: Correlated,
    /// What it must be; for temporal ones the number of different steps, all where there is none.
    pub bounds: Vec<(Bound, f64)>,
    /// The steps, one for each member of the rule's `any`.
    pub steps: Vec<StepDef>,
    /// What it takes to reach each step of a temporal correlation that is a chain; else none.
    pub needs: Vec<Need>,
}

/// What a correlation measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Correlated {
    /// Events.
    Count,
    /// Different values.
    Distinct,
    /// Different steps.
    Temporal,
    /// All steps, one after the other.
    Ordered,
    /// The sum of values.
    Sum,
    /// The average of values.
    Average,
    /// A percentile of values, in percent.
    Percentile(f64),
    /// The percentage of events with the last one's value.
    Share,
}

/// A step's own fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepDef {
    /// Paths to group by.
    pub group_by: Vec<String>,
    /// Paths of the values that are counted or added up.
    pub fields: Vec<String>,
    /// Which step of a chain it is of: several members may be of one.
    pub of: Option<u32>,
}

const BOUNDS: [(&str, Bound); 6] = [
    ("gt", Bound::Gt),
    ("gte", Bound::Gte),
    ("lt", Bound::Lt),
    ("lte", Bound::Lte),
    ("eq", Bound::Eq),
    ("neq", Bound::Neq),
];

impl Correlated {
    const fn name(self) -> &'static str {
        match self {
            Correlated::Count => "event_count",
            Correlated::Distinct => "value_count",
            Correlated::Temporal => "temporal",
            Correlated::Ordered => "temporal_ordered",
            Correlated::Sum => "value_sum",
            Correlated::Average => "value_avg",
            Correlated::Percentile(_) => "value_percentile",
            Correlated::Share => "value_share",
        }
    }

    /// Whether steps need fields.
    pub(super) const fn has_fields(self) -> bool {
        match self {
            Correlated::Count | Correlated::Temporal | Correlated::Ordered => false,
            Correlated::Distinct
            | Correlated::Sum
            | Correlated::Average
            | Correlated::Percentile(_)
            | Correlated::Share => true,
        }
    }

    /// Whether the fields hold numbers.
    pub(super) const fn is_numeric(self) -> bool {
        match self {
            Correlated::Sum | Correlated::Average | Correlated::Percentile(_) => true,
            Correlated::Count
            | Correlated::Distinct
            | Correlated::Temporal
            | Correlated::Ordered
            | Correlated::Share => false,
        }
    }
}

/// Reads the window of a document.
pub(super) fn read(window: &mut Object<'_>) -> Read<CorrelationDef> {
    let missing = |name: &str| Problem::new(&format!("window.{name}"), "is required");
    let seconds = window.number("seconds", 1, u64::from(WINDOW_SECONDS_MAX))?;
    let percentile = window.get("percentile").and_then(Value::as_f64);
    let of = match window.need("of")?.as_str().unwrap_or_default() {
        "event_count" => Correlated::Count,
        "value_count" => Correlated::Distinct,
        "temporal" => Correlated::Temporal,
        "temporal_ordered" => Correlated::Ordered,
        "value_sum" => Correlated::Sum,
        "value_avg" => Correlated::Average,
        "value_share" => Correlated::Share,
        "value_percentile" => {
            let percentile = percentile.filter(|number| (0.0..=100.0).contains(number));
            let what = "must be a number from 0 to 100";
            let percentile = percentile.ok_or_else(|| Problem::new("window.percentile", what))?;
            Correlated::Percentile(percentile)
        }
        _ => return Err(Problem::new("window.of", "is none that is known")),
    };
    let bounds = match window.get("bounds") {
        None => Vec::new(),
        Some(value) => bounds(value)?,
    };
    Ok(CorrelationDef {
        seconds: seconds.ok_or_else(|| missing("seconds"))?,
        of,
        bounds,
        steps: each(window.list("steps", STEPS_MAX)?, "window.steps", step)?,
        needs: each(window.list("needs", CHAIN_MAX)?, "window.needs", need)?,
    })
}

/// Reads the bounds of a window.
pub(super) fn bounds(value: &Value) -> Read<Vec<(Bound, f64)>> {
    let wrong = || {
        let what = format!("must be 1 to {BOUNDS_MAX} of gt, gte, lt, lte, eq, neq with numbers");
        Problem::new("window.bounds", what)
    };
    let members = value.as_object().ok_or_else(wrong)?;
    let bounds = members.iter().map(|(name, number)| {
        let known = BOUNDS.iter().find(|(known, _)| known == name);
        known.map(|(_, bound)| *bound).zip(number.as_f64())
    });
    let bounds: Option<Vec<_>> = bounds.collect();
    bounds
        .filter(|bounds| (1..=BOUNDS_MAX).contains(&bounds.len()))
        .ok_or_else(wrong)
}

fn need(value: &Value, path: &str) -> Read<Need> {
    let mut object = Object::new(value, path)?;
    let hits = object.number("hits", 1, u64::from(THRESHOLD_MAX))?;
    let seconds = object.number("seconds", 0, u64::from(WINDOW_SECONDS_MAX))?;
    object.finish()?;
    Ok(Need {
        hits: hits.unwrap_or(1),
        seconds: seconds.unwrap_or(0),
    })
}

fn step(value: &Value, path: &str) -> Read<StepDef> {
    let mut object = Object::new(value, path)?;
    let step = StepDef {
        group_by: object.texts("group_by", KEY_PATHS_MAX)?,
        fields: object.texts("fields", KEY_PATHS_MAX)?,
        of: object.number("of", 0, CHAIN_MAX as u64)?,
    };
    for field in step.group_by.iter().chain(&step.fields) {
        if field.chars().count() > PATH_CHARS_MAX {
            return Err(Problem::new(path, "has a path that is too long"));
        }
        path::check_all(field)
            .map_err(|what| Problem::new(path, format!("has a path that {what}")))?;
    }
    object.finish()?;
    Ok(step)
}

impl CorrelationDef {
    /// What no member can say alone.
    pub(super) fn check(&self, selection: &Selection) -> Read<()> {
        let wrong = |name: &str, what: &str| Err(Problem::new(&format!("window.{name}"), what));
        let members = match selection {
            Selection::Any(members) => members.len(),
            Selection::All(_) | Selection::None(_) | Selection::Condition(_) => 0,
        };
        if members == 0 || members != self.steps.len() {
            return wrong(
                "steps",
                "must be as many as the members of the selection's any",
            );
        }
        let groups = self.steps.iter().map(|step| step.group_by.len());
        if groups.clone().min() != groups.max() {
            return wrong("steps", "must all group by the same number of fields");
        }
        let has_fields = |step: &StepDef| step.fields.is_empty() != self.of.has_fields();
        if !self.steps.iter().all(has_fields) {
            return wrong(
                "steps",
                "have fields where there is nothing to count, or none where there is",
            );
        }
        if self.of.is_numeric() && self.steps.iter().any(|step| step.fields.len() != 1) {
            return wrong("steps", "must have one field whose numbers are added up");
        }
        let is_temporal = matches!(self.of, Correlated::Temporal | Correlated::Ordered);
        if self.bounds.is_empty() && !is_temporal {
            return wrong("bounds", "is required");
        }
        let needs = u32::try_from(self.needs.len()).unwrap_or(u32::MAX);
        let is_of_one = |step: &StepDef| step.of.is_some_and(|of| of < needs);
        let is_chain = is_temporal && self.steps.iter().all(is_of_one);
        if !self.needs.is_empty() && !is_chain {
            return wrong("needs", "stands where steps are not of a chain");
        }
        if !self.needs.is_empty() && !self.bounds.is_empty() {
            return wrong(
                "bounds",
                "stands where every step of a chain must be reached",
            );
        }
        if self.of == Correlated::Ordered && !self.bounds.is_empty() {
            return wrong(
                "bounds",
                "stands where all steps must follow upon one another",
            );
        }
        Ok(())
    }

    /// The window's kind and threshold. A count that must reach a number is the plain window.
    pub(super) fn kind(&self) -> (WindowKind, u32) {
        let steps = u8::try_from(self.steps.len()).unwrap_or(u8::MAX);
        let measured = |measure| {
            let bounds = Bounds::new(&self.bounds).unwrap_or_default();
            (WindowKind::Measure(measure, bounds), 1)
        };
        let is_ordered = self.of == Correlated::Ordered;
        if let Some(chain) = Chain::new(&self.needs, is_ordered) {
            return measured(Measure::Chain(chain));
        }
        let reached = reached(&self.bounds);
        match (self.of, reached) {
            (Correlated::Count, Some(threshold)) => (WindowKind::Count, threshold),
            (Correlated::Count, None) => measured(Measure::Count),
            (Correlated::Distinct | Correlated::Temporal, Some(threshold)) => {
                (WindowKind::Distinct, threshold)
            }
            (Correlated::Temporal, None) if self.bounds.is_empty() => {
                (WindowKind::Distinct, u32::from(steps))
            }
            (Correlated::Distinct | Correlated::Temporal, None) => measured(Measure::Distinct),
            (Correlated::Ordered, _) => measured(Measure::Ordered(steps)),
            (Correlated::Sum, _) => measured(Measure::Sum),
            (Correlated::Average, _) => measured(Measure::Average),
            (Correlated::Share, _) => measured(Measure::Share),
            (Correlated::Percentile(percent), _) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a percentage in thousandths is at most 100,000"
                )]
                let thousandths = (percent.clamp(0.0, 100.0) * 1_000.0).round() as u32;
                measured(Measure::Percentile(thousandths))
            }
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let steps = self.steps.iter();
        let steps = steps
            .map(|step| json!({"group_by": step.group_by, "fields": step.fields, "of": step.of}));
        let needs = self.needs.iter();
        let needs = needs.map(|need| json!({"hits": need.hits, "seconds": need.seconds}));
        let percentile = match self.of {
            Correlated::Percentile(percent) => Some(percent),
            Correlated::Count
            | Correlated::Distinct
            | Correlated::Temporal
            | Correlated::Ordered
            | Correlated::Sum
            | Correlated::Average
            | Correlated::Share => None,
        };
        json!({
            "kind": "correlation",
            "of": self.of.name(),
            "seconds": self.seconds,
            "percentile": percentile,
            "bounds": bounds_to_json(&self.bounds),
            "steps": steps.collect::<Vec<_>>(),
            "needs": needs.collect::<Vec<_>>(),
        })
    }
}

/// The bounds of a window as they are written; null where there are none.
pub(super) fn bounds_to_json(bounds: &[(Bound, f64)]) -> Value {
    if bounds.is_empty() {
        return Value::Null;
    }
    let bounds = bounds.iter().filter_map(|(bound, number)| {
        let name = BOUNDS.iter().find(|(_, known)| known == bound)?.0;
        Some((name.to_owned(), json!(number)))
    });
    Value::Object(bounds.collect::<Map<String, Value>>())
}

/// The number that must be reached, where that is all there is to it.
pub(crate) fn reached(bounds: &[(Bound, f64)]) -> Option<u32> {
    let [(bound, number)] = bounds else {
        return None;
    };
    let least = match bound {
        Bound::Gte => number.ceil(),
        Bound::Gt => number.floor() + 1.0,
        Bound::Lt | Bound::Lte | Bound::Eq | Bound::Neq => return None,
    };
    if !(1.0..=f64::from(crate::windows::THRESHOLD_MAX)).contains(&least) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number within bounds"
    )]
    Some(least as u32)
}
