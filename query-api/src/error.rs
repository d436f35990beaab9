//! The one way in which a request fails here: a refusal with its detail, answered as
//! `application/problem+json`. Never carries rows, SQL or secrets.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

/// Why a request is refused, and what to tell about it.
#[derive(Clone, Debug, Error)]
#[error("{detail}")]
pub struct Problem {
    refusal: Refusal,
    detail: String,
}

/// The body of an error answer (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// A link that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short title.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The stable code, for programs.
    pub code: &'static str,
    /// What happened, for people.
    pub detail: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The id of the request, to be quoted to the operator.
    pub request_id: String,
}

impl Problem {
    /// A refusal with its detail.
    pub fn new(refusal: Refusal, detail: impl Into<String>) -> Self {
        Problem {
            refusal,
            detail: detail.into(),
        }
    }

    /// A parameter that cannot be used.
    pub fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Problem::new(Refusal::BadParameter, format!("{name} {why}"))
    }

    /// Something that does not exist in the caller's organisation.
    pub fn not_found(what: &str) -> Self {
        Problem::new(Refusal::NotFound, format!("there is no such {what}"))
    }

    /// A store that cannot be asked.
    pub fn store_down(store: &str) -> Self {
        let detail = format!("{store} cannot be reached; nothing was read, try again later");
        Problem::new(Refusal::DependencyDown, detail)
    }

    /// A fault of ours; the cause goes to the log only.
    pub fn internal(what: &'static str, cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(cause = %cause, "{what}");
        Problem::new(Refusal::Internal, what)
    }

    /// The kind of refusal.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        self.refusal
    }

    /// The answer, with the id of its request.
    #[must_use]
    pub fn response(&self, request_id: &str) -> HttpResponse {
        let refusal = self.refusal;
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if let Some(seconds) = retry_after(refusal) {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if refusal.status() == StatusCode::UNAUTHORIZED.as_u16() {
            response.insert_header(("www-authenticate", "Bearer"));
        }
        response.body(serde_json::to_string(&self.body(request_id)).unwrap_or_default())
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self, request_id: &str) -> ProblemBody {
        let refusal = self.refusal;
        ProblemBody {
            kind: format!("urn:millrace:problem:{}", refusal.code()),
            title: refusal.title(),
            status: refusal.status(),
            code: refusal.code(),
            detail: self.detail.clone(),
            retryable: refusal.retryable(),
            request_id: request_id.to_owned(),
        }
    }
}

/// Seconds after which it is worth trying again: a query slot frees within a second, a store takes
/// some to come back, and what timed out does so again at once.
const fn retry_after(refusal: Refusal) -> Option<u32> {
    match refusal.status() {
        429 => Some(1),
        503 => Some(5),
        504 => Some(30),
        _ => None,
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response("")
    }
}
