//! Indicators: search, make one, import many, remove one.

use super::page::Answer;
use crate::Api;
use crate::ask::{Asked, Body, InQuery, Loose, limit};
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::indicators::{self, End, IndicatorRow, Intake, Search};
use crate::trail::Entry;
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Json, Path, Payload};
use millrace_detection::Kind;
use millrace_detection::indicators::parse::{self, Format, Parsed, Told};
use millrace_detection::indicators::{Feed, Indicator};
use millrace_detection::observables::{canonical, guess};
use millrace_feeds::{Changes, is_name};
use millrace_shared::outcome::Refusal;
use millrace_shared::time::parse_timestamp;
use millrace_shared::wire::Severity;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Indicators of a page unless said otherwise, and at most.
const INDICATORS: (u32, u32) = (100, 1000);
/// Bytes of an import: some hundred thousand indicators. Larger feeds come from an address.
const IMPORT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The feed of indicators that are made one by one.
const FEED: &str = "manual";
/// Characters of a value, of the name of a threat, and of a tag; and tags.
const VALUE_CHARS_MAX: usize = 2_048;
const TEXT_CHARS_MAX: usize = 200;
const TAGS_MAX: usize = 32;
/// Reasons that the refusal of an import names.
const REASONS: usize = 5;

/// What indicators are searched by.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IndicatorSearch {
    /// Only with this value; defanged forms are accepted.
    value: Option<String>,
    /// Only of this feed.
    feed: Option<String>,
    /// Only of this type: `ipv4`, `ipv6`, `cidr`, `domain`, `url`, `email`, `md5`, `sha1`, `sha256`,
    /// `sha512` or `cve`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Indicators, 1 to 1000.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<Loose>,
}

/// Search the indicators that count for the organisation: its own and the installation's.
#[utoipa::path(get, path = "/api/v1/indicators", params(IndicatorSearch), tag = "indicators",
    responses((status = 200, body = Answer<IndicatorRow>)))]
pub(crate) async fn list(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<IndicatorSearch>,
) -> Result<Json<Answer<IndicatorRow>>, Problem> {
    let Asked(search) = asked;
    let limit = limit(search.limit.as_ref(), INDICATORS.0, INDICATORS.1)?;
    let kind = search.kind.as_deref().map(kind).transpose()?;
    let after = search.cursor.as_ref().map(|cursor| cursor.number("cursor"));
    let asked = Search {
        value: search
            .value
            .map(|text| guess(&text).map_or(text, |(_, value)| value)),
        feed: search.feed,
        kind: kind.map(Kind::as_str),
        after: after.transpose()?.unwrap_or(0),
        limit: i64::from(limit) + 1,
    };
    let mut rows = api.pg.rows(&caller.bind(asked)?).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    Ok(Json(Answer {
        next_cursor: rows.last().filter(|_| more).map(|row| row.id.to_string()),
        rows,
        start: String::new(),
        end: String::new(),
    }))
}

fn kind(word: &str) -> Result<Kind, Problem> {
    Kind::parse(word).ok_or_else(|| Problem::parameter("type", "is no type of an indicator"))
}

/// An indicator as it is made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIndicator {
    /// The value; defanged forms are accepted.
    value: String,
    /// Its type, where the value does not tell.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The feed it belongs to; `manual` by default.
    feed: Option<String>,
    /// How sure it is, 0 to 100; 50 by default.
    confidence: Option<u8>,
    /// `info`, `low`, `medium`, `high` or `critical`; medium by default.
    severity: Option<String>,
    /// Name of the threat.
    #[serde(default)]
    threat: String,
    /// Tags, up to 32.
    #[serde(default)]
    tags: Vec<String>,
    /// Whether it matches private and documentation ranges too.
    #[serde(default)]
    match_private: bool,
    /// When it was first seen.
    first_seen: Option<String>,
    /// When it was last seen.
    last_seen: Option<String>,
    /// When it ceases to match.
    expires_at: Option<String>,
}

impl NewIndicator {
    fn indicator(&self, feed: &Arc<Feed>) -> Result<Indicator, Problem> {
        let unusable = |what: &str| Problem::new(Refusal::Unprocessable, what.to_owned());
        if self.value.chars().count() > VALUE_CHARS_MAX {
            return Err(Problem::parameter("value", "is too long"));
        }
        let value = match &self.kind {
            Some(word) => canonical(kind(word)?, &self.value),
            None => guess(&self.value),
        };
        let (kind, value) = value.ok_or_else(|| unusable("value is none of its type"))?;
        let mut made = Indicator::new(kind, value, Arc::clone(feed));
        if let Some(confidence) = self.confidence {
            made.confidence = Some(confidence)
                .filter(|confidence| *confidence <= 100)
                .ok_or_else(|| Problem::parameter("confidence", "is not 0 to 100"))?;
        }
        if let Some(severity) = &self.severity {
            made.severity = Severity::parse(severity)
                .ok_or_else(|| Problem::parameter("severity", "is none of the five"))?;
        }
        let texts = self.tags.iter().chain([&self.threat]);
        let fits = |text: &String| {
            text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
        };
        if self.tags.len() > TAGS_MAX || !texts.clone().all(fits) {
            return Err(unusable(
                "too many tags, or a tag or the threat is too long",
            ));
        }
        made.threat.clone_from(&self.threat);
        made.tags.clone_from(&self.tags);
        made.match_private = self.match_private;
        made.first_seen = time("first_seen", self.first_seen.as_deref())?;
        made.last_seen = time("last_seen", self.last_seen.as_deref())?;
        made.expires_at = time("expires_at", self.expires_at.as_deref())?;
        Ok(made)
    }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
    let read = |text| parse_timestamp(text).ok_or_else(|| Problem::parameter(name, "is no time"));
    text.map(read).transpose()
}

