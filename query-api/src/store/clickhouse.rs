//! ClickHouse for reading: limits on every statement, rows as they are typed, and a statement whose
//! caller has gone is killed. Accepts bound queries only.

use super::Sql;
use crate::error::Problem;
use crate::metrics;
use crate::principal::{Bound, Needs};
use millrace_runtime::clickhouse::{Answer, Clickhouse as Client, Query, QueryError};
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Bytes of an answer: a thousand rows of the largest events, many times over.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Rows of an answer: the largest is a trace.
const ANSWER_ROWS_MAX: &str = "100000";
/// The client waits this much longer than the server computes, to hear its reason.
const ANSWER_GRACE: Duration = Duration::from_secs(2);
/// Bytes of all parameters of a statement: they travel in the address, and servers take 64 KiB of it.
const PARAM_BYTES_MAX: usize = 16 * 1024;
/// Time to ask for a kill.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// What one statement may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time.
    pub timeout: Duration,
    /// Rows read.
    pub rows_read: u64,
    /// Bytes of memory in ClickHouse.
    pub memory: u64,
}

/// A question to ClickHouse.
pub trait ClickhouseQuery: Needs {
    /// A row of the answer.
    type Row: DeserializeOwned;

    /// Prints it.
    fn sql(&self) -> Sql;
}

/// A question to ClickHouse whose rows are read as they are stored.
pub trait BinaryQuery: Needs {
    /// Prints it.
    fn sql(&self) -> Sql;
}

/// Rows as RowBinary.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// The rows, one after the other.
    pub bytes: Vec<u8>,
    /// Whether there is more, of the last row too.
    pub cut: bool,
}

/// The store.
#[derive(Clone, Debug)]
pub struct Clickhouse {
    client: Client,
    limits: Limits,
}

impl Clickhouse {
    /// With a client and limits.
    #[must_use]
    pub fn new(client: Client, limits: Limits) -> Self {
        Clickhouse { client, limits }
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), QueryError> {
        self.client.ping().await
    }

    /// Asks for all rows. Dropping the future kills the statement.
    ///
    /// # Errors
    /// 503 when the store cannot be asked, 504 and 422 for the limits.
    pub async fn rows<Q: ClickhouseQuery>(&self, bound: &Bound<Q>) -> Result<Vec<Q::Row>, Problem> {
        let sql = bound.query().sql();
        let bytes: usize = sql.params().iter().map(|(_, value)| value.len()).sum();
        if bytes > PARAM_BYTES_MAX {
            let detail = "the filters are too long together";
            return Err(Problem::new(Refusal::Unprocessable, detail));
        }
        let started = Instant::now();
        let answer = self.answer(&sql, bound.org()).await;
        metrics::STORE_DURATION.observe(&["clickhouse"], started.elapsed().as_secs_f64());
        let bytes = answer.map_err(problem)?;
        let mut rows = Vec::new();
        for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let row = serde_json::from_slice(line)
                .map_err(|error| Problem::internal("ClickHouse answered another form", &error))?;
            rows.push(row);
        }
        Ok(rows)
    }

    /// Asks for rows as RowBinary, and reads at most about `most` bytes of them. Dropping the future
    /// kills the statement.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub async fn binary<Q: BinaryQuery>(
        &self,
        bound: &Bound<Q>,
        most: usize,
    ) -> Result<Piece, Problem> {
        let started = Instant::now();
        let piece = self.piece(&bound.query().sql(), bound.org(), most).await;
        metrics::STORE_DURATION.observe(&["clickhouse"], started.elapsed().as_secs_f64());
        piece.map_err(problem)
    }

    async fn piece(&self, sql: &Sql, org: OrgId, most: usize) -> Result<Piece, QueryError> {
        let (mut answer, running) = self.begin(sql, org, "RowBinary").await?;
        let mut piece = Piece::default();
        while let Some(chunk) = answer.chunk().await? {
            piece.bytes.extend_from_slice(&chunk);
            if piece.bytes.len() >= most {
                piece.cut = true;
                return Ok(piece);
            }
        }
        running.ended();
        Ok(piece)
    }

    /// What one statement may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    async fn answer(&self, sql: &Sql, org: OrgId) -> Result<Vec<u8>, QueryError> {
        let (answer, running) = self.begin(sql, org, "JSONEachRow").await?;
        let bytes = answer.bytes(ANSWER_BYTES_MAX).await?;
        running.ended();
        Ok(bytes)
    }

    /// Sends a statement; the beginning of its answer, and what kills it when it is dropped.
    async fn begin(
        &self,
        sql: &Sql,
        org: OrgId,
        format: &'static str,
    ) -> Result<(Answer, Running), QueryError> {
        let text = format!("{} FORMAT {format}", sql.text());
        let org = org.to_string();
        let named = sql
            .params()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let params: Vec<_> = named.chain([("org", org.as_str())]).collect();
        let id = format!("query-api-{}", Uuid::now_v7().simple());
        let seconds = self.limits.timeout.as_secs().to_string();
        let (rows, memory) = (
            self.limits.rows_read.to_string(),
            self.limits.memory.to_string(),
        );
        let settings = settings(&seconds, &rows, &memory);
        let query = Query {
            sql: &text,
            params: &params,
            settings: &settings,
            query_id: &id,
            timeout: self.limits.timeout + ANSWER_GRACE,
        };
        let running = Running::new(self.client.clone(), id.clone());
        let answer = self.client.select(&query).await?;
        metrics::ROWS_READ.add(&[], answer.summary.read_rows);
        Ok((answer, running))
    }
}

