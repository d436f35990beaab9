//! Limits, stores that are down, clients that go.

use crate::world::*;
use query_api::Config;
use query_api::store::Limits;
use reqwest::Method;
use serde_json::json;
use std::net::TcpListener;
use std::time::Instant;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// An address where nobody listens, and nobody will while the socket is held.
fn closed() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

async fn ask(base: &str, path: &str, token: &str) -> Answer {
    send(request(base, Method::GET, &format!("/api/v1{path}"), token)).await
}

#[tokio::test]
async fn a_store_that_is_down_is_a_503_and_never_an_empty_answer() {
    let org = org().await;
    let (_held, closed) = closed();
    let without_clickhouse = start(Config {
        clickhouse_url: format!("http://{closed}/"),
        ..config()
    });
    for path in [
        "/logs/search",
        "/logs/histogram",
        "/traces/search",
        "/traces/x",
        "/audit/search",
        "/audit/filters",
        "/rum/search",
        "/rum/pages",
        "/soc/overview",
    ] {
        let answer = ask(&without_clickhouse, path, &org.viewer).await;
        assert!(answer.headers.contains_key("retry-after"), "{path}");
        assert!(
            answer.body["detail"]
                .as_str()
                .unwrap()
                .contains("ClickHouse"),
            "{path}"
        );
        assert_eq!(answer.problem(503), "dependency_down", "{path}");
    }
    ask(&without_clickhouse, "/alerts", &org.viewer).await.ok();
    let without_postgres = start(Config {
        postgres_url: format!("postgres://x:y@{closed}/millrace"),
        ..config()
    });
    for path in [
        "/whoami",
        "/logs/search",
        "/metrics/names",
        "/alerts",
        "/rules",
    ] {
        let answer = ask(&without_postgres, path, &org.viewer).await;
        assert_eq!(answer.problem(503), "dependency_down", "{path}");
    }
    let without_redis = start(Config {
        redis_url: format!("redis://{closed}"),
        ..config()
    });
    assert_eq!(
        ask(&without_redis, "/ledger/balance", &org.viewer)
            .await
            .problem(503),
        "dependency_down"
    );
    ask(&without_redis, "/logs/search", &org.viewer).await.ok();
    // What cannot be recorded does not happen.
    let id = crate::audit::alert(&org, "X", "open", "high", 1.0).await;
    let path = format!("/api/v1/alerts/{id}/status");
    let change = request(&without_redis, Method::POST, &path, &org.analyst)
        .body(json!({ "status": "acknowledged" }).to_string());
    assert_eq!(send(change).await.problem(503), "dependency_down");
    assert_eq!(
        get(&format!("/alerts/{id}"), &org.viewer, &[]).await.ok()["status"],
        "open"
    );
}

#[tokio::test]
async fn over_a_limit_is_said_so() {
    let org = org().await;
    let rows: Vec<_> = (0..3000)
        .map(|n| {
            row(
                &org,
                f64::from(n) / 100.0,
                json!({ "Body": format!("m{n}") }),
            )
        })
        .collect();
    insert("logs", &rows).await;
    let narrow = start(Config {
        limits: Limits {
            rows_read: 10,
            ..config().limits
        },
        ..config()
    });
    let path = "/logs/search?start=now-4h&text=m1&text_mode=substring";
    assert_eq!(
        ask(&narrow, path, &org.viewer).await.problem(422),
        "unprocessable"
    );
    for (query, code) in [
        ("start=now-200d", "unprocessable"),
        ("start=now&end=now-1h", "unprocessable"),
    ] {
        assert_eq!(
            ask(shared(), &format!("/logs/search?{query}"), &org.viewer)
                .await
                .problem(422),
            code,
            "{query}"
        );
    }
    for query in [
        "limit=1001",
        "limit=0",
        "start=never",
        "order=up",
        "cursor=zzz",
    ] {
        assert_eq!(
            ask(shared(), &format!("/logs/search?{query}"), &org.viewer)
                .await
                .problem(400),
            "bad_parameter",
            "{query}"
        );
    }
    let long = "x".repeat(20_000);
    let body = json!({ "text": long, "text_mode": "substring" });
    assert_eq!(
        post("/logs/search", &org.viewer, &body).await.problem(422),
        "unprocessable"
    );
}

