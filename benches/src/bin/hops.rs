//! One line per hop of an event's path, on one core.

use bumpalo::Bump;
use millrace_benches::control::snapshot;
use millrace_benches::worker::{entries, task};
use millrace_benches::{batch, hop};
use millrace_shared::Signal;
use millrace_shared::inflate::pack;
use millrace_shared::secret::Secret;
use millrace_shared::signature::{parse_body_signature, sign_body};
use millrace_shared::wire::{Body, BodyFormat, Validity};
use normalizer_worker::pipeline::transform;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Standard batches in one ledger batch.
const ENTRIES: usize = 20;

fn main() -> anyhow::Result<()> {
    let now_s = 1_790_000_000;
    let body = batch::standard(now_s);
    let (events, bytes) = (batch::EVENTS, body.len());
    let secret = Secret::generate()?;
    let header = sign_body(&secret, &body);
    hop("gateway: verify signature", events, bytes, || {
        parse_body_signature(&header)
            .is_some_and(|claim| claim.holds(std::slice::from_ref(&secret), &body))
    });
    let validity = Validity::at(Signal::Logs, now_s * 1_000_000_000);
    let read = Body {
        signal: Signal::Logs,
        format: BodyFormat::Json,
        validity,
        bytes: &body,
    };
    hop("gateway: parse and validate", events, bytes, || {
        read.read(&Bump::new(), |_, _| ())
            .map(|counts| counts.accepted)
    });
    hop("gateway: pack", events, bytes, || pack(&body).len());
    worker(&body, now_s * 1_000_000_000)?;
    Ok(())
}

/// The whole pure path of the worker, into buffers that are dropped.
fn worker(body: &[u8], received_at: i64) -> anyhow::Result<()> {
    let bodies = std::iter::repeat_n(body, ENTRIES);
    let entries = entries(bodies, batch::EVENTS, received_at)?;
    for (name, rules, indicators) in [
        ("worker: transform, no rules, no indicators", 0, 0),
        (
            "worker: transform, 1,000 rules, 1 M indicators",
            1_000,
            1_000_000,
        ),
        (
            "worker: transform, 3,000 rules, 1 M indicators",
            3_000,
            1_000_000,
        ),
    ] {
        let control = snapshot(rules, indicators);
        let task = task(&control);
        let count = batch::EVENTS * entries.len();
        hop(name, count, body.len() * entries.len(), || {
            transform(&task, &entries).targets.len()
        });
    }
    Ok(())
}
