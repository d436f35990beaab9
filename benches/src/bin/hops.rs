//! One line per hop of an event's path, on one core.

use bumpalo::Bump;
use bytes::Bytes;
use millrace_benches::control::{ORG, snapshot};
use millrace_benches::{batch, hop};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{LedgerId, ShardId, StreamId};
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::secret::Secret;
use millrace_shared::signature::{parse_body_signature, sign_body};
use millrace_shared::wire::{Body, BodyFormat, Validity};
use normalizer_worker::pipeline::{Task, transform};
use normalizer_worker::work::RawEntry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Standard batches in one ledger batch.
const ENTRIES: u64 = 20;

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
    let mut meta = Meta::new(ORG, "bench", received_at, (BodyFormat::Json, Encoding::Lz4));
    meta.accepted = u32::try_from(batch::EVENTS)?;
    let (meta, packed) = (Bytes::from(meta.to_text()), Bytes::from(pack(body)));
    let entry = |n: u64| RawEntry {
        id: StreamId {
            ms: 1_790_000_000_000 + n,
            seq: 0,
        },
        meta: meta.clone(),
        body: packed.clone(),
    };
    let entries: Vec<_> = (0..ENTRIES).map(entry).collect();
    let shard = ShardId {
        signal: Signal::Logs,
        shard: 0,
    };
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
        let task = Task {
            shard,
            ledger: LedgerId::new(0, 1),
            attempt: 0,
            control: &control,
            aside: &[],
        };
        let count = batch::EVENTS * entries.len();
        hop(name, count, body.len() * entries.len(), || {
            transform(&task, &entries).targets.len()
        });
    }
    Ok(())
}
