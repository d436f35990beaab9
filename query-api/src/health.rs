//! Whether the query API can do its work: its three stores answer.

use crate::Api;
use millrace_runtime::admin::{Check, Readiness};
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A store that takes longer than this to say hello is not ready for queries.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks the stores.
#[must_use]
pub(crate) fn readiness(api: Arc<Api>) -> Readiness {
    Arc::new(move || {
        let api = Arc::clone(&api);
        Box::pin(async move {
            let (clickhouse, postgres, redis) = tokio::join!(
                check("clickhouse", api.clickhouse.ping()),
                check("postgres", api.pg.ping()),
                check("redis", api.streams.ping()),
            );
            vec![clickhouse, postgres, redis]
        })
    })
}

async fn check<E: Display>(name: &'static str, ping: impl Future<Output = Result<(), E>>) -> Check {
    match tokio::time::timeout(PING_TIMEOUT, ping).await {
        Ok(outcome) => Check::of(name, outcome),
        Err(elapsed) => Check::of::<(), _>(name, Err(elapsed)),
    }
}
