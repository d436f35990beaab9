//! What the handlers share: one part for the process, one for each thread.

use crate::admission::Admission;
use crate::append::{Appender, Shards};
use crate::config::Config;
use crate::error::GatewayError;
use crate::key::Keys;
use crate::loss::Memory;
use crate::pressure::{Limits, Pressure};
use crate::pulse::Pulse;
use crate::quota::Quotas;
use crate::receive::Caps;
use crate::store;
use crate::verify::Verifier;
use millrace_runtime::pg::{self, Pool};
use millrace_shared::ids::BatchIds;
use millrace_shared::secret::Secret;
use std::sync::Arc;
use std::time::Duration;

/// Connections to PostgreSQL: only look-ups of keys and batches, most of them cached.
const PG_CONNECTIONS: usize = 8;
/// Pause between attempts to learn the number of shards from a PostgreSQL that is not up yet.
const INSTALLATION_RETRY: Duration = Duration::from_millis(500);
/// How long a gateway waits for PostgreSQL when it starts.
const INSTALLATION_WAIT: Duration = Duration::from_secs(60);

/// The process's part.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) caps: Caps,
    pub(crate) pool: Pool,
    pub(crate) keys: Keys,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) admission: Admission,
    pub(crate) verifier: Verifier,
    pub(crate) shards: Shards,
    pub(crate) batch_ids: BatchIds,
    /// What was acknowledged lately, to be looked for when Redis has lost data.
    pub(crate) acknowledged: Memory,
}

/// A thread's part.
pub(crate) struct Gateway {
    pub(crate) shared: Arc<Shared>,
    pub(crate) appender: Appender,
    pub(crate) pulse: Arc<Pulse>,
}

impl Shared {
    /// Connects to PostgreSQL, which must be up once for a gateway to start.
    pub(crate) async fn start(config: Config) -> Result<Arc<Self>, GatewayError> {
        let pool = pg::pool(&config.postgres_url, "ingest-gateway", PG_CONNECTIONS)?;
        let shards = shards(&pool).await?;
        let quotas = Arc::new(Quotas::new(config.address_requests_per_minute));
        let keys = Keys::new(
            pool.clone(),
            config.master_key.clone(),
            Arc::clone(&quotas),
            config.key_cache,
        );
        let decoy = Secret::generate().map_err(millrace_runtime::boot::BootError::MasterKey)?;
        Ok(Arc::new(Shared {
            caps: Caps {
                wire_bytes: config.wire_bytes_max,
                time: config.body_timeout,
            },
            pressure: Pressure::new(&Limits {
                in_flight_bytes: config.in_flight_bytes_max,
                in_flight_requests: config.in_flight_requests_max,
                redis_memory: config.stream_bytes_max,
            }),
            admission: Admission::new(config.backlog_max),
            batch_ids: BatchIds::new(config.master_key.derive("batch-id")),
            verifier: Verifier { decoy },
            shards: Shards::new(shards),
            acknowledged: Memory::default(),
            config,
            pool,
            keys,
            quotas,
        }))
    }
}

async fn shards(pool: &Pool) -> Result<u16, GatewayError> {
    let deadline = tokio::time::Instant::now() + INSTALLATION_WAIT;
    loop {
        match ask_shards(pool).await {
            Err(error) if tokio::time::Instant::now() < deadline => {
                tracing::warn!(%error, "waiting for PostgreSQL");
                tokio::time::sleep(INSTALLATION_RETRY).await;
            }
            answer => return answer,
        }
    }
}

async fn ask_shards(pool: &Pool) -> Result<u16, GatewayError> {
    store::shards(pool)
        .await?
        .ok_or(GatewayError::NoInstallation)
}
