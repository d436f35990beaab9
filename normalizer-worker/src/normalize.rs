//! Decoded → normalized: one time scale, one severity scale, derived fields beside the sent ones.
//!
//! Derived fields join the event's own, so that rules, scrubbing and rows meet them like any other.

use crate::agent::Agents;
use crate::control::GeoDatabase;
use crate::decode::DecodedEvent;
use bumpalo::Bump;
use millrace_detection::audit_severity;
use millrace_shared::entry::Meta;
use millrace_shared::wire::{AuditOutcome, Level, Severity, SpanStatus};
use millrace_shared::{Event, Field, Resource, Role, Signal, Value};

/// Attributes of the place of a client's address, as the Elastic Common Schema calls them; rules
/// about travel look there.
const LATITUDE: &str = "client.geo.location.lat";
const LONGITUDE: &str = "client.geo.location.lon";

/// An event on our scales.
#[derive(Debug)]
pub(crate) struct NormalizedEvent<'e, 'a> {
    pub(crate) event: &'e mut Event<'a>,
    pub(crate) resource: &'e Resource<'a>,
    pub(crate) facts: Facts,
}

/// What was worked out about an event, beside its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// When it happened, or was received if it does not say; nanoseconds.
    pub timestamp: i64,
    /// How grave it is.
    pub severity: Severity,
    /// The level of a log record.
    pub level: Option<Level>,
    /// End − start of a span, nanoseconds.
    pub duration: u64,
}

/// What normalizing needs to know beside the event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'c> {
    pub(crate) meta: &'c Meta,
    pub(crate) agents: &'c Agents,
    pub(crate) geo: Option<&'c GeoDatabase>,
}

impl<'e, 'a> DecodedEvent<'e, 'a> {
    /// Brings the event onto our scales.
    pub(crate) fn normalize(
        self,
        around: Surroundings<'_>,
        arena: &'a Bump,
    ) -> NormalizedEvent<'e, 'a> {
        let DecodedEvent { event, resource } = self;
        let mut facts = Facts {
            timestamp: event.timestamp.unwrap_or(around.meta.received_at),
            severity: Severity::Info,
            level: None,
            duration: 0,
        };
        match event.signal {
            Signal::Logs => log(event, &mut facts),
            Signal::Metrics => {}
            Signal::Traces => span(event, &mut facts, arena),
            Signal::Rum => rum(event, &mut facts, around, arena),
            Signal::Audit => audit(event, &mut facts),
        }
        if matches!(event.signal, Signal::Rum | Signal::Audit) {
            derive_agent(event, around.agents, arena);
            derive_place(event, around.geo, arena);
        }
        NormalizedEvent {
            event,
            resource,
            facts,
        }
    }
}

fn log(event: &mut Event<'_>, facts: &mut Facts) {
    facts.level = event.text(Role::Level).and_then(Level::parse);
    facts.severity = facts.level.map_or(Severity::Info, Level::severity);
    event.push(Role::Severity, Value::Text(facts.severity.as_str()));
}

fn span<'a>(event: &mut Event<'a>, facts: &mut Facts, arena: &'a Bump) {
    let start = event.int(Role::StartTime).unwrap_or(facts.timestamp);
    let end = event.int(Role::EndTime).unwrap_or(start);
    facts.duration = u64::try_from(end.saturating_sub(start)).unwrap_or(0);
    let failed = event.text(Role::Status).and_then(SpanStatus::parse) == Some(SpanStatus::Error);
    facts.severity = if failed {
        Severity::High
    } else {
        Severity::Info
    };
    for field in &mut event.fields {
        // W3C ids are lower case; senders that write them otherwise mean the same trace.
        let is_id = matches!(
            field.role,
            Role::TraceId
                | Role::SpanId
                | Role::ParentSpanId
                | Role::LinkTraceId
                | Role::LinkSpanId
        );
        if is_id && let Value::Text(id) = field.value {
            field.value = Value::Text(lower(id, arena));
        }
    }
    let duration = i64::try_from(facts.duration).unwrap_or(i64::MAX);
    event.push(Role::Duration, Value::Int(duration));
}

