//! Poison: it blocks nobody, is kept with its reason, and comes back exactly once.

use millrace_shared::Signal;
use millrace_shared::entry::{BODY_FIELD, META_FIELD, Meta};
use millrace_shared::ids::ShardId;
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::wire::BodyFormat;
use millrace_tests::wait::block_on;
use millrace_tests::{Org, shared, until};
use serde_json::{Value, json};

const SHARD: ShardId = ShardId {
    signal: Signal::Logs,
    shard: 1,
};

fn meta(org: &Org) -> Meta {
    let now = millrace_runtime::clock::now_ns();
    let mut meta = Meta::new(org.id, &org.key_id, now, (BodyFormat::Json, Encoding::Lz4));
    meta.accepted = 1;
    meta
}

/// Puts an entry into a stream as a broken gateway would.
fn append(meta: &[u8], body: &[u8]) -> String {
    let mut redis = shared().installation.redis();
    let mut command = redis::cmd("XADD");
    command
        .arg(SHARD.stream())
        .arg("*")
        .arg(META_FIELD)
        .arg(meta)
        .arg(BODY_FIELD)
        .arg(body);
    block_on(command.query_async(&mut redis)).unwrap()
}

fn letters(org: &Org, state: &str) -> Vec<Value> {
    let listed = shared().installation.admin(&[
        "dead-letters",
        "list",
        "--org",
        &org.name,
        "--state",
        state,
    ]);
    listed.as_array().unwrap().clone()
}

#[test]
fn poison_is_parked_with_its_reason_and_its_neighbours_are_stored() {
    let org = Org::new("poison");
    let before = org.send_logs(&["before the poison"]);
    append(
        meta(&org).to_text().as_bytes(),
        b"this is no LZ4 block at all",
    );
    append(
        meta(&org).to_text().as_bytes(),
        &pack(b"{\"logs\": [this is no JSON"),
    );
    append(b"this is no description", b"");
    let after: Vec<Value> = (0..8)
        .map(|_| org.send_logs(&["after the poison"]))
        .collect();
    org.committed(&before);
    after.iter().for_each(|answer| org.committed(answer));
    assert_eq!(org.count_logs("service=test"), 9);
    let parked = until("both are parked", || {
        let parked = letters(&org, "PARKED");
        if parked.len() == 2 {
            Ok(parked)
        } else {
            Err(parked)
        }
    });
    let mut reasons: Vec<&str> = parked
        .iter()
        .map(|letter| letter["reason"].as_str().unwrap())
        .collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["damaged_encoding", "undecodable"]);
    let id = parked[0]["id"].to_string();
    let shown = shared().installation.admin(&["dead-letters", "show", &id]);
    assert!(
        shown.get("body").is_none(),
        "the raw body is shown only when asked for: {shown}"
    );
    shared().installation.admin(&["dead-letters", "drop", &id]);
    assert_eq!(
        (
            letters(&org, "PARKED").len(),
            letters(&org, "DROPPED").len()
        ),
        (1, 1)
    );
}

#[test]
fn a_replay_stores_exactly_once_whatever_is_tried() {
    let org = Org::new("replayed");
    let installation = &shared().installation;
    let body = pack(
        json!({"logs": [{"service": "replayed", "message": "at last"}]})
            .to_string()
            .as_bytes(),
    );
    // As an earlier release left it: parked for a reason that this one does not have.
    let postgres = installation.postgres();
    let sql = "INSERT INTO dead_letter (org_id, signal, shard, entry_ms, entry_seq, events, reason, meta, body) \
               VALUES ($1, 'logs', 1, 1, (random() * 1e9)::bigint, 1, 'undecodable', $2, $3) RETURNING id";
    let meta = meta(&org).to_text().into_bytes();
    let id: i64 = block_on(postgres.query_one(sql, &[&org.id, &meta, &body]))
        .unwrap()
        .get(0);
    let id_text = id.to_string();
    let first = installation.admin(&["dead-letters", "replay", &id_text]);
    until("the replayed event is stored", || {
        match org.count_logs("service=replayed") {
            1 => Ok(()),
            other => Err(other),
        }
    });
    // The record of the replay is lost, as if the command had died before its commit.
    let sql = "UPDATE dead_letter SET state = 'PARKED' WHERE id = $1";
    block_on(postgres.execute(sql, &[&id])).unwrap();
    let second = installation.admin(&["dead-letters", "replay", &id_text]);
    assert_eq!(first, second, "the same entry, not another");
    org.committed(&org.send_logs(&["something later in every shard"; 1]));
    for _ in 0..8 {
        org.committed(&org.send_logs(&["later"]));
    }
    assert_eq!(org.count_logs("service=replayed"), 1);
    assert_eq!(letters(&org, "REPLAYED").len(), 1);
}
