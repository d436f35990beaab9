//! The path of a request, on one page.

use crate::answer::Answer;
use crate::append::Circumstances;
use crate::error::Problem;
use crate::gateway::Gateway;
use crate::head::Head;
use crate::metrics::{ACCEPTED_BYTES, EVENTS_ACCEPTED, EVENTS_REJECTED, WIRE_BYTES};
use crate::receive::receive;
use crate::trail::Trail;
use crate::validate::Validated;
use actix_web::{HttpRequest, web};
use millrace_runtime::clock;
use millrace_shared::Signal;

/// Takes one request from its headers to its answer.
pub(crate) async fn ingest(
    gateway: &Gateway,
    signal: Signal,
    request: &HttpRequest,
    payload: &mut web::Payload,
    trail: &mut Trail,
) -> Result<Answer, Problem> {
    let shared = &gateway.shared;
    shared.pressure.admit()?;
    let head = Head::read(signal, request, &shared.config.trusted_proxies)?;
    shared.quotas.admit_address(head.credentials.address)?;
    let key = shared.keys.find(head.credentials.key_id).await?;
    trail.may_answer(&head, key.as_deref());

    let received = receive(head, payload, shared.caps, &shared.pressure).await?;
    let now = clock::now_ns();
    let mut verified = shared.verifier.verify(received, key, now)?;
    trail.sender = Some(verified.sender.key.clone());
    let buckets = verified.sender.key.buckets.clone();
    let allowance = shared.quotas.take(&buckets.requests, 1)?;
    shared
        .quotas
        .take(&buckets.bytes, verified.body.len() as u64)?;

    let _room = verified.room.take();
    let validated = verified.inflate()?.validate(now)?;
    count(&validated);
    let events = u64::from(validated.findings.counts.accepted);
    shared.quotas.take(&buckets.events, events)?;
    if validated.verified.head.validate_only {
        return Ok(Answer::validated(validated.findings, allowance));
    }

    let wire_bytes = validated.verified.body.len() as u64;
    let circumstances = Circumstances {
        received_at: now,
        request_id: &trail.request_id,
        remember_for: shared.config.idempotency,
    };
    let entry = validated.into_entry(&shared.shards, &circumstances);
    let appended = gateway.appender.append(entry).await?;
    if !appended.replayed {
        shared.acknowledged.note(appended.acknowledged());
        ACCEPTED_BYTES.add(&[signal.as_str()], wire_bytes);
        EVENTS_ACCEPTED.add(&[signal.as_str()], events);
    }
    Ok(Answer::appended(appended, &shared.batch_ids, allowance))
}

fn count(validated: &Validated<'_>) {
    let signal = validated.verified.head.signal.as_str();
    for (code, count) in &validated.findings.codes {
        EVENTS_REJECTED.add(&[signal, code.as_str()], *count);
    }
    #[expect(clippy::cast_precision_loss, reason = "an observation is a float")]
    WIRE_BYTES.observe(&[signal], validated.verified.body.len() as f64);
}
