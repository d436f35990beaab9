//! Traces: which ones match, what they are in short, and all spans of one.

use super::{ClickhouseQuery, Sql, Table};
use crate::answer::{Moment, Shown};
use crate::ask::Scan;
use crate::principal::{Needs, Permission};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// The traces with a span that matches, by the time of the last such span.
#[derive(Clone, Debug)]
pub struct MatchingTraces {
    /// What a span must match.
    pub scan: Scan,
    /// Only those before this time and id.
    pub before: Option<(i64, String)>,
    /// At most so many.
    pub limit: u32,
}

/// A trace that matches.
#[derive(Clone, Debug, Deserialize)]
pub struct MatchingTrace {
    /// Its id.
    pub trace_id: String,
    /// Start of the last span that matches, nanoseconds since 1970.
    pub at: i64,
}

impl Needs for MatchingTraces {
    fn permission(&self) -> Permission {
        Permission::TracesRead
    }
}

impl ClickhouseQuery for MatchingTraces {
    type Row = MatchingTrace;

    fn sql(&self) -> Sql {
        let columns = "TraceId AS trace_id, toUnixTimestamp64Nano(max(Timestamp)) AS at";
        let mut sql = Sql::scan(columns, &self.scan);
        sql.push(" GROUP BY trace_id");
        if let Some((at, id)) = &self.before {
            sql.push(" HAVING (at, trace_id) < (")
                .bind("Int64", at.to_string());
            sql.push(", ").bind("String", id.clone()).push(")");
        }
        sql.push(" ORDER BY at DESC, trace_id DESC LIMIT ")
            .bind("UInt32", self.limit.to_string());
        sql
    }
}

/// What those traces are in short.
#[derive(Clone, Debug)]
pub struct TraceSummaries {
    /// The traces.
    pub ids: Vec<String>,
}

/// A trace in short.
#[derive(Clone, Debug, Deserialize)]
pub struct TraceSummary {
    /// Its id.
    pub trace_id: String,
    /// Start of its first span, nanoseconds since 1970.
    pub start: i64,
    /// End of its last span, nanoseconds since 1970.
    pub end: i64,
    /// Number of spans.
    pub spans: u64,
    /// Spans that failed.
    pub errors: u64,
    /// The services in it.
    pub services: Vec<String>,
    /// Service of the root, or of the first span where no root arrived.
    pub root_service: String,
    /// Name of that span.
    pub root_name: String,
}

impl Needs for TraceSummaries {
    fn permission(&self) -> Permission {
        Permission::TracesRead
    }
}

impl ClickhouseQuery for TraceSummaries {
    type Row = TraceSummary;

    fn sql(&self) -> Sql {
        let columns = "TraceId AS trace_id, toUnixTimestamp64Nano(min(Timestamp)) AS start, \
             max(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration)) AS end, count() AS spans, \
             countIf(StatusCode = 'error') AS errors, \
             arraySort(groupUniqArray(50)(toString(ServiceName))) AS services, \
             argMin(toString(ServiceName), (ParentSpanId != '', Timestamp)) AS root_service, \
             argMin(toString(SpanName), (ParentSpanId != '', Timestamp)) AS root_name";
        let mut sql = Sql::select(columns, Table::Spans);
        sql.push(" AND TraceId IN (")
            .texts(&self.ids)
            .push(") GROUP BY trace_id");
        sql
    }
}

/// All spans of a trace.
#[derive(Clone, Debug)]
pub struct TraceSpans {
    /// The trace.
    pub id: String,
    /// At most so many, the earliest first.
    pub limit: u32,
}

/// A span as it is stored.
#[derive(Clone, Debug, Deserialize)]
pub struct SpanRow {
    /// Id of the event.
    pub id: Uuid,
    /// Its id in the trace.
    pub span_id: String,
    /// The id of its parent, or nothing.
    pub parent_span_id: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The service.
    pub service: String,
    /// The host.
    pub host: String,
    /// Start, nanoseconds since 1970.
    pub start: i64,
    /// Duration, nanoseconds.
    pub duration: u64,
    /// `ok`, `error` or `unset`.
    pub status: String,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of the resource.
    pub resource: BTreeMap<String, String>,
    /// Times of its events, nanoseconds since 1970.
    pub event_times: Vec<i64>,
    /// Names of its events.
    pub event_names: Vec<String>,
    /// Attributes of its events.
    pub event_attributes: Vec<BTreeMap<String, String>>,
    /// Traces it links to.
    pub link_traces: Vec<String>,
    /// Spans it links to.
    pub link_spans: Vec<String>,
    /// Rules that match.
    pub rule_matches: Vec<String>,
    /// The risk that indicators give it.
    pub risk_score: u8,
}

impl Needs for TraceSpans {
    fn permission(&self) -> Permission {
        Permission::TracesRead
    }
}

impl ClickhouseQuery for TraceSpans {
    type Row = SpanRow;

    fn sql(&self) -> Sql {
        let columns = "EventId AS id, SpanId AS span_id, ParentSpanId AS parent_span_id, \
             SpanName AS name, SpanKind AS kind, ServiceName AS service, Host AS host, \
             toUnixTimestamp64Nano(Timestamp) AS start, Duration AS duration, \
             StatusCode AS status, SpanAttributes AS attributes, ResourceAttributes AS resource, \
             arrayMap(t -> toUnixTimestamp64Nano(t), \"Events.Timestamp\") AS event_times, \
             \"Events.Name\" AS event_names, \"Events.Attributes\" AS event_attributes, \
             \"Links.TraceId\" AS link_traces, \"Links.SpanId\" AS link_spans, \
             RuleMatches AS rule_matches, RiskScore AS risk_score";
        let mut sql = Sql::select(columns, Table::Spans);
        sql.push(" AND TraceId = ").bind("String", self.id.clone());
        sql.push(" ORDER BY Timestamp, EventId LIMIT ")
            .bind("UInt32", self.limit.to_string());
        sql
    }
}

/// An event inside a span.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SpanEvent {
    /// When it happened.
    pub timestamp: Moment,
    /// Its name.
    pub name: String,
    /// Its attributes.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub attributes: BTreeMap<String, String>,
}

impl SpanRow {
    /// End, nanoseconds since 1970.
    #[must_use]
    pub fn end(&self) -> i64 {
        let duration = i64::try_from(self.duration).unwrap_or(i64::MAX);
        self.start.saturating_add(duration)
    }

    /// Its events.
    #[must_use]
    pub fn events(&self) -> Vec<SpanEvent> {
        let named = self.event_times.iter().zip(&self.event_names);
        let whole = named.zip(&self.event_attributes);
        let event = |((at, name), attributes): ((&i64, &String), &BTreeMap<_, _>)| SpanEvent {
            timestamp: Moment(*at),
            name: name.clone(),
            attributes: attributes.clone(),
        };
        whole.map(event).collect()
    }
}
