//! Alerts: list, show, summary, and what people do to them.

use super::page::Answer;
use crate::Api;
use crate::ask::{
    AlertStatus, Asked, Body, Cursor, DAY_S, Loose, OneOrMany, Order, Position, TimeRange, limit,
};
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::alerts::{
    self, Alert, AlertById, AlertEvent, Change, Deed, History, Listing, Summary,
};
use crate::trail::Entry;
use actix_web::web::{Data, Json, Path};
use millrace_shared::outcome::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Alerts of a page unless said otherwise, and at most.
const ALERTS: (u32, u32) = (100, 1000);
/// The longest range, days: alerts are kept for years.
const DAYS_MAX: i64 = 3_660;
/// Characters of a note, or of a name.
const NOTE_CHARS_MAX: usize = 10_000;
const NAME_CHARS_MAX: usize = 200;

/// What alerts are listed by.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AlertSearch {
    /// Made at or after; without start and end, all alerts are listed.
    start: Option<Loose>,
    /// Made before.
    end: Option<Loose>,
    /// Statuses: open, acknowledged, in_progress, resolved, closed, false_positive.
    status: Option<OneOrMany>,
    /// Severities: info, low, medium, high, critical.
    severity: Option<OneOrMany>,
    /// The rule.
    rule_id: Option<String>,
    /// Types, such as `BRUTE_FORCE_ATTACK`.
    alert_type: Option<OneOrMany>,
    /// Who works on it.
    assignee: Option<String>,
    /// The signal its events came as.
    signal: Option<String>,
    /// Text in title or message.
    text: Option<String>,
    /// Alerts, 1 to 1000.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl AlertSearch {
    fn range(&self, now_ns: i64) -> Result<Option<TimeRange>, Problem> {
        if self.start.is_none() && self.end.is_none() {
            return Ok(None);
        }
        let (start, end) = (self.start.as_ref(), self.end.as_ref());
        TimeRange::read(start, end, now_ns, DAYS_MAX * DAY_S).map(Some)
    }

    fn listing(&self, range: Option<TimeRange>, after: Option<Position>, limit: u32) -> Listing {
        let lower = |list: &OneOrMany| {
            list.split()
                .iter()
                .map(|word| word.to_lowercase())
                .collect::<Vec<_>>()
        };
        let mut listing = Listing::new(range, after, limit);
        listing.statuses = self.status.as_ref().map(lower);
        listing.severities = self.severity.as_ref().map(lower);
        listing.rule = self.rule_id.clone();
        listing.types = self.alert_type.as_ref().map(OneOrMany::split);
        listing.assignee = self.assignee.clone();
        listing.signal = self.signal.clone();
        listing.text = self.text.clone();
        listing
    }
}

/// The range when none is given: all of time as it can be kept.
const ALWAYS: TimeRange = TimeRange {
    start: 0,
    end: i64::MAX,
};

/// List alerts, newest first, page by page.
#[utoipa::path(get, path = "/api/v1/alerts", params(AlertSearch), tag = "alerts",
    responses((status = 200, body = Answer<Alert>)))]
pub(crate) async fn list(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<AlertSearch>,
) -> Result<Json<Answer<Alert>>, Problem> {
    let Asked(search) = asked;
    let limit = limit(search.limit.as_ref(), ALERTS.0, ALERTS.1)?;
    let mut range = search.range(caller.now_ns)?;
    let filters = Cursor::digest(&search.listing(None, None, 0).filters());
    let cursor = search
        .cursor
        .as_deref()
        .map(|text| Cursor::parse(text, filters))
        .transpose()?;
    if let Some(cursor) = &cursor {
        range = Some(cursor.range).filter(|range| *range != ALWAYS);
    }
    let listing = search.listing(range, cursor.map(|cursor| cursor.after), limit + 1);
    let mut rows = api.pg.rows(&caller.bind(listing)?).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    let may_reveal = caller.may(Permission::PiiRevealHash);
    let rows: Vec<Alert> = rows.into_iter().map(|row| row.told(may_reveal)).collect();
    let next = |alert: &Alert| Cursor {
        range: range.unwrap_or(ALWAYS),
        order: Order::Descending,
        after: Position {
            at: alert.created_at.0,
            id: alert.id,
        },
        filters,
    };
    let (start, end) = range.map(TimeRange::texts).unwrap_or_default();
    Ok(Json(Answer {
        next_cursor: rows.last().filter(|_| more).map(|alert| next(alert).text()),
        rows,
        start,
        end,
    }))
}

/// An alert with its history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertAnswer {
    /// The alert.
    #[serde(flatten)]
    alert: Alert,
    /// What happened to it, oldest first.
    history: Vec<AlertEvent>,
    /// The statuses it may be given now.
    may_become: Vec<&'static str>,
}

/// One alert with its history.
#[utoipa::path(get, path = "/api/v1/alerts/{id}",
    params(("id" = Uuid, Path, description = "The alert")), tag = "alerts",
    responses((status = 200, body = AlertAnswer), (status = 404)))]
pub(crate) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<AlertAnswer>, Problem> {
    answer(&api, &caller, alert_id(&id)?).await
}

