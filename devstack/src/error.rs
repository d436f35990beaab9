//! Everything that can go wrong with the engines, said so that a newcomer knows what to do.

use std::path::PathBuf;

use crate::Engine;

/// Why the engines could not be installed, started, migrated or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine is not one on which the engines can be installed.
    #[error(
        "{0}; without that, start Redis, ClickHouse and TimescaleDB yourself (`docker compose up` \
         does) and set MILLRACE_REDIS_URL, MILLRACE_CLICKHOUSE_URL and MILLRACE_POSTGRES_URL"
    )]
    Unsuitable(String),
    /// A step of the installation failed.
    #[error("{step} failed; its output is in {log}:\n{tail}")]
    Install {
        /// What was being done.
        step: &'static str,
        /// Where the whole output is.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// An engine or a service did not come up.
    #[error("{what} did not start: {why}; its log is {log}:\n{tail}")]
    Start {
        /// Which one.
        what: &'static str,
        /// What was seen.
        why: String,
        /// Where its log is.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// An engine that is addressed by the environment cannot be restarted or killed here.
    #[error("{0} is not started by devstack: its address comes from the environment")]
    External(Engine),
    /// The instance is already running, or not running.
    #[error("{0}")]
    State(String),
    /// A statement of the init folders was refused.
    #[error("{file}: {why}")]
    Migrate {
        /// The file.
        file: String,
        /// The store's answer.
        why: String,
    },
    /// A file or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Adds what was being done to an input or output error.
pub(crate) trait Doing<T> {
    /// The error, with `what` in front.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            what: what(),
            source,
        })
    }
}