/// Make an indicator, or replace the one of the same value in its feed.
#[utoipa::path(post, path = "/api/v1/indicators", request_body = NewIndicator, tag = "indicators",
    responses((status = 200, body = IndicatorRow), (status = 201, body = IndicatorRow), (status = 409),
        (status = 422)))]
pub(crate) async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body<NewIndicator>,
) -> Result<HttpResponse, Problem> {
    let Body(new) = body;
    let name = feed_name(new.feed.as_deref().unwrap_or(FEED))?;
    let made = new.indicator(&feed(name))?;
    let (kind, value) = (made.kind.as_str(), made.value.clone());
    let intake = Intake {
        feed: name.to_owned(),
        trust: None,
        sha256: String::new(),
        indicators: Arc::new(vec![made]),
        refused: 0,
        replace: false,
        dry_run: false,
        who: caller.name().to_owned(),
    };
    let bound = caller.bind(intake)?;
    let changes = indicators::take(&api.pg, &bound, async |changes: &Changes| {
        let entry = Entry::of("SYSTEM_CONFIG", "indicator.create").target("indicator", &value);
        let entry = entry.with("type", kind).with("feed", name);
        api.trail
            .record(&caller, entry.with("added", changes.added))
            .await
    })
    .await?;
    let asked = Search {
        value: Some(value.clone()),
        feed: Some(name.to_owned()),
        kind: Some(kind),
        after: 0,
        limit: 2,
    };
    let rows = api.pg.rows(&caller.bind(asked)?).await?;
    let mut own = rows.into_iter().filter(|row| row.scope == "organisation");
    let row = own.next().ok_or_else(|| Problem::not_found("indicator"))?;
    Ok(match changes.added {
        0 => HttpResponse::Ok().json(row),
        _ => HttpResponse::Created().json(row),
    })
}

pub(super) fn feed_name(name: &str) -> Result<&str, Problem> {
    let why = "must be up to 100 letters and digits, with `.`, `_` and `-` between them";
    let name = Some(name).filter(|name| is_name(name));
    name.ok_or_else(|| Problem::parameter("feed", why))
}

fn feed(name: &str) -> Arc<Feed> {
    Arc::new(Feed {
        id: 0,
        name: name.to_owned(),
        trust: 100,
    })
}

/// How indicators are imported.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportSearch {
    /// The feed that they belong to.
    #[param(required = true)]
    feed: Option<String>,
    /// `csv`, `plain`, `hosts`, `stix` or `misp`; told by the content where it is not said.
    format: Option<String>,
    /// How far the feed is trusted from now on, 0 to 100; as before, or 100, where it is not said.
    trust: Option<Loose>,
    /// `replace` (by default): they are all that the feed holds, and what it held besides ends; `merge`:
    /// they are added to it.
    mode: Option<String>,
    /// `true`: says what would come of it, and stores nothing.
    dry_run: Option<Loose>,
}

/// A line or an object, and what is to be said of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportTold {
    /// Where: `line 7`, or the id of an object.
    at: String,
    /// What.
    what: String,
}

impl From<&Told> for ImportTold {
    fn from(told: &Told) -> Self {
        ImportTold {
            at: told.at.to_string(),
            what: told.what.clone(),
        }
    }
}

/// What came of an import.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportAnswer {
    /// Whether nothing was stored because it was asked for so.
    dry_run: bool,
    /// The feed.
    feed: String,
    /// The format it was read as.
    format: &'static str,
    /// Indicators that are new, or have changed.
    added: u64,
    /// Indicators that ended, or have changed.
    ended: u64,
    /// Indicators that were there as they are.
    unchanged: u64,
    /// Indicators that the feed holds now, or would.
    indicators: i64,
    /// Lines or objects that could not be used.
    refused: u64,
    /// Objects that are no indicators, or no longer.
    left_out: u64,
    /// The first thousand that could not be used.
    errors: Vec<ImportTold>,
    /// The first thousand that are used otherwise than they say.
    notes: Vec<ImportTold>,
}

/// Bring indicators into a feed: CSV with named columns (abuse.ch's too), a plain list, a hosts file, a
/// bundle of STIX 2.1, or events of MISP, as the body. What cannot be used is named with its line or
/// object, and the rest is taken; where nothing can be taken, the answer is a 422 with the reasons.
#[utoipa::path(post, path = "/api/v1/indicators/import", params(ImportSearch), tag = "indicators",
    request_body(content = String, content_type = "text/plain",
        description = "CSV, a list, a hosts file, STIX or MISP, up to 16 MiB"),
    responses((status = 200, body = ImportAnswer), (status = 409), (status = 413), (status = 422),
        (status = 429)))]
