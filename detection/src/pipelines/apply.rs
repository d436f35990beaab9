//! A compiled pipeline, and an event's way through it.

use super::formats::{Format, Source};
use super::place::{Place, Target};
use crate::indicators::Verdict;
use crate::rules;
use crate::rules::{EventView, RuleMatch, RuleSet};
use bumpalo::Bump;
use hashbrown::HashMap;
use millrace_shared::{Event, Resource, Signal, Value};
use regex::Regex;

/// The steps of one organisation for one signal. Immutable.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) signal: Signal,
    pub(super) steps: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    /// A set of one rule that selects the events the step is for; all without one.
    pub(super) when: Option<RuleSet>,
    pub(super) action: Action,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Action {
    Rename {
        from: Place,
        to: Place,
    },
    Map {
        field: Place,
        values: HashMap<String, String>,
        otherwise: Option<String>,
    },
    Extract {
        field: Place,
        regex: Regex,
        /// Where each named group goes.
        groups: Vec<(usize, Place)>,
    },
    Parse {
        field: Place,
        format: Format,
        prefix: String,
    },
    Default {
        field: Place,
        value: String,
    },
    Remove(Vec<Place>),
    Drop,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Kept,
    /// The organisation does not want it.
    Dropped,
}

/// What a step has done to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    Changed,
    Dropped,
}

/// Working memory, used for event after event.
#[derive(Debug, Default)]
pub struct Scratch {
    rules: rules::Scratch,
    matches: Vec<RuleMatch>,
}

/// What an event comes with.
pub struct Around<'s, 'a> {
    /// Its body's resource.
    pub resource: &'s Resource<'a>,
    /// When it was received, nanoseconds.
    pub received_ns: i64,
    /// Holds what steps make.
    pub arena: &'a Bump,
    /// Working memory.
    pub scratch: &'s mut Scratch,
}

impl Pipeline {
    /// Which signal it is for.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// Takes an event through all steps.
    pub fn apply<'a>(&'a self, event: &mut Event<'a>, around: &mut Around<'_, 'a>) -> Fate {
        let dropped = self
            .steps
            .iter()
            .any(|step| step.take(event, around) == Done::Dropped);
        if dropped { Fate::Dropped } else { Fate::Kept }
    }
}

impl Step {
    pub(super) fn take<'a>(&'a self, event: &mut Event<'a>, around: &mut Around<'_, 'a>) -> Done {
        if !self.is_for(event, around) {
            return Done::Nothing;
        }
        let changed = match &self.action {
            Action::Drop => return Done::Dropped,
            Action::Remove(places) => {
                let taken = places.iter().filter(|place| place.take(event).is_some());
                taken.count() > 0
            }
            Action::Rename { from, to } => match from.take(event) {
                Some(value) => target(event, around).set(to, value),
                None => false,
            },
            Action::Default { field, value } => {
                let missing = !field.is_in(event) && field.read(event, around.resource).is_none();
                missing && target(event, around).set(field, Value::Text(value))
            }
            Action::Map {
                field,
                values,
                otherwise,
            } => {
                let mapped = field.read(event, around.resource).and_then(|value| {
                    let text = target(event, around).text(value)?;
                    values.get(text).or(otherwise.as_ref())
                });
                mapped.is_some_and(|text| target(event, around).set(field, Value::Text(text)))
            }
            Action::Extract {
                field,
                regex,
                groups,
            } => extract(event, around, (field, regex, groups)),
            Action::Parse {
                field,
                format,
                prefix,
            } => parse(event, around, (field, *format, prefix)),
        };
        if changed {
            Done::Changed
        } else {
            Done::Nothing
        }
    }

    fn is_for<'a>(&self, event: &Event<'a>, around: &mut Around<'_, 'a>) -> bool {
        let Some(when) = &self.when else {
            return true;
        };
        let view = EventView {
            event,
            resource: around.resource,
            timestamp_ns: event.timestamp.unwrap_or(around.received_ns),
            received_ns: around.received_ns,
            verdict: Verdict::NONE,
        };
        let Scratch { rules, matches } = around.scratch;
        matches.clear();
        when.evaluate(&view, rules, matches);
        !matches.is_empty()
    }
}

fn target<'t, 'a>(event: &'t mut Event<'a>, around: &Around<'_, 'a>) -> Target<'t, 'a> {
    Target {
        event,
        received_ns: around.received_ns,
        arena: around.arena,
    }
}

fn text_of<'a>(place: &Place, event: &Event<'a>, around: &Around<'_, 'a>) -> Option<&'a str> {
    place.read(event, around.resource)?.as_text()
}

fn extract<'a>(
    event: &mut Event<'a>,
    around: &Around<'_, 'a>,
    (field, regex, groups): (&Place, &Regex, &'a [(usize, Place)]),
) -> bool {
    let Some(captures) = text_of(field, event, around).and_then(|text| regex.captures(text)) else {
        return false;
    };
    let mut changed = false;
    for (group, place) in groups {
        if let Some(found) = captures.get(*group) {
            changed |= target(event, around).set(place, Value::Text(found.as_str()));
        }
    }
    changed
}

fn parse<'a>(
    event: &mut Event<'a>,
    around: &Around<'_, 'a>,
    (field, format, prefix): (&Place, Format, &str),
) -> bool {
    let Some(text) = text_of(field, event, around) else {
        return false;
    };
    let source = Source {
        text,
        received_ns: around.received_ns,
        arena: around.arena,
    };
    format.read(source, &mut |name, value| {
        let mut target = target(event, around);
        if prefix.is_empty() {
            target.set_found(name, value);
        } else {
            let name = bumpalo::format!(in around.arena, "{}{}", prefix, name).into_bump_str();
            target.set_key(name, value);
        }
    })
}
