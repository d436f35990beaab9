//! What a request's headers claim, before a byte of its body is read. Believes none of it yet.

use crate::address;
use crate::error::Problem;
use actix_web::HttpRequest;
use actix_web::http::Uri;
use actix_web::http::header::{self, HeaderMap};
use ipnet::IpNet;
use millrace_shared::Signal;
use millrace_shared::inflate::Encoding;
use millrace_shared::limits::IDEMPOTENCY_KEY_MAX;
use millrace_shared::outcome::Refusal;
use millrace_shared::signature::{self, Claim};
use millrace_shared::wire::BodyFormat;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Headers with which other systems name a tenant. Here the key alone says whose data it is, so a
/// sender who sets one of these is mistaken about where the data will go.
const TENANT_HEADERS: [&str; 14] = [
    "x-org-id",
    "x-org",
    "x-organisation",
    "x-organisation-id",
    "x-organization",
    "x-organization-id",
    "x-tenant",
    "x-tenant-id",
    "x-company-id",
    "x-account-id",
    "x-customer-id",
    "x-workspace-id",
    "x-project-id",
    "x-scope-orgid",
];
/// Characters of an ingest key's id (the control database's own check).
const KEY_ID_MAX: usize = 64;

/// Who a request says it is from.
#[derive(Debug)]
pub(crate) struct Credentials<'h> {
    /// The id of the key, when one of possible form is named.
    pub(crate) key_id: Option<&'h str>,
    /// The signature, when there is one of possible form.
    pub(crate) claim: Option<Claim<'h>>,
    /// Where a browser says the page is from.
    pub(crate) origin: Option<&'h str>,
    /// The address it came from.
    pub(crate) address: IpAddr,
}

/// What the headers of an ingest request say.
#[derive(Debug)]
pub(crate) struct Head<'h> {
    pub(crate) signal: Signal,
    pub(crate) credentials: Credentials<'h>,
    pub(crate) format: BodyFormat,
    /// `text/plain`, which only a public key may send (`sendBeacon`).
    pub(crate) plain_text: bool,
    pub(crate) encoding: Encoding,
    pub(crate) length: Option<usize>,
    pub(crate) idempotency_key: Option<&'h str>,
    pub(crate) user_agent: Option<&'h str>,
    /// `?validate=true`: check everything, store nothing.
    pub(crate) validate_only: bool,
}

/// A header as text: `None` when it is absent or not visible ASCII.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// A header that may occur once only.
fn single<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(value) => Ok(Some(value.trim())),
            Err(_) => Err(bad(format!("{name} is not visible ASCII"))),
        },
        (Some(_), Some(_)) => Err(bad(format!("{name} occurs more than once"))),
    }
}

fn bad(detail: String) -> Problem {
    Problem::new(Refusal::BadHeader, detail)
}

/// The value of a query parameter, as it stands.
pub(crate) fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

impl<'h> Credentials<'h> {
    /// Reads them from a request.
    ///
    /// # Errors
    /// 400 when a header names a tenant or occurs twice; never for a bad signature.
    pub(crate) fn read(request: &'h HttpRequest, trusted: &[IpNet]) -> Result<Self, Problem> {
        let headers = request.headers();
        let host = single(headers, "host")?;
        if host.is_some_and(|host| !is_authority(host)) || !is_target(request.uri()) {
            return Err(bad("the host or the target is not well-formed".to_owned()));
        }
        if let Some(name) = TENANT_HEADERS
            .iter()
            .find(|name| headers.contains_key(**name))
        {
            return Err(bad(format!(
                "{name} is refused: the organisation follows from x-org-key alone"
            )));
        }
        let peer = request
            .peer_addr()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let forwarded: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .filter_map(|value| value.to_str().ok())
            .collect();
        Ok(Credentials {
            key_id: single(headers, "x-org-key")?.filter(|id| is_key_id(id)),
            claim: claim(headers)?,
            origin: single(headers, "origin")?,
            address: address::client(peer, forwarded.into_iter(), trusted),
        })
    }

    /// The `webhook-id` of a Standard Webhooks signature.
    fn webhook_id(&self) -> Option<&'h str> {
        match self.claim {
            Some(Claim::Webhook { id, .. }) => Some(id),
            Some(Claim::Body { .. }) | None => None,
        }
    }
}

