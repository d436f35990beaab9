//! What the worker is handed: entries of the raw stream, and what is to be done with them.

use crate::control::ORG;
use bytes::Bytes;
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{LedgerId, ShardId, StreamId};
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::wire::BodyFormat;
use normalizer_worker::control::Control;
use normalizer_worker::pipeline::Task;
use normalizer_worker::work::RawEntry;

/// Bodies of log events, each of so many, as they lie in the stream.
///
/// # Errors
///
/// When they are more events than an entry counts.
pub fn entries<'b>(
    bodies: impl IntoIterator<Item = &'b [u8]>,
    events: usize,
    received_at: i64,
) -> anyhow::Result<Vec<RawEntry>> {
    let mut meta = Meta::new(ORG, "bench", received_at, (BodyFormat::Json, Encoding::Lz4));
    meta.accepted = u32::try_from(events)?;
    let meta = Bytes::from(meta.to_text());
    let ms = received_at.unsigned_abs() / 1_000_000;
    let numbered = (0..).zip(bodies);
    let entries = numbered.map(|(n, body)| RawEntry {
        id: StreamId { ms: ms + n, seq: 0 },
        meta: meta.clone(),
        body: Bytes::from(pack(body)),
    });
    Ok(entries.collect())
}

/// The first batch of a shard of logs.
#[must_use]
pub fn task(control: &Control) -> Task<'_> {
    Task {
        shard: ShardId {
            signal: Signal::Logs,
            shard: 0,
        },
        ledger: LedgerId::new(0, 1),
        attempt: 0,
        control,
        aside: &[],
    }
}
