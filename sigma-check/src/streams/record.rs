//! What is said of some cases, with the readings: written down, so that the tests of the engine can hold it
//! to that without having the other at hand.

use super::readings::Readings;
use super::{Case, compare::compare, made, ours};
use serde_json::{Value, json};

/// What is written down.
pub const RECORDED: &str = include_str!("../../../detection/tests/sigma/streams.json");
/// Cases that are written down: enough for every type, and few enough to be looked through.
const CASES: u64 = 80;

/// The cases that are written down.
#[must_use]
pub fn cases() -> Vec<Case> {
    (0..CASES).map(made::case).collect()
}

/// The document to write down: the cases, each with what fires.
///
/// # Errors
/// When there are differences.
pub fn document() -> Result<String, String> {
    let cases = cases();
    let comparison = compare(&cases, &Readings::default());
    if !comparison.differences.is_empty() || !comparison.refused.is_empty() {
        return Err(comparison.told(usize::MAX));
    }
    let each = cases.iter().map(|case| Ok(written(case)?.to_string()));
    let each = each.collect::<Result<Vec<String>, String>>()?;
    Ok(format!("[\n{}\n]\n", each.join(",\n")))
}

fn written(case: &Case) -> Result<Value, String> {
    let fires = ours::fires(case)?;
    let events = case.events.iter();
    let events: Vec<Value> = events
        .map(|event| json!([event.second, event.fields]))
        .collect();
    Ok(json!({
        "name": case.name, "rules": case.rules, "pipelines": case.pipelines,
        "events": events, "fires": fires,
    }))
}
