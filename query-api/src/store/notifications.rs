//! What was sent to channels, what waits, and what was given up: listed, sent again, dropped. What a
//! receiver said is kept nowhere.

use super::pg::{Pg, problem};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;
use uuid::Uuid;

/// One message to one channel.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Notification {
    /// Its number.
    pub id: i64,
    /// The alert; absent in a test.
    pub alert_id: Option<Uuid>,
    /// The channel, which may be gone.
    pub channel_id: Option<Uuid>,
    /// `created`, `escalated`, `severity_raised`, `resolved` or `test`.
    pub event: String,
    /// The key under which it is sent, however often.
    pub idempotency_key: String,
    /// `pending`, `sent`, `dead` (given up) or `dropped`.
    pub state: String,
    /// Attempts so far.
    pub attempts: i32,
    /// What the last attempt came to, where it failed.
    pub last_error: Option<String>,
    /// The status that the receiver last answered with.
    pub last_status: Option<i32>,
    /// When it happened.
    pub created_at: Moment,
    /// When it was last tried.
    pub attempted_at: Option<Moment>,
    /// When it is tried next, while it is pending.
    pub next_attempt_at: Option<Moment>,
    /// When it was delivered or given up.
    pub finished_at: Option<Moment>,
}

macro_rules! notification_columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, alert_id, channel_id, event, idempotency_key, state, attempts, last_error,
                    last_status, created_at, attempted_at, finished_at,
                    CASE WHEN state = 'pending' THEN next_attempt_at END AS next_attempt_at
               FROM outbox WHERE org_id = $1 ",
            $rest
        )
    };
}

impl FromRow for Notification {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let maybe = |column: &str| -> Result<Option<Moment>, tokio_postgres::Error> {
            row.try_get::<_, Option<OffsetDateTime>>(column)
                .map(|at| at.map(Moment::from))
        };
        Ok(Notification {
            id: row.try_get("id")?,
            alert_id: row.try_get("alert_id")?,
            channel_id: row.try_get("channel_id")?,
            event: row.try_get("event")?,
            idempotency_key: row.try_get("idempotency_key")?,
            state: row.try_get("state")?,
            attempts: row.try_get("attempts")?,
            last_error: row.try_get("last_error")?,
            last_status: row.try_get("last_status")?,
            created_at: row.try_get::<_, OffsetDateTime>("created_at")?.into(),
            attempted_at: maybe("attempted_at")?,
            next_attempt_at: maybe("next_attempt_at")?,
            finished_at: maybe("finished_at")?,
        })
    }
}

/// A page of notifications, newest first.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Only in this state.
    pub state: Option<String>,
    /// Only to this channel.
    pub channel: Option<Uuid>,
    /// Only about this alert.
    pub alert: Option<Uuid>,
    /// Only those before this number.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

impl Needs for Listing {
    fn permission(&self) -> Permission {
        Permission::ChannelsRead
    }
}

impl PgQuery for Listing {
    type Row = Notification;

    fn sql(&self) -> &'static str {
        notification_columns!(
            "AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR channel_id = $3)
             AND ($4::uuid IS NULL OR alert_id = $4) AND ($5::bigint IS NULL OR id < $5)
           ORDER BY id DESC LIMIT $6"
        )
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.state,
            &self.channel,
            &self.alert,
            &self.before,
            &self.limit,
        ]
    }
}

/// One notification.
#[derive(Clone, Copy, Debug)]
pub struct NotificationById(pub i64);

impl Needs for NotificationById {
    fn permission(&self) -> Permission {
        Permission::ChannelsRead
    }
}

impl PgQuery for NotificationById {
    type Row = Notification;

    fn sql(&self) -> &'static str {
        notification_columns!("AND id = $2")
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }
}

/// What is done about a notification that was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// One that was given up is sent again, under the same key.
    Retry,
    /// One that waits or was given up is not sent any more.
    Drop,
}

/// A change of one notification.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Its number.
    pub id: i64,
    /// What is done.
    pub deed: Deed,
}

impl Needs for Change {
    fn permission(&self) -> Permission {
        Permission::ChannelsManage
    }
}

const LOCK: &str = "
    SELECT o.state, c.enabled FROM outbox AS o
      LEFT JOIN notification_channel AS c ON c.id = o.channel_id AND c.org_id = o.org_id
     WHERE o.org_id = $1 AND o.id = $2 FOR UPDATE OF o";
const RETRY: &str = "
    UPDATE outbox SET state = 'pending', attempts = 0, queued_at = now(), next_attempt_at = now(),
                      finished_at = NULL
     WHERE org_id = $1 AND id = $2";
const DROP: &str = "
    UPDATE outbox SET state = 'dropped', finished_at = now()
     WHERE org_id = $1 AND id = $2";

/// Carries out a change; `record` makes its audit event.
///
/// # Errors
/// 404 without such a notification, 409 when it is in another state or its channel cannot be told
/// anything, 503 when a store is down.
pub async fn change(
    pg: &Pg,
    bound: &Bound<Change>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (org, change) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let params: [&(dyn ToSql + Sync); 2] = [&org, &change.id];
    let row = transaction
        .query_opt(LOCK, &params)
        .await
        .map_err(problem)?;
    let row = row.ok_or_else(|| Problem::not_found("notification"))?;
    let state: String = row.try_get(0).map_err(problem)?;
    let enabled: Option<bool> = row.try_get(1).map_err(problem)?;
    let refused = |detail: String| Err(Problem::new(Refusal::Conflict, detail));
    let sql = match (change.deed, state.as_str()) {
        (Deed::Retry, "dead") if enabled != Some(true) => {
            return refused("its channel is gone or switched off".to_owned());
        }
        (Deed::Retry, "dead") => RETRY,
        (Deed::Drop, "dead" | "pending") => DROP,
        (Deed::Retry | Deed::Drop, state) => {
            return refused(format!("the notification is {state}"));
        }
    };
    transaction.execute(sql, &params).await.map_err(problem)?;
    record().await?;
    transaction.commit().await.map_err(problem)
}
