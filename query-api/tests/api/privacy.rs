//! The policy for personal data in its revisions, peppers, and searches for hashed values.

use crate::alerts::trail;
use crate::world::*;
use millrace_scrubber::{Class, Pepper};
use reqwest::Method;
use serde_json::{Value, json};

async fn put(org: &Org, body: Value) -> Answer {
    write(Method::PUT, "/privacy/policy", &org.admin, &body).await
}

#[tokio::test]
async fn a_policy_lives_in_revisions_that_follow_one_another() {
    let (ours, theirs) = (org().await, org().await);
    let before = get("/privacy/policy", &ours.viewer, &[]).await.ok();
    assert_eq!(
        (&before["policy"], &before["pepper_version"]),
        (&json!({}), &json!(1))
    );
    assert_eq!(before["effective"]["ipv4"], "keep");
    assert_eq!(before["effective"]["email"], "redact");
    let policy = json!({ "classes": { "email": "hash" } });
    let body = json!({ "policy": policy });
    let denied = write(Method::PUT, "/privacy/policy", &ours.analyst, &body);
    assert_eq!(denied.await.problem(403), "forbidden");
    let made = put(
        &ours,
        json!({ "policy": policy, "revision": before["revision"] }),
    )
    .await
    .ok();
    assert_eq!(
        (&made["policy"], &made["effective"]["email"]),
        (&policy, &json!("hash"))
    );
    assert!(made["revision"].as_i64() > before["revision"].as_i64());
    assert_eq!(made["changed_by"], "admin token");
    let late = put(
        &ours,
        json!({ "policy": {}, "revision": before["revision"] }),
    )
    .await;
    assert_eq!(late.problem(409), "conflict");
    let versions = made["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[1]["until_revision"], made["revision"]);
    assert_eq!(
        get("/privacy/policy", &theirs.viewer, &[]).await.ok()["policy"],
        json!({})
    );
    let actions = texts(&Value::Array(trail(&ours).await), "action");
    assert_eq!(actions, ["privacy.policy.put"]);
}

#[tokio::test]
async fn what_is_no_policy_is_refused_with_the_reason() {
    let org = org().await;
    for (policy, reason) in [
        (json!({ "classes": { "mail": "hash" } }), "mail"),
        (
            json!({ "classes": { "email": "pseudonym" } }),
            "pseudonyms are for addresses",
        ),
        (json!({ "paths": [{ "path": "a.*.b" }] }), "a.*.b"),
        (
            json!({ "paths": [{ "path": "a" }, { "path": "a" }] }),
            "two rules",
        ),
        (json!({ "sensitive_keys": vec!["k"; 300] }), "more than"),
        (json!([]), "policy"),
    ] {
        let answer = put(&org, json!({ "policy": policy })).await;
        let detail = answer.body["detail"].as_str().unwrap().to_owned();
        assert_eq!(answer.problem(422), "unprocessable");
        assert!(detail.contains(reason), "{detail}");
    }
    assert_eq!(put(&org, json!({})).await.problem(400), "bad_parameter");
    assert!(trail(&org).await.is_empty(), "nothing was changed");
}

#[tokio::test]
async fn a_new_pepper_leaves_the_old_ones_for_searches() {
    let org = org().await;
    let rotate = async |reason: &str| {
        post("/privacy/peppers", &org.admin, &json!({ "reason": reason })).await
    };
    assert_eq!(rotate(" ").await.problem(422), "unprocessable");
    let listed = rotate("leaked").await;
    assert_eq!(listed.status, 201, "{}", listed.body);
    assert_eq!(texts(&listed.body["peppers"], "version"), ["2", "1"]);
    assert!(
        !listed.body.to_string().contains("pepper\":"),
        "{}",
        listed.body
    );
    let plain = json!({ "class": "email", "value": "Ada@Example.com" });
    assert_eq!(
        post("/privacy/hash", &org.analyst, &plain)
            .await
            .problem(403),
        "forbidden"
    );
    let forms = post("/privacy/hash", &org.admin, &plain).await.ok();
    let forms: Vec<&str> = forms["forms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|form| form.as_str().unwrap())
        .collect();
    let first = Pepper::new(1, &[7; 32]).unwrap();
    assert!(forms[0].starts_with("email:v2:"), "{forms:?}");
    assert_eq!(forms[1], first.hashed(Class::Email, "ada@example.com"));
    let trail = Value::Array(trail(&org).await);
    let mut actions = texts(&trail, "action");
    actions.sort();
    assert_eq!(actions, ["pii.search", "privacy.pepper.rotate"]);
    assert!(
        !trail.to_string().to_lowercase().contains("ada@"),
        "{trail}"
    );
    // Somebody who forgets the version is stopped by the database.
    let client = postgres().await;
    let sql = "UPDATE organisation SET pepper = $2 WHERE id = $1";
    let refused = client.execute(sql, &[&org.id, &[8u8; 32].as_slice()]).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn hashed_values_are_found_in_every_signal_and_nowhere_else() {
    let (ours, theirs) = (org().await, org().await);
    let pepper = Pepper::new(1, &[7; 32]).unwrap();
    let hash = pepper.hashed(Class::Email, "ada@example.com");
    let classes = json!(["email"]);
    let unversioned = hash.replace(":v1", "");
    let with = |more: Value| {
        let mut more = more;
        more["PiiClasses"] = classes.clone();
        more
    };
    let logs = [
        row(
            &ours,
            1.0,
            with(json!({ "Body": format!("to {hash}, twice") })),
        ),
        row(
            &ours,
            2.0,
            with(json!({ "Body": "b", "LogAttributes": { "to": format!("x {unversioned}") } })),
        ),
        row(
            &ours,
            3.0,
            with(json!({ "Body": "c", "LogAttributes": { hash.clone(): "as a key" } })),
        ),
        row(
            &ours,
            4.0,
            with(json!({ "Body": "another email:v1:0123456789abcdef01234567" })),
        ),
        row(&theirs, 5.0, with(json!({ "Body": hash }))),
    ];
    insert("logs", &logs).await;
    insert(
        "audit_events",
        &[row(
            &ours,
            1.0,
            with(json!({ "ActorEmail": hash, "EventType": "AUTHENTICATION" })),
        )],
    )
    .await;
    insert(
        "rum_events",
        &[row(
            &ours,
            1.0,
            with(json!({ "UserId": hash, "EventType": "error" })),
        )],
    )
    .await;
    insert(
        "spans",
        &[row(
            &ours,
            1.0,
            with(json!({ "TraceId": "0af7651916cd43dd8448eb211c80319c",
        "SpanId": "b7ad6b7169203331", "SpanName": "send", "SpanAttributes": { "to": hash } })),
        )],
    )
    .await;
    let hunter = token(ours.id, "threat_hunter").await;
    let search = async |path: &str, token: &str, value: &str| {
        let [start, end] = range();
        let body = json!({ start.0: start.1, end.0: end.1, "hashed": value });
        post(path, token, &body).await
    };
    let asked = "email:ADA@example.com";
    let found = search("/logs/search", &hunter, asked).await.ok();
    assert_eq!(found["rows"].as_array().unwrap().len(), 3, "{found}");
    for path in ["/audit/search", "/rum/search", "/traces/search"] {
        let found = search(path, &hunter, asked).await.ok();
        let list = if path == "/traces/search" {
            "traces"
        } else {
            "rows"
        };
        assert_eq!(found[list].as_array().unwrap().len(), 1, "{path}: {found}");
        let none = search(path, &hunter, "email:eve@example.com").await.ok();
        assert_eq!(none[list], json!([]), "{path}");
        assert_eq!(
            search(path, &ours.analyst, asked).await.problem(403),
            "forbidden"
        );
    }
    let histogram = get(
        "/logs/histogram",
        &hunter,
        &[("start", "now-4h"), ("hashed", asked)],
    )
    .await
    .ok();
    assert_eq!(histogram["total"], 3);
    for wrong in ["ada@example.com", "mail:x", "email:"] {
        let status = search("/logs/search", &hunter, wrong).await.status;
        assert!((400..500).contains(&status), "{wrong}: {status}");
    }
    // One event for each search that was answered, and none for those that were not.
    assert_eq!(trail(&ours).await.len(), 8);
}
