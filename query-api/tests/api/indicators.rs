//! Indicators: made, imported in every format, searched, ended; feeds and allow-lists.

use crate::alerts::trail;
use crate::world::*;
use reqwest::Method;
use serde_json::{Value, json};

const BUNDLE: &str = include_str!("../../../detection/src/indicators/fixtures/bundle.json");
const THREATFOX: &str = include_str!("../../../detection/src/indicators/fixtures/threatfox.csv");
const EVENT: &str = include_str!("../../../detection/src/indicators/fixtures/misp_event.json");
const WARNING_LIST: &str =
    include_str!("../../../detection/src/indicators/fixtures/warninglist.json");

async fn import(token: &str, query: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    let path = with("/indicators/import", query);
    send(request(shared(), Method::POST, &path, token).body(body)).await
}

async fn remove(path: &str, token: &str) -> Answer {
    write(Method::DELETE, path, token, &json!({})).await
}

fn counts(answer: &Value) -> [u64; 4] {
    ["added", "ended", "unchanged", "refused"].map(|name| answer[name].as_u64().unwrap())
}

async fn found(token: &str, query: &[(&str, &str)]) -> Vec<String> {
    let answer = get("/indicators", token, query).await.ok();
    let rows = answer["rows"].as_array().unwrap().iter();
    let own = rows.filter(|row| row["scope"] == "organisation");
    own.map(|row| row["value"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_indicator_is_made_found_and_ended() {
    let (ours, theirs) = (org().await, org().await);
    let new = json!({ "value": "hxxp://evil[.]example[.]com/a", "confidence": 90, "severity": "high",
        "threat": "Emotet", "tags": ["c2"], "expires_at": "2099-01-01T00:00:00Z" });
    assert_eq!(
        post("/indicators", &ours.viewer, &new).await.problem(403),
        "forbidden"
    );
    let made = post("/indicators", &ours.admin, &new).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let row = made.body;
    assert_eq!(
        (
            &row["value"],
            &row["type"],
            &row["feed"],
            &row["scope"],
            &row["confidence"]
        ),
        (
            &json!("http://evil.example.com/a"),
            &json!("url"),
            &json!("manual"),
            &json!("organisation"),
            &json!(90)
        )
    );
    // The same again changes nothing; otherwise it takes the place of what was.
    let again = post("/indicators", &ours.admin, &new).await;
    assert_eq!((again.status, &again.body["id"]), (200, &row["id"]));
    let surer = json!({ "value": "http://evil.example.com/a", "confidence": 95 });
    let changed = post("/indicators", &ours.admin, &surer).await.ok();
    assert_ne!(changed["id"], row["id"]);
    let by_value = [("value", "hxxp://evil.example[.]com/a")];
    let viewer = get("/indicators", &ours.viewer, &by_value).await.ok();
    assert_eq!(viewer["rows"].as_array().unwrap().len(), 1);
    assert_eq!(viewer["rows"][0]["confidence"], 95);
    assert_eq!(found(&theirs.admin, &by_value).await, [""; 0]);
    let path = format!("/indicators/{}", changed["id"]);
    assert_eq!(remove(&path, &theirs.admin).await.problem(404), "not_found");
    assert_eq!(remove(&path, &ours.admin).await.status, 204);
    assert_eq!(remove(&path, &ours.admin).await.problem(404), "not_found");
    assert_eq!(found(&ours.admin, &by_value).await, [""; 0]);
    let actions: Vec<Value> = trail(&ours)
        .await
        .iter()
        .map(|event| event["action"].clone())
        .collect();
    assert_eq!(
        actions
            .iter()
            .filter(|one| *one == "indicator.create")
            .count(),
        3
    );
    assert_eq!(
        actions
            .iter()
            .filter(|one| *one == "indicator.delete")
            .count(),
        1
    );
    // Rows are closed under revisions, one stretch after the other.
    let sql = "SELECT from_revision, until_revision FROM indicator WHERE org_id = $1 ORDER BY id";
    let rows = postgres().await.query(sql, &[&ours.id]).await.unwrap();
    let spans: Vec<(i64, Option<i64>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].1, Some(spans[1].0));
    assert!(spans[1].1.is_some_and(|until| until > spans[1].0));
}

#[tokio::test]
async fn what_is_no_indicator_is_refused() {
    let org = org().await;
    for (body, status) in [
        (json!({}), 400),
        (json!({ "value": "no indicator" }), 422),
        (
            json!({ "value": "evil.example.com", "type": "sha256" }),
            422,
        ),
        (json!({ "value": "evil.example.com", "type": "shape" }), 400),
        (
            json!({ "value": "evil.example.com", "confidence": 101 }),
            400,
        ),
        (
            json!({ "value": "evil.example.com", "severity": "odd" }),
            400,
        ),
        (
            json!({ "value": "evil.example.com", "expires_at": "soon" }),
            400,
        ),
        (json!({ "value": "evil.example.com", "feed": "../x" }), 400),
        (
            json!({ "value": "evil.example.com", "tags": vec!["a"; 33] }),
            422,
        ),
        (json!({ "value": "evil.example.com", "org": "x" }), 400),
    ] {
        let answer = post("/indicators", &org.admin, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
    }
    assert_eq!(found(&org.admin, &[]).await, [""; 0]);
}

#[tokio::test]
async fn every_format_is_imported() {
    let org = org().await;
    for (feed, body, format, expected) in [
        ("fox", THREATFOX, "csv", [3, 0, 0, 1]),
        ("bundle", BUNDLE, "stix", [7, 0, 0, 3]),
        ("misp", EVENT, "misp", [6, 0, 0, 1]),
        (
            "hosts",
            "0.0.0.0 bad.example.com\n0.0.0.0 x\n",
            "hosts",
            [1, 0, 0, 1],
        ),
        (
            "list",
            "203.0.113.1\n203.0.113.2 # two\n",
            "plain",
            [2, 0, 0, 0],
        ),
    ] {
        let answer = import(&org.admin, &[("feed", feed)], body).await.ok();
        assert_eq!(
            (counts(&answer), &answer["format"]),
            (expected, &json!(format)),
            "{answer}"
        );
        assert_eq!(
            answer["errors"].as_array().unwrap().len() as u64,
            expected[3]
        );
        let again = import(&org.admin, &[("feed", feed)], body).await.ok();
        assert_eq!(counts(&again), [0, 0, expected[0], expected[3]]);
    }
    let errors = import(&org.admin, &[("feed", "bundle")], BUNDLE).await.ok();
    assert_eq!(errors["errors"][0]["at"], "indicator--3");
    assert_eq!(errors["left_out"], 4);
    let feeds = get("/indicator-feeds", &org.viewer, &[]).await.ok();
    let own = feeds["feeds"].as_array().unwrap().iter();
    let own: Vec<(&str, i64)> = own
        .filter(|feed| feed["scope"] == "organisation")
        .map(|feed| {
            (
                feed["name"].as_str().unwrap(),
                feed["indicators"].as_i64().unwrap(),
            )
        })
        .collect();
    let all = [
        ("bundle", 7),
        ("fox", 3),
        ("hosts", 1),
        ("list", 2),
        ("misp", 6),
    ];
    assert_eq!(own, all);
}

#[tokio::test]
async fn a_feed_is_replaced_or_added_to_and_a_dry_run_stores_nothing() {
    let org = org().await;
    let first = "value,confidence\n203.0.113.1,50\n203.0.113.2,50\n203.0.113.1,90\n";
    let dry = import(&org.admin, &[("feed", "f"), ("dry_run", "true")], first)
        .await
        .ok();
    assert_eq!(
        (counts(&dry), &dry["dry_run"], &dry["indicators"]),
        ([2, 0, 0, 0], &json!(true), &json!(2))
    );
    assert_eq!(
        get("/indicator-feeds/f", &org.admin, &[])
            .await
            .problem(404),
        "not_found"
    );
    import(&org.admin, &[("feed", "f"), ("trust", "70")], first)
        .await
        .ok();
    let more = "value,confidence\n203.0.113.2,80\n203.0.113.3,50\n";
    let merged = import(&org.admin, &[("feed", "f"), ("mode", "merge")], more)
        .await
        .ok();
    assert_eq!(
        (counts(&merged), &merged["indicators"]),
        ([2, 1, 0, 0], &json!(3))
    );
    let replaced = import(&org.admin, &[("feed", "f")], more).await.ok();
    assert_eq!(
        (counts(&replaced), &replaced["indicators"]),
        ([0, 1, 2, 0], &json!(2))
    );
    let feed = get("/indicator-feeds/f", &org.viewer, &[]).await.ok();
    assert_eq!((&feed["trust"], &feed["hits"]), (&json!(70), &json!(0)));
    assert_eq!(
        found(&org.viewer, &[("feed", "f")]).await,
        ["203.0.113.2", "203.0.113.3"]
    );
    for (query, body, status) in [
        (&[][..], first, 400),
        (&[("feed", "a b")], first, 400),
        (&[("feed", "f"), ("format", "xml")], first, 400),
        (&[("feed", "f"), ("mode", "add")], first, 400),
        (&[("feed", "f"), ("trust", "101")], first, 400),
        (&[("feed", "f")], "nothing\nhere\n", 422),
        (&[("feed", "f")], "", 422),
        (&[("feed", "f"), ("format", "stix")], first, 422),
        (&[("feed", "f")], WARNING_LIST, 422),
    ] {
        let answer = import(&org.admin, query, body).await;
        assert_eq!(answer.status, status, "{query:?}: {}", answer.body);
    }
    let large = vec![b'\n'; 17 * 1024 * 1024];
    assert_eq!(
        import(&org.admin, &[("feed", "f")], large)
            .await
            .problem(413),
        "too_large"
    );
    assert_eq!(
        import(&org.analyst, &[("feed", "f")], more)
            .await
            .problem(403),
        "forbidden"
    );
}

#[tokio::test]
async fn indicators_are_paged_and_filtered() {
    let org = org().await;
    let list: String = (1..=25)
        .map(|n| format!("198.51.100.{n}\nhost{n}.example.com\n"))
        .collect();
    import(&org.admin, &[("feed", "pages")], list).await.ok();
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let mut query = vec![("feed", "pages"), ("type", "ipv4"), ("limit", "10")];
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let page = get("/indicators", &org.viewer, &query).await.ok();
        seen.extend(texts(&page["rows"], "value"));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let expected: Vec<String> = (1..=25).map(|n| format!("198.51.100.{n}")).collect();
    assert_eq!(seen, expected);
    for bad in [("type", "x"), ("limit", "0"), ("cursor", "x"), ("org", "x")] {
        assert_eq!(
            get("/indicators", &org.viewer, &[bad]).await.status,
            400,
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn a_feed_has_an_address_a_pace_and_an_end() {
    let (ours, theirs) = (org().await, org().await);
    let put =
        async |body: &Value| write(Method::PUT, "/indicator-feeds/bad", &ours.admin, body).await;
    for (body, status) in [
        (json!({}), 400),
        (json!({ "trust": 101 }), 400),
        (json!({ "trust": 50, "expire_days": 0 }), 400),
        (json!({ "trust": 50, "every_seconds": 10 }), 400),
        (json!({ "trust": 50, "format": "misp-warninglist" }), 400),
        (
            json!({ "trust": 50, "url": "https://ada:x@feed.example.com/a.csv" }),
            422,
        ),
        (json!({ "trust": 50, "url": "https://10.0.0.1/a.csv" }), 422),
        (
            json!({ "trust": 50, "url": "https://169.254.169.254/latest" }),
            422,
        ),
        (json!({ "trust": 50, "url": "file:///etc/passwd" }), 422),
    ] {
        let answer = put(&body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
    }
    let body = json!({ "trust": 60, "expire_days": 30, "format": "csv", "every_seconds": 7200,
        "url": "https://feed.example.com/a.csv?key=secret" });
    let made = put(&body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(
        (
            &made.body["trust"],
            &made.body["expire_days"],
            &made.body["every_seconds"]
        ),
        (&json!(60), &json!(30), &json!(7200))
    );
    assert!(made.body["next_at"].is_string());
    assert_eq!(put(&body).await.status, 200);
    let seen = get("/indicator-feeds/bad", &ours.viewer, &[]).await.ok();
    assert_eq!(seen["url"], "https://feed.example.com/a.csv?…");
    assert_eq!(
        get("/indicator-feeds/bad", &theirs.admin, &[])
            .await
            .problem(404),
        "not_found"
    );
    let by_hand = import(&ours.admin, &[("feed", "bad")], "203.0.113.1\n").await;
    assert_eq!(by_hand.problem(409), "conflict");
    assert_eq!(
        remove("/indicator-feeds/bad", &theirs.admin)
            .await
            .problem(404),
        "not_found"
    );
    put(&json!({ "trust": 60 })).await.ok();
    import(&ours.admin, &[("feed", "bad")], "203.0.113.1\n")
        .await
        .ok();
    assert_eq!(
        remove("/indicator-feeds/bad", &ours.admin).await.status,
        204
    );
    assert_eq!(found(&ours.admin, &[]).await, [""; 0]);
    assert_eq!(
        get("/indicator-feeds/bad", &ours.admin, &[])
            .await
            .problem(404),
        "not_found"
    );
    // Trust decides about events, so every version of it stays in the record.
    let sql = "SELECT v.trust, v.until_revision IS NULL FROM indicator_feed_version AS v \
               JOIN indicator_feed AS f ON f.id = v.feed_id WHERE f.org_id = $1 ORDER BY v.from_revision";
    let rows = postgres().await.query(sql, &[&ours.id]).await.unwrap();
    let versions: Vec<(i16, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(versions, [(60, false), (60, true)], "expiry was taken back");
    // Its name is free again.
    assert_eq!(put(&body).await.status, 201);
}

#[tokio::test]
async fn a_feeds_credential_is_sealed_and_never_told() {
    let org = org().await;
    let path = "/indicator-feeds/closed";
    let put = async |body: &Value| write(Method::PUT, path, &org.admin, body).await;
    let body =
        |url: &str, credential: Value| json!({ "trust": 60, "url": url, "credential": credential });
    let url = "https://feed.example.com/a.csv";
    let key = json!({ "kind": "header", "name": "x-api-key", "value": "s3cret-key" });
    for (url, credential, status) in [
        (url, json!({ "kind": "cookie", "value": "x" }), 400),
        (url, json!({ "kind": "bearer", "token": "" }), 400),
        (
            url,
            json!({ "kind": "header", "name": "host", "value": "x" }),
            400,
        ),
        ("", key.clone(), 400),
    ] {
        let answer = put(&body(url, credential.clone())).await;
        assert_eq!(answer.status, status, "{credential}: {}", answer.body);
    }
    let made = put(&body(url, key)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let shown = json!({ "kind": "header", "name": "x-api-key" });
    assert_eq!(made.body["credential"], shown);
    // Left out, it stays: but not for another server.
    let again = json!({ "trust": 70, "url": "https://feed.example.com/b.csv" });
    assert_eq!(put(&again).await.ok()["credential"], shown);
    let moved = json!({ "trust": 70, "url": "https://else.example.com/a.csv" });
    let refused = put(&moved).await;
    let detail = refused.body["detail"].as_str().unwrap().to_owned();
    assert_eq!(refused.problem(422), "unprocessable");
    assert!(detail.contains("credential for another server"), "{detail}");
    let seen = get(path, &org.viewer, &[]).await.ok();
    assert_eq!(seen["credential"], Value::Null);
    let sql = "SELECT credential_sealed, credential::text FROM indicator_feed WHERE org_id = $1";
    let row = postgres().await.query_one(sql, &[&org.id]).await.unwrap();
    let (sealed, shown): (Vec<u8>, String) = (row.get(0), row.get(1));
    assert!(sealed.len() > 40 && !String::from_utf8_lossy(&sealed).contains("s3cret-key"));
    assert!(!shown.contains("s3cret-key"));
    let gone = put(&body("https://else.example.com/a.csv", Value::Null))
        .await
        .ok();
    assert_eq!(gone["credential"], Value::Null);
    let words: Vec<Value> = trail(&org)
        .await
        .iter()
        .map(|event| event["metadata"]["credential"].clone())
        .collect();
    for word in ["set", "kept", "none"] {
        assert!(words.contains(&json!(word)), "{words:?}");
    }
}

#[tokio::test]
async fn allow_lists_live_in_versions_and_are_ones_own() {
    let (ours, theirs) = (org().await, org().await);
    let put = async |token: &str, body: &str| {
        let path = "/api/v1/allow-lists/networks";
        send(request(shared(), Method::PUT, path, token).body(body.to_owned())).await
    };
    assert_eq!(
        put(&ours.analyst, WARNING_LIST).await.problem(403),
        "forbidden"
    );
    let made = put(&ours.admin, WARNING_LIST).await;
    assert_eq!(
        (made.status, &made.body["entries"]),
        (201, &json!(3)),
        "{}",
        made.body
    );
    assert_eq!(put(&ours.admin, WARNING_LIST).await.status, 200);
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("{}", 422),
        (r#"{"type": "cidr", "list": ["x"]}"#, 422),
        (r#"{"type": "regex", "list": ["("]}"#, 422),
        (r#"{"type": "string", "list": []}"#, 422),
        (r#"{"type": "string", "list": ["a\u0000b"]}"#, 422),
    ] {
        let answer = put(&ours.admin, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
    }
    let one = get("/allow-lists/networks", &ours.viewer, &[]).await.ok();
    assert_eq!(
        (&one["type"], &one["list"][1]),
        (&json!("cidr"), &json!("198.51.100.7"))
    );
    let all = get("/allow-lists", &ours.viewer, &[]).await.ok();
    let own = all["allow_lists"].as_array().unwrap().iter();
    assert_eq!(
        own.filter(|list| list["scope"] == "organisation").count(),
        1
    );
    assert!(all["allow_lists"][0].get("list").is_none());
    assert_eq!(
        get("/allow-lists/networks", &theirs.admin, &[])
            .await
            .problem(404),
        "not_found"
    );
    assert_eq!(
        remove("/allow-lists/networks", &theirs.admin)
            .await
            .problem(404),
        "not_found"
    );
    assert_eq!(
        remove("/allow-lists/networks", &ours.admin).await.status,
        204
    );
    let sql = "SELECT count(*) FILTER (WHERE until_revision IS NULL), count(*) FROM allow_list \
                WHERE org_id = $1";
    let row = postgres().await.query_one(sql, &[&ours.id]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 2));
}
