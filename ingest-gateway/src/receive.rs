//! The whole body, capped in size, in time and in what all requests hold together.

use crate::error::Problem;
use crate::head::Head;
use crate::pressure::{Pressure, Room};
use actix_web::error::PayloadError;
use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use millrace_shared::outcome::Refusal;
use std::sync::Arc;
use std::time::Duration;

/// How long a refused body is waited for: most of it is on its way when the answer is known.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// Caps on a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) wire_bytes: usize,
    pub(crate) time: Duration,
}

/// A body that arrived whole; nothing in it is believed.
pub(crate) struct Received<'h> {
    pub(crate) head: Head<'h>,
    pub(crate) body: Bytes,
    /// Held until the request is answered.
    pub(crate) room: Option<Room>,
}

/// Receives the body.
///
/// # Errors
/// 408, 413, 503, or 400 when the sender breaks off.
pub(crate) async fn receive<'h>(
    head: Head<'h>,
    payload: &mut web::Payload,
    caps: Caps,
    pressure: &Arc<Pressure>,
) -> Result<Received<'h>, Problem> {
    if head.length.is_some_and(|length| length > caps.wire_bytes) {
        return Err(too_large(caps));
    }
    let mut room = pressure.room();
    let body = collect(payload, head.length.unwrap_or(0), caps, &mut room);
    match tokio::time::timeout(caps.time, body).await {
        Ok(body) => Ok(Received {
            head,
            body: body?,
            room: Some(room),
        }),
        Err(_) => {
            let seconds = caps.time.as_secs();
            let detail = format!("the body did not arrive within {seconds} s");
            Err(Problem::new(Refusal::TooSlow, detail))
        }
    }
}

/// Reads what is left of the body of a request that was refused, and forgets it: were the
/// connection closed upon it, the sender would see a reset in place of the answer. Gives up on a
/// body that is too large or too slow; the connection then lingers and is closed.
pub(crate) async fn discard(payload: &mut web::Payload, wire_bytes: usize) {
    let rest = async {
        let mut length = 0;
        while let Some(Ok(chunk)) = payload.next().await {
            length += chunk.len();
            if length > wire_bytes {
                return;
            }
        }
    };
    let _slow = tokio::time::timeout(DISCARD_TIME, rest).await;
}

async fn collect(
    payload: &mut web::Payload,
    expected: usize,
    caps: Caps,
    room: &mut Room,
) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut body = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| broken(&error))?;
        length += chunk.len();
        if length > caps.wire_bytes {
            return Err(too_large(caps));
        }
        room.grow(chunk.len())?;
        if first.is_empty() && body.is_empty() {
            // A small body comes in one piece and is never copied.
            first = chunk;
            continue;
        }
        if body.is_empty() {
            body.reserve(expected.max(first.len() + chunk.len()));
            body.extend_from_slice(&first);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(if body.is_empty() {
        first
    } else {
        body.freeze()
    })
}

fn too_large(caps: Caps) -> Problem {
    let detail = format!("a body may have {} bytes on the wire", caps.wire_bytes);
    Problem::new(Refusal::TooLarge, detail)
}

fn broken(error: &PayloadError) -> Problem {
    tracing::debug!(%error, "body broken off");
    let detail = "the body broke off or its framing is damaged";
    Problem::new(Refusal::BadHeader, detail).broken_off()
}
