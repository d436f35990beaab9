//! Removes what nobody needs any more, once for all workers: windows that have run out, ledger rows
//! long audited, notifications long sent, and metrics past their retention where the database has no
//! policies of its own. Touches nothing that is still in work.

use crate::error::WorkerError;
use crate::metrics;
use deadpool_postgres::{Client, Pool};
use std::time::Duration;

/// How often.
pub const EVERY: Duration = Duration::from_secs(60);
/// Held by the one worker that keeps house.
const LOCK: i64 = 7_770_003;
/// Rows removed with one statement: keeps transactions short.
const ROWS_AT_ONCE: i64 = 10_000;
/// Days that audited batches can be asked for by their id, and that sent notifications are shown.
const KEPT_DAYS: i32 = 7;
/// Days raw samples are kept; with policies the database sees to it (timescale-init).
const SAMPLES_DAYS: i32 = 30;

/// Removes, in this order; every statement deletes at most `$1` rows.
const REMOVALS: [(&str, &str); 3] = [
    (
        "rule_window",
        "DELETE FROM rule_window WHERE ctid = ANY (ARRAY( \
           SELECT ctid FROM rule_window WHERE expires_at < now() LIMIT $1))",
    ),
    (
        "batch",
        "DELETE FROM batch WHERE ctid = ANY (ARRAY( \
           SELECT ctid FROM batch WHERE state = 'AUDITED' \
              AND audited_at < now() - make_interval(days => $2) LIMIT $1))",
    ),
    (
        "outbox",
        "DELETE FROM outbox WHERE ctid = ANY (ARRAY( \
           SELECT ctid FROM outbox WHERE state = 'sent' \
              AND created_at < now() - make_interval(days => $2) LIMIT $1))",
    ),
];

/// One round; nothing happens while another worker is at it.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn round(pool: &Pool) -> Result<(), WorkerError> {
    let client = pool.get().await?;
    let row = client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
        .await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(());
    }
    let done = clean(&client).await;
    client
        .query_one("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await?;
    done
}

async fn clean(client: &Client) -> Result<(), WorkerError> {
    for (what, sql) in REMOVALS {
        let removed = if what == "rule_window" {
            client.execute(sql, &[&ROWS_AT_ONCE]).await?
        } else {
            client.execute(sql, &[&ROWS_AT_ONCE, &KEPT_DAYS]).await?
        };
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
