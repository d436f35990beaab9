//! A pipeline tried on sample events: what each becomes, and which steps changed it.

use super::apply::{Around, Done, Pipeline, Scratch};
use crate::rules::Problem;
use crate::rules::trial::{read, tried_at};
use bumpalo::Bump;
use millrace_shared::time::rfc3339;
use millrace_shared::{Event, Value};
use serde_json::{Map, Value as Json};

/// What became of one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Its fields in the end, attributes among them under their keys; nothing when it is dropped.
    pub event: Option<Map<String, Json>>,
    /// The steps that changed it, from 0; the last one dropped it if it is dropped.
    pub changed_by: Vec<usize>,
}

/// Takes sample events through a pipeline.
///
/// # Errors
/// When an event is not of the contract.
pub fn dry_run(pipeline: &Pipeline, events: &[Json]) -> Result<Vec<Tried>, Problem> {
    let arena = Bump::new();
    let mut scratch = Scratch::default();
    let mut all = Vec::new();
    read(pipeline.signal(), events, &arena, |resource, event| {
        let mut around = Around {
            resource,
            received_ns: tried_at(event),
            arena: &arena,
            scratch: &mut scratch,
        };
        all.push(one(pipeline, event, &mut around));
    })?;
    Ok(all)
}

fn one<'a>(pipeline: &'a Pipeline, event: &mut Event<'a>, around: &mut Around<'_, 'a>) -> Tried {
    let mut changed_by = Vec::new();
    for (at, step) in pipeline.steps.iter().enumerate() {
        match step.take(event, around) {
            Done::Nothing => {}
            Done::Changed => changed_by.push(at),
            Done::Dropped => {
                changed_by.push(at);
                return Tried {
                    event: None,
                    changed_by,
                };
            }
        }
    }
    Tried {
        event: Some(shown(event)),
        changed_by,
    }
}

/// The fields of an event by path, attributes as `attributes.<key>`.
#[must_use]
pub fn shown(event: &Event<'_>) -> Map<String, Json> {
    let mut fields = Map::new();
    if let Some(at) = event.timestamp {
        fields.insert("timestamp".to_owned(), rfc3339(at).into());
    }
    for field in &event.fields {
        let value = match field.value {
            Value::Text(text) => text.into(),
            Value::Int(int) => int.into(),
            Value::Float(float) => float.into(),
            Value::Bool(bool) => bool.into(),
            Value::Null => Json::Null,
            Value::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        };
        let name = match (field.role.is_keyed(), field.sub) {
            (true, 0) => format!("attributes.{}", field.name),
            (_, 0) => field.name.to_owned(),
            (_, sub) => format!("{}[{sub}]", field.name),
        };
        fields.insert(name, value);
    }
    fields
}

#[cfg(test)]
mod tests;
