//! One story per signal: from the signed body to what an analyst reads.

use millrace_runtime::clock::now_ns;
use millrace_shared::Signal;
use millrace_shared::time::rfc3339;
use millrace_tests::{Answer, Http, Org, shared};
use serde_json::{Value, json};

const MINUTE_NS: i64 = 60 * 1_000_000_000;

fn minutes_ago(minutes: i64) -> String {
    rfc3339(now_ns() - minutes * MINUTE_NS)
}

#[test]
fn a_log_record_is_found_as_it_was_sent() {
    let org = Org::new("logs");
    let sent_at = minutes_ago(3);
    org.store(Signal::Logs, &json!({
        "logs": [{
            "timestamp": sent_at, "level": "WARN", "message": "payment is slow",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7",
            "attributes": {"http": {"method": "POST", "status": 503}, "tags": ["a", "b"], "cached": false},
        }],
        "resource": {"service_name": "checkout", "host": "web-1", "environment": "test", "region": "north"},
    }));
    let rows = org.search_logs("service=checkout");
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    assert_eq!(
        (&row["message"], &row["level"], &row["severity"]),
        (&json!("payment is slow"), &json!("WARN"), &json!("medium")),
        "{row}"
    );
    assert_eq!(
        (&row["host"], &row["environment"], &row["service"]),
        (&json!("web-1"), &json!("test"), &json!("checkout"))
    );
    assert_eq!(row["attributes"]["http.method"], "POST", "{row}");
    assert_eq!(row["attributes"]["http.status"], "503");
    assert_eq!(row["attributes"]["cached"], "false");
    assert_eq!(row["attributes"]["tags"], r#"["a","b"]"#);
    assert_eq!(row["resource"]["region"], "north");
    assert_eq!(row["key_id"], org.key_id);
    assert!(
        row["timestamp"]
            .as_str()
            .unwrap()
            .starts_with(&sent_at[..19]),
        "{row}"
    );
    for filters in [
        "trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
        "text=payment%20slow",
        "service=checkout&level=warn",
        "attribute=http.method%3DPOST",
    ] {
        assert_eq!(org.count_logs(filters), 1, "{filters}");
    }
    for filters in ["service=other", "text=nothing", "start=now-1m"] {
        assert_eq!(org.count_logs(filters), 0, "{filters}");
    }
}

#[test]
fn a_search_is_paged_by_cursor_without_gaps_or_doubles() {
    let org = Org::new("pages");
    let logs: Vec<Value> = (0..25)
        .map(|n| json!({"service": "pages", "message": format!("n{n}")}))
        .collect();
    org.store(Signal::Logs, &json!({ "logs": logs }));
    let mut seen = Vec::new();
    let mut path = "/api/v1/logs/search?service=pages&limit=10".to_owned();
    loop {
        let page = org.ask(&path).must_be(200).json();
        let items = page["rows"].as_array().unwrap();
        seen.extend(
            items
                .iter()
                .map(|item| item["message"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        assert!(items.len() <= 10 && seen.len() <= 25, "{page}");
        path = format!("/api/v1/logs/search?service=pages&limit=10&cursor={cursor}");
    }
    seen.sort();
    let mut expected: Vec<String> = (0..25).map(|n| format!("n{n}")).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn a_metric_is_found_by_name_and_label_and_aggregated() {
    let org = Org::new("metrics");
    let at = |minutes| minutes_ago(minutes);
    let sample = |minutes, value: f64, route: &str| {
        json!({"timestamp": at(minutes), "name": "queue.depth", "value": value, "type": "gauge",
               "labels": {"route": route}, "unit": "items"})
    };
    org.store(
        Signal::Metrics,
        &json!({
            "metrics": [sample(4, 2.0, "a"), sample(3, 4.0, "a"), sample(4, 10.0, "b")],
            "resource": {"service_name": "queues"},
        }),
    );
    let names = org.ask("/api/v1/metrics/names").must_be(200).text();
    assert!(names.contains("queue.depth"), "{names}");
    let values = org
        .ask("/api/v1/metrics/label/route/values")
        .must_be(200)
        .json();
    assert_eq!(values["items"], json!(["a", "b"]), "{values}");
    for (aggregation, expected) in [
        ("avg", 3.0),
        ("sum", 6.0),
        ("min", 2.0),
        ("max", 4.0),
        ("count", 2.0),
    ] {
        let path = format!(
            "/api/v1/metrics/query?name=queue.depth&match=route%3D%22a%22&agg={aggregation}&step=1h&start=now-30m"
        );
        let answer = org.ask(&path).must_be(200).json();
        let points: Vec<f64> = points(&answer);
        let total: f64 = match aggregation {
            "sum" | "count" => points.iter().sum(),
            "max" => points.iter().copied().fold(f64::MIN, f64::max),
            "min" => points.iter().copied().fold(f64::MAX, f64::min),
            // A step boundary may fall between the two samples.
            _ => points.iter().sum::<f64>() / points.len() as f64,
        };
        assert!((total - expected).abs() < 1e-9, "{aggregation}: {answer}");
    }
}

/// The values of all points of a metric answer.
pub(crate) fn points(answer: &Value) -> Vec<f64> {
    let lines = answer["lines"]
        .as_array()
        .unwrap_or_else(|| panic!("no lines in {answer}"));
    let points = lines
        .iter()
        .flat_map(|line| line["points"].as_array().unwrap());
    points.map(|point| point[1].as_f64().unwrap()).collect()
}

#[test]
fn a_trace_is_found_and_drawn_by_the_wall_clock() {
    let org = Org::new("traces");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let start = now_ns() - 5 * MINUTE_NS;
    let span = |id: &str, parent: &str, name: &str, from_ms: i64, to_ms: i64| {
        json!({"trace_id": trace, "span_id": id, "parent_span_id": parent, "name": name, "kind": "server",
               "start_time": start + from_ms * 1_000_000, "end_time": start + to_ms * 1_000_000,
               "status": if name == "charge" { "error" } else { "ok" }})
    };
    let mut root = span("b7ad6b7169203331", "", "GET /cart", 0, 100);
    root.as_object_mut().unwrap().remove("parent_span_id");
    // Two children at once, and one that outlives its parent: neither their sum nor the root's own
    // time is the time that passed.
    let spans = [
        root,
        span("b7ad6b7169203332", "b7ad6b7169203331", "load", 10, 90),
        span("b7ad6b7169203333", "b7ad6b7169203331", "charge", 20, 80),
        span("b7ad6b7169203334", "b7ad6b7169203331", "late", 95, 150),
    ];
    org.store(
        Signal::Traces,
        &json!({"traces": spans, "resource": {"service_name": "cart"}}),
    );
    let answer = org
        .ask("/api/v1/traces/search?service=cart")
        .must_be(200)
        .json();
    let found = answer["traces"].as_array().unwrap();
    assert!(
        found.iter().any(|row| row["trace_id"] == trace),
        "{found:?}"
    );
    let answer = org
        .ask(&format!("/api/v1/traces/{trace}"))
        .must_be(200)
        .json();
    assert_eq!(answer["duration_ns"], 150 * 1_000_000, "{answer}");
    assert_eq!(
        (&answer["span_count"], &answer["error_count"]),
        (&json!(4), &json!(1))
    );
    let spans = answer["spans"].as_array().unwrap();
    assert_eq!(
        (&spans[0]["name"], &spans[0]["depth"]),
        (&json!("GET /cart"), &json!(0))
    );
    assert!(spans[1..].iter().all(|span| span["depth"] == 1), "{answer}");
}

fn pageview(session: &str) -> Value {
    json!({"events": [{
        "session_id": session, "event_type": "pageview", "page_url": "https://shop.example/cart?step=2",
        "performance": {"lcp": 1200.5, "cls": 0.02},
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    }]})
}

const ORIGIN: &str = "https://shop.example";

/// Makes a public key for [`ORIGIN`].
fn public_key(org: &Org) -> String {
    let arguments = [
        "keys",
        "create",
        "--org",
        &org.name,
        "--kind",
        "public",
        "--origins",
        ORIGIN,
    ];
    let made = shared().installation.admin(&arguments);
    made["key_id"].as_str().unwrap().to_owned()
}

/// Posts as a browser does.
fn as_browser(org: &Org, signal: Signal, key: &str, origin: &str, body: &Value) -> Answer {
    let headers = [
        ("x-org-key", key),
        ("origin", origin),
        ("content-type", "application/json"),
    ];
    Http::new()
        .post(&org.endpoint(signal), &headers, body.to_string().as_bytes())
        .unwrap()
}

#[test]
fn a_browser_event_is_found_signed_or_unsigned() {
    let org = Org::new("rum");
    org.store(Signal::Rum, &pageview("signed"));
    let key = public_key(&org);
    let answer = as_browser(&org, Signal::Rum, &key, ORIGIN, &pageview("unsigned")).must_be(202);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    org.committed(&answer.json());
    for (session, untrusted) in [("signed", false), ("unsigned", true)] {
        let rows = org.rows(&format!("/api/v1/rum/search?session_id={session}"));
        assert_eq!(rows.len(), 1, "{rows:?}");
        let row = &rows[0];
        assert_eq!(
            (&row["untrusted"], &row["page"]),
            (&json!(untrusted), &json!("/cart")),
            "{row}"
        );
        assert_eq!(
            (&row["browser"], &row["lcp"]),
            (&json!("Firefox"), &json!(1200.5)),
            "{row}"
        );
    }
    let pages = org.ask("/api/v1/rum/pages").must_be(200).json();
    let page = &pages["pages"][0];
    assert_eq!(
        (&page["page"], &page["pageviews"]),
        (&json!("/cart"), &json!(2)),
        "{pages}"
    );
}

#[test]
fn a_public_key_is_for_browser_events_of_its_origins_only() {
    let org = Org::new("public");
    let key = public_key(&org);
    let elsewhere = "https://evil.example";
    let refused = as_browser(&org, Signal::Rum, &key, elsewhere, &pageview("evil")).must_be(403);
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let logs = json!({"logs": [{"service": "s", "message": "m"}]});
    let refused = as_browser(&org, Signal::Logs, &key, ORIGIN, &logs);
    assert!([401, 403].contains(&refused.status), "{}", refused.text());
    // `navigator.sendBeacon` sets no headers: the key is in the query, the type is text.
    let url = format!("{}?key={key}", org.endpoint(Signal::Rum));
    let body = pageview("beacon").to_string();
    let headers = [
        ("origin", ORIGIN),
        ("content-type", "text/plain;charset=UTF-8"),
    ];
    let beacon = Http::new()
        .post(&url, &headers, body.as_bytes())
        .unwrap()
        .must_be(202);
    org.committed(&beacon.json());
    assert_eq!(org.rows("/api/v1/rum/search?session_id=beacon").len(), 1);
}

#[test]
fn an_audit_event_is_found_and_counted_in_the_overview() {
    let org = Org::new("audit");
    org.store(Signal::Audit, &json!({"events": [
        {"event_type": "USER_MANAGEMENT", "action": "delete_user", "outcome": "SUCCESS", "service": "Directory",
         "actor": {"id": "u-1", "type": "user"}, "targets": [{"id": "u-2", "type": "user"}],
         "ip": "192.0.2.10", "metadata": {"reason": "left"}},
        {"event_type": "AUTHENTICATION", "action": "login", "outcome": "SUCCESS", "actor": {"id": "u-1"}},
    ]}));
    let rows = org.rows("/api/v1/audit/search?event_type=USER_MANAGEMENT");
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    // Deleting is privileged: the table of severities says high.
    assert_eq!(
        (&row["severity"], &row["outcome"]),
        (&json!("high"), &json!("SUCCESS")),
        "{row}"
    );
    assert_eq!(
        (&row["actor_id"], &row["target_ids"]),
        (&json!("u-1"), &json!(["u-2"]))
    );
    assert_eq!(
        (&row["client_ip"], &row["metadata"]["reason"]),
        (&json!("192.0.2.10"), &json!("left")),
        "{row}"
    );
    let login = org.rows("/api/v1/audit/search?event_type=AUTHENTICATION&actor=u-1");
    assert_eq!(
        (login.len(), &login[0]["severity"]),
        (1, &json!("info")),
        "{login:?}"
    );
    let overview = org.ask("/api/v1/soc/overview").must_be(200).json();
    for kind in ["AUTHENTICATION", "USER_MANAGEMENT"] {
        let counted = overview["events_by_type"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["value"] == kind);
        assert_eq!(
            counted.map(|one| &one["count"]),
            Some(&json!(1)),
            "{kind}: {overview}"
        );
    }
}

#[test]
fn usage_sources_and_balance_are_exact() {
    let org = Org::new("usage");
    let answer = org.send(Signal::Logs, &json!({"logs": [
        {"service": "one", "message": "a"}, {"service": "two", "message": "b"}, {"service": "two"},
    ]}));
    org.committed(&answer);
    let usage = org.ask_as("admin", "/api/v1/usage").must_be(200).json();
    let day = usage["days"]
        .as_array()
        .unwrap()
        .iter()
        .find(|day| day["signal"] == "logs")
        .unwrap()
        .clone();
    assert_eq!(
        (&day["stored"], &day["rejected"], &day["batches"]),
        (&json!(2), &json!(1), &json!(1)),
        "{usage}"
    );
    let sources = org.ask_as("admin", "/api/v1/sources").must_be(200).text();
    assert!(
        sources.contains("\"one\"") && sources.contains("\"two\""),
        "{sources}"
    );
    let balance = org
        .ask_as("admin", "/api/v1/ledger/balance")
        .must_be(200)
        .json();
    let logs = balance["signals"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["signal"] == "logs")
        .unwrap()
        .clone();
    assert_eq!(
        (
            &logs["received"],
            &logs["stored"],
            &logs["rejected"],
            &logs["pending"],
            &logs["balanced"]
        ),
        (&json!(3), &json!(2), &json!(1), &json!(0), &json!(true)),
        "{balance}"
    );
}
