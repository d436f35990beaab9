//! The store of rows, reduced to what the ledger needs of it: insert, count, see what runs, delete.
//!
//! Nothing here decides what an answer means for a batch. With [`Store::Null`] the whole worker
//! runs and no row is stored: for measuring, and for a rehearsal against a copy of the streams.

use crate::error::WorkerError;
use crate::work::Table;
use bytes::Bytes;
use millrace_runtime::clickhouse::{Clickhouse, Insert, InsertError, Query, QueryError};
use millrace_shared::ids::LedgerId;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;
use time::Date;

/// Time for a count: it reads one column of one partition.
const COUNT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a deletion, which rewrites parts.
const DELETE_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes of an answer to a count: 200 batches of a few attempts.
const ANSWER_MAX: usize = 1024 * 1024;
/// Characters kept of a store's message. It may quote rows, so it is kept short of them.
const MESSAGE_CHARS: usize = 200;

/// Rows as they are posted.
#[derive(Clone, Debug)]
pub struct Rows {
    /// To which table.
    pub table: Table,
    /// How many.
    pub rows: u64,
    /// RowBinary.
    pub body: Bytes,
}

/// How the store is told one insert from another.
#[derive(Clone, Debug)]
pub struct InsertName {
    /// The same for every copy of the same rows.
    pub token: String,
    /// Unlike for every request; begins with the batch's token and a colon.
    pub query_id: String,
}

/// Rows of one batch in the store, by attempt.
pub type Counts = Vec<(u8, u64)>;

/// Where rows go.
#[derive(Clone, Debug)]
pub enum Store {
    /// To ClickHouse.
    ClickHouse {
        /// The client.
        clickhouse: Clickhouse,
        /// Time after which the outcome of an insert counts as unknown.
        insert_timeout: Duration,
    },
    /// Nowhere; every count is as expected.
    Null,
}

impl Store {
    /// Posts rows once; the number the store says it wrote.
    ///
    /// # Errors
    /// [`InsertError`], which says whether anything may have been written.
    pub async fn insert(&self, rows: Rows, name: &InsertName) -> Result<u64, InsertError> {
        let Store::ClickHouse {
            clickhouse,
            insert_timeout,
        } = self
        else {
            return Ok(rows.rows);
        };
        let sql = format!(
            "INSERT INTO millrace.{} FORMAT RowBinary",
            rows.table.as_str()
        );
        let insert = Insert {
            sql: &sql,
            query_id: &name.query_id,
            deduplication_token: &name.token,
            settings: &[],
            timeout: *insert_timeout,
        };
        clickhouse.insert(&insert, rows.body).await
    }

