//! What must hold when something breaks: a worker at any step, a lease, an entry, the rows.

use crate::stage::{Stage, TOGETHER, shard};
use millrace_runtime::probe::Place as _;
use millrace_shared::Signal;
use millrace_shared::ids::LedgerId;
use normalizer_worker::error::WorkerError;
use normalizer_worker::ledger::{self, Fence, Targets};
use normalizer_worker::probe::Step;
use serde_json::json;
use std::time::Duration;

/// What must have happened for a worker to come by a fail point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Nothing: every batch comes by.
    Plain,
    /// A batch was left prepared.
    Left,
    /// A batch was left prepared, and its rows are not as they should be.
    Damaged,
    /// ClickHouse refuses a part of the batch.
    Refused,
    /// Entries of a prepared batch are gone from the stream.
    Lost,
}

const fn scene(step: Step) -> Scene {
    match step {
        Step::Taken
        | Step::Read
        | Step::Drafted
        | Step::Prepared
        | Step::Posting
        | Step::Posted
        | Step::Written
        | Step::Landing
        | Step::Fenced
        | Step::Committing
        | Step::Committed
        | Step::Auditing
        | Step::Counted
        | Step::Audited
        | Step::Trimmed => Scene::Plain,
        Step::Recovering | Step::Resolving => Scene::Left,
        Step::Deleting | Step::Deleted => Scene::Damaged,
        Step::Bisecting | Step::Bisected => Scene::Refused,
        Step::GivingUp => Scene::Lost,
    }
}

pub(crate) fn steps_of(wanted: Scene) -> impl Iterator<Item = Step> {
    Step::ALL
        .iter()
        .copied()
        .filter(move |step| scene(*step) == wanted)
}

/// A worker that must die at the fail point.
pub(crate) fn dies_at(stage: &Stage, step: Step) {
    dies(stage, &[("MILLRACE_FAIL_POINT", step.name())]);
}

fn dies(stage: &Stage, settings: &[(&str, &str)]) {
    let mut doomed = stage.worker(settings);
    assert!(!doomed.ended(), "the worker outlived {settings:?}");
}

/// A worker that dies when it has posted the rows of all that was appended; the number of the batch, which is
/// prepared and not committed.
pub(crate) fn left_behind(stage: &Stage) -> u64 {
    dies(
        stage,
        &[("MILLRACE_FAIL_POINT", Step::Posted.name()), TOGETHER],
    );
    let seq = "SELECT seq FROM batch WHERE signal = 'logs' AND shard = 0 AND state = 'PREPARED'";
    u64::try_from(stage.number(seq)).unwrap()
}

#[test]
fn a_worker_killed_at_any_step_loses_and_doubles_nothing() {
    let stage = Stage::new();
    let logs = shard(Signal::Logs, 0);
    let mut sent = 0;
    let scenes = [Scene::Plain, Scene::Left, Scene::Damaged];
    for step in scenes.into_iter().flat_map(steps_of) {
        stage.append_logs(logs, sent, 7);
        sent += 70;
        let left = (scene(step) != Scene::Plain).then(|| left_behind(&stage));
        if let (Some(seq), Scene::Damaged) = (left, scene(step)) {
            let id = LedgerId::new(0, seq).0;
            stage.ask(&format!(
                "INSERT INTO millrace.logs SELECT * FROM millrace.logs WHERE BatchId = {id}"
            ));
        }
        dies_at(&stage, step);
        let (name, all) = (step.name(), u64::from(sent));
        let heir = stage.worker(&[]);
        stage.until(name, &(all, all), || stage.rows("logs"));
        stage.until(name, &[i64::from(sent), i64::from(sent), 0, 0], || {
            stage.books()
        });
        stage.until("an empty stream", &0, || stage.length(logs));
        heir.stop();
    }
    let sql = format!(
        "SELECT uniqExact(Body), max(toUInt32(substring(Body, 7))) FROM millrace.logs WHERE OrgId = '{}'",
        stage.org
    );
    assert_eq!(stage.counts(&sql), [u64::from(sent), u64::from(sent) - 1]);
}

