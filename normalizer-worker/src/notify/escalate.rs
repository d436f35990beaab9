//! Escalation: an alert that stays open for too long is told of once more. Every worker looks, and
//! whichever comes first escalates it, once for each time that it was opened.

use crate::error::WorkerError;
use deadpool_postgres::Pool;
use std::time::Duration;
use uuid::Uuid;

/// Alerts escalated with one transaction: keeps transactions short.
const ALERTS_AT_ONCE: i64 = 500;

/// Open for longer than the organisation's own minutes (0 for never), or else $1 seconds. A row that
/// another worker has locked is its to escalate.
const ESCALATE: &str = "WITH due AS ( \
     SELECT a.id FROM alert AS a LEFT JOIN organisation AS o ON o.id = a.org_id \
      CROSS JOIN LATERAL (SELECT CASE \
            WHEN jsonb_typeof(o.settings -> 'escalation_minutes') = 'number' \
            THEN least(greatest((o.settings ->> 'escalation_minutes')::numeric, 0), 525600)::float8 * 60 \
            ELSE $1::float8 END AS seconds) AS wait \
      WHERE a.status = 'open' AND a.escalated_at IS NULL AND wait.seconds > 0 \
        AND a.status_changed_at < now() - make_interval(secs => wait.seconds) \
      ORDER BY a.status_changed_at LIMIT $2 FOR UPDATE OF a SKIP LOCKED), \
   escalated AS ( \
     UPDATE alert AS a SET escalated_at = now() FROM due WHERE a.id = due.id \
     RETURNING a.id, a.org_id, a.status_changed_at), \
   told AS ( \
     INSERT INTO alert_event (alert_id, org_id, who, what, note) \
     SELECT id, org_id, 'millrace', 'escalated', 'nobody acknowledged it in time' FROM escalated) \
   SELECT id, extract(epoch FROM status_changed_at)::int8::text FROM escalated";

/// Told of by the moment at which the alert was opened: a reopened one can be escalated again.
const TELL: &str = "SELECT sum(notify_alert(id, 'escalated', opened, '{}'))::int8 \
       FROM unnest($1::uuid[], $2::text[]) AS e (id, opened)";

/// Escalates what is due; how many alerts.
pub(super) async fn round(pool: &Pool, after: Duration) -> Result<u64, WorkerError> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    let statement = tx.prepare_cached(ESCALATE).await?;
    let rows = tx
        .query(&statement, &[&after.as_secs_f64(), &ALERTS_AT_ONCE])
        .await?;
    let (mut ids, mut opened): (Vec<Uuid>, Vec<String>) = (Vec::new(), Vec::new());
    for row in &rows {
        ids.push(row.try_get(0)?);
        opened.push(row.try_get(1)?);
    }
    if !ids.is_empty() {
        let statement = tx.prepare_cached(TELL).await?;
        tx.query(&statement, &[&ids, &opened]).await?;
    }
    tx.commit().await?;
    Ok(rows.len() as u64)
}
