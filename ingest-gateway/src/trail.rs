//! What is known of a request for its log line and its answer's headers, filled in on the way.

use crate::cors;
use crate::head::{Head, text};
use crate::key::Key;
use actix_web::http::ConnectionType;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use std::sync::Arc;
use uuid::Uuid;

/// Characters of a request id that is taken over; longer or odder ones are replaced.
const REQUEST_ID_MAX: usize = 128;

/// The trail of one request.
pub(crate) struct Trail {
    pub(crate) request_id: String,
    /// Trace and span of the caller, from `traceparent`.
    pub(crate) trace: Option<TraceParent>,
    /// Known once the signature is verified, or of a connection that has proven it.
    pub(crate) sender: Option<Arc<Key>>,
    /// The origin whose page may read the answer.
    readable_by: Option<String>,
}

/// The caller's place in its trace (W3C Trace Context, version 00).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
}

impl Trail {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let headers = request.headers();
        let request_id = text(headers, "x-request-id")
            .filter(|id| is_request_id(id))
            .map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned);
        Trail {
            request_id,
            trace: trace_parent(headers),
            sender: None,
            readable_by: None,
        }
    }

    /// Remembers which page may read the answer.
    pub(crate) fn may_answer(&mut self, head: &Head<'_>, key: Option<&Key>) {
        self.readable_by = cors::readable_by(head, key);
    }

    /// Puts the headers that every answer carries.
    pub(crate) fn finish(&self, response: &mut HttpResponse, close: bool) {
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            let name = HeaderName::from_static("x-request-id");
            response.headers_mut().insert(name, id);
        }
        let headers = response.headers_mut();
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some(origin) = &self.readable_by {
            cors::allow(headers, origin);
        }
        if close {
            response
                .head_mut()
                .set_connection_type(ConnectionType::Close);
        }
    }
}

fn is_request_id(id: &str) -> bool {
    let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/');
    (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(sane)
}

fn trace_parent(headers: &HeaderMap) -> Option<TraceParent> {
    let hex = |text: &str, length: usize| {
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fits = text.len() == length && text.bytes().all(lower);
        (fits && text.bytes().any(|b| b != b'0')).then(|| text.to_owned())
    };
    let mut parts = text(headers, "traceparent")?.split('-');
    if parts.next()? != "00" {
        return None;
    }
    Some(TraceParent {
        trace_id: hex(parts.next()?, 32)?,
        span_id: hex(parts.next()?, 16)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn trail(name: &'static str, value: &str) -> Trail {
        let request = TestRequest::post().insert_header((name, value.to_owned()));
        Trail::of(&request.to_http_request())
    }

    #[test]
    fn a_sane_request_id_is_taken_and_an_odd_one_replaced() {
        assert_eq!(trail("x-request-id", "req-1:a/b").request_id, "req-1:a/b");
        for odd in ["", "a b", "<script>", &"x".repeat(129)] {
            let made = trail("x-request-id", odd).request_id;
            assert_eq!(made.len(), 32, "{odd}");
        }
    }

    #[test]
    fn a_trace_parent_is_taken_when_it_is_one() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = trail("traceparent", good).trace.unwrap();
        assert_eq!(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.span_id, "b7ad6b7169203331");
        for bad in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "nonsense",
        ] {
            assert_eq!(trail("traceparent", bad).trace, None, "{bad}");
        }
    }
}
