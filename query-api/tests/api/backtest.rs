//! Back-tests: what they count, where they are cut off, what they refuse, and that they end with
//! their client.

use crate::limits::{parameter, receive};
use crate::world::*;
use query_api::Config;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Log records a second apart; every third is an error of one of two hosts.
async fn logs(org: &Org, count: u32) {
    let rows: Vec<Value> = (0..count)
        .map(|n| {
            let level = if n % 3 == 0 { "error" } else { "info" };
            let more = json!({ "SeverityText": level, "Body": format!("m{n}"),
                "Host": if n % 2 == 0 { "a" } else { "b" }, "LogAttributes": { "n": n.to_string() } });
            row(org, f64::from(n), more)
        })
        .collect();
    insert("logs", &rows).await;
}

fn rule(more: Value) -> Value {
    let mut rule = json!({ "id": "errors", "name": "Errors", "severity": "high", "message": "errors of {host}",
        "scope": ["logs"], "selection": [{ "field": "level", "op": "eq", "value": "error" }] });
    let members = rule.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    rule
}

fn over(more: Value) -> Value {
    let mut over = json!({ "start": at(0.0), "end": at(3600.0) });
    let members = over.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    over
}

/// Has a back-test run; tests beside this one take the process's places.
async fn run(org: &Org, path: &str, body: &Value) -> Answer {
    let started = Instant::now();
    loop {
        let answer = post(path, &org.analyst, body).await;
        if answer.status != 429 || started.elapsed() > PATIENCE {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ask(org: &Org, rule: Value, over: Value) -> Answer {
    run(
        org,
        "/rules/backtest",
        &json!({ "rule": rule, "over": over }),
    )
    .await
}

#[tokio::test]
async fn matches_are_counted_by_time_and_alerts_told() {
    let org = org().await;
    // More than one page of rows.
    logs(&org, 2_500).await;
    let window = json!({ "window": { "kind": "count", "seconds": 60, "threshold": 5 }, "group_by": ["host"] });
    let done = ask(&org, rule(window), over(json!({ "step": "10m" })))
        .await
        .ok();
    assert_eq!(
        (
            &done["rows_scanned"],
            &done["rows_in_range"],
            &done["matches"]
        ),
        (&json!(2500), &json!(2500), &json!(834)),
        "{done}"
    );
    assert_eq!(done["cut_off"], Value::Null);
    let bars = done["bars"].as_array().unwrap();
    assert_eq!(bars.len(), 6);
    assert_eq!(
        (&bars[0]["rows"], &bars[0]["matches"]),
        (&json!(600), &json!(200))
    );
    assert_eq!(
        (&bars[5]["rows"], &bars[5]["matches"]),
        (&json!(0), &json!(0))
    );
    let alerts = done["alerts"].as_array().unwrap();
    assert_eq!(done["alerts_raised"], 2);
    for (alert, host, count) in [(&alerts[0], "a", 417), (&alerts[1], "b", 417)] {
        assert_eq!(
            (&alert["group"]["host"], &alert["count"]),
            (&json!(host), &json!(count)),
            "{alert}"
        );
        assert_eq!(alert["message"], format!("errors of {host}"));
        assert_eq!(alert["event_ids"].as_array().unwrap().len(), 20);
    }
    assert_eq!(alerts[0]["first_seen"], at(0.0));
    // The same for a rule that is there.
    post("/rules", &org.admin, &rule(json!({}))).await.ok();
    let present = run(&org, "/rules/errors/backtest", &over(json!({})))
        .await
        .ok();
    assert_eq!(
        (&present["rule_id"], &present["matches"]),
        (&json!("errors"), &json!(834))
    );
    let none = run(&org, "/rules/nothing/backtest", &over(json!({}))).await;
    assert_eq!(none.problem(404), "not_found");
}

#[tokio::test]
async fn it_is_cut_off_at_its_limit_and_says_so() {
    let org = org().await;
    logs(&org, 300).await;
    let done = ask(&org, rule(json!({})), over(json!({ "rows_max": 100 })))
        .await
        .ok();
    assert_eq!(
        (&done["rows_scanned"], &done["matches"]),
        (&json!(100), &json!(34))
    );
    assert_eq!(done["cut_off"]["reason"], "rows", "{done}");
    assert_eq!(done["cut_off"]["until"], at(99.0));
    let whole = ask(&org, rule(json!({})), over(json!({ "rows_max": 300 })))
        .await
        .ok();
    assert_eq!(
        (&whole["rows_scanned"], &whole["cut_off"]),
        (&json!(300), &Value::Null)
    );
}

#[tokio::test]
async fn progress_is_told_line_by_line() {
    let org = org().await;
    logs(&org, 200).await;
    let body = json!({ "rule": rule(json!({})), "over": over(json!({})) });
    let base = start(config());
    let ask = request(&base, Method::POST, "/api/v1/rules/backtest", &org.analyst)
        .header("accept", "application/x-ndjson")
        .body(body.to_string());
    let answer = ask.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let text = answer.text().await.unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["progress"]["rows_in_range"], 200, "{text}");
    let result = &lines.last().unwrap()["result"];
    assert_eq!(
        (&result["matches"], &result["rows_scanned"]),
        (&json!(67), &json!(200))
    );
}

#[tokio::test]
async fn what_rows_cannot_answer_is_refused_with_the_reason() {
    let org = org().await;
    for (more, reason) in [
        (json!({ "scope": ["metrics"] }), "metrics"),
        (
            json!({ "selection": [{ "field": "a", "op": "present", "value": true }] }),
            "null",
        ),
        (
            json!({ "selection": [{ "field": "message", "op": "contains", "value": "eve@example.com" }] }),
            "scrubbed",
        ),
        (json!({ "group_by": ["attributes.password"] }), "scrubbed"),
    ] {
        let answer = ask(&org, rule(more.clone()), over(json!({}))).await;
        let detail = answer.body["detail"].as_str().unwrap().to_owned();
        assert_eq!(answer.problem(400), "bad_parameter", "{more}");
        assert!(detail.contains(reason), "{detail}");
    }
    let viewer = post(
        "/rules/backtest",
        &org.viewer,
        &json!({ "rule": rule(json!({})) }),
    )
    .await;
    assert_eq!(viewer.problem(403), "forbidden");
    let none = ask(&org, json!({ "id": "x" }), over(json!({}))).await;
    assert_eq!(none.problem(422), "unprocessable");
    let long = ask(&org, rule(json!({})), json!({ "start": "now-1000d" })).await;
    assert_eq!(long.problem(422), "unprocessable");
}

#[tokio::test]
async fn what_was_scrubbed_in_a_compared_field_is_told() {
    let org = org().await;
    let body = |text: &str, classes: Value| json!({ "Body": text, "PiiClasses": classes });
    let rows = [
        row(&org, 1.0, body("mail of [EMAIL] bounced", json!(["email"]))),
        row(&org, 2.0, body("nothing of note", json!(["email"]))),
        row(&org, 3.0, body("mail of nobody bounced", json!([]))),
    ];
    insert("logs", &rows).await;
    let bounced =
        json!({ "selection": [{ "field": "message", "op": "ends_with", "value": "bounced" }] });
    let done = ask(&org, rule(bounced), over(json!({}))).await.ok();
    assert_eq!(
        (&done["matches"], &done["scrubbed_rows"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(done["scrubbed_fields"], json!(["message"]));
}

#[tokio::test]
async fn one_runs_at_a_time_and_ends_with_its_client() {
    let org = org().await;
    let stalled = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", stalled.local_addr().unwrap());
    let base = start(Config {
        clickhouse_url: address,
        ..config()
    });
    let body = json!({ "rule": rule(json!({})), "over": over(json!({})) });
    let ask = || {
        request(&base, Method::POST, "/api/v1/rules/backtest", &org.analyst).body(body.to_string())
    };
    let first = tokio::spawn(ask().send());
    let (_held, asked) = receive(&stalled).await;
    let id = parameter(&asked, "query_id");
    let second = send(ask()).await;
    assert!(second.headers.contains_key("retry-after"));
    assert_eq!(second.problem(429), "quota_exceeded");
    first.abort();
    let kill = tokio::time::timeout(PATIENCE, receive(&stalled));
    let (_, kill) = kill.await.unwrap();
    assert_eq!(parameter(&kill, "param_id"), id);
    // Its place is given back, and the next one asks; nobody answers it.
    let third = async { while send(ask()).await.status == 429 {} };
    let again = async {
        tokio::select! {
            () = third => panic!("it was answered"),
            again = receive(&stalled) => again,
        }
    };
    let (_, again) = tokio::time::timeout(PATIENCE, again).await.unwrap();
    assert!(again.contains("count()"), "{again}");
}
