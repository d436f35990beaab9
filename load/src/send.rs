//! One request and what becomes of it: answered, refused, or without an answer.

use crate::clock::now_ns;
use crate::error::LoadError;
use crate::sign::{How, Scheme, headers};
use crate::target::Target;
use bytes::Bytes;
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::{Signal, signature};
use serde::Deserialize;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An answer that takes longer than this counts as none: the gateway's own limits are shorter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The first wait after a request without an answer, doubled each time up to the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LONGEST: Duration = Duration::from_secs(5);
/// A `Retry-After` beyond this is waited for in parts, so that a recovered server is found.
const RETRY_AFTER_LONGEST: Duration = Duration::from_secs(30);

/// A body ready to be signed and sent, as often as need be.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The signal, which decides the path.
    pub signal: Signal,
    /// The bytes as sent.
    pub bytes: Bytes,
    /// The idempotency key; empty for none.
    pub id: String,
}

/// A 2xx answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// What the gateway calls the batch.
    pub batch_id: String,
    /// Events accepted.
    pub accepted: u32,
    /// Events rejected.
    pub rejected: u32,
    /// Whether this is the remembered answer to an earlier request.
    pub replayed: bool,
    /// Whether the receipt was signed by the holder of the secret.
    pub receipt_holds: bool,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken.
    Acknowledged(Acknowledged),
    /// Refused.
    Refused {
        /// The status.
        status: u16,
        /// The `code` of the problem document.
        code: String,
        /// Whether the same request may succeed later.
        retryable: bool,
        /// The wait that was asked for.
        retry_after: Option<Duration>,
    },
    /// No answer: it may have been taken or not.
    Unanswered(String),
}

impl Outcome {
    /// Whether it was taken.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        matches!(self, Outcome::Acknowledged(_))
    }
}

#[derive(Deserialize)]
struct Accepted {
    batch_id: String,
    accepted: u32,
    rejected: u32,
    #[serde(default)]
    replayed: bool,
}

#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    retryable: Option<bool>,
}

/// Sends requests as one ingest key.
#[derive(Clone, Debug)]
pub struct Sender {
    client: reqwest::Client,
    target: Target,
    how: How,
}

impl Sender {
    /// A sender that holds up to `connections` connections open.
    ///
    /// # Errors
    /// When no TLS is to be had from the system.
    pub fn new(target: Target, how: How, connections: usize) -> Result<Self, LoadError> {
        let client = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .pool_max_idle_per_host(connections)
            .build()?;
        Ok(Sender {
            client,
            target,
            how,
        })
    }

    /// Whether its signature scheme asks for an idempotency key.
    #[must_use]
    pub fn needs_id(&self) -> bool {
        self.how.scheme == Scheme::Webhook
    }

    /// Packs a body for this sender.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub fn pack(&self, signal: Signal, json: &str, id: String) -> Result<Packed, LoadError> {
        let bytes = self.how.encoding.pack(json.as_bytes());
        let bytes = bytes.map_err(|error| LoadError::Option(format!("compression: {error}")))?;
        Ok(Packed {
            signal,
            bytes: Bytes::from(bytes),
            id,
        })
    }

    /// One attempt, signed anew.
    pub async fn once(&self, packed: &Packed) -> Outcome {
        let now_s = now_ns() / NS_PER_SECOND;
        let url = format!("{}/v1/{}", self.target.gateway_url, packed.signal);
        let mut request = self.client.post(url).body(packed.bytes.clone());
        for (name, value) in headers(&self.target, self.how, &packed.bytes, &packed.id, now_s) {
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(response) => self.read(packed, response).await,
            Err(error) => Outcome::Unanswered(causes(&error)),
        }
    }

    /// Attempts until the batch is taken, finally refused, or `stop` is called. Says how many
    /// attempts that took.
    pub async fn until_acknowledged(
        &self,
        packed: &Packed,
        stop: &CancellationToken,
    ) -> (Outcome, u32) {
        let mut backoff = BACKOFF_FIRST;
        let mut attempts = 0;
        loop {
            let outcome = self.once(packed).await;
            attempts += 1;
            let Some(wait) = wait_before_retry(&outcome, backoff) else {
                return (outcome, attempts);
            };
            backoff = (backoff * 2).min(BACKOFF_LONGEST);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return (outcome, attempts),
            }
        }
    }

    async fn read(&self, packed: &Packed, response: reqwest::Response) -> Outcome {
        let status = response.status().as_u16();
        let header = |name| {
            let value = response.headers().get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        let receipt = header("x-receipt");
        let retry_after = header("retry-after").and_then(|text| text.parse().ok());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Outcome::Unanswered(causes(&error)),
        };
        if !(200..300).contains(&status) {
            let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
            let retryable = matches!(status, 408 | 429 | 500..=599);
            return Outcome::Refused {
                status,
                code: problem.code,
                retryable: problem.retryable.unwrap_or(retryable),
                retry_after: retry_after.map(Duration::from_secs),
            };
        }
        match serde_json::from_slice(&body) {
            Ok(accepted) => Outcome::Acknowledged(self.acknowledged(packed, accepted, receipt)),
            Err(error) => Outcome::Unanswered(format!("{status} with an odd body: {error}")),
        }
    }

    fn acknowledged(
        &self,
        packed: &Packed,
        accepted: Accepted,
        receipt: Option<String>,
    ) -> Acknowledged {
        let expected = signature::receipt(
            &self.target.secret,
            &accepted.batch_id,
            accepted.accepted,
            accepted.rejected,
            &signature::digest(&packed.bytes),
        );
        Acknowledged {
            batch_id: accepted.batch_id,
            accepted: accepted.accepted,
            rejected: accepted.rejected,
            replayed: accepted.replayed,
            receipt_holds: receipt.as_deref() == Some(expected.as_str()),
        }
    }
}

/// How long to wait before the next attempt; `None` when there is to be none.
fn wait_before_retry(outcome: &Outcome, backoff: Duration) -> Option<Duration> {
    match outcome {
        Outcome::Acknowledged(_) => None,
        Outcome::Unanswered(_) => Some(backoff),
        Outcome::Refused {
            retryable: false, ..
        } => None,
        Outcome::Refused { retry_after, .. } => {
            Some(retry_after.unwrap_or(backoff).min(RETRY_AFTER_LONGEST))
        }
    }
}

/// An error with its causes: the outermost alone says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_succeed_later_is_tried_again() {
        let refused = |status, retryable, retry_after| Outcome::Refused {
            status,
            code: String::new(),
            retryable,
            retry_after,
        };
        let short = Duration::from_millis(100);
        let asked = Duration::from_secs(7);
        let wait = |outcome| wait_before_retry(&outcome, short);
        assert_eq!(wait(Outcome::Acknowledged(Acknowledged::default())), None);
        assert_eq!(wait(refused(401, false, None)), None);
        assert_eq!(wait(refused(503, true, None)), Some(short));
        assert_eq!(wait(refused(429, true, Some(asked))), Some(asked));
        assert_eq!(wait(Outcome::Unanswered(String::new())), Some(short));
    }
}
