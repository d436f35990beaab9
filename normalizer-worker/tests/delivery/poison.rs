//! Poison of every kind: parked alone, its neighbours stored, the books right, the shard going on.

use crate::stage::{Stage, shard};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{ShardId, StreamId};
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::limits::{NS_PER_DAY, retention_days};
use millrace_shared::wire::BodyFormat;
use normalizer_worker::housekeeping;
use serde_json::{Value, json};

/// All entries of a test in one batch, so that they are neighbours.
const TOGETHER: [(&str, &str); 1] = [crate::stage::TOGETHER];

/// A check on a table that refuses what a test calls poison; gone when dropped.
struct Refusal<'s> {
    stage: &'s Stage,
    table: &'static str,
}

impl<'s> Refusal<'s> {
    fn of(stage: &'s Stage, table: &'static str, check: &str) -> Self {
        // What other tests have stored is not judged.
        let later = if in_clickhouse(table) {
            ""
        } else {
            "NOT VALID"
        };
        alter(
            stage,
            table,
            &format!("ADD CONSTRAINT poison CHECK {check} {later}"),
        );
        Refusal { stage, table }
    }
}

fn in_clickhouse(table: &str) -> bool {
    table.starts_with("millrace.")
}

fn alter(stage: &Stage, table: &str, change: &str) {
    let statement = format!("ALTER TABLE {table} {change}");
    if in_clickhouse(table) {
        stage.ask(&statement);
    } else {
        stage.sql(&statement);
    }
}

impl Drop for Refusal<'_> {
    fn drop(&mut self) {
        alter(self.stage, self.table, "DROP CONSTRAINT poison");
    }
}

fn logs(messages: &[&str]) -> Value {
    let log = |message: &&str| json!({"service": "s", "message": message});
    json!({ "logs": messages.iter().map(log).collect::<Vec<_>>() })
}

fn metric(name: &str) -> Value {
    json!({"name": name, "value": 1, "service": "s", "labels": {"a": "b"}})
}

/// Letters of the organisation, as "reason events_at events state".
fn letters(stage: &Stage) -> Vec<String> {
    stage.texts(&format!(
        "SELECT concat_ws(' ', reason, coalesce(events_at::text, 'whole'), events, state) \
           FROM dead_letter WHERE org_id = '{}' ORDER BY id",
        stage.org
    ))
}

fn samples(stage: &Stage) -> i64 {
    stage.number(&format!(
        "SELECT count(*) FROM metric_samples JOIN metric_series ON id = series_id WHERE org_id = '{}'",
        stage.org
    ))
}

fn all_done(stage: &Stage, shard: ShardId) {
    stage.until("an empty stream", &0, || stage.length(shard));
}

#[test]
fn a_value_that_clickhouse_refuses_is_parked_without_its_neighbours() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 1);
    let refusal = Refusal::of(&stage, "millrace.logs", "Body != 'POISON'");
    stage.append_logs(shard, 0, 5);
    stage.append(shard, &logs(&["a", "POISON", "b", "POISON"]), 4);
    stage.append_logs(shard, 50, 5);
    stage.append(shard, &logs(&["POISON"]), 1);
    let worker = stage.worker(&TOGETHER);
    stage.until("the books", &[105, 102, 0, 3], || stage.books());
    assert_eq!(stage.rows("logs"), (102, 102));
    let parked = [
        "refused_by_store {1,3} 2 PARKED",
        "refused_by_store whole 1 PARKED",
    ];
    assert_eq!(letters(&stage), parked);
    all_done(&stage, shard);
    assert_eq!(stage.rows("logs"), (102, 102));
    worker.stop();
    drop(refusal);
}

