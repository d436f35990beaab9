//! The books of a batch: usage per organisation and day, sources heard of, hits of indicator feeds,
//! and the seals of the audit chain. Everything here is counted exactly once because it is part of the
//! commit transaction.

use crate::commit::Work;
use crate::commit::text;
use crate::error::WorkerError;
use crate::work::{EntryUsage, IndicatorHits};
use deadpool_postgres::Transaction;
use millrace_shared::ids::OrgId;
use millrace_shared::time::rfc3339;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};

/// What a batch adds to the books of one organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests.
    pub batches: i64,
    /// Events received.
    pub events: i64,
    /// Events stored.
    pub stored: i64,
    /// Events rejected.
    pub rejected: i64,
    /// Events parked.
    pub dead_lettered: i64,
    /// Bytes on the wire.
    pub bytes: i64,
    /// Rows and samples.
    pub rows: i64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: &Usage) -> Usage {
        Usage {
            batches: self.batches + other.batches,
            events: self.events + other.events,
            stored: self.stored + other.stored,
            rejected: self.rejected + other.rejected,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            bytes: self.bytes + other.bytes,
            rows: self.rows + other.rows,
        }
    }
}

/// Adds up what entries contribute. `refused` are samples refused by the series limit, by entry.
/// The events of a replayed dead letter were counted when they came first: now they only change
/// sides. (What the gateway had rejected beside them is not counted in a replay's description.)
#[must_use]
pub(crate) fn add_up(
    entries: &[Option<EntryUsage>],
    refused: &HashMap<u32, u32>,
) -> BTreeMap<OrgId, Usage> {
    let mut books: BTreeMap<OrgId, Usage> = BTreeMap::new();
    for (place, usage) in (0u32..).zip(entries) {
        let Some(usage) = usage else { continue };
        let refused = i64::from(refused.get(&place).copied().unwrap_or(0).min(usage.stored));
        let stored = i64::from(usage.stored) - refused;
        let book = books.entry(usage.org).or_default();
        book.stored += stored;
        book.rows += stored;
        book.dead_lettered += i64::from(usage.dead_lettered);
        book.rejected += i64::from(usage.rejected) + refused;
        if usage.replay_of.is_some() {
            book.dead_lettered -= i64::from(usage.stored)
                + i64::from(usage.rejected)
                + i64::from(usage.dead_lettered);
        } else {
            book.batches += 1;
            book.events += i64::from(usage.events);
            book.bytes += i64::from(usage.bytes);
        }
    }
    books
}

/// Stores the usage of a batch.
///
/// # Errors
/// When PostgreSQL does not take it.
pub(crate) async fn store_usage(
    tx: &Transaction<'_>,
    work: &Work<'_>,
    books: &BTreeMap<OrgId, Usage>,
) -> Result<(), WorkerError> {
    if books.is_empty() {
        return Ok(());
    }
    // A BTreeMap: every transaction takes the rows in the same order.
    let rows: Vec<Value> = books
        .iter()
        .map(|(org, usage)| {
            json!({
                "org_id": org, "batches": usage.batches, "events": usage.events,
                "stored": usage.stored, "rejected": usage.rejected,
                "dead_lettered": usage.dead_lettered, "bytes": usage.bytes, "rows": usage.rows,
            })
        })
        .collect();
    let sql = "INSERT INTO usage_day AS u (org_id, signal, day, batches, events, stored, rejected, \
                                           dead_lettered, bytes, rows) \
               SELECT org_id, $2, $3, batches, events, stored, rejected, dead_lettered, bytes, rows \
                 FROM jsonb_to_recordset($1) AS r (org_id uuid, batches int8, events int8, \
                      stored int8, rejected int8, dead_lettered int8, bytes int8, rows int8) \
               ON CONFLICT (org_id, signal, day) DO UPDATE SET \
                  batches = u.batches + excluded.batches, events = u.events + excluded.events, \
                  stored = u.stored + excluded.stored, rejected = u.rejected + excluded.rejected, \
                  dead_lettered = u.dead_lettered + excluded.dead_lettered, \
                  bytes = u.bytes + excluded.bytes, rows = u.rows + excluded.rows";
    let statement = tx.prepare_cached(sql).await?;
    let signal = work.fence.signal();
    tx.execute(
        &statement,
        &[&Value::Array(rows), &signal, &work.batch.received_day],
    )
    .await?;
    Ok(())
}

