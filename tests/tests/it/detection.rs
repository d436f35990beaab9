//! What raises an alert, how often, and what does not.

use millrace_shared::Signal;
use millrace_tests::{Org, process, shared, until};
use serde_json::{Value, json};

fn failure(ip: Option<&str>, user: &str) -> Value {
    let mut event = json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE",
                           "actor": {"id": user}, "service": "sso"});
    if let Some(ip) = ip {
        event["ip"] = json!(ip);
    }
    event
}

fn of_type(alerts: &[Value], kind: &str) -> Vec<Value> {
    alerts
        .iter()
        .filter(|alert| alert["alert_type"] == kind)
        .cloned()
        .collect()
}

#[test]
fn a_brute_force_attack_becomes_one_alert_with_the_right_count() {
    let org = Org::new("brute");
    org.rules_are_loaded();
    // Over several requests, which land in different shards.
    for _ in 0..6 {
        org.store(
            Signal::Audit,
            &json!({"events": vec![failure(Some("192.0.2.50"), "u-root"); 3]}),
        );
    }
    let attack = until("the alert counts all failures", || {
        let attacks = of_type(&org.alerts(), "BRUTE_FORCE_ATTACK");
        match attacks.as_slice() {
            [one] if one["count"] == 18 => Ok(one.clone()),
            others => Err(others.to_vec()),
        }
    });
    assert_eq!(
        (&attack["severity"], &attack["status"]),
        (&json!("high"), &json!("open")),
        "{attack}"
    );
    assert!(
        !attack["event_ids"].as_array().unwrap().is_empty(),
        "{attack}"
    );
    let all = org.alerts();
    assert_eq!(all.len(), 1, "nothing else is raised: {all:?}");
}

#[test]
fn fewer_failures_than_the_threshold_raise_nothing() {
    let org = Org::new("typos");
    org.rules_are_loaded();
    org.store(
        Signal::Audit,
        &json!({"events": vec![failure(Some("192.0.2.51"), "u-1"); 4]}),
    );
    // From everywhere at once they are no attack from one address either.
    let scattered: Vec<Value> = (0..8)
        .map(|n| failure(Some(&format!("192.0.2.{}", 60 + n)), "u-2"))
        .collect();
    org.store(Signal::Audit, &json!({ "events": scattered }));
    assert_eq!(
        of_type(&org.alerts(), "BRUTE_FORCE_ATTACK"),
        Vec::<Value>::new()
    );
}

#[test]
fn an_unknown_address_raises_nothing() {
    let org = Org::new("unknown-address");
    org.rules_are_loaded();
    org.store(Signal::Logs, &json!({"logs": [{"service": "edge", "message": "connection from 93.184.216.34 to c2.unknown.example"}]}));
    org.store(
        Signal::Audit,
        &json!({"events": [{"event_type": "AUTHENTICATION", "action": "login", "outcome": "SUCCESS",
                                     "ip": "93.184.216.34", "actor": {"id": "u"}}]}),
    );
    let rows = org.search_logs("service=edge");
    assert_eq!(
        (&rows[0]["risk_score"], &rows[0]["threat_names"]),
        (&json!(0), &json!([])),
        "{rows:?}"
    );
    assert_eq!(org.alerts(), Vec::<Value>::new());
}

#[test]
fn an_indicator_matches_before_scrubbing_and_the_digest_survives_it() {
    let org = Org::new("indicator");
    let digest = "9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de";
    let feed = process::logs().join(format!("{}.csv", org.name));
    let lines = format!(
        "value,type,confidence,severity,threat\n{digest},sha256,95,critical,Test implant\nbad.{0}.example.com,domain,90,high,Test host\n",
        org.name
    );
    std::fs::write(&feed, lines).unwrap();
    let feed = feed.display().to_string();
    let imported = shared().installation.admin(&[
        "indicators",
        "import",
        &feed,
        "--feed",
        &org.name,
        "--org",
        &org.name,
    ]);
    assert_eq!(imported["added"], 2, "{imported}");
    org.rules_are_loaded();
    let message = format!(
        "mail from eve@example.com dropped {digest} via hxxp://bad[.]{}[.]example[.]com/x",
        org.name
    );
    org.store(
        Signal::Logs,
        &json!({"logs": [{"service": "scanner", "message": message}]}),
    );
    let rows = org.search_logs("service=scanner");
    let row = &rows[0];
    assert!(row["message"].as_str().unwrap().contains(digest), "{row}");
    assert!(!row["message"].as_str().unwrap().contains("eve@"), "{row}");
    assert!(row["risk_score"].as_u64().unwrap() >= 85, "{row}");
    assert!(
        row["threat_names"].to_string().contains("Test implant"),
        "{row}"
    );
    let alerts = until("an alert for the match", || {
        let alerts = org.alerts();
        if alerts.is_empty() {
            Err("none")
        } else {
            Ok(alerts)
        }
    });
    assert_eq!(alerts[0]["severity"], "critical", "{alerts:?}");
    // It is this organisation's indicator: others do not know it.
    let other = Org::new("other-indicator");
    other.store(
        Signal::Logs,
        &json!({"logs": [{"service": "scanner", "message": digest}]}),
    );
    assert_eq!(other.search_logs("service=scanner")[0]["risk_score"], 0);
}

