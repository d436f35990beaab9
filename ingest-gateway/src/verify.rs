//! The signature over the raw bytes, before anything looks into them, and what the key allows.
//!
//! Whatever is wrong (no such key, no signature, a bad one), the answer is the same and so is the
//! work done for it.

use crate::error::Problem;
use crate::head::{Credentials, Head};
use crate::key::Key;
use crate::pressure::Room;
use crate::receive::Received;
use bytes::Bytes;
use millrace_shared::Signal;
use millrace_shared::limits::{NS_PER_SECOND, WEBHOOK_TOLERANCE_S};
use millrace_shared::outcome::Refusal;
use millrace_shared::secret::Secret;
use millrace_shared::signature::{Claim, DIGEST_BYTES};
use std::sync::Arc;

/// Secrets tried for a request that fails: as many as a key may have.
const SECRETS_TRIED: usize = 2;

/// Who a request is from, proven (or, with a public key, claimed and so marked).
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) key: Arc<Key>,
    /// Which of the key's secrets signed; `None` for a public key.
    secret_at: Option<usize>,
}

impl Sender {
    /// The secret that signed, which also signs the receipt.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.key.secrets.get(self.secret_at?)
    }
}

/// A body whose sender is known.
pub(crate) struct Verified<'h> {
    pub(crate) head: Head<'h>,
    pub(crate) sender: Sender,
    pub(crate) body: Bytes,
    pub(crate) room: Option<Room>,
}

/// What verification needs besides the request.
pub(crate) struct Verifier {
    /// Stands in where a key has no secret, so that failing takes the same time; random, so that
    /// nobody can sign with it.
    pub(crate) decoy: Secret,
}

impl Verifier {
    /// Verifies a body at `now` (nanoseconds).
    ///
    /// # Errors
    /// 401, or 403 when the sender is known and may not do this.
    pub(crate) fn verify<'h>(
        &self,
        received: Received<'h>,
        key: Option<Arc<Key>>,
        now: i64,
    ) -> Result<Verified<'h>, Problem> {
        let Received { head, body, room } = received;
        let sender = self.sender(&head.credentials, key, &body, now)?;
        may_send(&head, &sender.key)?;
        Ok(Verified {
            head,
            sender,
            body,
            room,
        })
    }

    /// Finds out who sent `body`.
    ///
    /// # Errors
    /// 401, or 403 when the key may not be used from there or in this way.
    pub(crate) fn sender(
        &self,
        credentials: &Credentials<'_>,
        key: Option<Arc<Key>>,
        body: &[u8],
        now: i64,
    ) -> Result<Sender, Problem> {
        in_time(credentials.claim.as_ref(), now)?;
        let key = key.filter(|key| key.is_current(now));
        if let Some(key) = key.as_ref().filter(|key| key.public) {
            return Ok(Sender {
                key: Arc::clone(key),
                secret_at: None,
            });
        }
        let secret_at = self.signed_by(credentials.claim.as_ref(), key.as_deref(), body);
        let (Some(key), Some(secret_at)) = (key, secret_at) else {
            return Err(Problem::unauthorized());
        };
        may_be_used(credentials, &key)?;
        Ok(Sender {
            key,
            secret_at: Some(secret_at),
        })
    }

    fn signed_by(
        &self,
        claim: Option<&Claim<'_>>,
        key: Option<&Key>,
        body: &[u8],
    ) -> Option<usize> {
        let none = Claim::Body {
            mac: [0; DIGEST_BYTES],
        };
        let tried = self.tried(key);
        tried.iter().position(|(secret, of_key)| {
            let holds = claim
                .unwrap_or(&none)
                .holds(std::slice::from_ref(*secret), body);
            holds && claim.is_some() && *of_key
        })
    }

    /// The secrets that are tried, and whether each is the key's: always as many, so that a failure
    /// costs the same whether there is such a key or not.
    fn tried<'s>(&'s self, key: Option<&'s Key>) -> [(&'s Secret, bool); SECRETS_TRIED] {
        let secrets = key.map_or(&[][..], |key| &key.secrets);
        std::array::from_fn(|at| match secrets.get(at) {
            Some(secret) => (secret, true),
            None => (&self.decoy, false),
        })
    }
}

/// Judged before the key, so that it tells nothing about the key.
fn in_time(claim: Option<&Claim<'_>>, now: i64) -> Result<(), Problem> {
    let Some(Claim::Webhook { timestamp, .. }) = claim else {
        return Ok(());
    };
    let now = now / NS_PER_SECOND;
    let signed_at: i64 = timestamp.parse().unwrap_or(i64::MIN);
    if signed_at.abs_diff(now) <= WEBHOOK_TOLERANCE_S.unsigned_abs() {
        return Ok(());
    }
    let detail = format!("webhook-timestamp is more than {WEBHOOK_TOLERANCE_S} s off");
    Err(Problem::new(Refusal::TimestampOutOfTolerance, detail).at(now))
}

