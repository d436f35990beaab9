//! The stores that a command works on, opened when first needed, from the services' settings.

use anyhow::Context as _;
use millrace_runtime::outgoing::Outgoing;
use millrace_runtime::pg::{Client, Pool};
use millrace_runtime::redis::ConnectionManager;
use millrace_runtime::{address, boot, pg, redis};
use millrace_shared::secret::MasterKey;
use millrace_shared::settings::Settings;
use std::time::Duration;

/// A replay's script answers in milliseconds; a busy disk takes longer.
const REDIS_PATIENCE: Duration = Duration::from_secs(10);

/// Settings, and the clients made from them.
pub(crate) struct Stores {
    settings: Settings,
    postgres: Pool,
}

impl Stores {
    /// Reads the settings and refuses what the services would refuse.
    pub(crate) fn from_environment() -> anyhow::Result<Stores> {
        let settings = Settings::from_vars(std::env::vars())?;
        address::check(&settings, "MILLRACE_POSTGRES_URL")?;
        let url = settings.text("MILLRACE_POSTGRES_URL")?;
        let postgres = pg::pool(url, "millrace-admin", 1)?;
        Ok(Stores { settings, postgres })
    }

    /// A connection to PostgreSQL.
    pub(crate) async fn postgres(&self) -> anyhow::Result<Client> {
        self.postgres
            .get()
            .await
            .context("no connection to PostgreSQL (MILLRACE_POSTGRES_URL)")
    }

    /// A connection to Redis.
    pub(crate) async fn redis(&self) -> anyhow::Result<ConnectionManager> {
        address::check(&self.settings, "MILLRACE_REDIS_URL")?;
        let url = self.settings.text("MILLRACE_REDIS_URL")?;
        let mut redis = redis::open(url, REDIS_PATIENCE).context("MILLRACE_REDIS_URL")?;
        ::redis::cmd("PING")
            .query_async::<()>(&mut redis)
            .await
            .context("no connection to Redis (MILLRACE_REDIS_URL)")?;
        Ok(redis)
    }

    /// The key that seals ingest secrets.
    pub(crate) fn master_key(&self) -> anyhow::Result<MasterKey> {
        Ok(boot::master_key(&self.settings)?)
    }

    /// TLS as the services speak it, `MILLRACE_TLS_CA_FILE` included.
    pub(crate) fn outgoing(&self) -> anyhow::Result<Outgoing> {
        Ok(Outgoing::from_settings(&self.settings)?)
    }

    /// Whether the development profile is on.
    pub(crate) fn development(&self) -> anyhow::Result<bool> {
        Ok(self.settings.development()?)
    }
}
