//! Who sent these bytes: HMAC-SHA256 over the raw body, in two schemes, and receipts for answers.
//!
//! Comparison is in constant time, and every candidate secret is tried whatever the first one
//! says, so that the time taken tells nothing.

use crate::secret::Secret;
use aws_lc_rs::{digest as digests, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use subtle::{Choice, ConstantTimeEq};

/// Bytes of a SHA-256 digest or HMAC.
pub const DIGEST_BYTES: usize = 32;
/// Signatures looked at in one `webhook-signature` header: two secrets in rotation, with room.
const WEBHOOK_SIGNATURES_MAX: usize = 4;

/// What a request claims about its body, parsed but not yet believed.
#[derive(Clone, Debug)]
pub enum Claim<'h> {
    /// `x-signature: sha256=<hex>`: over the body alone.
    Body {
        /// The claimed HMAC.
        mac: [u8; DIGEST_BYTES],
    },
    /// Standard Webhooks: over `{id}.{timestamp}.{body}`.
    Webhook {
        /// `webhook-id`, which is also the idempotency key.
        id: &'h str,
        /// `webhook-timestamp`, as it was sent.
        timestamp: &'h str,
        /// The claimed HMACs of the `v1` entries.
        macs: Vec<[u8; DIGEST_BYTES]>,
    },
}

/// Parses `sha256=<64 hex digits>`, either case.
#[must_use]
pub fn parse_body_signature(header: &str) -> Option<Claim<'static>> {
    let hex = header.trim().strip_prefix("sha256=")?;
    let mut mac = [0; DIGEST_BYTES];
    hex::decode_to_slice(hex, &mut mac).ok()?;
    Some(Claim::Body { mac })
}

/// Parses the three Standard Webhooks headers. Entries of other versions are passed over.
#[must_use]
pub fn parse_webhook<'h>(id: &'h str, timestamp: &'h str, signature: &str) -> Option<Claim<'h>> {
    let macs: Vec<_> = signature
        .split_ascii_whitespace()
        .filter_map(|entry| entry.strip_prefix("v1,"))
        .take(WEBHOOK_SIGNATURES_MAX)
        .filter_map(|mac| BASE64.decode(mac).ok()?.try_into().ok())
        .collect();
    let well_formed = !id.is_empty() && !macs.is_empty() && timestamp.parse::<i64>().is_ok();
    well_formed.then_some(Claim::Webhook {
        id,
        timestamp,
        macs,
    })
}

impl Claim<'_> {
    /// Whether one of the secrets made this claim over these bytes.
    #[must_use]
    pub fn holds(&self, secrets: &[Secret], body: &[u8]) -> bool {
        let mut holds = Choice::from(0);
        for secret in secrets {
            match self {
                Claim::Body { mac } => {
                    holds |= body_mac(secret, body).ct_eq(mac);
                }
                Claim::Webhook {
                    id,
                    timestamp,
                    macs,
                } => {
                    let expected = webhook_mac(secret, id, timestamp, body);
                    for mac in macs {
                        holds |= expected.ct_eq(mac);
                    }
                }
            }
        }
        holds.into()
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    sized(context.sign().as_ref())
}

/// SHA-256 has that length; an all-zero MAC would verify no claim that could be made without
/// knowing that it would.
fn sized(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    bytes.try_into().unwrap_or([0; DIGEST_BYTES])
}

fn body_mac(secret: &Secret, body: &[u8]) -> [u8; DIGEST_BYTES] {
    mac(secret.text_bytes(), &[body])
}

fn webhook_mac(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> [u8; DIGEST_BYTES] {
    mac(
        secret.key_bytes(),
        &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body],
    )
}

/// The value of `x-signature` for a body.
#[must_use]
pub fn sign_body(secret: &Secret, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(body_mac(secret, body)))
}

/// The value of `webhook-signature` for a body.
#[must_use]
pub fn sign_webhook(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    format!(
        "v1,{}",
        BASE64.encode(webhook_mac(secret, id, &timestamp, body))
    )
}

/// The SHA-256 of a body.
#[must_use]
pub fn digest(body: &[u8]) -> [u8; DIGEST_BYTES] {
    sized(digests::digest(&digests::SHA256, body).as_ref())
}

/// The value of `x-receipt`: HMAC over `batch_id \n accepted \n rejected \n hex SHA-256 of body`,
/// keyed like `x-signature`.
#[must_use]
pub fn receipt(
    secret: &Secret,
    batch_id: &str,
    accepted: u32,
    rejected: u32,
    body_digest: &[u8; DIGEST_BYTES],
) -> String {
    let text = format!(
        "{batch_id}\n{accepted}\n{rejected}\n{}",
        hex::encode(body_digest)
    );
    format!(
        "sha256={}",
        hex::encode(mac(secret.text_bytes(), &[text.as_bytes()]))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification and of its reference libraries.
    #[test]
    fn the_published_standard_webhooks_vector_verifies() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = br#"{"test": 2432232314}"#;
        let header = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign_webhook(&secret, id, 1_614_265_330, body), header);
        let several = format!("v1a,xyz v1,{} {header}", BASE64.encode([0; 32]));
        let claim = parse_webhook(id, "1614265330", &several).unwrap();
        assert!(claim.holds(std::slice::from_ref(&secret), body));
        assert!(!claim.holds(&[secret], b"{}"));
    }

    /// `printf '{"a":1}' | openssl dgst -sha256 -hmac "$SECRET"`.
    #[test]
    fn what_openssl_prints_verifies_in_either_case() {
        let secret = Secret::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let body = b"{\"a\" : 1}\r\n";
        let lower = sign_body(&secret, body);
        let upper = format!(
            "sha256={}",
            lower.trim_start_matches("sha256=").to_uppercase()
        );
        for header in [lower, upper] {
            let claim = parse_body_signature(&header).unwrap();
            assert!(claim.holds(std::slice::from_ref(&secret), body));
            assert!(!claim.holds(std::slice::from_ref(&secret), b"{\"a\":1}"));
        }
    }

    #[test]
    fn malformed_headers_make_no_claim() {
        for header in [
            "",
            "sha256=",
            "sha256=zz",
            "md5=00",
            &format!("sha256={}", "0".repeat(63)),
        ] {
            assert!(parse_body_signature(header).is_none(), "{header}");
        }
        assert!(parse_webhook("id", "soon", "v1,AAAA").is_none());
        assert!(parse_webhook("id", "1", "v2,AAAA").is_none());
        assert!(parse_webhook("", "1", &format!("v1,{}", BASE64.encode([0; 32]))).is_none());
    }
}