fn rum<'a>(event: &mut Event<'a>, facts: &mut Facts, around: Surroundings<'_>, arena: &'a Bump) {
    let failed = event
        .text(Role::EventType)
        .is_some_and(|kind| kind.eq_ignore_ascii_case("error"));
    facts.severity = if failed {
        Severity::High
    } else {
        Severity::Info
    };
    if event.field(Role::UserAgent).is_none()
        && let Some(agent) = &around.meta.user_agent
    {
        event.push(Role::UserAgent, Value::Text(arena.alloc_str(agent)));
    }
    if let Some(ip) = around.meta.ip {
        let ip = bumpalo::format!(in arena, "{}", ip).into_bump_str();
        event.push(Role::Ip, Value::Text(ip));
    }
}

fn audit(event: &mut Event<'_>, facts: &mut Facts) {
    let kind = event.text(Role::EventType).unwrap_or("");
    let outcome = event.text(Role::Outcome).and_then(AuditOutcome::parse);
    let (action, operation) = (
        event.text(Role::Action).unwrap_or(""),
        event.text(Role::Operation),
    );
    let outcome_or_success = outcome.unwrap_or(AuditOutcome::Success);
    let by_table = audit_severity(kind, outcome_or_success, action, operation);
    let sent = event.text(Role::Severity).and_then(Severity::parse);
    facts.severity = sent.unwrap_or(by_table);
    let severity = Value::Text(facts.severity.as_str());
    for field in &mut event.fields {
        match (field.role, outcome) {
            (Role::Severity, _) => field.value = severity,
            (Role::Outcome, Some(outcome)) => field.value = Value::Text(outcome.as_str()),
            _ => {}
        }
    }
    if sent.is_none() {
        event.push(Role::Severity, severity);
    }
}

fn derive_agent<'a>(event: &mut Event<'a>, agents: &Agents, arena: &'a Bump) {
    let Some(agent) = event
        .text(Role::UserAgent)
        .and_then(|text| agents.parse(text, arena))
    else {
        return;
    };
    event.push(Role::Browser, Value::Text(agent.browser));
    event.push(Role::Os, Value::Text(agent.os));
    event.push(Role::Device, Value::Text(agent.device));
}

fn derive_place<'a>(event: &mut Event<'a>, geo: Option<&GeoDatabase>, arena: &'a Bump) {
    let Some(place) = geo
        .zip(event.text(Role::Ip))
        .and_then(|(geo, ip)| geo.place(ip))
    else {
        return;
    };
    if event.field(Role::Country).is_none() && !place.country.is_empty() {
        event.push(Role::Country, Value::Text(arena.alloc_str(place.country)));
    }
    if !place.city.is_empty() {
        event.push(Role::City, Value::Text(arena.alloc_str(place.city)));
    }
    // For journeys of people: what an address does to a browser's page is not one.
    if let (Signal::Audit, Some((latitude, longitude))) = (event.signal, place.coordinates) {
        attribute(event, LATITUDE, latitude);
        attribute(event, LONGITUDE, longitude);
    }
}

/// Adds an attribute unless it was sent.
fn attribute(event: &mut Event<'_>, name: &'static str, number: f64) {
    let mut fields = event.fields.iter();
    if fields.any(|field| field.role == Role::Attribute && field.name == name) {
        return;
    }
    event.fields.push(Field {
        name,
        value: Value::Float(number),
        role: Role::Attribute,
        sub: 0,
    });
}

fn lower<'a>(text: &'a str, arena: &'a Bump) -> &'a str {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        let lower = arena.alloc_str(text);
        lower.make_ascii_lowercase();
        lower
    } else {
        text
    }
}
