//! Sigma: rules taken in through the API, once and again, and what they cover.

use crate::alerts::trail;
use crate::world::*;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;

const ID: &str = "8d8f2f0e-7d2c-4d0a-9c53-2e5cf6a4c101";
/// A rule, and one that cannot be taken in.
const SIGMA: &str = "
title: Login failed
id: 8d8f2f0e-7d2c-4d0a-9c53-2e5cf6a4c101
tags: [attack.credential-access, attack.t1110]
logsource: {product: millrace, service: audit}
detection:
    selection: {event_type: AUTHENTICATION, outcome: failure}
    condition: selection
level: high
---
title: Unbound
logsource: {product: millrace, service: audit}
detection:
    selection: {actor.name|expand: '%Administrators%'}
    condition: selection
";

async fn import(token: &str, query: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    let path = with("/rules/import/sigma", query);
    send(request(shared(), Method::POST, &path, token).body(body)).await
}

fn counts(answer: &Value) -> [u64; 4] {
    ["created", "updated", "unchanged", "refused"].map(|name| answer[name].as_u64().unwrap())
}

#[tokio::test]
async fn rules_are_taken_in_or_refused_with_the_reason() {
    let org = org().await;
    let forbidden = import(&org.analyst, &[], SIGMA).await;
    assert_eq!(forbidden.problem(403), "forbidden");
    let dry = import(&org.admin, &[("dry_run", "true")], SIGMA).await.ok();
    assert_eq!(
        (counts(&dry), &dry["dry_run"]),
        ([1, 0, 0, 1], &json!(true))
    );
    let path = format!("/rules/{ID}");
    assert_eq!(get(&path, &org.admin, &[]).await.status, 404);
    let made = import(&org.admin, &[], SIGMA).await.ok();
    assert_eq!(
        (counts(&made), &made["dry_run"]),
        ([1, 0, 0, 1], &json!(false))
    );
    let [refused, taken] = made["results"].as_array().unwrap().as_slice() else {
        panic!("{made}");
    };
    assert_eq!(
        (&refused["outcome"], &refused["title"], &refused["path"]),
        (
            &json!("refused"),
            &json!("Unbound"),
            &json!("detection.selection.actor.name|expand")
        )
    );
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("%Administrators%"), "{reason}");
    assert_eq!(
        (
            &taken["outcome"],
            &taken["id"],
            &taken["version"],
            &taken["file"]
        ),
        (&json!("created"), &json!(ID), &json!(1), &json!("body"))
    );
    let event = json!({ "event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE" });
    let tried = json!({ "rule_id": ID, "events": [event] });
    let tried = post("/rules/test", &org.admin, &tried).await.ok();
    assert_eq!(tried["matched"], json!([0]));
    // Bound, the other one is taken in too.
    let bound = [
        ("bind", "Administrators=adm_*"),
        ("bind", "%Administrators%=root"),
    ];
    let bound = import(&org.admin, &bound, SIGMA).await.ok();
    assert_eq!(counts(&bound), [1, 0, 1, 0]);
    let rule = get("/rules/unbound", &org.viewer, &[]).await.ok();
    let selection = rule["rule"]["selection"].to_string();
    assert!(
        selection.contains("adm_") && selection.contains("root"),
        "{selection}"
    );
    let actions = trail(&org).await;
    let made: Vec<&Value> = actions
        .iter()
        .map(|event| &event["metadata"]["created"])
        .collect();
    assert_eq!(made, [&json!(1), &json!(1)], "{actions:?}");
    let mut targets: Vec<&Value> = actions
        .iter()
        .map(|event| &event["targets"][0]["id"])
        .collect();
    targets.sort_by_key(|id| id.to_string());
    assert_eq!(targets, [ID, "unbound"]);
}

