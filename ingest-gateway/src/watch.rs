//! Looks at Redis again and again for what decides whether requests may come in: its memory, and how
//! far the workers have read. Changes nothing there.

use crate::gateway::Shared;
use crate::lane::TURN;
use futures_util::future::join_all;
use millrace_runtime::clock;
use millrace_runtime::redis::ConnectionManager;
use millrace_runtime::shutdown::CancellationToken;
use millrace_shared::ids::{CURSOR_GROUP, ShardId, StreamId};
use redis::streams::StreamInfoGroupsReply;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// How often Redis is asked for its memory: at 1 GiB/s of input it grows by a tenth of the default
/// budget between two answers.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How often it is told who is refused most.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Looks until shutdown.
pub(crate) async fn watch(
    shared: Arc<Shared>,
    mut redis: ConnectionManager,
    shutdown: CancellationToken,
) {
    let mut tick = tokio::time::interval(ASK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut turn_at, mut report_at) = (Instant::now() + TURN, Instant::now() + REPORT_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        // Without an answer the last one stands: appends will fail by themselves.
        if let Some(bytes) = memory(&mut redis).await {
            shared.pressure.note_memory(bytes);
        }
        shared.pressure.show();
        if turn_at <= Instant::now() {
            turn_at += TURN;
            let cursors = cursors(&redis, shared.admission.waiting()).await;
            let now_ms = u64::try_from(clock::now_ns() / 1_000_000).unwrap_or(0);
            let free = shared.pressure.free_memory();
            shared.admission.turn(&cursors, now_ms, free);
        }
        if report_at <= Instant::now() {
            report_at += REPORT_EVERY;
            for (org, refused) in shared.admission.take_talkers() {
                tracing::warn!(%org, refused, every = ?REPORT_EVERY, "refused most");
            }
        }
    }
}

async fn memory(redis: &mut ConnectionManager) -> Option<u64> {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let info: String = info.query_async(redis).await.ok()?;
    used_memory(&info)
}

fn used_memory(info: &str) -> Option<u64> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))?;
    line.trim().parse().ok()
}

/// How far the workers have read these shards, as far as Redis says.
async fn cursors(redis: &ConnectionManager, shards: Vec<ShardId>) -> Vec<(ShardId, StreamId)> {
    let asked = shards.into_iter().map(|shard| {
        let mut redis = redis.clone();
        async move {
            let mut command = redis::cmd("XINFO");
            command.arg("GROUPS").arg(shard.stream());
            let answer: StreamInfoGroupsReply = command.query_async(&mut redis).await.ok()?;
            let mut groups = answer.groups.into_iter();
            let group = groups.find(|group| group.name == CURSOR_GROUP)?;
            Some((shard, group.last_delivered_id.parse().ok()?))
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_found_among_what_redis_says() {
        let info = "# Memory\r\nused_memory:1001\r\nused_memory_human:1K\r\n";
        assert_eq!(used_memory(info), Some(1_001));
        assert_eq!(used_memory("# Memory\r\n"), None);
    }
}
