//! Audit events, and the SOC overview made of them.

use crate::world::*;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

fn event(org: &Org, seconds: f64, more: Value) -> Value {
    let mut row = row(
        org,
        seconds,
        json!({ "EventType": "AUTHENTICATION", "Action": "login", "Outcome": "SUCCESS",
                "Severity": "info", "ActorId": "u1" }),
    );
    row.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    row
}

#[tokio::test]
async fn every_filter_narrows() {
    let (ours, theirs) = (org().await, org().await);
    let first = json!({ "Action": "first", "EventType": "USER_MANAGEMENT", "Outcome": "FAILURE",
        "Severity": "high", "Operation": "Delete user", "ActorId": "a1", "ActorEmail": "a***@x.example",
        "ActorName": "Ann", "ActorType": "admin", "Targets.Id": ["t1"], "Targets.Type": ["user"],
        "Targets.Name": ["Tom"], "ClientIp": "10.0.0.9", "GeoCountry": "DE", "SessionId": "sess",
        "EventRequestId": "req", "Message": "It was Deleted.", "Metadata": { "k": "v" },
        "RiskScore": 80, "Environment": "prod", "RuleMatches": ["r1"], "Observables": ["10.0.0.9"] });
    insert(
        "audit_events",
        &[
            event(&ours, 1.0, first),
            event(
                &ours,
                2.0,
                json!({ "Action": "second", "GeoCountry": "FR" }),
            ),
            event(
                &theirs,
                3.0,
                json!({ "Action": "foreign", "GeoCountry": "US" }),
            ),
        ],
    )
    .await;
    for (name, value) in [
        ("event_type", "user_management"),
        ("action", "first"),
        ("operation", "Delete user"),
        ("outcome", "failure"),
        ("severity", "HIGH"),
        ("actor", "a1"),
        ("actor", "Ann"),
        ("actor", "a***@x.example"),
        ("actor_type", "admin"),
        ("target", "t1"),
        ("target", "Tom"),
        ("target_type", "user"),
        ("ip", "10.0.0.9"),
        ("country", "DE"),
        ("session_id", "sess"),
        ("request_id", "req"),
        ("text", "was deleted"),
        ("attribute", "k=v"),
        ("min_risk", "80"),
        ("environment", "prod"),
        ("rule", "r1"),
        ("observable", "10.0.0.9"),
    ] {
        let query = [&range()[..], &[(name, value)]].concat();
        let found = get("/audit/search", &ours.viewer, &query).await.ok();
        assert_eq!(texts(&found["rows"], "action"), ["first"], "{name}={value}");
    }
    let all = get("/audit/search", &ours.viewer, &range()).await.ok();
    assert_eq!(texts(&all["rows"], "action"), ["second", "first"]);
    assert_eq!(all["rows"][1]["target_names"], json!(["Tom"]));
    let filters = get("/audit/filters", &ours.viewer, &range()).await.ok();
    assert_eq!(texts(&filters["countries"], "value"), ["DE", "FR"]);
    assert_eq!(filters["actions"].as_array().unwrap().len(), 2);
}

/// An alert in the control database.
pub(crate) async fn alert(org: &Org, kind: &str, status: &str, severity: &str, made: f64) -> Uuid {
    let id = Uuid::new_v4();
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns(made))).unwrap();
    let hash = id.as_bytes().as_slice();
    let params: [&(dyn ToSql + Sync); 7] = [&id, &org.id, &kind, &severity, &at, &status, &hash];
    execute(
        "INSERT INTO alert (id, org_id, rule_id, rule_version, severity, severity_rank, title, message,
                            alert_type, dedupe_hash, first_seen, last_seen, signal, status, created_at)
         VALUES ($1, $2, 'rule-' || $3::text, 1, $4, 3, $3::text || ' title', 'about it', $3, $7,
                 $5, $5, 'audit', $6, $5)",
        &params,
    )
    .await;
    id
}

#[tokio::test]
async fn the_overview_follows_the_formulas() {
    let (ours, theirs) = (org().await, org().await);
    let of = |n: f64, user: &str, more: Value| {
        let mut event = event(&ours, n, json!({ "ActorId": user }));
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        event
    };
    let mut rows = Vec::new();
    for (n, country) in ["DE", "FR", "US"].iter().enumerate() {
        rows.push(of(
            n as f64,
            "mallory",
            json!({ "Outcome": "FAILURE", "GeoCountry": country }),
        ));
    }
    rows.push(of(4.0, "mallory", json!({ "Severity": "critical" })));
    rows.push(of(
        5.0,
        "busy",
        json!({ "Outcome": "RATE_LIMITED", "EventType": "RATE_LIMITING" }),
    ));
    rows.push(of(6.0, "calm", json!({})));
    rows.push(event(
        &theirs,
        7.0,
        json!({ "Severity": "critical", "ActorId": "foreign" }),
    ));
    insert("audit_events", &rows).await;
    alert(&ours, "BRUTE_FORCE_ATTACK", "open", "high", 10.0).await;
    alert(&ours, "BRUTE_FORCE_ATTACK", "acknowledged", "high", 11.0).await;
    alert(&ours, "CSRF_ATTACK", "resolved", "medium", 12.0).await;
    alert(&theirs, "DATA_BREACH_ATTEMPT", "open", "critical", 13.0).await;
    let overview = get("/soc/overview", &ours.viewer, &[]).await.ok();
    assert_eq!(
        (&overview["total_events"], &overview["critical_events"]),
        (&json!(6), &json!(1))
    );
    assert_eq!(
        (&overview["active_alerts"], &overview["resolved_alerts"]),
        (&json!(2), &json!(1))
    );
    // 100 − 2·1 − 3·2 − 5·2 = 82; active ≥ 1, but below 3; critical 1.
    assert_eq!(
        (&overview["security_score"], &overview["threat_level"]),
        (&json!(82), &json!("MODERATE"))
    );
    assert_eq!(
        overview["alerts_by_type"][0],
        json!({ "value": "BRUTE_FORCE_ATTACK", "count": 2 })
    );
    assert_eq!(overview["top_threats"][0]["severity"], "high");
    assert_eq!(
        overview["events_by_type"][0],
        json!({ "value": "AUTHENTICATION", "count": 5 })
    );
    assert_eq!(texts(&overview["by_country"], "value"), ["DE", "FR", "US"]);
    assert_eq!(overview["by_hour"].as_array().unwrap().len(), 24);
    let sum: u64 = overview["by_hour"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(sum, 6);
    // 3·10 + 25 + 20 for three countries; 15; nobody else.
    assert_eq!(texts(&overview["user_risks"], "user"), ["mallory", "busy"]);
    assert_eq!(texts(&overview["user_risks"], "score"), ["75", "15"]);
}
