//! Dead letters: list, show, replay, drop.

use crate::Api;
use crate::ask::{Asked, Loose, limit};
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::dead_letters::{
    self, Close, Contents, DeadLetter, LetterById, Listing, RawLetter,
};
use crate::trail::Entry;
use actix_web::web::{Data, Json, Path};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_shared::entry::Meta;
use millrace_shared::inflate::inflate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Letters of a page unless said otherwise, and at most.
const LETTERS: (u32, u32) = (100, 1000);

/// What dead letters are listed by.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LetterSearch {
    /// PARKED, REPLAYED, DROPPED or EXPIRED.
    state: Option<String>,
    /// Only of this signal.
    signal: Option<String>,
    /// Only for this reason.
    reason: Option<String>,
    /// Letters, 1 to 1000.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<Loose>,
}

/// A page of dead letters, newest first, without their contents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LettersAnswer {
    /// The letters.
    dead_letters: Vec<DeadLetter>,
    /// Give this as `cursor` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List dead letters.
#[utoipa::path(get, path = "/api/v1/dead-letters", params(LetterSearch), tag = "dead letters",
    responses((status = 200, body = LettersAnswer)))]
pub(crate) async fn list(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<LetterSearch>,
) -> Result<Json<LettersAnswer>, Problem> {
    let Asked(search) = asked;
    let limit = limit(search.limit.as_ref(), LETTERS.0, LETTERS.1)?;
    let listing = Listing {
        state: search.state.map(|state| state.to_uppercase()),
        signal: search.signal,
        reason: search.reason,
        before: search
            .cursor
            .map(|cursor| cursor.number("cursor"))
            .transpose()?,
        limit: i64::from(limit) + 1,
    };
    let mut letters = api.pg.rows(&caller.bind(listing)?).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = letters.len() > most;
    letters.truncate(most);
    Ok(Json(LettersAnswer {
        next_cursor: letters
            .last()
            .filter(|_| more)
            .map(|letter| letter.id.to_string()),
        dead_letters: letters,
    }))
}

/// Whether the contents are asked for too.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LetterOf {
    /// `true` for the contents, which are raw and may hold personal data: needs the permission
    /// `dead_letters:raw`, and is recorded.
    raw: Option<Loose>,
}

/// A dead letter, with its contents if they were asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterAnswer {
    /// The letter.
    #[serde(flatten)]
    letter: DeadLetter,
    /// The contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Raw>,
}

/// The contents of a dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Raw {
    /// The entry's description.
    meta: String,
    /// What was said when it was parked.
    detail: String,
    /// The body as it stood in the stream, base64.
    body_base64: String,
    /// The body as text, where it can be inflated and is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_text: Option<String>,
}

/// Show a dead letter.
#[utoipa::path(get, path = "/api/v1/dead-letters/{id}", tag = "dead letters",
    params(("id" = i64, Path, description = "The letter"), LetterOf),
    responses((status = 200, body = LetterAnswer), (status = 403), (status = 404)))]
pub(crate) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    asked: Asked<LetterOf>,
) -> Result<Json<LetterAnswer>, Problem> {
    let id = letter_id(&id)?;
    let wants_raw = asked
        .0
        .raw
        .is_some_and(|raw| raw.0 == "true" || raw.0 == "1");
    let contents = wants_raw.then(|| caller.bind(Contents(id))).transpose()?;
    let letter = api.pg.first(&caller.bind(LetterById(id))?).await?;
    let letter = letter.ok_or_else(|| Problem::not_found("dead letter"))?;
    let raw = match contents {
        None => None,
        Some(contents) => {
            let entry = Entry::of("DATA_PRIVACY", "dead_letter.read_raw");
            api.trail
                .record(&caller, entry.target("dead_letter", &id.to_string()))
                .await?;
            api.pg.first(&contents).await?.map(raw)
        }
    };
    Ok(Json(LetterAnswer { letter, raw }))
}

fn raw(letter: RawLetter) -> Raw {
    let meta = Meta::parse(&letter.meta).ok();
    let inflated = meta.and_then(|meta| {
        let bytes = inflate(meta.encoding(), &letter.body).ok()?;
        String::from_utf8(bytes.into_owned()).ok()
    });
    Raw {
        meta: String::from_utf8_lossy(&letter.meta).into_owned(),
        detail: letter.detail,
        body_base64: STANDARD.encode(&letter.body),
        body_text: inflated,
    }
}

/// What is no number names no letter.
fn letter_id(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::not_found("dead letter"))
}

/// What became of a letter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClosedAnswer {
    /// The letter.
    id: i64,
    /// `REPLAYED` or `DROPPED`.
    state: &'static str,
    /// The entry that a replay became.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
}

/// Send a dead letter through the pipeline again, exactly once.
#[utoipa::path(post, path = "/api/v1/dead-letters/{id}/replay", tag = "dead letters",
    params(("id" = i64, Path, description = "The letter")),
    responses((status = 200, body = ClosedAnswer), (status = 404), (status = 409), (status = 422)))]
pub(crate) async fn replay(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<ClosedAnswer>, Problem> {
    let id = letter_id(&id)?;
    let who = caller.name().to_owned();
    let bound = caller.bind(Close { id, who })?;
    let entry =
        Entry::of("SYSTEM_CONFIG", "dead_letter.replay").target("dead_letter", &id.to_string());
    let record = async || api.trail.record(&caller, entry).await;
    let entry = dead_letters::replay((&api.pg, &api.streams), &bound, record).await?;
    Ok(Json(ClosedAnswer {
        id,
        state: "REPLAYED",
        entry: Some(entry),
    }))
}

/// Give a dead letter up for good: its contents are erased.
#[utoipa::path(post, path = "/api/v1/dead-letters/{id}/drop", tag = "dead letters",
    params(("id" = i64, Path, description = "The letter")),
    responses((status = 200, body = ClosedAnswer), (status = 404), (status = 409)))]
pub(crate) async fn drop_letter(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<ClosedAnswer>, Problem> {
    let id = letter_id(&id)?;
    let who = caller.name().to_owned();
    let bound = caller.bind(Close { id, who })?;
    let entry =
        Entry::of("SYSTEM_CONFIG", "dead_letter.drop").target("dead_letter", &id.to_string());
    let record = async || api.trail.record(&caller, entry).await;
    dead_letters::drop_letter(&api.pg, &bound, record).await?;
    Ok(Json(ClosedAnswer {
        id,
        state: "DROPPED",
        entry: None,
    }))
}
