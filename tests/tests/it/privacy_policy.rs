//! An organisation's own policy for personal data: it holds for what is stored, values that are
//! hashed can be searched for by those who may, also after the pepper was replaced, and every such
//! search is recorded without the value.

use millrace_shared::Signal;
use millrace_tests::{Org, until};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

const POLICY: &str = "/api/v1/privacy/policy";
const SEARCH: &str = "/api/v1/logs/search";

fn policy() -> Value {
    json!({"policy": {
        "classes": {"email": "hash", "ipv4": "pseudonym", "phone": "mask"},
        "paths": [{"path": "debug.*", "value": "remove"}, {"path": "mailbox", "classes": {"email": "keep"}}],
        "sensitive_keys": ["badge"],
    }})
}

/// Messages of the rows that a search in the body of a POST finds, oldest first.
fn found(org: &Org, role: &str, hashed: &str) -> Vec<String> {
    let asked = json!({"start": "now-1h", "order": "asc", "hashed": hashed});
    let answer = org.tell_as(role, SEARCH, &asked).must_be(200).json();
    let rows = answer["rows"].as_array().unwrap().iter();
    rows.map(|row| row["message"].as_str().unwrap().to_owned())
        .collect()
}

fn send(org: &Org, message: &str) {
    org.store(Signal::Logs, &json!({"logs": [{"service": "shop", "message": message,
        "attributes": {"debug": {"dump": "x"}, "mailbox": "kept@example.com", "badge": 4711, "ip": "10.20.30.41"}}]}));
}

#[test]
fn the_policy_holds_for_what_is_stored_and_hashed_values_are_found() {
    let org = Org::new("policy");
    let value = format!("ada-{}@example.com", &org.id.simple().to_string()[..8]);
    let _put = org.put_as("admin", POLICY, &policy()).must_be(200);
    org.rules_are_loaded();
    send(
        &org,
        &format!("mail to {value} from 10.20.30.40, call +1 415 555 2671"),
    );
    let rows = org.search_logs("service=shop");
    let (message, attributes) = (rows[0]["message"].as_str().unwrap(), &rows[0]["attributes"]);
    assert!(message.starts_with("mail to email:v1:"), "{message}");
    assert!(message.ends_with("call ****2671"), "{message}");
    let address = message
        .split(' ')
        .find_map(|word| word.trim_end_matches(',').parse().ok());
    let (address, beside): (Ipv4Addr, Ipv4Addr) = (
        address.unwrap(),
        attributes["ip"].as_str().unwrap().parse().unwrap(),
    );
    let common = (u32::from(address) ^ u32::from(beside)).leading_zeros();
    assert_eq!(common, 31, "{address} {beside}: as 10.20.30.40 and .41");
    assert_eq!(
        (&attributes["mailbox"], &attributes["badge"]),
        (&json!("kept@example.com"), &json!("[REDACTED]"))
    );
    assert!(
        attributes.get("debug.dump").is_none_or(|gone| gone == ""),
        "{attributes}"
    );

    // Whoever may, finds the value in any spelling; the address by its pseudonym.
    let spelled = format!("email:{}", value.to_uppercase());
    let first = found(&org, "threat_hunter", &spelled);
    assert_eq!(first, [message]);
    assert_eq!(found(&org, "threat_hunter", "ipv4:10.20.30.40"), first);
    assert_eq!(found(&org, "threat_hunter", "ipv4:10.20.30.42"), [""; 0]);
    assert_eq!(
        found(&org, "threat_hunter", "email:nobody@example.com"),
        [""; 0]
    );
    let asked = json!({"start": "now-1h", "hashed": spelled});
    let _denied = org.tell_as("analyst", SEARCH, &asked).must_be(403);
    let _word = org
        .tell_as("threat_hunter", SEARCH, &json!({"hashed": "mail:x"}))
        .must_be(400);

    // With another pepper the same value is stored otherwise, and both are found.
    let rotation = json!({"reason": "on schedule"});
    let _denied = org
        .tell_as("threat_hunter", "/api/v1/privacy/peppers", &rotation)
        .must_be(403);
    let peppers = org
        .tell_as("admin", "/api/v1/privacy/peppers", &rotation)
        .must_be(201)
        .json();
    assert_eq!(peppers["peppers"][0]["version"], 2);
    org.rules_are_loaded();
    send(&org, &format!("again to {value}"));
    let both = found(&org, "threat_hunter", &spelled);
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both[1].starts_with("again to email:v2:"), "{both:?}");

    recorded(&org, &value);
}

/// Every search and change stands in the trail, and the value in none of it.
fn recorded(org: &Org, value: &str) {
    let rows = until("the audit events", || {
        let rows = org.rows("/api/v1/audit/search?event_type=DATA_PRIVACY&limit=1000");
        let count = |action: &str| rows.iter().filter(|row| row["action"] == action).count();
        let counts = ["pii.search", "privacy.policy.put", "privacy.pepper.rotate"].map(count);
        match counts == [5, 1, 1] {
            true => Ok(rows),
            false => Err(format!("{counts:?}")),
        }
    });
    let text = Value::Array(rows).to_string().to_lowercase();
    assert!(
        !text.contains(value) && !text.contains("10.20.30.40"),
        "{text}"
    );
    assert!(text.contains("email:v2:"), "{text}");
}

#[test]
fn a_policy_is_tried_on_what_would_be_stored() {
    let org = Org::new("policy-trial");
    let event = json!({"message": "call 415-555-2671", "service": "shop",
        "attributes": {"debug": {"dump": "x"}, "who": "bob@example.com", "n": 17}});
    let trial = json!({"signal": "logs", "policy": policy()["policy"], "events": [event]});
    let tried = org
        .tell_as("analyst", "/api/v1/privacy/policy/test", &trial)
        .must_be(200)
        .json();
    let tried = &tried["events"][0];
    assert_eq!(tried["event"]["message"], "call ****2671");
    assert_eq!(tried["event"]["attributes.debug.dump"], Value::Null);
    assert_eq!(tried["event"]["attributes.n"], 17);
    assert_eq!(tried["classes"], json!(["email", "phone"]));
    assert_eq!(
        tried["changed"],
        json!({"message": ["phone"], "debug.dump": [], "who": ["email"]})
    );
    let hash = tried["event"]["attributes.who"].as_str().unwrap();
    let real = org
        .tell_as(
            "admin",
            "/api/v1/privacy/hash",
            &json!({"class": "email", "value": "bob@example.com"}),
        )
        .must_be(200)
        .json();
    assert!(hash.starts_with("email:v1:"), "{hash}");
    assert_ne!(
        real["forms"][0], hash,
        "a trial tells no hash that is in store"
    );
}
