//! Indicator feeds: list, show, put, remove.

use super::indicators::{feed_name, said_format};
use crate::Api;
use crate::ask::Body;
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::feeds::{self, End, FeedRow, Feeds, Put};
use crate::trail::Entry;
use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path};
use millrace_feeds::{Access, Credential, EVERY_S, EXPIRE_DAYS, FeedSettings};
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Seconds between two fetches unless said otherwise.
const EVERY_SECONDS: i32 = 3_600;

/// All feeds that count for the organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FeedList {
    /// Its own, by name, then the installation's.
    feeds: Vec<FeedRow>,
}

/// List the feeds, with how they fare and how often they matched.
#[utoipa::path(get, path = "/api/v1/indicator-feeds", tag = "indicators",
    responses((status = 200, body = FeedList)))]
pub(crate) async fn list(api: Data<Api>, caller: Caller) -> Result<Json<FeedList>, Problem> {
    let rows = api.pg.rows(&caller.bind(Feeds(None))?).await?;
    let feeds = rows.into_iter().map(|feed| shown(&caller, feed));
    Ok(Json(FeedList {
        feeds: feeds.collect(),
    }))
}

/// An address may hold a secret behind its question mark.
fn shown(caller: &Caller, mut feed: FeedRow) -> FeedRow {
    if caller.require(Permission::IndicatorsManage).is_err() {
        let open = |text: String| match text.split_once('?') {
            Some((open, _)) => format!("{open}?…"),
            None => text,
        };
        feed.url = feed.url.map(open);
        feed.source = open(feed.source);
        feed.credential = None;
    }
    feed
}

/// One feed of the organisation.
#[utoipa::path(get, path = "/api/v1/indicator-feeds/{name}",
    params(("name" = String, Path, description = "The feed")), tag = "indicators",
    responses((status = 200, body = FeedRow), (status = 404)))]
pub(crate) async fn show(
    api: Data<Api>,
    caller: Caller,
    name: Path<String>,
) -> Result<Json<FeedRow>, Problem> {
    present(&api, &caller, named(&name)?).await.map(Json)
}

async fn present(api: &Api, caller: &Caller, name: &str) -> Result<FeedRow, Problem> {
    let asked = caller.bind(Feeds(Some(name.to_owned())))?;
    let feed = api.pg.first(&asked).await?;
    let feed = feed.ok_or_else(|| Problem::not_found("feed"))?;
    Ok(shown(caller, feed))
}

/// Nothing is called what nothing may be called.
fn named(name: &str) -> Result<&str, Problem> {
    feed_name(name).map_err(|_| Problem::not_found("feed"))
}

/// A feed as it is put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedBody {
    /// How far it is trusted, 0 to 100: scales the score of its matches.
    trust: u8,
    /// Days after it was last seen or came, whichever is later, at which an indicator without an end
    /// of its own ceases to match, 1 to 3650.
    expire_days: Option<i32>,
    /// Where it is fetched from: `https://`, and not inside the installation's network.
    url: Option<String>,
    /// Its format: `csv`, `plain`, `hosts`, `stix`, `misp` or `misp-feed`; told by the content where it
    /// is not said.
    format: Option<String>,
    /// Seconds between two fetches, 300 to 604800; 3600 by default.
    every_seconds: Option<i32>,
    /// What its server asks for: `{"kind": "header", "name": "x-api-key", "value": "…"}`,
    /// `{"kind": "bearer", "token": "…"}` or `{"kind": "basic", "user": "…", "password": "…"}`. Stored
    /// sealed, and shown without its secret. As it was where it is left out; null takes it away.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<Object>)]
    credential: Option<Option<Credential>>,
}

