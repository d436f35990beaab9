//! What the commit transaction promises: alerts once, windows over several workers, limits.

use crate::stage::{STORM_SETTING, Stage, shard};
use millrace_shared::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(crate) fn add_rule(stage: &Stage, rule: &Value) {
    let id = rule["id"].as_str().unwrap();
    let body = rule.to_string().replace('\'', "''");
    // One statement: the revision is taken under its lock.
    stage.sql(&format!(
        "WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(7770001)) \
         INSERT INTO rule (org_id, id, version, enabled, body, from_revision) \
         SELECT '{}', '{id}', 1, true, '{body}', nextval('control_revision') FROM locked",
        stage.org
    ));
}

fn failures(count: usize, ip: &str) -> Value {
    let event = json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE",
                       "service": "api", "ip": ip});
    json!({"events": vec![event; count]})
}

fn brute_force() -> Value {
    json!({
        "id": "BRUTE", "name": "Brute force", "version": 1, "severity": "high",
        "message": "Many failed logins", "scope": ["audit"],
        "selection": [{"field": "outcome", "op": "eq_ci", "value": "FAILURE"}],
        "window": {"kind": "count", "seconds": 300, "threshold": 5},
        "group_by": ["ip"], "dedupe": {"keys": ["ip"], "window_seconds": 600},
    })
}

pub(crate) fn alert(stage: &Stage, what: &str) -> i64 {
    stage.number(&format!(
        "SELECT {what} FROM alert WHERE org_id = '{}'",
        stage.org
    ))
}

#[test]
fn a_window_fills_over_shards_and_workers_and_raises_one_alert() {
    let stage = Stage::new();
    add_rule(&stage, &brute_force());
    let workers = [
        stage.worker(&[("MILLRACE_WORKER_NAME", "a")]),
        stage.worker(&[("MILLRACE_WORKER_NAME", "b")]),
    ];
    for number in 0..4 {
        stage.append(
            shard(Signal::Audit, number % 2),
            &failures(1, "198.51.100.7"),
            1,
        );
    }
    stage.until("four events", &(4, 4), || stage.rows("audit_events"));
    stage.until("the books", &[4, 4, 0, 0], || stage.books());
    assert_eq!(alert(&stage, "count(*)"), 0);
    stage.append(shard(Signal::Audit, 0), &failures(1, "198.51.100.7"), 1);
    stage.until("the alert", &(1, 5), || {
        (alert(&stage, "count(*)"), alert(&stage, "sum(count)"))
    });
    stage.append(shard(Signal::Audit, 1), &failures(7, "198.51.100.7"), 7);
    stage.append(shard(Signal::Audit, 0), &failures(6, "198.51.100.8"), 6);
    stage.until("both alerts", &(2, 18), || {
        (alert(&stage, "count(*)"), alert(&stage, "sum(count)"))
    });
    let events = format!(
        "SELECT count(*) FROM alert_event WHERE org_id = '{}'",
        stage.org
    );
    assert_eq!(stage.number(&events), 2);
    drop(workers);
}

#[test]
fn a_new_alert_leaves_a_notification_where_a_channel_wants_it() {
    let stage = Stage::new();
    add_channel(&stage, "medium");
    add_rule(&stage, &brute_force());
    let low = json!({"id": "LOW", "name": "Low", "version": 1, "severity": "low", "message": "m",
                     "scope": ["audit"], "selection": [{"field": "outcome", "op": "eq_ci", "value": "FAILURE"}]});
    add_rule(&stage, &low);
    let worker = stage.worker(&[]);
    stage.append(shard(Signal::Audit, 0), &failures(6, "198.51.100.9"), 6);
    stage.until("the alert", &true, || {
        alert(&stage, "count(*) FILTER (WHERE rule_id = 'BRUTE')") == 1
    });
    assert!(alert(&stage, "count(*) FILTER (WHERE rule_id = 'LOW')") > 0);
    let outbox = format!("SELECT count(*) FROM outbox WHERE org_id = '{}'", stage.org);
    assert_eq!(stage.number(&outbox), 1);
    worker.stop();
}

