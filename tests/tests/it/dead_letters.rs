//! Poison: it blocks nobody, is kept with its reason, and comes back exactly once.

use millrace_shared::Signal;
use millrace_shared::entry::{BODY_FIELD, META_FIELD, Meta};
use millrace_shared::ids::ShardId;
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::wire::BodyFormat;
use millrace_tests::wait::block_on;
use millrace_tests::{Org, process, shared, until};
use serde_json::{Value, json};
use std::process::{Child, Stdio};

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
    // Its commit closes the letter too, and comes after its rows.
    let booked = "SELECT coalesce(sum(stored), 0)::bigint FROM usage_day WHERE org_id = $1";
    until("the replayed event is committed", || {
        let row = block_on(postgres.query_one(booked, &[&org.id])).unwrap();
        match row.get::<_, i64>(0) {
            1 => Ok(()),
            other => Err(other),
        }
    });
    assert_eq!(org.count_logs("service=replayed"), 1);
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

/// A metric that PostgreSQL refuses as long as this lives, parked as a letter.
struct Refused {
    org: Org,
    name: String,
    letter: String,
}

impl Refused {
    fn new(org: &str) -> Refused {
        let org = Org::new(org);
        let name = format!("poison_{}", org.id.simple());
        sql(&format!(
            "ALTER TABLE metric_series ADD CONSTRAINT {name} CHECK (name <> '{name}')"
        ));
        let event = json!({"name": name, "value": 1, "service": "s", "labels": {"who": "jane"}});
        org.send(Signal::Metrics, &json!({"metrics": [event]}));
        let letter = until("a letter", || {
            let parked = letters(&org, "PARKED");
            parked
                .first()
                .map(|letter| letter["id"].to_string())
                .ok_or(parked)
        });
        Refused { org, name, letter }
    }

    /// What was wrong is put right.
    fn mend(&self) {
        sql(&format!(
            "ALTER TABLE metric_series DROP CONSTRAINT {}",
            self.name
        ));
    }

    fn samples(&self) -> i64 {
        let sql = "SELECT count(*) FROM metric_samples JOIN metric_series AS s ON s.id = series_id WHERE s.org_id = $1";
        let postgres = shared().installation.postgres();
        block_on(postgres.query_one(sql, &[&self.org.id]))
            .unwrap()
            .get(0)
    }

    /// Stored and dead-lettered metrics by the books, which must balance.
    fn books(&self) -> (i64, i64) {
        let answer = until("books at rest", || {
            let answer = self.org.ask("/api/v1/ledger/balance").must_be(200).json();
            match answer["moving"] == true {
                true => Err(answer),
                false => Ok(answer),
            }
        });
        assert_eq!(answer["balanced"], true, "{answer}");
        let signals = answer["signals"].as_array().unwrap();
        let metrics = signals
            .iter()
            .find(|one| one["signal"] == "metrics")
            .unwrap();
        (
            metrics["stored"].as_i64().unwrap(),
            metrics["dead_lettered"].as_i64().unwrap(),
        )
    }

    fn is_stored_once(&self) {
        until("the replayed sample is stored", || match self.books() {
            (1, 0) => Ok(()),
            books => Err(books),
        });
        assert_eq!(self.samples(), 1);
        let letter = &letters(&self.org, "REPLAYED")[0];
        assert_eq!(letter["id"].to_string(), self.letter);
    }

