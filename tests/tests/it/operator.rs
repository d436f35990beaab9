//! The operator's tool: what it makes works, and doing it twice changes nothing.

use millrace_shared::secret::Secret;
use millrace_shared::signature::sign_body;
use millrace_tests::{Http, Org, process, shared, until};
use serde_json::{Value, json};
use std::sync::Mutex;

/// Whoever seeds the demonstration makes organisations of given names: one test at a time.
static DEMONSTRATION: Mutex<()> = Mutex::new(());

#[test]
fn the_demonstration_is_made_once_and_works() {
    let _alone = DEMONSTRATION.lock();
    let installation = &shared().installation;
    let file = process::logs().join("demo.json").display().to_string();
    let first = installation.admin(&["seed-demo", "--out", &file]);
    let again = installation.admin(&["seed-demo", "--out", &file]);
    assert_eq!(first, again, "a second time changes nothing");
    let other = process::logs().join("demo-lost.json").display().to_string();
    let lost = installation.admin(&["seed-demo", "--out", &other]);
    assert_eq!(
        (&lost["org_id"], &lost["key_id"]),
        (&first["org_id"], &first["key_id"])
    );
    assert_ne!(
        lost["secret"], first["secret"],
        "a lost secret is replaced, never shown"
    );
    let secret = Secret::parse(lost["self"]["secret"].as_str().unwrap()).unwrap();
    let body = br#"{"logs":[{"service":"demo","message":"hello"}]}"#;
    let signature = sign_body(&secret, body);
    let headers = [
        ("x-org-key", lost["self"]["key_id"].as_str().unwrap()),
        ("x-signature", signature.as_str()),
        ("content-type", "application/json"),
    ];
    let url = format!("{}/v1/logs", shared().gateway.url);
    let _accepted = Http::new().post(&url, &headers, body).unwrap().must_be(202);
    let token = format!(
        "Bearer {}",
        lost["other_org"]["tokens"]["viewer"].as_str().unwrap()
    );
    let url = format!("{}/api/v1/logs/search", shared().query.url);
    let _allowed = Http::new()
        .get(&url, &[("authorization", &token)])
        .unwrap()
        .must_be(200);
}

#[test]
fn the_number_of_shards_is_fixed_once_entries_exist() {
    let org = Org::new("shards");
    org.committed(&org.send_logs(&["an entry"]));
    let output = process::run(
        "millrace-admin",
        shared().installation.settings(),
        &["install", "--shards", "8"],
    );
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("4 shards per signal"), "{told}");
}

