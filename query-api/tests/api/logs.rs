//! Logs: filters, text, paging, histogram.

use crate::world::*;
use serde_json::{Value, json};

fn log(org: &Org, seconds: f64, message: &str, more: Value) -> Value {
    let mut row = row(
        org,
        seconds,
        json!({ "Body": message, "SeverityText": "info", "Severity": "info", "SeverityNumber": 9 }),
    );
    row.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    row
}

async fn search(org: &Org, query: &[(&str, &str)]) -> Value {
    let query = [&range()[..], query].concat();
    get("/logs/search", &org.viewer, &query).await.ok()
}

async fn messages(org: &Org, query: &[(&str, &str)]) -> Vec<String> {
    texts(&search(org, query).await["rows"], "message")
}

#[tokio::test]
async fn every_filter_narrows() {
    let (ours, theirs) = (org().await, org().await);
    let id = uuid::Uuid::new_v4();
    insert(
        "logs",
        &[
            log(
                &ours,
                1.0,
                "Connection timeout to db-7",
                json!({ "ServiceName": "pay", "TraceId": "ab12" }),
            ),
            log(
                &ours,
                2.0,
                "user signed in",
                json!({
                "LogAttributes": { "http.status": "200", "q'uote\\": "v'a\\l\nue" },
                "ResourceAttributes": { "zone": "b" }, "Host": "h1", "EventId": id }),
            ),
            log(
                &ours,
                3.0,
                "disk full",
                json!({
                "SeverityText": "ERROR", "Severity": "high", "Observables": ["10.1.2.3"],
                "RuleMatches": ["disk-rule"] }),
            ),
            log(
                &theirs,
                4.0,
                "Connection timeout elsewhere",
                json!({ "ServiceName": "pay" }),
            ),
        ],
    )
    .await;
    let event_id = id.to_string();
    for (query, expected) in [
        (
            vec![],
            vec!["disk full", "user signed in", "Connection timeout to db-7"],
        ),
        (vec![("service", "pay")], vec!["Connection timeout to db-7"]),
        (
            vec![("service", "pay,none")],
            vec!["Connection timeout to db-7"],
        ),
        (
            vec![("severity", "HIGH"), ("severity", "critical")],
            vec!["disk full"],
        ),
        (vec![("level", "ERROR")], vec!["disk full"]),
        (
            vec![("trace_id", "AB12")],
            vec!["Connection timeout to db-7"],
        ),
        (
            vec![("attribute", "http.status=200")],
            vec!["user signed in"],
        ),
        (vec![("attribute", "http.status=500")], vec![]),
        (
            vec![("attribute", "q'uote\\=v'a\\l\nue")],
            vec!["user signed in"],
        ),
        (
            vec![("attribute", "resource.zone=b")],
            vec!["user signed in"],
        ),
        (vec![("host", "h1")], vec!["user signed in"]),
        (
            vec![("event_id", event_id.as_str())],
            vec!["user signed in"],
        ),
        (vec![("observable", "10.1.2.3")], vec!["disk full"]),
        (vec![("rule", "disk-rule")], vec!["disk full"]),
        (
            vec![("text", "TIMEOUT connection")],
            vec!["Connection timeout to db-7"],
        ),
        (vec![("text", "timeo")], vec!["Connection timeout to db-7"]),
        (vec![("text", "timeo"), ("text_mode", "words")], vec![]),
        (
            vec![("text", "signed IN"), ("text_mode", "substring")],
            vec!["user signed in"],
        ),
        (vec![("text", "' OR 1=1 --")], vec![]),
        (
            vec![("order", "asc"), ("limit", "1")],
            vec!["Connection timeout to db-7"],
        ),
    ] {
        assert_eq!(messages(&ours, &query).await, expected, "{query:?}");
    }
    let body = json!({ "start": "now-4h", "attribute": { "http.status": 200 }, "limit": 5 });
    let posted = post("/logs/search", &ours.viewer, &body).await.ok();
    assert_eq!(posted["rows"][0]["message"], "user signed in");
    assert_eq!(posted["rows"][0]["attributes"]["q'uote\\"], "v'a\\l\nue");
    assert_eq!(posted["rows"][0]["timestamp"], at(2.0));
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_rows_arrive() {
    let org = org().await;
    // Many rows of one instant: only the id tells them apart.
    let rows: Vec<_> = (0..50)
        .map(|n| log(&org, f64::from(n / 20), &format!("m{n}"), json!({})))
        .collect();
    insert("logs", &rows).await;
    for order in ["desc", "asc"] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let mut query = vec![("limit", "7"), ("text", "m"), ("text_mode", "substring")];
            match cursor.as_str() {
                "" => query.push(("order", order)),
                cursor => query.push(("cursor", cursor)),
            }
            let page = search(&org, &query).await;
            seen.extend(texts(&page["rows"], "message"));
            pages += 1;
            // Newer and older rows, and one of the very same instant.
            let late = |at| log(&org, at, "x", json!({}));
            insert("logs", &[late(-5.0), late(0.0), late(9.0)]).await;
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!((seen.len(), pages), (50, 8), "{order}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 50, "{order}");
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_filters() {
    let org = org().await;
    insert(
        "logs",
        &[
            log(&org, 1.0, "a", json!({})),
            log(&org, 2.0, "b", json!({})),
        ],
    )
    .await;
    let first = search(&org, &[("limit", "1")]).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(
        messages(&org, &[("limit", "1"), ("cursor", cursor)]).await,
        ["a"]
    );
    let other = [("cursor", cursor), ("service", "api"), ("start", "now-4h")];
    assert_eq!(
        get("/logs/search", &org.viewer, &other).await.problem(400),
        "bad_parameter"
    );
}

#[tokio::test]
async fn the_histogram_counts_by_severity_and_shows_empty_bars() {
    let org = org().await;
    insert(
        "logs",
        &[
            log(&org, 0.0, "a", json!({})),
            log(&org, 59.0, "b", json!({ "Severity": "high" })),
            log(&org, 180.0, "c", json!({})),
        ],
    )
    .await;
    let (start, end) = (at(0.0), at(240.0));
    let query = [
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("step", "1m"),
    ];
    let answer = get("/logs/histogram", &org.viewer, &query).await.ok();
    assert_eq!(answer["total"], 3);
    assert_eq!(texts(&answer["bars"], "count"), ["2", "0", "0", "1"]);
    assert_eq!(
        answer["bars"][0]["by_severity"],
        json!({ "info": 1, "high": 1 })
    );
    assert_eq!(answer["bars"][3]["start"], at(180.0));
}
