//! No organisation sees anything of another, whatever it asks and however.

use millrace_runtime::clock::now_ns;
use millrace_shared::Signal;
use millrace_tests::{Http, Org};
use serde_json::json;

/// Sends one event of every signal that carries the marker.
fn fill(org: &Org, marker: &str) {
    let now = now_ns();
    let answers = [
        org.send(Signal::Logs, &json!({"logs": [{"service": "tenant", "message": marker}]})),
        org.send(Signal::Metrics, &json!({"metrics": [{"name": "tenant_metric", "value": 1, "labels": {"m": marker}}],
                                          "resource": {"service_name": "tenant"}})),
        org.send(Signal::Traces, &json!({"traces": [{"trace_id": "0af7651916cd43dd8448eb211c80319c",
                  "span_id": "b7ad6b7169203331", "name": marker, "start_time": now - 1000, "end_time": now}],
                  "resource": {"service_name": "tenant"}})),
        org.send(Signal::Rum, &json!({"events": [{"session_id": marker, "event_type": "pageview", "page_url": "https://t.example/"}]})),
        org.send(Signal::Audit, &json!({"events": [{"event_type": "CSRF_PROTECTION", "action": marker, "outcome": "BLOCKED"}]})),
    ];
    for answer in answers {
        org.committed(&answer);
    }
}

/// Everything that can be read.
const READS: [&str; 19] = [
    "/api/v1/logs/search?limit=1000",
    "/api/v1/logs/search?service=tenant&text=marker",
    "/api/v1/logs/histogram",
    "/api/v1/metrics/names",
    "/api/v1/metrics/labels",
    "/api/v1/metrics/label/m/values",
    "/api/v1/metrics/query?name=tenant_metric&agg=avg&step=1m",
    "/api/v1/traces/search",
    "/api/v1/traces/0af7651916cd43dd8448eb211c80319c",
    "/api/v1/audit/search",
    "/api/v1/audit/filters",
    "/api/v1/rum/search",
    "/api/v1/rum/pages",
    "/api/v1/soc/overview",
    "/api/v1/alerts",
    "/api/v1/sources",
    "/api/v1/usage",
    "/api/v1/ledger/balance",
    "/api/v1/dead-letters",
];

#[test]
fn nobody_reads_what_another_organisation_stored() {
    let (ours, theirs) = (Org::new("reads"), Org::new("is-read"));
    fill(&theirs, "markertheirs");
    fill(&ours, "markerours");
    let mut seen_ours = 0;
    for path in READS {
        let answer = ours.ask_as("admin", path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let text = answer.text();
        assert!(
            !text.contains("markertheirs") && !text.contains(&theirs.key_id),
            "{path}: {text}"
        );
        seen_ours += usize::from(text.contains("markerours"));
    }
    // The other half: that the marker would have been seen.
    assert!(
        seen_ours >= 6,
        "only {seen_ours} reads showed our own marker"
    );
}

#[test]
fn nobody_names_another_organisation() {
    let (ours, theirs) = (Org::new("names"), Org::new("named"));
    fill(&theirs, "markertheirs");
    let token = format!("Bearer {}", ours.token("admin"));
    let id = theirs.id.to_string();
    let url = format!("{}/api/v1/logs/search", ours.query_url);
    let answer = Http::new()
        .get(&url, &[("authorization", &token), ("x-tenant-id", &id)])
        .unwrap();
    assert!(
        answer.status == 403 || !answer.text().contains("markertheirs"),
        "{}",
        answer.text()
    );
    for query in [
        format!("org={id}"),
        format!("org_id={id}"),
        format!("tenant={id}"),
    ] {
        let answer = Http::new()
            .get(&format!("{url}?{query}"), &[("authorization", &token)])
            .unwrap();
        assert!(
            !answer.text().contains("markertheirs"),
            "{query}: {}",
            answer.text()
        );
    }
    // A header that names a tenant is refused where telemetry comes in.
    let body = br#"{"logs":[{"service":"s","message":"m"}]}"#;
    let refused = ours.post_bytes(Signal::Logs, body, &[("x-tenant-id", &id)]);
    assert!((400..500).contains(&refused.status), "{}", refused.text());
}

#[test]
fn another_organisations_alerts_and_rules_cannot_be_touched() {
    let (ours, theirs) = (Org::new("touches"), Org::new("is-touched"));
    theirs.rules_are_loaded();
    fill(&theirs, "markertheirs");
    let alert = millrace_tests::until("an alert", || {
        theirs.alerts().first().cloned().ok_or("none")
    });
    let id = alert["id"].as_str().unwrap();
    let _unseen = ours
        .ask_as("admin", &format!("/api/v1/alerts/{id}"))
        .must_be(404);
    let path = format!("/api/v1/alerts/{id}/status");
    let _untouched = ours
        .tell_as(
            "admin",
            &path,
            &json!({"status": "acknowledged", "note": "mine"}),
        )
        .must_be(404);
    assert_eq!(
        theirs
            .ask(&format!("/api/v1/alerts/{id}"))
            .must_be(200)
            .json()["status"],
        "open"
    );
}

#[test]
fn without_a_token_or_the_permission_nothing_is_answered() {
    let org = Org::new("roles");
    let url = format!("{}/api/v1/logs/search", org.query_url);
    let bare = Http::new().get(&url, &[]).unwrap();
    assert_eq!(bare.status, 401, "{}", bare.text());
    let made_up = format!("Bearer mlr_{}", "A".repeat(43));
    assert_eq!(
        Http::new()
            .get(&url, &[("authorization", &made_up)])
            .unwrap()
            .status,
        401
    );
    let rule = json!({"id": "x", "name": "x"});
    let refused = org.tell_as("viewer", "/api/v1/rules", &rule);
    assert_eq!(refused.status, 403, "{}", refused.text());
}
