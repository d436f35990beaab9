//! Traces: search, and one as a waterfall.

use super::logs::{Attributes, attributes};
use super::page::Paging;
use super::privacy::hashed;
use crate::Api;
use crate::answer::Moment;
use crate::answer::waterfall::{Trace, waterfall};
use crate::ask::{Asked, Condition, Loose, OneOrMany, Scan, limit};
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::spans::{MatchingTraces, TraceSpans, TraceSummaries, TraceSummary};
use crate::store::{Column, Map, Table};
use actix_web::web::{Data, Json, Path};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millrace_shared::Signal;
use millrace_shared::limits::retention_days;
use millrace_shared::wire::{SpanKind, SpanStatus};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::{IntoParams, ToSchema};

/// Traces of a page unless said otherwise, and at most.
const TRACES: (u32, u32) = (20, 200);
/// Spans of one trace that are shown.
const SPANS_MAX: u32 = 10_000;

/// What traces are searched by: each filter is about one and the same span of the trace.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TraceSearch {
    /// Start of the range; an hour before the end by default.
    start: Option<Loose>,
    /// End of the range, not included; now by default.
    end: Option<Loose>,
    /// Services.
    service: Option<OneOrMany>,
    /// Span names.
    operation: Option<OneOrMany>,
    /// Span kinds: client, server, producer, consumer, internal.
    kind: Option<OneOrMany>,
    /// Span status: ok, error, unset.
    status: Option<OneOrMany>,
    /// Least duration of the span, milliseconds.
    min_duration_ms: Option<Loose>,
    /// Greatest duration of the span, milliseconds.
    max_duration_ms: Option<Loose>,
    /// Attributes that must be equal, as `key=value`, repeated.
    attribute: Option<Attributes>,
    /// A value that is stored as a hash or pseudonym, as `email:ada@example.com`: hashed here, for
    /// those with `pii:reveal-hash`, and recorded. Better sent in the body of a POST.
    hashed: Option<String>,
    /// Traces, 1 to 200.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A trace in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceItem {
    /// Its id.
    trace_id: String,
    /// Service of its root.
    root_service: String,
    /// Name of its root.
    root_name: String,
    /// Start of its first span.
    start: Moment,
    /// Wall clock: last end minus first start, nanoseconds.
    duration_ns: i64,
    /// Number of spans.
    span_count: u64,
    /// Spans that failed.
    error_count: u64,
    /// Services in it.
    services: Vec<String>,
}

/// A page of traces, the last ones first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceAnswer {
    /// The traces.
    traces: Vec<TraceItem>,
    /// Give this as `cursor` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl TraceSearch {
    fn scan(&self, now_ns: i64) -> Result<Scan, Problem> {
        let paging = Paging {
            start: self.start.as_ref(),
            end: self.end.as_ref(),
            order: None,
            limit: None,
            cursor: None,
            days: retention_days(Signal::Traces) + 1,
        };
        let mut scan = Scan::new(Table::Spans, paging.range(now_ns)?);
        scan.one_of(Column::Service, self.service.as_ref());
        scan.one_of(Column::SpanName, self.operation.as_ref());
        scan.one_of_words::<SpanKind>((Column::SpanKind, "kind"), self.kind.as_ref())?;
        scan.one_of_words::<SpanStatus>((Column::Status, "status"), self.status.as_ref())?;
        let ns = |name, given: &Loose| {
            given
                .number::<u64>(name)
                .map(|ms| ms.saturating_mul(1_000_000))
        };
        if let Some(least) = &self.min_duration_ms {
            let least = ns("min_duration_ms", least)?;
            scan.conditions
                .push(Condition::AtLeast(Column::Duration, least));
        }
        if let Some(most) = &self.max_duration_ms {
            let most = ns("max_duration_ms", most)?;
            scan.conditions
                .push(Condition::AtMost(Column::Duration, most));
        }
        attributes(&mut scan, Map::Span, self.attribute.as_ref())?;
        Ok(scan)
    }

    /// Where the page begins: after a trace, by the time of its last matching span, in the range
    /// of the first page.
    fn before(&self, scan: &mut Scan) -> Result<Option<(i64, String)>, Problem> {
        let Some(text) = &self.cursor else {
            return Ok(None);
        };
        let decoded = URL_SAFE_NO_PAD.decode(text).ok();
        let place: Option<Place> = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Place(start, end, at, id) =
            place.ok_or_else(|| Problem::parameter("cursor", "was not given by us"))?;
        scan.range.start = scan.range.start.max(start);
        scan.range.end = scan.range.end.min(end);
        if self.start.is_none() && self.end.is_none() {
            (scan.range.start, scan.range.end) = (start, end);
        }
        Ok(Some((at, id)))
    }
}

