//! Detected → scrubbed: every string of the event, keys too, through the organisation's policy.
//!
//! Only a [`ScrubbedEvent`] can be made into a row, an alert or anything else that leaves.

use crate::detect::{DetectedEvent, Detection};
use crate::normalize::Facts;
use bumpalo::Bump;
use millrace_scrubber::{Class, ClassSet, FieldPlan, Scrubbed, Scrubber};
use millrace_shared::rewrite;
use millrace_shared::{Event, Field, Role, Value};

/// An event from which personal data is gone.
#[derive(Debug)]
pub(crate) struct ScrubbedEvent<'e, 'a> {
    pub(crate) event: &'e Event<'a>,
    pub(crate) facts: Facts,
    pub(crate) detection: Detection<'a>,
    pub(crate) classes: ClassSet,
}

impl<'e, 'a> DetectedEvent<'e, 'a> {
    /// Takes the personal data out. Positions of fields stay as they are.
    pub(crate) fn scrub(self, scrubber: &Scrubber, arena: &'a Bump) -> ScrubbedEvent<'e, 'a> {
        let DetectedEvent {
            event,
            facts,
            mut detection,
        } = self;
        let mut classes = ClassSet::EMPTY;
        fields(&mut event.fields, scrubber, arena, &mut classes);
        detection.observables.retain_mut(|observable| {
            match scrubber.scrub(arena, "observables", observable, &mut classes) {
                None => true,
                Some(Scrubbed::Replaced(text)) => {
                    *observable = text;
                    // A bare `[EMAIL]` tells nothing; a hash or a pseudonym still joins.
                    !text.starts_with('[')
                }
                Some(Scrubbed::Removed) => false,
            }
        });
        ScrubbedEvent {
            event,
            facts,
            detection,
            classes,
        }
    }
}

/// Scrubs a list of fields in place.
pub(crate) fn fields<'a>(
    fields: &mut [Field<'a>],
    scrubber: &Scrubber,
    arena: &'a Bump,
    classes: &mut ClassSet,
) {
    for field in fields {
        if is_closed_word(field.role) {
            continue;
        }
        let plan = scrubber.plan(field.name);
        if let Value::Json(text) = field.value
            && text.contains('\\')
        {
            field.value = Value::Json(strings(text, (scrubber, plan), arena, classes));
        }
        match field.value {
            Value::Text(text) | Value::Json(text) => {
                match scrubber.scrub_planned(arena, plan, text, classes) {
                    None => {}
                    Some(Scrubbed::Replaced(text)) => field.value = Value::Text(text),
                    Some(Scrubbed::Removed) => field.value = Value::Null,
                }
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                if plan.replaces_whole_value() && field.role.path().is_empty() {
                    classes.insert(Class::SensitiveKey);
                    field.value = Value::Text(Class::SensitiveKey.placeholder());
                }
                number(field, scrubber, arena, classes);
            }
            Value::Null => {}
        }
        if field.role.path().is_empty()
            && let Some(key) = scrubber.scrub_key(arena, field.name, classes)
        {
            field.name = key;
        }
    }
}

/// Scrubs the strings of a JSON text one by one, as their reader sees them: in the text itself an
/// escape beside a value (`\n`, `\"`) looks like a part of it. What spans several strings, as a key
/// and its value, is for the text as a whole, after this.
fn strings<'a>(
    text: &'a str,
    (scrubber, plan): (&Scrubber, FieldPlan),
    arena: &'a Bump,
    classes: &mut ClassSet,
) -> &'a str {
    if plan.replaces_whole_value() {
        return text;
    }
    let rewritten = rewrite::strings(text, arena, |string| {
        match scrubber.scrub_planned(arena, plan, string, classes)? {
            Scrubbed::Replaced(string) => Some(string),
            Scrubbed::Removed => Some(""),
        }
    });
    // Decoding has refused lone surrogates already.
    rewritten.unwrap_or(text)
}

/// Digits of the shortest number that can be personal: a card or a telephone number.
const PERSONAL_NUMBER_MIN: i64 = 100_000_000;

/// A number sent as a number can be a card or a social security number all the same.
fn number<'a>(field: &mut Field<'a>, scrubber: &Scrubber, arena: &'a Bump, classes: &mut ClassSet) {
    let Value::Int(int) = field.value else { return };
    if int < PERSONAL_NUMBER_MIN || !field.role.path().is_empty() {
        return;
    }
    let text = bumpalo::format!(in arena, "{}", int).into_bump_str();
    match scrubber.scrub(arena, field.name, text, classes) {
        None => {}
        Some(Scrubbed::Replaced(text)) => field.value = Value::Text(text),
        Some(Scrubbed::Removed) => field.value = Value::Null,
    }
}

/// Fields whose text was checked against a closed list of words, or is hexadecimal, and so cannot
/// hold anything personal. A log's trace id is free text and not among them: see `decode`.
const fn is_closed_word(role: Role) -> bool {
    matches!(
        role,
        Role::Level
            | Role::Kind
            | Role::Status
            | Role::MetricType
            | Role::Outcome
            | Role::Severity
            | Role::Browser
            | Role::Os
            | Role::Device
            | Role::Performance
            | Role::StartTime
            | Role::EndTime
            | Role::Duration
            | Role::SpanEventTime
            | Role::LinkTraceId
            | Role::LinkSpanId
            | Role::ParentSpanId
            | Role::MetricValue
    )
}
