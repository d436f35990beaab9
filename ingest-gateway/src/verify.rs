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
        let secrets = key.map_or(&[][..], |key| &key.secrets);
        (0..SECRETS_TRIED).find(|at| {
            let secret = secrets.get(*at).unwrap_or(&self.decoy);
            let holds = claim
                .unwrap_or(&none)
                .holds(std::slice::from_ref(secret), body);
            holds && claim.is_some() && *at < secrets.len()
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