pub(crate) async fn import(
    api: Data<Api>,
    caller: Caller,
    asked: InQuery<ImportSearch>,
    payload: Payload,
) -> Result<Json<ImportAnswer>, Problem> {
    let InQuery(search) = asked;
    let dry_run = Loose::flag(search.dry_run.as_ref(), "dry_run")?;
    let name = search
        .feed
        .as_deref()
        .ok_or_else(|| Problem::parameter("feed", "is missing"))?;
    let name = feed_name(name)?;
    let (format, replace) = (
        said_format(search.format.as_deref())?,
        replaces(search.mode.as_deref())?,
    );
    let trust = search.trust.as_ref().map(percent).transpose()?;
    let place = api.imports.take(caller.org()).await?;
    let body = place.body(payload, IMPORT_BYTES_MAX).await?;
    let of_feed = feed(name);
    let (_place, read) = place.work(move || take_in(&body, format, &of_feed)).await?;
    let (format, mut parsed, sha256) = read;
    let intake = Intake {
        feed: name.to_owned(),
        trust,
        indicators: Arc::new(std::mem::take(&mut parsed.indicators)),
        refused: parsed.refused,
        sha256,
        replace,
        dry_run,
        who: caller.name().to_owned(),
    };
    let bound = caller.bind(intake)?;
    let changes = indicators::take(&api.pg, &bound, async |changes: &Changes| {
        let entry = Entry::of("SYSTEM_CONFIG", "indicator.import").target("feed", name);
        let entry = entry
            .with("format", format.as_str())
            .with("added", changes.added);
        let entry = entry
            .with("ended", changes.ended)
            .with("refused", parsed.refused);
        api.trail.record(&caller, entry).await
    })
    .await?;
    Ok(Json(ImportAnswer {
        dry_run,
        feed: name.to_owned(),
        format: format.as_str(),
        added: changes.added,
        ended: changes.ended,
        unchanged: changes.kept,
        indicators: changes.indicators,
        refused: parsed.refused,
        left_out: parsed.left_out,
        errors: parsed.errors.iter().map(ImportTold::from).collect(),
        notes: parsed.notes.iter().map(ImportTold::from).collect(),
    }))
}

/// A format of feeds by its word.
pub(super) fn said_format(word: Option<&str>) -> Result<Option<Format>, Problem> {
    let Some(word) = word else {
        return Ok(None);
    };
    let format = Format::parse(word).filter(|format| *format != Format::WarningList);
    let why = "must be csv, plain, hosts, stix, misp or misp-feed";
    format
        .map(Some)
        .ok_or_else(|| Problem::parameter("format", why))
}

fn replaces(mode: Option<&str>) -> Result<bool, Problem> {
    match mode {
        None | Some("replace") => Ok(true),
        Some("merge") => Ok(false),
        Some(_) => Err(Problem::parameter("mode", "must be replace or merge")),
    }
}

fn percent(given: &Loose) -> Result<u8, Problem> {
    let number: u8 = given.number("trust")?;
    let fits = Some(number).filter(|number| *number <= 100);
    fits.ok_or_else(|| Problem::parameter("trust", "is not 0 to 100"))
}

/// What a body holds. Where that is nothing, the reasons are the answer.
fn take_in(
    body: &Bytes,
    format: Option<Format>,
    feed: &Arc<Feed>,
) -> Result<(Format, Parsed, String), Problem> {
    let refused = |detail: String| Problem::new(Refusal::Unprocessable, detail);
    let text =
        std::str::from_utf8(body).map_err(|_| refused("the body is not UTF-8".to_owned()))?;
    let (format, parsed) =
        parse::read(text, format, feed).map_err(|unread| refused(unread.to_string()))?;
    if parsed.indicators.is_empty() {
        let reasons = parsed.errors.iter().take(REASONS).map(ToString::to_string);
        let reasons: Vec<String> = reasons.collect();
        let detail = format!(
            "no indicator was found, read as {}: {}",
            format.as_str(),
            reasons.join("; ")
        );
        return Err(refused(detail));
    }
    Ok((format, parsed, hex(body)))
}

fn hex(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Remove an indicator of the organisation; what it matched stays as it is.
#[utoipa::path(delete, path = "/api/v1/indicators/{id}",
    params(("id" = i64, Path, description = "The indicator")), tag = "indicators",
    responses((status = 204), (status = 404)))]
pub(crate) async fn remove(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let number: i64 = id.parse().map_err(|_| Problem::not_found("indicator"))?;
    let bound = caller.bind(End(number))?;
    indicators::end(&api.pg, &bound, async |ended| {
        let entry =
            Entry::of("SYSTEM_CONFIG", "indicator.delete").target("indicator", &ended.value);
        let entry = entry
            .with("type", ended.kind.as_str())
            .with("feed", ended.feed.as_str());
        api.trail.record(&caller, entry).await
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
