//! What can go wrong with the tables of feeds.

use thiserror::Error;

/// Why a feed could not be changed; nothing of it was.
#[derive(Debug, Error)]
pub enum FeedError {
    /// PostgreSQL answered with an error or not at all.
    #[error("postgresql: {}", said(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// No connection to PostgreSQL could be had.
    #[error("postgresql: {0}")]
    Pool(#[from] deadpool_postgres::PoolError),
    /// The feed is to be fetched from another server, and its credential is not for that one.
    #[error("the feed has a credential for another server: say it anew, or take it away")]
    OtherServer,
    /// Somebody else has the feed by now, or it is gone.
    #[error("the feed is no longer held")]
    NotHeld,
}

/// PostgreSQL's own words: the error type prints only "db error".
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => error.to_string(),
    }
}
