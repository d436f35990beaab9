//! One log record.

use super::fields::{Fields, Stop, bad};
use super::reject::RejectCode;
use super::vocabulary::Level;
use crate::event::{Resource, Role};
use crate::limits::{FIELD_BYTES_MAX, ID_BYTES_MAX, SERVICE_CHARS_MAX};

pub(super) fn parse<'a>(fields: &mut Fields<'a, '_>, resource: &Resource<'a>) -> Result<(), Stop> {
    let mut first = true;
    fields.begin("")?;
    while let Some(key) = fields.key(&mut first)? {
        match key {
            "timestamp" => fields.timestamp()?,
            "service" => fields.name(Role::Service, SERVICE_CHARS_MAX)?,
            "level" => fields.word(Role::Level, |word| Level::parse(word).is_some())?,
            "message" => fields.text(Role::Message, FIELD_BYTES_MAX)?,
            "attributes" => fields.attributes(Role::Attribute, 0)?,
            "trace_id" => fields.text(Role::TraceId, ID_BYTES_MAX)?,
            "span_id" => fields.text(Role::SpanId, ID_BYTES_MAX)?,
            "host" => fields.text(Role::Host, ID_BYTES_MAX)?,
            "environment" => fields.text(Role::Environment, ID_BYTES_MAX)?,
            other => fields.attribute(Role::Attribute, 0, other)?,
        }
    }
    fields.require(Role::Message)?;
    if !fields.has(Role::Service) && resource.text(Role::Service).is_none_or(str::is_empty) {
        let detail = "is required, here or as the resource's service_name";
        return bad(RejectCode::MissingField, "service", detail);
    }
    fields.finish()
}
