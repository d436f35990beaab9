//! The HTTP server: listeners, limits of connections, graceful end. Knows no route by itself.

use crate::ask::BODY_BYTES_MAX;
use crate::backtest::Places;
use crate::imports::Imports;
use crate::principal::{Authenticator, Slots};
use crate::store::{Clickhouse, Pg, Streams};
use crate::trail::Trail;
use crate::{Api, Config, api, arrive, health, metrics};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use millrace_runtime::boot::BootError;
use millrace_runtime::clickhouse::{AddressError, Clickhouse as Client};
use millrace_runtime::pg::PgError;
use millrace_runtime::shutdown::CancellationToken;
use millrace_runtime::{admin, metric};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Time for a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are kept this long.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Seconds that requests under way get when the service goes down.
const DRAIN_S: u64 = 10;

/// Why the query API does not run.
#[derive(Debug, Error)]
pub enum QueryError {
    /// A setting or a listener cannot be used.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// PostgreSQL's address cannot be used.
    #[error(transparent)]
    Postgres(#[from] PgError),
    /// ClickHouse's address cannot be used.
    #[error(transparent)]
    Clickhouse(#[from] AddressError),
    /// Redis's address cannot be used.
    #[error("MILLRACE_REDIS_URL: {0}")]
    Redis(#[from] redis::RedisError),
    /// The listener cannot be served.
    #[error("cannot serve: {0}")]
    Serve(io::Error),
}

/// Where it listens.
#[derive(Debug)]
pub struct Listeners {
    /// The API.
    pub public: TcpListener,
    /// `/metrics`, `/healthz` and `/readyz`.
    pub admin: Option<TcpListener>,
}

/// Runs the query API until shutdown. The stores need not be up: what needs them is then a 503.
///
/// # Errors
/// When a store's address or a listener cannot be used.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), QueryError> {
    let exporter = metric::exporter();
    metric::describe_all(metrics::ALL);
    let api = Arc::new(open(&config)?);
    let admin = match listeners.admin {
        Some(listener) => {
            let readiness = health::readiness(Arc::clone(&api));
            let serve = admin::serve(listener, exporter, readiness, shutdown.clone());
            Some(actix_web::rt::spawn(serve))
        }
        None => None,
    };
    let data = web::Data::from(api);
    let server = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(arrive::wrap))
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .configure(api::routes)
            .default_service(web::to(arrive::not_found))
    })
    .workers(config.threads)
    // A client that has gone ends its request, and with it its queries.
    .h1_allow_half_closed(false)
    .client_request_timeout(HEADER_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .disable_signals()
    .shutdown_timeout(DRAIN_S)
    .listen(listeners.public)
    .map_err(QueryError::Serve)?
    .run();
    let handle = server.handle();
    let stop = async {
        shutdown.cancelled().await;
        handle.stop(true).await;
    };
    let (served, ()) = futures_util::future::join(server, stop).await;
    if let Some(admin) = admin {
        admin.abort();
    }
    served.map_err(QueryError::Serve)
}

fn open(config: &Config) -> Result<Api, QueryError> {
    let pg = Pg::new(&config.postgres_url, config.limits.timeout)?;
    let client = Client::new(&config.clickhouse_url)?;
    let streams = Arc::new(Streams::new(&config.redis_url)?);
    Ok(Api {
        authenticator: Authenticator::default(),
        slots: Slots::new(config.concurrency),
        clickhouse: Clickhouse::new(client, config.limits.clone()),
        imports: Imports::new(),
        backtests: Arc::new(Places::default()),
        trail: Trail::new(pg.clone(), Arc::clone(&streams)),
        streams,
        pg,
        master_key: config.master_key.clone(),
        outgoing: config.outgoing.clone(),
    })
}