#[test]
fn a_rule_works_within_seconds_of_its_writing() {
    let stage = Stage::new();
    let worker = stage.worker(&[]);
    stage.append(shard(Signal::Audit, 0), &failures(1, "198.51.100.1"), 1);
    stage.until("the first event", &(1, 1), || stage.rows("audit_events"));
    // What a batch takes on this machine, just now.
    let begun = Instant::now();
    stage.append(shard(Signal::Audit, 0), &failures(1, "198.51.100.1"), 1);
    stage.until("the second event", &(2, 2), || stage.rows("audit_events"));
    let usual = begun.elapsed();
    add_rule(&stage, &brute_force());
    let written = Instant::now();
    let mut sent = 0;
    stage.until("an alert", &true, || {
        stage.append(
            shard(Signal::Audit, 0),
            &failures(5, &format!("198.51.100.{}", sent % 200)),
            5,
        );
        sent += 1;
        std::thread::sleep(Duration::from_millis(300));
        alert(&stage, "count(*)") > 0
    });
    let took = written.elapsed();
    assert!(
        took < Duration::from_secs(20) + 10 * usual,
        "{took:?} {usual:?}"
    );
    worker.stop();
}

#[test]
fn series_over_the_limit_are_rejected_and_the_books_balance() {
    let stage = Stage::new();
    let metrics: Vec<Value> = (0..10)
        .map(|n| json!({"name": "m", "value": n, "service": "s", "labels": {"n": n.to_string()}}))
        .collect();
    let worker = stage.worker(&[("MILLRACE_SERIES_MAX", "7")]);
    stage.append(shard(Signal::Metrics, 0), &json!({"metrics": metrics}), 10);
    stage.until("the books", &[10, 7, 3, 0], || stage.books());
    stage.append(shard(Signal::Metrics, 0), &json!({"metrics": metrics}), 10);
    stage.until("the books", &[20, 14, 6, 0], || stage.books());
    worker.stop();
}

#[test]
fn audit_rows_are_sealed_into_a_chain() {
    let stage = Stage::new();
    let worker = stage.worker(&[]);
    for round in 1..=3 {
        stage.append(
            shard(Signal::Audit, round % 2),
            &failures(2, "198.51.100.7"),
            2,
        );
        let sealed = format!(
            "SELECT sum(rows) FROM audit_seal WHERE org_id = '{}'",
            stage.org
        );
        stage.until("a seal", &(i64::from(round) * 2), || stage.number(&sealed));
    }
    let broken = format!(
        "SELECT count(*) FROM audit_seal AS one \
          WHERE org_id = '{}' AND number > 0 AND NOT EXISTS \
            (SELECT 1 FROM audit_seal AS before WHERE before.org_id = one.org_id AND before.number = one.number - 1)",
        stage.org
    );
    assert_eq!(stage.number(&broken), 0);
    worker.stop();
}

#[test]
fn indicators_of_files_match_and_cease_with_the_file() {
    let stage = Stage::new();
    let directory = std::env::temp_dir().join(format!("millrace-{}", stage.org));
    std::fs::create_dir(&directory).unwrap();
    let list = directory.join(format!("{}.txt", stage.org));
    std::fs::write(&list, "# addresses\n5.188.206.14\nevil[.]badsite.com\n").unwrap();
    let csv = directory.join(format!("{}.csv", stage.org));
    std::fs::write(
        &csv,
        "type,value,confidence,severity,tags\nipv4,5.188.206.15,90,high,\"a,b\"\n",
    )
    .unwrap();
    let settings = [("MILLRACE_INDICATORS_DIR", directory.to_str().unwrap())];
    let worker = stage.worker(&settings);
    let current = format!(
        "SELECT count(*) FROM indicator JOIN indicator_feed AS feed ON feed.id = feed_id \
          WHERE feed.name LIKE '{}.%' AND until_revision IS NULL",
        stage.org
    );
    stage.until("indicators", &3, || stage.number(&current));
    let logs = shard(Signal::Logs, 0);
    let log = json!({"logs": [
        {"service": "s", "message": "connect from 5.188.206.14"},
        {"service": "s", "message": "connect from 5.188.206.15"},
        {"service": "s", "message": "connect from 5.188.206.16"},
    ]});
    let scored = || {
        stage.counts(&format!(
            "SELECT count(), countIf(RiskScore > 0 AND notEmpty(IndicatorIds)) FROM millrace.logs WHERE OrgId = '{}'",
            stage.org
        ))
    };
    stage.append(logs, &log, 3);
    stage.until("scored rows", &vec![3, 2], scored);
    std::fs::remove_file(&csv).unwrap();
    stage.until("closed indicators", &2, || stage.number(&current));
    std::fs::write(&list, "evil[.]badsite.com\n").unwrap();
    stage.until("closed indicators", &1, || stage.number(&current));
    let mut rows = 3;
    stage.until("rows without a score", &true, || {
        let before = scored();
        stage.append(logs, &log, 3);
        rows += 3;
        stage.until("more rows", &rows, || scored()[0]);
        scored()[1] == before[1]
    });
    worker.stop();
    std::fs::remove_dir_all(&directory).unwrap();
}

