//! What the stores say when they are asked past all services. A store may be down: then there is
//! an error and never an empty answer.

use super::site::Site;
use crate::http::Http;
use crate::wait::block_on;
use millrace_shared::Signal;
use millrace_shared::ids::ShardId;
use redis::AsyncConnectionConfig;
use std::time::Duration;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Longer than any question takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Shards of a signal, as the installations of the tests have.
const SHARDS: u16 = 4;

/// The rows of a statement, as text; empty where there is null.
///
/// # Errors
/// When PostgreSQL does not answer.
pub fn postgres(site: &Site, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let url = site.stack().postgres_url();
    let asked = async {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        let driving = tokio::spawn(connection);
        let answer = client.simple_query(sql).await;
        driving.abort();
        answer
    };
    let answer = block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    let messages = answer
        .map_err(|_| "PostgreSQL does not answer".to_owned())?
        .map_err(|error| format!("PostgreSQL: {error}"))?;
    let row = |message: &SimpleQueryMessage| {
        let SimpleQueryMessage::Row(row) = message else {
            return None;
        };
        let cells = (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned());
        Some(cells.collect())
    };
    Ok(messages.iter().filter_map(row).collect())
}

/// One number of PostgreSQL.
///
/// # Errors
/// When it does not answer, or with no number.
pub fn number(site: &Site, sql: &str) -> Result<i64, String> {
    let rows = postgres(site, sql)?;
    let cell = rows.first().and_then(|row| row.first());
    cell.and_then(|cell| cell.parse().ok())
        .ok_or_else(|| format!("no number: {rows:?}"))
}

/// What ClickHouse answers to a statement, lines of tab-separated cells.
///
/// # Errors
/// When it does not answer, or refuses.
pub fn clickhouse(site: &Site, sql: &str) -> Result<String, String> {
    let url = site.stack().clickhouse_url();
    let answer = Http::patient(PATIENCE)
        .post(&url, &[], sql.as_bytes())
        .map_err(|error| format!("ClickHouse: {error}"))?;
    match answer.status {
        200 => Ok(answer.text()),
        status => Err(format!("ClickHouse: {status}: {}", answer.text())),
    }
}

/// What Redis answers to a command.
///
/// # Errors
/// When it does not, or refuses.
pub fn redis<T: redis::FromRedisValue>(site: &Site, words: &[&str]) -> Result<T, String> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    let client = redis::Client::open(site.stack().redis_url()).map_err(|e| e.to_string())?;
    // The client's own limits are shorter than what a busy machine takes.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let asked = async {
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        command.query_async(&mut connection).await
    };
    block_on(async { tokio::time::timeout(PATIENCE, asked).await })
        .map_err(|_| "Redis does not answer".to_owned())?
        .map_err(|error: redis::RedisError| format!("Redis: {error}"))
}

/// Every shard.
pub fn shards() -> impl Iterator<Item = ShardId> {
    let signals = Signal::ALL.into_iter();
    signals.flat_map(|signal| (0..SHARDS).map(move |shard| ShardId { signal, shard }))
}

/// A place in a stream: milliseconds and number.
pub type Place = (u64, u64);

/// The last entry of every stream, in the order of [`shards`]; zeros for an empty one.
///
/// # Errors
/// When Redis does not answer.
pub fn heads(site: &Site) -> Result<Vec<Place>, String> {
    let head = |shard: ShardId| {
        let words = ["XREVRANGE", &shard.stream(), "+", "-", "COUNT", "1"];
        let rows: Vec<(String, Vec<Vec<u8>>)> = redis(site, &words)?;
        let id = rows.first().map_or("0-0", |(id, _)| id.as_str());
        let place = id
            .split_once('-')
            .and_then(|(ms, seq)| Some((ms.parse().ok()?, seq.parse().ok()?)));
        place.ok_or_else(|| format!("no stream id: {id}"))
    };
    shards().map(head).collect()
}

/// How far every shard has been cut into batches that are committed, in the order of [`shards`].
///
/// # Errors
/// When PostgreSQL does not answer.
pub fn committed(site: &Site) -> Result<Vec<Place>, String> {
    let sql = "SELECT shard.signal, shard.shard, \
                      coalesce(open.first_ms, cursor_ms + 1), coalesce(open.first_seq, 0), \
                      cursor_ms, cursor_seq, open.first_ms IS NOT NULL \
                 FROM shard LEFT JOIN LATERAL ( \
                      SELECT first_ms, first_seq FROM batch \
                       WHERE batch.signal = shard.signal AND batch.shard = shard.shard \
                         AND state = 'PREPARED' ORDER BY seq LIMIT 1) AS open ON true";
    let rows = postgres(site, sql)?;
    let find = |shard: ShardId| {
        let (signal, number) = (shard.signal.as_str(), shard.shard.to_string());
        let row = rows.iter().find(|row| row[0] == signal && row[1] == number);
        let row = row.ok_or_else(|| format!("no shard {signal}:{number}"))?;
        let cell = |at: usize| row[at].parse::<u64>().map_err(|error| error.to_string());
        if row[6] == "t" {
            // Everything before the first open entry.
            let (ms, seq) = (cell(2)?, cell(3)?);
            return Ok((
                ms.saturating_sub(u64::from(seq == 0)),
                seq.saturating_sub(1),
            ));
        }
        Ok((cell(4)?, cell(5)?))
    };
    shards().map(find).collect()
}
