//! Notification channels: list, show, make, change, try, remove.

use super::address::AddressBody;
use crate::Api;
use crate::ask::Body;
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::channels::{self, Change, Channel, ChannelById, Deed, Listing, Test, Written};
use crate::store::notifications::{Notification, NotificationById};
use crate::trail::Entry;
use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path};
use millrace_shared::channel::ChannelKind;
use millrace_shared::outcome::Refusal;
use millrace_shared::wire::Severity;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;
use uuid::Uuid;

/// Characters of a channel's name.
const NAME_CHARS_MAX: usize = 100;
/// Rules that a channel may be limited to, and characters of a rule's id.
const RULES_MAX: usize = 200;
const RULE_CHARS_MAX: usize = 100;
/// Messages a minute: the usual limit of receivers, and at most.
const PER_MINUTE: (u32, u32) = (60, 600);
/// How long a test waits for its end: an attempt's 15 seconds, and for a worker to find it.
const TEST_WAIT: Duration = Duration::from_secs(20);
/// How often it looks.
const TEST_LOOK: Duration = Duration::from_millis(200);

/// All channels.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelsAnswer {
    /// The channels, by name; there are at most 50.
    channels: Vec<Channel>,
}

/// List the notification channels.
#[utoipa::path(get, path = "/api/v1/channels", tag = "notifications",
    responses((status = 200, body = ChannelsAnswer)))]
pub(crate) async fn list(api: Data<Api>, caller: Caller) -> Result<Json<ChannelsAnswer>, Problem> {
    let channels = api.pg.rows(&caller.bind(Listing)?).await?;
    Ok(Json(ChannelsAnswer { channels }))
}

/// One notification channel, without its secrets.
#[utoipa::path(get, path = "/api/v1/channels/{id}", tag = "notifications",
    params(("id" = Uuid, Path, description = "The channel")),
    responses((status = 200, body = Channel), (status = 404)))]
pub(crate) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Channel>, Problem> {
    find(&api, &caller, channel_id(&id)?).await.map(Json)
}

async fn find(api: &Api, caller: &Caller, id: Uuid) -> Result<Channel, Problem> {
    let channel = api.pg.first(&caller.bind(ChannelById(id))?).await?;
    channel.ok_or_else(|| Problem::not_found("channel"))
}

/// What is no id names no channel.
fn channel_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::not_found("channel"))
}

/// A channel as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelBody {
    /// A name, one of its own.
    name: String,
    /// `webhook`, `slack`, `teams`, `discord`, `pagerduty` or `email`.
    kind: String,
    /// Whether it is told anything.
    #[serde(default = "yes")]
    enabled: bool,
    /// The least severity of which it is told: info, low, medium, high, critical.
    #[serde(default = "high")]
    min_severity: String,
    /// Only alerts of these rules; of all when empty.
    #[serde(default)]
    rules: Vec<String>,
    /// Messages a minute, 1 to 600.
    #[serde(default = "per_minute")]
    per_minute: u32,
    /// Where it leads to. May be left out of a change, and then stays as it is.
    address: Option<AddressBody>,
}

const fn yes() -> bool {
    true
}

fn high() -> String {
    Severity::High.as_str().to_owned()
}

const fn per_minute() -> u32 {
    PER_MINUTE.0
}

/// A channel, with the secret that was made for it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelAnswer {
    /// The channel.
    #[serde(flatten)]
    channel: Channel,
    /// The key of its signature, told now and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Make a notification channel.
#[utoipa::path(post, path = "/api/v1/channels", request_body = ChannelBody, tag = "notifications",
    responses((status = 201, body = ChannelAnswer), (status = 409), (status = 422)))]
pub(crate) async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body<ChannelBody>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::ChannelsManage)?;
    if body.0.address.is_none() {
        return Err(Problem::parameter("address", "is missing"));
    }
    let id = Uuid::now_v7();
    let (written, secret) = written(&api, id, body.0)?;
    let entry = Entry::of("SYSTEM_CONFIG", "channel.create").with("kind", written.kind.as_str());
    carry_out(&api, &caller, (id, Deed::Create(written)), entry).await?;
    let channel = find(&api, &caller, id).await?;
    Ok(HttpResponse::Created().json(ChannelAnswer { channel, secret }))
}

/// Replace a notification channel; its address stays as it is where none is given. One that is
/// switched off is not told later of what happened meanwhile.
#[utoipa::path(put, path = "/api/v1/channels/{id}", request_body = ChannelBody,
    params(("id" = Uuid, Path, description = "The channel")), tag = "notifications",
    responses((status = 200, body = ChannelAnswer), (status = 404), (status = 409), (status = 422)))]
