//! Looks at the ledger, the streams and the books every few seconds and sets the gauges that show
//! how the pipeline stands. Changes nothing.

use crate::error::WorkerError;
use crate::ledger::{self, Fence};
use crate::metrics;
use crate::reader::Reader;
use crate::shard::Plant;
use millrace_runtime::clock::now_ns;
use millrace_shared::Signal;
use millrace_shared::ids::{ShardId, StreamId};
use millrace_shared::outcome::DeadReason;
use std::collections::HashMap;
use std::time::Duration;

/// How often.
pub const EVERY: Duration = Duration::from_secs(5);

/// States of the ledger that are shown; audited batches are done with.
const STATES: [&str; 3] = ["PREPARED", "COMMITTED", "PARKED"];
/// States of the outbox.
const OUTBOX_STATES: [&str; 4] = ["pending", "sent", "dead", "dropped"];
/// States of retro-hunts; those that fail are waiting or running, too.
const HUNT_STATES: [&str; 3] = ["pending", "running", "failing"];
/// Sides of the books.
const SIDES: [&str; 3] = ["stored", "rejected", "dead_lettered"];

/// Sets all gauges once. `held` are the shards of this worker, `shards` the number per signal.
///
/// # Errors
/// When a store is not available; gauges then keep their values.
pub async fn look(plant: &Plant, held: &[Fence], shards: i16) -> Result<(), WorkerError> {
    metrics::BUDGET_FREE.set(
        &[],
        float(i64::try_from(plant.budget.free()).unwrap_or(i64::MAX)),
    );
    streams(plant, held).await?;
    ledger_states(plant).await?;
    outbox(plant).await?;
    letters(plant).await?;
    feeds(plant).await?;
    hunts(plant).await?;
    books(plant, shards).await
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn float(value: i64) -> f64 {
    value as f64
}

async fn streams(plant: &Plant, held: &[Fence]) -> Result<(), WorkerError> {
    let now_ms = now_ns() / 1_000_000;
    let mut by_signal: HashMap<Signal, (u64, i64)> = HashMap::new();
    let client = plant.desk.pool.get().await?;
    for fence in held {
        // A shard lost a moment ago is somebody else's to show.
        let Ok(position) = ledger::position(&client, *fence).await else {
            continue;
        };
        let mut reader = Reader::shared(&plant.redis, fence.shard);
        let (length, next) = reader.backlog(position.cursor).await?;
        let prepared = ledger::prepared(&client, *fence).await?;
        let oldest = prepared.first().map(|batch| batch.first).or(next);
        let age = oldest.map_or(0, |id| age_ms(id, now_ms));
        let shown = by_signal.entry(fence.shard.signal).or_default();
        *shown = (shown.0 + length, shown.1.max(age));
    }
    for signal in Signal::ALL {
        let (length, age) = by_signal.get(&signal).copied().unwrap_or_default();
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        metrics::STREAM_ENTRIES.set(&[signal.as_str()], float(length));
        metrics::OLDEST_PENDING.set(&[signal.as_str()], float(age) / 1000.0);
    }
    Ok(())
}

fn age_ms(id: StreamId, now_ms: i64) -> i64 {
    now_ms
        .saturating_sub(i64::try_from(id.ms).unwrap_or(i64::MAX))
        .max(0)
}

async fn ledger_states(plant: &Plant) -> Result<(), WorkerError> {
    // Two parts, because each has an index of its own and most of the table is in neither.
    let sql = "SELECT signal, state, count(*) FROM batch \
                WHERE state IN ('PREPARED', 'COMMITTED') GROUP BY signal, state \
               UNION ALL \
               SELECT signal, state, count(*) FROM batch \
                WHERE state = 'PARKED' GROUP BY signal, state";
    let mut counts: HashMap<(String, String), i64> = HashMap::new();
    for row in plant.desk.pool.get().await?.query(sql, &[]).await? {
        counts.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
    }
    for signal in Signal::ALL {
        for state in STATES {
            let key = (signal.as_str().to_owned(), state.to_owned());
            let count = counts.get(&key).copied().unwrap_or(0);
            metrics::LEDGER_BATCHES.set(&[signal.as_str(), state], float(count));
        }
    }
    Ok(())
}

async fn outbox(plant: &Plant) -> Result<(), WorkerError> {
    let sql = "SELECT state, count(*), extract(epoch FROM now() - min(queued_at))::float8 \
                 FROM outbox GROUP BY state";
    let mut counts: HashMap<String, i64> = HashMap::new();
    let mut oldest = 0.0;
    for row in plant.desk.pool.get().await?.query(sql, &[]).await? {
        let state: String = row.try_get(0)?;
        if state == "pending" {
            oldest = row.try_get(2)?;
        }
        counts.insert(state, row.try_get(1)?);
    }
    metrics::OUTBOX_OLDEST.set(&[], oldest);
    for state in OUTBOX_STATES {
        metrics::OUTBOX.set(&[state], float(counts.get(state).copied().unwrap_or(0)));
    }
    Ok(())
}

/// The dead letters that wait for somebody to decide.
async fn letters(plant: &Plant) -> Result<(), WorkerError> {
    let sql = "SELECT signal, reason, sum(events)::int8, \
                      extract(epoch FROM now() - min(parked_at))::float8 \
                 FROM dead_letter WHERE state = 'PARKED' GROUP BY signal, reason";
    let mut parked: HashMap<(String, String), (i64, f64)> = HashMap::new();
    for row in plant.desk.pool.get().await?.query(sql, &[]).await? {
        let key = (row.try_get(0)?, row.try_get(1)?);
        parked.insert(key, (row.try_get(2)?, row.try_get(3)?));
    }
    for signal in Signal::ALL {
        let mut oldest: f64 = 0.0;
        for reason in DeadReason::ALL {
            let key = (signal.as_str().to_owned(), reason.as_str().to_owned());
            let (events, age) = parked.get(&key).copied().unwrap_or_default();
            metrics::DEAD_LETTERS.set(&[signal.as_str(), reason.as_str()], float(events));
            oldest = oldest.max(age);
        }
        metrics::DEAD_LETTERS_OLDEST.set(&[signal.as_str()], oldest);
    }
    Ok(())
}

/// The feeds whose last fetch failed.
async fn feeds(plant: &Plant) -> Result<(), WorkerError> {
    let sql = "SELECT count(*) FROM indicator_feed \
                WHERE url <> '' AND deleted_at IS NULL AND failures > 0";
    let client = plant.desk.pool.get().await?;
    let failing: i64 = client.query_one(sql, &[]).await?.try_get(0)?;
    metrics::FEEDS_FAILING.set(&[], float(failing));
    Ok(())
}

/// The retro-hunts that are not at their end.
async fn hunts(plant: &Plant) -> Result<(), WorkerError> {
    let sql = "SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'running'), \
                      count(*) FILTER (WHERE failures > 0) \
                 FROM retro_hunt WHERE state IN ('pending', 'running')";
    let client = plant.desk.pool.get().await?;
    let row = client.query_one(sql, &[]).await?;
    for (place, state) in HUNT_STATES.into_iter().enumerate() {
        metrics::HUNTS_OPEN.set(&[state], float(row.try_get(place)?));
    }
    Ok(())
}

/// What the gateway counted as received against what the ledger counted as done.
async fn books(plant: &Plant, shards: i16) -> Result<(), WorkerError> {
    let sql = "SELECT signal, sum(stored)::int8, sum(rejected)::int8, sum(dead_lettered)::int8 \
                 FROM usage_day GROUP BY signal";
    for row in plant.desk.pool.get().await?.query(sql, &[]).await? {
        let Some(signal) = Signal::from_name(row.try_get(0)?) else {
            continue;
        };
        for (place, side) in SIDES.into_iter().enumerate() {
            let events: i64 = row.try_get(place + 1)?;
            metrics::BALANCE.set(&[signal.as_str(), side], float(events));
        }
    }
    for signal in Signal::ALL {
        let mut received = 0;
        for shard in 0..u16::try_from(shards).unwrap_or(0) {
            received += received_by(plant, ShardId { signal, shard }).await?;
        }
        metrics::BALANCE.set(&[signal.as_str(), "received"], float(received));
    }
    Ok(())
}

async fn received_by(plant: &Plant, shard: ShardId) -> Result<i64, WorkerError> {
    let mut command = redis::cmd("HGETALL");
    command.arg(shard.received());
    let counts: HashMap<String, i64> = command.query_async(&mut plant.redis.clone()).await?;
    Ok(counts
        .iter()
        .filter(|(name, _)| name.ends_with(":events"))
        .map(|(_, count)| count)
        .sum())
}