/// What is left out is another thing than null.
fn said<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Credential>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl FeedBody {
    fn put(self, api: &Api, caller: &Caller, name: &str) -> Result<Put, Problem> {
        if self.trust > 100 {
            return Err(Problem::parameter("trust", "is not 0 to 100"));
        }
        if self
            .expire_days
            .is_some_and(|days| !EXPIRE_DAYS.contains(&days))
        {
            return Err(Problem::parameter("expire_days", "is not 1 to 3650"));
        }
        let every_s = self.every_seconds.unwrap_or(EVERY_SECONDS);
        if !EVERY_S.contains(&every_s) {
            return Err(Problem::parameter("every_seconds", "is not 300 to 604800"));
        }
        let format = said_format(self.format.as_deref())?;
        let url = self.url.unwrap_or_default();
        if !url.is_empty() {
            api.outgoing.check(&url).map_err(|refusal| {
                Problem::new(Refusal::Unprocessable, format!("the address {refusal}"))
            })?;
        }
        let access = access(api, (caller.org(), name), &url, self.credential)?;
        let settings = FeedSettings {
            trust: i16::from(self.trust),
            expire_days: self.expire_days,
            url,
            format,
            access,
            every_s,
        };
        Ok(Put {
            name: name.to_owned(),
            settings,
            who: caller.name().to_owned(),
        })
    }
}

/// The credential of a feed at an address, checked and sealed.
fn access(
    api: &Api,
    (org, name): (OrgId, &str),
    url: &str,
    credential: Option<Option<Credential>>,
) -> Result<Access, Problem> {
    let credential = match credential {
        None => return Ok(Access::Kept),
        Some(None) => return Ok(Access::Open),
        Some(Some(credential)) => credential,
    };
    if url.is_empty() {
        return Err(Problem::parameter("credential", "stands without a url"));
    }
    if let Some((member, why)) = credential.fault() {
        let why = format!("has a {member} that {why}");
        return Err(Problem::parameter("credential", why));
    }
    let sealed = credential.seal(&api.master_key, (Some(org), name), url);
    let sealed = sealed.map_err(|error| Problem::internal("cannot seal", &error))?;
    Ok(Access::Sealed(sealed))
}

/// What became of the credential, for the record.
const fn word(access: &Access) -> &'static str {
    match access {
        Access::Kept => "kept",
        Access::Open => "none",
        Access::Sealed(_) => "set",
    }
}

/// Make a feed, or change how far it is trusted, when its indicators end, and where it is fetched from.
/// A feed with an address is fetched at once, and then at its pace; what fails is shown, and what it
/// held before is kept.
#[utoipa::path(put, path = "/api/v1/indicator-feeds/{name}", request_body = FeedBody,
    params(("name" = String, Path, description = "The feed")), tag = "indicators",
    responses((status = 200, body = FeedRow), (status = 201, body = FeedRow), (status = 422)))]
pub(crate) async fn put(
    api: Data<Api>,
    caller: Caller,
    name: Path<String>,
    body: Body<FeedBody>,
) -> Result<HttpResponse, Problem> {
    let name = feed_name(&name)?;
    let Body(body) = body;
    let put = body.put(&api, &caller, name)?;
    let entry = Entry::of("SYSTEM_CONFIG", "indicator_feed.put").target("feed", name);
    let is = &put.settings;
    let entry = entry
        .with("trust", is.trust)
        .with("fetched", !is.url.is_empty())
        .with("credential", word(&is.access));
    let bound = caller.bind(put)?;
    let replaced = feeds::put(&api.pg, &bound, async || {
        api.trail.record(&caller, entry).await
    })
    .await?;
    let row = present(&api, &caller, name).await?;
    Ok(match replaced {
        true => HttpResponse::Ok().json(row),
        false => HttpResponse::Created().json(row),
    })
}

/// Remove a feed of the organisation, with all its indicators.
#[utoipa::path(delete, path = "/api/v1/indicator-feeds/{name}",
    params(("name" = String, Path, description = "The feed")), tag = "indicators",
    responses((status = 204), (status = 404)))]
pub(crate) async fn remove(
    api: Data<Api>,
    caller: Caller,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = named(&name)?;
    let bound = caller.bind(End(name.to_owned()))?;
    feeds::end(&api.pg, &bound, async |ended| {
        let entry = Entry::of("SYSTEM_CONFIG", "indicator_feed.delete").target("feed", name);
        api.trail.record(&caller, entry.with("ended", ended)).await
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
