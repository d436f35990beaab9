//! One metric sample.

use super::fields::{Fields, Stop};
use super::vocabulary::MetricType;
use crate::event::{Role, Value};
use crate::limits::{ID_BYTES_MAX, NAME_CHARS_MAX, SERVICE_CHARS_MAX};

pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Result<(), Stop> {
    let mut first = true;
    let mut value = None;
    fields.begin("")?;
    while let Some(key) = fields.key(&mut first)? {
        match key {
            "timestamp" => fields.timestamp()?,
            "name" => fields.name(Role::Name, NAME_CHARS_MAX)?,
            "value" if value.is_some() => return duplicate_value(),
            "value" => value = fields.number("value")?,
            "type" => fields.word(Role::MetricType, |word| MetricType::parse(word).is_some())?,
            "labels" => fields.labels()?,
            "unit" => fields.text(Role::Unit, ID_BYTES_MAX)?,
            "service" => fields.name(Role::Service, SERVICE_CHARS_MAX)?,
            "host" => fields.text(Role::Host, ID_BYTES_MAX)?,
            "environment" => fields.text(Role::Environment, ID_BYTES_MAX)?,
            other => fields.attribute(Role::Label, 0, other)?,
        }
    }
    fields.require(Role::Name)?;
    let Some(value) = value else {
        return fields.require(Role::MetricValue);
    };
    fields.event().push(Role::MetricValue, Value::Float(value));
    fields.finish()
}

fn duplicate_value() -> Result<(), Stop> {
    super::fields::bad(super::RejectCode::DuplicateKey, "value", "occurs twice")
}
