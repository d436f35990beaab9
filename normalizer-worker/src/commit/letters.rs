//! Dead letters of a batch: what is parked becomes a letter; the letter whose replay has arrived is
//! closed, whatever became of the replay. Both are part of the commit, so a letter is replayed once
//! and is never stored and parked at the same time.

use crate::commit::Work;
use crate::commit::text;
use crate::error::WorkerError;
use crate::ledger::columns;
use crate::poison::Parked;
use crate::work::RawEntry;
use deadpool_postgres::Transaction;
use millrace_shared::entry::Meta;
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::DeadReason;

/// A row of the dead-letter store.
struct Letter<'w> {
    org: Option<OrgId>,
    entry: &'w RawEntry,
    events_at: Option<Vec<i32>>,
    events: u32,
    reason: DeadReason,
    detail: &'w str,
}

fn letters<'w>(work: &'w Work<'_>) -> Vec<Letter<'w>> {
    let of_output = work.output.poison.iter().filter_map(|poison| {
        Some(Letter {
            org: poison.org,
            entry: work.entries.get(poison.entry as usize)?,
            events_at: poison.events_at.as_deref().map(widened),
            events: poison.events,
            reason: poison.reason,
            detail: &poison.detail,
        })
    });
    let of_parked = work.parked.iter().map(|parked: &Parked| Letter {
        org: Meta::parse(&parked.entry.meta).ok().map(|meta| meta.org),
        entry: &parked.entry,
        events_at: parked.events_at.as_deref().map(widened),
        events: parked.events(),
        reason: parked.reason,
        detail: &parked.detail,
    });
    of_output.chain(of_parked).collect()
}

fn widened(at: &[u16]) -> Vec<i32> {
    at.iter().copied().map(i32::from).collect()
}

/// Puts what cannot be stored into the dead-letter store.
///
/// # Errors
/// When PostgreSQL does not take it.
pub(crate) async fn store(tx: &Transaction<'_>, work: &Work<'_>) -> Result<(), WorkerError> {
    let sql = "INSERT INTO dead_letter (org_id, signal, shard, entry_ms, entry_seq, events_at, events, \
                                        reason, detail, meta, body, replay_of) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
    for letter in letters(work) {
        let (ms, seq) = columns(letter.entry.id);
        let events = i32::try_from(letter.events).unwrap_or(i32::MAX);
        let statement = tx.prepare_cached(sql).await?;
        tx.execute(
            &statement,
            &[
                &letter.org,
                &work.fence.signal(),
                &work.fence.number(),
                &ms,
                &seq,
                &letter.events_at,
                &events,
                &letter.reason.as_str(),
                &text::plain(letter.detail),
                &letter.entry.meta.as_ref(),
                &letter.entry.body.as_ref(),
                &replay_of(letter.entry),
            ],
        )
        .await?;
    }
    Ok(())
}

fn replay_of(entry: &RawEntry) -> Option<i64> {
    Meta::parse(&entry.meta).ok()?.replay_of
}

/// Closes the letters whose replays are in this batch. One that was dropped or has expired since is
/// closed as replayed too: that is what happened to its events.
///
/// # Errors
/// When PostgreSQL does not answer.
pub(crate) async fn close_replayed(
    tx: &Transaction<'_>,
    work: &Work<'_>,
) -> Result<(), WorkerError> {
    let usage = work.output.usage.iter().zip(work.entries);
    let stored = usage.filter_map(|(usage, entry)| Some((usage.as_ref()?.replay_of?, entry.id)));
    let parked = work
        .parked
        .iter()
        .filter_map(|one| Some((one.usage()?.replay_of?, one.entry.id)));
    let mut replays: Vec<(i64, String)> = stored
        .chain(parked)
        .map(|(letter, entry)| (letter, entry.to_string()))
        .collect();
    if replays.is_empty() {
        return Ok(());
    }
    replays.sort_unstable();
    let (letters, entries): (Vec<i64>, Vec<String>) = replays.into_iter().unzip();
    let sql = "UPDATE dead_letter AS d \
                  SET state = 'REPLAYED', replayed_as = r.entry, \
                      closed_at = coalesce(d.closed_at, now()), \
                      closed_by = coalesce(d.closed_by, 'normalizer-worker') \
                 FROM unnest($1::int8[], $2::text[]) AS r (id, entry) \
                WHERE d.id = r.id AND d.replayed_as IS NULL";
    let statement = tx.prepare_cached(sql).await?;
    tx.execute(&statement, &[&letters, &entries]).await?;
    Ok(())
}
