//! How an instance is started. Only says so; `stack` does it.

use std::path::PathBuf;

use crate::{Engine, place};

/// How an instance is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names its logs, and its data when thrown away.
    pub name: String,
    /// Directory of a kept instance; none for one that is thrown away.
    pub keep: Option<PathBuf>,
    /// Ports wished for; others are taken when they are in use.
    pub ports: Ports,
    /// Leave engines alone whose address is in the environment.
    pub environment: bool,
    /// Directory whose init folders are applied; none to apply nothing.
    pub schema: Option<PathBuf>,
    /// Where progress lines go.
    pub say: fn(&str),
}

impl Default for Options {
    /// A throw-away instance on free ports, with all tables, beside addresses of the environment.
    fn default() -> Self {
        Options {
            name: "test".to_owned(),
            keep: None,
            ports: Ports::default(),
            environment: true,
            schema: Some(place::workspace()),
            say: |line| eprintln!("devstack: {line}"),
        }
    }
}

/// The ports wished for, if any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    /// Redis.
    pub redis: Option<u16>,
    /// ClickHouse's HTTP interface.
    pub clickhouse: Option<u16>,
    /// PostgreSQL.
    pub postgres: Option<u16>,
}

impl Ports {
    pub(crate) fn of(self, engine: Engine) -> Option<u16> {
        match engine {
            Engine::Redis => self.redis,
            Engine::Clickhouse => self.clickhouse,
            Engine::Postgres => self.postgres,
        }
    }
}
