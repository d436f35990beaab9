//! Scrubbed event → one row of its ClickHouse table.

use crate::resource::EntryResource;
use crate::scrub::ScrubbedEvent;
use millrace_scrubber::Class;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{EventId, LedgerId};
use millrace_shared::rows::{
    Attributes, AuditRow, EventAttributes, Head, Listed, LogRow, Ns, PreEncoded, RumRow, SpanRow,
    Tail, Texts, UNKNOWN_SERVICE,
};
use millrace_shared::wire::SpanKind;
use millrace_shared::{Event, Role, Signal, Value};
use smallvec::SmallVec;

/// What all rows of one entry share.
#[derive(Debug)]
pub(crate) struct EntryContext<'c, 'a> {
    pub(crate) meta: &'c Meta,
    pub(crate) ledger: LedgerId,
    pub(crate) attempt: u8,
    pub(crate) resource: &'c EntryResource<'a>,
}

/// Where each core field stands in the event, found in one pass.
struct Core<'e, 'a> {
    event: &'e Event<'a>,
    at: [u16; Role::COUNT],
}

const ABSENT: u16 = u16::MAX;

impl<'e, 'a> Core<'e, 'a> {
    #[expect(
        clippy::indexing_slicing,
        reason = "indexed by Role, the table has a place for each"
    )]
    fn of(event: &'e Event<'a>) -> Self {
        let mut at = [ABSENT; Role::COUNT];
        for (position, field) in (0u16..).zip(&event.fields) {
            let place = &mut at[field.role.index()];
            if *place == ABSENT {
                *place = position;
            }
        }
        Core { event, at }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "indexed by Role, the table has a place for each"
    )]
    fn value(&self, role: Role) -> Option<&'e Value<'a>> {
        self.event
            .fields
            .get(usize::from(self.at[role.index()]))
            .map(|field| &field.value)
    }

    fn text(&self, role: Role) -> &'a str {
        self.value(role).and_then(Value::as_text).unwrap_or("")
    }

    fn text_or(&self, role: Role, default: &'e str) -> &'e str
    where
        'a: 'e,
    {
        match self.text(role) {
            "" => default,
            text => text,
        }
    }
}

/// Appends the event's row.
pub(crate) fn put(
    scrubbed: &ScrubbedEvent<'_, '_>,
    context: &EntryContext<'_, '_>,
    place: (EventId, u32),
    out: &mut Vec<u8>,
) {
    let core = Core::of(scrubbed.event);
    head(&core, scrubbed, context, place, out);
    match scrubbed.event.signal {
        Signal::Logs => log(&core, scrubbed, out),
        Signal::Traces => span(&core, scrubbed, out),
        Signal::Rum => rum(&core, context, out),
        Signal::Audit => audit(&core, scrubbed, out),
        // Samples are no rows of ClickHouse: see `samples`.
        Signal::Metrics => return,
    }
    tail(&core, scrubbed, context, out);
}

/// The service an event is stored under.
pub(crate) fn service<'e>(event: &'e Event<'_>, context: &'e EntryContext<'_, '_>) -> &'e str {
    let own = event.text(Role::Service).unwrap_or("");
    [own, context.resource.text(Role::Service)]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or(UNKNOWN_SERVICE)
}

fn head(
    core: &Core<'_, '_>,
    scrubbed: &ScrubbedEvent<'_, '_>,
    context: &EntryContext<'_, '_>,
    place: (EventId, u32),
    out: &mut Vec<u8>,
) {
    let head = Head {
        org_id: context.meta.org,
        timestamp: Ns(scrubbed.facts.timestamp),
        received_at: Ns(context.meta.received_at),
        event_id: place.0.0,
        batch_id: context.ledger.0,
        row_number: place.1,
        attempt: context.attempt,
        service_name: service(scrubbed.event, context),
        host: core.text_or(Role::Host, context.resource.text(Role::Host)),
        environment: core.text_or(Role::Environment, context.resource.text(Role::Environment)),
        key_id: &context.meta.key,
        request_id: &context.meta.request_id,
    };
    head.put(out);
}

fn tail(
    core: &Core<'_, '_>,
    scrubbed: &ScrubbedEvent<'_, '_>,
    context: &EntryContext<'_, '_>,
    out: &mut Vec<u8>,
) {
    let names: SmallVec<[&str; 8]> = scrubbed.classes.iter().map(Class::as_str).collect();
    let detection = &scrubbed.detection;
    let tail = Tail {
        resource_attributes: PreEncoded(&context.resource.map),
        client_ip: core.text(Role::Ip),
        geo_country: core.text(Role::Country),
        geo_city: core.text(Role::City),
        browser: core.text(Role::Browser),
        os: core.text(Role::Os),
        device: core.text(Role::Device),
        pii_classes: Texts(&names),
        observables: Texts(&detection.observables),
        risk_score: detection.verdict.score,
        indicator_ids: Listed(&detection.indicator_ids),
        threat_names: Texts(&detection.threat_names),
        rule_matches: Texts(&detection.rule_ids),
    };
    tail.put(out);
}

fn attributes<'e, 'a>(core: &Core<'e, 'a>) -> Attributes<'e, 'a> {
    Attributes {
        fields: &core.event.fields,
        role: Role::Attribute,
        sub: None,
    }
}

fn log(core: &Core<'_, '_>, scrubbed: &ScrubbedEvent<'_, '_>, out: &mut Vec<u8>) {
    let row = LogRow {
        trace_id: core.text(Role::TraceId),
        span_id: core.text(Role::SpanId),
        severity_text: core.text(Role::Level),
        severity_number: scrubbed
            .facts
            .level
            .map_or(0, |level| level.severity_number()),
        severity: scrubbed.facts.severity.as_str(),
        body: core.text(Role::Message),
        attributes: attributes(core),
    };
    row.put(out);
}

