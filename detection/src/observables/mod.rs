//! Observables: the addresses, names, links, digests and CVE ids that the strings of an event
//! mention, in one canonical spelling.
//!
//! One pass per string over byte classes; a dot, colon, at sign, dash or bracket starts a
//! hand-written recogniser around it, long runs of hexadecimal digits are found by sampling.
//! Text that holds a defanged form (`hxxp`, `[.]`, `(dot)`, `[at]`) is refanged into the arena and
//! read again. No regular expression runs here and nothing is allocated outside the arena.

mod kind;
mod bytes;
mod refang;
mod domain;
mod address;
mod url;
mod scan;
mod value;

pub use address::is_special;
pub use kind::Kind;
pub use value::{canonical, guess};

use crate::field::FieldAt;
use bumpalo::Bump;
use ipnet::IpNet;
use millrace_shared::{Field, Role, Value};
use scan::Scan;
use std::net::IpAddr;

/// Observables kept of one event. Real events mention a handful; a pasted block list must not
/// make one event cost as much as a thousand.
pub const OBSERVABLES_MAX: usize = 64;

/// One observable of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observable<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its canonical spelling: lower case (but for the path of a URL), refanged.
    pub value: &'a str,
    /// The first field that mentions it.
    pub at: FieldAt,
    /// Of an address or a network, what the text says, so that nobody needs to read it again; an address is a network of one.
    pub network: Option<IpNet>,
}

// An event has up to 64.
const _: () = assert!(size_of::<Observable<'_>>() <= 40);

impl<'a> Observable<'a> {
    /// Of a canonical value.
    #[must_use]
    pub fn new(kind: Kind, value: &'a str, at: FieldAt) -> Self {
        let network = match kind {
            Kind::Ipv4 | Kind::Ipv6 => value.parse::<IpAddr>().ok().map(IpNet::from),
            Kind::Cidr => value.parse().ok(),
            Kind::Domain
            | Kind::Url
            | Kind::Email
            | Kind::Md5
            | Kind::Sha1
            | Kind::Sha256
            | Kind::Sha512
            | Kind::Cve => None,
        };
        Observable {
            kind,
            value,
            at,
            network,
        }
    }
}

/// The observables of one event, without doubles. Reused from event to event.
#[derive(Clone, Debug, Default)]
pub struct Observables<'a> {
    list: Vec<Observable<'a>>,
    dropped: u32,
}

impl<'a> Observables<'a> {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.dropped = 0;
    }

    /// What was found, in the order of finding.
    #[must_use]
    pub fn as_slice(&self) -> &[Observable<'a>] {
        &self.list
    }

    /// How many mentions were left out because [`OBSERVABLES_MAX`] was reached.
    #[must_use]
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Adds what was found elsewhere, such as once in the body's resource.
    pub fn extend(&mut self, others: &Observables<'a>) {
        for other in &others.list {
            self.add(*other);
        }
        self.dropped += others.dropped;
    }

    /// Adds the observables of an event's fields.
    pub fn extract_event(&mut self, fields: &[Field<'a>], arena: &'a Bump) {
        self.extract(fields, FieldAt::event, arena);
    }

    /// Adds the observables of a resource's fields.
    pub fn extract_resource(&mut self, fields: &[Field<'a>], arena: &'a Bump) {
        self.extract(fields, FieldAt::resource, arena);
    }

    /// Adds the observables of one text.
    pub fn extract_text(&mut self, name: &str, text: &'a str, at: FieldAt, arena: &'a Bump) {
        if text.len() >= SHORTEST {
            Scan::new(self, name, at, arena).text(text);
        }
    }

    fn extract(&mut self, fields: &[Field<'a>], place: impl Fn(usize) -> FieldAt, arena: &'a Bump) {
        for (index, field) in fields.iter().enumerate() {
            if let Value::Text(text) | Value::Json(text) = field.value
                && worth_reading(field.role)
            {
                self.extract_text(field.name, text, place(index), arena);
            }
        }
    }

    fn add(&mut self, observable: Observable<'a>) {
        if self
            .list
            .iter()
            .any(|known| known.kind == observable.kind && known.value == observable.value)
        {
            return;
        }
        if self.list.len() == OBSERVABLES_MAX {
            self.dropped += 1;
        } else {
            self.list.push(observable);
        }
    }
}

/// The shortest observable there is: an IPv6 address such as `1::`, or `t.co`.
const SHORTEST: usize = 3;

/// Identifiers and closed words hold no observable; a trace id would even look like an MD5.
const fn worth_reading(role: Role) -> bool {
    match role {
        Role::TraceId
        | Role::SpanId
        | Role::ParentSpanId
        | Role::LinkTraceId
        | Role::LinkSpanId
        | Role::Level
        | Role::Severity
        | Role::Kind
        | Role::Status
        | Role::MetricType
        | Role::Unit
        | Role::EventType
        | Role::Outcome
        | Role::Browser
        | Role::Os
        | Role::Device
        | Role::Country
        | Role::City
        | Role::MetricValue
        | Role::StartTime
        | Role::EndTime
        | Role::Duration
        | Role::Performance
        | Role::SpanEventTime
        | Role::PiiClass => false,
        Role::Service
        | Role::Host
        | Role::Environment
        | Role::Message
        | Role::Name
        | Role::SessionId
        | Role::UserId
        | Role::PageUrl
        | Role::Referrer
        | Role::UserAgent
        | Role::ErrorMessage
        | Role::ErrorStack
        | Role::ErrorType
        | Role::Action
        | Role::Operation
        | Role::ActorId
        | Role::ActorEmail
        | Role::ActorName
        | Role::ActorType
        | Role::Ip
        | Role::RequestId
        | Role::Attribute
        | Role::Label
        | Role::TargetId
        | Role::TargetType
        | Role::TargetName
        | Role::SpanEventName
        | Role::SpanEventAttribute
        | Role::LinkAttribute
        | Role::ResourceAttribute => true,
    }
}

#[cfg(test)]
mod tests;
