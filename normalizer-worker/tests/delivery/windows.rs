//! What windows remember: once per batch whatever is killed, over shards, workers and restarts; and
//! silence, which no event tells of, reported once.

use crate::commit::{add_rule, alert};
use crate::faults::dies_at;
use crate::stage::{Stage, shard};
use millrace_shared::Signal;
use normalizer_worker::probe::Step;
use serde_json::{Value, json};

fn logs(level: &str, count: u32) -> Value {
    let record = json!({"service": "shop", "level": level, "message": "m"});
    json!({"logs": vec![record; count as usize]})
}

fn error_share() -> Value {
    json!({
        "id": "SHARE", "name": "Share", "version": 1, "severity": "high",
        "message": "Many errors of {service}: {level}", "scope": ["logs"],
        "selection": [{"field": "level", "op": "eq", "value": "error"}],
        "window": {"kind": "ratio", "seconds": 600, "threshold": 10, "percent": 50},
        "group_by": ["service"],
    })
}

fn count_and_sum(stage: &Stage) -> (i64, i64) {
    (alert(stage, "count(*)"), alert(stage, "sum(count)"))
}

#[test]
fn a_share_is_counted_once_over_shards_workers_and_a_commit_that_dies() {
    let stage = Stage::new();
    add_rule(&stage, &error_share());
    let workers = [
        stage.worker(&[("MILLRACE_WORKER_NAME", "a")]),
        stage.worker(&[("MILLRACE_WORKER_NAME", "b")]),
    ];
    stage.append(shard(Signal::Logs, 0), &logs("info", 12), 12);
    stage.append(shard(Signal::Logs, 1), &logs("error", 9), 9);
    stage.until("the books", &[21, 21, 0, 0], || stage.books());
    for worker in workers {
        worker.stop();
    }
    // The tenth error, and then 10 of 22: the commit is all but done and is not.
    stage.append(shard(Signal::Logs, 0), &logs("error", 1), 1);
    dies_at(&stage, Step::Committing);
    assert_eq!(count_and_sum(&stage), (0, 0));
    let worker = stage.worker(&[]);
    stage.until("the books", &[22, 22, 0, 0], || stage.books());
    assert_eq!(count_and_sum(&stage), (0, 0));
    // 12 of 24 are half; counted twice the one before would have been 13 of 25.
    stage.append(shard(Signal::Logs, 1), &logs("error", 2), 2);
    stage.until("the alert", &(1, 12), || count_and_sum(&stage));
    worker.stop();
    let messages = format!("SELECT message FROM alert WHERE org_id = '{}'", stage.org);
    assert_eq!(stage.texts(&messages), ["Many errors of shop: error"]);
    // What only counts in the base is no match of the rule.
    let matched = format!(
        "SELECT countIf(has(RuleMatches, 'SHARE')), count() FROM millrace.logs WHERE OrgId = '{}'",
        stage.org
    );
    assert_eq!(stage.counts(&matched), [12, 24]);
}

#[test]
fn a_budget_burns_once_over_shards_workers_and_a_commit_that_dies() {
    let stage = Stage::new();
    let rule = json!({
        "id": "BURN", "name": "Burn", "version": 1, "severity": "high",
        "message": "{service} burns its budget", "scope": ["logs"],
        "selection": [{"field": "level", "op": "eq", "value": "error"}],
        "window": {"kind": "burn_rate", "objective": 90,
                   "rates": [{"factor": 2, "seconds": 900, "short_seconds": 60}]},
        "group_by": ["service"],
    });
    add_rule(&stage, &rule);
    let workers = [
        stage.worker(&[("MILLRACE_WORKER_NAME", "a")]),
        stage.worker(&[("MILLRACE_WORKER_NAME", "b")]),
    ];
    // One after the other: the errors alone would be all there is, and burn the budget.
    stage.append(shard(Signal::Logs, 0), &logs("info", 12), 12);
    stage.until("the first books", &[12, 12, 0, 0], || stage.books());
    stage.append(shard(Signal::Logs, 1), &logs("error", 3), 3);
    stage.until("the books", &[15, 15, 0, 0], || stage.books());
    for worker in workers {
        worker.stop();
    }
    // Three of fifteen are a fifth, which is what the pace allows.
    assert_eq!(count_and_sum(&stage), (0, 0));
    stage.append(shard(Signal::Logs, 0), &logs("error", 1), 1);
    dies_at(&stage, Step::Committing);
    assert_eq!(count_and_sum(&stage), (0, 0));
    let worker = stage.worker(&[]);
    stage.until("the alert", &(1, 4), || count_and_sum(&stage));
    worker.stop();
    let messages = format!("SELECT message FROM alert WHERE org_id = '{}'", stage.org);
    assert_eq!(stage.texts(&messages), ["shop burns its budget"]);
}

