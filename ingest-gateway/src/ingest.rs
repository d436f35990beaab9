//! The path of a request, on one page.

use crate::answer::Answer;
use crate::append::Circumstances;
use crate::backlog::Size;
use crate::error::Problem;
use crate::gateway::{Gateway, Shared};
use crate::head::Head;
use crate::key::Key;
use crate::metrics::{ACCEPTED_BYTES, EVENTS_ACCEPTED, EVENTS_REJECTED, WIRE_BYTES};
use crate::pressure::excuse;
use crate::proof::Proof;
use crate::quota::Allowance;
use crate::receive::receive;
use crate::trail::Trail;
use crate::validate::Validated;
use crate::verify::Verified;
use actix_web::{HttpRequest, web};
use millrace_runtime::clock;
use millrace_shared::Signal;
use std::sync::Arc;

/// Takes one request from its headers to its answer.
pub(crate) async fn ingest(
    gateway: &Gateway,
    signal: Signal,
    request: &HttpRequest,
    payload: &mut web::Payload,
    trail: &mut Trail,
) -> Result<Answer, Problem> {
    let shared = &gateway.shared;
    let _open = shared.pressure.open(gateway.pulse.late())?;
    let head = Head::read(signal, request, &shared.config.trusted_proxies)?;
    shared.quotas.admit_address(head.credentials.address)?;
    let key = shared.keys.find(head.credentials.key_id).await?;
    trail.may_answer(&head, key.as_deref());
    let proof = request.conn_data::<Proof>();
    if let Some(key) = key
        .as_ref()
        .filter(|key| proof.is_some_and(|proof| proof.holds(key, &head.credentials)))
    {
        trail.sender = Some(Arc::clone(key));
        foresee(shared, &head, key)?;
    }

    let received = receive(head, payload, shared.caps, &shared.pressure).await;
    let received = received.map_err(|problem| excuse(problem, gateway.pulse.late()))?;
    let _in_work = shared.pressure.begin()?;
    let now = clock::now_ns();
    let mut verified = shared.verifier.verify(received, key, now)?;
    trail.sender = Some(verified.sender.key.clone());
    if let Some(proof) = proof {
        proof.give(&verified.sender.key, verified.head.credentials.address);
    }
    let allowance = admit(shared, &verified)?;

    let _room = verified.room.take();
    let validated = verified.inflate()?.validate(now)?;
    count(&validated);
    let events = u64::from(validated.findings.counts.accepted);
    let sender = &validated.verified.sender;
    shared.quotas.take(&sender.key.buckets.events, events)?;
    if validated.verified.head.validate_only {
        return Ok(Answer::validated(validated.findings, allowance));
    }

    let (tenant, wire_bytes) = (sender.key.tenant(), validated.verified.body.len() as u64);
    let circumstances = Circumstances {
        received_at: now,
        request_id: &trail.request_id,
        remember_for: shared.config.idempotency,
    };
    let entry = validated.into_entry(&shared.shards, &circumstances);
    let size = Size {
        wire: wire_bytes,
        held: entry.packed_bytes() as u64,
    };
    let appended = gateway.appender.append(entry).await?;
    if !appended.replayed {
        shared.acknowledged.note(appended.acknowledged());
        let shard = appended.entry.shard;
        shared.admission.appended(shard, appended.id, tenant, size);
        ACCEPTED_BYTES.add(&[signal.as_str()], wire_bytes);
        EVENTS_ACCEPTED.add(&[signal.as_str()], events);
    }
    Ok(Answer::appended(appended, &shared.batch_ids, allowance))
}

/// Refuses what is going to be refused whatever its body holds; takes nothing, because the request
/// has not proven yet that it is the key's. Without a length it is only known when it is there.
fn foresee(shared: &Shared, head: &Head<'_>, key: &Key) -> Result<(), Problem> {
    shared.quotas.is_open(&key.buckets.events)?;
    match head.length {
        Some(bytes) if !head.validate_only => {
            shared.admission.is_open(head.signal, key.tenant(), bytes)
        }
        Some(_) | None => Ok(()),
    }
}

/// Takes what the request costs, as far as that is known of a body that nobody has looked into:
/// what is going to be refused is refused here, before it is inflated and parsed.
fn admit(shared: &Shared, verified: &Verified<'_>) -> Result<Allowance, Problem> {
    let (key, bytes) = (&verified.sender.key, verified.body.len());
    shared.quotas.is_open(&key.buckets.events)?;
    let allowance = shared.quotas.take(&key.buckets.requests, 1)?;
    shared.quotas.take(&key.buckets.bytes, bytes as u64)?;
    if !verified.head.validate_only {
        let signal = verified.head.signal;
        shared.admission.ask(signal, key.tenant(), bytes)?;
    }
    Ok(allowance)
}

fn count(validated: &Validated<'_>) {
    let signal = validated.verified.head.signal.as_str();
    for (code, count) in &validated.findings.codes {
        EVENTS_REJECTED.add(&[signal, code.as_str()], *count);
    }
    #[expect(clippy::cast_precision_loss, reason = "an observation is a float")]
    WIRE_BYTES.observe(&[signal], validated.verified.body.len() as f64);
}