/// The texts of one role, one for each numbered element.
fn elements<'e>(event: &'e Event<'_>, role: Role, count: usize) -> SmallVec<[&'e str; 8]> {
    let mut texts: SmallVec<[&str; 8]> = SmallVec::from_elem("", count);
    for field in event.fields.iter().filter(|field| field.role == role) {
        if let (Some(place), Some(text)) =
            (texts.get_mut(usize::from(field.sub)), field.value.as_text())
        {
            *place = text;
        }
    }
    texts
}

/// How many numbered elements the fields of these roles belong to.
fn element_count(event: &Event<'_>, roles: &[Role]) -> usize {
    let of_roles = event
        .fields
        .iter()
        .filter(|field| roles.contains(&field.role));
    of_roles
        .map(|field| usize::from(field.sub) + 1)
        .max()
        .unwrap_or(0)
}

fn span(core: &Core<'_, '_>, scrubbed: &ScrubbedEvent<'_, '_>, out: &mut Vec<u8>) {
    let event = core.event;
    let events = element_count(event, &[Role::SpanEventName]);
    let links = element_count(event, &[Role::LinkTraceId]);
    // An event without a time of its own is placed at the start of its span.
    let mut times: SmallVec<[Ns; 8]> = SmallVec::from_elem(Ns(scrubbed.facts.timestamp), events);
    for field in event
        .fields
        .iter()
        .filter(|field| field.role == Role::SpanEventTime)
    {
        if let (Some(place), Value::Int(ns)) = (times.get_mut(usize::from(field.sub)), field.value)
        {
            *place = Ns(ns);
        }
    }
    let fields = &event.fields;
    let row = SpanRow {
        trace_id: core.text(Role::TraceId),
        span_id: core.text(Role::SpanId),
        parent_span_id: core.text(Role::ParentSpanId),
        name: core.text(Role::Name),
        kind: SpanKind::parse(core.text(Role::Kind))
            .unwrap_or(SpanKind::Internal)
            .as_str(),
        duration: scrubbed.facts.duration,
        status: millrace_shared::wire::SpanStatus::parse(core.text(Role::Status))
            .unwrap_or(millrace_shared::wire::SpanStatus::Unset)
            .as_str(),
        attributes: attributes(core),
        event_times: Listed(&times),
        event_names: Texts(&elements(event, Role::SpanEventName, events)),
        event_attributes: EventAttributes {
            fields,
            role: Role::SpanEventAttribute,
            count: events,
        },
        link_traces: Texts(&elements(event, Role::LinkTraceId, links)),
        link_spans: Texts(&elements(event, Role::LinkSpanId, links)),
        link_attributes: EventAttributes {
            fields,
            role: Role::LinkAttribute,
            count: links,
        },
    };
    row.put(out);
}

fn rum(core: &Core<'_, '_>, context: &EntryContext<'_, '_>, out: &mut Vec<u8>) {
    let timing = |name: &str| {
        let timings = core
            .event
            .fields
            .iter()
            .filter(|field| field.role == Role::Performance);
        let named = timings.filter(|field| field.name == name);
        named
            .filter_map(|field| field.value.as_number())
            .next()
            .unwrap_or(f64::NAN)
    };
    let kind = core.text(Role::EventType);
    let kind = millrace_shared::wire::RumEventType::parse(kind).map_or(kind, |kind| kind.as_str());
    let page_url = core.text(Role::PageUrl);
    let row = RumRow {
        session_id: core.text(Role::SessionId),
        user_id: core.text(Role::UserId),
        event_type: kind,
        page_url,
        page: &crate::page::page(page_url),
        referrer: core.text(Role::Referrer),
        user_agent: core.text(Role::UserAgent),
        fcp: timing("performance.fcp"),
        lcp: timing("performance.lcp"),
        fid: timing("performance.fid"),
        inp: timing("performance.inp"),
        cls: timing("performance.cls"),
        ttfb: timing("performance.ttfb"),
        dom_load: timing("performance.dom_load"),
        window_load: timing("performance.window_load"),
        error_message: core.text(Role::ErrorMessage),
        error_stack: core.text(Role::ErrorStack),
        error_type: core.text(Role::ErrorType),
        untrusted: context.meta.untrusted,
        attributes: attributes(core),
    };
    row.put(out);
}

fn audit(core: &Core<'_, '_>, scrubbed: &ScrubbedEvent<'_, '_>, out: &mut Vec<u8>) {
    let event = core.event;
    let targets = element_count(event, &[Role::TargetId, Role::TargetType, Role::TargetName]);
    let row = AuditRow {
        event_type: core.text(Role::EventType),
        action: core.text(Role::Action),
        outcome: core.text(Role::Outcome),
        severity: scrubbed.facts.severity.as_str(),
        operation: core.text(Role::Operation),
        actor_id: core.text(Role::ActorId),
        actor_email: core.text(Role::ActorEmail),
        actor_name: core.text(Role::ActorName),
        actor_type: core.text(Role::ActorType),
        target_ids: Texts(&elements(event, Role::TargetId, targets)),
        target_types: Texts(&elements(event, Role::TargetType, targets)),
        target_names: Texts(&elements(event, Role::TargetName, targets)),
        user_agent: core.text(Role::UserAgent),
        session_id: core.text(Role::SessionId),
        event_request_id: core.text(Role::RequestId),
        message: core.text(Role::Message),
        metadata: attributes(core),
    };
    row.put(out);
}
