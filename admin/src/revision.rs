//! Revisions of the control tables: whatever decides what the worker makes of an event carries the
//! revision from which it counts.

use deadpool_postgres::Transaction;

/// Whoever takes a revision holds this lock, so that revisions become visible in order.
const LOCK: i64 = 7_770_001;

/// Waits for the lock, and holds it until the transaction ends.
pub(crate) async fn hold(tx: &Transaction<'_>) -> anyhow::Result<()> {
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    Ok(())
}

/// Takes the next revision inside a transaction, and tells the workers when it commits.
pub(crate) async fn take(tx: &Transaction<'_>) -> anyhow::Result<i64> {
    hold(tx).await?;
    let row = tx
        .query_one("SELECT nextval('control_revision')", &[])
        .await?;
    tx.batch_execute("NOTIFY millrace_control").await?;
    Ok(row.try_get(0)?)
}
