//! Usage by day, and who sends.

use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::principal::{Needs, Permission};
use serde::Serialize;
use time::{Date, OffsetDateTime};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

/// Usage of days, from `from` up to and with `to`.
#[derive(Clone, Copy, Debug)]
pub struct UsageDays {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
}

/// Usage of one signal on one day (UTC, by reception).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UsageDay {
    /// The day.
    pub day: String,
    /// The signal.
    pub signal: String,
    /// Requests.
    pub batches: i64,
    /// Events received.
    pub events: i64,
    /// Events stored.
    pub stored: i64,
    /// Events rejected.
    pub rejected: i64,
    /// Events in the dead-letter store.
    pub dead_lettered: i64,
    /// Bytes on the wire.
    pub bytes: i64,
    /// Rows written.
    pub rows: i64,
}

impl Needs for UsageDays {
    fn permission(&self) -> Permission {
        Permission::UsageRead
    }
}

impl PgQuery for UsageDays {
    type Row = UsageDay;

    fn sql(&self) -> &'static str {
        "SELECT to_char(day, 'YYYY-MM-DD') AS day, signal, batches, events, stored, rejected,
                dead_lettered, bytes, rows
           FROM usage_day AS u WHERE org_id = $1 AND u.day >= $2 AND u.day <= $3
          ORDER BY u.day, signal"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.from, &self.to]
    }
}

impl FromRow for UsageDay {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(UsageDay {
            day: row.try_get("day")?,
            signal: row.try_get("signal")?,
            batches: row.try_get("batches")?,
            events: row.try_get("events")?,
            stored: row.try_get("stored")?,
            rejected: row.try_get("rejected")?,
            dead_lettered: row.try_get("dead_lettered")?,
            bytes: row.try_get("bytes")?,
            rows: row.try_get("rows")?,
        })
    }
}

/// Sources, the last heard first.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Only of this signal.
    pub signal: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// A source: what one service sends of one signal with one key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Source {
    /// The signal.
    pub signal: String,
    /// The ingest key.
    pub key_id: String,
    /// The service.
    pub service: String,
    /// When it was last heard.
    pub last_seen: Moment,
    /// Seconds since then.
    pub silent_s: i64,
    /// Events in all.
    pub events: i64,
}

impl Needs for Sources {
    fn permission(&self) -> Permission {
        Permission::SourcesRead
    }
}

impl PgQuery for Sources {
    type Row = Source;

    fn sql(&self) -> &'static str {
        "SELECT signal, key_id, service, last_seen, events,
                greatest(0, floor(extract(epoch FROM now() - last_seen)))::bigint AS silent
           FROM source_health WHERE org_id = $1 AND ($2::text IS NULL OR signal = $2)
          ORDER BY last_seen DESC, signal, key_id, service LIMIT $3"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.signal, &self.limit]
    }
}

impl FromRow for Source {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Source {
            signal: row.try_get("signal")?,
            key_id: row.try_get("key_id")?,
            service: row.try_get("service")?,
            last_seen: row.try_get::<_, OffsetDateTime>("last_seen")?.into(),
            silent_s: row.try_get("silent")?,
            events: row.try_get("events")?,
        })
    }
}