#[test]
fn a_counter_grows_over_shards_by_series_and_restarts() {
    let stage = Stage::new();
    let rule = json!({
        "id": "GROWS", "name": "Grows", "version": 1, "severity": "high",
        "message": "{name} of {service}", "scope": ["metrics"],
        "selection": [{"field": "name", "op": "eq", "value": "failures_total"}],
        "window": {"kind": "measure", "of": "increase", "field": "value", "seconds": 3600,
                   "bounds": {"gte": 10}},
        "group_by": ["service"],
    });
    add_rule(&stage, &rule);
    let now = millrace_runtime::clock::now_ns() / 1_000_000;
    let sample = |host: &str, second: i64, value: u32| {
        json!({"name": "failures_total", "type": "counter", "service": "shop", "host": host,
               "value": value, "timestamp": now - 100_000 + second * 1_000})
    };
    // One of two hosts grows by eleven, and not in the order in which it is told of.
    let bodies = [
        [sample("a", 0, 500), sample("b", 1, 9_000)],
        [sample("a", 30, 509), sample("b", 31, 9_001)],
        [sample("a", 10, 504), sample("b", 11, 9_000)],
        [sample("a", 40, 511), sample("b", 41, 9_001)],
    ];
    let mut sent = 0;
    for (number, samples) in (0..).zip(bodies) {
        assert_eq!(count_and_sum(&stage), (0, 0));
        let worker = stage.worker(&[]);
        let body = json!({ "metrics": samples });
        stage.append(shard(Signal::Metrics, number % 2), &body, 2);
        sent += 2;
        stage.until("the books", &[sent, sent, 0, 0], || stage.books());
        worker.stop();
    }
    assert_eq!(count_and_sum(&stage), (1, 4));
    let messages = format!("SELECT message FROM alert WHERE org_id = '{}'", stage.org);
    assert_eq!(stage.texts(&messages), ["failures_total of shop"]);
}

#[test]
fn values_seen_are_remembered_over_a_restart() {
    let stage = Stage::new();
    let rule = json!({
        "id": "NEW", "name": "New", "version": 1, "severity": "high", "message": "New: {country}",
        "scope": ["audit"], "selection": [{"field": "country", "op": "exists"}],
        "window": {"kind": "new_value", "days": 7, "field": "country"},
        "group_by": ["actor"],
    });
    add_rule(&stage, &rule);
    let from = |countries: &[&str]| {
        let event = |country: &&str| {
            json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "SUCCESS",
                   "service": "api", "country": country, "actor": {"id": "u1"}})
        };
        json!({"events": countries.iter().map(event).collect::<Vec<_>>()})
    };
    let (mut sent, mut count) = (0, 0);
    for (number, countries) in [&["DE"][..], &["DE", "BR", "DE"], &["BR"]]
        .into_iter()
        .enumerate()
    {
        let worker = stage.worker(&[]);
        let shard_number = u16::try_from(number % 2).unwrap();
        let events = u32::try_from(countries.len()).unwrap();
        stage.append(shard(Signal::Audit, shard_number), &from(countries), events);
        sent += i64::from(events);
        stage.until("the books", &[sent, sent, 0, 0], || stage.books());
        worker.stop();
        count += i64::from(number == 1);
        assert_eq!(count_and_sum(&stage), (count, count), "{countries:?}");
    }
    // It tells of the country that is new, not of the one that came first.
    let messages = format!("SELECT message FROM alert WHERE org_id = '{}'", stage.org);
    assert_eq!(stage.texts(&messages), ["New: BR"]);
}

