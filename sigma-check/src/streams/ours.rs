//! Our engine with its windows, event by event.

use super::{Case, Fires, Timed};
use crate::ours::{SETTINGS, comparable, sent};
use bumpalo::Bump;
use millrace_detection::alert::window_group;
use millrace_detection::sigma::{Import, Options, Pipeline, Source};
use millrace_detection::{
    EventView, Hit, RuleMatch, RuleSet, Scratch, Verdict, WindowSpec, WindowState,
};
use millrace_shared::wire::{Body, BodyFormat, Validity};
use millrace_shared::{Signal, Value as FieldValue};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

const NS: i64 = 1_000_000_000;

/// The hits of an event in one group, and the values of that.
type Waiting = (WindowSpec, Vec<Hit>, Vec<String>);

/// What fires in a case.
///
/// # Errors
/// What of it is refused.
pub(super) fn fires(case: &Case) -> Result<Fires, String> {
    let mut engine = Engine::new(case)?;
    for (number, event) in case.events.iter().enumerate() {
        engine.take(number, event)?;
    }
    Ok(engine.fires)
}

struct Engine {
    set: RuleSet,
    scratch: Scratch,
    arena: Bump,
    windows: BTreeMap<(u32, u128), WindowState>,
    fires: Fires,
}

impl Engine {
    fn new(case: &Case) -> Result<Engine, String> {
        let source = Source {
            name: case.name.clone(),
            text: case.rules.clone(),
        };
        let pipelines = case.pipelines.iter();
        let pipelines = pipelines.map(|text| Pipeline::from_yaml(text));
        let pipelines = pipelines.collect::<Result<Vec<_>, _>>();
        let options = Options {
            plain: true,
            pipelines: pipelines.map_err(|problem| problem.to_string())?,
            ..Options::default()
        };
        let import = Import::new(&[source], &options);
        if !import.refused.is_empty() {
            return Err(import.reasons());
        }
        let rules = import.rules.into_iter().map(|one| Arc::new(one.rule));
        let (set, errors) = RuleSet::compile(rules, SETTINGS);
        match errors.first() {
            Some(error) => Err(error.to_string()),
            None => Ok(Engine {
                set,
                scratch: Scratch::default(),
                arena: Bump::new(),
                windows: BTreeMap::new(),
                fires: Fires::new(),
            }),
        }
    }

    fn take(&mut self, number: usize, timed: &Timed) -> Result<(), String> {
        let (log, _) = sent(&comparable(&timed.fields));
        let bytes = json!({ "logs": [log] }).to_string().into_bytes();
        let body = Body {
            signal: Signal::Logs,
            format: BodyFormat::Json,
            validity: Validity::ANY,
            bytes: &bytes,
        };
        let at = timed.second * NS;
        let (mut found, mut refused) = (Vec::new(), None);
        let Engine {
            set,
            scratch,
            arena,
            ..
        } = self;
        let read = body.read(arena, |resource, event| match event {
            Ok(event) => {
                let view = EventView {
                    event,
                    resource,
                    timestamp_ns: at,
                    received_ns: at,
                    verdict: Verdict::NONE,
                };
                let mut matches = Vec::new();
                set.evaluate(&view, scratch, &mut matches);
                found.extend(matches.into_iter().map(|one| (one, group(&one, &view))));
            }
            Err((_, reject)) => refused = Some(reject.to_string()),
        });
        let read = read.map_err(|error| error.to_string());
        self.arena.reset();
        read?;
        refused.map_or(Ok(()), Err)?;
        self.apply(number, found);
        Ok(())
    }

    /// Counts the matches of an event: those of one group together, as a worker does.
    fn apply(&mut self, number: usize, found: Vec<(RuleMatch, Vec<String>)>) {
        let mut hits: BTreeMap<(u32, u128), Waiting> = BTreeMap::new();
        for (one, values) in found {
            let Some(rule) = self.set.rule(one.rule) else {
                continue;
            };
            let Some(spec) = rule.window else {
                let fire = (rule.def.id.clone(), number, Vec::new());
                self.fires.insert(fire);
                continue;
            };
            let Some(group) = window_group(rule, &one) else {
                continue;
            };
            let hit = Hit {
                at_ns: one.at_ns,
                value: one.distinct.unwrap_or(0),
                event: number as u128,
            };
            let key = (one.rule.0, group);
            let waiting = hits.entry(key).or_insert((spec, Vec::new(), values));
            waiting.1.push(hit);
        }
        for (key, (spec, hits, values)) in hits {
            let state = self.windows.entry(key).or_default();
            if state.apply(&spec, &hits).is_empty() {
                continue;
            }
            let rule = self.set.rules().get(key.0 as usize);
            let id = rule.map(|rule| rule.def.id.clone()).unwrap_or_default();
            self.fires.insert((id, number, values));
        }
    }
}

/// The values that a match is grouped by.
fn group(found: &RuleMatch, view: &EventView<'_, '_>) -> Vec<String> {
    let places = found.group_fields.as_slice().iter();
    let fields = places.filter_map(|at| at.of(view.event, view.resource));
    let values = fields.map(|field| match field.value {
        FieldValue::Text(text) | FieldValue::Json(text) => text.to_owned(),
        FieldValue::Int(int) => int.to_string(),
        FieldValue::Float(float) => float.to_string(),
        FieldValue::Bool(flag) => flag.to_string(),
        FieldValue::Null => String::new(),
    });
    values.collect()
}
