//! Removes what nobody needs any more, once for all workers: windows that have run out, ledger rows
//! long audited, notifications long sent, indicators and retro-hunts long ended, the contents of dead letters past
//! their retention, and metrics past theirs where the database has no policies of its own. Touches
//! nothing that is still in work.

use crate::error::WorkerError;
use crate::metrics;
use deadpool_postgres::{Client, Pool};
use std::time::Duration;
use tokio_postgres::Row;

/// How often.
pub const EVERY: Duration = Duration::from_secs(60);
/// Held by the one worker that keeps house.
const LOCK: i64 = 7_770_003;
/// Rows removed with one statement: keeps transactions short.
const ROWS_AT_ONCE: i64 = 10_000;
/// Days that audited batches can be asked for by their id, and that sent notifications are shown.
const KEPT_DAYS: i32 = 7;
/// Days that a notification which could not be delivered can be looked at, and be sent again.
const DEAD_DAYS: i32 = 30;
/// Days raw samples are kept; with policies the database sees to it (timescale-init).
const SAMPLES_DAYS: i32 = 30;

/// Days after which an indicator that ended, or has run out, is removed. A batch is made again within
/// hours, by the indicators it was made with first; and until then people can see what became of one.
const INDICATOR_DAYS: i32 = 30;
/// Days that retro-hunts which are at their end can be looked at; what they found stays.
const HUNT_DAYS: i32 = 90;

/// Days for which the record of a closed dead letter, without contents, can still be looked at.
const LETTERS_DAYS: i32 = 365;

/// Erases the contents of letters past their retention and closes those that nobody has decided on:
/// in the books they stay dead-lettered. An organisation's own number of days counts before the
/// installation's, $2.
const EXPIRE: &str = "WITH due AS ( \
     SELECT d.id FROM dead_letter AS d LEFT JOIN organisation AS o ON o.id = d.org_id \
      WHERE d.erased_at IS NULL AND d.parked_at < now() - make_interval(days => \
            CASE WHEN jsonb_typeof(o.settings -> 'dead_letter_days') = 'number' \
                 THEN least(greatest((o.settings ->> 'dead_letter_days')::numeric, 1), 3650)::int \
                 ELSE $2 END) \
      ORDER BY d.parked_at LIMIT $1 FOR UPDATE OF d SKIP LOCKED) \
   UPDATE dead_letter AS d \
      SET meta = '', body = '', erased_at = now(), \
          state = CASE d.state WHEN 'PARKED' THEN 'EXPIRED' ELSE d.state END, \
          closed_at = coalesce(d.closed_at, now()), closed_by = coalesce(d.closed_by, 'retention') \
     FROM due WHERE d.id = due.id RETURNING d.state";

/// Removes, in this order; every statement deletes at most `$1` rows, of an age of so many days.
const REMOVALS: [(&str, i32, &str); 7] = [
    (
        "rule_window",
        0,
        // What is due is waited for, however late the clock comes by.
        "DELETE FROM rule_window WHERE ctid = ANY (ARRAY( \
           SELECT ctid FROM rule_window WHERE expires_at < now() - make_interval(days => $2) \
              AND due_at IS NULL LIMIT $1))",
    ),
    (
        "batch",
        KEPT_DAYS,
        "DELETE FROM batch WHERE ctid = ANY (ARRAY( \
           SELECT ctid FROM batch WHERE state = 'AUDITED' \
              AND audited_at < now() - make_interval(days => $2) LIMIT $1))",
    ),
    (
        "outbox",
        KEPT_DAYS,
        "DELETE FROM outbox WHERE ctid = ANY (ARRAY( \
           SELECT ctid FROM outbox WHERE state IN ('sent', 'dropped') \
              AND coalesce(finished_at, created_at) < now() - make_interval(days => $2) LIMIT $1))",
    ),
    (
        "outbox",
        DEAD_DAYS,
        "DELETE FROM outbox WHERE ctid = ANY (ARRAY( \
           SELECT ctid FROM outbox WHERE state = 'dead' \
              AND finished_at < now() - make_interval(days => $2) LIMIT $1))",
    ),
    ("indicator", INDICATOR_DAYS, INDICATORS),
    (
        "dead_letter",
        LETTERS_DAYS,
        "DELETE FROM dead_letter WHERE ctid = ANY (ARRAY( \
           SELECT ctid FROM dead_letter WHERE state <> 'PARKED' AND erased_at IS NOT NULL \
              AND closed_at < now() - make_interval(days => $2) LIMIT $1))",
    ),
    (
        "retro_hunt",
        HUNT_DAYS,
        "DELETE FROM retro_hunt WHERE ctid = ANY (ARRAY( \
           SELECT ctid FROM retro_hunt \
            WHERE finished_at < now() - make_interval(days => $2) LIMIT $1))",
    ),
];

