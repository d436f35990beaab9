//! The path of a request without its ends: no HTTP, no PostgreSQL, no Redis. For benchmarks of
//! what a core can verify, check and pack. Runs the very steps of `ingest`, in their order.

use crate::append::{Circumstances, Shards};
use crate::head::{Credentials, Head};
use crate::key::Key;
use crate::quota::{Kind, Owner, Quotas};
use crate::receive::Received;
use crate::verify::Verifier;
use crate::{error::Problem, quota::Buckets};
use bytes::Bytes;
use millrace_shared::Signal;
use millrace_shared::ids::OrgId;
use millrace_shared::inflate::Encoding;
use millrace_shared::outcome::Refusal;
use millrace_shared::secret::Secret;
use millrace_shared::signature::parse_body_signature;
use millrace_shared::wire::BodyFormat;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// What is known of a body besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// Its endpoint.
    pub signal: Signal,
    /// Its content type.
    pub format: BodyFormat,
    /// Its content encoding.
    pub encoding: Encoding,
    /// Its `x-signature`.
    pub signature: &'r str,
}

/// What came of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Events that would have been accepted.
    pub accepted: u32,
    /// Events that would have been rejected.
    pub rejected: u32,
    /// Bytes that would have gone into the stream.
    pub bytes: usize,
}

/// A gateway with one key and no stores.
pub struct DryRun {
    key: Arc<Key>,
    verifier: Verifier,
    shards: Shards,
}

impl DryRun {
    /// With the key's secret.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let quotas = Quotas::new(0);
        let bucket = |kind| quotas.bucket(Owner::Key("dry".to_owned()), kind, u64::from(u32::MAX));
        let buckets = Buckets {
            requests: bucket(Kind::Requests),
            events: bucket(Kind::Events),
            bytes: bucket(Kind::Bytes),
        };
        DryRun {
            key: Arc::new(Key {
                id: "dry".to_owned(),
                weight: 1,
                org: OrgId::from_u128(1),
                public: false,
                secrets: vec![secret.clone()],
                buckets,
                signals: Signal::ALL.to_vec(),
                body_scheme: true,
                webhook_scheme: true,
                networks: Vec::new(),
                origins: Vec::new(),
                not_before: None,
                not_after: None,
                revoked: false,
            }),
            verifier: Verifier {
                decoy: secret.clone(),
            },
            shards: Shards::new(16),
        }
    }

    /// Verifies, inflates, validates and packs one body at `now` (nanoseconds).
    ///
    /// # Errors
    /// As the request would be refused.
    pub fn run(&self, request: &Request<'_>, body: Bytes, now: i64) -> Result<Packed, Refusal> {
        self.steps(request, body, now)
            .map_err(|problem| problem.refusal)
    }

    fn steps(&self, request: &Request<'_>, body: Bytes, now: i64) -> Result<Packed, Problem> {
        let head = Head {
            signal: request.signal,
            credentials: Credentials {
                key_id: Some("dry"),
                claim: parse_body_signature(request.signature),
                origin: None,
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            },
            format: request.format,
            plain_text: false,
            encoding: request.encoding,
            length: Some(body.len()),
            idempotency_key: None,
            user_agent: None,
            validate_only: false,
        };
        let received = Received {
            head,
            body,
            room: None,
        };
        let key = Some(Arc::clone(&self.key));
        let verified = self.verifier.verify(received, key, now)?;
        let validated = verified.inflate()?.validate(now)?;
        let circumstances = Circumstances {
            received_at: now,
            request_id: "dry",
            remember_for: Duration::ZERO,
        };
        let entry = validated.into_entry(&self.shards, &circumstances);
        Ok(Packed {
            accepted: entry.counts.accepted,
            rejected: entry.counts.rejected,
            bytes: entry.packed_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::signature::sign_body;

    const NOW: i64 = 1_700_000_000_000_000_000;

    fn run(secret: &Secret, signature: &str, body: &str) -> Result<Packed, Refusal> {
        let request = Request {
            signal: Signal::Logs,
            format: BodyFormat::Json,
            encoding: Encoding::Identity,
            signature,
        };
        DryRun::new(secret).run(&request, Bytes::copy_from_slice(body.as_bytes()), NOW)
    }

    #[test]
    fn a_signed_body_is_checked_and_packed() {
        let secret = Secret::generate().unwrap();
        let body = r#"{ "logs":[{"service":"a","message":"b"},{"service":"a"}] }"#;
        let signature = sign_body(&secret, body.as_bytes());
        let packed = run(&secret, &signature, body).unwrap();
        assert_eq!((packed.accepted, packed.rejected), (1, 1));
        assert!(packed.bytes > 0);
    }

    #[test]
    fn nothing_is_looked_into_before_it_is_verified() {
        let (ours, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let forged = sign_body(&other, b"not json");
        assert_eq!(run(&ours, &forged, "not json"), Err(Refusal::Unauthorized));
        assert_eq!(run(&ours, "", "not json"), Err(Refusal::Unauthorized));
        let signed = sign_body(&ours, b"not json");
        assert_eq!(run(&ours, &signed, "not json"), Err(Refusal::NotJson));
    }
}
