//! An organisation's own steps: they shape what is stored, detection sees what they made, what they
//! drop is booked, and nobody else's events are touched.

use millrace_shared::Signal;
use millrace_tests::{Org, until};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/pipelines/logs";

fn steps() -> Value {
    json!({"steps": [
        {"parse": {"field": "message", "format": "syslog"}},
        {"rename": {"from": "syslog.appname", "to": "service"}},
        {"extract": {"field": "message", "regex": "user (?<user>[a-z]+) from (?<source>[0-9.]+)"}},
        {"drop": {}, "when": [{"field": "service", "op": "eq", "value": "chatter"}]},
    ]})
}

fn lines() -> Value {
    let line = |text: &str| json!({"service": "relay", "message": text});
    json!({"logs": [
        line("<86>Jun 14 15:16:01 combo sshd[99]: failed password of user root from 203.0.113.7"),
        line("<14>Jun 14 15:16:02 combo chatter: nothing of interest"),
        line("as it is"),
    ]})
}

#[test]
fn what_is_stored_judged_and_booked_is_what_the_steps_made() {
    let (org, other) = (Org::new("piped"), Org::new("unpiped"));
    let rule = json!({"id": "root", "name": "Root", "severity": "high", "message": "root from {source}",
        "scope": ["logs"], "selection": [{"field": "user", "op": "eq", "value": "root"}]});
    let _rule = org.tell_as("admin", "/api/v1/rules", &rule).must_be(201);
    let made = org.put_as("admin", PATH, &steps()).must_be(201).json();
    assert_eq!(
        (&made["signal"], &made["steps"]),
        (&json!("logs"), &steps()["steps"])
    );
    org.rules_are_loaded();
    org.store(Signal::Logs, &lines());
    other.store(Signal::Logs, &lines());

    let found = org.search_logs("service=sshd");
    assert_eq!(found.len(), 1, "{found:?}");
    let row = &found[0];
    assert_eq!(
        row["message"],
        "failed password of user root from 203.0.113.7"
    );
    assert_eq!(
        (&row["host"], &row["level"]),
        (&json!("combo"), &json!("info"))
    );
    assert_eq!(row["attributes"]["user"], "root");
    assert_eq!(row["attributes"]["syslog.procid"], "99");
    assert_eq!(org.search_logs("service=chatter").len(), 0);
    assert_eq!(org.search_logs("service=relay").len(), 1);
    assert_eq!(
        other.search_logs("service=relay").len(),
        3,
        "theirs are as they were sent"
    );
    let alert = until("an alert of what a step extracted", || {
        org.alerts().into_iter().next().ok_or("none")
    });
    assert_eq!(alert["message"], "root from 203.0.113.7");

    // What is dropped is on the side of what is rejected, and the books balance.
    until("a balance", || {
        let answer = org.ask("/api/v1/ledger/balance").must_be(200).json();
        let mut signals = answer["signals"].as_array().unwrap().iter();
        let logs = signals.find(|balance| balance["signal"] == "logs").unwrap();
        match logs["rejected"] == 1 && logs["pending"] == 0 {
            true => Ok(()),
            false => Err(answer),
        }
    });
}

#[test]
fn a_pipeline_is_tried_replaced_and_removed_and_each_change_is_recorded() {
    let org = Org::new("pipelines");
    let nothing = org.ask("/api/v1/pipelines").must_be(200).json();
    assert_eq!(nothing, json!({"pipelines": []}));
    let trial = json!({"signal": "logs", "steps": steps()["steps"], "events": lines()["logs"]});
    let tried = org
        .tell_as("analyst", "/api/v1/pipelines/test", &trial)
        .must_be(200)
        .json();
    assert_eq!(tried["events"][0]["event"]["attributes.user"], "root");
    assert_eq!(tried["events"][0]["changed_by"], json!([0, 1, 2]));
    assert_eq!(
        tried["events"][1],
        json!({"event": null, "changed_by": [0, 1, 3]})
    );
    assert_eq!(tried["events"][2]["changed_by"], json!([]));
    let present = json!({"signal": "logs", "events": lines()["logs"]});
    let _none = org
        .tell_as("analyst", "/api/v1/pipelines/test", &present)
        .must_be(404);

    let wrong = json!({"steps": [{"rename": {"from": "message", "to": "x"}}]});
    let refused = org.put_as("admin", PATH, &wrong).must_be(422).json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with("steps[0].rename.from"), "{detail}");
    let _made = org.put_as("admin", PATH, &steps()).must_be(201);
    let _again = org
        .put_as("admin", PATH, &json!({"steps": []}))
        .must_be(200);
    let _denied = org.put_as("analyst", PATH, &steps()).must_be(403);
    let _signal = org
        .put_as("admin", "/api/v1/pipelines/smoke", &steps())
        .must_be(404);
    assert_eq!(org.ask(PATH).must_be(200).json()["steps"], json!([]));
    let _gone = org.delete_as("admin", PATH).must_be(204);
    let _absent = org.ask(PATH).must_be(404);
    let _twice = org.delete_as("admin", PATH).must_be(404);
    until("an audit event for each change", || {
        let rows = org.rows("/api/v1/audit/search?target=logs");
        let mut actions: Vec<&str> = rows
            .iter()
            .filter_map(|row| row["action"].as_str())
            .collect();
        actions.sort_unstable();
        match actions == ["pipeline.delete", "pipeline.put", "pipeline.put"] {
            true => Ok(()),
            false => Err(rows),
        }
    });
}
