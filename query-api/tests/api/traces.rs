//! Traces: search and waterfall.

use crate::world::*;
use serde_json::{Value, json};
use uuid::Uuid;

struct Span<'a>(&'a str, &'a str, f64, u64, &'a str);

fn spans(org: &Org, trace: &str, list: &[Span<'_>]) -> Vec<Value> {
    let span = |Span(id, parent, start, millis, status): &Span<'_>| {
        row(
            org,
            *start,
            json!({
                "TraceId": trace, "SpanId": id, "ParentSpanId": parent, "SpanName": format!("op-{id}"),
                "SpanKind": "server", "Duration": millis * 1_000_000, "StatusCode": status,
                "SpanAttributes": { "http.route": format!("/{id}") },
                "Events.Timestamp": [at(*start)], "Events.Name": ["started"],
                "Events.Attributes": [{ "k": "v" }],
            }),
        )
    };
    list.iter().map(span).collect()
}

fn trace_id() -> String {
    Uuid::new_v4().simple().to_string()
}

#[tokio::test]
async fn the_waterfall_has_the_wall_clock_the_errors_and_the_orphans() {
    let (ours, theirs) = (org().await, org().await);
    let trace = trace_id();
    // The root ends after 100 ms; its asynchronous child ends at 950 ms; one parent is lost.
    let rows = spans(
        &ours,
        &trace,
        &[
            Span("root", "", 10.0, 100, "ok"),
            Span("child", "root", 10.05, 900, "error"),
            Span("lost-child", "gone", 10.01, 20, "unset"),
        ],
    );
    insert("spans", &rows).await;
    insert(
        "spans",
        &spans(
            &theirs,
            &trace,
            &[Span("foreign", "", 0.0, 60_000, "error")],
        ),
    )
    .await;
    let trace = get(&format!("/traces/{trace}"), &ours.viewer, &[])
        .await
        .ok();
    assert_eq!(trace["duration_ns"], 950_000_000);
    assert_eq!(
        (&trace["span_count"], &trace["error_count"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(trace["orphan_count"], 1);
    assert_eq!(
        texts(&trace["spans"], "span_id"),
        ["root", "child", "lost-child"]
    );
    assert_eq!(texts(&trace["spans"], "depth"), ["0", "1", "0"]);
    assert_eq!(trace["spans"][2]["orphan"], true);
    assert_eq!(trace["spans"][0]["events"][0]["name"], "started");
    assert_eq!(texts(&trace["critical_path"], "span_id"), ["root", "child"]);
    let unknown = format!("/traces/{}", trace_id());
    assert_eq!(
        get(&unknown, &ours.viewer, &[]).await.problem(404),
        "not_found"
    );
}

#[tokio::test]
async fn traces_are_found_by_their_spans_and_paged() {
    let (ours, theirs) = (org().await, org().await);
    let ids: Vec<_> = (0..5).map(|_| trace_id()).collect();
    for (n, id) in ids.iter().enumerate() {
        let start = n as f64;
        let list = [
            Span("a", "", start, 10, "ok"),
            Span("b", "a", start + 0.001, 50 * (n as u64 + 1), "error"),
        ];
        insert("spans", &spans(&ours, id, &list)).await;
    }
    insert(
        "spans",
        &spans(&theirs, &trace_id(), &[Span("a", "", 1.0, 10, "ok")]),
    )
    .await;
    let search = async |query: &[(&str, &str)]| {
        let query = [&range()[..], query].concat();
        get("/traces/search", &ours.viewer, &query).await.ok()
    };
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(
        texts(&search(&[]).await["traces"], "trace_id"),
        newest_first
    );
    let slow = search(&[
        ("min_duration_ms", "200"),
        ("status", "error"),
        ("operation", "op-b"),
    ])
    .await;
    assert_eq!(texts(&slow["traces"], "trace_id"), &newest_first[..2]);
    let misspelt = get("/traces/search", &ours.viewer, &[("status", "eror")]).await;
    let detail = misspelt.body["detail"].as_str().unwrap().to_owned();
    assert_eq!(misspelt.problem(400), "bad_parameter");
    assert_eq!(detail, "status knows only ok, error, unset");
    let one = search(&[("attribute", "http.route=/b"), ("max_duration_ms", "50")]).await;
    let one = &one["traces"][0];
    assert_eq!(
        (&one["root_name"], &one["span_count"]),
        (&json!("op-a"), &json!(2))
    );
    assert_eq!(
        (&one["duration_ns"], &one["error_count"]),
        (&json!(51_000_000), &json!(1))
    );
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = match &cursor {
            None => search(&[("limit", "2")]).await,
            Some(cursor) => search(&[("limit", "2"), ("cursor", cursor)]).await,
        };
        seen.extend(texts(&page["traces"], "trace_id"));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, newest_first);
}