#[tokio::test]
async fn what_the_organisation_made_of_a_rule_survives_the_next_import() {
    let org = org().await;
    import(&org.admin, &[("disabled", "true")], SIGMA)
        .await
        .ok();
    let path = format!("/rules/{ID}");
    let rule = async || get(&path, &org.viewer, &[]).await.ok();
    assert_eq!(rule().await["enabled"], false);
    let mut tuned = rule().await["rule"].clone();
    tuned["enabled"] = true.into();
    tuned["exceptions"] = json!([{ "reason": "a test account",
        "selection": { "field": "actor.id", "op": "eq", "value": "probe" } }]);
    write(Method::PUT, &path, &org.admin, &tuned).await.ok();
    let same = import(&org.admin, &[], SIGMA).await.ok();
    assert_eq!(counts(&same), [0, 0, 1, 1]);
    let newer = SIGMA.replace("level: high", "level: critical");
    let dry = import(&org.admin, &[("dry_run", "true")], newer.clone())
        .await
        .ok();
    assert_eq!(counts(&dry), [0, 1, 0, 1]);
    assert_eq!(rule().await["version"], 2);
    let again = import(&org.admin, &[("disabled", "true")], newer)
        .await
        .ok();
    assert_eq!(counts(&again), [0, 1, 0, 1]);
    let now = rule().await;
    assert_eq!(
        (
            &now["version"],
            &now["enabled"],
            &now["rule"]["version"],
            &now["rule"]["severity"]
        ),
        (&json!(3), &json!(true), &json!(3), &json!("critical"))
    );
    assert_eq!(now["rule"]["exceptions"][0]["reason"], "a test account");
    // Every version was current for one stretch of revisions, and they follow one another.
    let sql = "SELECT from_revision, until_revision FROM rule WHERE org_id = $1 ORDER BY version";
    let rows = postgres().await.query(sql, &[&org.id]).await.unwrap();
    let spans: Vec<(i64, Option<i64>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(spans.len(), 3);
    for pair in spans.windows(2) {
        assert_eq!(pair[0].1, Some(pair[1].0), "{spans:?}");
    }
    // A rule of one's own with that id stays.
    let mut own = now["rule"].clone();
    own["origin"] = Value::Null;
    write(Method::PUT, &path, &org.admin, &own).await.ok();
    let kept = import(&org.admin, &[], SIGMA).await.ok();
    assert_eq!(counts(&kept), [0, 0, 0, 2]);
    assert_eq!(rule().await["version"], 4);
}

#[tokio::test]
async fn what_is_no_import_is_refused_in_words() {
    let org = org().await;
    let large = vec![b'#'; 16 * 1024 * 1024 + 1];
    let empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    for (query, body, status, code, word) in [
        ("", Vec::new(), 422, "unprocessable", "no rule"),
        ("", b"# nothing\n".to_vec(), 422, "unprocessable", "no rule"),
        ("", empty, 422, "unprocessable", "yml"),
        (
            "",
            b"PK\x03\x04 and no more".to_vec(),
            422,
            "unprocessable",
            "cut off",
        ),
        ("", vec![0xFF, 0xFE], 422, "unprocessable", "UTF-8"),
        ("", large, 413, "too_large", "16777216"),
        ("dryrun=true", Vec::new(), 400, "bad_parameter", "dryrun"),
        (
            "dry_run=yes",
            Vec::new(),
            400,
            "bad_parameter",
            "true or false",
        ),
        (
            "bind=Administrators",
            Vec::new(),
            400,
            "bad_parameter",
            "NAME=VALUE",
        ),
    ] {
        let path = format!("/api/v1/rules/import/sigma?{query}");
        let answer = send(request(shared(), Method::POST, &path, &org.admin).body(body)).await;
        let detail = answer.body["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(detail.contains(word), "{query}: {}", answer.body);
        assert_eq!(answer.problem(status), code, "{query}");
    }
    let long = "#".repeat(1024 * 1024 + 1);
    let answer = import(&org.admin, &[], long).await;
    assert_eq!(answer.problem(413), "too_large");
    // Where nothing is taken in, the reasons are the answer; a dry run says the same in full.
    let not_yaml = import(&org.admin, &[], "title: [\n").await;
    let detail = not_yaml.body["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("body (no title): file: "), "{detail}");
    assert_eq!(not_yaml.problem(422), "unprocessable");
    let dry = import(&org.admin, &[("dry_run", "true")], "title: [\n")
        .await
        .ok();
    assert_eq!(counts(&dry), [0, 0, 0, 1]);
    assert_eq!(dry["results"][0]["path"], "file");
    assert_eq!(trail(&org).await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_organisation_has_one_import_at_a_time_and_no_other_waits_for_it() {
    let (ours, theirs) = (org().await, org().await);
    // A body that begins and does not go on.
    let address = shared().strip_prefix("http://").unwrap();
    let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/rules/import/sigma HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-length: 1000\r\n\r\ntitle: ",
        ours.admin
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.flush().await.unwrap();
    let answer = async |token: &str| import(token, &[("dry_run", "true")], SIGMA).await;
    let (started, mut seen) = (Instant::now(), answer(&ours.admin).await);
    while seen.status != 429 && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(25)).await;
        seen = answer(&ours.admin).await;
    }
    assert!(seen.headers.contains_key("retry-after"), "{}", seen.body);
    assert_eq!(seen.problem(429), "quota_exceeded");
    answer(&theirs.admin).await.ok();
    // When the client goes, so does its place.
    drop(slow);
    let started = Instant::now();
    while answer(&ours.admin).await.status != 200 {
        assert!(started.elapsed() < PATIENCE, "the place was not given back");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test]
async fn coverage_is_that_of_the_rules_that_run() {
    let org = org().await;
    let empty = get("/rules/coverage", &org.viewer, &[]).await.ok();
    assert_eq!(
        empty,
        json!({ "rules": 0, "unmapped": 0, "techniques": [], "tactics": [] })
    );
    import(&org.admin, &[], SIGMA).await.ok();
    let own =
        json!({ "id": "own", "severity": "low", "selection": { "field": "f", "op": "exists" } });
    assert_eq!(post("/rules", &org.admin, &own).await.status, 201);
    let covered = get("/rules/coverage", &org.viewer, &[]).await.ok();
    assert_eq!(
        (&covered["rules"], &covered["unmapped"]),
        (&json!(2), &json!(1))
    );
    let on = json!([{ "id": "T1110", "enabled": 1, "disabled": 0, "severity": "high" }]);
    assert_eq!(covered["techniques"], on);
    assert_eq!(texts(&covered["tactics"], "id"), ["TA0006"]);
    let layer = async || {
        get("/rules/coverage/navigator", &org.viewer, &[])
            .await
            .ok()
    };
    let shown = layer().await;
    assert_eq!(
        (
            &shown["name"],
            &shown["techniques"][0]["techniqueID"],
            &shown["techniques"][0]["score"]
        ),
        (&json!(org.name), &json!("T1110"), &json!(1))
    );
    let off = json!({ "enabled": false });
    write(
        Method::PUT,
        &format!("/rules/{ID}/enabled"),
        &org.admin,
        &off,
    )
    .await
    .ok();
    let covered = get("/rules/coverage", &org.viewer, &[]).await.ok();
    let off = json!([{ "id": "T1110", "enabled": 0, "disabled": 1, "severity": null }]);
    assert_eq!(covered["techniques"], off);
    assert_eq!(layer().await["techniques"][0].get("score"), None);
}
