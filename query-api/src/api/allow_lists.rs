//! Allow-lists: list, show, put, remove.

use super::indicators::feed_name;
use crate::Api;
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::allow_lists::{self, AllowListRow, AllowLists, Change};
use crate::trail::Entry;
use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path, Payload};
use millrace_detection::indicators::AllowList;
use millrace_detection::indicators::allow::BadList;
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Bytes of a list: a few hundred thousand names.
const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// All allow-lists that count for the organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AllowListList {
    /// Its own, by name, then the installation's; without their entries.
    allow_lists: Vec<AllowListRow>,
}

/// List the allow-lists.
#[utoipa::path(get, path = "/api/v1/allow-lists", tag = "indicators",
    responses((status = 200, body = AllowListList)))]
pub(crate) async fn list(api: Data<Api>, caller: Caller) -> Result<Json<AllowListList>, Problem> {
    let allow_lists = api.pg.rows(&caller.bind(AllowLists(None))?).await?;
    Ok(Json(AllowListList { allow_lists }))
}

/// One allow-list of the organisation, with its entries.
#[utoipa::path(get, path = "/api/v1/allow-lists/{name}",
    params(("name" = String, Path, description = "The list")), tag = "indicators",
    responses((status = 200, body = AllowListRow), (status = 404)))]
pub(crate) async fn show(
    api: Data<Api>,
    caller: Caller,
    name: Path<String>,
) -> Result<Json<AllowListRow>, Problem> {
    present(&api, &caller, named(&name)?).await.map(Json)
}

async fn present(api: &Api, caller: &Caller, name: &str) -> Result<AllowListRow, Problem> {
    let asked = caller.bind(AllowLists(Some(name.to_owned())))?;
    let list = api.pg.first(&asked).await?;
    list.ok_or_else(|| Problem::not_found("allow-list"))
}

fn named(name: &str) -> Result<&str, Problem> {
    feed_name(name).map_err(|_| Problem::not_found("allow-list"))
}

/// Make an allow-list, or replace it: a warning list of MISP as the body. What is on it never matches
/// an indicator, and an indicator on it matches nothing, from a few seconds later on.
#[utoipa::path(put, path = "/api/v1/allow-lists/{name}", tag = "indicators",
    params(("name" = String, Path, description = "The list")),
    request_body(content = Object, description = "`type` (`cidr`, `hostname`, `string`, `substring`, \
        `regex`), `list` and, if it is not for all types, `matching_attributes`; up to 8 MiB"),
    responses((status = 200, body = AllowListRow), (status = 201, body = AllowListRow), (status = 413),
        (status = 422), (status = 429)))]
pub(crate) async fn put(
    api: Data<Api>,
    caller: Caller,
    name: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::IndicatorsManage)?;
    let name = feed_name(&name).map_err(|_| Problem::parameter("name", "cannot be used"))?;
    let place = api.imports.take(caller.org()).await?;
    let body = place.body(payload, LIST_BYTES_MAX).await?;
    let (_place, list) = place.work(move || checked(&body)).await?;
    let entries = list.list.len();
    let change = Change {
        name: name.to_owned(),
        list: Some(Arc::new(list)),
        who: caller.name().to_owned(),
    };
    let entry = Entry::of("SYSTEM_CONFIG", "allow_list.put").with("entries", entries);
    let replaced = carry_out(&api, &caller, change, entry).await?;
    let row = AllowListRow {
        list: None,
        ..present(&api, &caller, name).await?
    };
    Ok(match replaced {
        true => HttpResponse::Ok().json(row),
        false => HttpResponse::Created().json(row),
    })
}

/// A list that can be used.
fn checked(body: &[u8]) -> Result<AllowList, Problem> {
    let refused = |detail: String| Problem::new(Refusal::Unprocessable, detail);
    let text =
        std::str::from_utf8(body).map_err(|_| refused("the body is not UTF-8".to_owned()))?;
    let list = AllowList::from_json(text).map_err(|error| match error {
        BadList::NotJson(_) => Problem::new(Refusal::NotJson, error.to_string()),
        BadList::Shape(_)
        | BadList::Empty
        | BadList::TooLong(_)
        | BadList::Entry { .. }
        | BadList::Compile(_) => refused(error.to_string()),
    })?;
    let texts = list.list.iter().chain(&list.matching_attributes);
    if texts
        .chain([&list.description])
        .any(|text| text.contains('\0'))
    {
        return Err(refused("an entry holds the character zero".to_owned()));
    }
    let _compiled = list.compile().map_err(|error| refused(error.to_string()))?;
    Ok(list)
}

/// Remove an allow-list of the organisation.
#[utoipa::path(delete, path = "/api/v1/allow-lists/{name}",
    params(("name" = String, Path, description = "The list")), tag = "indicators",
    responses((status = 204), (status = 404)))]
pub(crate) async fn remove(
    api: Data<Api>,
    caller: Caller,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let change = Change {
        name: named(&name)?.to_owned(),
        list: None,
        who: caller.name().to_owned(),
    };
    let entry = Entry::of("SYSTEM_CONFIG", "allow_list.delete");
    carry_out(&api, &caller, change, entry).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn carry_out(
    api: &Api,
    caller: &Caller,
    change: Change,
    entry: Entry,
) -> Result<bool, Problem> {
    let entry = entry.target("allow_list", &change.name);
    let bound = caller.bind(change)?;
    allow_lists::change(&api.pg, &bound, async || {
        api.trail.record(caller, entry).await
    })
    .await
}
