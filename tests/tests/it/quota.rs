//! What is above a quota is refused, and before its body is hashed where the connection has proven
//! its key; nobody else learns or takes anything.

use millrace_shared::Signal;
use millrace_shared::signature::sign_body;
use millrace_tests::hostile::case::{Area, Case, Due};
use millrace_tests::hostile::exchange;
use millrace_tests::wait::block_on;
use millrace_tests::{Answer, Org, shared, until};
use serde_json::json;

/// Events a second of the organisation, and of one request of the test.
const QUOTA: usize = 10;

fn limited(name: &str) -> Org {
    let org = Org::new(name);
    let sql = "UPDATE organisation SET events_per_second = $2 WHERE id = $1";
    let quota = i64::try_from(QUOTA).unwrap();
    let postgres = shared().installation.postgres();
    let changed = block_on(postgres.execute(sql, &[&org.id, &quota]));
    assert_eq!(changed.unwrap(), 1);
    org
}

/// As many events as a second allows.
fn body() -> Vec<u8> {
    let logs: Vec<_> = (0..QUOTA)
        .map(|n| json!({"service": "quota", "message": format!("event {n}")}))
        .collect();
    json!({ "logs": logs }).to_string().into_bytes()
}

fn request(org: &Org, key: &str, signature: &str) -> Vec<u8> {
    let body = body();
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nx-org-key: {key}\r\n\
         x-signature: {signature}\r\ncontent-length: {}\r\n\r\n",
        org.gateway_url.trim_start_matches("http://"),
        body.len()
    );
    [head.into_bytes(), body].concat()
}

fn good(org: &Org) -> Vec<u8> {
    request(org, &org.key_id, &sign_body(&org.secret, &body()))
}

/// The right key, and a signature of nobody's.
fn forged(org: &Org) -> Vec<u8> {
    request(org, &org.key_id, &format!("sha256={}", "0".repeat(64)))
}

/// Sends requests over one connection.
fn over_one(org: &Org, requests: &[Vec<u8>]) -> Vec<Answer> {
    let due = Due::refused(&[429], &[]);
    let case = Case::new(Area::Limits, "quota", requests.concat(), due);
    let address = org.gateway_url.trim_start_matches("http://");
    exchange::carry_out(&case, address).unwrap().answers
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

#[test]
fn what_is_above_the_quota_is_told_when_to_come_back() {
    let org = limited("above");
    until("a refusal for the quota", || {
        let answers = over_one(&org, &[good(&org), good(&org), good(&org)]);
        let refused = answers.iter().find(|answer| answer.status == 429);
        refused.cloned().ok_or(statuses(&answers)).map(|refused| {
            assert_eq!(refused.json()["code"], "quota_exceeded");
            assert_eq!(refused.json()["retryable"], true);
            assert_eq!(refused.header("retry-after"), Some("1"));
            let policy = refused.header("ratelimit-policy").unwrap();
            assert_eq!(policy, format!("\"events\";q={QUOTA};w=1"));
        })
    });
    let answer = until("the quota to let the next in", || {
        let answer = org.post_bytes(Signal::Logs, &body(), &[]);
        if answer.status == 202 {
            Ok(answer)
        } else {
            Err(answer.status)
        }
    });
    org.committed(&answer.json());
}

#[test]
fn only_a_proven_connection_is_refused_before_its_signature_is_verified() {
    let org = limited("proven");
    // A machine that stands still for a second refills the bucket meanwhile: then once more.
    until("a refusal before the signature is verified", || {
        let answers = over_one(&org, &[good(&org), good(&org), forged(&org)]);
        let proven = statuses(&answers).ends_with(&[429, 429]);
        if proven {
            Ok(())
        } else {
            Err(statuses(&answers))
        }
    });
    for _ in 0..3 {
        let _spent = over_one(&org, &[good(&org), good(&org)]);
        assert_eq!(
            statuses(&over_one(&org, &[forged(&org)])),
            [401],
            "a connection that proved nothing"
        );
    }
    let unknown = request(&org, "k_0123456789abcdef", &sign_body(&org.secret, &body()));
    let answers = statuses(&over_one(&org, &[good(&org), good(&org), unknown]));
    assert_eq!(answers.last(), Some(&401), "{answers:?}: another key");
}
