//! What must hold when a store loses what it had: rows that are gone or doubled, and entries that are
//! no longer in their stream.

use crate::faults::{Scene, dies_at, left_behind, steps_of};
use crate::stage::{Stage, TOGETHER, shard};
use millrace_devstack::Engine;
use millrace_shared::Signal;
use millrace_shared::ids::{LedgerId, ShardId, StreamId};

/// Longer than any test: nothing is audited because its time has come.
const NEVER: (&str, &str) = ("MILLRACE_AUDIT_DELAY_S", "86400");
const LOGS: ShardId = shard(Signal::Logs, 0);

fn last_seq(stage: &Stage) -> u64 {
    let last = "SELECT max(seq) FROM batch WHERE signal = 'logs' AND shard = 0";
    u64::try_from(stage.number(last)).unwrap()
}

/// What is damaged: the rows of a ledger batch.
type Damage = fn(u64) -> String;

const DOUBLE: Damage =
    |id| format!("INSERT INTO millrace.logs SELECT * FROM millrace.logs WHERE BatchId = {id}");
const LOSE: Damage = |id| {
    format!(
        "ALTER TABLE millrace.logs DELETE WHERE BatchId = {id} AND RowNumber < 3 \
         SETTINGS mutations_sync = 2"
    )
};

/// Commits a batch of 40 events that is not audited, and returns its number.
fn committed(stage: &Stage) -> u64 {
    stage.append_logs(LOGS, 0, 4);
    let worker = stage.worker(&[NEVER, TOGETHER]);
    stage.until("the books", &[40, 40, 0, 0], || stage.books());
    worker.stop();
    let seq = last_seq(stage);
    let events =
        format!("SELECT events FROM batch WHERE signal = 'logs' AND shard = 0 AND seq = {seq}");
    assert_eq!(stage.number(&events), 40, "the entries went into one batch");
    seq
}

fn is(stage: &Stage, seq: u64, what: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM batch WHERE signal = 'logs' AND shard = 0 AND seq = {seq} AND {what}"
    );
    stage.number(&sql) == 1
}

fn damaged_rows_are_put_right(damage: Damage, seen: u64) {
    let stage = Stage::new();
    let seq = committed(&stage);
    stage.ask(&damage(LedgerId::new(0, seq).0));
    assert_eq!(stage.rows("logs").0, seen);
    // Counted at once, long before the audit is due; what was written anew is not yet trusted.
    let worker = stage.worker(&[NEVER]);
    stage.until("rows put right", &(40, 40), || stage.rows("logs"));
    stage.until("noted", &true, || {
        is(&stage, seq, "rewritten_at IS NOT NULL")
    });
    assert!(is(&stage, seq, "state = 'COMMITTED'"));
    assert!(stage.length(LOGS) >= 4, "its entries are still there");
    worker.stop();
    let worker = stage.worker(&[]);
    stage.until("audited", &true, || is(&stage, seq, "state = 'AUDITED'"));
    stage.until("an empty stream", &0, || stage.length(LOGS));
    assert_eq!(
        (stage.rows("logs"), stage.books()),
        ((40, 40), [40, 40, 0, 0])
    );
    worker.stop();
}

#[test]
fn rows_doubled_behind_our_back_are_put_right_by_the_audit() {
    damaged_rows_are_put_right(DOUBLE, 80);
}

#[test]
fn rows_lost_behind_our_back_are_put_right_by_the_audit() {
    damaged_rows_are_put_right(LOSE, 37);
}

#[test]
fn rows_lost_in_a_restart_of_clickhouse_are_put_right_at_once() {
    let stage = Stage::new();
    stage.append_logs(LOGS, 0, 4);
    let worker = stage.worker(&[NEVER]);
    stage.until("the books", &[40, 40, 0, 0], || stage.books());
    // Nothing is counted again but after a beginning, which is long past, and after the restart.
    let seq = last_seq(&stage);
    stage.ask(&LOSE(LedgerId::new(0, seq).0));
    stage.restart(Engine::Clickhouse);
    stage.until("noted", &true, || {
        is(&stage, seq, "rewritten_at IS NOT NULL")
    });
    assert_eq!(stage.rows("logs"), (40, 40), "put right");
    assert!(stage.length(LOGS) >= 4, "its entries are still there");
    worker.stop();
}