/// One HTTP request as it came: its head and its body.
pub(crate) async fn receive(listener: &tokio::net::TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return (stream, text);
            }
        }
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the request breaks off: {text}");
        bytes.extend_from_slice(&piece[..read]);
    }
}

/// The value of a parameter in the address of a request.
pub(crate) fn parameter(request: &str, name: &str) -> String {
    let path = request.split(' ').nth(1).unwrap();
    let url = url::Url::parse("http://x").unwrap().join(path).unwrap();
    let found = url.query_pairs().find(|(key, _)| key == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {request}"))
        .1
        .into_owned()
}

/// A network that stalls stands between the API and ClickHouse: it shows what the API sends, and
/// the engine then proves that this kills a statement.
#[tokio::test]
async fn a_client_that_goes_takes_its_query_with_it() {
    let org = org().await;
    let stalled = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", stalled.local_addr().unwrap());
    let base = start(Config {
        clickhouse_url: address,
        ..config()
    });
    let search = request(&base, Method::GET, "/api/v1/logs/search", &org.viewer);
    let search = tokio::spawn(search.send());
    let (_held, asked) = receive(&stalled).await;
    let id = parameter(&asked, "query_id");
    search.abort();
    let (_, kill) = tokio::time::timeout(PATIENCE, receive(&stalled))
        .await
        .unwrap();
    assert_eq!(parameter(&kill, "param_id"), id);
    let kill = kill.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert!(kill.contains("KILL QUERY"), "{kill}");

    let engine = url::Url::parse(&config().clickhouse_url).unwrap();
    let with = |pairs: &[(&str, &str)]| {
        let mut url = engine.clone();
        url.query_pairs_mut().extend_pairs(pairs);
        reqwest::Client::new().post(url)
    };
    let slow = with(&[
        ("query_id", &id),
        ("function_sleep_max_microseconds_per_block", "60000000"),
    ]);
    let slow = slow.body("SELECT sleepEachRow(1) FROM numbers(3600) SETTINGS max_block_size = 1");
    let started = Instant::now();
    let slow = tokio::spawn(slow.send());
    let runs = async || {
        let sql = format!("SELECT count() FROM system.processes WHERE query_id = '{id}'");
        with(&[])
            .body(sql)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .trim()
            == "1"
    };
    while !runs().await {
        assert!(started.elapsed() < PATIENCE, "the statement never ran");
    }
    let killed = with(&[("param_id", &id)]).body(kill).send().await.unwrap();
    assert!(
        killed.status().is_success(),
        "{}",
        killed.text().await.unwrap()
    );
    // Not at its end, which is an hour away.
    let ended = slow.await.unwrap().unwrap();
    assert_eq!(ended.headers()["x-clickhouse-exception-code"], "394");
}

#[tokio::test]
async fn a_client_that_goes_takes_its_statement_in_postgres_with_it() {
    let org = org().await;
    let _alone = SOURCES.write().await;
    let mut client = postgres().await;
    let held = client.transaction().await.unwrap();
    held.execute("LOCK TABLE source_health IN ACCESS EXCLUSIVE MODE", &[])
        .await
        .unwrap();
    let sources = request(
        shared(),
        Method::GET,
        "/api/v1/sources?limit=777",
        &org.viewer,
    );
    let sources = tokio::spawn(sources.send());
    let watch = postgres().await;
    let waits = async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM source_health%'
                    AND application_name = 'query-api' AND wait_event_type = 'Lock'";
        watch.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0
    };
    let started = Instant::now();
    while !waits().await {
        assert!(started.elapsed() < PATIENCE, "the statement never waited");
    }
    sources.abort();
    while waits().await {
        assert!(started.elapsed() < PATIENCE, "the statement still waits");
    }
    held.rollback().await.unwrap();
    get("/sources", &org.viewer, &[]).await.ok();
}

