//! Built-in rules of a newer program: organisations that had those of an older one are given what is
//! new, and what they chose stays.

use crate::commit::alert;
use crate::stage::{Stage, shard};
use millrace_detection::builtin;
use millrace_shared::Signal;
use serde_json::{Value, json};

/// Those that the older program does not have, and those that it has in other words.
const NEW: [&str; 2] = ["SECRET_LEAK", "ERROR_BURST"];
const OLD: [&str; 4] = [
    "BRUTE_FORCE_ATTACK",
    "CSRF_ATTACK",
    "MASS_DATA_ACCESS",
    "RATE_LIMIT_BREACH",
];

/// The documents of an older program.
fn older() -> Vec<Value> {
    let documents = builtin::documents().unwrap();
    let mut documents = documents.as_array().unwrap().clone();
    documents.retain(|rule| !NEW.contains(&rule["id"].as_str().unwrap()));
    for rule in &mut documents {
        if OLD.contains(&rule["id"].as_str().unwrap()) {
            rule["name"] = json!("An older name");
            rule["version"] = json!(0);
        }
    }
    documents
}

fn offer(stage: &Stage, documents: &[Value]) {
    let documents = Value::from(documents).to_string().replace('\'', "''");
    stage.sql(&format!(
        "SELECT FROM offer_builtin_rules('{documents}', 'older', '{}')",
        stage.org
    ));
}

/// Does something to the present version of a rule, as a change through the API does.
fn change(stage: &Stage, id: &str, enabled: bool, body: &str) {
    stage.sql(&format!(
        "WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(7770001)), \
              taken AS MATERIALIZED (SELECT nextval('control_revision') AS revision FROM locked) \
         UPDATE rule SET until_revision = taken.revision FROM taken \
          WHERE org_id = '{}' AND id = '{id}' AND until_revision IS NULL",
        stage.org
    ));
    stage.sql(&format!(
        "INSERT INTO rule (org_id, id, version, enabled, builtin, body, from_revision, changed_by) \
         SELECT org_id, id, 2, {enabled}, true, \
                body || '{{\"version\": 2, \"enabled\": {enabled}}}' || '{body}', until_revision, 'them' \
           FROM rule WHERE org_id = '{}' AND id = '{id}' AND version = 1",
        stage.org
    ));
}

/// Number of versions, whether the present one runs, its name and who made it.
fn now(stage: &Stage, id: &str) -> Vec<String> {
    stage.texts(&format!(
        "SELECT (SELECT count(*) FROM rule AS v WHERE v.org_id = r.org_id AND v.id = r.id) \
                || ' ' || enabled || ' ' || (body ->> 'name') || ' by ' || changed_by \
           FROM rule AS r WHERE org_id = '{}' AND id = '{id}' AND until_revision IS NULL",
        stage.org
    ))
}

/// An organisation that was made without built-in rules.
fn without_any(stage: &Stage) -> String {
    let bare = uuid::Uuid::now_v7().to_string();
    stage.sql(&format!(
        "INSERT INTO organisation (id, name, pepper) VALUES ('{bare}', '{bare}', decode('{}', 'hex'))",
        "09".repeat(32)
    ));
    bare
}

/// Switches one off; changes one; removes one; and makes one of their own by the name of one that is
/// yet to come.
fn choose(stage: &Stage) {
    change(stage, "CSRF_ATTACK", false, "{}");
    change(
        stage,
        "RATE_LIMIT_BREACH",
        true,
        r#"{"severity": "critical"}"#,
    );
    stage.sql(&format!(
        "UPDATE rule SET until_revision = nextval('control_revision') \
          WHERE org_id = '{}' AND id = 'MASS_DATA_ACCESS'",
        stage.org
    ));
    stage.sql(&format!(
        "INSERT INTO rule (org_id, id, version, enabled, body, from_revision, changed_by) \
         SELECT org_id, 'ERROR_BURST', 1, true, body || '{{\"id\": \"ERROR_BURST\"}}', from_revision, 'them' \
           FROM rule WHERE org_id = '{}' AND id = 'BRUTE_FORCE_ATTACK'",
        stage.org
    ));
}

/// What came of it.
fn chosen_and_new(stage: &Stage) {
    assert_eq!(
        now(stage, "SECRET_LEAK"),
        ["1 true Secret leak by millrace"]
    );
    assert_eq!(
        now(stage, "BRUTE_FORCE_ATTACK"),
        ["2 true Brute force attack by millrace"]
    );
    let csrf = now(stage, "CSRF_ATTACK");
    assert!(
        csrf[0].starts_with("3 false ") && csrf[0].ends_with(" by millrace"),
        "{csrf:?}"
    );
    assert_eq!(
        now(stage, "RATE_LIMIT_BREACH"),
        ["2 true An older name by them"]
    );
    assert_eq!(now(stage, "MASS_DATA_ACCESS"), Vec::<String>::new());
    assert_eq!(now(stage, "ERROR_BURST"), ["1 true An older name by them"]);
}

