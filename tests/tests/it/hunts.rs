//! Retro-hunts: what a feed brings is found in what was stored before, once, whatever is killed.

use millrace_runtime::clock;
use millrace_shared::Signal;
use millrace_shared::time::rfc3339;
use millrace_tests::engines::Engines;
use millrace_tests::installation::Part;
use millrace_tests::wait::{block_on, within};
use millrace_tests::{Installation, Org, process, shared, stores, until};
use serde_json::{Value, json};
use std::time::Duration;

const HOUR_NS: i64 = 3_600_000_000_000;
const HUNTS: &str = "/api/v1/retro-hunts";
/// Hunts of all organisations come one after the other, and wait for every worker.
const PATIENCE: Duration = Duration::from_secs(300);

fn import(installation: &Installation, org: &Org, lines: &str) -> Value {
    let feed = process::logs().join(format!("{}.csv", org.name));
    let text = format!("value,type,confidence,severity,threat\n{lines}\n");
    std::fs::write(&feed, text).unwrap();
    let (path, name) = (feed.display().to_string(), org.name.as_str());
    let command = ["indicators", "import", &path, "--feed", name, "--org", name];
    installation.admin(&command)
}

/// The hunts for the organisation's own feed, the latest first.
fn hunts(org: &Org) -> Vec<Value> {
    let mut hunts = org.rows(HUNTS);
    hunts.retain(|hunt| hunt["feed"] == org.name.as_str());
    hunts
}

/// Waits until so many of them are at their end.
fn done(org: &Org, count: usize) -> Vec<Value> {
    within(PATIENCE, "the hunts are at their end", || {
        let hunts = hunts(org);
        let ended = hunts.iter().filter(|hunt| hunt["state"] == "done").count();
        match ended == count && hunts.len() == count {
            true => Ok(hunts),
            false => Err(hunts),
        }
    })
}

fn found(org: &Org) -> Vec<Value> {
    org.rows("/api/v1/alerts?limit=500&rule_id=RETRO_HUNT")
}

/// Log records over the last hours that mention a host, so many an hour.
fn store(org: &Org, host: &str, (hours, each): (i64, i64)) {
    let now = clock::now_ns();
    for hour in 0..hours {
        let record = |n: i64| {
            json!({"timestamp": rfc3339(now - (hour + 1) * HOUR_NS + n * 1_000_000), "service": "proxy",
                   "message": format!("GET hxxps://{}/x?{n} 200", host.replace('.', "[.]"))})
        };
        let records: Vec<Value> = (0..each).map(record).collect();
        org.store(Signal::Logs, &json!({ "logs": records }));
    }
}

fn store_call(org: &Org, host: &str) {
    org.store(
        Signal::Audit,
        &json!({"events": [{"event_type": "API_SECURITY", "action": "call", "outcome": "SUCCESS",
                            "metadata": {"webhook": format!("https://{host}/hook")}}]}),
    );
}

#[test]
fn what_a_feed_brings_is_found_in_what_was_stored_before() {
    let installation = &shared().installation;
    let (org, other) = (Org::new("hunted"), Org::new("unhunted"));
    let host = format!("cdn.{}.example.com", org.name);
    store(&org, &host, (3, 5));
    store(&other, &host, (1, 1));
    store_call(&org, &host);
    assert_eq!(found(&org), Vec::<Value>::new());
    let line = format!("{}.example.com,domain,90,high,Test implant", org.name);
    let imported = import(installation, &org, &line);
    assert_eq!(imported["added"], 1, "{imported}");
    let hunts = done(&org, 1);
    let hunt = &hunts[0];
    assert_eq!(
        (&hunt["origin"], &hunt["alerts"], &hunt["hits"]),
        (&json!("feed"), &json!(1), &json!(16)),
        "{hunt}"
    );
    assert_eq!(
        (&hunt["indicators"], &hunt["indicators_all"]),
        (&json!(1), &json!(1)),
        "{hunt}"
    );
    let alerts = found(&org);
    let alert = &alerts[0];
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(
        (&alert["count"], &alert["retroactive"], &alert["retro_hunt"]),
        (&json!(16), &json!(true), &hunt["id"]),
        "{alert}"
    );
    assert_eq!(
        (&alert["group_key"]["observable"], &alert["severity"]),
        (&json!(host), &json!("critical"))
    );
    let message = alert["message"].as_str().unwrap();
    assert!(message.contains("Test implant"), "{alert}");
    assert_eq!(alert["event_ids"].as_array().unwrap().len(), 16);
    let theirs = found(&other);
    assert!(theirs.is_empty(), "it is not their indicator: {theirs:?}");
    asked_again(&org, &host);
    only_those_may_who_may(&org);
}

