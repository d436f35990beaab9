//! Our engine, on log events.

use crate::events::Fields;
use bumpalo::Bump;
use millrace_detection::rules::BusinessHours;
use millrace_detection::sigma::{Import, Options, Source};
use millrace_detection::{EventView, OrgSettings, RuleDef, RuleSet, Scratch, Verdict};
use millrace_shared::Signal;
use millrace_shared::wire::{Body, BodyFormat, Validity};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [0; 32],
    hours: BusinessHours::UTC_OFFICE,
};

/// Names that mean something of their own in a log event, and beginnings of such.
const OWN_NAMES: [&str; 11] = [
    "level",
    "service",
    "host",
    "trace_id",
    "span_id",
    "environment",
    "timestamp",
    "service.name",
    "service_name",
    "host.name",
    "deployment.environment",
];
const OWN_PREFIXES: [&str; 7] = [
    "attributes",
    "metadata",
    "labels",
    "custom_attributes",
    "performance",
    "events",
    "resource",
];
/// What a log event has besides, and what its message is if it has none.
const LEVEL: &str = "info";
const SERVICE: &str = "zz";
const MESSAGE: &str = "zzz";

/// The event without what means something of its own here, and lists without what is no scalar.
pub(crate) fn comparable(event: &Fields) -> Fields {
    let is_own = |name: &str| {
        let first = name.split('.').next().unwrap_or_default();
        OWN_NAMES.contains(&name) || OWN_PREFIXES.contains(&first)
    };
    let fields = event.iter().filter(|(name, value)| {
        !is_own(name) && !name.is_empty() && (name.as_str() != "message" || value.is_string())
    });
    let fields = fields.map(|(name, value)| (name.clone(), of_scalars(value)));
    fields.collect()
}

fn of_scalars(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| !name.is_empty());
            let members = members.map(|(name, value)| (name.clone(), of_scalars(value)));
            Value::Object(members.collect())
        }
        Value::Array(list) => {
            let scalars = list
                .iter()
                .filter(|one| !one.is_object() && !one.is_array());
            Value::Array(scalars.cloned().collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A comparable event as a log event, and as the other evaluator is to have it.
pub(crate) fn sent(event: &Fields) -> (Value, Fields) {
    let mut attributes = event.clone();
    let message = attributes.remove("message").unwrap_or(json!(MESSAGE));
    let log =
        json!({"level": LEVEL, "service": SERVICE, "message": message, "attributes": attributes});
    let mut flat = event.clone();
    flat.insert("level".to_owned(), json!(LEVEL));
    flat.insert("service".to_owned(), json!(SERVICE));
    flat.insert("message".to_owned(), message);
    (log, flat)
}

/// Our engine with rules.
pub(crate) struct Ours {
    set: RuleSet,
    scratch: Scratch,
    arena: Bump,
}

/// Takes rules in, without the mapping of fields, which the other does not have; with what is
/// refused, and why.
pub(crate) fn taken_in(texts: &[String]) -> (Vec<RuleDef>, Vec<String>) {
    let sources = texts.iter().enumerate().map(|(at, text)| Source {
        name: at.to_string(),
        text: text.clone(),
    });
    let sources: Vec<Source> = sources.collect();
    let options = Options {
        plain: true,
        ..Options::default()
    };
    let import = Import::new(&sources, &options);
    let refused = import.refused.iter().map(|refused| {
        let title = refused.title.as_deref().unwrap_or(&refused.file);
        format!("{title}: {}", refused.problem)
    });
    let refused = refused.collect();
    let rules = import.rules.into_iter().map(|one| one.rule);
    (rules.collect(), refused)
}

impl Ours {
    pub(crate) fn new(rules: Vec<RuleDef>) -> Result<Ours, String> {
        let (set, errors) = RuleSet::compile(rules.into_iter().map(Arc::new), SETTINGS);
        match errors.first() {
            Some(error) => Err(error.to_string()),
            None => Ok(Ours {
                set,
                scratch: Scratch::default(),
                arena: Bump::new(),
            }),
        }
    }

    /// The ids of the rules that select the event.
    ///
    /// # Errors
    /// Why it is no log event.
    pub(crate) fn matches(&mut self, log: &Value) -> Result<BTreeSet<String>, String> {
        let bytes = json!({"logs": [log]}).to_string().into_bytes();
        let body = Body {
            signal: Signal::Logs,
            format: BodyFormat::Json,
            validity: Validity::ANY,
            bytes: &bytes,
        };
        let (mut found, mut refused) = (BTreeSet::new(), None);
        let (set, scratch) = (&self.set, &mut self.scratch);
        let read = body.read(&self.arena, |resource, event| match event {
            Ok(event) => {
                let view = EventView {
                    event,
                    resource,
                    timestamp_ns: 0,
                    received_ns: 0,
                    verdict: Verdict::NONE,
                };
                let mut matches = Vec::new();
                set.evaluate(&view, scratch, &mut matches);
                let rules = matches.iter().filter_map(|one| set.rule(one.rule));
                found.extend(rules.map(|rule| rule.def.id.clone()));
            }
            Err((_, reject)) => refused = Some(reject.to_string()),
        });
        let read = read.map_err(|error| error.to_string());
        self.arena.reset();
        read.and(refused.map_or(Ok(found), Err))
    }
}