/// A path, or a URL of ours (RFC 9112, 3.2): no other form of a target means an endpoint.
fn is_target(uri: &Uri) -> bool {
    match (uri.scheme_str(), uri.authority()) {
        (None, None) => uri.path().starts_with('/'),
        (Some("http" | "https"), Some(authority)) => is_authority(authority.as_str()),
        _ => false,
    }
}

/// `host` or `host:port`, the host a name or an address (RFC 3986, 3.2.2), and no user.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rfind([':', ']']) {
        Some(at) if text.as_bytes().get(at) == Some(&b':') => text.split_at(at),
        _ => (text, ""),
    };
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host_fits = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_registered_name(host.as_bytes()),
    };
    host_fits && port.bytes().skip(1).all(|b| b.is_ascii_digit())
}

fn is_registered_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                let mut digit = || bytes.next().is_some_and(u8::is_ascii_hexdigit);
                digit() && digit()
            }
            b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return false;
        }
    }
    true
}

fn is_key_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=KEY_ID_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

/// Standard Webhooks when any of its headers is there, else `x-signature`.
fn claim(headers: &HeaderMap) -> Result<Option<Claim<'_>>, Problem> {
    let id = single(headers, "webhook-id")?;
    let timestamp = single(headers, "webhook-timestamp")?;
    let macs = single(headers, "webhook-signature")?;
    let body = single(headers, "x-signature")?;
    Ok(match (id, timestamp, macs) {
        (None, None, None) => body.and_then(signature::parse_body_signature),
        (Some(id), Some(timestamp), Some(macs)) => signature::parse_webhook(id, timestamp, macs),
        _ => None,
    })
}

impl<'h> Head<'h> {
    /// Reads and judges the headers.
    ///
    /// # Errors
    /// 400, 413 or 415.
    pub(crate) fn read(
        signal: Signal,
        request: &'h HttpRequest,
        trusted: &[IpNet],
    ) -> Result<Self, Problem> {
        let headers = request.headers();
        let query = request.query_string();
        let mut credentials = Credentials::read(request, trusted)?;
        if signal == Signal::Rum && credentials.key_id.is_none() {
            credentials.key_id = parameter(query, "key").filter(|id| is_key_id(id));
        }
        let (format, plain_text) = content_type(single(headers, "content-type")?, signal)?;
        let idempotency_key = idempotency_key(headers, credentials.webhook_id())?;
        Ok(Head {
            signal,
            credentials,
            format,
            plain_text,
            encoding: content_encoding(single(headers, "content-encoding")?)?,
            length: content_length(headers)?,
            idempotency_key,
            user_agent: text(headers, header::USER_AGENT.as_str()),
            validate_only: validate_only(query)?,
        })
    }
}

fn content_type(value: Option<&str>, signal: Signal) -> Result<(BodyFormat, bool), Problem> {
    let essence = value.unwrap_or("").split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok((BodyFormat::Json, false))
    } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
        Ok((BodyFormat::Ndjson, false))
    } else if signal == Signal::Rum && essence.eq_ignore_ascii_case("text/plain") {
        Ok((BodyFormat::Json, true))
    } else {
        let detail = "content-type must be application/json or application/x-ndjson";
        Err(Problem::new(Refusal::Unsupported, detail))
    }
}

fn content_encoding(value: Option<&str>) -> Result<Encoding, Problem> {
    let value = value.unwrap_or("identity");
    let known = [Encoding::Identity, Encoding::Gzip, Encoding::Zstd];
    known
        .into_iter()
        .find(|encoding| value.eq_ignore_ascii_case(encoding.as_str()))
        .ok_or_else(|| {
            let detail = "content-encoding must be gzip, zstd or absent";
            Problem::new(Refusal::Unsupported, detail)
        })
}

fn content_length(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let length = single(headers, "content-length")?;
    if length.is_some() && headers.contains_key(header::TRANSFER_ENCODING) {
        let detail = "content-length and transfer-encoding exclude each other";
        return Err(Problem::new(Refusal::BadHeader, detail));
    }
    length
        .map(|length| length.parse())
        .transpose()
        .map_err(|_| bad("content-length is not a number".to_owned()))
}

