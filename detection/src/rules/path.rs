//! Field paths: which fields a path may mean, and which of them is preferred.
//!
//! A path is that of a core field (`actor.email`), an alias of one (`result` is the outcome,
//! `address` the `ip`, `actor` whoever acted: id, else e-mail, else name), or the key of an
//! attribute or label with or without its prefix. A core field wins over an attribute of the same
//! name, the event over the resource.

use super::evaluate::EventView;
use crate::field::FieldAt;
use millrace_shared::limits::KEY_BYTES_MAX;
use millrace_shared::{Field, Role};

/// Lists of keys that a source may belong to; each has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Keys {
    /// Attributes, metadata, labels.
    Attributes,
    /// RUM timings.
    Performance,
    /// Attributes of span events.
    SpanEvents,
    /// Attributes of span links.
    Links,
    /// Attributes of the resource.
    Resource,
}

/// One place where the value of a path may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The core field, of the event or of the resource.
    Core(Role),
    /// The core field of the resource only.
    ResourceCore(Role),
    /// The field with that key.
    Key(Keys, String),
}

/// A source with its rank; the lowest rank that is present counts.
pub(crate) type Ranked = (u8, Source);

/// Ranks of sources in the resource are raised by this.
pub(super) const RESOURCE_RANK: u8 = 100;
/// Ranks of attributes that bear the name of a core field.
const ATTRIBUTE_RANK: u8 = 50;

/// Prefixes that say where a key belongs.
const PREFIXES: [(&str, Keys); 9] = [
    ("attributes.", Keys::Attributes),
    ("metadata.", Keys::Attributes),
    ("labels.", Keys::Attributes),
    ("custom_attributes.", Keys::Attributes),
    ("performance.", Keys::Performance),
    ("events.attributes.", Keys::SpanEvents),
    ("links.attributes.", Keys::Links),
    ("resource.attributes.", Keys::Resource),
    ("resource.", Keys::Resource),
];

/// The path, for keys only, of the indicator that weighs most among an event's matches.
pub(crate) const INDICATOR_PATH: &str = "ioc.indicator";

/// Checks a path as it is written in a rule.
pub(super) fn check(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        Err("must not be empty")
    } else if path.len() > KEY_BYTES_MAX + 32 {
        Err("is longer than any key may be")
    } else if path.chars().any(char::is_control) {
        Err("has a control character")
    } else {
        Ok(())
    }
}

/// Stands between paths of which each may hold the value.
pub(crate) const OR: &str = " || ";
/// The path of every field of the event.
pub(crate) const EVERY: &str = "*";

/// Checks a path, or several of which each may hold the value.
pub(super) fn check_all(paths: &str) -> Result<(), &'static str> {
    let each = paths.split(OR).map(|path| match path {
        EVERY if path.len() < paths.len() => Err("must not have every field among others"),
        path => check(path),
    });
    each.collect()
}

/// Checks a path, or several, that must name fields rather than every field.
pub(super) fn check_one(paths: &str) -> Result<(), &'static str> {
    if paths == EVERY {
        return Err("must name a field");
    }
    check_all(paths)
}

/// Where the value of a path may be found, or that of several: of these all that are there count,
/// a core field of one as much as an attribute of another.
pub(crate) fn all_sources(paths: &str) -> Vec<Ranked> {
    if !paths.contains(OR) {
        return sources(paths);
    }
    let mut all: Vec<Ranked> = Vec::new();
    for (_, source) in paths.split(OR).flat_map(sources) {
        if all.iter().all(|(_, other)| *other != source) {
            all.push((0, source));
        }
    }
    all
}

/// The names under which a field that a path means may stand in an event: what a scrubbing policy
/// calls it.
#[must_use]
pub fn field_names(path: &str) -> Vec<String> {
    let name = |source| match source {
        Source::Core(role) | Source::ResourceCore(role) => role.path().to_owned(),
        Source::Key(_, key) => key,
    };
    let sources = all_sources(path).into_iter();
    let mut names: Vec<String> = sources.map(|(_, source)| name(source)).collect();
    names.dedup();
    names
}

