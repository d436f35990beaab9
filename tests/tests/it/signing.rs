//! Signatures are over the bytes as sent, whatever they look like; replays store nothing.

use millrace_runtime::clock::now_s;
use millrace_shared::Signal;
use millrace_shared::signature::{digest, receipt, sign_body};
use millrace_tests::Org;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Bodies that any re-serialisation would change: spaces, key order, line ends, escapes, numbers.
const ODD: [&[u8]; 6] = [
    b"  {\r\n\t\"logs\" : [ { \"message\" : \"spaces\" , \"service\":\"odd\" } ]\r\n}\r\n  ",
    br#"{"resource":{"service_name":"odd"},"logs":[{"message":"order","attributes":{"z":1,"a":2}}]}"#,
    br#"{"logs":[{"service":"odd","message":"\u0065scapes \u00e9 \ud83d\ude00 \/"}]}"#,
    "{\"logs\":[{\"service\":\"odd\",\"message\":\"Grüße 😀\"}]}".as_bytes(),
    br#"{"logs":[{"service":"odd","message":"numbers","attributes":{"a":1.0,"b":1e3,"c":-0.0,"d":1E-2}}]}"#,
    br#"{"logs":[{"\u0073ervice":"odd","message":"an escaped key"}]}"#,
];

#[test]
fn the_raw_bytes_are_what_is_signed() {
    let org = Org::new("raw");
    for body in ODD {
        let text = String::from_utf8_lossy(body);
        let answer = org.post_bytes(Signal::Logs, body, &[]);
        assert_eq!(answer.status, 202, "{text}: {}", answer.text());
        assert_eq!(answer.json()["accepted"], 1, "{text}");
        // The same JSON written another way is other bytes.
        let mut rewritten = body.to_vec();
        rewritten.push(b' ');
        let signature = sign_body(&org.secret, body);
        let answer = org.post_bytes(Signal::Logs, &rewritten, &[("x-signature", &signature)]);
        assert_eq!(answer.status, 401, "{text}: {}", answer.text());
    }
}

#[test]
fn the_openssl_line_of_the_contract_verifies() {
    let org = Org::new("openssl");
    let Some(mac) = openssl_hmac(org.secret.reveal(), ODD[0]) else {
        eprintln!("SKIPPED: no openssl on this machine");
        return;
    };
    let signature = format!("sha256={mac}");
    let _accepted = org
        .post_bytes(Signal::Logs, ODD[0], &[("x-signature", &signature)])
        .must_be(202);
}

fn openssl_hmac(secret: &str, body: &[u8]) -> Option<String> {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    openssl.stdin.take()?.write_all(body).ok()?;
    let output = openssl.wait_with_output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().last().map(str::to_owned)
}

#[test]
fn a_signature_may_be_in_upper_case() {
    let org = Org::new("upper");
    let body = br#"{"logs":[{"service":"s","message":"upper case"}]}"#;
    let signature = sign_body(&org.secret, body);
    let hex = signature.strip_prefix("sha256=").unwrap().to_uppercase();
    let signature = format!("sha256={hex}");
    let _accepted = org
        .post_bytes(Signal::Logs, body, &[("x-signature", &signature)])
        .must_be(202);
}

#[test]
fn a_replayed_webhook_is_answered_as_the_first_time_and_stored_once() {
    let org = Org::new("replay");
    let body = br#"{"logs":[{"service":"replay","message":"only once"}]}"#;
    let now = now_s();
    let first = org
        .post_webhook(Signal::Logs, body, "msg_1", now)
        .must_be(202)
        .json();
    let second = org
        .post_webhook(Signal::Logs, body, "msg_1", now)
        .must_be(202)
        .json();
    assert_eq!(
        (&first["replayed"], &second["replayed"]),
        (&false.into(), &true.into())
    );
    assert_eq!(first["batch_id"], second["batch_id"]);
    // The id with another body is a mistake of the sender, not a second batch.
    let other = br#"{"logs":[{"service":"replay","message":"another"}]}"#;
    let _refused = org
        .post_webhook(Signal::Logs, other, "msg_1", now)
        .must_be(422);
    org.committed(&first);
    let rows = org.search_logs("service=replay");
    assert_eq!(rows.len(), 1, "{rows:?}");
}

#[test]
fn an_old_or_future_webhook_is_refused_with_the_servers_time() {
    let org = Org::new("late");
    let body = br#"{"logs":[{"service":"s","message":"late"}]}"#;
    // What is of the future gets nearer while it is on its way.
    for off in [-301, 301 + 120] {
        let answer = org
            .post_webhook(Signal::Logs, body, "msg_late", now_s() + off)
            .must_be(401);
        assert!(
            answer.header("date").is_some() || answer.text().contains("time"),
            "{}",
            answer.text()
        );
    }
    let _accepted = org
        .post_webhook(Signal::Logs, body, "msg_in_time", now_s() - 180)
        .must_be(202);
}

#[test]
fn who_is_not_known_learns_nothing() {
    let org = Org::new("unknown");
    let body = br#"{"logs":[{"service":"s","message":"m"}]}"#;
    let plain = |mut problem: serde_json::Value| {
        // Its id and, for the clock of the sender, the time differ from request to request.
        for member in ["request_id", "instance", "server_time"] {
            if let Some(members) = problem.as_object_mut() {
                members.remove(member);
            }
        }
        problem
    };
    let wrong = format!("sha256={}", "0".repeat(64));
    let bad_signature = org
        .post_bytes(Signal::Logs, body, &[("x-signature", &wrong)])
        .must_be(401);
    let unknown_key = org.post_bytes(Signal::Logs, body, &[("x-org-key", "k_nobody")]);
    let url = org.endpoint(Signal::Logs);
    let headers = [
        ("x-org-key", "k_nobody"),
        ("x-signature", wrong.as_str()),
        ("content-type", "application/json"),
    ];
    let unknown_key_alone = millrace_tests::Http::new()
        .post(&url, &headers, body)
        .unwrap()
        .must_be(401);
    assert_ne!(unknown_key.status, 202);
    assert_eq!(plain(bad_signature.json()), plain(unknown_key_alone.json()));
}

#[test]
fn the_receipt_proves_what_was_accepted() {
    let org = Org::new("receipt");
    let body = br#"{"logs":[{"service":"s","message":"m"},{"service":"s"}]}"#;
    let answer = org.post_bytes(Signal::Logs, body, &[]).must_be(202);
    let told = answer.json();
    let id = told["batch_id"].as_str().unwrap();
    assert_eq!(answer.header("x-batch-id"), Some(id));
    assert_eq!(
        (&told["accepted"], &told["rejected"]),
        (&1.into(), &1.into())
    );
    let expected = receipt(&org.secret, id, 1, 1, &digest(body));
    assert_eq!(answer.header("x-receipt"), Some(expected.as_str()));
}
