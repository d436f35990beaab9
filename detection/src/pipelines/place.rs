//! Where a step reads and writes: the time, a core field of the signal, or an attribute (a label of
//! a metric). A core field takes only what the contract would have taken from the sender.

use super::FIELDS_MAX;
use bumpalo::Bump;
use millrace_shared::limits::{
    FIELD_BYTES_MAX, FUTURE_NS_MAX, ID_BYTES_MAX, KEY_BYTES_MAX, NAME_CHARS_MAX, NS_PER_DAY,
    SERVICE_CHARS_MAX, URL_BYTES_MAX, retention_days,
};
use millrace_shared::time::{parse_number, parse_timestamp};
use millrace_shared::wire::{
    AuditOutcome, Level, RumEventType, Severity, SpanKind, SpanStatus, is_event_type,
};
use millrace_shared::{Event, Field, Resource, Role, Signal, Value};
use std::net::IpAddr;

/// The path of an event's time.
const TIME: &str = "timestamp";
/// Prefixes that say of a key that it is one.
const PREFIXES: [&str; 4] = ["attributes.", "metadata.", "labels.", "custom_attributes."];

/// A place in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// When it happened.
    Time,
    /// A core field.
    Core(Role),
    /// An attribute, or a label.
    Key(String),
}

/// What a core field takes, as the contract has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Level,
    Severity,
    Kind,
    Status,
    Outcome,
    RumType,
    AuditType,
    Address,
    /// Not empty, of so many characters.
    Named(usize),
    /// Of so many bytes.
    Text(usize),
}

impl Form {
    fn takes(self, text: &str) -> bool {
        match self {
            Form::Level => Level::parse(text).is_some(),
            Form::Severity => Severity::parse(text).is_some(),
            Form::Kind => SpanKind::parse(text).is_some(),
            Form::Status => SpanStatus::parse(text).is_some(),
            Form::Outcome => AuditOutcome::parse(text).is_some(),
            Form::RumType => RumEventType::parse(text).is_some(),
            Form::AuditType => is_event_type(text),
            Form::Address => text.parse::<IpAddr>().is_ok(),
            Form::Named(chars_max) => {
                let short = text.len() <= chars_max || text.chars().count() <= chars_max;
                short && !text.trim_ascii().is_empty()
            }
            Form::Text(bytes_max) => text.len() <= bytes_max,
        }
    }
}

const ID: Form = Form::Text(ID_BYTES_MAX);
const LONG: Form = Form::Text(FIELD_BYTES_MAX);
const SERVICE: (Role, Form) = (Role::Service, Form::Named(SERVICE_CHARS_MAX));
const HOST: (Role, Form) = (Role::Host, ID);
const ENVIRONMENT: (Role, Form) = (Role::Environment, ID);

/// Core fields that a step may write.
const fn written(signal: Signal) -> &'static [(Role, Form)] {
    match signal {
        Signal::Logs => &[
            SERVICE,
            (Role::Level, Form::Level),
            (Role::Message, LONG),
            (Role::TraceId, ID),
            (Role::SpanId, ID),
            HOST,
            ENVIRONMENT,
        ],
        Signal::Metrics => &[
            (Role::Name, Form::Named(NAME_CHARS_MAX)),
            (Role::Unit, ID),
            SERVICE,
            HOST,
            ENVIRONMENT,
        ],
        Signal::Traces => &[
            (Role::Name, Form::Named(NAME_CHARS_MAX)),
            (Role::Kind, Form::Kind),
            (Role::Status, Form::Status),
            SERVICE,
            HOST,
            ENVIRONMENT,
        ],
        Signal::Rum => &[
            (Role::SessionId, Form::Named(ID_BYTES_MAX)),
            (Role::UserId, ID),
            (Role::EventType, Form::RumType),
            (Role::PageUrl, Form::Named(URL_BYTES_MAX)),
            (Role::Referrer, Form::Text(URL_BYTES_MAX)),
            (Role::UserAgent, Form::Text(URL_BYTES_MAX)),
            (Role::ErrorMessage, LONG),
            (Role::ErrorStack, LONG),
            (Role::ErrorType, ID),
            SERVICE,
            ENVIRONMENT,
        ],
        Signal::Audit => &[
            (Role::EventType, Form::AuditType),
            (Role::Action, Form::Named(ID_BYTES_MAX)),
            (Role::Outcome, Form::Outcome),
            (Role::Severity, Form::Severity),
            SERVICE,
            (Role::Operation, ID),
            (Role::ActorId, ID),
            (Role::ActorEmail, ID),
            (Role::ActorName, ID),
            (Role::ActorType, ID),
            (Role::Ip, Form::Address),
            (Role::UserAgent, Form::Text(URL_BYTES_MAX)),
            (Role::Country, ID),
            (Role::SessionId, ID),
            (Role::RequestId, ID),
            (Role::Message, LONG),
            HOST,
            ENVIRONMENT,
        ],
    }
}

