//! PostgreSQL: reads with a bound organisation as `$1`, and transactions. A statement whose caller
//! has gone is cancelled. The organisation is never a parameter that a query fills in itself.

use crate::error::Problem;
use crate::metrics;
use crate::principal::{Bound, Needs};
use deadpool_postgres::{Object, Pool, PoolError};
use millrace_runtime::pg::{self, PgError};
use millrace_shared::outcome::Refusal;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{CancelToken, Row};

/// Connections of this process: every slot of a few busy organisations has one.
const CONNECTIONS: usize = 24;

/// What a row of an answer is read into, by the names of its columns.
pub trait FromRow: Sized {
    /// Reads a row.
    ///
    /// # Errors
    /// When a column is absent or of another type, which is a defect.
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error>;
}

/// The only column.
impl FromRow for String {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        row.try_get(0)
    }
}

/// A question to PostgreSQL. `$1` of its SQL is the organisation.
pub trait PgQuery: Needs {
    /// A row of the answer.
    type Row: FromRow;
    /// The statement: static text.
    fn sql(&self) -> &'static str;

    /// The parameters from `$2` on.
    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        Vec::new()
    }
}

/// The store.
#[derive(Clone)]
pub struct Pg {
    pool: Pool,
}

impl std::fmt::Debug for Pg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pg")
    }
}

impl Pg {
    /// At this address; no statement runs longer than `timeout`.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(address: &str, timeout: Duration) -> Result<Self, PgError> {
        let mut address = url::Url::parse(address).map_err(|_| PgError::Address)?;
        let options = format!("-c statement_timeout={}", timeout.as_millis());
        // A form-encoded space would reach the server as a plus sign.
        let query = format!(
            "options={}",
            options.replace(' ', "%20").replace('=', "%3D")
        );
        let query = match address.query() {
            Some(given) if !given.is_empty() => format!("{given}&{query}"),
            _ => query,
        };
        address.set_query(Some(&query));
        let pool = pg::pool(address.as_str(), "query-api", CONNECTIONS)?;
        Ok(Pg { pool })
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), PgError> {
        pg::ping(&self.pool).await
    }

    /// Asks for all rows.
    ///
    /// # Errors
    /// 503 when the store cannot be asked, 504 and 422 for the limits.
    pub async fn rows<Q: PgQuery>(&self, bound: &Bound<Q>) -> Result<Vec<Q::Row>, Problem> {
        let org = bound.org();
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&org];
        params.extend(bound.query().params());
        let rows = self.query(bound.query().sql(), &params).await?;
        rows.iter()
            .map(Q::Row::from_row)
            .collect::<Result<_, _>>()
            .map_err(problem)
    }

    /// Asks for one row.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub async fn first<Q: PgQuery>(&self, bound: &Bound<Q>) -> Result<Option<Q::Row>, Problem> {
        self.rows(bound).await.map(|rows| rows.into_iter().next())
    }

    /// Runs a statement of this folder.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Problem> {
        let started = Instant::now();
        let running = Running::new(self.client().await?);
        let rows = running.query(sql, params).await;
        running.ended();
        metrics::STORE_DURATION.observe(&["postgres"], started.elapsed().as_secs_f64());
        rows.map_err(problem)
    }

    /// A connection for a transaction. A transaction that is dropped rolls back.
    pub(super) async fn client(&self) -> Result<Object, Problem> {
        self.pool.get().await.map_err(|error| {
            let problem = match &error {
                PoolError::Timeout(_) | PoolError::Backend(_) => Problem::store_down("PostgreSQL"),
                PoolError::Closed
                | PoolError::NoRuntimeSpecified
                | PoolError::PostCreateHook(_) => {
                    Problem::internal("the connection pool is unusable", &error)
                }
            };
            metrics::STORE_ERRORS.add(&["postgres", "unavailable"], 1);
            tracing::warn!(%error, "PostgreSQL is not available");
            problem
        })
    }
}

/// A connection on which a statement runs. Dropped before its end, it is cancelled and closed, so
/// that the cancellation cannot hit the next statement.
struct Running {
    client: Option<Object>,
    cancel: CancelToken,
}

impl Running {
    fn new(client: Object) -> Self {
        let cancel = client.cancel_token();
        Running {
            client: Some(client),
            cancel,
        }
    }

    async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        match &self.client {
            Some(client) => {
                let statement = client.prepare_cached(sql).await?;
                client.query(&statement, params).await
            }
            None => Ok(Vec::new()),
        }
    }

    fn ended(mut self) {
        self.client = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        let detached = Object::take(client);
        let cancel = self.cancel.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            metrics::CANCELLED.add(&["postgres"], 1);
            runtime.spawn(async move {
                let Ok(connector) = pg::connector() else {
                    return;
                };
                if let Err(error) = cancel.cancel_query(connector).await {
                    tracing::debug!(%error, "could not cancel a statement");
                }
                drop(detached);
            });
        }
    }
}

/// What a failed statement means for the caller.
pub(super) fn problem(error: tokio_postgres::Error) -> Problem {
    let (kind, problem) = classify(&error);
    metrics::STORE_ERRORS.add(&["postgres", kind], 1);
    problem
}

fn classify(error: &tokio_postgres::Error) -> (&'static str, Problem) {
    let Some(code) = error.code() else {
        tracing::warn!(%error, "PostgreSQL is not available");
        return if error.is_closed() || std::error::Error::source(error).is_some() {
            ("unavailable", Problem::store_down("PostgreSQL"))
        } else {
            (
                "refused",
                Problem::internal("PostgreSQL refused the statement", error),
            )
        };
    };
    let class = code.code().get(..2).unwrap_or_default();
    if *code == SqlState::QUERY_CANCELED {
        let detail = "the query was over its time; narrow the time range or the filters";
        return ("timeout", Problem::new(Refusal::QueryTimeout, detail));
    }
    // A text of PostgreSQL has no character zero, and neither has a JSON value.
    if [
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        SqlState::UNTRANSLATABLE_CHARACTER,
    ]
    .contains(code)
    {
        let detail = "a value holds the character zero, which nothing stored does";
        return ("refused", Problem::new(Refusal::BadParameter, detail));
    }
    match class {
        // Connection exceptions, insufficient resources, operator intervention.
        "08" | "53" | "57" => ("unavailable", Problem::store_down("PostgreSQL")),
        _ => {
            let cause = error
                .as_db_error()
                .map_or_else(|| error.to_string(), ToString::to_string);
            (
                "refused",
                Problem::internal("PostgreSQL refused the statement", &cause),
            )
        }
    }
}

/// The two ends of a range as PostgreSQL keeps time: microseconds.
pub(super) fn pg_range(range: crate::ask::TimeRange) -> (OffsetDateTime, OffsetDateTime) {
    (instant(range.start), instant(range.end))
}

/// A moment as PostgreSQL keeps it.
pub(super) fn instant(ns: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
