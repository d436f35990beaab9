//! The JSON document of a pipeline: a list of steps, each with one action and, if it is not for all
//! events, the conditions under which it is taken.

use super::apply::{Action, Pipeline, Step};
use super::formats::Format;
use super::place::Place;
use super::{MAP_MAX, REMOVE_MAX, STEPS_MAX, VALUE_BYTES_MAX};
use crate::rules::{
    BusinessHours, Condition, Operator, OrgSettings, Problem, REGEX_BYTES_MAX,
    REGEX_COMPILED_BYTES_MAX, RuleDef, RuleSet,
};
use millrace_shared::Signal;
use millrace_shared::limits::KEY_BYTES_MAX;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A step as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepDoc {
    #[serde(default)]
    when: Vec<Value>,
    rename: Option<RenameDoc>,
    map: Option<MapDoc>,
    extract: Option<ExtractDoc>,
    parse: Option<ParseDoc>,
    default: Option<DefaultDoc>,
    remove: Option<RemoveDoc>,
    drop: Option<DropDoc>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenameDoc {
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapDoc {
    field: String,
    values: BTreeMap<String, String>,
    otherwise: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtractDoc {
    field: String,
    regex: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParseDoc {
    field: String,
    format: String,
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultDoc {
    field: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveDoc {
    fields: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DropDoc {}

type Read<T> = Result<T, Problem>;

impl Pipeline {
    /// Reads and compiles the steps for a signal.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn from_json(signal: Signal, steps: &Value) -> Read<Pipeline> {
        let Some(list) = steps.as_array() else {
            return Err(Problem::new("steps", "must be a list"));
        };
        if list.len() > STEPS_MAX {
            return Err(Problem::new("steps", format!("are more than {STEPS_MAX}")));
        }
        let steps = list.iter().enumerate().map(|(at, step)| {
            let place = format!("steps[{at}]");
            let doc = StepDoc::deserialize(step)
                .map_err(|error| Problem::new(&place, error.to_string()))?;
            step_of(signal, doc, &place)
        });
        Ok(Pipeline {
            signal,
            steps: steps.collect::<Read<_>>()?,
        })
    }
}

fn step_of(signal: Signal, doc: StepDoc, at: &str) -> Read<Step> {
    let when = match doc.when.is_empty() {
        true => None,
        false => Some(conditions(signal, &doc.when, at)?),
    };
    let reader = Reader { signal, at };
    let actions = [
        doc.rename.map(|doc| reader.rename(&doc)),
        doc.map.map(|doc| reader.map(doc)),
        doc.extract.map(|doc| reader.extract(&doc)),
        doc.parse.map(|doc| reader.parse(doc)),
        doc.default.map(|doc| reader.default(doc)),
        doc.remove.map(|doc| reader.remove(&doc)),
        doc.drop.map(|DropDoc {}| reader.dropping(when.is_some())),
    ];
    let mut actions = actions.into_iter().flatten();
    match (actions.next(), actions.next()) {
        (Some(action), None) => Ok(Step {
            when,
            action: action?,
        }),
        (None, _) | (Some(_), Some(_)) => Err(Problem::new(
            at,
            "needs one of rename, map, extract, parse, default, remove, drop",
        )),
    }
}

/// The conditions of a step are those of a rule, and judged by the same engine.
fn conditions(signal: Signal, when: &[Value], at: &str) -> Read<RuleSet> {
    let document = json!({
        "id": "step", "name": "step", "severity": "info", "message": "-",
        "scope": [signal.as_str()], "selection": when,
    });
    let moved = |problem: Problem| {
        let place = problem.path.replacen("selection", "when", 1);
        Problem::new(&format!("{at}.{place}"), problem.what)
    };
    let rule = RuleDef::from_json(&document).map_err(moved)?;
    let later = |condition: &Condition| {
        matches!(
            condition.op.operator,
            Operator::IocScoreGte | Operator::AfterHours
        )
    };
    if rule.window.is_some() || rule.selection.count(&later) > 0 {
        let what = "asks for a window, an indicator score or working hours, which rules know and steps do not";
        return Err(Problem::new(&format!("{at}.when"), what));
    }
    let settings = OrgSettings {
        hash_key: [0; 32],
        hours: BusinessHours::default(),
    };
    let (set, errors) = RuleSet::compile([Arc::new(rule)], settings);
    if set.asks_after_scrubbing(signal) {
        let what = "asks what was scrubbed, and steps come before that";
        return Err(Problem::new(&format!("{at}.when"), what));
    }
    match errors.into_iter().next() {
        Some(error) => Err(moved(error.problem)),
        None => Ok(set),
    }
}

/// Reads the action of one step.
#[derive(Clone, Copy)]
struct Reader<'r> {
    signal: Signal,
    at: &'r str,
}

impl Reader<'_> {
    fn problem(self, member: &str, what: impl Into<String>) -> Problem {
        Problem::new(&format!("{}.{member}", self.at), what)
    }

    fn place(self, member: &str, path: &str) -> Read<Place> {
        Place::of(self.signal, path).map_err(|what| self.problem(member, what))
    }

    /// A place that is taken out of an event.
    fn spared(self, member: &str, path: &str) -> Read<Place> {
        let place = self.place(member, path)?;
        match place.is_required(self.signal) {
            true => Err(self.problem(member, "is a field that an event cannot be without")),
            false => Ok(place),
        }
    }

    fn value(self, member: &str, value: &str) -> Read<()> {
        match value.len() <= VALUE_BYTES_MAX {
            true => Ok(()),
            false => Err(self.problem(member, format!("is longer than {VALUE_BYTES_MAX} bytes"))),
        }
    }

    fn rename(self, doc: &RenameDoc) -> Read<Action> {
        let (from, to) = (
            self.spared("rename.from", &doc.from)?,
            self.place("rename.to", &doc.to)?,
        );
        if from == to {
            return Err(self.problem("rename.to", "is the same field"));
        }
        Ok(Action::Rename { from, to })
    }

    fn map(self, doc: MapDoc) -> Read<Action> {
        let field = self.place("map.field", &doc.field)?;
        if doc.values.is_empty() || doc.values.len() > MAP_MAX {
            return Err(self.problem("map.values", format!("must be 1 to {MAP_MAX}")));
        }
        for value in doc.values.values().chain(&doc.otherwise) {
            self.value("map.values", value)?;
        }
        Ok(Action::Map {
            field,
            values: doc.values.into_iter().collect(),
            otherwise: doc.otherwise,
        })
    }

    fn extract(self, doc: &ExtractDoc) -> Read<Action> {
        let field = self.place("extract.field", &doc.field)?;
        let regex = self.regex(&doc.regex)?;
        let mut groups = Vec::new();
        for (group, name) in regex.capture_names().enumerate() {
            if let Some(name) = name {
                groups.push((group, self.place("extract.regex", name)?));
            }
        }
        if groups.is_empty() {
            return Err(self.problem("extract.regex", "has no named group, as (?<user>…) is one"));
        }
        Ok(Action::Extract {
            field,
            regex,
            groups,
        })
    }

    fn regex(self, text: &str) -> Read<Regex> {
        if text.len() > REGEX_BYTES_MAX {
            let what = format!("is longer than {REGEX_BYTES_MAX} bytes");
            return Err(self.problem("extract.regex", what));
        }
        let mut builder = RegexBuilder::new(text);
        let built = builder.size_limit(REGEX_COMPILED_BYTES_MAX).build();
        built.map_err(|error| self.problem("extract.regex", error.to_string()))
    }

    fn parse(self, doc: ParseDoc) -> Read<Action> {
        let field = self.place("parse.field", &doc.field)?;
        let format = Format::ALL.iter().find(|(name, _)| *name == doc.format);
        let Some((_, format)) = format else {
            let names = Format::ALL.map(|(name, _)| name).join(", ");
            return Err(self.problem("parse.format", format!("must be one of {names}")));
        };
        if doc.prefix.len() > KEY_BYTES_MAX / 2 {
            let what = format!("is longer than {} bytes", KEY_BYTES_MAX / 2);
            return Err(self.problem("parse.prefix", what));
        }
        Ok(Action::Parse {
            field,
            format: *format,
            prefix: doc.prefix,
        })
    }

    fn default(self, doc: DefaultDoc) -> Read<Action> {
        let field = self.place("default.field", &doc.field)?;
        self.value("default.value", &doc.value)?;
        Ok(Action::Default {
            field,
            value: doc.value,
        })
    }

    fn remove(self, doc: &RemoveDoc) -> Read<Action> {
        if doc.fields.is_empty() || doc.fields.len() > REMOVE_MAX {
            return Err(self.problem("remove.fields", format!("must be 1 to {REMOVE_MAX}")));
        }
        let places = doc.fields.iter().enumerate().map(|(at, path)| {
            let member = format!("remove.fields[{at}]");
            self.spared(&member, path)
        });
        Ok(Action::Remove(places.collect::<Read<_>>()?))
    }

    fn dropping(self, conditioned: bool) -> Read<Action> {
        match conditioned {
            true => Ok(Action::Drop),
            false => Err(self.problem("drop", "needs a `when`, or every event would be dropped")),
        }
    }
}
