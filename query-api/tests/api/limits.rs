//! Limits, stores that are down, clients that go.

use crate::world::*;
use query_api::Config;
use query_api::store::Limits;
use reqwest::Method;
use serde_json::json;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// An address where nobody listens.
fn closed() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

async fn ask(base: &str, path: &str, token: &str) -> Answer {
    send(request(base, Method::GET, &format!("/api/v1{path}"), token)).await
}

#[tokio::test]
async fn a_store_that_is_down_is_a_503_and_never_an_empty_answer() {
    let org = org().await;
    let closed = closed();
    let without_clickhouse = start(Config { clickhouse_url: format!("http://{closed}/"), ..config() });
    for path in ["/logs/search", "/logs/histogram", "/traces/search", "/traces/x", "/audit/search", "/audit/filters", "/rum/search", "/rum/pages", "/soc/overview"] {
        let answer = ask(&without_clickhouse, path, &org.viewer).await;
        assert!(answer.headers.contains_key("retry-after"), "{path}");
        assert!(answer.body["detail"].as_str().unwrap().contains("ClickHouse"), "{path}");
        assert_eq!(answer.problem(503), "dependency_down", "{path}");
    }
    ask(&without_clickhouse, "/alerts", &org.viewer).await.ok();
    let without_postgres = start(Config { postgres_url: format!("postgres://x:y@{closed}/millrace"), ..config() });
    for path in ["/whoami", "/logs/search", "/metrics/names", "/alerts", "/rules"] {
        let answer = ask(&without_postgres, path, &org.viewer).await;
        assert_eq!(answer.problem(503), "dependency_down", "{path}");
    }
    let without_redis = start(Config { redis_url: format!("redis://{closed}"), ..config() });
    assert_eq!(ask(&without_redis, "/ledger/balance", &org.viewer).await.problem(503), "dependency_down");
    ask(&without_redis, "/logs/search", &org.viewer).await.ok();
    // What cannot be recorded does not happen.
    let id = crate::audit::alert(&org, "X", "open", "high", 1.0).await;
    let path = format!("/api/v1/alerts/{id}/status");
    let change = request(&without_redis, Method::POST, &path, &org.analyst).body(json!({ "status": "acknowledged" }).to_string());
    assert_eq!(send(change).await.problem(503), "dependency_down");
    assert_eq!(get(&format!("/alerts/{id}"), &org.viewer, &[]).await.ok()["status"], "open");
}

#[tokio::test]
async fn over_a_limit_is_said_so() {
    let org = org().await;
    let rows: Vec<_> = (0..3000).map(|n| row(&org, f64::from(n) / 100.0, json!({ "Body": format!("m{n}") }))).collect();
    insert("logs", &rows).await;
    let narrow = start(Config {
        limits: Limits { rows_read: 10, ..config().limits },
        ..config()
    });
    let path = "/logs/search?start=now-4h&text=m1&text_mode=substring";
    assert_eq!(ask(&narrow, path, &org.viewer).await.problem(422), "unprocessable");
    for (query, code) in [
        ("start=now-200d", "unprocessable"),
        ("start=now&end=now-1h", "unprocessable"),
    ] {
        assert_eq!(ask(shared(), &format!("/logs/search?{query}"), &org.viewer).await.problem(422), code, "{query}");
    }
    for query in ["limit=1001", "limit=0", "start=never", "order=up", "cursor=zzz"] {
        assert_eq!(ask(shared(), &format!("/logs/search?{query}"), &org.viewer).await.problem(400), "bad_parameter", "{query}");
    }
    let long = "x".repeat(20_000);
    let body = json!({ "text": long, "text_mode": "substring" });
    assert_eq!(post("/logs/search", &org.viewer, &body).await.problem(422), "unprocessable");
}

/// Statements of this API that run in ClickHouse and name the organisation.
async fn running(mark: &str) -> usize {
    let sql = format!("SELECT count() FROM system.processes WHERE query LIKE '%hasAllTokens%' AND query_id LIKE 'query-api-%' AND '{mark}' != '' FORMAT TabSeparated");
    let answer = reqwest::Client::new().post(config().clickhouse_url).body(sql).send().await.unwrap();
    answer.text().await.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn one_organisation_cannot_take_all_slots() {
    let (busy, calm) = (org().await, org().await);
    let base = start(Config { concurrency: 1, ..config() });
    // A lock in PostgreSQL holds the first request for as long as the test wants.
    let id = crate::audit::alert(&busy, "X", "open", "high", 1.0).await;
    let mut client = postgres().await;
    let held = client.transaction().await.unwrap();
    held.execute("SELECT 1 FROM alert WHERE id = $1 FOR UPDATE", &[&id]).await.unwrap();
    let path = format!("/api/v1/alerts/{id}/status");
    let waiting = request(&base, Method::POST, &path, &busy.analyst).body(json!({ "status": "acknowledged" }).to_string());
    let waiting = tokio::spawn(send(waiting));
    let started = Instant::now();
    let refused = loop {
        let answer = ask(&base, "/alerts", &busy.viewer).await;
        if answer.status == 429 {
            break answer;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "never refused: {answer:?}");
    };
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(refused.problem(429), "quota_exceeded");
    ask(&base, "/alerts", &calm.viewer).await.ok();
    held.commit().await.unwrap();
    waiting.await.unwrap().ok();
    ask(&base, "/alerts", &busy.viewer).await.ok();
    assert_eq!(running("x").await, 0);
}
