//! The operator's tool: what it makes works, and doing it twice changes nothing.

use millrace_shared::secret::Secret;
use millrace_shared::signature::sign_body;
use millrace_tests::{Http, Org, process, shared};
use serde_json::{Value, json};

#[test]
fn the_demonstration_is_made_once_and_works() {
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
