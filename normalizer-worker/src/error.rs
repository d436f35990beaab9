//! What can go wrong in the delivery half, and what each of it means for the shard it happens to.

use millrace_shared::ids::ShardId;
use millrace_shared::settings::SettingsError;
use thiserror::Error;

/// Why a step did not succeed.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// Redis is not available or answered with an error.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// PostgreSQL answered with an error or not at all.
    #[error("postgresql: {}", said(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// No connection to PostgreSQL could be had.
    #[error("postgresql: {0}")]
    Pool(#[from] deadpool_postgres::PoolError),
    /// ClickHouse is not available, or its answer leaves open whether rows were written.
    #[error("clickhouse: {0}")]
    Store(String),
    /// ClickHouse refuses rows for what is in them. Its message is left out: it quotes rows.
    #[error("clickhouse refused rows with code {0}")]
    RefusedRows(u32),
    /// ClickHouse refuses every entry of a batch: that is no poison but a fault of the schema.
    #[error("clickhouse refuses every entry of a batch with code {0}")]
    RefusesAll(u32),
    /// PostgreSQL refuses the commit of whatever it is given: no poison either.
    #[error("postgresql refuses every commit: {0}")]
    CommitRefusesAll(String),
    /// Another worker owns the shard.
    #[error("shard {0} is owned by another worker")]
    Fenced(ShardId),
    /// The lease is about to end and could not be renewed: nothing more may be written under it.
    #[error("the lease of shard {0} is about to end")]
    LeaseEnds(ShardId),
    /// The ledger holds what this program does not write.
    #[error("ledger: {0}")]
    Ledger(&'static str),
    /// A control row cannot be read.
    #[error("control tables: {0}")]
    Control(String),
    /// The entries of a batch are no longer in the stream as they were.
    #[error("entries of batch {seq} of shard {shard} are gone or changed")]
    EntriesChanged {
        /// The shard.
        shard: ShardId,
        /// The batch.
        seq: i64,
    },
    /// The pure half ended without an answer.
    #[error("transformation ended without an answer")]
    Transform,
    /// Asked to stop.
    #[error("stopping")]
    Stopping,
    /// A setting cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An indicator feed cannot be changed.
    #[error("indicator feed: {0}")]
    Feed(#[from] millrace_feeds::FeedError),
    /// An indicator file cannot be read.
    #[error("indicator file {file}: {problem}")]
    IndicatorFile {
        /// Its name.
        file: String,
        /// What is wrong.
        problem: String,
    },
}

/// PostgreSQL's own words: the error type prints only "db error".
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => error.to_string(),
    }
}

/// Classes of SQLSTATE that are about what was given, so that the same is refused again: cardinality
/// violation, data exception, integrity constraint violation, program limit exceeded.
const CONTENT_CLASSES: [&str; 4] = ["21", "22", "23", "54"];

/// What a shard does after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Looks again from the ledger after a pause.
    Again,
    /// Gives the shard up: somebody else has it, or we were asked to stop.
    GiveUp,
}

impl WorkerError {
    /// The SQLSTATE with which PostgreSQL refuses what it was given for its content.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        let WorkerError::Postgres(error) = self else {
            return None;
        };
        let state = error.code()?.code();
        let class = state.get(..2)?;
        CONTENT_CLASSES.contains(&class).then_some(state)
    }

    /// What follows from it.
    #[must_use]
    pub const fn then(&self) -> Then {
        match self {
            WorkerError::Fenced(_) | WorkerError::Stopping => Then::GiveUp,
            WorkerError::Redis(_)
            | WorkerError::Postgres(_)
            | WorkerError::Pool(_)
            | WorkerError::Store(_)
            | WorkerError::RefusedRows(_)
            | WorkerError::RefusesAll(_)
            | WorkerError::CommitRefusesAll(_)
            | WorkerError::LeaseEnds(_)
            | WorkerError::Ledger(_)
            | WorkerError::Control(_)
            | WorkerError::EntriesChanged { .. }
            | WorkerError::Transform
            | WorkerError::Settings(_)
            | WorkerError::Feed(_)
            | WorkerError::IndicatorFile { .. } => Then::Again,
        }
    }

    /// The part of the installation at fault, as a metric label.
    #[must_use]
    pub const fn part(&self) -> &'static str {
        match self {
            WorkerError::Redis(_) => "redis",
            WorkerError::Postgres(_) | WorkerError::Pool(_) | WorkerError::CommitRefusesAll(_) => {
                "postgres"
            }
            WorkerError::Store(_) | WorkerError::RefusedRows(_) | WorkerError::RefusesAll(_) => {
                "clickhouse"
            }
            WorkerError::Fenced(_) | WorkerError::LeaseEnds(_) => "lease",
            WorkerError::Ledger(_) | WorkerError::EntriesChanged { .. } => "ledger",
            WorkerError::Control(_)
            | WorkerError::Settings(_)
            | WorkerError::Feed(_)
            | WorkerError::IndicatorFile { .. } => "control",
            WorkerError::Transform => "transform",
            WorkerError::Stopping => "stopping",
        }
    }
}
