//! A stored row → the event that rules see: the inverse of what the worker writes of it, one
//! function a signal.
//!
//! It is the scrubbed event, and it has what the row has. Of what was sent a row does not tell: an
//! attribute that was null and one that was not there; an empty text and none; the service
//! `unknown` and none; whether service, host and environment were the event's own or its
//! resource's; whether a number, a truth value or an array was sent as such or as the same text
//! (it is read as such). What follows for rules is `detection::history`'s to say.

use super::decode::Cursor;
pub use super::decode::RowError;
use crate::event::{Event, Field, Resource, Role, Value};
use crate::ids::{EventId, OrgId};
use crate::json::Reader;
use crate::limits::SKIP_DEPTH_MAX;
use crate::signal::Signal;
use std::io::Write as _;

/// The service of a row whose event named none.
pub const UNKNOWN_SERVICE: &str = "unknown";
/// Characters of the longest `f64` in the notation of rows, and some.
const FLOAT_CHARS_MAX: usize = 400;

/// An event as its row has it. It is filled again and again.
#[derive(Clone, Debug)]
pub struct Stored<'a> {
    /// Whose.
    pub org: OrgId,
    /// Its id.
    pub id: EventId,
    /// When it happened, nanoseconds.
    pub timestamp: i64,
    /// When it was received, nanoseconds.
    pub received: i64,
    /// The event.
    pub event: Event<'a>,
    /// Further attributes of its resource.
    pub resource: Resource<'a>,
    /// Classes of personal data that were scrubbed from it.
    pub pii_classes: Vec<&'a str>,
    /// Observables found in it when it was stored.
    pub observables: Vec<&'a str>,
    /// The risk that indicators gave it then.
    pub risk_score: u8,
    /// The indicators that matched it then.
    pub indicator_ids: Vec<u64>,
}

impl<'a> Stored<'a> {
    /// An empty event of a signal that is stored as rows.
    #[must_use]
    pub fn new(signal: Signal) -> Self {
        Stored {
            org: OrgId::nil(),
            id: EventId(uuid::Uuid::nil()),
            timestamp: 0,
            received: 0,
            event: Event::new(signal),
            resource: Resource::default(),
            pii_classes: Vec::new(),
            observables: Vec::new(),
            risk_score: 0,
            indicator_ids: Vec::new(),
        }
    }

    /// Reads the row that begins the bytes, all columns in the order of the DDL; its length.
    ///
    /// # Errors
    /// [`RowError::Incomplete`] when the bytes end before the row, [`RowError::Malformed`] when
    /// they are none.
    pub fn read(&mut self, bytes: &'a [u8]) -> Result<usize, RowError> {
        let mut cursor = Cursor::new(bytes);
        self.event.clear();
        self.resource.fields.clear();
        self.pii_classes.clear();
        self.observables.clear();
        self.indicator_ids.clear();
        self.head(&mut cursor)?;
        match self.event.signal {
            Signal::Logs => self.log(&mut cursor)?,
            Signal::Traces => self.span(&mut cursor)?,
            Signal::Rum => self.rum(&mut cursor)?,
            Signal::Audit => self.audit(&mut cursor)?,
            // Samples are no rows of ClickHouse.
            Signal::Metrics => return Err(RowError::Malformed),
        }
        self.tail(&mut cursor)?;
        Ok(bytes.len() - cursor.left())
    }

    fn head(&mut self, cursor: &mut Cursor<'a>) -> Result<(), RowError> {
        self.org = cursor.uuid()?;
        self.timestamp = cursor.i64()?;
        self.received = cursor.i64()?;
        self.event.timestamp = Some(self.timestamp);
        self.id = EventId(cursor.uuid()?);
        let (_batch, _row, _attempt) = (cursor.u64()?, cursor.u32()?, cursor.byte()?);
        let service = cursor.text()?;
        if service != UNKNOWN_SERVICE {
            self.core(Role::Service, service);
        }
        self.core(Role::Host, cursor.text()?);
        self.core(Role::Environment, cursor.text()?);
        let (_key, _request) = (cursor.text()?, cursor.text()?);
        Ok(())
    }

