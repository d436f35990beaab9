//! What can stop a load run as a whole. A refused request is no such thing: it is counted.

use std::path::PathBuf;
use thiserror::Error;

/// Why a run cannot start or go on.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A description of the running pipeline that cannot be used.
    #[error("{}: {problem}; is the pipeline running (`make run`)?", path.display())]
    Target {
        /// The file it was read from.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A secret that is not of the issued form.
    #[error("the secret cannot be used: {0}")]
    Secret(#[from] millrace_shared::secret::SecretError),
    /// An option without sense, and what would have some.
    #[error("{0}")]
    Option(String),
    /// The HTTP client cannot be made.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// A connection that cannot be used.
    #[error("connection to {address}: {source}")]
    Connection {
        /// Where to.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
}

impl LoadError {
    /// A file that cannot be used.
    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        LoadError::File {
            path: path.into(),
            source,
        }
    }
}
