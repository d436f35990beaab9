//! Personal data reaches no store, and what detection needs survives.

use millrace_runtime::clock::now_ns;
use millrace_shared::Signal;
use millrace_tests::stores::{TABLES, number};
use millrace_tests::wait::block_on;
use millrace_tests::{Org, process, shared};
use serde_json::{Value, json};

/// Personal values, each with a part that must occur nowhere.
struct Person {
    email: String,
    card: &'static str,
    ssn: &'static str,
    mark: String,
}

impl Person {
    fn new(org: &Org) -> Person {
        let mark = format!("canary{}", &org.id.simple().to_string()[..12]);
        Person {
            email: format!("{mark}@example.com"),
            card: "4111 1111 1111 1111",
            ssn: "536-22-8745",
            mark,
        }
    }

    /// All of them in one sentence.
    fn sentence(&self) -> String {
        format!(
            "user {} paid with {} ssn {}",
            self.email, self.card, self.ssn
        )
    }

    /// Fails when any of them stands anywhere in a store or in a log.
    fn is_nowhere(&self, org: &Org) {
        let installation = &shared().installation;
        for table in TABLES {
            for value in [self.mark.as_str(), self.card, self.ssn] {
                let sql = format!(
                    "SELECT count() FROM millrace.{table} WHERE OrgId = '{}' \
                     AND positionCaseInsensitive(toString(tuple(*)), '{value}') > 0",
                    org.id
                );
                assert_eq!(number(installation, &sql), 0, "{value} stands in {table}");
            }
        }
        let postgres = installation.postgres();
        for table in ["metric_series", "alert", "source_health", "audit_seal"] {
            let sql = format!(
                "SELECT count(*) FROM {table} t WHERE t.org_id = $1 AND t::text ILIKE '%' || $2 || '%'"
            );
            for value in [self.mark.as_str(), self.card, self.ssn] {
                let row = block_on(postgres.query_one(sql.as_str(), &[&org.id, &value])).unwrap();
                assert_eq!(row.get::<_, i64>(0), 0, "{value} stands in {table}");
            }
        }
        for entry in std::fs::read_dir(process::logs()).unwrap().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            assert!(
                !text.contains(&self.mark),
                "{} stands in {}",
                self.mark,
                entry.path().display()
            );
        }
    }
}

#[test]
fn personal_data_in_logs_is_stored_nowhere() {
    let org = Org::new("pii-logs");
    let person = Person::new(&org);
    org.store(Signal::Logs, &json!({"logs": [{
        "service": "pii", "message": person.sentence(),
        "attributes": {"note": person.sentence(), "nested": {"deep": [person.email]},
                       "json": json!({"mail": person.email}).to_string(), (person.email.clone()): "as a key",
                       "password": "hunter2secret", "authorization": "Bearer abc.def"},
    }], "resource": {"service_name": "pii", "owner": person.email}}));
    person.is_nowhere(&org);
    let rows = org.search_logs("service=pii");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(
        rows[0]["message"].as_str().unwrap().starts_with("user "),
        "the rest of the text stays: {rows:?}"
    );
    let classes = rows[0]["pii_classes"].to_string();
    assert!(classes.contains("email"), "{classes}");
    assert!(!rows[0].to_string().contains("hunter2secret"), "{rows:?}");
}

#[test]
fn personal_data_in_spans_is_stored_nowhere() {
    let org = Org::new("pii-spans");
    let person = Person::new(&org);
    let now = now_ns();
    org.store(Signal::Traces, &json!({"traces": [{
        "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331",
        "name": format!("send to {}", person.email), "start_time": now - 5000, "end_time": now,
        "attributes": {"db.statement": format!("SELECT * FROM users WHERE email = '{}'", person.email), "card": person.card},
        "events": [{"timestamp": now - 100, "name": "retry", "attributes": {"to": person.email}}],
        "links": [{"trace_id": "1af7651916cd43dd8448eb211c80319c", "span_id": "c7ad6b7169203331", "attributes": {"who": person.email}}],
    }], "resource": {"service_name": "pii"}}));
    person.is_nowhere(&org);
    let trace = org
        .ask("/api/v1/traces/0af7651916cd43dd8448eb211c80319c")
        .must_be(200)
        .json();
    assert_eq!(
        trace["trace_id"], "0af7651916cd43dd8448eb211c80319c",
        "ids survive"
    );
}