/// Core fields that an event is found, joined or drawn by: no step changes them.
const fn fixed(signal: Signal) -> &'static [Role] {
    match signal {
        Signal::Logs | Signal::Rum => &[],
        Signal::Metrics => &[Role::MetricValue, Role::MetricType],
        Signal::Traces => &[
            Role::TraceId,
            Role::SpanId,
            Role::ParentSpanId,
            Role::StartTime,
            Role::EndTime,
            Role::Duration,
            Role::SpanEventName,
            Role::SpanEventTime,
            Role::LinkTraceId,
            Role::LinkSpanId,
        ],
        Signal::Audit => &[Role::TargetId, Role::TargetType, Role::TargetName],
    }
}

/// Core fields without which an event is none of its signal.
const fn required(signal: Signal) -> &'static [Role] {
    match signal {
        Signal::Logs => &[Role::Message],
        Signal::Metrics | Signal::Traces => &[Role::Name],
        Signal::Rum => &[Role::SessionId, Role::EventType, Role::PageUrl],
        Signal::Audit => &[Role::EventType, Role::Action, Role::Outcome],
    }
}

/// The core field of that path that a step may write.
fn core(signal: Signal, path: &str) -> Option<Role> {
    let mut roles = written(signal).iter().map(|(role, _)| *role);
    roles.find(|role| role.path() == path)
}

impl Place {
    /// The place that a path means in events of a signal.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub(super) fn of(signal: Signal, path: &str) -> Result<Place, &'static str> {
        if path.is_empty() || path.chars().any(char::is_control) {
            return Err("must be the path of a field");
        }
        if path.len() > KEY_BYTES_MAX {
            return Err("is longer than any key may be");
        }
        if fixed(signal).iter().any(|role| role.path() == path) {
            return Err("is a field that events are found by, and cannot be touched");
        }
        if path == TIME {
            return Ok(Place::Time);
        }
        if let Some(role) = core(signal, path) {
            return Ok(Place::Core(role));
        }
        let mut bare = PREFIXES
            .iter()
            .filter_map(|prefix| path.strip_prefix(prefix));
        Ok(Place::Key(bare.next().unwrap_or(path).to_owned()))
    }

    /// Whether an event would be none without it.
    pub(super) fn is_required(&self, signal: Signal) -> bool {
        match self {
            Place::Time => true,
            Place::Core(role) => required(signal).contains(role),
            Place::Key(_) => false,
        }
    }

    fn is(&self, field: &Field<'_>) -> bool {
        match self {
            Place::Time => false,
            Place::Core(role) => field.role == *role,
            Place::Key(key) => {
                matches!(field.role, Role::Attribute | Role::Label) && field.name == key
            }
        }
    }

    /// Whether the event has it itself.
    pub(super) fn is_in(&self, event: &Event<'_>) -> bool {
        match self {
            Place::Time => event.timestamp.is_some(),
            Place::Core(_) | Place::Key(_) => event.fields.iter().any(|field| self.is(field)),
        }
    }

    /// What the event holds there, or else its resource.
    pub(super) fn read<'a>(&self, event: &Event<'a>, resource: &Resource<'a>) -> Option<Value<'a>> {
        let mut fields = event.fields.iter().chain(&resource.fields);
        let is_meant = |field: &&Field<'_>| {
            self.is(field)
                || matches!(self, Place::Key(key) if field.role == Role::ResourceAttribute && field.name == key)
        };
        fields.find(is_meant).map(|field| field.value)
    }

    /// Takes what the event holds there out of it.
    pub(super) fn take<'a>(&self, event: &mut Event<'a>) -> Option<Value<'a>> {
        let at = event.fields.iter().position(|field| self.is(field))?;
        Some(event.fields.remove(at).value)
    }
}

