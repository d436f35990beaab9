//! One event in memory, whatever its signal: a flat list of fields that borrow from the request
//! body or from one arena per entry.
//!
//! A flat list, because every later stage is a loop over all fields: matching looks at each,
//! scrubbing may replace each, rows pick the core ones by [`Role`]. There is no allocation per
//! field, and the list itself is reused from event to event.

use crate::signal::Signal;

/// A scalar, or the JSON text of an array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text, unescaped.
    Text(&'a str),
    /// A whole number that fits.
    Int(i64),
    /// Any other finite number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// JSON `null`.
    Null,
    /// The JSON text of an array, with no more escapes than JSON needs.
    Json(&'a str),
}

impl<'a> Value<'a> {
    /// The text of a string or of an array; `None` for every other kind.
    #[must_use]
    pub const fn as_text(&self) -> Option<&'a str> {
        match self {
            Value::Text(text) | Value::Json(text) => Some(text),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Null => None,
        }
    }

    /// The value as a number, where it is one.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "comparisons are in floating point throughout"
    )]
    pub const fn as_number(&self) -> Option<f64> {
        match self {
            Value::Int(int) => Some(*int as f64),
            Value::Float(float) => Some(*float),
            Value::Text(_) | Value::Bool(_) | Value::Null | Value::Json(_) => None,
        }
    }
}

macro_rules! roles {
    ($($(#[$doc:meta])* $role:ident = $name:literal,)*) => {
        /// What a field is. Core fields occur at most once per event (per `sub` element where
        /// they belong to one), the others any number of times.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Role { $($(#[$doc])* $role,)* }

        impl Role {
            /// All roles, in the order of their numbers.
            pub const ALL: &'static [Role] = &[$(Role::$role,)*];

            /// The path by which rules, policies and filters name the field. Empty for roles
            /// whose fields carry their own key.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Role::$role => $name,)* }
            }
        }
    };
}

roles! {
    /// Name of the emitting service.
    Service = "service",
    /// Host.
    Host = "host",
    /// Deployment environment.
    Environment = "environment",
    /// Log level as it was sent.
    Level = "level",
    /// Log or audit message.
    Message = "message",
    /// Trace id.
    TraceId = "trace_id",
    /// Span id.
    SpanId = "span_id",
    /// Span id of the parent.
    ParentSpanId = "parent_span_id",
    /// Metric or span name.
    Name = "name",
    /// Span kind.
    Kind = "kind",
    /// Span status.
    Status = "status",
    /// Metric type.
    MetricType = "type",
    /// Metric unit.
    Unit = "unit",
    /// Metric value.
    MetricValue = "value",
    /// Session id.
    SessionId = "session_id",
    /// RUM user id.
    UserId = "user_id",
    /// RUM or audit event type.
    EventType = "event_type",
    /// RUM page.
    PageUrl = "page_url",
    /// RUM referrer.
    Referrer = "referrer",
    /// User agent string.
    UserAgent = "user_agent",
    /// Browser family, derived from the user agent.
    Browser = "browser",
    /// Operating system, derived from the user agent.
    Os = "os",
    /// Device type, derived from the user agent.
    Device = "device",
    /// RUM error message.
    ErrorMessage = "error.message",
    /// RUM error stack.
    ErrorStack = "error.stack",
    /// RUM error type.
    ErrorType = "error.type",
    /// Audit action.
    Action = "action",
    /// Audit outcome.
    Outcome = "outcome",
    /// Severity on the five-step scale.
    Severity = "severity",
    /// Audit operation.
    Operation = "operation",
    /// Audit actor: id.
    ActorId = "actor.id",
    /// Audit actor: e-mail address.
    ActorEmail = "actor.email",
    /// Audit actor: name.
    ActorName = "actor.name",
    /// Audit actor: type.
    ActorType = "actor.type",
    /// Client address.
    Ip = "ip",
    /// Country, sent or derived from the address.
    Country = "country",
    /// City, derived from the address.
    City = "city",
    /// Request id.
    RequestId = "request_id",
    /// Start of a span, nanoseconds.
    StartTime = "start_time",
    /// End of a span, nanoseconds.
    EndTime = "end_time",
    /// Duration of a span, nanoseconds, never negative.
    Duration = "duration",
    /// RUM timing, milliseconds; its field name says which (`performance.lcp`).
    Performance = "",
    /// An attribute, metadata entry or custom attribute, under its dotted key.
    Attribute = "",
    /// A metric label.
    Label = "",
    /// Audit target: id; `sub` numbers the target.
    TargetId = "targets.id",
    /// Audit target: type.
    TargetType = "targets.type",
    /// Audit target: name.
    TargetName = "targets.name",
    /// Span event: name; `sub` numbers the event.
    SpanEventName = "events.name",
    /// Span event: time, nanoseconds.
    SpanEventTime = "events.timestamp",
    /// Span event: attribute, under its dotted key.
    SpanEventAttribute = "",
    /// Span link: trace id; `sub` numbers the link.
    LinkTraceId = "links.trace_id",
    /// Span link: span id.
    LinkSpanId = "links.span_id",
    /// Span link: attribute, under its dotted key.
    LinkAttribute = "",
    /// Resource attribute, under its key.
    ResourceAttribute = "",
    /// A class of personal data that was scrubbed from the event. Never sent: it is there once the
    /// event is scrubbed, one field a class.
    PiiClass = "pii.class",
}

impl Role {
    /// How many roles there are.
    pub const COUNT: usize = Role::ALL.len();

    /// Whether fields of this role carry a key of their own: attributes, labels and the like.
    #[must_use]
    #[inline]
    pub const fn is_keyed(self) -> bool {
        matches!(
            self,
            Role::Attribute
                | Role::Label
                | Role::Performance
                | Role::SpanEventAttribute
                | Role::LinkAttribute
                | Role::ResourceAttribute
        )
    }

    /// The role's number, for tables indexed by role.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// One field of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// The path of a core field, or the dotted key of any other.
    pub name: &'a str,
    /// What it holds.
    pub value: Value<'a>,
    /// What it is.
    pub role: Role,
    /// Which target, span event or link it belongs to; 0 elsewhere.
    pub sub: u16,
}

/// What the sender says of itself once per body, valid for every event in it.
#[derive(Clone, Debug, Default)]
pub struct Resource<'a> {
    /// `service_name`, host, environment and further attributes.
    pub fields: Vec<Field<'a>>,
}

