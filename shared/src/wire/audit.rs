//! One audit event.

use super::fields::{Fields, Stop, bad};
use super::reject::RejectCode;
use super::vocabulary::{AuditOutcome, Severity};
use crate::event::{Role, Value};
use crate::limits::{FIELD_BYTES_MAX, ID_BYTES_MAX, SERVICE_CHARS_MAX, TARGETS_MAX, URL_BYTES_MAX};
use std::net::IpAddr;

pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    let mut first = true;
    fields.begin("")?;
    while let Some(key) = fields.key(&mut first)? {
        match key {
            "timestamp" => fields.timestamp()?,
            "event_type" => fields.word(Role::EventType, is_event_type)?,
            "action" => fields.name(Role::Action, ID_BYTES_MAX)?,
            "outcome" => fields.word(Role::Outcome, |w| AuditOutcome::parse(w).is_some())?,
            "severity" => fields.word(Role::Severity, |w| Severity::parse(w).is_some())?,
            "service" => fields.name(Role::Service, SERVICE_CHARS_MAX)?,
            "operation" => fields.text(Role::Operation, ID_BYTES_MAX)?,
            "actor" => actor(fields)?,
            "targets" => targets(fields)?,
            "ip" => address(fields)?,
            "user_agent" => fields.text(Role::UserAgent, URL_BYTES_MAX)?,
            "country" => fields.text(Role::Country, ID_BYTES_MAX)?,
            "session_id" => fields.text(Role::SessionId, ID_BYTES_MAX)?,
            "request_id" => fields.text(Role::RequestId, ID_BYTES_MAX)?,
            "message" => fields.text(Role::Message, FIELD_BYTES_MAX)?,
            "metadata" => fields.attributes(Role::Attribute, 0)?,
            "host" => fields.text(Role::Host, ID_BYTES_MAX)?,
            "environment" => fields.text(Role::Environment, ID_BYTES_MAX)?,
            other => fields.attribute(Role::Attribute, 0, other)?,
        }
    }
    for role in [Role::EventType, Role::Action, Role::Outcome] {
        fields.require(role)?;
    }
    fields.finish()
}

/// Whether a word can be the type of an audit event: upper case, digits and underscores.
#[must_use]
pub fn is_event_type(word: &str) -> bool {
    (1..=64).contains(&word.len())
        && word
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && word.starts_with(|c: char| c.is_ascii_uppercase())
}

fn actor(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    if fields.null()? {
        return Ok(());
    }
    let mut first = true;
    fields.begin("actor")?;
    while let Some(key) = fields.key(&mut first)? {
        match key {
            "id" => fields.text(Role::ActorId, ID_BYTES_MAX)?,
            "email" => fields.text(Role::ActorEmail, ID_BYTES_MAX)?,
            "name" => fields.text(Role::ActorName, ID_BYTES_MAX)?,
            "type" => fields.text(Role::ActorType, ID_BYTES_MAX)?,
            other => fields.attribute(Role::Attribute, 0, other)?,
        }
    }
    Ok(())
}

fn targets(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    if !fields.begin_array("targets")? {
        return Ok(());
    }
    let mut first = true;
    let mut sub = 0u16;
    while fields.item(&mut first)? {
        if usize::from(sub) == TARGETS_MAX {
            return bad(RejectCode::TooMany, "targets", "are more than 64");
        }
        fields.begin("targets")?;
        let mut first_key = true;
        while let Some(key) = fields.key(&mut first_key)? {
            match key {
                "id" => fields.element(Role::TargetId, sub, ID_BYTES_MAX)?,
                "type" => fields.element(Role::TargetType, sub, ID_BYTES_MAX)?,
                "name" => fields.element(Role::TargetName, sub, ID_BYTES_MAX)?,
                other => fields.attribute(Role::Attribute, sub, other)?,
            }
        }
        sub += 1;
    }
    Ok(())
}

/// An address, or whatever a proxy wrote in its place (`unknown`), which then is an attribute:
/// an audit event is worth more than its address.
fn address(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    fields.text(Role::Ip, ID_BYTES_MAX)?;
    let event = fields.event();
    let Some(field) = event
        .fields
        .last_mut()
        .filter(|field| field.role == Role::Ip)
    else {
        return Ok(());
    };
    if let Value::Text(text) = field.value
        && text.parse::<IpAddr>().is_err()
    {
        field.role = Role::Attribute;
    }
    Ok(())
}