    /// Counts rows of batches, received from `days.0` to `days.1`; `None` if nothing is stored to
    /// be counted.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn count(
        &self,
        table: Table,
        days: (Date, Date),
        batches: &[LedgerId],
    ) -> Result<Option<HashMap<LedgerId, Counts>>, WorkerError> {
        let Store::ClickHouse { clickhouse, .. } = self else {
            return Ok(None);
        };
        let mut ids = String::from("[");
        for (place, id) in batches.iter().enumerate() {
            let _ = write!(ids, "{}{}", if place == 0 { "" } else { "," }, id.0);
        }
        ids.push(']');
        let sql = format!(
            "SELECT BatchId, Attempt, count() FROM millrace.{} \
              WHERE BatchId IN {{ids:Array(UInt64)}} \
                AND toDate(ReceivedAt) BETWEEN {{from:Date}} AND {{to:Date}} \
              GROUP BY BatchId, Attempt ORDER BY BatchId, Attempt FORMAT TabSeparated",
            table.as_str()
        );
        let (from, to) = (days.0.to_string(), days.1.to_string());
        let params = [("ids", ids.as_str()), ("from", &from), ("to", &to)];
        let text = self::ask(clickhouse, &sql, &params, COUNT_TIMEOUT).await?;
        let mut counts: HashMap<LedgerId, Counts> = HashMap::new();
        for line in text.lines() {
            let (batch, attempt, rows) = read_count(line)
                .ok_or_else(|| WorkerError::Store("unexpected answer to a count".to_owned()))?;
            counts.entry(batch).or_default().push((attempt, rows));
        }
        Ok(Some(counts))
    }

    /// How many inserts and deletions of a batch run at this moment. A deletion goes on when whoever
    /// sent it is gone, and after a restart of the server; until it is done, counts may change.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn running(
        &self,
        table: Table,
        token: &str,
        batch: LedgerId,
    ) -> Result<u64, WorkerError> {
        let Store::ClickHouse { clickhouse, .. } = self else {
            return Ok(0);
        };
        let sql = "SELECT (SELECT count() FROM system.processes \
                            WHERE startsWith(query_id, {prefix:String})) \
                        + (SELECT count() FROM system.mutations \
                            WHERE database = 'millrace' AND table = {table:String} AND NOT is_done \
                              AND match(command, {deletion:String})) \
                   FORMAT TabSeparated";
        let prefix = format!("{token}:");
        let deletion = format!("BatchId = {}[^0-9]", batch.0);
        let params = [
            ("prefix", prefix.as_str()),
            ("table", table.as_str()),
            ("deletion", &deletion),
        ];
        let text = ask(clickhouse, sql, &params, COUNT_TIMEOUT).await?;
        let unexpected = || WorkerError::Store("unexpected answer to a count".to_owned());
        text.trim().parse().map_err(|_| unexpected())
    }

    /// When ClickHouse was started, in seconds since 1970; off by a second now and then.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn started(&self) -> Result<i64, WorkerError> {
        let Store::ClickHouse { clickhouse, .. } = self else {
            return Ok(0);
        };
        let sql = "SELECT toInt64(toUnixTimestamp(now())) - toInt64(uptime()) FORMAT TabSeparated";
        let text = ask(clickhouse, sql, &[], COUNT_TIMEOUT).await?;
        let unexpected = |_| WorkerError::Store("unexpected answer to a question".to_owned());
        text.trim().parse().map_err(unexpected)
    }

    /// Deletes the rows of a batch, received on a day, that were written at these attempts, and
    /// returns when they are gone.
    ///
    /// # Errors
    /// When ClickHouse does not answer or refuses.
    pub async fn delete(
        &self,
        table: Table,
        (day, batch): (Date, LedgerId),
        attempts: &[u8],
    ) -> Result<(), WorkerError> {
        let Store::ClickHouse { clickhouse, .. } = self else {
            return Ok(());
        };
        let sql = format!(
            "ALTER TABLE millrace.{} DELETE IN PARTITION '{day}' \
             WHERE BatchId = {} AND Attempt IN ({}) SETTINGS mutations_sync = 2",
            table.as_str(),
            batch.0,
            attempts
                .iter()
                .map(u8::to_string)
                .collect::<Vec<_>>()
                .join(",")
        );
        ask(clickhouse, &sql, &[], DELETE_TIMEOUT).await.map(drop)
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), WorkerError> {
        match self {
            Store::ClickHouse { clickhouse, .. } => {
                clickhouse.ping().await.map_err(|error| failed(&error))
            }
            Store::Null => Ok(()),
        }
    }
}

async fn ask(
    clickhouse: &Clickhouse,
    sql: &str,
    params: &[(&str, &str)],
    timeout: Duration,
) -> Result<String, WorkerError> {
    let query = Query {
        sql,
        params,
        settings: &[],
        query_id: "",
        timeout,
    };
    let answer = clickhouse
        .select(&query)
        .await
        .map_err(|error| failed(&error))?;
    let bytes = answer
        .bytes(ANSWER_MAX)
        .await
        .map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|_| WorkerError::Store("answer is not text".to_owned()))
}

/// What a question that failed comes to.
pub(crate) fn failed(error: &QueryError) -> WorkerError {
    WorkerError::Store(shorten(&error.to_string()))
}

/// The beginning of a store's message.
#[must_use]
pub fn shorten(message: &str) -> String {
    message.chars().take(MESSAGE_CHARS).collect()
}

fn read_count(line: &str) -> Option<(LedgerId, u8, u64)> {
    let mut parts = line.split('\t');
    let batch = LedgerId(parts.next()?.parse().ok()?);
    let attempt = parts.next()?.parse().ok()?;
    Some((batch, attempt, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_anything_else_is_refused() {
        assert_eq!(
            read_count("281474976710657\t2\t1000"),
            Some((LedgerId((1 << 48) | 1), 2, 1000))
        );
        assert_eq!(read_count("1\t2"), None);
        assert_eq!(read_count("1\t256\t3"), None);
    }
}
