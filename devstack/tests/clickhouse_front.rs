//! The ClickHouse front, spoken to by the `clickhouse` crate and by plain HTTP, on the real engine.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test where it stands"
)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clickhouse::{Client, Compression, Row};
use common::stack;
use millrace_devstack::{Engine, Stack};
use serde::{Deserialize, Serialize};

#[derive(Row, Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Event {
    id: u64,
    body: String,
    attributes: Vec<(String, String)>,
    ratio: Option<f64>,
}

fn event(id: u64) -> Event {
    let attributes = vec![("k'ey\\".to_owned(), "välue\n".to_owned())];
    Event {
        id,
        body: format!("line {id}\t'quoted'"),
        attributes,
        ratio: id.is_multiple_of(2).then_some(0.5),
    }
}

/// A client of the instance's ClickHouse, in the database `default`.
fn client(stack: &Stack, compression: Compression) -> Client {
    let url = stack.clickhouse_url();
    let address = url.split("/?").next().unwrap();
    Client::default()
        .with_url(address)
        .with_compression(compression)
}

/// A table name no other test uses.
fn table() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// One instance for the tests that do not restart it.
fn shared() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| stack("front"))
}

async fn events_table(client: &Client) -> String {
    let name = table();
    let ddl = format!(
        "CREATE TABLE {name} (id UInt64, body String, attributes Map(LowCardinality(String), String), \
         ratio Nullable(Float64)) ENGINE = MergeTree ORDER BY id \
         SETTINGS non_replicated_deduplication_window = 100"
    );
    client.query(&ddl).execute().await.unwrap();
    name
}

async fn insert(
    client: &Client,
    table: &str,
    ids: std::ops::Range<u64>,
) -> clickhouse::error::Result<()> {
    let mut insert = client.insert::<Event>(table).await?;
    for id in ids {
        insert.write(&event(id)).await?;
    }
    insert.end().await
}

async fn count(client: &Client, table: &str) -> u64 {
    client
        .query(&format!("SELECT count() FROM {table}"))
        .fetch_one()
        .await
        .unwrap()
}

#[tokio::test]
async fn typed_rows_come_back_as_they_went_in() {
    for compression in [Compression::None, Compression::Lz4] {
        let client = client(shared(), compression);
        let table = events_table(&client).await;
        insert(&client, &table, 0..1_000).await.unwrap();
        let sql = format!("SELECT ?fields FROM {table} WHERE id < ? ORDER BY id");
        let rows: Vec<Event> = client.query(&sql).bind(1_000).fetch_all().await.unwrap();
        assert_eq!(rows, (0..1_000).map(event).collect::<Vec<_>>());
    }
}

#[derive(Row, Deserialize, Debug)]
struct Bound {
    text: String,
    number: u64,
    list: Vec<String>,
    id: String,
    yes: bool,
    nothing: Option<u8>,
}

#[tokio::test]
async fn parameters_are_bound_with_their_types() {
    let client = client(shared(), Compression::None);
    let text = "it's \\ a\ttab, {x:Y} and -- a comment";
    let row: Bound = client
        .query(
            "SELECT {text:String} AS text, {number:UInt64} AS number, {list:Array(String)} AS list, \
             toString({id:UUID}) AS id, {yes:Bool} AS yes, {nothing:Nullable(UInt8)} AS nothing",
        )
        .param("text", text)
        .param("number", u64::MAX)
        .param("list", vec!["a'b", "c\\d"])
        .param("id", "0190c1de-0000-7000-8000-000000000001")
        .param("yes", true)
        .param("nothing", None::<u8>)
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(row.text, text);
    assert_eq!(row.number, u64::MAX);
    assert_eq!(row.list, ["a'b", "c\\d"]);
    assert_eq!(row.id, "0190c1de-0000-7000-8000-000000000001");
    assert!(row.yes);
    assert_eq!(row.nothing, None);
}

/// Status, headers (lower-case names) and body of a POST to the front.
async fn post(
    parameters: &[(&str, &str)],
    body: Vec<u8>,
) -> (u16, reqwest::header::HeaderMap, String) {
    let url = shared().clickhouse_url();
    let address = url.split('?').next().unwrap();
    let url = url::Url::parse_with_params(address, parameters).unwrap();
    let answer = reqwest::Client::new()
        .post(url)
        .body(body)
        .send()
        .await
        .unwrap();
    (
        answer.status().as_u16(),
        answer.headers().clone(),
        answer.text().await.unwrap(),
    )
}

async fn ask(sql: &str) -> String {
    post(&[], sql.as_bytes().to_vec()).await.2.trim().to_owned()
}