/// What a step writes into.
pub(super) struct Target<'t, 'a> {
    pub(super) event: &'t mut Event<'a>,
    pub(super) received_ns: i64,
    pub(super) arena: &'a Bump,
}

impl<'a> Target<'_, 'a> {
    /// Sets a place. What a core field cannot take becomes an attribute of its name; false when
    /// there is no room for that either.
    pub(super) fn set(&mut self, place: &'a Place, value: Value<'a>) -> bool {
        match place {
            Place::Time => self.set_time(value),
            Place::Core(role) => self.set_core(*role, value),
            Place::Key(key) => self.set_key(key, value),
        }
    }

    /// Sets what was found under a name that is known only now.
    pub(super) fn set_found(&mut self, name: &'a str, value: Value<'a>) -> bool {
        if name == TIME {
            return self.set_time(value);
        }
        match core(self.event.signal, name) {
            Some(role) => self.set_core(role, value),
            None => self.set_key(name, value),
        }
    }

    fn set_time(&mut self, value: Value<'a>) -> bool {
        let at = self.time(value);
        self.event.timestamp = at.or(self.event.timestamp);
        at.is_some() || self.set_key(TIME, value)
    }

    fn set_core(&mut self, role: Role, value: Value<'a>) -> bool {
        let Some(text) = self.core(role, value) else {
            return self.set_key(role.path(), value);
        };
        self.put(role, role.path(), Value::Text(text));
        true
    }

    /// Sets an attribute, or a label.
    pub(super) fn set_key(&mut self, key: &'a str, value: Value<'a>) -> bool {
        let is_metric = self.event.signal == Signal::Metrics;
        let (role, value) = match is_metric {
            true => match self.text(value) {
                Some(text) => (Role::Label, Value::Text(text)),
                None => return false,
            },
            false => (Role::Attribute, value),
        };
        let known = |field: &Field<'_>| field.role == role && field.name == key;
        let room = self.event.fields.len() < FIELDS_MAX || self.event.fields.iter().any(known);
        let fits = !key.is_empty() && key.len() <= KEY_BYTES_MAX && size(value) <= FIELD_BYTES_MAX;
        if room && fits {
            self.put(role, key, value);
        }
        room && fits
    }

    fn put(&mut self, role: Role, name: &'a str, value: Value<'a>) {
        let mut fields = self.event.fields.iter_mut();
        match fields.find(|field| field.role == role && field.name == name) {
            Some(field) => field.value = value,
            None => self.event.fields.push(Field {
                name,
                value,
                role,
                sub: 0,
            }),
        }
    }

    /// A scalar as text.
    pub(super) fn text(&self, value: Value<'a>) -> Option<&'a str> {
        let text = match value {
            Value::Text(text) => return Some(text),
            Value::Int(int) => bumpalo::format!(in self.arena, "{}", int),
            Value::Float(float) => bumpalo::format!(in self.arena, "{}", float),
            Value::Bool(bool) => bumpalo::format!(in self.arena, "{}", bool),
            Value::Null | Value::Json(_) => return None,
        };
        Some(text.into_bump_str())
    }

    /// The time that a value says, if an event of that time would have been taken.
    fn time(&self, value: Value<'a>) -> Option<i64> {
        let at = match value {
            Value::Text(text) => parse_timestamp(text).or_else(|| parse_number(text)),
            Value::Int(_) | Value::Float(_) => parse_number(self.text(value)?),
            Value::Bool(_) | Value::Null | Value::Json(_) => None,
        }?;
        let oldest = retention_days(self.event.signal) * NS_PER_DAY;
        let earliest = self.received_ns.saturating_sub(oldest);
        let latest = self.received_ns.saturating_add(FUTURE_NS_MAX);
        (earliest..=latest).contains(&at).then_some(at)
    }

    /// The text for a core field, if the contract would have taken it there.
    fn core(&self, role: Role, value: Value<'a>) -> Option<&'a str> {
        let text = self.text(value)?;
        let mut forms = written(self.event.signal).iter();
        let (_, form) = forms.find(|(of, _)| *of == role)?;
        form.takes(text).then_some(text)
    }
}

fn size(value: Value<'_>) -> usize {
    value.as_text().map_or(0, str::len)
}
