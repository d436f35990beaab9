//! Whether the worker can do its work: its three stores answer. Decides nothing about restarts.

use crate::shard::Plant;
use futures_util::future::BoxFuture;
use millrace_runtime::admin::{Check, Readiness};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::timeout;

/// Time for a store to answer: a prober does not wait for long.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the admin port asks. Not ready until the worker has started.
#[must_use]
pub fn readiness(plant: Arc<OnceLock<Arc<Plant>>>) -> Readiness {
    Arc::new(move || -> BoxFuture<'static, Vec<Check>> {
        let plant = plant.get().cloned();
        Box::pin(async move {
            match plant {
                Some(plant) => ask(&plant).await,
                None => vec![Check {
                    name: "start",
                    problem: Some("still starting".to_owned()),
                }],
            }
        })
    })
}

async fn ask(plant: &Plant) -> Vec<Check> {
    let redis = async {
        let mut connection = plant.redis.clone();
        redis::cmd("PING")
            .query_async::<()>(&mut connection)
            .await
            .map_err(|error| error.to_string())
    };
    let postgres = async {
        millrace_runtime::pg::ping(&plant.desk.pool)
            .await
            .map_err(|error| error.to_string())
    };
    let clickhouse = async { plant.store.ping().await.map_err(|error| error.to_string()) };
    let (redis, postgres, clickhouse) =
        tokio::join!(timely(redis), timely(postgres), timely(clickhouse));
    vec![
        Check::of("redis", redis),
        Check::of("postgres", postgres),
        Check::of("clickhouse", clickhouse),
    ]
}

async fn timely(answer: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| Err("no answer in time".to_owned()))
}