/// What only changed is not new; asked for, it is looked for again. What is known already is not raised
/// again, and what was matched when it came is no find.
fn asked_again(org: &Org, host: &str) {
    org.rules_are_loaded();
    store_call(org, host);
    let line = format!("{}.example.com,domain,95,high,Test implant", org.name);
    let imported = import(&shared().installation, org, &line);
    assert_eq!(
        (&imported["added"], &imported["ended"]),
        (&json!(1), &json!(1)),
        "{imported}"
    );
    let asked = json!({"feed": org.name, "start": "now-2d"});
    let begun = org.tell_as("admin", HUNTS, &asked).must_be(202).json();
    assert_eq!(begun["origin"], "request", "{begun}");
    let hunts = done(org, 2);
    assert_eq!(
        (
            &hunts[0]["rows_read"],
            &hunts[0]["hits"],
            &hunts[0]["alerts"]
        ),
        (&json!(17), &json!(16), &json!(0)),
        "{hunts:?}"
    );
    let again = found(org);
    assert_eq!(
        (again.len(), &again[0]["count"]),
        (1, &json!(16)),
        "{again:?}"
    );
    let path = format!("{HUNTS}/{}", begun["id"].as_str().unwrap());
    assert_eq!(org.ask(&path).must_be(200).json()["state"], "done");
    let cancelled = org.delete_as("admin", &path);
    assert_eq!(cancelled.status, 404, "there is nothing to cancel");
}

fn only_those_may_who_may(org: &Org) {
    let asked = json!({"feed": org.name});
    let _denied = org.tell_as("analyst", HUNTS, &asked).must_be(403);
    let hunt = hunts(org)[0]["id"].as_str().unwrap().to_owned();
    let _denied = org
        .delete_as("analyst", &format!("{HUNTS}/{hunt}"))
        .must_be(403);
    let unknown = json!({"feed": "no such feed"});
    let _unknown = org.tell_as("admin", HUNTS, &unknown).must_be(404);
    until("what was done is recorded, and nothing else", || {
        let recorded = org.rows("/api/v1/audit/search?event_type=SYSTEM_CONFIG&limit=100");
        let begun = |event: &&Value| event["action"] == "retro_hunt.begin";
        match recorded.iter().filter(begun).count() {
            1 => Ok(()),
            _ => Err(recorded),
        }
    });
}

#[test]
fn what_was_hidden_is_found_by_what_stands_for_it() {
    let org = Org::new("hidden");
    let policy = |classes: Value| {
        let policy = json!({"policy": {"classes": classes}});
        let _put = org
            .put_as("admin", "/api/v1/privacy/policy", &policy)
            .must_be(200);
        org.rules_are_loaded();
    };
    let (mail, address) = (format!("eve@{}.example.com", org.name), "45.77.12.9");
    let tell = || {
        let message = format!("mail of {mail} taken from {address}");
        org.store(
            Signal::Logs,
            &json!({"logs": [{"service": "mx", "message": message}]}),
        );
    };
    policy(json!({"email": "hash", "ipv4": "pseudonym"}));
    tell();
    let rotation = json!({"reason": "as every year"});
    let _made = org
        .tell_as("admin", "/api/v1/privacy/peppers", &rotation)
        .must_be(201);
    org.rules_are_loaded();
    tell();
    // What stands for nobody in particular cannot be found.
    policy(json!({"email": "redact", "ipv4": "mask"}));
    tell();
    let lines = format!("{mail},email,90,high,\n{address},ipv4,90,high,");
    import(&shared().installation, &org, &lines);
    let hunts = done(&org, 1);
    assert_eq!(
        (&hunts[0]["hits"], &hunts[0]["alerts"]),
        (&json!(4), &json!(4)),
        "{hunts:?}"
    );
    let said = json!(found(&org)).to_string();
    for never in [mail.as_str(), address, "email:v1:", "email:v2:"] {
        assert!(!said.contains(never), "{never}: {said}");
    }
    let path = "/api/v1/alerts?limit=500&rule_id=RETRO_HUNT";
    let revealed = org.ask_as("admin", path).must_be(200).json();
    let said = revealed["rows"].to_string();
    assert!(!said.contains(&mail) && !said.contains(address), "{said}");
    for version in ["email:v1:", "email:v2:"] {
        assert!(said.contains(version), "{said}");
    }
    for alert in revealed["rows"].as_array().unwrap() {
        assert_eq!(
            (&alert["hidden"], &alert["count"]),
            (&json!(true), &json!(1))
        );
        assert_eq!(alert["event_ids"].as_array().unwrap().len(), 1, "{alert}");
    }
}

