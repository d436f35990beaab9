//! Rules, indicators and policies that change while a batch is under way: whoever makes it again
//! makes it with what stood when it was prepared, and the next one with what stands then.

use crate::stage::{Stage, shard};
use millrace_shared::Signal;
use normalizer_worker::housekeeping;
use serde_json::{Value, json};

/// A statement under a revision of its own, which it may use as `r`.
fn under_revision(stage: &Stage, statement: &str) {
    stage.sql(&format!(
        "WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(7770001)), \
              revision AS MATERIALIZED (SELECT nextval('control_revision') AS r FROM locked) {statement}"
    ));
}

fn rule(stage: &Stage, id: &str, version: i32) {
    let body = json!({
        "id": id, "name": id, "version": version, "severity": "high", "message": "{service} was seen",
        "scope": ["logs"], "selection": [{"field": "service", "op": "eq", "value": "watched"}],
    });
    under_revision(
        stage,
        &format!(
            "INSERT INTO rule (org_id, id, version, enabled, body, from_revision) \
             SELECT '{}', '{id}', {version}, true, '{body}', r FROM revision",
            stage.org
        ),
    );
}

fn close(stage: &Stage, table: &str) {
    under_revision(
        stage,
        &format!(
            "UPDATE {table} SET until_revision = r FROM revision \
              WHERE org_id = '{}' AND until_revision IS NULL",
            stage.org
        ),
    );
}

/// An indicator of a feed of the organisation's own; its id.
fn indicator(stage: &Stage, value: &str) -> i64 {
    stage.sql(&format!(
        "INSERT INTO indicator_feed (org_id, name) VALUES ('{}', 'own') ON CONFLICT DO NOTHING",
        stage.org
    ));
    under_revision(
        stage,
        &format!(
            "INSERT INTO indicator (feed_id, org_id, kind, value, confidence, severity, from_revision) \
             SELECT f.id, f.org_id, 'ipv4', '{value}', 90, 'high', r FROM revision, indicator_feed AS f \
              WHERE f.org_id = '{}'",
            stage.org
        ),
    );
    stage.number(&format!(
        "SELECT id FROM indicator WHERE org_id = '{}' AND value = '{value}'",
        stage.org
    ))
}

fn policy(stage: &Stage, policy: &Value) {
    stage.sql(&format!(
        "UPDATE organisation SET pii_policy = '{policy}' WHERE id = '{}'",
        stage.org
    ));
}

/// What became of the log with that number: text, rules, indicators.
fn row(stage: &Stage, number: u32) -> Value {
    let sql = format!(
        "SELECT Body AS body, RuleMatches AS rules, arrayMap(i -> toUInt32(i), IndicatorIds) AS indicators \
           FROM millrace.logs WHERE OrgId = '{}' AND startsWith(Body, 'n{number} ') FORMAT JSONEachRow",
        stage.org
    );
    serde_json::from_str(stage.ask(&sql).trim()).unwrap_or(Value::Null)
}

fn send(stage: &Stage, number: u32) {
    let message = format!("n{number} jane@example.com from 5.188.206.14 and 5.188.206.15");
    let body = json!({"logs": [{"service": "watched", "message": message}]});
    stage.append(shard(Signal::Logs, 0), &body, 1);
}

/// Alerts of the organisation: rule, version, events counted.
fn alerts(stage: &Stage) -> Vec<String> {
    stage.texts(&format!(
        "SELECT concat_ws(' ', rule_id, rule_version, count) FROM alert WHERE org_id = '{}' ORDER BY 1",
        stage.org
    ))
}

