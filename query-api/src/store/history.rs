//! Stored events in the order in which rules count them: by when they happened, though never later
//! than when they were received. How many there are, and page after page of them, whole.

use super::events::permission;
use super::sql::FUTURE_HOURS;
use super::{BinaryQuery, ClickhouseQuery, FromRow, PgQuery, Sql, Table};
use crate::ask::TimeRange;
use crate::principal::{Needs, Permission};
use millrace_detection::OrgSettings;
use millrace_detection::rules::BusinessHours;
use millrace_shared::Signal;
use millrace_shared::rows::{AuditRow, Head, LogRow, RumRow, SpanRow, Tail};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

/// When an event counts.
const AT: &str = "least(Timestamp, ReceivedAt)";

/// The table of a signal's events; metrics have none.
#[must_use]
pub const fn table(signal: Signal) -> Option<Table> {
    match signal {
        Signal::Logs => Some(Table::Logs),
        Signal::Traces => Some(Table::Spans),
        Signal::Rum => Some(Table::Rum),
        Signal::Audit => Some(Table::Audit),
        Signal::Metrics => None,
    }
}

/// How many rows there are, by time.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Of which table.
    pub table: Table,
    /// In which range.
    pub range: TimeRange,
    /// Width of a stretch, nanoseconds.
    pub step_ns: i64,
}

/// A stretch of time that has rows.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Stretch {
    /// Its number, from the start of the range.
    pub number: i64,
    /// Rows.
    pub rows: u64,
}

impl Needs for Counts {
    fn permission(&self) -> Permission {
        permission(self.table)
    }
}

impl ClickhouseQuery for Counts {
    type Row = Stretch;

    fn sql(&self) -> Sql {
        let columns = "intDiv(toUnixTimestamp64Nano(least(Timestamp, ReceivedAt)) - {start:Int64}, \
                       {step:Int64}) AS number, count() AS rows";
        let mut sql = Sql::select(columns, self.table);
        within(&mut sql, self.range);
        sql.push(" GROUP BY number ORDER BY number");
        sql.named("start", self.range.start.to_string());
        sql.named("step", self.step_ns.to_string());
        sql
    }
}

/// A place in the order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When the row counts, nanoseconds.
    pub at: i64,
    /// Its event id.
    pub id: Uuid,
}

/// Whole rows in order.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// Of which table.
    pub table: Table,
    /// In which range.
    pub range: TimeRange,
    /// Only those after this one.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: u32,
}

impl Needs for Rows {
    fn permission(&self) -> Permission {
        permission(self.table)
    }
}

impl BinaryQuery for Rows {
    fn sql(&self) -> Sql {
        let own = match self.table {
            Table::Logs => LogRow::COLUMNS,
            Table::Spans => SpanRow::COLUMNS,
            Table::Rum => RumRow::COLUMNS,
            Table::Audit => AuditRow::COLUMNS,
        };
        let mut sql = Sql::whole(&[Head::COLUMNS, own, Tail::COLUMNS], self.table);
        within(&mut sql, self.range);
        if let Some(after) = self.after {
            let id = after.id.to_string();
            sql.push(" AND (").push(AT).push(" > ").instant(after.at);
            sql.push(" OR ").push(AT).push(" = ").instant(after.at);
            sql.push(" AND EventId > ").bind("UUID", id).push(")");
        }
        sql.push(" ORDER BY ")
            .push(AT)
            .push(" ASC, EventId ASC LIMIT ");
        sql.bind("UInt32", self.limit.to_string());
        sql
    }
}

/// Those that count in the range, in words that let parts and granules be left out: an event is
/// dated a day ahead of its reception at most.
fn within(sql: &mut Sql, range: TimeRange) {
    sql.push(" AND Timestamp >= ").instant(range.start);
    sql.push(" AND ReceivedAt >= ").instant(range.start);
    sql.push(" AND Timestamp < ").instant(range.end);
    sql.push(" + toIntervalHour(").push(FUTURE_HOURS).push(")");
    sql.push(" AND ").push(AT).push(" < ").instant(range.end);
}

/// What rules and scrubbing need to know of an organisation.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings;

/// The organisation's own words.
#[derive(Clone, Debug)]
pub struct OrganisationSettings {
    /// Working hours and the like.
    pub settings: Value,
    /// What is scrubbed, and how.
    pub pii_policy: Value,
}

impl OrganisationSettings {
    /// What rules are tried with. Groups of a trial are compared among themselves only, so any key
    /// does.
    #[must_use]
    pub fn for_trials(&self) -> OrgSettings {
        OrgSettings {
            // As the worker does: hours that cannot be read are the usual ones.
            hours: BusinessHours::of_settings(&self.settings).unwrap_or_default(),
            hash_key: [0; 32],
        }
    }
}

impl Needs for Surroundings {
    fn permission(&self) -> Permission {
        Permission::RulesTest
    }
}

impl PgQuery for Surroundings {
    type Row = OrganisationSettings;

    fn sql(&self) -> &'static str {
        "SELECT settings, pii_policy FROM organisation WHERE id = $1"
    }
}

impl FromRow for OrganisationSettings {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(OrganisationSettings {
            settings: row.try_get("settings")?,
            pii_policy: row.try_get("pii_policy")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_columns_are_asked_for_as_the_rows_have_them() {
        for (table, name) in [
            (Table::Logs, "logs"),
            (Table::Spans, "spans"),
            (Table::Rum, "rum_events"),
            (Table::Audit, "audit_events"),
        ] {
            let rows = Rows {
                table,
                range: TimeRange { start: 0, end: 1 },
                after: Some(Place {
                    at: 5,
                    id: Uuid::nil(),
                }),
                limit: 10,
            };
            let sql = rows.sql();
            let tables = millrace_shared::rows::tables();
            let columns = &tables.iter().find(|(known, _)| *known == name).unwrap().1;
            let listed: Vec<String> = columns
                .iter()
                .map(|(name, _)| format!("\"{name}\""))
                .collect();
            let begin = format!(
                "SELECT {} FROM millrace.{name} WHERE OrgId = {{org:UUID}} AND ",
                listed.join(", ")
            );
            assert!(sql.text().starts_with(&begin), "{}", sql.text());
            assert_eq!(sql.text().matches('{').count(), sql.params().len() + 1);
        }
    }
}
