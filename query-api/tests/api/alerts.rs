//! Alerts: listing, history, transitions, and the audit trail of changes.

use crate::audit::alert;
use crate::world::*;
use serde_json::{Value, json};

/// The events of the audit trail about an organisation, from the streams.
pub(crate) async fn trail(org: &Org) -> Vec<Value> {
    let mut connection = redis().await;
    let mut events = Vec::new();
    for shard in 0..256 {
        let stream = format!("millrace:{{audit:{shard}}}:in");
        let entries: redis::streams::StreamRangeReply = redis::cmd("XRANGE")
            .arg(stream)
            .arg("-")
            .arg("+")
            .query_async(&mut connection)
            .await
            .unwrap();
        for entry in entries.ids {
            let field = |name: &str| entry.get::<Vec<u8>>(name).unwrap();
            let meta = millrace_shared::entry::Meta::parse(&field("m")).unwrap();
            if meta.org == org.id && meta.key == "query-api" {
                let body = field("b");
                let body = millrace_shared::inflate::inflate(meta.encoding(), &body).unwrap();
                let body: Value = serde_json::from_slice(&body).unwrap();
                events.extend(body["events"].as_array().unwrap().clone());
            }
        }
    }
    events
}

#[tokio::test]
async fn an_alert_goes_its_way_with_a_history_and_a_trail() {
    let org = org().await;
    let id = alert(&org, "BRUTE_FORCE_ATTACK", "open", "high", 1.0).await;
    let path = format!("/alerts/{id}");
    let status = format!("{path}/status");
    let to = async |to: &str| {
        post(
            &status,
            &org.analyst,
            &json!({ "status": to, "note": "because" }),
        )
        .await
    };
    for illegal in ["in_progress", "resolved", "open"] {
        assert_eq!(to(illegal).await.problem(409), "conflict", "{illegal}");
    }
    assert_eq!(to("gone").await.problem(400), "bad_parameter");
    assert_eq!(
        post(&status, &org.viewer, &json!({ "status": "acknowledged" }))
            .await
            .problem(403),
        "forbidden"
    );
    let acknowledged = to("acknowledged").await.ok();
    assert_eq!(acknowledged["may_become"], json!(["in_progress"]));
    assert!(acknowledged["acknowledged_at"].is_string());
    to("in_progress").await.ok();
    post(
        &format!("{path}/assign"),
        &org.analyst,
        &json!({ "assignee": "ann" }),
    )
    .await
    .ok();
    post(
        &format!("{path}/notes"),
        &org.analyst,
        &json!({ "note": "seen in the logs" }),
    )
    .await
    .ok();
    let resolved = to("resolved").await.ok();
    assert!(resolved["resolved_at"].is_string());
    let reopened = to("open").await.ok();
    assert_eq!(
        (&reopened["status"], &reopened["resolved_at"]),
        (&json!("open"), &Value::Null)
    );
    assert_eq!(reopened["assignee"], "ann");
    let what = texts(&reopened["history"], "what");
    assert_eq!(
        what,
        ["status", "status", "assign", "note", "status", "status"]
    );
    assert_eq!(reopened["history"][0]["who"], "analyst token");
    assert_eq!(
        (
            &reopened["history"][0]["from_status"],
            &reopened["history"][0]["note"]
        ),
        (&json!("open"), &json!("because"))
    );
    // Refused changes are not in the trail, all others are.
    let trail = trail(&org).await;
    let mut actions = texts(&Value::Array(trail.clone()), "action");
    actions.sort();
    assert_eq!(
        actions,
        [
            "alert.assign",
            "alert.note",
            "alert.status",
            "alert.status",
            "alert.status",
            "alert.status"
        ]
    );
    assert_eq!(trail[0]["targets"][0]["id"], id.to_string());
    assert_eq!(trail[0]["actor"]["type"], "analyst");
}

#[tokio::test]
async fn every_step_is_legal_with_its_history_or_refused_without() {
    const ENDS: [&str; 3] = ["resolved", "closed", "false_positive"];
    let org = org().await;
    let all = ["open", "acknowledged", "in_progress"].iter().chain(&ENDS);
    let legal = |from: &str, to: &str| match from {
        "open" => to == "acknowledged",
        "acknowledged" => to == "in_progress",
        "in_progress" => ENDS.contains(&to),
        _ => to == "open",
    };
    for from in all.clone() {
        for to in all.clone() {
            let id = alert(&org, "CSRF_ATTACK", from, "high", 1.0).await;
            let escalated = "UPDATE alert SET escalated_at = now() WHERE id = $1";
            postgres().await.execute(escalated, &[&id]).await.unwrap();
            let path = format!("/alerts/{id}");
            let body = json!({ "status": to, "note": "because" });
            let answer = post(&format!("{path}/status"), &org.analyst, &body).await;
            let now = get(&path, &org.viewer, &[]).await.ok();
            let (status, lines) = if legal(from, to) {
                assert_eq!(answer.status, 200, "{from} to {to}: {}", answer.body);
                let line = &now["history"][0];
                assert_eq!(
                    (&line["from_status"], &line["to_status"], &line["note"]),
                    (&json!(from), &json!(to), &json!("because"))
                );
                (to, 1)
            } else {
                assert_eq!(answer.problem(409), "conflict", "{from} to {to}");
                (from, 0)
            };
            assert_eq!(now["status"], *status, "{from} to {to}");
            assert_eq!(now["history"].as_array().unwrap().len(), lines);
            // Opened anew, it can be escalated anew.
            let reopened = lines == 1 && *to == "open";
            assert_eq!(now["escalated_at"].is_null(), reopened, "{from} to {to}");
        }
    }
}