#[test]
fn what_is_new_comes_with_a_newer_program_and_what_was_chosen_stays() {
    let stage = Stage::new();
    let bare = without_any(&stage);
    offer(&stage, &older());
    let count = || {
        stage.number(&format!(
            "SELECT count(*) FROM rule WHERE org_id = '{}'",
            stage.org
        ))
    };
    let before = i64::try_from(older().len()).unwrap();
    assert_eq!(count(), before);
    choose(&stage);
    for round in 1..=2 {
        let worker = stage.worker(&[]);
        let log = json!({"logs": [{"service": "shop", "message": "m"}]});
        stage.append(shard(Signal::Logs, 1), &log, 1);
        stage.until("it works", &(round, round), || stage.rows("logs"));
        stage.until("the record", &(1, 1), || stage.rows("audit_events"));
        chosen_and_new(&stage);
        // Two changed, one new by them, one new, two renewed.
        assert_eq!(count(), before + 6);
        worker.stop();
    }
    let told = stage.ask(&format!(
        "SELECT Action, ActorId, Metadata['added'], Metadata['renewed'], Metadata['kept'], Metadata['removed'] \
           FROM millrace.audit_events WHERE OrgId = '{}' FORMAT TabSeparatedRaw",
        stage.org
    ));
    let expected = r#"rule.builtin	millrace	["SECRET_LEAK"]	["BRUTE_FORCE_ATTACK","CSRF_ATTACK"]	["ERROR_BURST","RATE_LIMIT_BREACH"]	["MASS_DATA_ACCESS"]"#;
    assert_eq!(told.trim(), expected);
    let of_bare = format!("SELECT count(*) FROM rule WHERE org_id = '{bare}'");
    assert_eq!(stage.number(&of_bare), 0, "made without, it stays without");

    // What is new judges what comes.
    let worker = stage.worker(&[]);
    let leak = json!({"logs": [{"service": "shop", "message": "uses AKIAZ7QX2MVR5T4WKB3N"}]});
    stage.append(shard(Signal::Logs, 0), &leak, 1);
    stage.until("the alert", &1, || alert(&stage, "count(*)"));
    worker.stop();
    let rules = format!("SELECT rule_id FROM alert WHERE org_id = '{}'", stage.org);
    assert_eq!(stage.texts(&rules), ["SECRET_LEAK"]);
}

#[test]
fn an_older_program_takes_nothing_back() {
    let stage = Stage::new();
    let newer: Vec<Value> = builtin::documents().unwrap().as_array().unwrap().clone();
    offer(&stage, &newer);
    let versions = format!(
        "SELECT id || ' ' || version || ' ' || from_revision FROM rule WHERE org_id = '{}' ORDER BY id",
        stage.org
    );
    let before = stage.texts(&versions);
    assert_eq!(before.len(), newer.len());
    offer(&stage, &older());
    assert_eq!(stage.texts(&versions), before);
    offer(&stage, &newer);
    assert_eq!(stage.texts(&versions), before);
}

/// What an installation from before this was kept has: rules, and nothing about what was offered.
#[test]
fn organisations_from_before_offers_were_kept_are_offered_what_is_new() {
    let stage = Stage::new();
    offer(&stage, &older());
    change(&stage, "CSRF_ATTACK", false, "{}");
    stage.sql(&format!(
        "DELETE FROM builtin_rule WHERE org_id = '{}'",
        stage.org
    ));
    // As the migration does, applied once more.
    let migration = include_str!("../../../timescale-init/120_builtin_rules.sql");
    stage.runtime.block_on(async {
        let client = stage.pool.get().await.unwrap();
        client.batch_execute(migration).await.unwrap();
    });
    let worker = stage.worker(&[]);
    stage.until("the record", &(1, 1), || stage.rows("audit_events"));
    worker.stop();
    assert_eq!(
        now(&stage, "SECRET_LEAK"),
        ["1 true Secret leak by millrace"]
    );
    let csrf = now(&stage, "CSRF_ATTACK");
    assert!(
        csrf[0].starts_with("3 false ") && csrf[0].ends_with(" by millrace"),
        "{csrf:?}"
    );
}