#[test]
fn a_worker_killed_while_it_looks_for_poison_parks_it_once() {
    let stage = Stage::new();
    let logs = shard(Signal::Logs, 1);
    stage.ask("ALTER TABLE millrace.logs ADD CONSTRAINT no_poison CHECK Body != 'POISON'");
    for (round, step) in (1..).zip(steps_of(Scene::Refused)) {
        let poison = json!({"logs": [{"service": "s", "message": "POISON"}]});
        stage.append_logs(logs, 0, 3);
        stage.append(logs, &poison, 1);
        dies_at(&stage, step);
        let heir = stage.worker(&[]);
        let books = [31 * round, 30 * round, 0, round];
        stage.until(step.name(), &books, || stage.books());
        let rows = 30 * u64::try_from(round).unwrap();
        assert_eq!(stage.rows("logs"), (rows, rows), "{}", step.name());
        heir.stop();
    }
    stage.ask("ALTER TABLE millrace.logs DROP CONSTRAINT no_poison");
}

#[test]
fn a_worker_killed_at_random_moments_loses_and_doubles_nothing() {
    let stage = Stage::new();
    let mut sent = 0;
    for round in 0..6u64 {
        let doomed = stage.worker(&[("MILLRACE_WORKER_NAME", "same")]);
        for number in 0..2 {
            stage.append_logs(shard(Signal::Logs, number), sent, 10);
            sent += 100;
        }
        // Moments all over the life of a batch, not to be waited for by their nature.
        std::thread::sleep(Duration::from_millis(250 + round * 137 % 500));
        doomed.signal("KILL");
        drop(doomed);
    }
    let heir = stage.worker(&[("MILLRACE_WORKER_NAME", "same")]);
    // Entries that only the heir can take: everything before may be stored already, and a process
    // asked to end before it has begun ends by the signal.
    stage.append_logs(shard(Signal::Logs, 0), sent, 10);
    sent += 100;
    stage.until("all rows", &(u64::from(sent), u64::from(sent)), || {
        stage.rows("logs")
    });
    stage.until(
        "the books",
        &[i64::from(sent), i64::from(sent), 0, 0],
        || stage.books(),
    );
    heir.stop();
}

#[test]
fn a_worker_paused_past_its_lease_writes_nothing_more() {
    let stage = Stage::new();
    let zombie = stage.worker(&[("MILLRACE_WORKER_NAME", "zombie")]);
    let owners = "SELECT count(*) FROM shard WHERE owner = 'zombie'";
    stage.until("all shards held", &10, || stage.number(owners));
    for number in 0..2 {
        stage.append_logs(shard(Signal::Logs, number), 0, 20);
    }
    zombie.signal("STOP");
    let heir = stage.worker(&[("MILLRACE_WORKER_NAME", "heir")]);
    stage.until("all rows", &(400, 400), || stage.rows("logs"));
    stage.until("the books", &[400, 400, 0, 0], || stage.books());
    zombie.signal("CONT");
    for number in 0..2 {
        stage.append_logs(shard(Signal::Logs, number), 0, 20);
    }
    stage.until("more rows", &(800, 800), || stage.rows("logs"));
    stage.until("the books", &[800, 800, 0, 0], || stage.books());
    // Both live: shards are shared again, each owned once.
    stage.until("a fair share", &(5, 5), || {
        let of = |name: &str| {
            stage.number(&format!(
                "SELECT count(*) FROM shard WHERE owner = '{name}'"
            ))
        };
        (of("zombie"), of("heir"))
    });
    zombie.stop();
    heir.stop();
}

#[test]
fn poison_is_parked_and_its_neighbours_go_on() {
    let stage = Stage::new();
    let logs = shard(Signal::Logs, 0);
    stage.append_logs(logs, 0, 2);
    stage.append_raw(logs, "no description", b"body");
    stage.append_raw(logs, &stage.meta(3).to_text(), b"\xff\xff damaged");
    stage.append_logs(logs, 20, 2);
    let worker = stage.worker(&[]);
    stage.until("rows", &(40, 40), || stage.rows("logs"));
    stage.until("the books", &[43, 40, 0, 3], || stage.books());
    let letters = format!(
        "SELECT count(*) FROM dead_letter WHERE signal = 'logs' AND reason IN ('bad_entry', 'damaged_encoding') \
            AND (org_id = '{}' OR org_id IS NULL)",
        stage.org
    );
    assert_eq!(stage.number(&letters), 2);
    stage.until("an empty stream", &0, || stage.length(logs));
    worker.stop();
    stage.sql("DELETE FROM dead_letter");
}