#[test]
fn a_batch_keeps_its_rules_indicators_and_policy_through_a_take_over() {
    let stage = Stage::new();
    rule(&stage, "FIRST", 1);
    let first = indicator(&stage, "5.188.206.14");
    policy(&stage, &json!({"classes": {"email": "mask"}}));
    send(&stage, 1);
    for (round, step) in ["prepared", "posted", "committing"].into_iter().enumerate() {
        let mut doomed = stage.worker(&[("MILLRACE_FAIL_POINT", step)]);
        assert!(!doomed.ended(), "the worker outlived {step}");
        if round == 0 {
            // Everything changes between the preparing and the take-over, in several revisions.
            close(&stage, "rule");
            rule(&stage, "FIRST", 2);
            close(&stage, "rule");
            rule(&stage, "SECOND", 1);
            close(&stage, "indicator");
            policy(&stage, &json!({"classes": {"email": "remove"}}));
            policy(&stage, &json!({"classes": {"email": "redact"}}));
        }
    }
    let second = indicator(&stage, "5.188.206.15");
    let heir = stage.worker(&[]);
    let before = json!({"body": "n1 j***@example.com from 5.188.206.14 and 5.188.206.15",
                        "rules": ["FIRST"], "indicators": [first]});
    stage.until("the row of the old revision", &before, || row(&stage, 1));
    stage.until("its alert", &vec!["FIRST 1 1".to_owned()], || {
        alerts(&stage)
    });
    send(&stage, 2);
    let after = json!({"body": "n2 [EMAIL] from 5.188.206.14 and 5.188.206.15",
                       "rules": ["SECOND"], "indicators": [second]});
    stage.until("the row of the new revision", &after, || row(&stage, 2));
    let both = vec!["FIRST 1 1".to_owned(), "SECOND 1 1".to_owned()];
    stage.until("both alerts", &both, || alerts(&stage));
    stage.until("the books", &[2, 2, 0, 0], || stage.books());
    let revisions = "SELECT count(DISTINCT revision) FROM \
                     (SELECT revision FROM batch WHERE signal = 'logs' ORDER BY prepared_at DESC LIMIT 2) AS last";
    assert_eq!(stage.number(revisions), 2);
    heir.stop();
}

#[test]
fn a_repair_after_the_rules_have_changed_makes_the_same_rows() {
    let stage = Stage::new();
    rule(&stage, "FIRST", 1);
    send(&stage, 1);
    let worker = stage.worker(&[("MILLRACE_AUDIT_DELAY_S", "86400")]);
    stage.until("the books", &[1, 1, 0, 0], || stage.books());
    worker.stop();
    let before = row(&stage, 1);
    close(&stage, "rule");
    rule(&stage, "SECOND", 1);
    stage.ask(&format!(
        "ALTER TABLE millrace.logs DELETE WHERE OrgId = '{}' SETTINGS mutations_sync = 2",
        stage.org
    ));
    assert_eq!(row(&stage, 1), Value::Null);
    let worker = stage.worker(&[]);
    stage.until("the row again", &before, || row(&stage, 1));
    stage.until("an empty stream", &0, || {
        stage.length(shard(Signal::Logs, 0))
    });
    assert_eq!(alerts(&stage), ["FIRST 1 1"], "it has fired once");
    worker.stop();
}

#[test]
fn indicators_that_ended_or_ran_out_long_ago_are_removed() {
    let stage = Stage::new();
    let is = |value: &str, what: &str, days: i32| {
        let id = indicator(&stage, value);
        let when = format!("now() - make_interval(days => {days}, secs => 1)");
        stage.sql(&format!(
            "UPDATE indicator SET {what} = {when} WHERE id = {id}"
        ));
        id
    };
    for (value, days) in [("203.0.113.1", 30), ("203.0.113.2", 29)] {
        let id = is(value, "ended_at", days);
        stage.sql(&format!(
            "UPDATE indicator SET until_revision = from_revision + 1 WHERE id = {id}"
        ));
    }
    is("203.0.113.3", "expires_at", 30);
    is("203.0.113.4", "expires_at", 29);
    indicator(&stage, "203.0.113.5");
    // What the server of a feed still lists would come again.
    stage.sql(&format!(
        "INSERT INTO indicator_feed (org_id, name, url) VALUES ('{0}', 'fetched', 'https://a.example.com/')",
        stage.org
    ));
    stage.sql(&format!(
        "INSERT INTO indicator (feed_id, org_id, kind, value, confidence, severity, from_revision, expires_at) \
         SELECT id, org_id, 'ipv4', '203.0.113.6', 90, 'high', 1, now() - interval '40 days' \
           FROM indicator_feed WHERE org_id = '{}' AND url <> ''",
        stage.org
    ));
    stage.sql(&format!(
        "UPDATE indicator_feed SET indicators = 3 WHERE org_id = '{}' AND name = 'own'",
        stage.org
    ));
    let left = format!(
        "SELECT sum(substr(value, 11)::int) FROM indicator WHERE org_id = '{}'",
        stage.org
    );
    stage.until("those of 30 days are gone", &(2 + 4 + 5 + 6), || {
        let round = housekeeping::round(&stage.pool, 30);
        stage.runtime.block_on(round).unwrap();
        stage.number(&left)
    });
    let counted = format!(
        "SELECT indicators FROM indicator_feed WHERE org_id = '{}' AND name = 'own'",
        stage.org
    );
    assert_eq!(stage.number(&counted), 2, "only one of them still counted");
}