    fn tail(&mut self, cursor: &mut Cursor<'a>) -> Result<(), RowError> {
        let resource = &mut self.resource.fields;
        cursor.map(|name, text| {
            resource.push(keyed(Role::ResourceAttribute, 0, (name, text)));
        })?;
        for role in [
            Role::Ip,
            Role::Country,
            Role::City,
            Role::Browser,
            Role::Os,
            Role::Device,
        ] {
            self.core(role, cursor.text()?);
        }
        texts(cursor, &mut self.pii_classes)?;
        for class in &self.pii_classes {
            self.event.push(Role::PiiClass, Value::Text(class));
        }
        texts(cursor, &mut self.observables)?;
        self.risk_score = cursor.byte()?;
        let ids = &mut self.indicator_ids;
        cursor.each(|_, cursor| {
            ids.push(cursor.u64()?);
            Ok(())
        })?;
        let skip = |cursor: &mut Cursor<'a>| cursor.each(|_, cursor| cursor.text().map(drop));
        skip(cursor)?;
        skip(cursor)
    }

    fn log(&mut self, cursor: &mut Cursor<'a>) -> Result<(), RowError> {
        self.core(Role::TraceId, cursor.text()?);
        self.core(Role::SpanId, cursor.text()?);
        self.core(Role::Level, cursor.text()?);
        let _number = cursor.byte()?;
        self.core(Role::Severity, cursor.text()?);
        self.core(Role::Message, cursor.text()?);
        self.attributes(Role::Attribute, 0, cursor)
    }

    fn span(&mut self, cursor: &mut Cursor<'a>) -> Result<(), RowError> {
        for role in [
            Role::TraceId,
            Role::SpanId,
            Role::ParentSpanId,
            Role::Name,
            Role::Kind,
        ] {
            self.core(role, cursor.text()?);
        }
        let duration = i64::try_from(cursor.u64()?).unwrap_or(i64::MAX);
        let end = self.timestamp.saturating_add(duration);
        self.event.push(Role::StartTime, Value::Int(self.timestamp));
        self.event.push(Role::EndTime, Value::Int(end));
        self.event.push(Role::Duration, Value::Int(duration));
        self.core(Role::Status, cursor.text()?);
        self.attributes(Role::Attribute, 0, cursor)?;
        let fields = &mut self.event.fields;
        cursor.each(|sub, cursor| {
            let at = Value::Int(cursor.i64()?);
            fields.push(element(Role::SpanEventTime, sub, at));
            Ok(())
        })?;
        self.elements(Role::SpanEventName, cursor)?;
        cursor.each(|sub, cursor| self.attributes(Role::SpanEventAttribute, sub, cursor))?;
        self.elements(Role::LinkTraceId, cursor)?;
        self.elements(Role::LinkSpanId, cursor)?;
        cursor.each(|sub, cursor| self.attributes(Role::LinkAttribute, sub, cursor))
    }

    fn rum(&mut self, cursor: &mut Cursor<'a>) -> Result<(), RowError> {
        self.core(Role::SessionId, cursor.text()?);
        self.core(Role::UserId, cursor.text()?);
        self.core(Role::EventType, cursor.text()?);
        self.core(Role::PageUrl, cursor.text()?);
        let _page = cursor.text()?;
        self.core(Role::Referrer, cursor.text()?);
        self.core(Role::UserAgent, cursor.text()?);
        for name in [
            "performance.fcp",
            "performance.lcp",
            "performance.fid",
            "performance.inp",
            "performance.cls",
            "performance.ttfb",
            "performance.dom_load",
            "performance.window_load",
        ] {
            let number = cursor.f64()?;
            if !number.is_nan() {
                self.event.fields.push(Field {
                    name,
                    value: Value::Float(number),
                    role: Role::Performance,
                    sub: 0,
                });
            }
        }
        self.core(Role::ErrorMessage, cursor.text()?);
        self.core(Role::ErrorStack, cursor.text()?);
        self.core(Role::ErrorType, cursor.text()?);
        let _untrusted = cursor.byte()?;
        self.attributes(Role::Attribute, 0, cursor)
    }

    fn audit(&mut self, cursor: &mut Cursor<'a>) -> Result<(), RowError> {
        for role in [
            Role::EventType,
            Role::Action,
            Role::Outcome,
            Role::Severity,
            Role::Operation,
            Role::ActorId,
            Role::ActorEmail,
            Role::ActorName,
            Role::ActorType,
        ] {
            self.core(role, cursor.text()?);
        }
        for role in [Role::TargetId, Role::TargetType, Role::TargetName] {
            self.elements(role, cursor)?;
        }
        for role in [
            Role::UserAgent,
            Role::SessionId,
            Role::RequestId,
            Role::Message,
        ] {
            self.core(role, cursor.text()?);
        }
        self.attributes(Role::Attribute, 0, cursor)
    }

