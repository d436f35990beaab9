//! PostgreSQL: a pool with bounded waiting, the readiness probe and the check of the schema.

pub use deadpool_postgres::{Client, Pool, PoolError};
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime, Timeouts};
use millrace_shared::schema;
use std::time::Duration;
use thiserror::Error;
use tokio_postgres::NoTls;

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
    /// The pool cannot be built.
    #[error("connection pool: {0}")]
    Build(#[from] deadpool_postgres::BuildError),
    /// No connection to be had.
    #[error("no connection to PostgreSQL: {0}")]
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
/// When the address cannot be read.
pub fn pool(url: &str, service: &str, size: usize) -> Result<Pool, PgError> {
    let mut config: tokio_postgres::Config = url.parse().map_err(|_| PgError::Address)?;
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
    Ok(
        Pool::builder(Manager::from_config(config, NoTls, recycling))
            .max_size(size)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()?,
    )
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