fn forbidden(detail: &'static str) -> Problem {
    Problem::new(Refusal::Forbidden, detail)
}

fn may_be_used(credentials: &Credentials<'_>, key: &Key) -> Result<(), Problem> {
    let scheme = match credentials.claim {
        Some(Claim::Webhook { .. }) => key.webhook_scheme,
        Some(Claim::Body { .. }) | None => key.body_scheme,
    };
    if !scheme {
        return Err(forbidden(
            "the key may not be used with this signature scheme",
        ));
    }
    if !key.allows_address(credentials.address) {
        return Err(forbidden("the key may not be used from this address"));
    }
    Ok(())
}

fn may_send(head: &Head<'_>, key: &Key) -> Result<(), Problem> {
    if key.public {
        if head.signal != Signal::Rum {
            return Err(forbidden("a public key is for /v1/rum only"));
        }
        if !head
            .credentials
            .origin
            .is_some_and(|origin| key.allows_origin(origin))
        {
            return Err(forbidden("the key may not be used from this origin"));
        }
        if !key.allows_address(head.credentials.address) {
            return Err(forbidden("the key may not be used from this address"));
        }
    } else if head.plain_text {
        let detail = "text/plain is for public keys only";
        return Err(Problem::new(Refusal::Unsupported, detail));
    }
    if !key.signals.contains(&head.signal) {
        return Err(forbidden("the key is not allowed for this signal"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::key;
    use millrace_shared::signature::{parse_body_signature, parse_webhook, sign_body};
    use std::net::{IpAddr, Ipv4Addr};

    const NOW: i64 = 1_790_000_000 * NS_PER_SECOND;

    fn verifier() -> Verifier {
        Verifier {
            decoy: Secret::generate().unwrap(),
        }
    }

    fn sender(
        verifier: &Verifier,
        key: Option<Key>,
        claim: Option<Claim<'_>>,
    ) -> Result<Sender, Problem> {
        let credentials = Credentials {
            key_id: Some("k"),
            claim,
            origin: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        verifier.sender(&credentials, key.map(Arc::new), b"body", NOW)
    }

    #[test]
    fn a_webhook_holds_for_its_time_and_no_second_longer() {
        let at = |off: i64| {
            let claim = Claim::Webhook {
                id: "id",
                timestamp: &(NOW / NS_PER_SECOND + off).to_string(),
                macs: Vec::new(),
            };
            in_time(Some(&claim), NOW).is_ok()
        };
        for end in [-WEBHOOK_TOLERANCE_S, WEBHOOK_TOLERANCE_S] {
            assert!(at(end), "{end}");
            assert!(!at(end + end.signum()), "beyond {end}");
        }
    }

    #[test]
    fn as_many_secrets_are_tried_whether_there_is_a_key_or_not() {
        let verifier = verifier();
        for of_key in 0..=SECRETS_TRIED {
            let key = key(of_key, false);
            let tried = verifier.tried(Some(&key));
            assert_eq!(tried.len(), SECRETS_TRIED);
            assert_eq!(tried.iter().filter(|(_, of_key)| *of_key).count(), of_key);
        }
        assert!(verifier.tried(None).iter().all(|(_, of_key)| !of_key));
    }

    #[test]
    fn every_failure_is_the_same_failure() {
        let verifier = verifier();
        let wrong = || parse_body_signature(&format!("sha256={}", "0".repeat(64)));
        let webhook = || {
            let mac = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
            parse_webhook("id", "1790000000", mac)
        };
        let decoyed = sign_body(&verifier.decoy, b"body");
        let revoked = key(1, true);
        let of_revoked = sign_body(&revoked.secrets[0], b"body");
        for (what, key, claim) in [
            ("no key", None, wrong()),
            ("no claim", Some(key(1, false)), None),
            ("neither", None, None),
            ("a wrong signature", Some(key(1, false)), wrong()),
            (
                "a wrong one of a key in rotation",
                Some(key(2, false)),
                wrong(),
            ),
            ("a wrong webhook", Some(key(1, false)), webhook()),
            (
                "a key whose secret cannot be opened",
                Some(key(0, false)),
                wrong(),
            ),
            (
                "a revoked key",
                Some(revoked),
                parse_body_signature(&of_revoked),
            ),
            (
                "signed with the decoy",
                None,
                parse_body_signature(&decoyed),
            ),
        ] {
            let problem = sender(&verifier, key, claim).expect_err(what);
            let expected = Problem::unauthorized();
            assert_eq!(
                (problem.refusal, problem.detail),
                (expected.refusal, expected.detail),
                "{what}"
            );
        }
    }

    #[test]
    fn either_secret_of_a_key_in_rotation_signs() {
        let verifier = verifier();
        for at in 0..SECRETS_TRIED {
            let key = key(SECRETS_TRIED, false);
            let signature = sign_body(&key.secrets[at], b"body");
            let sender = sender(&verifier, Some(key), parse_body_signature(&signature)).unwrap();
            assert_eq!(sender.secret_at, Some(at));
        }
    }
}