#[test]
fn an_operator_begins_sees_and_cancels_hunts() {
    let installation = &shared().installation;
    let org = Org::new("operated");
    let host = format!("cdn.{}.example.com", org.name);
    let line = format!("{}.example.com,domain,90,high,Test implant", org.name);
    import(installation, &org, &line);
    done(&org, 1);
    // Stored after the feed's own hunt, and judged when it came: the one that is asked for finds nothing.
    store_call(&org, &host);
    let start = |more: &[&str]| {
        let command = ["hunts", "start", &org.name, "--org", &org.name];
        installation.admin(&[&command[..], more].concat())
    };
    let begun = start(&["--days", "2"]);
    let id = begun["id"].as_str().unwrap().to_owned();
    done(&org, 2);
    let shown = installation.admin(&["hunts", "show", &id]);
    assert_eq!(
        (&shown["state"], &shown["org"], &shown["requested_by"]),
        (&json!("done"), &json!(org.name), &json!("millrace-admin")),
        "{shown}"
    );
    let listed = installation.admin(&["hunts", "list", "--org", &org.name, "--feed", &org.name]);
    let origins: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["origin"])
        .collect();
    assert_eq!(origins, [&json!("request"), &json!("feed")], "{listed}");
    refused(&["hunts", "cancel", &id], "at its end already");
    refused(
        &["hunts", "start", "no-such-feed", "--org", &org.name],
        "there is no feed",
    );
    refused(
        &[
            "hunts", "start", &org.name, "--org", &org.name, "--days", "400",
        ],
        "366",
    );
    until("what was done is recorded", || {
        let recorded = org.rows("/api/v1/audit/search?event_type=SYSTEM_CONFIG&limit=100");
        let is_begin = |event: &&Value| event["action"] == "retro_hunt.begin";
        let begun = recorded
            .iter()
            .filter(is_begin)
            .any(|event| event.to_string().contains(&id));
        if begun { Ok(()) } else { Err(recorded) }
    });
}

fn refused(command: &[&str], reason: &str) {
    let output = process::run("millrace-admin", shared().installation.settings(), command);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains(reason), "{told}");
}

#[test]
fn what_was_recorded_of_an_indicator_is_no_find() {
    let org = Org::new("recorded");
    let value = format!("c2.{}.example.com", org.name);
    let one = json!({"value": value, "feed": org.name});
    let _made = org
        .tell_as("admin", "/api/v1/indicators", &one)
        .must_be(201);
    until("what was done is recorded", || {
        let recorded = org.rows("/api/v1/audit/search?event_type=SYSTEM_CONFIG&limit=100");
        let named = recorded
            .iter()
            .any(|event| event.to_string().contains(&value));
        if named { Ok(()) } else { Err(recorded) }
    });
    let asked = json!({"feed": org.name});
    let _begun = org.tell_as("admin", HUNTS, &asked).must_be(202);
    for hunt in done(&org, 2) {
        assert_eq!(
            (&hunt["rows_read"], &hunt["hits"]),
            (&json!(0), &json!(0)),
            "{hunt}"
        );
    }
}

#[test]
fn a_feed_that_names_much_raises_a_bounded_number_of_alerts() {
    let org = Org::new("hunted-much");
    let record =
        |n: i64| json!({"service": "dns", "message": format!("h{n}.{}.example.com", org.name)});
    let records: Vec<Value> = (0..230).map(record).collect();
    org.store(Signal::Logs, &json!({ "logs": records }));
    let line = format!("{}.example.com,domain,90,high,", org.name);
    import(&shared().installation, &org, &line);
    let hunts = done(&org, 1);
    assert_eq!(
        (&hunts[0]["hits"], &hunts[0]["alerts"]),
        (&json!(230), &json!(201)),
        "{hunts:?}"
    );
    let alerts = found(&org);
    let counts = alerts.iter().map(|alert| alert["count"].as_i64().unwrap());
    assert_eq!((alerts.len(), counts.sum::<i64>()), (201, 230));
}

