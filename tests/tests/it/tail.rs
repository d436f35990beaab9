//! A drill: Redis loses the tail of what it had acknowledged, as with a disk that lies about fsync.
//! Every lost batch is reported by its id, none silently; what Redis kept is stored; what the agent
//! sends again is stored once.

use millrace_devstack::Engine;
use millrace_shared::Signal;
use millrace_tests::engines::Engines;
use millrace_tests::installation::Part;
use millrace_tests::wait::block_on;
use millrace_tests::{Installation, Org, until, within};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

/// Batches that were stored, those that Redis keeps, and those that it loses.
const STORED: u32 = 3;
const KEPT: u32 = 9;
const LOST: u32 = 7;
/// The gateway gives workers a quarter of a minute before it calls a batch lost.
const PATIENCE: Duration = Duration::from_secs(180);

/// Sends a batch of its own number under its own idempotency key; its id, and whether it was there.
fn send(org: &Org, number: u32) -> (String, bool) {
    let body = format!(r#"{{"logs":[{{"service":"test","message":"batch {number}"}}]}}"#);
    let key = format!("tail-{number}");
    let headers = [("x-idempotency-key", key.as_str())];
    let answer = org.post_bytes(Signal::Logs, body.as_bytes(), &headers);
    let answer = answer.must_be(202).json();
    let id = answer["batch_id"].as_str().unwrap().to_owned();
    (id, answer["replayed"].as_bool().unwrap())
}

/// The file that Redis appends to at this moment, held open past the end of Redis.
fn append_only_file(installation: &Installation) -> File {
    let stack = installation.engines.stack();
    let pid = stack.pid(Engine::Redis).unwrap();
    let mut asked = redis::cmd("CONFIG");
    asked.arg("GET").arg("dir").arg("appenddirname");
    let mut redis = installation.redis();
    let told: std::collections::BTreeMap<String, String> =
        block_on(asked.query_async(&mut redis)).unwrap();
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let directory = root
        .join(told["dir"].trim_start_matches('/'))
        .join(&told["appenddirname"]);
    let files = std::fs::read_dir(&directory).unwrap();
    let mut names: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    names.retain(|name| name.to_string_lossy().ends_with(".incr.aof"));
    names.sort();
    let file = names.last().expect("an append-only file");
    File::options().read(true).write(true).open(file).unwrap()
}

fn state(org: &Org, id: &str) -> String {
    let status = org.batch(id, "").must_be(200).json();
    status["state"].as_str().unwrap().to_owned()
}

fn are_stored(org: &Org, ids: &[String]) {
    for id in ids {
        until("it is stored", || match state(org, id).as_str() {
            "committed" | "audited" => Ok(()),
            other => Err(other.to_owned()),
        });
    }
}

/// Kills Redis, takes away what came after `kept` bytes of its file, and starts it again.
fn lose_tail(installation: &Installation, file: &File, kept: u64) {
    let stack = installation.engines.stack();
    stack.kill(Engine::Redis).unwrap();
    // In the middle of the first command after what is kept.
    file.set_len(kept + 20).unwrap();
    stack.resume(Engine::Redis).unwrap();
}

/// What the operator's tool lists as lost.
fn listed(installation: &Installation, org: &Org) -> BTreeSet<String> {
    let rows = installation.admin(&["lost", "--org", &org.name]);
    let ids = rows.as_array().unwrap().iter();
    ids.map(|row| row["batch_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until exactly these are reported, everywhere.
fn are_reported(installation: &Installation, org: &Org, lost: &BTreeSet<String>) {
    within(PATIENCE, "the lost batches are reported", || {
        let listed = listed(installation, org);
        if listed.len() >= lost.len() {
            Ok(())
        } else {
            Err(listed)
        }
    });
    assert_eq!(listed(installation, org), *lost);
    let answer = org.ask("/api/v1/ledger/lost").must_be(200).json();
    assert_eq!(answer["batches"].as_array().unwrap().len(), lost.len());
    for id in lost {
        assert_eq!(state(org, id), "lost");
    }
}

#[test]
fn every_batch_of_a_lost_tail_is_reported_by_id_and_nothing_else_is() {
    let installation = Installation::on(Engines::own("tail"), "tail");
    let gateway = installation.start(Part::Gateway);
    let query = installation.start(Part::Query);
    let org = Org::of(&installation, "tail", (&gateway.url, &query.url));
    let token = installation.admin(&["tokens", "create", "--org", &org.name, "--role", "analyst"]);
    org.use_token("analyst", token["token"].as_str().unwrap());
    let worker = installation.start(Part::Worker);
    let stored: Vec<String> = (0..STORED).map(|n| send(&org, n).0).collect();
    are_stored(&org, &stored);
    drop(worker);
    let kept: Vec<String> = (STORED..STORED + KEPT).map(|n| send(&org, n).0).collect();
    let file = append_only_file(&installation);
    let bytes = file.metadata().unwrap().len();
    let numbers = STORED + KEPT..STORED + KEPT + LOST;
    let lost: BTreeSet<String> = numbers.clone().map(|n| send(&org, n).0).collect();

    lose_tail(&installation, &file, bytes);
    are_reported(&installation, &org, &lost);
    let said = until("the gateway says so", || {
        let said = std::fs::read_to_string(gateway.process.log()).unwrap();
        let untold = lost.iter().find(|id| !said.contains(id.as_str())).cloned();
        untold.map_or(Ok(said), Err)
    });
    let mut others = kept.iter().chain(&stored);
    assert!(!others.any(|id| said.contains(id.as_str())));

    let _worker = installation.start(Part::Worker);
    are_stored(&org, &kept);
    // Redis forgot their keys with them: sent again, they are new.
    for number in numbers {
        let (again, replayed) = send(&org, number);
        assert!(!replayed && !lost.contains(&again));
    }
    let all = usize::try_from(STORED + KEPT + LOST).unwrap();
    until("all are stored", || {
        let messages = org.messages("service=test");
        let distinct: BTreeSet<&String> = messages.iter().collect();
        if (messages.len(), distinct.len()) == (all, all) {
            Ok(())
        } else {
            Err(messages.len())
        }
    });
    assert_eq!(listed(&installation, &org), lost);
    until("the books balance", || {
        let balance = org.ask("/api/v1/ledger/balance").json();
        if balance["balanced"] == true {
            Ok(())
        } else {
            Err(balance)
        }
    });
}
