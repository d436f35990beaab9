//! How a request is refused (`application/problem+json`, RFC 9457), and why a gateway stops.

use crate::quota::Allowance;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use millrace_runtime::boot::BootError;
use millrace_runtime::pg::PgError;
use millrace_shared::outcome::Refusal;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use thiserror::Error;

/// Why the gateway does not start, or stops.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// A setting or a listener.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// PostgreSQL's address, or its first answer.
    #[error(transparent)]
    Postgres(#[from] PgError),
    /// Redis's address.
    #[error("MILLRACE_REDIS_URL: {0}")]
    Redis(#[from] redis::RedisError),
    /// The installation's row is missing or senseless.
    #[error(
        "the table `installation` does not say how many shards there are: apply timescale-init"
    )]
    NoInstallation,
    /// The server failed.
    #[error("cannot serve: {0}")]
    Serve(#[source] std::io::Error),
}

/// What is wrong with one event of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventError {
    /// Place of the event in the body, from 0.
    pub index: u16,
    /// Stable code.
    pub code: Cow<'static, str>,
    /// In words; never repeats the value.
    pub reason: Cow<'static, str>,
}

/// A refused request.
#[derive(Debug)]
pub struct Problem {
    /// Which kind of refusal.
    pub refusal: Refusal,
    /// In words; never repeats what was sent.
    pub detail: Cow<'static, str>,
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    errors: Vec<EventError>,
    rejected: u32,
    retry_after_s: Option<u64>,
    allowance: Option<Allowance>,
    allow: Option<&'static str>,
    broken_off: bool,
    server_time: Option<i64>,
}

/// Seconds after which a sender may try again when nothing better is known: a Redis restart is
/// over by then, and a thousand agents do not come back all at once a moment later.
const RETRY_AFTER_S: u64 = 2;
/// A stream over its budget needs the worker to catch up, which takes longer.
const RETRY_AFTER_OVERLOADED_S: u64 = 5;

impl Problem {
    /// A refusal with its detail.
    pub fn new(refusal: Refusal, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem {
            refusal,
            detail: detail.into(),
            more: None,
        }
    }

    /// The one answer to an unknown key, a bad signature and a missing header alike.
    pub fn unauthorized() -> Self {
        Problem::new(
            Refusal::Unauthorized,
            "the key is unknown, or the signature is missing or wrong",
        )
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// With what is wrong with each event.
    pub fn with_errors(mut self, rejected: u32, errors: Vec<EventError>) -> Self {
        let more = self.more();
        (more.rejected, more.errors) = (rejected, errors);
        self
    }

    /// With the time after which to try again.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.more().retry_after_s = Some(seconds);
        self
    }

    /// With the state of the quota that refused it.
    pub fn with_allowance(mut self, allowance: Allowance) -> Self {
        self.more().allowance = Some(allowance);
        self
    }

    /// With the methods that the resource takes.
    pub fn allowing(mut self, methods: &'static str) -> Self {
        self.more().allow = Some(methods);
        self
    }

    /// Nothing more can be read of the connection.
    pub fn broken_off(mut self) -> Self {
        self.more().broken_off = true;
        self
    }

    /// Whether the rest of the request is not waited for: it does not come, or comes too slowly.
    pub fn is_last_word(&self) -> bool {
        let broken = self.more.as_ref().is_some_and(|more| more.broken_off);
        broken || self.refusal == Refusal::TooSlow
    }

    /// With the server's time, Unix seconds.
    pub fn at(mut self, server_time: i64) -> Self {
        self.more().server_time = Some(server_time);
        self
    }

    fn retry_after_s(&self) -> Option<u64> {
        let asked = self.more.as_ref().and_then(|more| more.retry_after_s);
        let default = if self.refusal == Refusal::Overloaded {
            Some(RETRY_AFTER_OVERLOADED_S)
        } else {
            matches!(self.refusal.status(), 429 | 503).then_some(RETRY_AFTER_S)
        };
        asked.or(default)
    }

    /// The answer.
    pub fn response(&self, request_id: &str) -> HttpResponse {
        let status = StatusCode::from_u16(self.refusal.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if self.is_last_word() {
            // More of the request may come, and nobody waits for it.
            response.force_close();
        }
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if let Some(seconds) = self.retry_after_s() {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(more) = &self.more {
            if let Some(allowance) = &more.allowance {
                response.insert_header(("ratelimit-policy", allowance.policy()));
                response.insert_header(("ratelimit", allowance.state()));
            }
            if let Some(methods) = more.allow {
                response.insert_header((header::ALLOW, HeaderValue::from_static(methods)));
            }
        }
        response.body(self.body(request_id))
    }

    /// The answer as bytes, for a request that never reached a handler. It ends the connection.
    pub fn raw(&self, request_id: &str) -> Vec<u8> {
        let body = self.body(request_id);
        let (status, title) = (self.refusal.status(), self.refusal.title());
        let head = format!(
            "HTTP/1.1 {status} {title}\r\ncontent-length: {}\r\nconnection: close\r\n\
             content-type: application/problem+json\r\nx-request-id: {request_id}\r\n\r\n",
            body.len()
        );
        [head.into_bytes(), body].concat()
    }

    fn body(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            code: &'a str,
            detail: &'a str,
            retryable: bool,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            server_time: Option<i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            rejected: Option<u32>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [EventError],
        }
        let more = self.more.as_deref();
        let refusal = self.refusal;
        let body = Body {
            r#type: format!("urn:millrace:problem:{}", refusal.code()),
            title: refusal.title(),
            status: refusal.status(),
            code: refusal.code(),
            detail: &self.detail,
            retryable: refusal.retryable(),
            request_id,
            server_time: more.and_then(|more| more.server_time),
            rejected: more.map(|more| more.rejected).filter(|n| *n > 0),
            errors: more.map_or(&[], |more| &more.errors),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_code_and_whether_to_try_again() {
        let problem = Problem::new(Refusal::Overloaded, "full").at(7);
        let response = problem.response("req-1");
        assert_eq!(response.status().as_u16(), 503);
        assert_eq!(response.headers().get("retry-after").unwrap(), "5");
        let body: serde_json::Value = serde_json::from_slice(&problem.body("req-1")).unwrap();
        assert_eq!(body["code"], "overloaded");
        assert_eq!(body["retryable"], true);
        assert_eq!(body["request_id"], "req-1");
        assert_eq!(body["server_time"], 7);
        assert!(body.get("errors").is_none());
    }

    #[test]
    fn only_what_may_be_tried_again_says_when() {
        for refusal in Refusal::ALL {
            let response = Problem::new(*refusal, "").response("r");
            let due = matches!(refusal.status(), 429 | 503);
            assert_eq!(
                response.headers().contains_key("retry-after"),
                due,
                "{refusal:?}"
            );
        }
    }
}
