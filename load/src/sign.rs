//! The headers of a signed request, in either scheme of the contract.

use crate::body::Encoding;
use crate::target::Target;
use millrace_shared::signature::{sign_body, sign_webhook};

/// How a request is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheme {
    /// `x-signature` over the body.
    #[default]
    Body,
    /// Standard Webhooks: over id, timestamp and body.
    Webhook,
}

/// How requests of a run are signed and packed.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// The signature scheme.
    pub scheme: Scheme,
    /// The compression.
    pub encoding: Encoding,
}

/// The headers that sign a body as sent, at the time `now_s` (Unix seconds), under an idempotency
/// key. Standard Webhooks always has one; the other scheme sends it where `id` is not empty.
#[must_use]
pub fn headers(
    target: &Target,
    how: How,
    body: &[u8],
    id: &str,
    now_s: i64,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("x-org-key", target.key_id.clone()),
        ("content-type", "application/json".to_owned()),
    ];
    if let Some(encoding) = how.encoding.header() {
        headers.push(("content-encoding", encoding.to_owned()));
    }
    match how.scheme {
        Scheme::Body => {
            headers.push(("x-signature", sign_body(&target.secret, body)));
            if !id.is_empty() {
                headers.push(("x-idempotency-key", id.to_owned()));
            }
        }
        Scheme::Webhook => {
            let signature = sign_webhook(&target.secret, id, now_s, body);
            headers.push(("webhook-id", id.to_owned()));
            headers.push(("webhook-timestamp", now_s.to_string()));
            headers.push(("webhook-signature", signature));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::signature::{parse_body_signature, parse_webhook};

    #[test]
    fn both_schemes_verify() {
        let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let target = Target::new("http://localhost:1/", "k", secret).unwrap();
        assert_eq!(target.gateway_url, "http://localhost:1");
        let secrets = std::slice::from_ref(&target.secret);
        let body = b"{}";
        for scheme in [Scheme::Body, Scheme::Webhook] {
            let how = How {
                scheme,
                encoding: Encoding::Gzip,
            };
            let headers = headers(&target, how, body, "id-1", 1_790_000_000);
            let get = |name| headers.iter().find(|h| h.0 == name).map_or("", |h| &h.1);
            assert_eq!(get("content-encoding"), "gzip");
            let claim = match scheme {
                Scheme::Body => parse_body_signature(get("x-signature")),
                Scheme::Webhook => parse_webhook(
                    get("webhook-id"),
                    get("webhook-timestamp"),
                    get("webhook-signature"),
                ),
            };
            assert!(claim.unwrap().holds(secrets, body));
        }
    }
}