#[test]
fn a_missing_address_hides_no_other_alert() {
    let org = Org::new("dedupe");
    org.rules_are_loaded();
    let blocked = |ip: Option<&str>, user: &str| {
        let mut event = json!({"event_type": "CSRF_PROTECTION", "action": "token_check", "outcome": "BLOCKED", "actor": {"id": user}});
        if let Some(ip) = ip {
            event["ip"] = json!(ip);
        }
        event
    };
    org.store(
        Signal::Audit,
        &json!({"events": [
            blocked(None, "u-1"), blocked(None, "u-2"),
            blocked(Some("192.0.2.90"), "u-3"), blocked(Some("192.0.2.90"), "u-3"),
        ]}),
    );
    let alerts = of_type(&org.alerts(), "CSRF_ATTACK");
    let mut counts: Vec<i64> = alerts
        .iter()
        .map(|alert| alert["count"].as_i64().unwrap())
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 2], "{alerts:?}");
}

#[test]
fn an_alert_is_handled_step_by_step_and_remembers_who_did_it() {
    let org = Org::new("handling");
    org.rules_are_loaded();
    org.store(Signal::Audit, &json!({"events": [{"event_type": "CSRF_PROTECTION", "action": "check", "outcome": "BLOCKED", "ip": "192.0.2.91"}]}));
    let id = until("an alert", || {
        org.alerts()
            .first()
            .map(|alert| alert["id"].as_str().unwrap().to_owned())
            .ok_or("none")
    });
    let path = format!("/api/v1/alerts/{id}/status");
    let to =
        |status: &str| org.tell_as("analyst", &path, &json!({"status": status, "note": "seen"}));
    assert_eq!(to("acknowledged").status, 200);
    assert_eq!(to("in_progress").status, 200);
    assert_eq!(to("resolved").status, 200);
    let illegal = to("in_progress");
    assert_eq!(illegal.status, 409, "{}", illegal.text());
    assert_eq!(to("open").status, 200, "reopening is allowed");
    let alert = org.ask(&format!("/api/v1/alerts/{id}")).must_be(200).json();
    assert_eq!(alert["status"], "open", "{alert}");
    assert!(
        alert["history"]
            .as_array()
            .is_some_and(|history| history.len() >= 3),
        "{alert}"
    );
}

#[test]
fn a_leaked_secret_raises_one_alert_for_its_service_and_class() {
    let org = Org::new("leak");
    org.rules_are_loaded();
    let (key, password) = ("AKIAZ7QX2MVR5T4WKB3N", "Tr0ub4dor-3x");
    let uses = json!({"service": "uploader", "message": format!("uses {key} for uploads")});
    org.store(Signal::Logs, &json!({"logs": [uses, uses]}));
    let login =
        json!({"service": "uploader", "message": "login", "attributes": {"password": password}});
    org.store(Signal::Logs, &json!({"logs": [uses, login]}));
    let alerts = until("both alerts with their counts", || {
        let alerts = org.alerts();
        let count = |kind: &str| -> Vec<Value> {
            let of_type = of_type(&alerts, kind).into_iter();
            of_type.map(|alert| alert["count"].clone()).collect()
        };
        match (count("SECRET_LEAK"), count("SECRET_LEAK_FIELD")) {
            (secrets, fields) if secrets == [3] && fields == [1] => Ok(alerts),
            others => Err(others),
        }
    });
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    let secret = &of_type(&alerts, "SECRET_LEAK")[0];
    assert_eq!(
        (&secret["severity"], &secret["group_key"]),
        (&json!("high"), &json!({"service": "uploader"}))
    );
    let told = Value::Array(alerts).to_string();
    assert!(!told.contains(key) && !told.contains(password), "{told}");
    // Each event that gave it away names the rule.
    let rows = org.search_logs("service=uploader");
    let named = rows
        .iter()
        .filter(|row| row.to_string().contains("\"SECRET_LEAK\""));
    assert_eq!(named.count(), 3, "{rows:?}");
}
