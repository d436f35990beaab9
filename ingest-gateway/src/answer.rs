//! The answer to a good request: 202 with a signed receipt.

use crate::append::Appended;
use crate::error::EventError;
use crate::quota::Allowance;
use crate::validate::Findings;
use actix_web::HttpResponse;
use millrace_shared::ids::{BatchId, BatchIds};
use millrace_shared::signature::receipt;
use millrace_shared::wire::Counts;
use serde::Serialize;

/// How a good request ended; also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Appended.
    Accepted,
    /// Appended before, under the same idempotency key.
    Replayed,
    /// Checked only, as was asked.
    Validated,
}

impl Outcome {
    /// The label.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Replayed => "replayed",
            Outcome::Validated => "validated",
        }
    }
}

/// What is answered.
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) counts: Counts,
    pub(crate) allowance: Allowance,
    batch_id: Option<String>,
    receipt: Option<String>,
    errors: Vec<EventError>,
}

impl Answer {
    /// For a batch that Redis holds.
    pub(crate) fn appended(appended: Appended, ids: &BatchIds, allowance: Allowance) -> Self {
        let Appended {
            entry,
            id,
            replayed,
        } = appended;
        let place = BatchId {
            shard: entry.shard,
            entry: id,
        };
        let batch_id = ids.text(entry.sender.key.org, place);
        let Counts { accepted, rejected } = entry.counts;
        let sign = |secret| receipt(secret, &batch_id, accepted, rejected, &entry.digest);
        Answer {
            outcome: match replayed {
                true => Outcome::Replayed,
                false => Outcome::Accepted,
            },
            counts: entry.counts,
            allowance,
            receipt: entry.sender.secret().map(sign),
            batch_id: Some(batch_id),
            errors: entry.errors,
        }
    }

    /// For a batch that was only checked.
    pub(crate) fn validated(findings: Findings, allowance: Allowance) -> Self {
        Answer {
            outcome: Outcome::Validated,
            counts: findings.counts,
            allowance,
            batch_id: None,
            receipt: None,
            errors: findings.errors,
        }
    }

    pub(crate) fn response(&self) -> HttpResponse {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            batch_id: Option<&'a str>,
            accepted: u32,
            rejected: u32,
            errors: &'a [EventError],
            replayed: bool,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            validated_only: bool,
        }
        let body = Body {
            batch_id: self.batch_id.as_deref(),
            accepted: self.counts.accepted,
            rejected: self.counts.rejected,
            errors: &self.errors,
            replayed: self.outcome == Outcome::Replayed,
            validated_only: self.outcome == Outcome::Validated,
        };
        let mut response = match self.outcome {
            Outcome::Accepted | Outcome::Replayed => HttpResponse::Accepted(),
            Outcome::Validated => HttpResponse::Ok(),
        };
        if let Some(batch_id) = &self.batch_id {
            response.insert_header(("x-batch-id", batch_id.as_str()));
        }
        if let Some(receipt) = &self.receipt {
            response.insert_header(("x-receipt", receipt.as_str()));
        }
        response
            .insert_header(("ratelimit-policy", self.allowance.policy()))
            .insert_header(("ratelimit", self.allowance.state()))
            .content_type("application/json")
            .body(serde_json::to_vec(&body).unwrap_or_default())
    }
}
