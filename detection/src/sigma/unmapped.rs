//! Rules that would be true of an event without any of their fields: negations of a log source that no
//! pipeline maps. They are kept to events that have one of the fields, for an event of another
//! source has nothing that they could speak of.

use super::document::LogSource;
use super::selection::{any_of, condition, every};
use crate::rules::path::EVERY;
use crate::rules::{Condition, Operator, Problem, Selection};
use serde_json::json;

/// The selection, kept to events that have something to do with it, and what to tell whoever brought
/// the rule if it had to be.
///
/// # Errors
/// There is no field that could say so.
pub(super) fn kept_to_its_fields(
    selection: Selection,
    logsource: &LogSource,
) -> Result<(Selection, Option<String>), Problem> {
    if !holds_of_nothing(&selection) {
        return Ok((selection, None));
    }
    let mut fields: Vec<&str> = Vec::new();
    selection.each(&mut |condition| {
        let field = condition.field.as_str();
        let is_of_value = !matches!(condition.op.operator, Operator::Exists | Operator::Present);
        if is_of_value && !field.is_empty() && field != EVERY && !fields.contains(&field) {
            fields.push(field);
        }
    });
    if fields.is_empty() {
        let what = "asks for nothing that an event has: it would be true of events of every source";
        return Err(Problem::new("detection.condition", what));
    }
    let has = |field: &str| condition(field, Operator::Exists, false, json!(true));
    let one = any_of(fields.into_iter().map(has).collect());
    let warning = format!(
        "no pipeline says which events are of the log source {}, and the rule asks for nothing that an \
         event has: only events with one of its fields are looked at",
        logsource.name()
    );
    Ok((every(vec![one, selection]), Some(warning)))
}

/// Whether a selection is true of an event that has none of the fields.
fn holds_of_nothing(selection: &Selection) -> bool {
    match selection {
        Selection::All(all) => all.iter().all(holds_of_nothing),
        Selection::Any(any) => any.iter().any(holds_of_nothing),
        Selection::None(none) => !none.iter().any(holds_of_nothing),
        Selection::Condition(Condition { op, value, .. }) => match op.operator {
            Operator::Neq | Operator::NotIn => true,
            Operator::Exists | Operator::Present => value.as_bool() == Some(false),
            Operator::Eq
            | Operator::In
            | Operator::Contains
            | Operator::StartsWith
            | Operator::EndsWith
            | Operator::Regex
            | Operator::Like
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
        },
    }
}