#[test]
fn silence_is_reported_once_and_again_only_after_words() {
    let stage = Stage::new();
    let rule = json!({
        "id": "QUIET", "name": "Quiet", "version": 1, "severity": "medium",
        "message": "{service} has fallen silent", "scope": ["logs"],
        "selection": [{"field": "message", "op": "exists"}],
        "window": {"kind": "silence", "seconds": 2},
        "group_by": ["service"], "dedupe": {"keys": ["service"], "window_seconds": 1},
    });
    add_rule(&stage, &rule);
    let workers = [
        stage.worker(&[("MILLRACE_WORKER_NAME", "a")]),
        stage.worker(&[("MILLRACE_WORKER_NAME", "b")]),
    ];
    stage.append(shard(Signal::Logs, 0), &logs("info", 5), 5);
    stage.until("the alert", &(1, 1), || count_and_sum(&stage));
    let waiting = format!(
        "SELECT count(*) FROM rule_window WHERE org_id = '{}' AND due_at IS NOT NULL",
        stage.org
    );
    assert_eq!(stage.number(&waiting), 0);
    stage.append(shard(Signal::Logs, 1), &logs("info", 1), 1);
    stage.until("the second alert", &(2, 2), || count_and_sum(&stage));
    drop(workers);
    // It tells of what is silent, and who was told.
    let told = format!(
        "SELECT a.message || ' ' || a.group_key::text || ' ' || cardinality(a.event_ids) \
           FROM alert AS a JOIN alert_event AS e ON e.alert_id = a.id \
          WHERE a.org_id = '{}' AND e.what = 'created'",
        stage.org
    );
    let expected = r#"shop has fallen silent {"service": "shop"} 1"#;
    assert_eq!(stage.texts(&told), [expected, expected]);
}

/// The rule is made with another version from here on, which is switched off.
fn switch_off(stage: &Stage, id: &str) {
    let ours = format!("org_id = '{}' AND id = '{id}'", stage.org);
    stage.sql(&format!(
        "WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(7770001)) \
         UPDATE rule SET until_revision = nextval('control_revision') FROM locked WHERE {ours}"
    ));
    stage.sql(&format!(
        "INSERT INTO rule (org_id, id, version, enabled, body, from_revision) \
         SELECT org_id, id, 2, false, body, until_revision FROM rule WHERE {ours}"
    ));
}

#[test]
fn of_a_rule_that_is_switched_off_no_silence_is_waited_for() {
    let stage = Stage::new();
    let rule = json!({
        "id": "QUIET", "name": "Quiet", "version": 1, "severity": "medium", "message": "m",
        "scope": ["logs"], "selection": [{"field": "message", "op": "exists"}],
        "window": {"kind": "silence", "seconds": 3}, "group_by": ["service"],
    });
    add_rule(&stage, &rule);
    stage.append(shard(Signal::Logs, 0), &logs("info", 1), 1);
    // The batch is made with the rule as it was, and committed when it is no more: however long that takes,
    // its silence is due under a rule that is switched off.
    dies_at(&stage, Step::Prepared);
    switch_off(&stage, "QUIET");
    let worker = stage.worker(&[]);
    stage.until("the books", &[1, 1, 0, 0], || stage.books());
    let groups = format!(
        "SELECT count(*) FROM rule_window WHERE org_id = '{}'",
        stage.org
    );
    assert_eq!(stage.number(&groups), 1, "somebody has waited");
    let waiting = format!("{groups} AND due_at IS NOT NULL");
    stage.until("nobody waits", &0, || stage.number(&waiting));
    assert_eq!(alert(&stage, "count(*)"), 0);
    worker.stop();
}
