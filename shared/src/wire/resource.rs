//! The `resource` beside the events. It may stand before or after them, but is needed first.

use super::Validity;
use super::fields::{Fields, Stop};
use super::reject::BodyError;
use crate::event::{Event, Field, Resource, Role, Value};
use crate::json::Reader;
use crate::limits::SKIP_DEPTH_MAX;
use crate::signal::Signal;
use bumpalo::Bump;

const MEMBER: &str = "\"resource\"";

/// Finds and reads the resource of a body.
pub(super) fn find<'a>(text: &'a str, arena: &'a Bump) -> Result<Option<Resource<'a>>, BodyError> {
    // Forward search is vectorised, backward is not; most bodies have no resource at all.
    let Some(first) = memchr::memmem::find(text.as_bytes(), MEMBER.as_bytes()) else {
        return Ok(None);
    };
    let last = memchr::memmem::rfind(text.as_bytes(), MEMBER.as_bytes()).unwrap_or(first);
    if let Some(at) = at_the_end(text, last) {
        return read(text, at, arena).map(Some);
    }
    let mut reader = Reader::new(text);
    let mut first = true;
    reader.begin_object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if key.text(arena) == Ok("resource") {
            return read(text, reader.position(), arena).map(Some);
        }
        reader.skip(SKIP_DEPTH_MAX)?;
    }
    Ok(None)
}

/// Where the value begins, when the last member of the outermost object is the resource.
///
/// From the last `"resource"` on, a balanced value, one brace and the end can only be that member:
/// the brace that ends a JSON text closes its outermost object, and inside a string the quotes
/// would be escaped. If the text before it is no JSON, the pass over the events says so.
fn at_the_end(text: &str, member: usize) -> Option<usize> {
    let mut reader = Reader::new(text);
    reader.seek(member);
    let mut first = true;
    reader.next_key(&mut first).ok()??;
    let value = reader.position();
    reader.skip(SKIP_DEPTH_MAX).ok()?;
    reader.next_key(&mut first).ok()?.is_none().then_some(())?;
    reader.finish().ok()?;
    Some(value)
}

fn read<'a>(text: &'a str, at: usize, arena: &'a Bump) -> Result<Resource<'a>, BodyError> {
    let mut reader = Reader::new(text);
    reader.seek(at);
    let mut event = Event::new(Signal::Logs);
    let mut fields = Fields::new(&mut reader, arena, Validity::ANY, &mut event);
    let parsed = fields
        .attributes(Role::ResourceAttribute, 0)
        .and_then(|()| fields.finish());
    match parsed {
        Ok(()) => {}
        Err(Stop::Broken(error)) => return Err(error.into()),
        Err(Stop::Bad(_)) => {
            return Err(BodyError::WrongShape(
                "\"resource\" breaks the limits of attributes",
            ));
        }
    }
    let mut resource = Resource {
        fields: event.fields,
    };
    resource.fields.retain(|field| field.value != Value::Null);
    for field in &mut resource.fields {
        give_role(field);
    }
    Ok(resource)
}

/// Tells the core fields from the further attributes, under our names and OpenTelemetry's.
fn give_role(field: &mut Field<'_>) {
    let role = match field.name {
        "service_name" | "service.name" => Role::Service,
        "host" | "host.name" => Role::Host,
        "environment" | "deployment.environment" | "deployment.environment.name" => {
            Role::Environment
        }
        _ => return,
    };
    if matches!(field.value, Value::Text(_)) {
        field.role = role;
        field.name = role.path();
    }
}
