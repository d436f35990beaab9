//! Whether the gateway can do its work: Redis takes appends, PostgreSQL knows keys.

use crate::append::RESPONSE_TIMEOUT;
use crate::gateway::Shared;
use millrace_runtime::admin::{Check, Readiness};
use millrace_runtime::pg;
use millrace_runtime::redis::Connections;
use std::sync::Arc;

/// Asks Redis and PostgreSQL, and whether the gateway is going down.
pub(crate) fn readiness(shared: Arc<Shared>, redis: Arc<Connections>) -> Readiness {
    Arc::new(move || {
        let (shared, redis) = (Arc::clone(&shared), Arc::clone(&redis));
        Box::pin(async move {
            let redis = tokio::time::timeout(RESPONSE_TIMEOUT, redis.ping());
            let postgres = tokio::time::timeout(RESPONSE_TIMEOUT, pg::ping(&shared.pool));
            let (redis, postgres) = futures_util::future::join(redis, postgres).await;
            let pressure = shared.pressure.admit().map_err(|problem| problem.detail);
            vec![
                flat("redis", redis),
                flat("postgres", postgres),
                Check::of("accepting", pressure),
            ]
        })
    })
}

fn flat<E: std::fmt::Display>(
    name: &'static str,
    outcome: Result<Result<(), E>, tokio::time::error::Elapsed>,
) -> Check {
    match outcome {
        Ok(outcome) => Check::of(name, outcome),
        Err(elapsed) => Check::of::<(), _>(name, Err(elapsed)),
    }
}