/// Notes when each source was last heard of.
///
/// # Errors
/// When PostgreSQL does not take it.
pub(crate) async fn store_sources(
    tx: &Transaction<'_>,
    work: &Work<'_>,
) -> Result<(), WorkerError> {
    let mut heard: BTreeMap<(OrgId, String, String), (i64, u64)> = BTreeMap::new();
    for (source, last, events) in &work.output.sources {
        let key = (
            source.org,
            text::plain(&source.key),
            text::plain(&source.service),
        );
        let one = heard.entry(key).or_insert((*last, 0));
        *one = (one.0.max(*last), one.1.saturating_add(*events));
    }
    if heard.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = heard
        .iter()
        .map(|((org, key, service), (last, events))| {
            json!({
                "org_id": org, "key_id": key, "service": service, "last_seen": rfc3339(*last),
                "events": i64::try_from(*events).unwrap_or(i64::MAX),
            })
        })
        .collect();
    let sql = "INSERT INTO source_health AS h (org_id, signal, key_id, service, last_seen, events) \
               SELECT org_id, $2, key_id, service, last_seen, events \
                 FROM jsonb_to_recordset($1) AS r (org_id uuid, key_id text, service text, \
                      last_seen timestamptz, events int8) \
               ON CONFLICT (org_id, signal, key_id, service) DO UPDATE SET \
                  last_seen = greatest(h.last_seen, excluded.last_seen), \
                  events = h.events + excluded.events";
    let statement = tx.prepare_cached(sql).await?;
    tx.execute(&statement, &[&Value::Array(rows), &work.fence.signal()])
        .await?;
    Ok(())
}

/// Counts the hits of feeds. The rows are those of this shard, which nobody else commits for.
///
/// # Errors
/// When PostgreSQL does not take it.
pub(crate) async fn store_hits(tx: &Transaction<'_>, work: &Work<'_>) -> Result<(), WorkerError> {
    let hits = &work.output.indicator_hits;
    if hits.is_empty() {
        return Ok(());
    }
    let row = |one: &IndicatorHits| {
        json!({
            "org_id": one.org, "feed_id": one.feed, "last_hit": rfc3339(one.last),
            "hits": i64::try_from(one.hits).unwrap_or(i64::MAX),
        })
    };
    let rows = Value::Array(hits.iter().map(row).collect());
    let sql = "INSERT INTO indicator_feed_hit AS h (org_id, feed_id, signal, shard, hits, last_hit) \
               SELECT org_id, feed_id, $2, $3, hits, last_hit \
                 FROM jsonb_to_recordset($1) AS r (org_id uuid, feed_id int8, hits int8, \
                      last_hit timestamptz) \
               ON CONFLICT (org_id, feed_id, signal, shard) DO UPDATE SET \
                  hits = h.hits + excluded.hits, last_hit = greatest(h.last_hit, excluded.last_hit)";
    let statement = tx.prepare_cached(sql).await?;
    tx.execute(
        &statement,
        &[&rows, &work.fence.signal(), &work.fence.number()],
    )
    .await?;
    Ok(())
}

/// The next link of a chain: SHA-256 over the link before (32 zero bytes before the first), the
/// organisation, shard, batch, number of rows and the hash of the rows.
#[must_use]
pub fn link(before: &[u8], org: OrgId, place: (u16, i64), rows: (u32, &[u8; 32])) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(org.as_bytes());
    hash.update(place.0.to_be_bytes());
    hash.update(place.1.to_be_bytes());
    hash.update(rows.0.to_be_bytes());
    hash.update(rows.1);
    hash.finalize().into()
}

