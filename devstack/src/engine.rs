//! The three engines and how each is addressed. Never how they are started (that is `launch`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the three engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The streams.
    Redis,
    /// Logs, spans, audit and RUM events.
    Clickhouse,
    /// Metrics, control tables and the ledger.
    Postgres,
}

impl Engine {
    /// All of them, in the order in which data meets them.
    pub const ALL: [Engine; 3] = [Engine::Redis, Engine::Clickhouse, Engine::Postgres];

    /// The name used for files, logs and the command line.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Redis => "redis",
            Engine::Clickhouse => "clickhouse",
            Engine::Postgres => "postgres",
        }
    }

    /// The setting that holds its address.
    pub fn setting(self) -> &'static str {
        match self {
            Engine::Redis => "MILLRACE_REDIS_URL",
            Engine::Clickhouse => "MILLRACE_CLICKHOUSE_URL",
            Engine::Postgres => "MILLRACE_POSTGRES_URL",
        }
    }

    /// The address of an engine that devstack runs.
    pub(crate) fn url(self, port: u16, password: &str) -> String {
        match self {
            Engine::Redis => format!("redis://127.0.0.1:{port}"),
            Engine::Clickhouse => format!("http://127.0.0.1:{port}/?database=millrace"),
            Engine::Postgres => format!("postgres://millrace:{password}@127.0.0.1:{port}/millrace"),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
