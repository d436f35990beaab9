//! One span, with its events and links.

use super::fields::{Fields, Stop, bad};
use super::reject::RejectCode;
use super::vocabulary::{SpanKind, SpanStatus};
use crate::event::{Field, Role, Value};
use crate::limits::{
    FIELD_BYTES_MAX, ID_BYTES_MAX, NAME_CHARS_MAX, SERVICE_CHARS_MAX, SPAN_EVENTS_MAX,
};

/// Hexadecimal digits of a W3C trace id and span id.
const TRACE_ID_DIGITS: usize = 32;
const SPAN_ID_DIGITS: usize = 16;

pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    let mut first = true;
    fields.begin("")?;
    while let Some(key) = fields.key(&mut first)? {
        match key {
            "trace_id" => fields.hex_id(Role::TraceId, 0, TRACE_ID_DIGITS)?,
            "span_id" => fields.hex_id(Role::SpanId, 0, SPAN_ID_DIGITS)?,
            "parent_span_id" => parent(fields)?,
            "name" => fields.name(Role::Name, NAME_CHARS_MAX)?,
            "kind" => fields.word(Role::Kind, |word| SpanKind::parse(word).is_some())?,
            "start_time" => fields.time_field(Role::StartTime)?,
            "end_time" => fields.time_field(Role::EndTime)?,
            "status" => fields.word(Role::Status, |word| SpanStatus::parse(word).is_some())?,
            "attributes" => fields.attributes(Role::Attribute, 0)?,
            "events" => elements(fields, "events", span_event)?,
            "links" => elements(fields, "links", link)?,
            "service" => fields.name(Role::Service, SERVICE_CHARS_MAX)?,
            "host" => fields.text(Role::Host, ID_BYTES_MAX)?,
            "environment" => fields.text(Role::Environment, ID_BYTES_MAX)?,
            other => fields.attribute(Role::Attribute, 0, other)?,
        }
    }
    for role in [
        Role::TraceId,
        Role::SpanId,
        Role::Name,
        Role::StartTime,
        Role::EndTime,
    ] {
        fields.require(role)?;
    }
    let start = fields.event().int(Role::StartTime);
    if fields.event().int(Role::EndTime) < start {
        return bad(
            RejectCode::EndBeforeStart,
            "end_time",
            "lies before start_time",
        );
    }
    fields.event().timestamp = start;
    fields.finish()
}

/// Exporters write an absent parent as an empty string or as zeros.
fn parent(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    let Some(text) = fields.string("parent_span_id")? else {
        return Ok(());
    };
    if fields.event().field(Role::ParentSpanId).is_some() {
        return bad(RejectCode::DuplicateKey, "parent_span_id", "occurs twice");
    }
    if text.bytes().all(|b| b == b'0') {
        return Ok(());
    }
    if text.len() != SPAN_ID_DIGITS || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return bad(
            RejectCode::BadId,
            "parent_span_id",
            "must be 16 hexadecimal digits",
        );
    }
    fields.event().push(Role::ParentSpanId, Value::Text(text));
    Ok(())
}

type Element<'a, 'e> = fn(&mut Fields<'a, 'e>, u16) -> Result<(), Stop>;

/// Reads an array of objects, numbered.
fn elements<'a, 'e>(
    fields: &mut Fields<'a, 'e>,
    name: &'static str,
    element: Element<'a, 'e>,
) -> Result<(), Stop> {
    if !fields.begin_array(name)? {
        return Ok(());
    }
    let mut first = true;
    let mut sub = 0u16;
    while fields.item(&mut first)? {
        if usize::from(sub) == SPAN_EVENTS_MAX {
            return bad(RejectCode::TooMany, name, "are more than 128");
        }
        fields.begin(name)?;
        element(fields, sub)?;
        sub += 1;
    }
    Ok(())
}

fn span_event(fields: &mut Fields<'_, '_>, sub: u16) -> Result<(), Stop> {
    let mut first = true;
    while let Some(key) = fields.key(&mut first)? {
        match key {
            "name" => fields.element(Role::SpanEventName, sub, FIELD_BYTES_MAX)?,
            "timestamp" => span_event_time(fields, sub)?,
            "attributes" => fields.attributes(Role::SpanEventAttribute, sub)?,
            other => fields.attribute(Role::SpanEventAttribute, sub, other)?,
        }
    }
    if fields.has_element(Role::SpanEventName, sub) {
        Ok(())
    } else {
        bad(RejectCode::MissingField, "events.name", "is required")
    }
}

fn span_event_time(fields: &mut Fields<'_, '_>, sub: u16) -> Result<(), Stop> {
    let role = Role::SpanEventTime;
    let Some(ns) = fields.time("events.timestamp")? else {
        return Ok(());
    };
    if fields.has_element(role, sub) {
        return bad(RejectCode::DuplicateKey, "events.timestamp", "occurs twice");
    }
    let (name, value) = (role.path(), Value::Int(ns));
    fields.event().fields.push(Field {
        name,
        value,
        role,
        sub,
    });
    Ok(())
}

fn link(fields: &mut Fields<'_, '_>, sub: u16) -> Result<(), Stop> {
    let mut first = true;
    while let Some(key) = fields.key(&mut first)? {
        match key {
            "trace_id" => linked_id(fields, Role::LinkTraceId, sub, TRACE_ID_DIGITS)?,
            "span_id" => linked_id(fields, Role::LinkSpanId, sub, SPAN_ID_DIGITS)?,
            "attributes" => fields.attributes(Role::LinkAttribute, sub)?,
            other => fields.attribute(Role::LinkAttribute, sub, other)?,
        }
    }
    let has = |role| fields.has_element(role, sub);
    if has(Role::LinkTraceId) && has(Role::LinkSpanId) {
        Ok(())
    } else {
        bad(
            RejectCode::MissingField,
            "links",
            "need a trace_id and a span_id each",
        )
    }
}

fn linked_id(fields: &mut Fields<'_, '_>, role: Role, sub: u16, digits: usize) -> Result<(), Stop> {
    if fields.has_element(role, sub) {
        return bad(RejectCode::DuplicateKey, role.path(), "occurs twice");
    }
    fields.hex_id(role, sub, digits)
}
