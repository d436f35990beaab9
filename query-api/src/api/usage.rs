//! Usage by day, and who sends.

use crate::Api;
use crate::ask::{Asked, DAY_S, Loose, TimeRange, limit};
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::usage::{Source, Sources, UsageDay, UsageDays};
use actix_web::web::{Data, Json};
use millrace_shared::limits::{NS_PER_DAY, NS_PER_SECOND};
use millrace_shared::outcome::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::{Date, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};

/// The longest range, days.
const DAYS_MAX: i64 = 3_660;
/// Days shown unless said otherwise.
const DAYS: i64 = 30;
/// Sources listed unless said otherwise, and at most.
const SOURCES: (u32, u32) = (1_000, 10_000);
/// A source that was silent for this long is called silent: ten times the usual export interval.
const SILENT_S: i64 = 600;

/// The days of a usage report.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageOf {
    /// The first day: a date or any time in it; thirty days ago by default.
    start: Option<Loose>,
    /// The last day; today by default.
    end: Option<Loose>,
}

/// Sums of a report.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Sums {
    /// Requests.
    batches: i64,
    /// Events received.
    events: i64,
    /// Events stored.
    stored: i64,
    /// Events rejected.
    rejected: i64,
    /// Events in the dead-letter store.
    dead_lettered: i64,
    /// Bytes on the wire.
    bytes: i64,
    /// Rows written.
    rows: i64,
}

/// Usage of days.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageAnswer {
    /// By day (UTC, of reception) and signal.
    days: Vec<UsageDay>,
    /// Sums by signal.
    totals: BTreeMap<String, Sums>,
}

/// Usage by day and signal, counted exactly.
#[utoipa::path(get, path = "/api/v1/usage", params(UsageOf), tag = "usage",
    responses((status = 200, body = UsageAnswer)))]
pub(crate) async fn usage(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<UsageOf>,
) -> Result<Json<UsageAnswer>, Problem> {
    let (start, end) = (asked.0.start.as_ref(), asked.0.end.as_ref());
    let mut range = TimeRange::read(start, end, caller.now_ns, DAYS_MAX * DAY_S)?;
    if start.is_none() {
        range.start = range.end.saturating_sub(DAYS * NS_PER_DAY);
    }
    let asked = UsageDays {
        from: day(range.start)?,
        to: day(range.end)?,
    };
    let days = api.pg.rows(&caller.bind(asked)?).await?;
    let mut totals: BTreeMap<String, Sums> = BTreeMap::new();
    for day in &days {
        let sums = totals.entry(day.signal.clone()).or_default();
        sums.batches += day.batches;
        sums.events += day.events;
        sums.stored += day.stored;
        sums.rejected += day.rejected;
        sums.dead_lettered += day.dead_lettered;
        sums.bytes += day.bytes;
        sums.rows += day.rows;
    }
    Ok(Json(UsageAnswer { days, totals }))
}

fn day(ns: i64) -> Result<Date, Problem> {
    let at = OffsetDateTime::from_unix_timestamp(ns / NS_PER_SECOND);
    at.map(OffsetDateTime::date)
        .map_err(|_| Problem::new(Refusal::Unprocessable, "the day is out of range"))
}

/// What sources are listed by.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SourcesOf {
    /// Only of this signal.
    signal: Option<String>,
    /// Sources, 1 to 10000.
    limit: Option<Loose>,
}

/// A source and how it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceItem {
    /// The source.
    #[serde(flatten)]
    source: Source,
    /// `active`, or `silent` after ten minutes without an event.
    status: &'static str,
}

/// Sources, the last heard first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourcesAnswer {
    /// The sources.
    sources: Vec<SourceItem>,
}

/// Who sends what, and when it was last heard.
#[utoipa::path(get, path = "/api/v1/sources", params(SourcesOf), tag = "usage",
    responses((status = 200, body = SourcesAnswer)))]
pub(crate) async fn sources(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<SourcesOf>,
) -> Result<Json<SourcesAnswer>, Problem> {
    let limit = limit(asked.0.limit.as_ref(), SOURCES.0, SOURCES.1)?;
    let sources = Sources {
        signal: asked.0.signal,
        limit: i64::from(limit),
    };
    let sources = api.pg.rows(&caller.bind(sources)?).await?;
    let item = |source: Source| SourceItem {
        status: if source.silent_s > SILENT_S {
            "silent"
        } else {
            "active"
        },
        source,
    };
    Ok(Json(SourcesAnswer {
        sources: sources.into_iter().map(item).collect(),
    }))
}
