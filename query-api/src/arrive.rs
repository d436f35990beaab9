//! What happens to every request before and after its handler: its id, its metrics, and problems
//! answered with that id. Decides nothing.

use crate::error::Problem;
use crate::metrics;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use millrace_shared::outcome::Refusal;
use std::time::Instant;
use uuid::Uuid;

const REQUEST_ID: &str = "x-request-id";
/// Characters of a request id that are taken over from the client.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The id as it was settled when the request arrived.
#[derive(Clone, Debug)]
struct RequestId(String);

/// The id of a request.
#[must_use]
pub(crate) fn request_id(request: &HttpRequest) -> String {
    let extensions = request.extensions();
    extensions
        .get::<RequestId>()
        .map(|id| id.0.clone())
        .unwrap_or_default()
}

/// Wraps every handler.
///
/// # Errors
/// Those of the handler that are no [`Problem`]; there are none.
pub(crate) async fn wrap(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = settle(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let pattern = request.match_pattern();
    let method = metrics::method(request.method().as_str());
    let route = metrics::route(pattern.as_deref());
    let response = next.call(request).await?.map_into_boxed_body();
    let mut response = with_id(response, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static(REQUEST_ID), value);
    }
    let status = response.status().as_u16();
    metrics::REQUESTS.add(&[method, route, metrics::status_class(status)], 1);
    metrics::DURATION.observe(&[route], started.elapsed().as_secs_f64());
    tracing::info!(request_id = %id, method, route, status, "answered");
    Ok(response)
}

/// Problems are told again with the request's id, which their makers do not know.
fn with_id(response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let problem = response
        .response()
        .error()
        .and_then(|error| error.as_error::<Problem>());
    match problem.cloned() {
        Some(problem) => response.into_response(problem.response(id)),
        None => response,
    }
}

fn settle(request: &ServiceRequest) -> String {
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let usable = |id: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    match given.filter(usable) {
        Some(id) => id.to_owned(),
        None => Uuid::now_v7().to_string(),
    }
}

/// What no route answers.
///
/// # Errors
/// Always 404.
pub(crate) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(
        Refusal::NotFound,
        "there is nothing at this path; see /docs",
    ))
}

/// What a route does not answer.
///
/// # Errors
/// Always 405.
pub(crate) async fn not_allowed() -> Result<HttpResponse, Problem> {
    let detail = "this path does not answer that method; see /docs";
    Err(Problem::new(Refusal::MethodNotAllowed, detail))
}