    /// A core field, which is missing where its text is empty.
    fn core(&mut self, role: Role, text: &'a str) {
        if !text.is_empty() {
            self.event.push(role, Value::Text(text));
        }
    }

    /// The texts of numbered elements, which are missing where they are empty.
    fn elements(&mut self, role: Role, cursor: &mut Cursor<'a>) -> Result<(), RowError> {
        let fields = &mut self.event.fields;
        cursor.each(|sub, cursor| {
            let text = cursor.text()?;
            if !text.is_empty() {
                fields.push(element(role, sub, Value::Text(text)));
            }
            Ok(())
        })
    }

    fn attributes(
        &mut self,
        role: Role,
        sub: u16,
        cursor: &mut Cursor<'a>,
    ) -> Result<(), RowError> {
        let fields = &mut self.event.fields;
        cursor.map(|name, text| fields.push(keyed(role, sub, (name, text))))
    }
}

fn texts<'a>(cursor: &mut Cursor<'a>, list: &mut Vec<&'a str>) -> Result<(), RowError> {
    cursor.each(|_, cursor| {
        list.push(cursor.text()?);
        Ok(())
    })
}

const fn element(role: Role, sub: u16, value: Value<'_>) -> Field<'_> {
    Field {
        name: role.path(),
        value,
        role,
        sub,
    }
}

fn keyed<'a>(role: Role, sub: u16, (name, text): (&'a str, &'a str)) -> Field<'a> {
    Field {
        name,
        value: typed(text),
        role,
        sub,
    }
}

/// The value that is written as this text.
#[must_use]
pub fn typed(text: &str) -> Value<'_> {
    match text.as_bytes().first() {
        Some(b'[') if is_array(text) => Value::Json(text),
        Some(b't') if text == "true" => Value::Bool(true),
        Some(b'f') if text == "false" => Value::Bool(false),
        Some(b'-' | b'0'..=b'9') => number(text).unwrap_or(Value::Text(text)),
        Some(_) | None => Value::Text(text),
    }
}

fn is_array(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.skip(SKIP_DEPTH_MAX).is_ok() && reader.finish().is_ok()
}

/// The number that is written as exactly this text: `007` is none, nor is `1e3`.
fn number(text: &str) -> Option<Value<'static>> {
    if let Ok(int) = text.parse::<i64>()
        && itoa::Buffer::new().format(int) == text
    {
        return Some(Value::Int(int));
    }
    let float = text.parse::<f64>().ok().filter(|float| float.is_finite())?;
    let mut buffer = [0; FLOAT_CHARS_MAX];
    let mut rest = buffer.as_mut_slice();
    write!(rest, "{float}").ok()?;
    let written = FLOAT_CHARS_MAX - rest.len();
    (buffer.get(..written)? == text.as_bytes()).then_some(Value::Float(float))
}

#[cfg(test)]
mod tests {
    use super::super::{
        Attributes, AuditRow, Head, Listed, LogRow, Ns, PreEncoded, Tail, Texts, encode_map,
    };
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn head(out: &mut Vec<u8>) {
        Head {
            org_id: Uuid::from_u128(1),
            timestamp: Ns(20),
            received_at: Ns(30),
            event_id: Uuid::from_u128(4),
            batch_id: 5,
            row_number: 6,
            attempt: 0,
            service_name: "unknown",
            host: "h",
            environment: "",
            key_id: "k",
            request_id: "r",
        }
        .put(out);
    }