#[test]
fn entries_that_are_all_poison_are_parked_and_do_not_block_the_shard() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 0);
    let refusal = Refusal::of(&stage, "millrace.logs", "Body != 'POISON'");
    stage.append(shard, &logs(&["POISON"]), 1);
    stage.append(shard, &logs(&["POISON", "POISON"]), 2);
    let worker = stage.worker(&TOGETHER);
    stage.until("the books", &[3, 0, 0, 3], || stage.books());
    stage.append_logs(shard, 0, 1);
    stage.until("the books", &[13, 10, 0, 3], || stage.books());
    assert_eq!(stage.rows("logs"), (10, 10));
    all_done(&stage, shard);
    worker.stop();
    drop(refusal);
    let stray = "SELECT count() FROM millrace.logs WHERE OrgId = toUUID('00000000-0000-0000-0000-000000000000')";
    assert_eq!(stage.counts(stray), [0], "the touchstone is gone");
}

#[test]
fn a_store_that_refuses_everything_is_no_poison() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 0);
    let refusal = Refusal::of(&stage, "millrace.logs", "Body = 'never'");
    stage.append_logs(shard, 0, 3);
    let worker = stage.worker(&TOGETHER);
    let attempts =
        "SELECT coalesce(max(attempt), 0) FROM batch WHERE signal = 'logs' AND state = 'PREPARED'";
    stage.until("several attempts", &true, || stage.number(attempts) >= 2);
    assert_eq!(letters(&stage), [""; 0]);
    drop(refusal);
    stage.until("the books", &[30, 30, 0, 0], || stage.books());
    assert_eq!(stage.rows("logs"), (30, 30));
    worker.stop();
}

#[test]
fn a_sample_that_postgresql_refuses_is_parked_without_its_neighbours() {
    let stage = Stage::new();
    let shard = shard(Signal::Metrics, 0);
    let refusal = Refusal::of(&stage, "metric_series", "(name <> 'POISON')");
    let good = json!({"metrics": [metric("a"), metric("b")]});
    stage.append(shard, &good, 2);
    stage.append(
        shard,
        &json!({"metrics": [metric("a"), metric("POISON"), metric("c")]}),
        3,
    );
    stage.append(shard, &json!({"metrics": [metric("POISON")]}), 1);
    stage.append(shard, &good, 2);
    let worker = stage.worker(&TOGETHER);
    stage.until("the books", &[8, 6, 0, 2], || stage.books());
    assert_eq!(samples(&stage), 6);
    let parked = [
        "refused_by_store {1} 1 PARKED",
        "refused_by_store whole 1 PARKED",
    ];
    assert_eq!(letters(&stage), parked);
    all_done(&stage, shard);
    worker.stop();
    drop(refusal);
}

#[test]
fn what_the_commit_of_logs_refuses_is_parked_and_its_rows_are_taken_back() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 0);
    let refusal = Refusal::of(&stage, "source_health", "(service <> 'POISON')");
    stage.append_logs(shard, 0, 2);
    let mixed =
        json!({"logs": [{"service": "s", "message": "x"}, {"service": "POISON", "message": "y"}]});
    stage.append(shard, &mixed, 2);
    stage.append_logs(shard, 20, 2);
    let worker = stage.worker(&TOGETHER);
    stage.until("the books", &[42, 41, 0, 1], || stage.books());
    assert_eq!(stage.rows("logs"), (41, 41));
    assert_eq!(letters(&stage), ["refused_by_store {1} 1 PARKED"]);
    all_done(&stage, shard);
    worker.stop();
    drop(refusal);
}

#[test]
fn a_worker_killed_while_it_asks_postgresql_parks_the_poison_once() {
    let stage = Stage::new();
    let shard = shard(Signal::Metrics, 0);
    let refusal = Refusal::of(&stage, "metric_series", "(name <> 'POISON')");
    for (round, step) in (1..).zip(["bisecting", "bisected"]) {
        stage.append(
            shard,
            &json!({"metrics": [metric("a"), metric("POISON")]}),
            2,
        );
        let mut doomed = stage.worker(&[("MILLRACE_FAIL_POINT", step)]);
        assert!(!doomed.ended(), "the worker outlived {step}");
        let heir = stage.worker(&[]);
        stage.until(step, &[2 * round, round, 0, round], || stage.books());
        assert_eq!(
            (samples(&stage), letters(&stage).len()),
            (round, usize::try_from(round).unwrap())
        );
        heir.stop();
    }
    drop(refusal);
}

