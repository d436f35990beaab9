//! The admin port: `/metrics`, `/healthz` (the process runs) and `/readyz` (it can do its work).
//! Never serves data, never asks for credentials: it listens where only operators reach it.

use crate::metric::Exporter;
use crate::shutdown::CancellationToken;
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// How often recorded observations are moved into their buckets when nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// One thing a service needs to be ready.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What it is, as `redis` or `lease`.
    pub name: &'static str,
    /// What is wrong with it; `None` when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Check {
    /// From the outcome of trying.
    pub fn of<T, E: std::fmt::Display>(name: &'static str, outcome: Result<T, E>) -> Check {
        Check {
            name,
            problem: outcome.err().map(|error| error.to_string()),
        }
    }
}

/// Asks whether the service is ready.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<Check>> + Send + Sync>;

#[derive(Clone)]
struct State {
    exporter: Exporter,
    readiness: Readiness,
}

/// Serves the admin port until shutdown.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    exporter: Exporter,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let state = State {
        exporter: exporter.clone(),
        readiness,
    };
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(state.clone()))
            .route("/metrics", web::get().to(metrics))
            .route("/healthz", web::get().to(healthz))
            .route("/readyz", web::get().to(readyz))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?
    .run();
    let handle = server.handle();
    let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
    let watch = async {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = upkeep.tick() => exporter.upkeep(),
            }
        }
        handle.stop(true).await;
    };
    let (served, ()) = futures_util::future::join(server, watch).await;
    served
}

async fn metrics(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(state.exporter.render())
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

async fn readyz(state: web::Data<State>) -> HttpResponse {
    let checks = (state.readiness)().await;
    let ready = checks.iter().all(|check| check.problem.is_none());
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(status).json(serde_json::json!({ "ready": ready, "checks": checks }))
}