#[test]
fn personal_data_in_metric_labels_is_stored_nowhere() {
    let org = Org::new("pii-metrics");
    let person = Person::new(&org);
    org.store(Signal::Metrics, &json!({"metrics": [{
        "name": "logins", "value": 1, "labels": {"user": person.email, "card": person.card, "route": "/login"},
    }], "resource": {"service_name": "pii"}}));
    person.is_nowhere(&org);
    let routes = org
        .ask("/api/v1/metrics/label/route/values")
        .must_be(200)
        .text();
    assert!(routes.contains("/login"), "{routes}");
}

#[test]
fn personal_data_in_browser_events_is_stored_nowhere() {
    let org = Org::new("pii-rum");
    let person = Person::new(&org);
    org.store(Signal::Rum, &json!({"events": [{
        "session_id": "s1", "event_type": "error", "user_id": person.email,
        "page_url": format!(
                "https://shop.example/reset?email={}&step=1&next=%2Flogin%3Fuser%3D{}",
                person.email,
                person.email.replace('@', "%40")
            ),
        "referrer": format!("https://shop.example/users/{}", person.email),
        "error": {"message": format!("no mail for {}", person.email), "type": "TypeError",
                  "stack": format!("TypeError: {}\n    at send (https://shop.example/app.js?u={}:1:2)", person.sentence(), person.email)},
        "custom_attributes": {"form": {"card": person.card}},
    }]}));
    person.is_nowhere(&org);
    let rows = org.rows("/api/v1/rum/search?session_id=s1");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(
        rows[0]["error_stack"].as_str().unwrap().contains("at send"),
        "{rows:?}"
    );
}

#[test]
fn personal_data_in_audit_events_and_their_alerts_is_stored_nowhere() {
    let org = Org::new("pii-audit");
    let person = Person::new(&org);
    org.rules_are_loaded();
    let event = json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE", "ip": "192.0.2.77",
                       "actor": {"id": person.email, "email": person.email, "type": "user"},
                       "message": person.sentence(), "metadata": {"form": {"mail": person.email}}});
    org.store(Signal::Audit, &json!({"events": vec![event; 6]}));
    let alerts = millrace_tests::until("the attack's alert", || {
        let alerts = org.alerts();
        if alerts.is_empty() {
            Err("none")
        } else {
            Ok(alerts)
        }
    });
    assert!(!Value::Array(alerts).to_string().contains(&person.mark));
    person.is_nowhere(&org);
}

#[test]
fn what_only_looks_personal_survives() {
    let org = Org::new("survives");
    let digest = "d347825783cec72a2d9639621719d71ee708439b83d6b596ea1c1657de898a77";
    let kept = [
        ("author", "Jane Austen"),
        ("sha256", digest),
        ("uuid", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
        ("version", "10.15.7"),
        ("order", "4111111111111112"),
        ("trace", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("at", "2026-01-02T03:04:05.678Z"),
    ];
    let attributes: serde_json::Map<String, Value> = kept
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let message = format!("order 4111111111111112 of author has sha256 {digest}");
    org.store(
        Signal::Logs,
        &json!({"logs": [{"service": "kept", "message": message, "attributes": attributes}]}),
    );
    let rows = org.search_logs("service=kept");
    assert_eq!(rows[0]["message"], message, "{rows:?}");
    for (key, value) in kept {
        assert_eq!(rows[0]["attributes"][key], value, "{rows:?}");
    }
}