/// What ClickHouse was asked is stored until it is deleted. It may be as many rows as the batch has:
/// the row of the touchstone alone, or with the good half of an entry.
#[test]
fn a_worker_killed_while_it_asks_clickhouse_parks_the_poison_once() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 0);
    let refusal = Refusal::of(&stage, "millrace.logs", "Body != 'POISON'");
    // The batch is posted, and again when it is resolved; then come the questions.
    let questions = [
        (&["POISON"][..], "posted:3"),
        (&["a", "POISON"], "posted:5"),
        (&["a", "POISON"], "bisected"),
    ];
    let (mut all, mut good, mut bad) = (0, 0, 0);
    for (messages, step) in questions {
        let count = i64::try_from(messages.len()).unwrap();
        stage.append(shard, &logs(messages), u32::try_from(count).unwrap());
        (all, good, bad) = (all + count, good + count - 1, bad + 1);
        let mut doomed = stage.worker(&[("MILLRACE_FAIL_POINT", step)]);
        assert!(!doomed.ended(), "the worker outlived {step}");
        let heir = stage.worker(&[]);
        stage.until(step, &[all, good, 0, bad], || stage.books());
        let stored = u64::try_from(good).unwrap();
        assert_eq!(stage.rows("logs"), (stored, stored), "{step}");
        assert_eq!(letters(&stage).len(), usize::try_from(bad).unwrap());
        heir.stop();
    }
    drop(refusal);
}

/// What a broken gateway could write and PostgreSQL has no place for: an index row is bounded.
#[test]
fn a_key_id_of_kilobytes_is_parked_and_blocks_nobody() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 1);
    let mut meta = stage.meta(1);
    let mut hash = 17u64;
    let noise = || {
        hash = hash.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + u8::try_from(hash >> 57).unwrap() % 90)
    };
    meta.key = std::iter::repeat_with(noise).take(12_000).collect();
    stage.append_logs(shard, 0, 2);
    stage.append_raw(
        shard,
        &meta.to_text(),
        &pack(logs(&["x"]).to_string().as_bytes()),
    );
    stage.append_logs(shard, 20, 2);
    let worker = stage.worker(&TOGETHER);
    stage.until("the books", &[41, 40, 0, 1], || stage.books());
    assert_eq!(stage.rows("logs"), (40, 40));
    assert_eq!(letters(&stage), ["refused_by_store whole 1 PARKED"]);
    worker.stop();
}

#[test]
fn thousands_of_unreadable_events_are_one_letter() {
    let stage = Stage::new();
    let shard = shard(Signal::Metrics, 1);
    // Every second event lacks its value, as if the contract had not asked for it once.
    let event = |n: u32| match n % 2 {
        0 => metric("a"),
        _ => json!({"name": "a", "service": "s"}),
    };
    let events: Vec<Value> = (0..5000).map(event).collect();
    stage.append(shard, &json!({"metrics": events}), 5000);
    let worker = stage.worker(&TOGETHER);
    stage.until("the books", &[5000, 2500, 0, 2500], || stage.books());
    let listed = letters(&stage);
    assert!(
        listed.len() == 1 && listed[0].starts_with("undecodable {1,3,5,"),
        "{listed:?}"
    );
    worker.stop();
}

#[test]
fn an_entry_past_its_retention_is_parked_even_when_its_worker_dies() {
    let stage = Stage::new();
    for signal in [Signal::Logs, Signal::Metrics] {
        let shard = shard(signal, 0);
        let body = match signal {
            Signal::Metrics => json!({"metrics": [metric("a")]}),
            Signal::Logs | Signal::Traces | Signal::Rum | Signal::Audit => logs(&["late"]),
        };
        let mut meta = stage.meta(1);
        for days in [retention_days(signal) + 1, 20_000, 2] {
            meta.received_at = (stage.meta(1).received_at - days * NS_PER_DAY).max(0);
            stage.append_raw(shard, &meta.to_text(), &pack(body.to_string().as_bytes()));
        }
        stage.append(shard, &body, 1);
    }
    let mut doomed = stage.worker(&[("MILLRACE_FAIL_POINT", "prepared")]);
    assert!(!doomed.ended());
    let heir = stage.worker(&[]);
    stage.until("the books", &[8, 4, 0, 4], || stage.books());
    assert_eq!((stage.rows("logs"), samples(&stage)), ((2, 2), 2));
    assert_eq!(letters(&stage), ["too_old whole 1 PARKED"; 4]);
    all_done(&stage, shard(Signal::Logs, 0));
    heir.stop();
}