#[tokio::test]
async fn the_admin_port_tells_health_and_metrics() {
    let org = org().await;
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = async |config: Config| {
        let listener = bind();
        let admin = format!("http://{}", listener.local_addr().unwrap());
        (start_with(config, Some(listener)), admin)
    };
    let fetch = async |url: String| send(reqwest::Client::new().get(url)).await;
    let (base, well) = admin(config()).await;
    ask(&base, "/whoami", &org.viewer).await.ok();
    ask(&base, "/logs/search", &org.viewer).await.ok();
    assert_eq!(fetch(format!("{well}/healthz")).await.status, 200);
    // A store that answers late is not ready just then, and what an answer counts for comes after it.
    let started = Instant::now();
    while fetch(format!("{well}/readyz")).await.body["ready"] != true {
        assert!(started.elapsed() < PATIENCE, "never ready");
    }
    for line in [
        "millrace_query_requests_total{method=\"GET\",route=\"/api/v1/whoami\",status=\"2xx\"}",
        "millrace_query_request_duration_seconds_bucket{route=\"/api/v1/logs/search\"",
        "millrace_query_rows_read_total",
        "millrace_query_cache_total{cache=\"token\",result=\"hit\"}",
    ] {
        let shown = async || fetch(format!("{well}/metrics")).await.ok();
        while !shown().await.as_str().unwrap().contains(line) {
            assert!(started.elapsed() < PATIENCE, "{line}");
        }
    }
    let (_held, closed) = closed();
    let (_, ill) = admin(Config {
        clickhouse_url: format!("http://{closed}/"),
        ..config()
    })
    .await;
    let answer = fetch(format!("{ill}/readyz")).await;
    assert_eq!((answer.status, &answer.body["ready"]), (503, &json!(false)));
    assert_eq!(answer.body["checks"][0]["name"], "clickhouse");
    assert_eq!(fetch(format!("{ill}/healthz")).await.status, 200);
}

#[tokio::test]
async fn one_organisation_cannot_take_all_slots() {
    let (busy, calm) = (org().await, org().await);
    let base = start(Config {
        concurrency: 1,
        ..config()
    });
    // A lock in PostgreSQL holds the first request for as long as the test wants.
    let id = crate::audit::alert(&busy, "X", "open", "high", 1.0).await;
    let mut client = postgres().await;
    let held = client.transaction().await.unwrap();
    let pid: i32 = held
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    held.execute("SELECT 1 FROM alert WHERE id = $1 FOR UPDATE", &[&id])
        .await
        .unwrap();
    let path = format!("/api/v1/alerts/{id}/status");
    let waiting = request(&base, Method::POST, &path, &busy.analyst)
        .body(json!({ "status": "acknowledged" }).to_string());
    let waiting = tokio::spawn(send(waiting));
    let (started, watch) = (Instant::now(), postgres().await);
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
    while watch
        .query_one(blocked, &[&pid])
        .await
        .unwrap()
        .get::<_, i64>(0)
        == 0
    {
        assert!(started.elapsed() < PATIENCE, "it never waited");
    }
    let refused = ask(&base, "/alerts", &busy.viewer).await;
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(refused.problem(429), "quota_exceeded");
    ask(&base, "/alerts", &calm.viewer).await.ok();
    held.commit().await.unwrap();
    waiting.await.unwrap().ok();
    // Its slot is given back, if not before the last byte of its answer.
    let mut again = ask(&base, "/alerts", &busy.viewer).await;
    while again.status == 429 && started.elapsed() < PATIENCE {
        again = ask(&base, "/alerts", &busy.viewer).await;
    }
    again.ok();
}

#[tokio::test]
async fn a_character_zero_is_a_bad_parameter_wherever_it_stands() {
    let org = org().await;
    for (path, query) in [
        ("/alerts", [("assignee", "\0")]),
        ("/rules/%00", [("limit", "1")]),
        ("/dead-letters", [("reason", "a\0b")]),
        ("/metrics/names", [("contains", "\0")]),
    ] {
        let query = if path.starts_with("/rules/") {
            &query[..0]
        } else {
            &query[..]
        };
        let answer = get(path, &org.admin, query).await;
        assert_eq!(answer.problem(400), "bad_parameter", "{path}");
    }
    let mut rule = json!({ "id": "zero", "name": "a\u{0}b", "severity": "low", "message": "m", "scope": ["logs"],
        "selection": [{ "field": "service", "op": "eq", "value": "x" }] });
    let made = post("/rules", &org.admin, &rule).await;
    assert!(
        matches!(made.status, 400 | 422),
        "{} {}",
        made.status,
        made.body
    );
    rule["name"] = json!("fine");
    assert_eq!(post("/rules", &org.admin, &rule).await.status, 201);
}