/// Where the value of a path may be found.
pub(super) fn sources(path: &str) -> Vec<Ranked> {
    if path == Role::PiiClass.path() {
        // What the scrubber found is not for senders to say.
        return vec![(0, Source::Core(Role::PiiClass))];
    }
    if let Some((keys, key)) = prefixed(path) {
        return prefixed_sources(keys, key);
    }
    let mut sources: Vec<Ranked> = Vec::new();
    let roles: &[Role] = match path {
        "result" => &[Role::Outcome],
        "address" | "client_ip" => &[Role::Ip],
        "actor" | "user" => &[
            Role::ActorId,
            Role::ActorEmail,
            Role::ActorName,
            Role::UserId,
        ],
        "country" => &[Role::Country],
        _ => &[],
    };
    sources.extend((0..).zip(roles.iter().map(|role| Source::Core(*role))));
    sources.extend(core(path).map(|role| (0, Source::Core(role))));
    sources.push((
        ATTRIBUTE_RANK,
        Source::Key(Keys::Attributes, path.to_owned()),
    ));
    sources.push((
        ATTRIBUTE_RANK + 1,
        Source::Key(Keys::Performance, timing(path)),
    ));
    sources.push((RESOURCE_RANK, Source::Key(Keys::Resource, path.to_owned())));
    sources
}

fn prefixed(path: &str) -> Option<(Keys, &str)> {
    let found = PREFIXES
        .iter()
        .find_map(|(prefix, keys)| Some((*keys, path.strip_prefix(prefix)?)));
    found.filter(|(_, key)| !key.is_empty())
}

fn prefixed_sources(keys: Keys, key: &str) -> Vec<Ranked> {
    match keys {
        Keys::Performance => vec![(0, Source::Key(keys, timing(key)))],
        Keys::Resource => {
            let role = match key {
                "service" | "service_name" | "service.name" => Some(Role::Service),
                "host" | "host.name" => Some(Role::Host),
                "environment" | "deployment.environment" => Some(Role::Environment),
                _ => None,
            };
            let mut sources = vec![(RESOURCE_RANK, Source::Key(keys, key.to_owned()))];
            sources.extend(role.map(|role| (0, Source::ResourceCore(role))));
            sources
        }
        Keys::Attributes | Keys::SpanEvents | Keys::Links => {
            vec![(0, Source::Key(keys, key.to_owned()))]
        }
    }
}

fn timing(key: &str) -> String {
    format!("performance.{key}")
}

fn core(path: &str) -> Option<Role> {
    Role::ALL
        .iter()
        .copied()
        .find(|role| !path.is_empty() && role.path() == path)
}

/// The list of keys a field's name belongs to, if it has a key of its own.
pub(super) const fn keys_of(role: Role) -> Option<Keys> {
    match role {
        Role::Attribute | Role::Label => Some(Keys::Attributes),
        Role::Performance => Some(Keys::Performance),
        Role::SpanEventAttribute => Some(Keys::SpanEvents),
        Role::LinkAttribute => Some(Keys::Links),
        Role::ResourceAttribute => Some(Keys::Resource),
        Role::Service
        | Role::Host
        | Role::Environment
        | Role::Level
        | Role::Message
        | Role::TraceId
        | Role::SpanId
        | Role::ParentSpanId
        | Role::Name
        | Role::Kind
        | Role::Status
        | Role::MetricType
        | Role::Unit
        | Role::MetricValue
        | Role::SessionId
        | Role::UserId
        | Role::EventType
        | Role::PageUrl
        | Role::Referrer
        | Role::UserAgent
        | Role::Browser
        | Role::Os
        | Role::Device
        | Role::ErrorMessage
        | Role::ErrorStack
        | Role::ErrorType
        | Role::Action
        | Role::Outcome
        | Role::Severity
        | Role::Operation
        | Role::ActorId
        | Role::ActorEmail
        | Role::ActorName
        | Role::ActorType
        | Role::Ip
        | Role::Country
        | Role::City
        | Role::RequestId
        | Role::StartTime
        | Role::EndTime
        | Role::Duration
        | Role::TargetId
        | Role::TargetType
        | Role::TargetName
        | Role::SpanEventName
        | Role::SpanEventTime
        | Role::LinkTraceId
        | Role::LinkSpanId
        | Role::PiiClass => None,
    }
}

/// The field that a path means in an event, for placeholders of messages. Slow, and only for
/// events that matched.
#[must_use]
pub fn find_field(path: &str, view: &EventView<'_, '_>) -> FieldAt {
    let mut best = (u8::MAX, FieldAt::NONE);
    for (rank, source) in all_sources(path) {
        let is_meant = |field: &Field<'_>| match &source {
            Source::Core(role) | Source::ResourceCore(role) => field.role == *role,
            Source::Key(keys, key) => keys_of(field.role) == Some(*keys) && field.name == key,
        };
        let of = |fields: &[Field<'_>]| fields.iter().position(is_meant);
        if !matches!(source, Source::ResourceCore(_))
            && let Some(at) = of(&view.event.fields)
            && rank < best.0
        {
            best = (rank, FieldAt::event(at));
        }
        let rank = rank.saturating_add(RESOURCE_RANK);
        if let Some(at) = of(&view.resource.fields)
            && rank < best.0
        {
            best = (rank, FieldAt::resource(at));
        }
    }
    best.1
}
