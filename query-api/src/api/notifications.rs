//! What is sent to channels: list, send again, drop.

use crate::Api;
use crate::ask::{Asked, Loose, limit};
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::notifications::{self, Change, Deed, Listing, Notification, NotificationById};
use crate::trail::Entry;
use actix_web::web::{Data, Json, Path};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Notifications of a page unless said otherwise, and at most.
const NOTIFICATIONS: (u32, u32) = (100, 1000);

/// What notifications are listed by.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NotificationSearch {
    /// pending, sent, dead or dropped.
    state: Option<String>,
    /// Only to this channel.
    channel_id: Option<String>,
    /// Only about this alert.
    alert_id: Option<String>,
    /// Notifications, 1 to 1000.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<Loose>,
}

/// A page of notifications, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationsAnswer {
    /// The notifications.
    notifications: Vec<Notification>,
    /// Give this as `cursor` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List notifications: those that wait, were sent, and were given up.
#[utoipa::path(get, path = "/api/v1/notifications", params(NotificationSearch), tag = "notifications",
    responses((status = 200, body = NotificationsAnswer)))]
pub(crate) async fn list(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<NotificationSearch>,
) -> Result<Json<NotificationsAnswer>, Problem> {
    let Asked(search) = asked;
    let limit = limit(search.limit.as_ref(), NOTIFICATIONS.0, NOTIFICATIONS.1)?;
    let listing = Listing {
        state: search.state.map(|state| state.to_lowercase()),
        channel: id(search.channel_id, "channel_id")?,
        alert: id(search.alert_id, "alert_id")?,
        before: search
            .cursor
            .map(|cursor| cursor.number("cursor"))
            .transpose()?,
        limit: i64::from(limit) + 1,
    };
    let mut rows = api.pg.rows(&caller.bind(listing)?).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    Ok(Json(NotificationsAnswer {
        next_cursor: rows.last().filter(|_| more).map(|row| row.id.to_string()),
        notifications: rows,
    }))
}

fn id(text: Option<String>, name: &str) -> Result<Option<Uuid>, Problem> {
    let read = text.map(|text| text.parse());
    read.transpose()
        .map_err(|_| Problem::parameter(name, "is no id"))
}

/// Send a notification again that was given up, under its own key.
#[utoipa::path(post, path = "/api/v1/notifications/{id}/retry", tag = "notifications",
    params(("id" = i64, Path, description = "The notification")),
    responses((status = 200, body = Notification), (status = 404), (status = 409)))]
pub(crate) async fn retry(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Notification>, Problem> {
    change(&api, &caller, (&id, Deed::Retry, "notification.retry")).await
}

/// Send a notification no more that waits or was given up.
#[utoipa::path(post, path = "/api/v1/notifications/{id}/drop", tag = "notifications",
    params(("id" = i64, Path, description = "The notification")),
    responses((status = 200, body = Notification), (status = 404), (status = 409)))]
pub(crate) async fn drop_one(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Notification>, Problem> {
    change(&api, &caller, (&id, Deed::Drop, "notification.drop")).await
}

async fn change(
    api: &Api,
    caller: &Caller,
    (id, deed, action): (&str, Deed, &'static str),
) -> Result<Json<Notification>, Problem> {
    let none = || Problem::not_found("notification");
    let id: i64 = id.parse().map_err(|_| none())?;
    let bound = caller.bind(Change { id, deed })?;
    let entry = Entry::of("SYSTEM_CONFIG", action).target("notification", &id.to_string());
    notifications::change(&api.pg, &bound, async || {
        api.trail.record(caller, entry).await
    })
    .await?;
    let row = api.pg.first(&caller.bind(NotificationById(id))?).await?;
    row.map(Json).ok_or_else(none)
}