#[tokio::test]
async fn errors_carry_clickhouse_codes_and_statuses() {
    let expected = [
        ("SELECT * FROM no_such_table", "60", 404),
        ("SELEC 1", "62", 400),
        ("SELECT no_such_column", "47", 404),
        ("SELECT throwIf(1)", "395", 500),
        ("SELECT toUInt8('x')", "6", 400),
    ];
    for (sql, code, status) in expected {
        let (found, headers, body) = post(&[], sql.as_bytes().to_vec()).await;
        assert_eq!(found, status, "{sql}: {body}");
        assert_eq!(headers["x-clickhouse-exception-code"], code, "{sql}");
        assert!(
            body.starts_with(&format!("Code: {code}. DB::Exception: ")),
            "{body}"
        );
    }
    let (status, headers, _) = post(&[("compress", "1")], b"SELECT 1".to_vec()).await;
    assert_eq!(
        (
            status,
            headers["x-clickhouse-exception-code"].to_str().unwrap()
        ),
        (501, "48")
    );
    let (status, headers, _) = post(&[("no_such_setting", "1")], b"SELECT 1".to_vec()).await;
    assert_eq!(
        (
            status,
            headers["x-clickhouse-exception-code"].to_str().unwrap()
        ),
        (404, "115")
    );
}

#[tokio::test]
async fn get_only_reads() {
    let url = format!(
        "{}&query=CREATE%20TABLE%20never%20(a%20Int8)%20ENGINE%3DMemory",
        shared().clickhouse_url().replace("millrace", "default")
    );
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.headers()["x-clickhouse-exception-code"], "164");
    assert_eq!(ask("EXISTS TABLE never").await, "0");
}

#[tokio::test]
async fn inserts_say_exactly_how_many_rows_they_wrote() {
    let client = client(shared(), Compression::None);
    let table = events_table(&client).await;
    let rows: String = (0..1234)
        .map(|id| format!("{id}\tx\t{{}}\t\\N\n"))
        .collect();
    let statement = format!("INSERT INTO {table} FORMAT TabSeparated");
    let (status, headers, body) = post(
        &[("query", &statement), ("query_id", "mine")],
        rows.into_bytes(),
    )
    .await;
    assert_eq!((status, body.as_str()), (200, ""));
    let summary: serde_json::Value =
        serde_json::from_str(headers["x-clickhouse-summary"].to_str().unwrap()).unwrap();
    assert_eq!(summary["written_rows"], "1234");
    assert_eq!(headers["x-clickhouse-query-id"], "mine");
    assert_eq!(count(&client, &table).await, 1234);
}

#[tokio::test]
async fn a_broken_body_inserts_nothing() {
    let client = client(shared(), Compression::None);
    let table = events_table(&client).await;
    let statement = format!("INSERT INTO {table} (id, body) FORMAT RowBinary");
    let mut rows = Vec::new();
    for id in 0..10_u64 {
        rows.extend(id.to_le_bytes());
        rows.extend([1, b'x']);
    }
    rows.truncate(rows.len() - 1);
    let (status, _, _) = post(&[("query", &statement)], rows).await;
    assert_eq!(status, 500);
    assert_eq!(count(&client, &table).await, 0);
}

#[tokio::test]
async fn a_token_is_inserted_once_and_other_tokens_again() {
    let client = client(shared(), Compression::Lz4);
    let table = events_table(&client).await;
    for token in ["logs:1:1", "logs:1:1", "logs:1:2"] {
        let client = client
            .clone()
            .with_setting("insert_deduplication_token", token);
        insert(&client, &table, 0..10).await.unwrap();
    }
    assert_eq!(count(&client, &table).await, 20);
}

