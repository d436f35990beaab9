//! The request body: envelope, events, and every check of the contract that one event can fail.
//!
//! Gateway and worker read bodies with the same code: the gateway to validate, the worker to
//! decode, so what was accepted can be decoded. One event's fault never touches its neighbours.
//! Nothing here normalizes: words stay as they were sent.

mod reject;
mod vocabulary;
mod fields;
mod resource;
mod log;
mod metric;
mod span;
mod rum;
mod audit;

pub use audit::is_event_type;
pub use reject::{BodyError, Reject, RejectCode};
pub use vocabulary::{
    AuditOutcome, Level, MetricType, RumEventType, Severity, SpanKind, SpanStatus, Vocabulary,
};

use crate::event::{Event, Resource};
use crate::json::{JsonError, Reader};
use crate::limits::{self, FUTURE_NS_MAX, NS_PER_DAY, SKIP_DEPTH_MAX};
use crate::signal::Signal;
use bumpalo::Bump;
use fields::{Fields, Stop};

/// How a body separates its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/json`: one object with an array of events.
    Json,
    /// `application/x-ndjson`: one event a line.
    Ndjson,
}

/// The span of time from which events are taken.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// The oldest timestamp taken, nanoseconds.
    pub oldest: i64,
    /// The latest timestamp taken, nanoseconds.
    pub latest: i64,
}

impl Validity {
    /// The contract's span at the time `now` (nanoseconds): the signal's retention back, a day on.
    #[must_use]
    pub const fn at(signal: Signal, now: i64) -> Self {
        Validity {
            oldest: now.saturating_sub(limits::retention_days(signal) * NS_PER_DAY),
            latest: now.saturating_add(FUTURE_NS_MAX),
        }
    }

    /// Takes any time: for bodies that were judged when they were accepted.
    pub const ANY: Validity = Validity {
        oldest: i64::MIN,
        latest: i64::MAX,
    };
}

/// A body to be read: inflated bytes and how to take them.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// Which kind of telemetry it carries.
    pub signal: Signal,
    /// How its events are separated.
    pub format: BodyFormat,
    /// From which times events are taken.
    pub validity: Validity,
    /// The inflated bytes.
    pub bytes: &'a [u8],
}

/// How many events a body held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that passed every check.
    pub accepted: u32,
    /// Events that failed one.
    pub rejected: u32,
}

impl<'a> Body<'a> {
    /// Reads every event, handing each to `visit` with the body's resource: `Ok` with the event
    /// filled in, or `Err` with the reason (the event then holds only its index).
    ///
    /// # Errors
    /// [`BodyError`] when the body as a whole is not of the contract's shape; events visited
    /// before that was found out must be forgotten.
    pub fn read<F>(&self, arena: &'a Bump, mut visit: F) -> Result<Counts, BodyError>
    where
        F: FnMut(&Resource<'a>, Result<&mut Event<'a>, (u16, Reject)>),
    {
        let text = simdutf8::basic::from_utf8(self.bytes).map_err(|_| BodyError::NotUtf8)?;
        let pass = Pass {
            body: *self,
            arena,
            event: Event::new(self.signal),
            counts: Counts::default(),
            index: 0,
        };
        match self.format {
            BodyFormat::Json => pass.json(text, &mut visit),
            BodyFormat::Ndjson => pass.ndjson(text, &mut visit),
        }
    }
}

struct Pass<'a> {
    body: Body<'a>,
    arena: &'a Bump,
    event: Event<'a>,
    counts: Counts,
    index: usize,
}

