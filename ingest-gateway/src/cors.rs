//! What browsers ask before they let a page send: preflights and `Access-Control-…` headers.
//! Only `/v1/rum` is for browsers, and only a public key's own origins may read its answers.

use crate::head::{Head, text};
use crate::key::Key;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use millrace_shared::Signal;

/// Seconds for which a browser need not ask again: Chromium's own limit is two hours.
const MAX_AGE_S: &str = "7200";
const ALLOWED_HEADERS: &str = "content-type, content-encoding, x-org-key, x-idempotency-key, idempotency-key, x-request-id, traceparent";
const EXPOSED_HEADERS: &str = "x-batch-id, x-request-id, retry-after, ratelimit, ratelimit-policy";

/// Answers a preflight. The key is not in it, so every origin may ask; whether it may send is
/// decided when it sends.
pub(crate) fn preflight(request: &HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::VARY, "Origin"));
    if let Some(origin) = text(request.headers(), "origin") {
        response
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin))
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST"))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S));
    }
    response.finish()
}

/// The origin whose page may read the answer, if any.
pub(crate) fn readable_by(head: &Head<'_>, key: Option<&Key>) -> Option<String> {
    let origin = head.credentials.origin?;
    let key = key.filter(|key| key.public)?;
    (head.signal == Signal::Rum && key.allows_origin(origin)).then(|| origin.to_owned())
}

/// Lets the page read the answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: &str) {
    let Ok(origin) = HeaderValue::from_str(origin) else {
        return;
    };
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}