impl<'a> Resource<'a> {
    /// The text of the field with that role.
    #[must_use]
    pub fn text(&self, role: Role) -> Option<&'a str> {
        find(&self.fields, role).and_then(|field| field.value.as_text())
    }
}

/// One parsed event. Fields of the resource are not repeated in it.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Which kind of telemetry.
    pub signal: Signal,
    /// Its place in the body, from 0.
    pub index: u16,
    /// When it happened, nanoseconds since 1970 UTC; `None` where the sender left it out.
    pub timestamp: Option<i64>,
    /// Everything else.
    pub fields: Vec<Field<'a>>,
}

impl<'a> Event<'a> {
    /// An empty event, to be filled again and again.
    #[must_use]
    pub fn new(signal: Signal) -> Self {
        Event {
            signal,
            index: 0,
            timestamp: None,
            fields: Vec::with_capacity(32),
        }
    }

    /// Forgets everything but the signal, keeping the memory.
    pub fn clear(&mut self) {
        self.index = 0;
        self.timestamp = None;
        self.fields.clear();
    }

    /// Adds a core field.
    #[inline]
    pub fn push(&mut self, role: Role, value: Value<'a>) {
        self.fields.push(Field {
            name: role.path(),
            value,
            role,
            sub: 0,
        });
    }

    /// The first field with that role.
    #[must_use]
    pub fn field(&self, role: Role) -> Option<&Field<'a>> {
        find(&self.fields, role)
    }

    /// The text of the first field with that role.
    #[must_use]
    pub fn text(&self, role: Role) -> Option<&'a str> {
        self.field(role).and_then(|field| field.value.as_text())
    }

    /// The whole number in the first field with that role.
    #[must_use]
    pub fn int(&self, role: Role) -> Option<i64> {
        match self.field(role)?.value {
            Value::Int(int) => Some(int),
            Value::Text(_) | Value::Float(_) | Value::Bool(_) | Value::Null | Value::Json(_) => {
                None
            }
        }
    }
}

fn find<'f, 'a>(fields: &'f [Field<'a>], role: Role) -> Option<&'f Field<'a>> {
    fields.iter().find(|field| field.role == role)
}