#[test]
fn a_time_of_receipt_that_no_store_knows_is_a_bad_entry() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 0);
    let mut meta = stage.meta(1);
    for at in [-1, i64::MIN, i64::MAX] {
        meta.received_at = at;
        stage.append_raw(shard, &meta.to_text(), &pack(b"{}"));
    }
    stage.append_logs(shard, 0, 1);
    let worker = stage.worker(&[]);
    stage.until("the books", &[10, 10, 0, 0], || stage.books());
    all_done(&stage, shard);
    let nobodys = "SELECT count(*) FROM dead_letter WHERE org_id IS NULL AND reason = 'bad_entry'";
    assert_eq!(stage.number(nobodys), 3);
    stage.sql("DELETE FROM dead_letter WHERE org_id IS NULL");
    worker.stop();
}

#[test]
fn rows_beyond_what_one_entry_may_make_are_parked_and_can_be_replayed() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 1);
    // A resource of 3.6 MB in each of 25 rows.
    let resource: serde_json::Map<String, Value> = (0..60)
        .map(|n| (format!("k{n}"), Value::String("x".repeat(60_000))))
        .collect();
    let events = vec![json!({"service": "s", "message": "m"}); 25];
    let body = json!({"logs": events, "resource": resource});
    stage.append_logs(shard, 0, 1);
    stage.append(shard, &body, 25);
    stage.append_logs(shard, 10, 1);
    let worker = stage.worker(&TOGETHER);
    stage.until("the books", &(45, 45), || {
        let books = stage.books();
        (books[0], books[1] + books[3])
    });
    let (stored, dead) = (stage.books()[1], stage.books()[3]);
    assert!(stored > 30 && dead > 5, "{stored} {dead}");
    let listed = letters(&stage);
    assert!(
        listed.len() == 1 && listed[0].starts_with("oversized {"),
        "{listed:?}"
    );
    replay(&stage, shard);
    stage.until("the books", &[45, 45, 0, 0], || stage.books());
    assert_eq!(stage.rows("logs"), (45, 45));
    worker.stop();
}