impl<'a> Pass<'a> {
    fn json<F>(mut self, text: &'a str, visit: &mut F) -> Result<Counts, BodyError>
    where
        F: FnMut(&Resource<'a>, Result<&mut Event<'a>, (u16, Reject)>),
    {
        let signal = self.body.signal;
        let resource = resource::find(text, self.arena)?;
        if signal == Signal::Traces && resource.is_none() {
            return Err(BodyError::WrongShape("\"resource\" is missing"));
        }
        let resource = resource.unwrap_or_default();
        let mut reader = Reader::new(text);
        let (mut first, mut events_seen, mut resource_seen) = (true, false, false);
        reader.begin_object()?;
        while let Some(key) = reader.next_key(&mut first)? {
            let key = key
                .text(self.arena)
                .map_err(|_| BodyError::WrongShape("bad member name"))?;
            let seen = match key {
                "resource" => &mut resource_seen,
                key if key == signal.body_key() => &mut events_seen,
                _ => return Err(BodyError::WrongShape("unknown member beside the events")),
            };
            if std::mem::replace(seen, true) {
                return Err(BodyError::WrongShape("a member occurs twice"));
            }
            if key == "resource" {
                reader.skip(SKIP_DEPTH_MAX)?;
            } else {
                self.array(&mut reader, &resource, visit)?;
            }
        }
        reader.finish()?;
        if events_seen {
            self.done()
        } else {
            Err(BodyError::WrongShape("no array of events"))
        }
    }

    fn array<F>(
        &mut self,
        reader: &mut Reader<'a>,
        resource: &Resource<'a>,
        visit: &mut F,
    ) -> Result<(), BodyError>
    where
        F: FnMut(&Resource<'a>, Result<&mut Event<'a>, (u16, Reject)>),
    {
        let mut first = true;
        reader.begin_array()?;
        while reader.next_item(&mut first)? {
            self.event(reader, resource, visit)?;
        }
        Ok(())
    }

    fn ndjson<F>(mut self, text: &'a str, visit: &mut F) -> Result<Counts, BodyError>
    where
        F: FnMut(&Resource<'a>, Result<&mut Event<'a>, (u16, Reject)>),
    {
        let resource = Resource::default();
        for line in text.split('\n') {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let mut reader = Reader::new(line);
            // On a line of its own, broken syntax is that event's fault alone.
            let whole = reader.skip(SKIP_DEPTH_MAX).and_then(|_| reader.finish());
            if let Err(error) = whole {
                let index = self.next_index()?;
                self.counts.rejected += 1;
                visit(&resource, Err((index, Reject::malformed(error))));
                continue;
            }
            reader.seek(0);
            self.event(&mut reader, &resource, visit)?;
        }
        self.done()
    }

    fn next_index(&mut self) -> Result<u16, BodyError> {
        let most = limits::events_max(self.body.signal);
        if self.index == most {
            return Err(BodyError::TooManyEvents { most });
        }
        let index = u16::try_from(self.index).unwrap_or(u16::MAX);
        self.index += 1;
        Ok(index)
    }

    fn event<F>(
        &mut self,
        reader: &mut Reader<'a>,
        resource: &Resource<'a>,
        visit: &mut F,
    ) -> Result<(), BodyError>
    where
        F: FnMut(&Resource<'a>, Result<&mut Event<'a>, (u16, Reject)>),
    {
        let index = self.next_index()?;
        let start = reader.position();
        self.event.clear();
        self.event.index = index;
        let mut fields = Fields::new(reader, self.arena, self.body.validity, &mut self.event);
        match parse_event(&mut fields, resource) {
            Ok(()) => {
                self.counts.accepted += 1;
                visit(resource, Ok(&mut self.event));
            }
            Err(Stop::Broken(error)) => return Err(error.into()),
            Err(Stop::Bad(reject)) => {
                reader.seek(start);
                reader.skip(SKIP_DEPTH_MAX)?;
                self.counts.rejected += 1;
                visit(resource, Err((index, reject)));
            }
        }
        Ok(())
    }

    fn done(self) -> Result<Counts, BodyError> {
        if self.index == 0 {
            Err(BodyError::NoEvent)
        } else {
            Ok(self.counts)
        }
    }
}

fn parse_event<'a>(fields: &mut Fields<'a, '_>, resource: &Resource<'a>) -> Result<(), Stop> {
    match fields.signal() {
        Signal::Logs => log::parse(fields, resource),
        Signal::Metrics => metric::parse(fields),
        Signal::Traces => span::parse(fields),
        Signal::Rum => rum::parse(fields),
        Signal::Audit => audit::parse(fields),
    }
}

impl From<JsonError> for BodyError {
    fn from(error: JsonError) -> Self {
        BodyError::NotJson(error)
    }
}

#[cfg(test)]
mod tests;