/// A signed id cannot be exchanged by whoever replays the request, so it takes precedence.
fn idempotency_key<'h>(
    headers: &'h HeaderMap,
    webhook_id: Option<&'h str>,
) -> Result<Option<&'h str>, Problem> {
    let given = match single(headers, "x-idempotency-key")? {
        Some(key) => Some(key),
        None => single(headers, "idempotency-key")?,
    };
    if let (Some(id), Some(key)) = (webhook_id, given)
        && id != key
    {
        let detail = "the idempotency key differs from webhook-id, which is the key already";
        return Err(Problem::new(Refusal::BadHeader, detail));
    }
    let key = webhook_id.or(given);
    let usable = |key: &str| {
        (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
    };
    match key {
        Some(key) if !usable(key) => Err(bad(format!(
            "the idempotency key must be 1 to {IDEMPOTENCY_KEY_MAX} visible characters"
        ))),
        key => Ok(key),
    }
}

fn validate_only(query: &str) -> Result<bool, Problem> {
    match parameter(query, "validate") {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => {
            let detail = "validate must be true or false";
            Err(Problem::new(Refusal::BadParameter, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn refusal(signal: Signal, request: TestRequest) -> Option<Refusal> {
        let request = request.to_http_request();
        Head::read(signal, &request, &[])
            .err()
            .map(|problem| problem.refusal)
    }

    fn json() -> TestRequest {
        TestRequest::post().insert_header(("content-type", "application/json; charset=utf-8"))
    }

    #[test]
    fn a_tenant_is_never_named_by_the_sender() {
        for name in TENANT_HEADERS {
            let request = json().insert_header((name, "acme"));
            assert_eq!(
                refusal(Signal::Logs, request),
                Some(Refusal::BadHeader),
                "{name}"
            );
        }
        assert_eq!(refusal(Signal::Logs, json()), None);
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "a.example",
            "a.example:8080",
            "a:",
            "1.2.3.4",
            "[::1]",
            "[::1]:80",
            "",
            "a%20b",
            "a_b",
        ] {
            let request = json().insert_header(("host", host));
            assert_eq!(refusal(Signal::Logs, request), None, "{host}");
        }
        for host in [
            "a b", "a/b", "u@a", "a:b", "a:80:80", "[::1", "::1]", "[x]", "[::1]x", "a%zz", "a%2",
            "<a>",
        ] {
            let request = json().insert_header(("host", host));
            assert_eq!(
                refusal(Signal::Logs, request),
                Some(Refusal::BadHeader),
                "{host}"
            );
        }
    }

    #[test]
    fn types_and_encodings_outside_the_contract_are_415() {
        let plain = || TestRequest::post().insert_header(("content-type", "text/plain"));
        assert_eq!(refusal(Signal::Logs, plain()), Some(Refusal::Unsupported));
        assert_eq!(refusal(Signal::Rum, plain()), None);
        assert_eq!(
            refusal(Signal::Logs, TestRequest::post()),
            Some(Refusal::Unsupported)
        );
        for encoding in ["br", "gzip, gzip", "lz4", ""] {
            let request = json().insert_header(("content-encoding", encoding));
            assert_eq!(
                refusal(Signal::Logs, request),
                Some(Refusal::Unsupported),
                "{encoding}"
            );
        }
        assert_eq!(
            refusal(
                Signal::Logs,
                json().insert_header(("content-encoding", "GZIP"))
            ),
            None
        );
    }

    #[test]
    fn a_signed_id_is_the_idempotency_key() {
        let mac = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let webhook = || {
            json()
                .insert_header(("webhook-id", "msg_1"))
                .insert_header(("webhook-timestamp", "1"))
                .insert_header(("webhook-signature", mac))
        };
        let request = webhook().to_http_request();
        let head = Head::read(Signal::Logs, &request, &[]).unwrap();
        assert_eq!(head.idempotency_key, Some("msg_1"));
        let other = webhook().insert_header(("idempotency-key", "another"));
        assert_eq!(refusal(Signal::Logs, other), Some(Refusal::BadHeader));
        let long = json().insert_header(("x-idempotency-key", "k".repeat(129)));
        assert_eq!(refusal(Signal::Logs, long), Some(Refusal::BadHeader));
    }

    #[test]
    fn a_key_in_the_query_counts_for_browsers_only() {
        let request = json()
            .uri("/v1/rum?key=pub_1&validate=true")
            .to_http_request();
        let rum = Head::read(Signal::Rum, &request, &[]).unwrap();
        assert_eq!(
            (rum.credentials.key_id, rum.validate_only),
            (Some("pub_1"), true)
        );
        let logs = Head::read(Signal::Logs, &request, &[]).unwrap();
        assert_eq!(logs.credentials.key_id, None);
        let odd = json().uri("/v1/logs?validate=maybe");
        assert_eq!(refusal(Signal::Logs, odd), Some(Refusal::BadParameter));
    }
}
