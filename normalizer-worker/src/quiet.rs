//! The clock of rules about silence: every few seconds it finds out up to when everything received
//! has been committed, and has what stayed silent until then reported. What is not committed yet may
//! break a silence; so after an outage nothing is called silent before the streams are drained.

use crate::commit::silence;
use crate::error::WorkerError;
use crate::ledger;
use crate::reader::Reader;
use crate::shard::Plant;
use millrace_runtime::clock::now_ns;
use std::time::Duration;

/// How often.
pub(crate) const EVERY: Duration = Duration::from_secs(10);
/// From the receipt of a batch, which events carry, to its entry's place in the stream: the gateway
/// parses it meanwhile, and gives up after a few seconds.
const APPEND_NS: i64 = 5_000_000_000;
const NS_PER_MS: i64 = 1_000_000;

/// One round; nothing happens while another worker is at it, or nothing is due.
///
/// # Errors
/// When PostgreSQL or Redis is not available.
pub(crate) async fn round(plant: &Plant) -> Result<(), WorkerError> {
    let now = now_ns();
    if !silence::is_due(&plant.desk.pool, now).await? {
        return Ok(());
    }
    let until = committed_until(plant, now).await?;
    silence::report(&plant.desk.pool, until).await
}

/// The instant up to which everything that was received is committed.
async fn committed_until(plant: &Plant, now: i64) -> Result<i64, WorkerError> {
    let client = plant.desk.pool.get().await?;
    let mut until = now;
    for frontier in ledger::frontiers(&client).await? {
        let mut reader = Reader::shared(&plant.redis, frontier.shard);
        let next = reader.after(frontier.cursor, 1, None).await?;
        let next = next
            .first()
            .and_then(|entry| i64::try_from(entry.id.ms).ok());
        let waiting = frontier.prepared_ms.into_iter().chain(next).min();
        if let Some(ms) = waiting {
            until = until.min(ms.saturating_mul(NS_PER_MS));
        }
    }
    Ok(until.saturating_sub(APPEND_NS))
}
