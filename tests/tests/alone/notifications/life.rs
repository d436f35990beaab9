//! An alert from its beginning to its end, and what is told of it on the way.

use super::{World, channel, messages, verified};
use millrace_shared::Signal;
use millrace_tests::receiver::Receiver;
use millrace_tests::until;
use millrace_tests::wait::block_on;
use serde_json::json;
use std::collections::BTreeSet;
use uuid::Uuid;

pub(super) fn an_alert_of_the_pipeline_is_told_from_its_beginning_to_its_end(world: &World) {
    let org = world.org("story");
    let http = Receiver::willing();
    let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), json!({}));
    let failure = json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE",
                         "actor": {"id": "u-root"}, "service": "sso", "ip": "192.0.2.50"});
    let told = until("the alert is told", || {
        // The rules of a new organisation take effect within seconds.
        org.store(
            Signal::Audit,
            &json!({ "events": vec![failure.clone(); 6] }),
        );
        http.seen().first().cloned().ok_or("nothing yet")
    });
    verified(&hook["secret"], &told);
    assert_eq!(told.json()["type"], "alert.created");
    let alert = told.json()["data"]["alert"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for status in ["acknowledged", "in_progress", "resolved"] {
        let body = json!({"status": status, "note": "done"});
        let path = format!("/api/v1/alerts/{alert}/status");
        let _answer = org.tell_as("analyst", &path, &body).must_be(200);
    }
    let ended = until("the end is told", || {
        let seen = http.seen();
        let ended = seen
            .iter()
            .find(|one| one.json()["type"] == "alert.resolved");
        ended.cloned().ok_or(seen.len())
    });
    verified(&hook["secret"], &ended);
    let data = &ended.json()["data"];
    assert_eq!(
        (&data["alert"]["id"], &data["note"]),
        (&json!(alert), &json!("done"))
    );
    // However many matches there are, an alert is told of once.
    org.store(Signal::Audit, &json!({ "events": vec![failure; 50] }));
    until("one message for each alert", || {
        let seen = http.seen();
        let created = seen
            .iter()
            .filter(|one| one.json()["type"] == "alert.created");
        let (created, alerts) = (created.count(), org.alerts().len());
        if created == alerts {
            Ok(())
        } else {
            Err((created, alerts))
        }
    });
}

pub(super) fn what_nobody_acknowledges_is_escalated_once_by_all_workers_together(world: &World) {
    let org = world.org("escalation");
    let http = Receiver::willing();
    let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), json!({}));
    let postgres = world.installation.postgres();
    let (open, seen_to) = (world.alert(&org, "high"), world.alert(&org, "high"));
    let status = |id: Uuid, status: &str| {
        let path = format!("/api/v1/alerts/{id}/status");
        let body = json!({ "status": status });
        let _answer = org.tell_as("analyst", &path, &body).must_be(200);
    };
    // Before anything escalates: a second later it might be too late.
    status(seen_to, "acknowledged");
    let escalating =
        "UPDATE organisation SET settings = '{\"escalation_minutes\": 0.02}' WHERE id = $1";
    block_on(postgres.execute(escalating, &[&org.id])).unwrap();
    let escalated = |id: Uuid| {
        let all = http.seen();
        let told = all.iter().filter(|one| {
            let body = one.json();
            body["type"] == "alert.escalated" && body["data"]["alert"]["id"] == id.to_string()
        });
        told.count()
    };
    let escalates = |times: usize| {
        until("the escalation is told", || match escalated(open) {
            told if told == times => Ok(()),
            told => Err(told),
        });
    };
    escalates(1);
    assert_eq!(escalated(seen_to), 0);
    let history = org
        .ask(&format!("/api/v1/alerts/{open}"))
        .must_be(200)
        .json();
    assert!(history["escalated_at"].is_string(), "{history}");
    let lines = history["history"].as_array().unwrap();
    let escalations = lines.iter().filter(|line| line["what"] == "escalated");
    assert_eq!(escalations.count(), 1, "{history}");
    // Opened anew, it can be escalated anew.
    for step in ["acknowledged", "in_progress", "resolved", "open"] {
        status(open, step);
    }
    escalates(2);
    assert_eq!(escalated(seen_to), 0);
    let sent = messages(&org, &hook);
    let keys: BTreeSet<String> = sent
        .iter()
        .map(|one| one["idempotency_key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), sent.len());
}
