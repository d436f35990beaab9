//! The query API's settings, all read and checked before it listens.

use crate::store::Limits;
use millrace_runtime::boot::{self, BootError};
use millrace_runtime::outgoing::Outgoing;
use millrace_shared::secret::MasterKey;
use millrace_shared::settings::Settings;
use std::time::Duration;

/// The longest a query may be allowed: beyond it a proxy has given up.
const TIMEOUT_S_MAX: u64 = 300;
/// The least memory that any query needs.
const MEMORY_MIN: u64 = 64 * 1024 * 1024;
/// The most queries of one organisation at a time.
const CONCURRENCY_MAX: u64 = 1_000;

/// What the query API needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Redis.
    pub redis_url: String,
    /// ClickHouse.
    pub clickhouse_url: String,
    /// PostgreSQL.
    pub postgres_url: String,
    /// Seals the addresses of channels.
    pub master_key: MasterKey,
    /// Judges them.
    pub outgoing: Outgoing,
    /// Worker threads.
    pub threads: usize,
    /// What one query may take.
    pub limits: Limits,
    /// Queries of one organisation at a time.
    pub concurrency: usize,
}

impl Config {
    /// Reads and checks the settings.
    ///
    /// # Errors
    /// Names the setting and the fix.
    pub fn from_settings(settings: &Settings) -> Result<Self, BootError> {
        let timeout = settings.within("MILLRACE_QUERY_TIMEOUT_S", 1..=TIMEOUT_S_MAX)?;
        let concurrency = settings.within("MILLRACE_QUERY_CONCURRENCY", 1..=CONCURRENCY_MAX)?;
        Ok(Config {
            redis_url: settings.text("MILLRACE_REDIS_URL")?.to_owned(),
            clickhouse_url: settings.text("MILLRACE_CLICKHOUSE_URL")?.to_owned(),
            postgres_url: settings.text("MILLRACE_POSTGRES_URL")?.to_owned(),
            master_key: boot::master_key(settings)?,
            outgoing: Outgoing::from_settings(settings)?,
            threads: boot::threads(settings, "MILLRACE_QUERY_THREADS")?,
            limits: Limits {
                timeout: Duration::from_secs(timeout),
                rows_read: settings.within("MILLRACE_QUERY_ROWS_READ_MAX", 1..=u64::MAX)?,
                memory: settings.within("MILLRACE_QUERY_MEMORY_MAX", MEMORY_MIN..=u64::MAX)?,
            },
            concurrency: usize::try_from(concurrency).unwrap_or(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_range_is_named() {
        let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let with = |name: &str, value: &str| {
            let vars = [
                ("MILLRACE_MASTER_KEY", key),
                ("MILLRACE_REDIS_URL", "redis://127.0.0.1"),
                ("MILLRACE_CLICKHOUSE_URL", "http://127.0.0.1"),
                ("MILLRACE_POSTGRES_URL", "postgres://127.0.0.1/millrace"),
                (name, value),
            ];
            let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Config::from_settings(&Settings::from_vars(vars).unwrap()).map_err(|e| e.to_string())
        };
        assert_eq!(
            with("MILLRACE_QUERY_CONCURRENCY", "3").unwrap().concurrency,
            3
        );
        for name in [
            "MILLRACE_QUERY_TIMEOUT_S",
            "MILLRACE_QUERY_CONCURRENCY",
            "MILLRACE_MASTER_KEY",
            "MILLRACE_OUTGOING_NETWORKS",
        ] {
            let refused = with(name, "0").unwrap_err();
            assert!(refused.contains(name), "{refused}");
        }
    }
}
