//! What the SOC overview is made of, from audit events and alerts. The formulas are elsewhere: here
//! is only counting.

use super::{ClickhouseQuery, FromRow, PgQuery, Sql, Table};
use crate::ask::{Scan, TimeRange};
use crate::principal::{Needs, Permission};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

macro_rules! needs_soc_read {
    ($($query:ident)*) => {
        $(impl Needs for $query {
            fn permission(&self) -> Permission {
                Permission::SocRead
            }
        })*
    };
}
needs_soc_read!(Totals Hours RiskyUsers AlertCounts AlertTypes);

/// Counts over all audit events of a range.
#[derive(Clone, Copy, Debug)]
pub struct Totals(pub TimeRange);

/// The counts.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct TotalCounts {
    /// Events.
    pub events: u64,
    /// Events of severity critical.
    pub critical: u64,
}

impl ClickhouseQuery for Totals {
    type Row = TotalCounts;

    fn sql(&self) -> Sql {
        let columns = "count() AS events, countIf(Severity = 'critical') AS critical";
        Sql::scan(columns, &Scan::new(Table::Audit, self.0))
    }
}

/// Counts by hour of day, UTC.
#[derive(Clone, Copy, Debug)]
pub struct Hours(pub TimeRange);

/// A count of an hour.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct HourCount {
    /// The hour, 0 to 23.
    pub hour: u8,
    /// Events.
    pub count: u64,
}

impl ClickhouseQuery for Hours {
    type Row = HourCount;

    fn sql(&self) -> Sql {
        let columns = "toHour(Timestamp) AS hour, count() AS count";
        let mut sql = Sql::scan(columns, &Scan::new(Table::Audit, self.0));
        sql.push(" GROUP BY hour ORDER BY hour");
        sql
    }
}

/// The actors with the most risk.
#[derive(Clone, Copy, Debug)]
pub struct RiskyUsers(pub TimeRange);

/// What an actor did.
#[derive(Clone, Debug, Deserialize)]
pub struct RiskyUser {
    /// The actor's id, or else the e-mail address.
    pub user: String,
    /// Failed authentications.
    pub failed: u64,
    /// Rate-limited actions.
    pub rate_limited: u64,
    /// Critical events.
    pub critical: u64,
    /// Countries.
    pub countries: u64,
}

impl ClickhouseQuery for RiskyUsers {
    type Row = RiskyUser;

    fn sql(&self) -> Sql {
        let columns = "if(ActorId != '', ActorId, ActorEmail) AS user, \
             countIf(EventType = 'AUTHENTICATION' AND Outcome = 'FAILURE') AS failed, \
             countIf(Outcome = 'RATE_LIMITED') AS rate_limited, \
             countIf(Severity = 'critical') AS critical, \
             uniqExactIf(GeoCountry, GeoCountry != '') AS countries";
        let mut sql = Sql::scan(columns, &Scan::new(Table::Audit, self.0));
        // The order is that of the score (see `answer::soc::user_risk`), which is computed there.
        sql.push(
            " AND (ActorId != '' OR ActorEmail != '') GROUP BY user \
             HAVING failed + rate_limited + critical > 0 OR countries > 2 \
             ORDER BY least(100, 10 * failed + 15 * rate_limited + 25 * critical \
             + if(countries > 2, 20, 0)) DESC, failed + rate_limited + critical DESC, user LIMIT 10",
        );
        sql
    }
}

/// Alerts of a range by being worked on or settled.
#[derive(Clone, Copy, Debug)]
pub struct AlertCounts {
    start: OffsetDateTime,
    end: OffsetDateTime,
}

/// The counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlertTotals {
    /// Open, acknowledged or in progress.
    pub active: i64,
    /// Resolved or closed.
    pub resolved: i64,
}

impl AlertCounts {
    /// Of alerts last seen in a range.
    #[must_use]
    pub fn new(range: TimeRange) -> Self {
        let (start, end) = super::pg::pg_range(range);
        AlertCounts { start, end }
    }
}

impl PgQuery for AlertCounts {
    type Row = AlertTotals;

    fn sql(&self) -> &'static str {
        "
        SELECT count(*) FILTER (WHERE status IN ('open', 'acknowledged', 'in_progress')) AS active,
               count(*) FILTER (WHERE status IN ('resolved', 'closed')) AS resolved
          FROM alert WHERE org_id = $1 AND last_seen >= $2 AND last_seen < $3"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.start, &self.end]
    }
}

impl FromRow for AlertTotals {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(AlertTotals {
            active: row.try_get("active")?,
            resolved: row.try_get("resolved")?,
        })
    }
}

/// Alerts of a range by type, most frequent first.
#[derive(Clone, Copy, Debug)]
pub struct AlertTypes {
    start: OffsetDateTime,
    end: OffsetDateTime,
}

/// Alerts of a type.
#[derive(Clone, Debug)]
pub struct AlertType {
    /// The type.
    pub alert_type: String,
    /// Alerts.
    pub alerts: i64,
    /// The matches they stand for.
    pub occurrences: i64,
    /// Rank of the highest severity, 0 to 4.
    pub severity_rank: i16,
    /// When one was last seen.
    pub last_seen: OffsetDateTime,
}

impl AlertTypes {
    /// Of alerts last seen in a range.
    #[must_use]
    pub fn new(range: TimeRange) -> Self {
        let (start, end) = super::pg::pg_range(range);
        AlertTypes { start, end }
    }
}

impl PgQuery for AlertTypes {
    type Row = AlertType;

    fn sql(&self) -> &'static str {
        "
        SELECT alert_type, count(*) AS alerts, sum(count)::bigint AS occurrences,
               max(severity_rank) AS severity_rank, max(last_seen) AS last_seen
          FROM alert WHERE org_id = $1 AND last_seen >= $2 AND last_seen < $3
         GROUP BY alert_type ORDER BY alerts DESC, alert_type LIMIT 100"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.start, &self.end]
    }
}

impl FromRow for AlertType {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(AlertType {
            alert_type: row.try_get("alert_type")?,
            alerts: row.try_get("alerts")?,
            occurrences: row.try_get("occurrences")?,
            severity_rank: row.try_get("severity_rank")?,
            last_seen: row.try_get("last_seen")?,
        })
    }
}
