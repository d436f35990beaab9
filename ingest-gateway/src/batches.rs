//! `GET /v1/batches/{batch_id}`: where a batch is, from the ledger. Tells only its own
//! organisation: the id is checked against the organisation of the key that signed.

use crate::error::Problem;
use crate::gateway::Gateway;
use crate::head::{Credentials, parameter};
use crate::loss;
use crate::store::{self, Place};
use crate::trail::Trail;
use actix_web::{HttpRequest, HttpResponse};
use millrace_runtime::clock;
use millrace_runtime::pg::Pool;
use millrace_shared::ids::BatchId;
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that `?wait=` waits: below the time-outs of common proxies.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long it waits when no time is given.
const WAIT_DEFAULT: Duration = Duration::from_secs(5);
/// Pause between two looks into the ledger: a tenth of the time a batch usually takes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How far a batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// In the stream, in no ledger batch.
    Queued,
    /// In a ledger batch that is being written.
    Prepared,
    /// Stored.
    Committed,
    /// Stored, and counted in the stores.
    Audited,
    /// Parked whole, with its reason.
    DeadLettered,
    /// Lost by Redis before it was stored: send it again, under the same idempotency key.
    Lost,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Status {
    state: State,
    /// Events of it that are parked.
    dead_lettered: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prepared_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audited_at_ms: Option<i64>,
}

impl Status {
    const QUEUED: Status = Status {
        state: State::Queued,
        dead_lettered: 0,
        prepared_at_ms: None,
        committed_at_ms: None,
        audited_at_ms: None,
    };
    const LOST: Status = Status {
        state: State::Lost,
        ..Status::QUEUED
    };
}

/// Answers where a batch is, waiting for it where that is asked.
pub(crate) async fn status(
    gateway: &Gateway,
    batch_id: &str,
    request: &HttpRequest,
    trail: &mut Trail,
) -> Result<HttpResponse, Problem> {
    let shared = &gateway.shared;
    shared.pressure.admit()?;
    let credentials = Credentials::read(request, &shared.config.trusted_proxies)?;
    shared.quotas.admit_address(credentials.address)?;
    let (goal, time) = wait(request.query_string())?;
    let key = shared.keys.find(credentials.key_id).await?;
    let sender = shared
        .verifier
        .sender(&credentials, key, b"", clock::now_ns())?;
    trail.sender = Some(sender.key.clone());
    if sender.key.public {
        let detail = "a public key is for /v1/rum only";
        return Err(Problem::new(Refusal::Forbidden, detail));
    }
    shared.quotas.take(&sender.key.buckets.requests, 1)?;
    let id = shared
        .batch_ids
        .parse(sender.key.org, batch_id)
        .map_err(|_| {
            Problem::new(
                Refusal::NotFound,
                "no batch of this organisation has that id",
            )
        })?;
    let deadline = Instant::now() + time;
    loop {
        let status = look(gateway, id).await?;
        let reached = goal.is_none_or(|goal| status.state >= goal);
        if reached || Instant::now() >= deadline || shared.pressure.is_going_down() {
            return Ok(answer(batch_id, id, status));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn answer(batch_id: &str, id: BatchId, status: Status) -> HttpResponse {
    #[derive(Serialize)]
    struct Body<'a> {
        batch_id: &'a str,
        signal: &'a str,
        accepted_at_ms: u64,
        #[serde(flatten)]
        status: Status,
    }
    HttpResponse::Ok().json(Body {
        batch_id,
        signal: id.shard.signal.as_str(),
        accepted_at_ms: id.entry.ms,
        status,
    })
}

/// The state to wait for and how long.
fn wait(query: &str) -> Result<(Option<State>, Duration), Problem> {
    let bad = |detail| Problem::new(Refusal::BadParameter, detail);
    let goal = match parameter(query, "wait") {
        None => return Ok((None, Duration::ZERO)),
        Some("prepared") => State::Prepared,
        Some("committed") => State::Committed,
        Some("audited") => State::Audited,
        Some(_) => return Err(bad("wait must be prepared, committed or audited")),
    };
    let time = match parameter(query, "timeout") {
        None => WAIT_DEFAULT,
        Some(text) => duration(text).ok_or_else(|| bad("timeout must be as 5s or 500ms"))?,
    };
    Ok((Some(goal), time.min(WAIT_MAX)))
}

fn duration(text: &str) -> Option<Duration> {
    if let Some(number) = text.strip_suffix("ms") {
        return number.parse().ok().map(Duration::from_millis);
    }
    let number = text.strip_suffix('s').unwrap_or(text);
    number.parse().ok().map(Duration::from_secs)
}

/// What the ledger, and else the stream, says about an entry.
async fn look(gateway: &Gateway, id: BatchId) -> Result<Status, Problem> {
    let pool = &gateway.shared.pool;
    if let Some(found) = place(pool, id).await? {
        return Ok(known(&found));
    }
    if loss::is_waiting(&mut gateway.appender.connection(), id).await? {
        return Ok(Status::QUEUED);
    }
    // In neither: it was read meanwhile, or it is lost; a worker may have a young one in hand.
    let found = place(pool, id).await?;
    let age_ms = u64::try_from(clock::now_ns() / 1_000_000)
        .unwrap_or(0)
        .saturating_sub(id.entry.ms);
    let absent = if Duration::from_millis(age_ms) > loss::SETTLE {
        Status::LOST
    } else {
        Status::QUEUED
    };
    Ok(found.as_ref().map_or(absent, known))
}

async fn place(pool: &Pool, id: BatchId) -> Result<Option<Place>, Problem> {
    store::place(pool, id).await.map_err(|error| {
        tracing::warn!(%error, "ledger cannot be asked");
        let detail = "the ledger cannot be asked at the moment";
        Problem::new(Refusal::DependencyDown, detail)
    })
}

fn known(found: &Place) -> Status {
    let (state, times) = match &found.batch {
        Some(batch) => (
            match batch.state.as_str() {
                "PREPARED" => State::Prepared,
                "COMMITTED" => State::Committed,
                "PARKED" => State::DeadLettered,
                _ => State::Audited,
            },
            batch.times_ms,
        ),
        // Behind the cursor and in no batch that the ledger still lists: audited long ago.
        None => (State::Audited, [None; 3]),
    };
    let [prepared_at_ms, committed_at_ms, audited_at_ms] = times;
    Status {
        state: match (found.lost, found.dead_whole) {
            (true, _) => State::Lost,
            (false, true) => State::DeadLettered,
            (false, false) => state,
        },
        dead_lettered: found.dead_lettered,
        prepared_at_ms,
        committed_at_ms,
        audited_at_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_asked_for_in_words_and_bounded() {
        assert_eq!(wait("").unwrap(), (None, Duration::ZERO));
        assert_eq!(
            wait("wait=committed").unwrap(),
            (Some(State::Committed), WAIT_DEFAULT)
        );
        let short = wait("wait=audited&timeout=250ms").unwrap();
        assert_eq!(short, (Some(State::Audited), Duration::from_millis(250)));
        assert_eq!(wait("wait=prepared&timeout=9999s").unwrap().1, WAIT_MAX);
        assert!(wait("wait=done").is_err());
        assert!(wait("wait=committed&timeout=soon").is_err());
    }
}