#[test]
fn rules_are_imported_tested_and_switched() {
    let org = Org::new("rules");
    let installation = &shared().installation;
    let list = |id: &str| -> Value {
        let rules = installation.admin(&["rules", "list", "--org", &org.name]);
        rules
            .as_array()
            .unwrap()
            .iter()
            .find(|rule| rule["id"] == id)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(list("BRUTE_FORCE_ATTACK")["enabled"], true);
    installation.admin(&["rules", "disable", "BRUTE_FORCE_ATTACK", "--org", &org.name]);
    let off = list("BRUTE_FORCE_ATTACK");
    assert_eq!(
        (&off["enabled"], &off["version"]),
        (&json!(false), &json!(2))
    );
    installation.admin(&["rules", "enable", "BRUTE_FORCE_ATTACK", "--org", &org.name]);
    assert_eq!(list("BRUTE_FORCE_ATTACK")["version"], 3);
    let rule = |expect: &str| {
        json!({
            "id": "TEST_RULE", "name": "Test rule", "severity": "low", "message": "seen", "scope": ["logs"],
            "selection": {"all": [{"field": "message", "op": "contains", "value": "needle"}]},
            "tests": [{"name": "a needle", "events": [{"service": "s", "message": "a needle"}], "expect": expect}],
        })
    };
    let file = process::logs().join(format!("{}.json", org.name));
    let path = file.display().to_string();
    std::fs::write(&file, rule("no_match").to_string()).unwrap();
    let output = process::run(
        "millrace-admin",
        installation.settings(),
        &["rules", "import", &path, "--org", &org.name],
    );
    assert!(
        !output.status.success(),
        "a rule that fails its own test is not taken"
    );
    assert_eq!(list("TEST_RULE"), Value::Null);
    std::fs::write(&file, rule("match").to_string()).unwrap();
    installation.admin(&["rules", "import", &path, "--org", &org.name]);
    assert_eq!(list("TEST_RULE")["version"], 1);
}

#[test]
fn built_in_rules_are_told_from_changed_ones_and_restored() {
    let org = Org::new("builtin");
    let installation = &shared().installation;
    let state = |id: &str| -> Value {
        let rules = installation.admin(&["rules", "builtin", "--org", &org.name]);
        let mut rules = rules.as_array().unwrap().iter();
        rules
            .find(|rule| rule["id"] == id)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(state("SECRET_LEAK")["state"], "as_offered");
    installation.admin(&["rules", "disable", "SECRET_LEAK", "--org", &org.name]);
    let off = state("SECRET_LEAK");
    assert_eq!(
        (&off["state"], &off["enabled"]),
        (&json!("as_offered"), &json!(false)),
        "switching is no change"
    );
    let rule = json!({
        "id": "SECRET_LEAK", "name": "Ours", "severity": "low", "message": "m", "scope": ["logs"],
        "selection": [{"field": "pii.class", "op": "eq", "value": "secret"}],
    });
    let file = process::logs().join(format!("{}.json", org.name));
    std::fs::write(&file, rule.to_string()).unwrap();
    let path = file.display().to_string();
    installation.admin(&["rules", "import", &path, "--org", &org.name]);
    assert_eq!(state("SECRET_LEAK")["state"], "changed");
    installation.admin(&["rules", "restore", "SECRET_LEAK", "--org", &org.name]);
    let back = state("SECRET_LEAK");
    assert_eq!(
        (&back["state"], &back["version"], &back["enabled"]),
        (&json!("as_offered"), &json!(4), &json!(true))
    );
}

#[test]
fn the_demonstrations_indicators_are_those_that_the_load_plants() {
    let _alone = DEMONSTRATION.lock();
    let file = process::logs().join("planted.json").display().to_string();
    shared().installation.admin(&["seed-demo", "--out", &file]);
    let known = shared()
        .installation
        .admin(&["indicators", "list", "--feed", "demo"])
        .to_string();
    for indicator in millrace_load::planted::INDICATORS {
        assert!(
            known.contains(indicator.value),
            "{} is not in the feed: {known}",
            indicator.value
        );
    }
}

/// Writes a file for the tool; its path.
fn file(org: &Org, name: &str, content: &Value) -> String {
    let file = process::logs().join(format!("{}-{name}.json", org.name));
    std::fs::write(&file, content.to_string()).unwrap();
    file.display().to_string()
}

/// The organisation's audit event of an action, once it is stored.
fn recorded(org: &Org, action: &str) -> Value {
    until("the audit event", || {
        let rows = org.rows("/api/v1/audit/search?limit=1000");
        let found = rows.iter().find(|row| row["action"] == action).cloned();
        found.ok_or(rows)
    })
}

#[test]
fn a_rule_is_put_to_history() {
    let org = Org::new("tool-backtest");
    org.store(
        millrace_shared::Signal::Logs,
        &json!({"logs": [
            {"service": "shop", "message": "a needle", "host": "a"},
            {"service": "shop", "message": "hay", "host": "a"},
            {"service": "shop", "message": "another needle", "host": "b"}]}),
    );
    let rule = json!({"id": "needles", "name": "Needles", "severity": "low", "message": "in {host}",
        "scope": ["logs"], "group_by": ["host"], "dedupe": {"keys": ["host"], "window_seconds": 60},
        "selection": [{"field": "message", "op": "contains", "value": "needle"}]});
    let path = file(&org, "rule", &rule);
    let installation = &shared().installation;
    let put = |rule: &[&str]| -> Result<Value, String> {
        let url = shared().query.url.as_str();
        let always = [
            "--json",
            "rules",
            "backtest",
            "--org",
            &org.name,
            "--query-url",
            url,
        ];
        let arguments = [&always[..], rule].concat();
        let output = process::run("millrace-admin", installation.settings(), &arguments);
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    // Tests beside this one take the process's places.
    let done = until("a place for a back-test", || {
        put(&["--file", &path, "--start", "now-1h", "--step", "10m"])
    });
    assert_eq!(
        (
            &done["matches"],
            &done["rows_scanned"],
            &done["alerts_raised"]
        ),
        (&json!(2), &json!(3), &json!(2)),
        "{done}"
    );
    let _made = installation.admin(&["rules", "import", &path, "--org", &org.name]);
    let by_id = until("a place for a back-test", || put(&["needles"]));
    assert_eq!(by_id["matches"], 2, "{by_id}");
    let refused = put(&["nothing"]).unwrap_err();
    assert!(refused.contains("answered 4"), "{refused}");
    // The token is gone, and who asked is told.
    let tokens = installation.admin(&["tokens", "list", "--org", &org.name]);
    assert!(!tokens.to_string().contains("millrace-admin"), "{tokens}");
    let event = recorded(&org, "rule.backtest");
    assert_eq!(event["actor_name"], "millrace-admin", "{event}");
}

/// Runs `millrace-admin privacy` for an organisation.
fn privacy(org: &Org, arguments: &[&str]) -> Value {
    let about = ["--org", org.name.as_str()];
    let installation = &shared().installation;
    installation.admin(&[&["privacy"][..], arguments, &about[..]].concat())
}

/// What stands in the row of e-mail addresses.
fn of_email(page: &Value) -> Value {
    let mut rows = page["results"].as_array().unwrap().iter();
    rows.find(|row| row["class"] == "email").unwrap().clone()
}

#[test]
fn a_policy_is_shown_tried_and_replaced() {
    let org = Org::new("tool-policy");
    let path = file(&org, "policy", &json!({"classes": {"email": "hash"}}));
    let before = privacy(&org, &["policy", "show"]);
    assert_eq!(of_email(&before)["strategy"], "redact");

    let email = of_email(&privacy(&org, &["policy", "set", &path, "--dry-run"]));
    assert_eq!(
        (&email["now"], &email["then"]),
        (&json!("redact"), &json!("hash"))
    );
    let events = json!([{"service": "shop", "message": "mail to ada@example.com"}]);
    let events = file(&org, "events", &events);
    let dry = ["policy", "set", &path, "--dry-run"];
    let over = ["--events", &events, "--signal", "logs"];
    let tried = privacy(&org, &[&dry[..], &over[..]].concat());
    let message = tried["events"][0]["event"]["message"].as_str().unwrap();
    assert!(message.starts_with("mail to email:v1:"), "{message}");
    assert_eq!(tried["events"][0]["changed"], json!({"message": ["email"]}));
    let after = privacy(&org, &["policy", "show"]);
    assert_eq!(after, before, "a dry run changes nothing");

    let revision = before["revision"].to_string();
    let set = ["policy", "set", &path, "--revision", &revision];
    let done = privacy(&org, &set);
    assert!(done["revision"].as_i64() > before["revision"].as_i64());
    let again = [&["privacy"][..], &set[..], &["--org", &org.name][..]].concat();
    let again = process::run("millrace-admin", shared().installation.settings(), &again);
    assert!(!again.status.success(), "another revision came between");
    let revisions = privacy(&org, &["policy", "revisions"]);
    assert_eq!(
        (&revisions[0]["policy"], &revisions[0]["changed_by"]),
        (
            &json!({"classes": {"email": "hash"}}),
            &json!("millrace-admin")
        )
    );
    assert_eq!(revisions[1]["until_revision"], revisions[0]["revision"]);
    let event = recorded(&org, "privacy.policy.put");
    assert_eq!(event["target_ids"][0], org.id.to_string(), "{event}");
    assert_eq!(event["event_type"], "DATA_PRIVACY", "{event}");
}

#[test]
fn a_pepper_is_rotated_and_never_shown() {
    let org = Org::new("tool-pepper");
    assert_eq!(privacy(&org, &["peppers", "list"])[0]["version"], 1);
    let rotate = ["peppers", "rotate", "--reason", "on schedule"];
    assert_eq!(privacy(&org, &rotate)["version"], 2);
    let listed = privacy(&org, &["peppers", "list"]);
    assert_eq!(
        (&listed[0]["version"], &listed[0]["made_by"]),
        (&json!(2), &json!("millrace-admin"))
    );
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let event = recorded(&org, "privacy.pepper.rotate");
    assert_eq!(event["target_ids"][0], org.id.to_string(), "{event}");
    assert_eq!(event["metadata"]["reason"], "on schedule", "{event}");
}

#[test]
fn a_feeds_credential_is_read_from_a_file_and_sealed() {
    let org = Org::new("tool-feed");
    let installation = &shared().installation;
    let file = process::logs().join(format!("{}.secret", org.name));
    std::fs::write(&file, "s3cret-key\n").unwrap();
    let file = file.display().to_string();
    let set = |more: &[&str]| {
        let feed = ["indicators", "feeds", "set", "closed", "--org", &org.name];
        installation.admin(&[&feed[..], more].concat())
    };
    let kind = || -> Value {
        let feeds = installation.admin(&["indicators", "feeds", "list"]);
        assert!(!feeds.to_string().contains("s3cret-key"));
        let mut feeds = feeds.as_array().unwrap().iter();
        let own = feeds.find(|feed| feed["org"] == org.name).unwrap();
        own["credential"].clone()
    };
    let url = ["--url", "https://feed.example.com/a.csv"];
    set(&[&url[..], &["--header", "x-api-key", "--secret-file", &file]].concat());
    assert_eq!(kind(), "header");
    set(&url);
    assert_eq!(kind(), "header", "it is kept");
    set(&[&url[..], &["--no-credential"]].concat());
    assert_eq!(kind(), Value::Null);
}
