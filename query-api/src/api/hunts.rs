//! Retro-hunts: list, show, begin, cancel.

use super::page::Answer;
use crate::Api;
use crate::ask::{Asked, Body, DAY_S, Loose, TimeRange, limit};
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::hunts::{self, Begin, Cancel, HuntRow, Hunts};
use crate::trail::Entry;
use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path};
use millrace_feeds::HUNT_DAYS;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Hunts of a page unless said otherwise, and at most.
const HUNTS: (u32, u32) = (50, 500);

/// Which hunts are listed.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HuntSearch {
    /// Hunts, 1 to 500.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the searches of stored history for indicators, newest first.
#[utoipa::path(get, path = "/api/v1/retro-hunts", params(HuntSearch), tag = "indicators",
    responses((status = 200, body = Answer<HuntRow>)))]
pub(crate) async fn list(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<HuntSearch>,
) -> Result<Json<Answer<HuntRow>>, Problem> {
    let Asked(search) = asked;
    let limit = limit(search.limit.as_ref(), HUNTS.0, HUNTS.1)?;
    let before = search.cursor.as_deref().map(place).transpose()?;
    let page = Hunts::page(before, i64::from(limit) + 1);
    let mut rows = api.pg.rows(&caller.bind(page)?).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    let cursor = |hunt: &HuntRow| format!("{}.{}", hunt.created_at.0, hunt.id.simple());
    Ok(Json(Answer {
        next_cursor: rows.last().filter(|_| more).map(cursor),
        rows,
        start: String::new(),
        end: String::new(),
    }))
}

fn place(cursor: &str) -> Result<(i64, Uuid), Problem> {
    let parts = cursor.split_once('.');
    let place = parts.and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    place.ok_or_else(|| Problem::parameter("cursor", "is none that was given"))
}

/// One search.
#[utoipa::path(get, path = "/api/v1/retro-hunts/{id}",
    params(("id" = String, Path, description = "The hunt")), tag = "indicators",
    responses((status = 200, body = HuntRow), (status = 404)))]
pub(crate) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<HuntRow>, Problem> {
    answer(&api, &caller, parsed(&id)?).await.map(Json)
}

async fn answer(api: &Api, caller: &Caller, id: Uuid) -> Result<HuntRow, Problem> {
    let found = api.pg.first(&caller.bind(Hunts::one(id))?).await?;
    found.ok_or_else(|| Problem::not_found("retro-hunt"))
}

fn parsed(id: &str) -> Result<Uuid, Problem> {
    id.parse().map_err(|_| Problem::not_found("retro-hunt"))
}

/// What is to be looked for, and where.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hunt {
    /// The feed whose indicators are looked for.
    feed: String,
    /// Start of the range: ISO 8601, a Unix number, or `now-30d` (the default).
    start: Option<Loose>,
    /// End of the range, not included; the default is now.
    end: Option<Loose>,
}

/// Have stored history searched for all indicators of a feed, in the background. What is found
/// becomes alerts that are marked retroactive; a feed that brings new indicators is hunted for by
/// itself.
#[utoipa::path(post, path = "/api/v1/retro-hunts", request_body = Hunt, tag = "indicators",
    responses((status = 202, body = HuntRow), (status = 404), (status = 422), (status = 429)))]
pub(crate) async fn begin(
    api: Data<Api>,
    caller: Caller,
    body: Body<Hunt>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::IndicatorsManage)?;
    let Body(Hunt { feed, start, end }) = body;
    let start = start.unwrap_or_else(|| Loose(format!("now-{}d", HUNT_DAYS.0)));
    let range = TimeRange::read(
        Some(&start),
        end.as_ref(),
        caller.now_ns,
        HUNT_DAYS.1 * DAY_S,
    )?;
    let asked = Begin {
        feed: feed.clone(),
        range,
        who: caller.name().to_owned(),
    };
    let bound = caller.bind(asked)?;
    let id = hunts::begin(&api.pg, &bound, async |id: Uuid| {
        let entry = Entry::of("SYSTEM_CONFIG", "retro_hunt.begin").target("feed", &feed);
        let entry = entry.target("retro_hunt", &id.to_string());
        api.trail.record(&caller, entry).await
    })
    .await?;
    let hunt = answer(&api, &caller, id).await?;
    Ok(HttpResponse::Accepted().json(hunt))
}

/// Cancel a search that is not at its end. Alerts that it raised stay.
#[utoipa::path(delete, path = "/api/v1/retro-hunts/{id}",
    params(("id" = String, Path, description = "The hunt")), tag = "indicators",
    responses((status = 204), (status = 404)))]
pub(crate) async fn cancel(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::IndicatorsManage)?;
    let id = parsed(&id)?;
    let bound = caller.bind(Cancel(id))?;
    let entry = Entry::of("SYSTEM_CONFIG", "retro_hunt.cancel");
    let entry = entry.target("retro_hunt", &id.to_string());
    hunts::cancel(&api.pg, &bound, async || {
        api.trail.record(&caller, entry).await
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
