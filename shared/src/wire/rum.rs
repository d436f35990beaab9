//! One browser event.

use super::fields::{Fields, Stop, bad};
use super::reject::RejectCode;
use super::vocabulary::RumEventType;
use crate::event::Role;
use crate::limits::{FIELD_BYTES_MAX, ID_BYTES_MAX, SERVICE_CHARS_MAX, URL_BYTES_MAX};

pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    let mut first = true;
    fields.begin("")?;
    while let Some(key) = fields.key(&mut first)? {
        match key {
            "timestamp" => fields.timestamp()?,
            "session_id" => fields.name(Role::SessionId, ID_BYTES_MAX)?,
            "user_id" => fields.text(Role::UserId, ID_BYTES_MAX)?,
            "event_type" => {
                fields.word(Role::EventType, |word| RumEventType::parse(word).is_some())?;
            }
            "page_url" => fields.name(Role::PageUrl, URL_BYTES_MAX)?,
            "referrer" => fields.text(Role::Referrer, URL_BYTES_MAX)?,
            "user_agent" => fields.text(Role::UserAgent, URL_BYTES_MAX)?,
            "performance" => performance(fields)?,
            "error" => error(fields)?,
            "custom_attributes" => fields.attributes(Role::Attribute, 0)?,
            "service" => fields.name(Role::Service, SERVICE_CHARS_MAX)?,
            "environment" => fields.text(Role::Environment, ID_BYTES_MAX)?,
            other => fields.attribute(Role::Attribute, 0, other)?,
        }
    }
    for role in [Role::SessionId, Role::EventType, Role::PageUrl] {
        fields.require(role)?;
    }
    fields.finish()
}

fn performance(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    if fields.null()? {
        return Ok(());
    }
    let mut first = true;
    fields.begin("performance")?;
    while let Some(key) = fields.key(&mut first)? {
        let name = match key {
            "fcp" => "performance.fcp",
            "lcp" => "performance.lcp",
            "fid" => "performance.fid",
            "inp" => "performance.inp",
            "cls" => "performance.cls",
            "ttfb" => "performance.ttfb",
            "dom_load" => "performance.dom_load",
            "window_load" => "performance.window_load",
            _ => {
                return bad(
                    RejectCode::UnknownWord,
                    "performance",
                    "has an unknown timing",
                );
            }
        };
        fields.number_field(Role::Performance, name)?;
    }
    Ok(())
}

fn error(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    if fields.null()? {
        return Ok(());
    }
    let mut first = true;
    fields.begin("error")?;
    while let Some(key) = fields.key(&mut first)? {
        match key {
            "message" => fields.text(Role::ErrorMessage, FIELD_BYTES_MAX)?,
            "stack" => fields.text(Role::ErrorStack, FIELD_BYTES_MAX)?,
            "type" => fields.text(Role::ErrorType, ID_BYTES_MAX)?,
            other => fields.attribute(Role::Attribute, 0, other)?,
        }
    }
    fields.require(Role::ErrorMessage)
}