#[tokio::test]
async fn alerts_are_filtered_paged_and_counted() {
    let org = org().await;
    for n in 0..5 {
        alert(&org, "CSRF_ATTACK", "open", "medium", f64::from(n)).await;
    }
    let critical = alert(&org, "DATA_BREACH_ATTEMPT", "closed", "critical", 9.0).await;
    let list = async |query: &[(&str, &str)]| get("/alerts", &org.viewer, query).await.ok();
    for (query, count) in [
        (vec![], 6),
        (vec![("status", "open,acknowledged")], 5),
        (vec![("severity", "critical")], 1),
        (vec![("alert_type", "CSRF_ATTACK")], 5),
        (vec![("rule_id", "rule-CSRF_ATTACK")], 5),
        (vec![("text", "breach")], 1),
        (vec![("assignee", "ann")], 0),
        (vec![("signal", "audit")], 6),
        (vec![("start", "now-1m")], 0),
    ] {
        assert_eq!(
            list(&query).await["rows"].as_array().unwrap().len(),
            count,
            "{query:?}"
        );
    }
    let first = list(&[("limit", "4")]).await;
    assert_eq!(first["rows"][0]["id"], critical.to_string());
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    alert(&org, "LATE", "open", "low", 20.0).await;
    let second = list(&[("limit", "4"), ("cursor", &cursor)]).await;
    assert_eq!(second["rows"].as_array().unwrap().len(), 2);
    assert!(second["next_cursor"].is_null());
    let summary = get("/alerts/summary", &org.viewer, &[]).await.ok();
    assert_eq!(
        (&summary["total"], &summary["active"]),
        (&json!(7), &json!(6))
    );
    assert_eq!(summary["by_status"]["closed"], 1);
    assert_eq!(summary["by_status"]["false_positive"], 0);
    assert_eq!(
        summary["active_by_severity"],
        json!({ "medium": 5, "low": 1 })
    );
}

/// What a retro-hunt found: in events of two days, of an address that the policy hashes.
const FORM: &str = "email:v1:0123456789abcdef0123456789abcdef";

async fn hidden_find(org: &Org) -> String {
    let id = alert(org, "RETRO_HUNT", "open", "high", 1.0).await;
    execute(
        "UPDATE alert SET retro_hunt = gen_random_uuid(), hidden = $2, event_ids = ARRAY[gen_random_uuid()],
                group_key = '{\"kind\": \"email\", \"indicator\": \"7\"}' WHERE id = $1",
        &[&id, &FORM],
    )
    .await;
    id.to_string()
}

#[tokio::test]
async fn what_a_hunt_found_hidden_is_shown_to_those_who_may_reveal_it() {
    let org = org().await;
    let id = hidden_find(&org).await;
    // May hunt, and read alerts and logs: but not know which hash is whose.
    execute(
        "INSERT INTO role (org_id, name, permissions)
         VALUES ($1, 'hunter', '{indicators:read,indicators:manage,alerts:read,alerts:triage,logs:read}')",
        &[&org.id],
    )
    .await;
    let hunter = token(org.id, "hunter").await;
    let path = format!("/alerts/{id}");
    let note = json!({ "note": "seen" });
    for answer in [
        get("/alerts", &hunter, &[]).await.ok()["rows"][0].clone(),
        get(&path, &hunter, &[]).await.ok(),
        post(&format!("{path}/notes"), &hunter, &note).await.ok(),
    ] {
        assert_eq!(answer["id"], id.as_str());
        assert!(!answer.to_string().contains("0123456789abcdef"), "{answer}");
        assert_eq!(
            (
                &answer["hidden"],
                &answer["event_ids"],
                &answer["retroactive"]
            ),
            (&json!(true), &json!([]), &json!(true))
        );
    }
    let by_text = get("/alerts", &hunter, &[("text", FORM)]).await.ok();
    assert_eq!(by_text["rows"], json!([]), "nor by asking for it");
    let answer = get(&path, &org.admin, &[]).await.ok();
    assert_eq!(answer["group_key"]["observable"], FORM);
    assert_eq!(answer["observables"], json!([FORM]));
    assert_eq!(answer["event_ids"].as_array().unwrap().len(), 1);
}