#[test]
fn a_deletion_still_at_work_is_waited_for() {
    let stage = Stage::new();
    let logs = shard(Signal::Logs, 0);
    stage.append_logs(logs, 0, 4);
    dies(&stage, &[("MILLRACE_FAIL_POINT", "written"), TOGETHER]);
    let seq = stage.number("SELECT max(seq) FROM batch WHERE signal = 'logs' AND shard = 0");
    let id = LedgerId::new(0, u64::try_from(seq).unwrap()).0;
    // As a worker leaves it behind that dies while its deletion waits for its turn.
    stage.ask("SYSTEM STOP MERGES millrace.logs");
    stage.ask(&format!(
        "ALTER TABLE millrace.logs DELETE WHERE BatchId = {id} AND Attempt IN (0) \
         SETTINGS mutations_sync = 0"
    ));
    assert_eq!(stage.rows("logs"), (40, 40), "it has not begun");
    let waiting = format!(
        "SELECT count(*) FROM batch WHERE signal = 'logs' AND shard = 0 AND seq = {seq} \
            AND attempt > 0 AND state = 'PREPARED'"
    );
    let heir = stage.worker(&[]);
    stage.until("the recovery", &1, || stage.number(&waiting));
    // Time for an heir that does not wait to count the rows as they are, and to commit.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(stage.number(&waiting), 1, "it waits");
    stage.ask("SYSTEM START MERGES millrace.logs");
    stage.until("the books", &[40, 40, 0, 0], || stage.books());
    assert_eq!(stage.rows("logs"), (40, 40));
    stage.until("an empty stream", &0, || stage.length(logs));
    heir.stop();
}

#[test]
fn rows_written_anew_are_taken_to_be_young_by_whoever_comes_next() {
    let stage = Stage::new();
    let (once, anew) = (shard(Signal::Logs, 0), shard(Signal::Logs, 1));
    stage.append_logs(once, 0, 2);
    stage.append_logs(anew, 20, 2);
    let delay = [("MILLRACE_AUDIT_DELAY_S", "86400")];
    let worker = stage.worker(&delay);
    stage.until("the books", &[40, 40, 0, 0], || stage.books());
    worker.stop();
    // As a worker leaves it behind that dies after it has repaired rows of a batch long committed.
    // What a busy machine has made the worker write twice before counts as written once in the first shard.
    stage.sql(
        "UPDATE batch SET committed_at = now() - interval '2 days', rewritten_at = NULL, attempt = shard \
          WHERE signal = 'logs'",
    );
    let heir = stage.worker(&delay);
    let of = |shard: u8, what: &str| {
        let sql = format!(
            "SELECT count(*) FROM batch WHERE signal = 'logs' AND shard = {shard} AND {what}"
        );
        stage.number(&sql)
    };
    stage.until("the audit of what was written once", &0, || {
        of(0, "state IN ('PREPARED', 'COMMITTED')")
    });
    stage.until("the heir's note", &0, || {
        of(1, "state = 'COMMITTED' AND rewritten_at IS NULL")
    });
    assert!(of(1, "state = 'COMMITTED'") > 0, "it is not due");
    heir.stop();
    stage
        .sql("UPDATE batch SET rewritten_at = now() - interval '2 days' WHERE state = 'COMMITTED'");
}

#[test]
fn a_commit_under_an_old_epoch_is_refused() {
    let stage = Stage::new();
    let logs = shard(Signal::Logs, 0);
    stage.append_logs(logs, 0, 3);
    dies(&stage, &[("MILLRACE_FAIL_POINT", "written"), TOGETHER]);
    let row = "signal = 'logs' AND shard = 0 AND state = 'PREPARED'";
    assert_eq!(
        stage.number(&format!("SELECT count(*) FROM batch WHERE {row}")),
        1
    );
    let fence = |more: i64| Fence {
        shard: logs,
        epoch: stage.number("SELECT epoch FROM shard WHERE signal = 'logs' AND shard = 0") + more,
    };
    let seq = stage.number(&format!("SELECT seq FROM batch WHERE {row}"));
    let commit = |fence: Fence| {
        stage.runtime.block_on(async {
            let mut client = stage.pool.get().await.unwrap();
            let tx = client.transaction().await.unwrap();
            ledger::commit(&tx, fence, seq, &Targets::new()).await
        })
    };
    assert!(matches!(commit(fence(-1)), Err(WorkerError::Fenced(_))));
    assert!(
        commit(fence(0)).is_ok(),
        "rolled back, so nothing has changed"
    );
    let heir = stage.worker(&[]);
    stage.until("the books", &[30, 30, 0, 0], || stage.books());
    assert_eq!(stage.rows("logs"), (30, 30));
    assert!(matches!(commit(fence(-1)), Err(WorkerError::Fenced(_))));
    heir.stop();
}