/// A channel of the stage's organisation that is told of everything from a severity on.
fn add_channel(stage: &Stage, min_severity: &str) {
    stage.sql(&format!(
        "INSERT INTO notification_channel (id, org_id, name, kind, min_severity) \
         VALUES (gen_random_uuid(), '{}', 'c', 'webhook', '{min_severity}')",
        stage.org
    ));
}

/// Messages about one kind of happening.
fn told(stage: &Stage, event: &str) -> i64 {
    stage.number(&format!(
        "SELECT count(*) FROM outbox WHERE org_id = '{}' AND event = '{event}'",
        stage.org
    ))
}

/// A rule that fires on every failure, and counts those with the same value of a field as one.
fn every_failure(id: &str, field: &str) -> Value {
    json!({
        "id": id, "name": id, "version": 1, "severity": "high", "message": "m", "scope": ["audit"],
        "selection": [{"field": "outcome", "op": "eq_ci", "value": "FAILURE"}],
        "dedupe": {"keys": [field], "window_seconds": 600},
    })
}

/// Failures in each entry of a storm; each of them is a match of two rules.
const STORM_EVENTS: u32 = 1_000;

/// Time in which a storm must get on: what is between two batches of fifty entries, which take seconds on a
/// machine that has nothing else to do. However large it is, it is waited for as long as it does.
const STORM_PATIENCE: Duration = Duration::from_secs(240);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Entries of a storm: `MILLRACE_TEST_STORM=500` makes a million matches.
fn storm_entries() -> u32 {
    let given = std::env::var_os(STORM_SETTING).and_then(|given| given.into_string().ok());
    given.map_or(100, |given| given.parse().unwrap())
}

/// Waits until so many matches are counted, and says how fast that went.
#[expect(clippy::print_stdout, reason = "whoever makes a storm wants to see it")]
fn wait_for_storm(stage: &Stage, matches: i64) {
    let begun = Instant::now();
    let (mut counted, mut since) = (0, begun);
    while counted < matches {
        std::thread::sleep(LOOK_AGAIN);
        let now = alert(stage, "sum(count)");
        if now > counted {
            println!("{now} matches after {:.1} s", begun.elapsed().as_secs_f64());
            (counted, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < STORM_PATIENCE,
            "{counted} of {matches} matches are counted, and no more come"
        );
    }
}

#[test]
fn a_storm_of_matches_makes_few_alerts_with_exact_counts() {
    let stage = Stage::new();
    add_channel(&stage, "info");
    // One repeats itself, the other is never the same twice.
    add_rule(&stage, &every_failure("REPEATS", "ip"));
    add_rule(&stage, &every_failure("DISTINCT", "actor.id"));
    let worker = stage.worker(&[]);
    let (entries, events) = (storm_entries(), STORM_EVENTS);
    for entry in 0..entries {
        let failures: Vec<Value> = (0..events)
            .map(|n| {
                json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE",
                       "service": "api", "ip": format!("198.51.100.{}", n % 20),
                       "actor": {"id": format!("u-{entry}-{n}")}})
            })
            .collect();
        let shard = shard(Signal::Audit, u16::try_from(entry % 2).unwrap());
        stage.append(shard, &json!({"events": failures}), events);
    }
    let matches = i64::from(entries * events);
    wait_for_storm(&stage, 2 * matches);
    let of = |what: &str, rule: &str| {
        alert(&stage, &format!("{what} FILTER (WHERE rule_id = '{rule}')"))
    };
    assert_eq!(of("sum(count)", "REPEATS"), matches);
    assert_eq!(of("sum(count)", "DISTINCT"), matches);
    assert_eq!(of("count(*)", "REPEATS"), 20, "one for each address");
    // Two hundred one by one and the rest in one, or twice that where two shards met.
    let distinct = of("count(*)", "DISTINCT");
    assert!((201..=2 * 201).contains(&distinct), "{distinct}");
    let further = of("max(count)", "DISTINCT");
    assert!(further >= matches / 4, "{further}");
    // What was told is what there is, whatever was counted up.
    assert_eq!(told(&stage, "created"), 20 + distinct);
    let all = format!("SELECT count(*) FROM outbox WHERE org_id = '{}'", stage.org);
    assert_eq!(stage.number(&all), 20 + distinct);
    worker.stop();
}