fn settings<'s>(seconds: &'s str, rows: &'s str, memory: &'s str) -> [(&'s str, &'s str); 13] {
    [
        // Nothing is written through here, whatever the statement says.
        ("readonly", "2"),
        ("max_execution_time", seconds),
        ("timeout_overflow_mode", "throw"),
        ("max_rows_to_read", rows),
        ("read_overflow_mode", "throw"),
        ("max_memory_usage", memory),
        ("max_result_rows", ANSWER_ROWS_MAX),
        ("result_overflow_mode", "throw"),
        ("output_format_json_quote_64bit_integers", "0"),
        // A fault in the middle is then an error, and not the end of the rows.
        ("wait_end_of_query", "1"),
        ("cancel_http_readonly_queries_on_client_close", "1"),
        ("use_query_condition_cache", "1"),
        ("optimize_use_projections", "1"),
    ]
}

/// A statement that is killed when its caller drops it before it ended.
struct Running {
    client: Client,
    id: Option<String>,
}

impl Running {
    fn new(client: Client, id: String) -> Self {
        Running {
            client,
            id: Some(id),
        }
    }

    fn ended(mut self) {
        self.id = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        metrics::CANCELLED.add(&["clickhouse"], 1);
        let client = self.client.clone();
        runtime.spawn(async move {
            let query = Query {
                sql: "KILL QUERY WHERE query_id = {id:String} ASYNC FORMAT Null",
                params: &[("id", &id)],
                settings: &[],
                query_id: "",
                timeout: KILL_TIMEOUT,
            };
            if let Err(error) = client.select(&query).await {
                tracing::debug!(%error, "could not kill a query");
            }
        });
    }
}

/// What a failed statement means for the caller.
fn problem(error: QueryError) -> Problem {
    let (kind, problem) = classify(error);
    metrics::STORE_ERRORS.add(&["clickhouse", kind], 1);
    problem
}

/// No such table or database: the stores are not set up yet, or not any more.
const NOT_SET_UP: [u32; 2] = [60, 81];

fn classify(error: QueryError) -> (&'static str, Problem) {
    match error {
        QueryError::Unavailable(reason) => {
            tracing::warn!(reason, "ClickHouse is not available");
            ("unavailable", Problem::store_down("ClickHouse"))
        }
        QueryError::Timeout => {
            let detail = "the query was over its time; narrow the time range or the filters";
            ("timeout", Problem::new(Refusal::QueryTimeout, detail))
        }
        QueryError::OverLimit { code } => {
            let what = match code {
                241 => "memory",
                _ => "rows read",
            };
            let detail = format!(
                "the query was over its limit of {what}; narrow the time range or the filters"
            );
            ("over_limit", Problem::new(Refusal::Unprocessable, detail))
        }
        QueryError::TooLarge { .. } => {
            let detail = "the answer is too large; ask for fewer rows";
            ("too_large", Problem::new(Refusal::Unprocessable, detail))
        }
        QueryError::Cancelled => {
            let detail = "the query was cancelled";
            ("cancelled", Problem::new(Refusal::DependencyDown, detail))
        }
        QueryError::Refused { code, .. } if NOT_SET_UP.contains(&code) => {
            tracing::error!(code, "ClickHouse lacks our tables");
            (
                "not_set_up",
                Problem::store_down("ClickHouse (without its tables)"),
            )
        }
        QueryError::Refused { code, message } => {
            let cause = format!("code {code}: {message}");
            (
                "refused",
                Problem::internal("ClickHouse refused the statement", &cause),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_status() {
        let status = |error| classify(error).1.refusal().status();
        assert_eq!(status(QueryError::Unavailable(String::new())), 503);
        assert_eq!(status(QueryError::Timeout), 504);
        assert_eq!(status(QueryError::OverLimit { code: 158 }), 422);
        assert_eq!(status(QueryError::OverLimit { code: 241 }), 422);
        let refused = |code| QueryError::Refused {
            code,
            message: String::new(),
        };
        assert_eq!(status(refused(60)), 503);
        assert_eq!(status(refused(47)), 500);
    }
}