/// A place in the list of traces: range, time, id.
#[derive(Deserialize, Serialize)]
struct Place(i64, i64, i64, String);

/// Search traces by their spans, the last ones first.
#[utoipa::path(method(get, post), path = "/api/v1/traces/search", params(TraceSearch), tag = "traces",
    responses((status = 200, body = TraceAnswer)))]
pub(crate) async fn search(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<TraceSearch>,
) -> Result<Json<TraceAnswer>, Problem> {
    let Asked(search) = asked;
    let mut scan = search.scan(caller.now_ns)?;
    let given = (search.hashed.as_deref(), "/api/v1/traces/search");
    hashed(&api, &caller, given, &mut scan).await?;
    let before = search.before(&mut scan)?;
    let limit = limit(search.limit.as_ref(), TRACES.0, TRACES.1)?;
    let range = scan.range;
    let matching = MatchingTraces {
        scan,
        before,
        limit: limit + 1,
    };
    let mut found = api.clickhouse.rows(&caller.bind(matching)?).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|last| {
        let place = Place(range.start, range.end, last.at, last.trace_id.clone());
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&place).unwrap_or_default())
    });
    let ids: Vec<String> = found.into_iter().map(|trace| trace.trace_id).collect();
    let traces = match ids.as_slice() {
        [] => Vec::new(),
        ids => {
            let summaries = TraceSummaries { ids: ids.to_vec() };
            items(ids, api.clickhouse.rows(&caller.bind(summaries)?).await?)
        }
    };
    Ok(Json(TraceAnswer {
        traces,
        next_cursor,
    }))
}

/// Summaries in the order of the search.
fn items(ids: &[String], summaries: Vec<TraceSummary>) -> Vec<TraceItem> {
    let mut by_id: HashMap<String, TraceSummary> = summaries
        .into_iter()
        .map(|summary| (summary.trace_id.clone(), summary))
        .collect();
    let item = |summary: TraceSummary| TraceItem {
        trace_id: summary.trace_id,
        root_service: summary.root_service,
        root_name: summary.root_name,
        start: Moment(summary.start),
        duration_ns: summary.end.saturating_sub(summary.start),
        span_count: summary.spans,
        error_count: summary.errors,
        services: summary.services,
    };
    ids.iter()
        .filter_map(|id| by_id.remove(id))
        .map(item)
        .collect()
}

/// One trace as a waterfall.
#[utoipa::path(get, path = "/api/v1/traces/{trace_id}",
    params(("trace_id" = String, Path, description = "The trace")), tag = "traces",
    responses((status = 200, body = Trace), (status = 404)))]
pub(crate) async fn show(
    api: Data<Api>,
    caller: Caller,
    trace_id: Path<String>,
) -> Result<Json<Trace>, Problem> {
    let id = trace_id.into_inner().to_lowercase();
    let spans = TraceSpans {
        id: id.clone(),
        limit: SPANS_MAX + 1,
    };
    let mut spans = api.clickhouse.rows(&caller.bind(spans)?).await?;
    let most = usize::try_from(SPANS_MAX).unwrap_or(usize::MAX);
    let truncated = spans.len() > most;
    spans.truncate(most);
    let mut trace = waterfall(&spans, truncated).ok_or_else(|| Problem::not_found("trace"))?;
    trace.trace_id = id;
    Ok(Json(trace))
}