/// Appends the newest letter's entry again, as the tools do.
fn replay(stage: &Stage, shard: ShardId) -> (i64, StreamId) {
    let row = stage.runtime.block_on(async {
        let client = stage.pool.get().await.unwrap();
        let sql = "SELECT id, meta, body, events_at FROM dead_letter WHERE org_id = $1 ORDER BY id DESC LIMIT 1";
        client.query_one(sql, &[&stage.org]).await.unwrap()
    });
    let (id, meta, body): (i64, Vec<u8>, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
    let parked: Option<Vec<i32>> = row.get(3);
    let meta = Meta::parse(&meta).unwrap().again(id, parked.as_deref());
    (id, stage.append_raw(shard, &meta.to_text(), &body))
}

#[test]
fn a_replay_that_is_poison_again_is_parked_again_and_linked() {
    let stage = Stage::new();
    let shard = shard(Signal::Metrics, 1);
    let refusal = Refusal::of(&stage, "metric_series", "(name <> 'POISON')");
    stage.append(
        shard,
        &json!({"metrics": [metric("a"), metric("POISON")]}),
        2,
    );
    let worker = stage.worker(&[]);
    stage.until("the books", &[2, 1, 0, 1], || stage.books());
    let (first, entry) = replay(&stage, shard);
    stage.until(
        "parked again",
        &vec![
            "refused_by_store {1} 1 REPLAYED".to_owned(),
            "refused_by_store whole 1 PARKED".to_owned(),
        ],
        || letters(&stage),
    );
    assert_eq!(stage.books(), [2, 1, 0, 1]);
    let linked = format!(
        "SELECT count(*) FROM dead_letter AS later JOIN dead_letter AS first ON first.id = later.replay_of \
          WHERE first.id = {first} AND first.replayed_as = '{entry}'"
    );
    assert_eq!(stage.number(&linked), 1);
    drop(refusal);
    // Dropped meanwhile, by somebody who does not know of the replay under way: what has happened
    // to the event is what the letter says in the end.
    let (second, _) = replay(&stage, shard);
    stage.sql(&format!(
        "UPDATE dead_letter SET state = 'DROPPED', closed_at = now() WHERE id = {second} AND state = 'PARKED'"
    ));
    stage.until("the books", &[2, 2, 0, 0], || stage.books());
    let replayed = [
        "refused_by_store {1} 1 REPLAYED",
        "refused_by_store whole 1 REPLAYED",
    ];
    assert_eq!(letters(&stage), replayed);
    assert_eq!(samples(&stage), 2);
    worker.stop();
}

#[test]
fn a_letter_expires_by_policy_and_stays_in_the_books() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 0);
    let worker = stage.worker(&[]);
    for _ in 0..2 {
        stage.append_raw(shard, &stage.meta(3).to_text(), b"\xff\xff damaged");
    }
    stage.until("the books", &[6, 0, 0, 6], || stage.books());
    let age = |days: i32, which: &str| {
        stage.sql(&format!(
            "UPDATE dead_letter SET parked_at = now() - make_interval(days => {days}, secs => 1) \
              WHERE id = (SELECT {which}(id) FROM dead_letter WHERE org_id = '{}')",
            stage.org
        ))
    };
    let keep_house = || {
        stage
            .runtime
            .block_on(housekeeping::round(&stage.pool, 30))
            .unwrap();
    };
    age(30, "min");
    age(29, "max");
    let erased = format!(
        "SELECT count(*) FROM dead_letter WHERE org_id = '{}' AND meta = '' AND body = '' AND erased_at IS NOT NULL",
        stage.org
    );
    stage.until("one expired", &1, || {
        keep_house();
        stage.number(&erased)
    });
    let [expired, parked] = [
        "damaged_encoding whole 3 EXPIRED",
        "damaged_encoding whole 3 PARKED",
    ];
    assert_eq!(letters(&stage), [expired, parked]);
    // The organisation wants them gone sooner.
    stage.sql(&format!(
        "UPDATE organisation SET settings = '{{\"dead_letter_days\": 7}}' WHERE id = '{}'",
        stage.org
    ));
    stage.until("both expired", &2, || {
        keep_house();
        stage.number(&erased)
    });
    assert_eq!(letters(&stage), [expired, expired]);
    assert_eq!(
        stage.books(),
        [6, 0, 0, 6],
        "expired is dead-lettered still"
    );
    worker.stop();
}

#[test]
fn an_entry_of_a_newer_gateway_waits_in_the_dead_letters() {
    let stage = Stage::new();
    let shard = shard(Signal::Logs, 1);
    let how = (BodyFormat::Json, Encoding::Lz4);
    let meta = Meta::new(stage.org, "k", stage.meta(1).received_at, how).to_text();
    let newer = meta.replace("\"v\":1", "\"v\":200");
    stage.append_raw(shard, &newer, &pack(b"{}"));
    stage.append_logs(shard, 0, 1);
    let worker = stage.worker(&[]);
    stage.until("the books", &[10, 10, 0, 0], || stage.books());
    let letters =
        "SELECT count(*) FROM dead_letter WHERE org_id IS NULL AND detail LIKE '%version 200%'";
    assert_eq!(stage.number(letters), 1);
    stage.sql("DELETE FROM dead_letter WHERE org_id IS NULL");
    worker.stop();
}