#[test]
fn a_rule_whose_alerts_are_open_but_too_old_to_join_stays_bounded() {
    const ADDRESSES: i64 = 150;
    let stage = Stage::new();
    let mut rule = every_failure("SHORT", "ip");
    rule["dedupe"]["window_seconds"] = 1.into();
    add_rule(&stage, &rule);
    let worker = stage.worker(&[]);
    let now = millrace_runtime::clock::now_ns();
    // Everybody's matches lie a quarter of an hour apart: each is an alert of its own, until there are
    // too many of them.
    for round in 1..=3 {
        let at = millrace_shared::time::rfc3339(now - round * 900 * 1_000_000_000);
        let failures: Vec<Value> = (0..ADDRESSES)
            .map(|n| {
                json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE",
                       "service": "api", "ip": format!("198.51.100.{n}"), "timestamp": at})
            })
            .collect();
        stage.append(
            shard(Signal::Audit, 0),
            &json!({ "events": failures }),
            u32::try_from(ADDRESSES).unwrap(),
        );
        stage.until("the matches are counted", &(round * ADDRESSES), || {
            alert(&stage, "sum(count)")
        });
    }
    assert_eq!(alert(&stage, "count(*)"), 201);
    worker.stop();
}

#[test]
fn an_alert_that_becomes_graver_says_so_once_for_each_step() {
    let stage = Stage::new();
    add_channel(&stage, "high");
    let mut rule = every_failure("GRAVER", "ip");
    rule["severity"] = "medium".into();
    add_rule(&stage, &rule);
    let worker = stage.worker(&[]);
    let mut sent = 0;
    let mut send = || {
        stage.append(shard(Signal::Audit, 0), &failures(1, "198.51.100.7"), 1);
        sent += 1;
        stage.until("the match is counted", &sent, || {
            alert(&stage, "sum(count)")
        });
    };
    send();
    assert_eq!(alert(&stage, "count(*)"), 1);
    assert_eq!(
        (told(&stage, "created"), told(&stage, "severity_raised")),
        (0, 0)
    );
    // The rule is made graver; the alert that is open rises with its next firing.
    stage.sql(&format!(
        "WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(7770001)) \
         UPDATE rule SET body = jsonb_set(body, '{{severity}}', '\"critical\"'), \
                from_revision = nextval('control_revision') FROM locked WHERE org_id = '{}'",
        stage.org
    ));
    stage.until("the alert rises", &1, || {
        send();
        let risen = "count(*) FILTER (WHERE severity = 'critical' AND severity_rank = 4)";
        alert(&stage, risen)
    });
    send();
    send();
    assert_eq!(
        (told(&stage, "created"), told(&stage, "severity_raised")),
        (0, 1)
    );
    assert_eq!(alert(&stage, "count(*)"), 1);
    let history = format!(
        "SELECT count(*) FROM alert_event WHERE org_id = '{}' AND what = 'severity' \
            AND note = 'from medium to critical'",
        stage.org
    );
    assert_eq!(stage.number(&history), 1);
    worker.stop();
}