#[tokio::test]
async fn settings_hold_for_their_request_only() {
    let sql = "SELECT getSetting('max_threads'), getSetting('async_insert')";
    assert_eq!(
        post(&[("max_threads", "1")], sql.into()).await.2.trim(),
        "1\tfalse"
    );
    ask("SET max_threads = 1").await;
    assert_ne!(ask(sql).await, "1\tfalse");
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_and_selects_run_at_once() {
    let client = client(shared(), Compression::Lz4);
    let table = events_table(&client).await;
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..8_u64 {
        let (client, table) = (client.clone(), table.clone());
        tasks.spawn(async move {
            for round in 0..5 {
                let first = (worker * 5 + round) * 1_000;
                insert(&client, &table, first..first + 1_000).await.unwrap();
                let sql = format!(
                    "SELECT count() FROM {table} WHERE id >= {first} AND id < {}",
                    first + 1_000
                );
                let mine: u64 = client.query(&sql).fetch_one().await.unwrap();
                assert_eq!(mine, 1_000);
            }
        });
    }
    tasks.join_all().await;
    let sql = format!("SELECT count(), uniqExact(id) FROM {table}");
    let both: (u64, u64) = client.query(&sql).fetch_one().await.unwrap();
    assert_eq!(both, (40_000, 40_000));
}

#[tokio::test]
async fn a_long_answer_is_streamed_whole_and_a_broken_one_is_noticed() {
    let client = client(shared(), Compression::None);
    let mut rows = client
        .query("SELECT number FROM numbers(3000000)")
        .fetch::<u64>()
        .unwrap();
    let mut next = 0;
    while let Some(number) = rows.next().await.unwrap() {
        assert_eq!(number, next);
        next += 1;
    }
    assert_eq!(next, 3_000_000);
    let sql = "SELECT number + throwIf(number = 2900000) AS n FROM numbers(3000000)";
    let broken = client.query(sql).fetch_all::<u64>().await;
    assert!(broken.is_err());
}

/// What a busy machine needs at worst for what it does at once alone.
const PATIENCE: Duration = Duration::from_secs(120);
const ENDLESS: &str = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1";

async fn running(query_id: &str) -> bool {
    ask(&format!(
        "SELECT count() FROM system.processes WHERE query_id = '{query_id}'"
    ))
    .await
        == "1"
}

async fn wait_until_running(query_id: &str, expected: bool) {
    let end = Instant::now() + PATIENCE;
    while running(query_id).await != expected {
        assert!(Instant::now() < end, "{query_id} running: {}", !expected);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_running_query_id_is_refused_seen_and_killed() {
    let long = tokio::spawn(post(&[("query_id", "long")], ENDLESS.into()));
    wait_until_running("long", true).await;
    let (_, headers, _) = post(&[("query_id", "long")], b"SELECT 1".to_vec()).await;
    assert_eq!(headers["x-clickhouse-exception-code"], "216");
    ask("KILL QUERY WHERE query_id = 'long' SYNC").await;
    let (_, headers, _) = long.await.unwrap();
    assert_eq!(headers["x-clickhouse-exception-code"], "394");
    assert!(!running("long").await);
    assert_eq!(
        post(&[("query_id", "long")], b"SELECT 1".to_vec()).await.2,
        "1\n"
    );
}

#[tokio::test]
async fn the_select_of_a_client_that_went_is_cancelled() {
    let gone = tokio::spawn(post(&[("query_id", "gone")], ENDLESS.into()));
    wait_until_running("gone", true).await;
    gone.abort();
    wait_until_running("gone", false).await;
}

/// Status and error code of the answer to a statement.
async fn asked(client: &reqwest::Client, url: &str, sql: &'static str) -> (u16, Option<String>) {
    let answer = client.post(url).body(sql).send().await.unwrap();
    let code = answer.headers().get("x-clickhouse-exception-code");
    let code = code.map(|code| code.to_str().unwrap().to_owned());
    (answer.status().as_u16(), code)
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_queries_at_once_are_refused_as_busy() {
    /// More than may run at once.
    const MANY: usize = 80;
    const HELD: &str = "SELECT sleepEachRow(1) FROM numbers(3600) SETTINGS max_block_size = 1";
    let stack = stack("busy");
    let url = stack.clickhouse_url().replace("millrace", "default");
    let client = reqwest::Client::new();
    // Each holds its place until its client goes, so that it does not matter how long it takes to start them.
    let (ended, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut holding = tokio::task::JoinSet::new();
    for _ in 0..MANY {
        let (client, url, ended) = (client.clone(), url.clone(), ended.clone());
        holding.spawn(async move { ended.send(asked(&client, &url, HELD).await) });
    }
    let busy = (503, Some("202".to_owned()));
    assert_eq!(
        told.recv().await.unwrap(),
        busy,
        "who comes last is refused"
    );
    holding.shutdown().await;
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = asked(&client, &url, "SELECT 1").await;
        if answer == (200, None) {
            return;
        }
        assert_eq!(answer, busy);
        assert!(Instant::now() < end, "no place is given back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_row_is_lost_by_a_kill() {
    let stack = stack("kill");
    let client = client(&stack, Compression::Lz4);
    let table = events_table(&client).await;
    let mut sent: Vec<(u64, bool)> = Vec::new();
    let written = Arc::new(AtomicUsize::new(0));
    for round in 0..3_u64 {
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..4_u64 {
            let (client, table, written) = (client.clone(), table.clone(), Arc::clone(&written));
            tasks.spawn(async move {
                let mut results = Vec::new();
                for number in 0.. {
                    let batch = (round * 4 + worker) * 10_000 + number;
                    let first = batch * 100;
                    let done = insert(&client, &table, first..first + 100).await.is_ok();
                    results.push((batch, done));
                    written.fetch_add(usize::from(done), Ordering::SeqCst);
                    if !done {
                        break;
                    }
                }
                results
            });
        }
        // In the middle of the work, wherever that is.
        let end = Instant::now() + PATIENCE;
        let enough = written.load(Ordering::SeqCst) + 10;
        while written.load(Ordering::SeqCst) < enough {
            assert!(Instant::now() < end, "nothing is written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stack.kill(Engine::Clickhouse).unwrap();
        sent.extend(tasks.join_all().await.into_iter().flatten());
        stack.resume(Engine::Clickhouse).unwrap();
    }
    assert!(sent.iter().filter(|(_, done)| *done).count() > 20);
    let sql = format!("SELECT intDiv(id, 100) AS batch, count() FROM {table} GROUP BY batch");
    let stored: std::collections::HashMap<u64, u64> = client
        .query(&sql)
        .fetch_all::<(u64, u64)>()
        .await
        .unwrap()
        .into_iter()
        .collect();
    for (batch, done) in sent {
        let rows = stored.get(&batch).copied().unwrap_or_default();
        assert!(
            rows == 100 || (!done && rows == 0),
            "batch {batch}: done {done}, {rows} rows"
        );
    }
}