/// Before the first link.
const CHAIN_START: [u8; 32] = [0; 32];

/// Seals the audit rows of a batch into the chain of each organisation. The caller holds the locks
/// that keep two workers from adding to one chain at once.
///
/// # Errors
/// When PostgreSQL does not take it.
pub(crate) async fn store_seals(tx: &Transaction<'_>, work: &Work<'_>) -> Result<(), WorkerError> {
    let last = "SELECT number, chain_hash FROM audit_seal WHERE org_id = $1 \
                 ORDER BY number DESC LIMIT 1";
    let insert = "INSERT INTO audit_seal (org_id, number, shard, seq, rows, rows_hash, chain_hash) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    for (org, rows, rows_hash) in &work.output.audit_rows {
        let statement = tx.prepare_cached(last).await?;
        let row = tx.query_opt(&statement, &[org]).await?;
        let (number, before) = match &row {
            Some(row) => (row.try_get::<_, i64>(0)? + 1, row.try_get::<_, &[u8]>(1)?),
            None => (0, CHAIN_START.as_slice()),
        };
        let place = (work.fence.shard.shard, work.batch.seq);
        let chain = link(before, *org, place, (*rows, rows_hash));
        let count = i32::try_from(*rows).unwrap_or(i32::MAX);
        let statement = tx.prepare_cached(insert).await?;
        tx.execute(
            &statement,
            &[
                org,
                &number,
                &work.fence.number(),
                &work.batch.seq,
                &count,
                &rows_hash.as_slice(),
                &chain.as_slice(),
            ],
        )
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORG: OrgId = OrgId::from_u128(1);

    const ENTRY: EntryUsage = EntryUsage {
        org: ORG,
        events: 10,
        stored: 7,
        rejected: 2,
        dead_lettered: 1,
        bytes: 100,
        replay_of: None,
    };

    fn balance(usage: &Usage) -> i64 {
        usage.events - usage.stored - usage.rejected - usage.dead_lettered
    }

    #[test]
    fn the_books_balance_with_samples_refused_and_letters_replayed() {
        let books = add_up(&[Some(ENTRY), None, Some(ENTRY)], &HashMap::from([(2, 3)]));
        let usage = books[&ORG];
        assert_eq!(
            (
                usage.batches,
                usage.stored,
                usage.rejected,
                usage.dead_lettered
            ),
            (2, 11, 7, 2)
        );
        assert_eq!(balance(&usage), 0);

        let replay = EntryUsage {
            stored: 1,
            events: 1,
            rejected: 0,
            dead_lettered: 0,
            replay_of: Some(5),
            ..ENTRY
        };
        let after = add_up(&[Some(replay)], &HashMap::new())[&ORG];
        assert_eq!(
            (
                after.batches,
                after.events,
                after.stored,
                after.dead_lettered
            ),
            (0, 0, 1, -1)
        );
        assert_eq!(balance(&after), 0);

        let again = EntryUsage {
            stored: 0,
            dead_lettered: 1,
            ..replay
        };
        assert_eq!(balance(&add_up(&[Some(again)], &HashMap::new())[&ORG]), 0);
    }

    #[test]
    fn every_part_of_a_seal_changes_the_chain() {
        let base = link(&CHAIN_START, ORG, (1, 2), (3, &[4; 32]));
        let others = [
            link(&base, ORG, (1, 2), (3, &[4; 32])),
            link(&CHAIN_START, OrgId::from_u128(2), (1, 2), (3, &[4; 32])),
            link(&CHAIN_START, ORG, (2, 2), (3, &[4; 32])),
            link(&CHAIN_START, ORG, (1, 3), (3, &[4; 32])),
            link(&CHAIN_START, ORG, (1, 2), (4, &[4; 32])),
            link(&CHAIN_START, ORG, (1, 2), (3, &[5; 32])),
        ];
        assert!(others.iter().all(|other| *other != base));
    }
}
