//! PostgreSQL: a pool with bounded waiting, the readiness probe and the check of the schema.
//!
//! TLS is used when the address says `sslmode=require`, and then the certificate is verified;
//! otherwise it is not tried. There is no falling back from one to the other.

use crate::cause;
use crate::tls::{self, TlsError};
pub use deadpool_postgres::{Client, Pool, PoolError};
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime, Timeouts};
use millrace_shared::schema;
use std::time::Duration;
use thiserror::Error;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Time to open a connection, and to wait for a free one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence after which the kernel probes a connection: a vanished server is noticed in half a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);

/// Why PostgreSQL cannot be used.
#[derive(Debug, Error)]
pub enum PgError {
    /// The address cannot be read.
    #[error("MILLRACE_POSTGRES_URL is not a PostgreSQL address")]
    Address,
    /// No TLS to be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The pool cannot be built.
    #[error("connection pool: {0}")]
    Build(#[from] deadpool_postgres::BuildError),
    /// No connection to be had.
    #[error("no connection to PostgreSQL: {}", cause::chain(.0))]
    Pool(#[from] PoolError),
    /// It took too long.
    #[error("PostgreSQL took too long")]
    Timeout,
    /// The stores are of another version than this program.
    #[error("the schema of the stores does not fit: {0}")]
    Schema(String),
    /// A statement failed.
    #[error("PostgreSQL: {0}")]
    Query(#[from] tokio_postgres::Error),
}

/// A pool of at most `size` connections, opened when first needed.
///
/// # Errors
/// When the address cannot be read, or TLS cannot be used.
pub fn pool(url: &str, service: &str, size: usize) -> Result<Pool, PgError> {
    let mut config: tokio_postgres::Config = url.parse().map_err(|_| PgError::Address)?;
    if config.get_ssl_mode() != SslMode::Require {
        config.ssl_mode(SslMode::Disable);
    }
    config
        .application_name(service)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(KEEPALIVE_IDLE);
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let timeouts = Timeouts {
        wait: Some(CONNECT_TIMEOUT),
        create: Some(CONNECT_TIMEOUT),
        recycle: Some(CONNECT_TIMEOUT),
    };
    let manager = Manager::from_config(config, connector()?, recycling);
    Ok(Pool::builder(manager)
        .max_size(size)
        .timeouts(timeouts)
        .runtime(Runtime::Tokio1)
        .build()?)
}

/// What a pool's connections are made with, and what a statement of one is to be cancelled with:
/// TLS where the address asked for it, plain otherwise.
///
/// # Errors
/// When TLS cannot be used.
pub fn connector() -> Result<MakeRustlsConnect, TlsError> {
    let config = tls::trust()?.config.as_ref().clone();
    Ok(MakeRustlsConnect::new(config))
}

/// Whether PostgreSQL answers.
///
/// # Errors
/// When it does not.
pub async fn ping(pool: &Pool) -> Result<(), PgError> {
    pool.get().await?.simple_query("SELECT 1").await?;
    Ok(())
}

/// Whether the stores' tables are those that this program was built for.
///
/// # Errors
/// [`PgError::Schema`] when they are not; anything else when PostgreSQL cannot tell.
pub async fn check_schema(url: &str) -> Result<(), PgError> {
    let pool = pool(url, "schema-check", 1)?;
    let rows = pool
        .get()
        .await?
        .query("SELECT store, name FROM schema_migration", &[])
        .await?;
    let recorded: Vec<(String, String)> = rows
        .iter()
        .map(|row| (row.get("store"), row.get("name")))
        .collect();
    schema::mismatch(&recorded).map_or(Ok(()), |problem| Err(PgError::Schema(problem)))
}