/// Those that were ended, and those past their own end: but in a feed that is fetched, what has run out
/// stays for as long as the server lists it, or it would come anew with every version of the feed. A
/// feed that is being changed is left for the next round, so that nobody waits for one another.
const INDICATORS: &str = "WITH due AS ( \
     (SELECT id, feed_id FROM indicator \
       WHERE ended_at < now() - make_interval(days => $2) LIMIT $1) \
     UNION ALL \
     (SELECT i.id, i.feed_id FROM indicator AS i JOIN indicator_feed AS f ON f.id = i.feed_id \
       WHERE i.until_revision IS NULL AND f.url = '' \
         AND i.expires_at < now() - make_interval(days => $2) LIMIT $1)), \
   held AS ( \
     SELECT id FROM indicator_feed WHERE id IN (SELECT feed_id FROM due) \
        FOR NO KEY UPDATE SKIP LOCKED), \
   gone AS ( \
     DELETE FROM indicator AS i USING due, held \
      WHERE i.id = due.id AND due.feed_id = held.id \
     RETURNING i.feed_id, i.until_revision IS NULL AS counted), \
   told AS ( \
     UPDATE indicator_feed AS f SET indicators = f.indicators - g.count \
       FROM (SELECT feed_id, count(*) AS count FROM gone WHERE counted GROUP BY feed_id) AS g \
      WHERE f.id = g.feed_id) \
   SELECT FROM gone";

/// One round; nothing happens while another worker is at it. Contents of dead letters are kept for
/// `letter_days`.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn round(pool: &Pool, letter_days: i32) -> Result<(), WorkerError> {
    let client = pool.get().await?;
    let row = client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
        .await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(());
    }
    let done = clean(&client, letter_days).await;
    client
        .query_one("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await?;
    done
}

async fn clean(client: &Client, letter_days: i32) -> Result<(), WorkerError> {
    let erased = client.query(EXPIRE, &[&ROWS_AT_ONCE, &letter_days]).await?;
    let state = |row: &Row| row.try_get::<_, String>(0).unwrap_or_default();
    let expired = erased.iter().filter(|row| state(row) == "EXPIRED");
    metrics::HOUSEKEEPING.add(&["dead_letter_expired"], expired.count() as u64);
    for (what, days, sql) in REMOVALS {
        let removed = client.execute(sql, &[&ROWS_AT_ONCE, &days]).await?;
        metrics::HOUSEKEEPING.add(&[what], removed);
    }
    client
        .execute(
            "DELETE FROM worker WHERE seen_until < now() - interval '1 hour'",
            &[],
        )
        .await?;
    drop_old_samples(client).await
}

async fn drop_old_samples(client: &Client) -> Result<(), WorkerError> {
    let sql = "SELECT coalesce(current_setting('timescaledb.license', true), 'apache') = 'apache'";
    if !client.query_one(sql, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(());
    }
    let sql = "SELECT count(*) FROM drop_chunks('metric_samples', make_interval(days => $1))";
    let dropped: i64 = client.query_one(sql, &[&SAMPLES_DAYS]).await?.try_get(0)?;
    metrics::HOUSEKEEPING.add(&["chunk"], dropped.unsigned_abs());
    Ok(())
}