async fn answer(api: &Api, caller: &Caller, id: Uuid) -> Result<Json<AlertAnswer>, Problem> {
    let alert = api.pg.first(&caller.bind(AlertById(id))?).await?;
    let alert = alert.ok_or_else(|| Problem::not_found("alert"))?;
    let alert = alert.told(caller.may(Permission::PiiRevealHash));
    let history = api.pg.rows(&caller.bind(History(id))?).await?;
    let now = AlertStatus::parse(&alert.status);
    let next = AlertStatus::ALL.into_iter();
    let next = next.filter(|next| now.is_some_and(|now| now.may_become(*next)));
    Ok(Json(AlertAnswer {
        may_become: next.map(AlertStatus::as_str).collect(),
        alert,
        history,
    }))
}

/// What is no id names no alert.
fn alert_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::not_found("alert"))
}

/// Counts of alerts.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct SummaryAnswer {
    /// Alerts.
    total: i64,
    /// Open, acknowledged or in progress.
    active: i64,
    /// Of these, with nobody assigned.
    unassigned: i64,
    /// By status, those without any too.
    by_status: BTreeMap<String, i64>,
    /// Active ones by severity.
    active_by_severity: BTreeMap<String, i64>,
}

/// Count alerts by status and severity.
#[utoipa::path(get, path = "/api/v1/alerts/summary", params(AlertSearch), tag = "alerts",
    responses((status = 200, body = SummaryAnswer)))]
pub(crate) async fn summary(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<AlertSearch>,
) -> Result<Json<SummaryAnswer>, Problem> {
    let range = asked.0.range(caller.now_ns)?;
    let counts = api.pg.rows(&caller.bind(Summary::new(range))?).await?;
    let mut summary = SummaryAnswer::default();
    for status in AlertStatus::ALL {
        summary.by_status.insert(status.as_str().to_owned(), 0);
    }
    for count in counts {
        summary.total += count.alerts;
        *summary.by_status.entry(count.status.clone()).or_default() += count.alerts;
        if matches!(
            count.status.as_str(),
            "open" | "acknowledged" | "in_progress"
        ) {
            summary.active += count.alerts;
            summary.unassigned += count.unassigned;
            *summary
                .active_by_severity
                .entry(count.severity)
                .or_default() += count.alerts;
        }
    }
    Ok(Json(summary))
}

/// A change of status.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewStatus {
    /// The status.
    status: String,
    /// Why.
    #[serde(default)]
    note: String,
}

/// Give an alert another status.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/status", request_body = NewStatus,
    params(("id" = Uuid, Path, description = "The alert")), tag = "alerts",
    responses((status = 200, body = AlertAnswer), (status = 404), (status = 409)))]
pub(crate) async fn status(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body<NewStatus>,
) -> Result<Json<AlertAnswer>, Problem> {
    let Body(new) = body;
    let status = AlertStatus::parse(&new.status)
        .ok_or_else(|| Problem::parameter("status", "is none that an alert can have"))?;
    let entry = Entry::of("SYSTEM_CONFIG", "alert.status").with("status", status.as_str());
    change(&api, &caller, (&id, Deed::Status(status), new.note), entry).await
}

/// Whom an alert is given to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAssignee {
    /// Who works on it; nobody when absent or null.
    #[serde(default)]
    assignee: Option<String>,
    /// Why.
    #[serde(default)]
    note: String,
}

/// Give an alert to somebody.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/assign", request_body = NewAssignee,
    params(("id" = Uuid, Path, description = "The alert")), tag = "alerts",
    responses((status = 200, body = AlertAnswer), (status = 404)))]
pub(crate) async fn assign(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body<NewAssignee>,
) -> Result<Json<AlertAnswer>, Problem> {
    let Body(new) = body;
    let assignee = new.assignee.filter(|name| !name.trim().is_empty());
    if assignee
        .as_ref()
        .is_some_and(|name| name.chars().count() > NAME_CHARS_MAX)
    {
        return Err(Problem::parameter("assignee", "is too long"));
    }
    let shown = assignee.as_deref().unwrap_or("nobody").to_owned();
    let entry = Entry::of("SYSTEM_CONFIG", "alert.assign").with("assignee", shown);
    change(
        &api,
        &caller,
        (&id, Deed::Assign(assignee), new.note),
        entry,
    )
    .await
}

/// A note.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNote {
    /// The text.
    note: String,
}

/// Note something at an alert.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/notes", request_body = NewNote,
    params(("id" = Uuid, Path, description = "The alert")), tag = "alerts",
    responses((status = 200, body = AlertAnswer), (status = 404)))]
pub(crate) async fn note(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body<NewNote>,
) -> Result<Json<AlertAnswer>, Problem> {
    if body.0.note.trim().is_empty() {
        return Err(Problem::parameter("note", "is empty"));
    }
    let entry = Entry::of("SYSTEM_CONFIG", "alert.note");
    change(&api, &caller, (&id, Deed::Note, body.0.note), entry).await
}

async fn change(
    api: &Api,
    caller: &Caller,
    (id, deed, note): (&str, Deed, String),
    entry: Entry,
) -> Result<Json<AlertAnswer>, Problem> {
    if note.chars().count() > NOTE_CHARS_MAX {
        return Err(Problem::new(Refusal::Unprocessable, "the note is too long"));
    }
    let id = alert_id(id)?;
    let change = Change {
        id,
        deed,
        who: caller.name().to_owned(),
        note,
    };
    let bound = caller.bind(change)?;
    let entry = entry.target("alert", &id.to_string());
    alerts::change(&api.pg, &bound, async || {
        api.trail.record(caller, entry).await
    })
    .await?;
    answer(api, caller, id).await
}
