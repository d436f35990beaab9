//! What was stored, as hunts read it: the observables of an organisation's events, page after page in the
//! order of time.
//!
//! Asks after everybody else, within bounds of time, memory and threads, and writes nothing.

use crate::error::WorkerError;
use crate::own_records::stored_names_indicators;
use crate::store::{Store, answer};
use crate::work::Table;
use millrace_runtime::clickhouse::Query;
use millrace_shared::ids::OrgId;
use serde::Deserialize;
use std::time::Duration;
use uuid::Uuid;

/// Seconds and bytes of memory for one question, and the time to wait for its answer.
const SECONDS: &str = "60";
const MEMORY: &str = "1073741824";
const TIMEOUT: Duration = Duration::from_secs(65);
/// Threads for one question: the others are for those who search.
const THREADS: &str = "2";
/// Bytes of a page: 20,000 rows with as many long observables as an event may have stay under it.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

/// Stored rows of an organisation with observables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    /// Of which table.
    pub(super) table: Table,
    /// Whose.
    pub(super) org: OrgId,
    /// From when and until before when they happened, nanoseconds.
    pub(super) range: (i64, i64),
    /// Received before this time, nanoseconds.
    pub(super) received_before: i64,
    /// After this row: when it happened, and its id.
    pub(super) after: Option<(i64, Uuid)>,
}

/// What of a stored row is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct PastRow {
    /// When it happened, nanoseconds.
    pub(super) at: i64,
    /// Its event.
    pub(super) id: Uuid,
    /// Its observables, as they are stored.
    pub(super) observables: Vec<String>,
    /// The indicators that it matched when it came.
    pub(super) matched: Vec<u64>,
    /// The classes of personal data that were scrubbed from it.
    pub(super) scrubbed: Vec<String>,
}

impl Past {
    /// The table and what its rows must be, of numbers and an id alone.
    fn rows(&self) -> String {
        let at = |ns: i64| format!("fromUnixTimestamp64Nano({ns}, 'UTC')");
        let (start, end) = (at(self.range.0), at(self.range.1));
        let after = self.after.map(|(ns, id)| {
            let at = at(ns);
            format!(" AND (Timestamp > {at} OR Timestamp = {at} AND EventId > toUUID('{id}'))")
        });
        let others = match self.table {
            Table::AuditEvents => format!(" AND NOT ({})", stored_names_indicators()),
            Table::Logs | Table::Spans | Table::RumEvents => String::new(),
        };
        format!(
            "millrace.{} WHERE OrgId = toUUID('{}') AND Timestamp >= {start} AND Timestamp < {end} \
             AND ReceivedAt >= {start} - toIntervalDay(1) AND ReceivedAt < {} AND notEmpty(Observables){}{others}",
            self.table.as_str(),
            self.org,
            at(self.received_before),
            after.unwrap_or_default(),
        )
    }

    /// How many rows there are, by stretches of that length since 1970, the earliest first.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub(super) async fn stretches(
        &self,
        store: &Store,
        length_ns: i64,
    ) -> Result<Vec<(i64, u64)>, WorkerError> {
        let sql = format!(
            "SELECT intDiv(toUnixTimestamp64Nano(Timestamp), {length_ns}) AS stretch, count() \
               FROM {} GROUP BY stretch ORDER BY stretch FORMAT TabSeparated",
            self.rows()
        );
        let text = ask(store, &sql).await?;
        let line = |line: &str| -> Option<(i64, u64)> {
            let (stretch, rows) = line.split_once('\t')?;
            Some((stretch.parse().ok()?, rows.parse().ok()?))
        };
        let lines: Option<Vec<_>> = text.lines().map(line).collect();
        lines.ok_or_else(|| WorkerError::Store("unexpected answer to a count".to_owned()))
    }

    /// The first so many rows.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub(super) async fn page(
        &self,
        store: &Store,
        limit: u32,
    ) -> Result<Vec<PastRow>, WorkerError> {
        let sql = format!(
            "SELECT toUnixTimestamp64Nano(Timestamp) AS at, EventId AS id, Observables AS observables, \
                    IndicatorIds AS matched, PiiClasses AS scrubbed \
               FROM {} ORDER BY Timestamp, EventId LIMIT {limit} FORMAT JSONEachRow",
            self.rows()
        );
        let text = ask(store, &sql).await?;
        let rows = text.lines().map(serde_json::from_str);
        let unexpected = |_| WorkerError::Store("unexpected rows of observables".to_owned());
        rows.collect::<Result<_, _>>().map_err(unexpected)
    }
}

async fn ask(store: &Store, sql: &str) -> Result<String, WorkerError> {
    let Store::ClickHouse { clickhouse, .. } = store else {
        return Ok(String::new());
    };
    let query = Query {
        sql,
        params: &[],
        settings: &[
            ("readonly", "2"),
            ("max_execution_time", SECONDS),
            ("max_memory_usage", MEMORY),
            ("max_threads", THREADS),
            ("output_format_json_quote_64bit_integers", "0"),
            ("wait_end_of_query", "1"),
            ("priority", "10"),
        ],
        query_id: "",
        timeout: TIMEOUT,
    };
    answer(clickhouse, &query, ANSWER_MAX).await
}
