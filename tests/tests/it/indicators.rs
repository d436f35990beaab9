//! Indicators from a feed to a match: imported through the API, counted per feed, silenced by an
//! allow-list, and gone with their feed.

use millrace_shared::Signal;
use millrace_tests::{Org, until};
use serde_json::{Value, json};

fn say(org: &Org, service: &str, message: &str) -> Value {
    let body = json!({"logs": [{"service": service, "message": message}]});
    org.store(Signal::Logs, &body);
    let mut rows = org.search_logs(&format!("service={service}"));
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

fn hits(org: &Org) -> i64 {
    let path = "/api/v1/indicator-feeds/bundle";
    let feed = org.ask_as("viewer", path).must_be(200).json();
    feed["hits"].as_i64().unwrap()
}

/// A bundle that says a domain and a network, and a pattern that no indicator can say.
fn import(org: &Org, domain: &str) {
    let pattern =
        format!("[domain-name:value = '{domain}'] OR [ipv4-addr:value = '93.184.216.0/28']");
    let ordered =
        "[domain-name:value = 'x.example.com'] FOLLOWEDBY [domain-name:value = 'y.example.com']";
    let bundle = json!({"type": "bundle", "id": "bundle--1", "objects": [
        {"type": "malware", "id": "malware--1", "name": "Test implant"},
        {"type": "relationship", "id": "relationship--1", "relationship_type": "indicates",
         "source_ref": "indicator--1", "target_ref": "malware--1"},
        {"type": "indicator", "id": "indicator--1", "pattern_type": "stix", "confidence": 95,
         "pattern": pattern},
        {"type": "indicator", "id": "indicator--2", "pattern_type": "stix", "pattern": ordered},
    ]});
    let path = "/api/v1/indicators/import?feed=bundle";
    let answer = org.tell_as("threat_hunter", path, &bundle);
    let answer = answer.must_be(200).json();
    assert_eq!(
        (&answer["added"], &answer["refused"]),
        (&json!(2), &json!(1)),
        "{answer}"
    );
    org.rules_are_loaded();
}

fn score(row: &Value) -> u64 {
    row["risk_score"].as_u64().unwrap()
}

#[test]
fn a_bundle_matches_and_its_hits_are_counted() {
    let org = Org::new("bundle");
    let domain = format!("c2.{}.example.com", org.name);
    import(&org, &domain);
    let row = say(
        &org,
        "first",
        &format!("hxxp://a[.]{domain}/x and 93.184.216.7"),
    );
    assert!(score(&row) >= 95, "{row}");
    assert_eq!(row["threat_names"], json!(["Test implant"]));
    assert_eq!(
        row["indicator_ids"].as_array().map(Vec::len),
        Some(2),
        "{row}"
    );
    until("both hits are counted", || match hits(&org) {
        2 => Ok(()),
        other => Err(other),
    });
    let other = Org::new("bundle-other");
    assert_eq!(score(&say(&other, "first", &domain)), 0);
}

#[test]
fn what_is_allowed_never_matches_and_a_feed_ends_with_all_it_holds() {
    let org = Org::new("allowed");
    let domain = format!("c2.{}.example.com", org.name);
    import(&org, &domain);
    let list = json!({"type": "cidr", "list": ["93.184.216.0/24"]});
    let path = "/api/v1/allow-lists/edge";
    let _made = org.put_as("threat_hunter", path, &list).must_be(201);
    org.rules_are_loaded();
    assert_eq!(score(&say(&org, "allowed", "from 93.184.216.7")), 0);
    assert!(score(&say(&org, "other", &domain)) >= 95);
    let _gone = org.delete_as("threat_hunter", path).must_be(204);
    org.rules_are_loaded();
    assert!(score(&say(&org, "again", "from 93.184.216.7")) >= 95);

    // A feed that is trusted half as much scores half as much.
    let path = "/api/v1/indicator-feeds/bundle";
    let half = json!({"trust": 50});
    let _put = org.put_as("threat_hunter", path, &half).must_be(200);
    org.rules_are_loaded();
    assert_eq!(score(&say(&org, "half", &domain)), 48);
    let _gone = org.delete_as("threat_hunter", path).must_be(204);
    org.rules_are_loaded();
    assert_eq!(score(&say(&org, "ended", &domain)), 0);
}