pub(crate) async fn update(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body<ChannelBody>,
) -> Result<Json<ChannelAnswer>, Problem> {
    caller.require(Permission::ChannelsManage)?;
    let id = channel_id(&id)?;
    let (written, secret) = written(&api, id, body.0)?;
    let entry = Entry::of("SYSTEM_CONFIG", "channel.update")
        .with("enabled", written.enabled)
        .with("address_changed", written.address.is_some());
    carry_out(&api, &caller, (id, Deed::Update(written)), entry).await?;
    let channel = find(&api, &caller, id).await?;
    Ok(Json(ChannelAnswer { channel, secret }))
}

/// Remove a notification channel, and what waits for it.
#[utoipa::path(delete, path = "/api/v1/channels/{id}", tag = "notifications",
    params(("id" = Uuid, Path, description = "The channel")),
    responses((status = 204), (status = 404)))]
pub(crate) async fn remove(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = channel_id(&id)?;
    let entry = Entry::of("SYSTEM_CONFIG", "channel.delete");
    carry_out(&api, &caller, (id, Deed::Delete), entry).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn carry_out(
    api: &Api,
    caller: &Caller,
    (id, deed): (Uuid, Deed),
    entry: Entry,
) -> Result<(), Problem> {
    let who = caller.name().to_owned();
    let bound = caller.bind(Change { id, deed, who })?;
    let entry = entry.target("channel", &id.to_string());
    channels::change(&api.pg, &bound, async || {
        api.trail.record(caller, entry).await
    })
    .await
}

/// The channel, checked and with its address sealed; and the secret that was made for it.
fn written(api: &Api, id: Uuid, body: ChannelBody) -> Result<(Written, Option<String>), Problem> {
    let kind = ChannelKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == body.kind)
        .ok_or_else(|| Problem::parameter("kind", "is none that there is"))?;
    let severity = Severity::ALL
        .iter()
        .find(|severity| severity.as_str() == body.min_severity)
        .ok_or_else(|| Problem::parameter("min_severity", "is none that there is"))?;
    let name = body.name.trim().to_owned();
    let plain = !name.is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.chars().any(char::is_control);
    if !plain {
        return Err(Problem::parameter(
            "name",
            "must be plain text of 1 to 100 characters",
        ));
    }
    let long = |rule: &String| rule.is_empty() || rule.chars().count() > RULE_CHARS_MAX;
    if body.rules.len() > RULES_MAX || body.rules.iter().any(long) {
        return Err(Problem::parameter(
            "rules",
            "must be at most 200 ids of rules",
        ));
    }
    if !(1..=PER_MINUTE.1).contains(&body.per_minute) {
        return Err(Problem::parameter(
            "per_minute",
            "must lie between 1 and 600",
        ));
    }
    let (mut address, mut secret) = (None, None);
    if let Some(given) = body.address {
        let read = given.read(kind, &api.outgoing)?;
        let sealed = read.address.seal(&api.master_key, &id.to_string());
        let sealed = sealed.map_err(|error| Problem::internal("cannot seal", &error))?;
        address = Some((read.shown, sealed));
        secret = read.made;
    }
    let written = Written {
        name,
        kind,
        enabled: body.enabled,
        min_severity: severity.as_str(),
        rules: body.rules,
        per_minute: i32::try_from(body.per_minute).unwrap_or(1),
        address,
    };
    Ok((written, secret))
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestAnswer {
    /// Whether the receiver took it.
    delivered: bool,
    /// The message; `pending` where no worker has come to an end with it in time.
    notification: Notification,
}

/// Send a test message the way that alerts go, and say what came of it. It is tried once.
#[utoipa::path(post, path = "/api/v1/channels/{id}/test", tag = "notifications",
    params(("id" = Uuid, Path, description = "The channel")),
    responses((status = 200, body = TestAnswer), (status = 202, body = TestAnswer), (status = 404), (status = 409)))]
pub(crate) async fn test(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = channel_id(&id)?;
    let who = caller.name().to_owned();
    let bound = caller.bind(Test { channel: id, who })?;
    let entry = Entry::of("SYSTEM_CONFIG", "channel.test").target("channel", &id.to_string());
    let record = async || api.trail.record(&caller, entry).await;
    let number = channels::test(&api.pg, &bound, record).await?;
    let ends = Instant::now() + TEST_WAIT;
    loop {
        let notification = api
            .pg
            .first(&caller.bind(NotificationById(number))?)
            .await?;
        let notification = notification
            .ok_or_else(|| Problem::new(Refusal::Conflict, "the channel was removed meanwhile"))?;
        let waits = notification.state == "pending";
        if !waits || Instant::now() >= ends {
            let answer = TestAnswer {
                delivered: notification.state == "sent",
                notification,
            };
            let mut response = if waits {
                HttpResponse::Accepted()
            } else {
                HttpResponse::Ok()
            };
            return Ok(response.json(answer));
        }
        sleep(TEST_LOOK).await;
    }
}