#[test]
fn rows_that_cannot_be_made_again_are_parked_with_an_alarm() {
    let stage = Stage::new();
    let seq = committed(&stage);
    stage.ask(&LOSE(LedgerId::new(0, seq).0));
    stage.redis_command(&["DEL", &LOGS.stream()]);
    let worker = stage.worker(&[NEVER]);
    stage.until("parked", &true, || is(&stage, seq, "state = 'PARKED'"));
    // What is left of it is kept, and the shard goes on.
    stage.append_logs(LOGS, 40, 1);
    stage.until("rows", &(47, 47), || stage.rows("logs"));
    worker.stop();
}

/// The ids noted as lost, in order.
fn noted(stage: &Stage, ids: &[StreamId]) -> Vec<bool> {
    ids.iter()
        .map(|id| {
            let sql = format!(
                "SELECT count(*) FROM lost_entry WHERE signal = 'logs' AND shard = 0 \
                    AND entry_ms = {} AND entry_seq = {}",
                id.ms, id.seq
            );
            stage.number(&sql) == 1
        })
        .collect()
}

#[test]
fn lost_entries_are_named_and_the_others_are_stored() {
    let stage = Stage::new();
    let mut events = 0;
    for step in steps_of(Scene::Lost) {
        let ids = stage.append_logs(LOGS, 0, 5);
        let seq = left_behind(&stage);
        for id in [ids[1], ids[4]] {
            stage.redis_command(&["XDEL", &LOGS.stream(), &id.to_string()]);
        }
        dies_at(&stage, step);
        let heir = stage.worker(&[]);
        events += 30;
        let rows = u64::try_from(events).unwrap();
        stage.until("the books", &[events, events, 0, 0], || stage.books());
        stage.until("the rows", &(rows, rows), || stage.rows("logs"));
        assert_eq!(noted(&stage, &ids), [false, true, false, false, true]);
        stage.until("audited", &true, || {
            is(&stage, seq, "state = 'AUDITED' AND lost = 2")
        });
        heir.stop();
    }
}

#[test]
fn a_batch_of_which_nothing_is_left_is_parked_and_nothing_of_it_stays() {
    let stage = Stage::new();
    let ids = stage.append_logs(LOGS, 0, 3);
    let seq = left_behind(&stage);
    assert_eq!(stage.rows("logs"), (30, 30), "written and not committed");
    stage.redis_command(&["DEL", &LOGS.stream()]);
    let heir = stage.worker(&[]);
    stage.until("parked", &true, || {
        is(&stage, seq, "state = 'PARKED' AND lost = 3")
    });
    assert_eq!(noted(&stage, &ids), [true; 3]);
    assert_eq!((stage.rows("logs"), stage.books()), ((0, 0), [0; 4]));
    // The stream begins anew, and new entries come after what the ledger has passed.
    let later = stage.append_logs(LOGS, 30, 1);
    assert!(later[0] > ids[2]);
    stage.until("the books", &[10, 10, 0, 0], || stage.books());
    heir.stop();
}

#[test]
fn ids_never_fall_behind_the_cursor() {
    let stage = Stage::new();
    committed(&stage);
    let cursor = "SELECT cursor_ms FROM shard WHERE signal = 'logs' AND shard = 0";
    // As after a loss of the tail: the stream knows only of entries long before the cursor.
    stage.redis_command(&["DEL", &LOGS.stream()]);
    stage.redis_command(&["XADD", &LOGS.stream(), "5-1", "m", "", "b", ""]);
    let worker = stage.worker(&[]);
    let cursor = u64::try_from(stage.number(cursor)).unwrap();
    stage.until("a stream ahead of the cursor", &true, || {
        let answer = stage.redis_command(&["XINFO", "STREAM", &LOGS.stream()]);
        let text = format!("{answer:?}");
        let id = text.split("last-generated-id").nth(1).unwrap();
        let ms: String = id
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        ms.parse::<u64>().unwrap() >= cursor
    });
    worker.stop();
}
