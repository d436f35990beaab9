//! What the other evaluator says of the checked-in rules and events, with the exceptions: written
//! down, so that the tests of the engine can hold it to that without having the other at hand.

use crate::compare::{Comparison, compare};
use crate::dice::Dice;
use crate::events::{Fields, of_rules};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Rules of our own that go through the corners of the language.
pub const CORNERS: &str = include_str!("../../detection/tests/sigma/corners.yml");
/// Events of our own that go with them.
pub const EVENTS: &str = include_str!("../../detection/tests/sigma/events.json");
/// What is written down of them.
pub const RECORDED: &str = include_str!("../../detection/tests/sigma/recorded.json");
/// Events made for each corner, besides.
const MADE_OF_A_CORNER: usize = 3;
const SEED: u64 = 7;

/// The checked-in rules, and the events that are written down with them.
///
/// # Errors
/// When the events are not a list of objects.
pub fn checked_in() -> Result<(Vec<String>, Vec<Fields>), String> {
    let events = serde_json::from_str::<Vec<Fields>>(EVENTS);
    let mut events = events.map_err(|error| format!("events.json: {error}"))?;
    let texts = vec![CORNERS.to_owned()];
    events.extend(of_rules(&texts, MADE_OF_A_CORNER, &mut Dice(SEED)));
    Ok((texts, events))
}

/// The document to write down: the events, and of each rule the numbers of those that it matches.
/// Where an exception explains a difference that is what we say, else what the other says.
///
/// # Errors
/// When there are differences.
pub fn document() -> Result<String, String> {
    let (texts, events) = checked_in()?;
    let comparison = compare(&texts, &events)?;
    if !comparison.differences.is_empty() {
        return Err(comparison.told(usize::MAX));
    }
    Ok(written(&comparison))
}

fn written(comparison: &Comparison) -> String {
    let each = comparison.rules.iter().map(|id| (id.clone(), Vec::new()));
    let mut matches: BTreeMap<String, Vec<usize>> = each.collect();
    for (number, (_, rules)) in comparison.found.iter().enumerate() {
        for id in rules {
            matches.entry(id.clone()).or_default().push(number);
        }
    }
    let lines = |items: Vec<String>| items.join(",\n");
    let events = comparison.found.iter();
    let events = events.map(|(event, _)| Value::Object(Map::clone(event)).to_string());
    let matches = matches
        .iter()
        .map(|(id, numbers)| format!("{}: {}", json!(id), json!(numbers)));
    format!(
        "{{\"events\": [\n{}\n],\n\"matches\": {{\n{}\n}}}}\n",
        lines(events.collect()),
        lines(matches.collect())
    )
}