#[test]
fn a_hunt_goes_on_where_a_killed_worker_left_it_and_counts_once() {
    let mut installation = Installation::on(Engines::own("hunts"), "hunts");
    let gateway = installation.start(Part::Gateway);
    let query = installation.start(Part::Query);
    // Slow enough to be killed in the middle, whenever that is noticed: it takes most of a minute.
    installation.set("MILLRACE_RETRO_HUNT_ROWS_PER_S", "4");
    let mut worker = installation.start(Part::Worker);
    let org = Org::of(&installation, "hunts", (&gateway.url, &query.url));
    for role in ["analyst", "admin"] {
        let made = installation.admin(&["tokens", "create", "--org", &org.name, "--role", role]);
        org.use_token(role, made["token"].as_str().unwrap());
    }
    let host = format!("cdn.{}.example.com", org.name);
    store(&org, &host, (8, 20));
    let line = format!("{}.example.com,domain,90,high,Test implant", org.name);
    import(&installation, &org, &line);
    let hits = within(PATIENCE, "the hunt is in the middle", || {
        let hunts = hunts(&org);
        let hits = hunts.first().and_then(|hunt| hunt["hits"].as_i64());
        hits.filter(|hits| (20..140).contains(hits)).ok_or(hunts)
    });
    worker.process.kill();
    let counted = found(&org)[0]["count"].as_i64().unwrap();
    assert!(counted >= hits, "{counted} {hits}");
    installation.set("MILLRACE_RETRO_HUNT_ROWS_PER_S", "100000");
    // Two that would both go on with it.
    let workers = [(); 2].map(|()| installation.start(Part::Worker));
    let hunts = done(&org, 1);
    assert_eq!(
        (&hunts[0]["hits"], &hunts[0]["rows_read"]),
        (&json!(160), &json!(160)),
        "{hunts:?}"
    );
    let alerts = found(&org);
    assert_eq!(
        (alerts.len(), &alerts[0]["count"]),
        (1, &json!(160)),
        "{alerts:?}"
    );
    one_that_fails_says_why_and_is_tried_again(&installation, &org);
    drop(workers);
    one_that_is_cancelled_is_left(&mut installation, &org);
}

/// A table that cannot be read for a while.
fn one_that_fails_says_why_and_is_tried_again(installation: &Installation, org: &Org) {
    let rename = |from: &str, to: &str| {
        let sql = format!("RENAME TABLE millrace.{from} TO millrace.{to}");
        let _nothing = stores::clickhouse(installation, &sql);
    };
    rename("rum_events", "rum_events_away");
    let asked = json!({"feed": org.name});
    let _begun = org.tell_as("admin", HUNTS, &asked).must_be(202);
    let failing = within(PATIENCE, "the hunt fails", || {
        let hunt = hunts(org).remove(0);
        let failed = hunt["failures"].as_i64().is_some_and(|count| count > 0);
        // A store that was late before it came to this table has failed it too.
        let here = hunt["table"] == "rum_events";
        if failed && here { Ok(hunt) } else { Err(hunt) }
    });
    rename("rum_events_away", "rum_events");
    assert_eq!(
        (&failing["state"], &failing["table"]),
        (&json!("running"), &json!("rum_events")),
        "{failing}"
    );
    let why = failing["failure"].as_str().unwrap();
    assert!(why.starts_with("clickhouse: "), "{why}");
    let hunts = done(org, 2);
    assert_eq!(
        (&hunts[0]["hits"], &hunts[0]["alerts"], &hunts[0]["failure"]),
        (&json!(160), &json!(0), &json!("")),
        "{hunts:?}"
    );
}

fn one_that_is_cancelled_is_left(installation: &mut Installation, org: &Org) {
    installation.set("MILLRACE_RETRO_HUNT_ROWS_PER_S", "1");
    let slow = installation.start(Part::Worker);
    let asked = json!({"feed": org.name});
    let begun = org.tell_as("admin", HUNTS, &asked).must_be(202).json();
    let path = format!("{HUNTS}/{}", begun["id"].as_str().unwrap());
    let running = within(PATIENCE, "it is under way", || {
        let hunt = org.ask(&path).must_be(200).json();
        let under_way = hunt["rows_read"].as_i64().is_some_and(|rows| rows > 0);
        if under_way { Ok(hunt) } else { Err(hunt) }
    });
    assert_eq!(
        (&running["state"], &running["table"]),
        (&json!("running"), &json!("logs"))
    );
    let id = begun["id"].as_str().unwrap();
    let cancelled = installation.admin(&["hunts", "cancel", id]);
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(
        org.delete_as("admin", &path).status,
        404,
        "it is at its end"
    );
    until("the worker leaves it", || {
        let metrics = slow.metrics();
        let left = metrics.contains("millrace_retro_hunts_total{outcome=\"cancelled\"} 1");
        if left { Ok(()) } else { Err(metrics) }
    });
    let state = org.ask(&path).must_be(200).json();
    assert_eq!(state["state"], "cancelled", "{state}");
    let postgres = installation.postgres();
    let sql = "SELECT count(*) FROM retro_hunt WHERE state = 'running'";
    let running: i64 = block_on(postgres.query_one(sql, &[])).unwrap().get(0);
    assert_eq!(running, 0);
}