    fn tail(resource: &[Field<'_>], out: &mut Vec<u8>) {
        let mut map = Vec::new();
        encode_map(resource, &mut map);
        Tail {
            resource_attributes: PreEncoded(&map),
            client_ip: "192.0.2.1",
            geo_country: "DE",
            geo_city: "",
            browser: "",
            os: "",
            device: "",
            pii_classes: Texts(&["email"]),
            observables: Texts(&["192.0.2.1"]),
            risk_score: 42,
            indicator_ids: Listed(&[9]),
            threat_names: Texts(&["t"]),
            rule_matches: Texts(&["r", "s"]),
        }
        .put(out);
    }

    fn attribute<'a>(name: &'a str, value: Value<'a>) -> Field<'a> {
        Field {
            name,
            value,
            role: Role::Attribute,
            sub: 0,
        }
    }

    #[test]
    fn a_log_row_is_its_event_again() {
        let sent = [
            attribute("n", Value::Int(-5)),
            attribute("f", Value::Float(1.5)),
            attribute("b", Value::Bool(true)),
            attribute("a", Value::Json(r#"["x", 2]"#)),
            attribute("t", Value::Text("007")),
        ];
        let resource = [Field {
            role: Role::ResourceAttribute,
            ..attribute("region", Value::Text("eu"))
        }];
        let mut bytes = Vec::new();
        head(&mut bytes);
        LogRow {
            trace_id: "",
            span_id: "",
            severity_text: "ERROR",
            severity_number: 17,
            severity: "high",
            body: "m",
            attributes: Attributes {
                fields: &sent,
                role: Role::Attribute,
                sub: None,
            },
        }
        .put(&mut bytes);
        tail(&resource, &mut bytes);
        let mut stored = Stored::new(Signal::Logs);
        assert_eq!(stored.read(&bytes), Ok(bytes.len()));
        assert_eq!((stored.timestamp, stored.received), (20, 30));
        assert_eq!(stored.id, EventId(Uuid::from_u128(4)));
        let attributes = stored.event.fields.iter();
        let attributes = attributes.filter(|field| field.role == Role::Attribute);
        assert_eq!(attributes.copied().collect::<Vec<_>>(), sent);
        assert_eq!(stored.resource.fields, resource);
        let text = |role| stored.event.text(role);
        assert_eq!((text(Role::Service), text(Role::Host)), (None, Some("h")));
        assert_eq!(
            (text(Role::Level), text(Role::Severity)),
            (Some("ERROR"), Some("high"))
        );
        assert_eq!((stored.risk_score, &*stored.indicator_ids), (42, &[9][..]));
        for end in 0..bytes.len() {
            assert_eq!(stored.read(&bytes[..end]), Err(RowError::Incomplete));
        }
    }

    #[test]
    fn targets_keep_their_numbers() {
        let mut bytes = Vec::new();
        head(&mut bytes);
        AuditRow {
            event_type: "T",
            action: "a",
            outcome: "SUCCESS",
            severity: "info",
            operation: "",
            actor_id: "u",
            actor_email: "",
            actor_name: "",
            actor_type: "",
            target_ids: Texts(&["1", ""]),
            target_types: Texts(&["", "group"]),
            target_names: Texts(&["", ""]),
            user_agent: "",
            session_id: "",
            event_request_id: "q",
            message: "",
            metadata: Attributes {
                fields: &[],
                role: Role::Attribute,
                sub: None,
            },
        }
        .put(&mut bytes);
        tail(&[], &mut bytes);
        let mut stored = Stored::new(Signal::Audit);
        assert_eq!(stored.read(&bytes), Ok(bytes.len()));
        let targets = stored.event.fields.iter();
        let targets = targets.filter(|field| field.name.starts_with("targets."));
        let targets: Vec<_> = targets
            .map(|field| (field.role, field.sub, field.value.as_text().unwrap_or("")))
            .collect();
        assert_eq!(
            targets,
            [(Role::TargetId, 0, "1"), (Role::TargetType, 1, "group")]
        );
        assert_eq!(stored.event.text(Role::RequestId), Some("q"));
    }

    #[test]
    fn texts_are_what_they_were_written_from() {
        assert_eq!(typed("5"), Value::Int(5));
        assert_eq!(typed("-0"), Value::Float(-0.0));
        assert_eq!(typed("0.5"), Value::Float(0.5));
        assert_eq!(typed("[1]"), Value::Json("[1]"));
        for text in [
            "", "05", "1e3", "5.0", "+5", "[1", "True", "1.2.3", "-", "NaN",
        ] {
            assert_eq!(typed(text), Value::Text(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_float_is_read_as_it_was(float in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
            let text = float.to_string();
            let same = match typed(&text) {
                Value::Int(int) => int.to_string() == text,
                Value::Float(read) => read.to_bits() == float.to_bits(),
                Value::Text(_) | Value::Bool(_) | Value::Null | Value::Json(_) => false,
            };
            prop_assert!(same, "{}", text);
        }

        #[test]
        fn any_bytes_are_read_without_a_fault(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            signal in prop::sample::select(Signal::ALL.to_vec()),
        ) {
            let _ = Stored::new(signal).read(&bytes);
        }
    }
}