    fn replay(&self) -> Child {
        let mut command = process::command("millrace-admin", shared().installation.settings());
        command.args(["dead-letters", "replay", &self.letter]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }
}

fn sql(statement: &str) {
    let postgres = shared().installation.postgres();
    block_on(postgres.batch_execute(statement)).unwrap();
}

#[test]
fn operators_who_replay_at_once_store_once() {
    let refused = Refused::new("replayed-at-once");
    assert_eq!(refused.books(), (0, 1));
    until("the gauges tell of it", || {
        let metrics = shared().worker.metrics();
        let line = r#"millrace_dead_letter_events{signal="metrics",reason="refused_by_store"}"#;
        let told = metrics.lines().find(|found| found.starts_with(line));
        match told.and_then(|told| told.rsplit(' ').next()?.parse::<f64>().ok()) {
            Some(events) if events >= 1.0 => Ok(()),
            other => Err(other),
        }
    });
    refused.mend();
    let path = format!("/api/v1/dead-letters/{}/replay", refused.letter);
    let token = refused.org.token("admin");
    let mut tools: Vec<Child> = (0..3).map(|_| refused.replay()).collect();
    let by_api = std::thread::scope(|scope| {
        let ask = || refused.org.tell_as("admin", &path, &json!({})).status;
        let asking: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        let statuses = asking.into_iter().map(|one| one.join().unwrap());
        statuses.filter(|status| *status == 200).count()
    });
    let by_tool = tools
        .iter_mut()
        .filter_map(|tool| tool.wait().ok())
        .filter(|ended| ended.success());
    assert_eq!(by_api + by_tool.count(), 1, "one of them has done it");
    assert!(!token.is_empty());
    refused.is_stored_once();
}

#[test]
fn an_operator_killed_in_the_middle_of_a_replay_stores_once() {
    let refused = Refused::new("replay-killed");
    refused.mend();
    // The tool's commit takes longer than the tool lives: the entry is appended, nothing is marked.
    let name = &refused.name;
    sql(&format!(
        "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF current_setting('application_name') = 'millrace-admin' AND NEW.id = {} THEN \
             PERFORM pg_sleep(600); \
           END IF; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER {name} AFTER UPDATE ON dead_letter DEFERRABLE INITIALLY DEFERRED \
           FOR EACH ROW EXECUTE FUNCTION {name}()",
        refused.letter
    ));
    let mut doomed = refused.replay();
    let postgres = shared().installation.postgres();
    let waiting = "SELECT pid FROM pg_stat_activity WHERE application_name = 'millrace-admin' AND query = 'COMMIT' \
                      AND wait_event = 'PgSleep'";
    let pid: i32 = until("the tool commits", || {
        let found = block_on(postgres.query_opt(waiting, &[])).unwrap();
        found.map(|row| row.get(0)).ok_or("not yet")
    });
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    block_on(postgres.execute("SELECT pg_terminate_backend($1)", &[&pid])).unwrap();
    sql(&format!(
        "DROP TRIGGER {name} ON dead_letter; DROP FUNCTION {name}()"
    ));
    // Nobody tries again: the entry is under way, and its commit closes the letter.
    refused.is_stored_once();
    let again = refused.replay().wait().unwrap();
    assert!(!again.success(), "it is replayed already");
    assert_eq!((refused.books(), refused.samples()), ((1, 0), 1));
}

#[test]
fn an_operator_who_reads_contents_is_told_of() {
    let refused = Refused::new("read-raw");
    let shown = shared()
        .installation
        .admin(&["dead-letters", "show", &refused.letter]);
    assert!(
        !shown.to_string().contains("jane") && shown.get("meta").is_none(),
        "{shown}"
    );
    let list = letters(&refused.org, "PARKED");
    assert!(!json!(list).to_string().contains("jane"), "{list:?}");
    let told = || {
        refused
            .org
            .rows("/api/v1/audit/search?action=dead_letter.read_raw")
    };
    assert_eq!(told().len(), 0);
    let raw = shared()
        .installation
        .admin(&["dead-letters", "show", &refused.letter, "--body"]);
    assert!(raw["body"].as_str().unwrap().contains("jane"), "{raw}");
    let events = until("the organisation is told", || {
        let events = told();
        if events.len() == 1 {
            Ok(events)
        } else {
            Err(events)
        }
    });
    assert!(
        events[0].to_string().contains(&refused.letter),
        "{events:?}"
    );
    shared()
        .installation
        .admin(&["dead-letters", "drop", &refused.letter]);
    let erased = shared()
        .installation
        .admin(&["dead-letters", "show", &refused.letter]);
    assert_eq!(
        (&erased["state"], &erased["body_bytes"]),
        (&json!("DROPPED"), &json!(0))
    );
    refused.mend();
}
