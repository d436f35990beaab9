//! Rules: life of a rule, its versions and revisions, trials.

use crate::alerts::trail;
use crate::world::*;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn rule() -> Value {
    json!({
        "id": "test-rule", "name": "Test rule", "severity": "high", "message": "{actor.id} did it",
        "scope": ["audit"],
        "selection": { "all": [
            { "field": "event_type", "op": "eq", "value": "AUTHENTICATION" },
            { "field": "outcome", "op": "eq", "value": "FAILURE" } ] },
        "tests": [{ "name": "fires", "expect": "match", "events": [
            { "event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE" }] }],
    })
}

#[tokio::test]
async fn a_rule_lives_in_versions_under_revisions() {
    let (ours, theirs) = (org().await, org().await);
    assert_eq!(
        post("/rules", &ours.analyst, &rule()).await.problem(403),
        "forbidden"
    );
    let made = post("/rules", &ours.admin, &rule()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(
        (&made.body["version"], &made.body["enabled"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(
        post("/rules", &ours.admin, &rule()).await.problem(409),
        "conflict"
    );
    assert_eq!(
        get("/rules/test-rule", &theirs.admin, &[])
            .await
            .problem(404),
        "not_found"
    );
    let mut better = rule();
    better["name"] = "Better rule".into();
    better["version"] = 7.into();
    let put = async |body: &Value| write(Method::PUT, "/rules/test-rule", &ours.admin, body).await;
    assert_eq!(put(&better).await.problem(409), "conflict");
    better["version"] = 1.into();
    let changed = put(&better).await.ok();
    assert_eq!(
        (&changed["version"], &changed["rule"]["name"]),
        (&json!(2), &json!("Better rule"))
    );
    assert_eq!(changed["rule"]["version"], 2);
    let off = write(
        Method::PUT,
        "/rules/test-rule/enabled",
        &ours.admin,
        &json!({ "enabled": false }),
    )
    .await
    .ok();
    assert_eq!(
        (&off["version"], &off["enabled"], &off["rule"]["enabled"]),
        (&json!(3), &json!(false), &json!(false))
    );
    assert_eq!(off["versions"].as_array().unwrap().len(), 3);
    let listed = get(
        "/rules",
        &ours.viewer,
        &[("enabled", "false"), ("text", "better")],
    )
    .await
    .ok();
    assert_eq!(texts(&listed["rows"], "id"), ["test-rule"]);
    let removed = write(Method::DELETE, "/rules/test-rule", &ours.admin, &json!({})).await;
    assert_eq!(removed.status, 204);
    assert_eq!(
        get("/rules/test-rule", &ours.viewer, &[])
            .await
            .problem(404),
        "not_found"
    );
    // Every version was current for one stretch of revisions, and they follow one another.
    let sql = "SELECT from_revision, until_revision FROM rule WHERE org_id = $1 ORDER BY version";
    let rows = postgres().await.query(sql, &[&ours.id]).await.unwrap();
    let spans: Vec<(i64, Option<i64>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(spans.len(), 3);
    for pair in spans.windows(2) {
        assert_eq!(pair[0].1, Some(pair[1].0), "{spans:?}");
    }
    assert!(spans[2].1.is_some_and(|until| until > spans[2].0));
    let mut actions = texts(&Value::Array(trail(&ours).await), "action");
    actions.sort();
    assert_eq!(
        actions,
        ["rule.create", "rule.delete", "rule.enable", "rule.update"]
    );
}

#[tokio::test]
async fn what_is_no_rule_is_refused_with_the_place() {
    let org = org().await;
    let mut wrong = rule();
    wrong["selection"]["all"][0]["op"] = "resembles".into();
    let answer = post("/rules", &org.admin, &wrong).await;
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("selection"),
        "{}",
        answer.body
    );
    assert_eq!(answer.problem(422), "unprocessable");
    let mut failing = rule();
    failing["tests"][0]["expect"] = "no_match".into();
    assert_eq!(
        post("/rules", &org.admin, &failing).await.problem(422),
        "unprocessable"
    );
}

#[tokio::test]
async fn a_trial_runs_the_engine_and_stores_nothing() {
    let org = org().await;
    let event =
        |outcome| json!({ "event_type": "AUTHENTICATION", "action": "login", "outcome": outcome });
    let trial = json!({ "rule": rule(), "signal": "audit", "events": [event("SUCCESS"), event("FAILURE")] });
    assert_eq!(
        post("/rules/test", &org.viewer, &trial).await.problem(403),
        "forbidden"
    );
    let answer = post("/rules/test", &org.analyst, &trial).await.ok();
    assert_eq!(
        (&answer["matched"], &answer["fired"]),
        (&json!([1]), &json!([1]))
    );
    assert_eq!(answer["tests"][0]["passed"], true);
    assert_eq!(
        get("/rules", &org.viewer, &[]).await.ok()["rows"],
        json!([])
    );
}

/// What stands where an id does in the addresses of the API is no id of a new rule.
#[tokio::test]
async fn a_rule_that_could_not_be_shown_is_not_made() {
    let org = org().await;
    let paths = serde_json::to_value(query_api::openapi()).unwrap();
    let paths = paths["paths"].as_object().unwrap().keys();
    let words = paths.filter_map(|path| path.strip_prefix("/api/v1/rules/")?.split('/').next());
    let words: BTreeSet<&str> = words.filter(|word| !word.starts_with('{')).collect();
    assert!(words.contains("coverage"), "{words:?}");
    for word in words {
        let mut named = rule();
        named["id"] = word.into();
        let refused = post("/rules", &org.admin, &named).await;
        let detail = refused.body["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(refused.problem(422), "unprocessable");
        assert!(
            detail.contains("backtest, coverage, import, test are reserved"),
            "{word}: {detail}"
        );
    }
    // Sigma rules without an id are called by their title.
    let sigma = "title: Coverage\nlogsource: {product: linux}\n\
                 detection: {selection: {a: b}, condition: selection}";
    let import = request(
        shared(),
        Method::POST,
        "/api/v1/rules/import/sigma",
        &org.admin,
    );
    let answer = send(import.body(sigma)).await.ok();
    assert_eq!(
        (&answer["created"], &answer["refused"]),
        (&json!(0), &json!(1))
    );
    let reason = answer["results"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("are reserved"), "{reason}");
    // One that is there from before can be changed and listed.
    let sql =
        "INSERT INTO rule (org_id, id, version, enabled, builtin, body, from_revision, changed_by)
               VALUES ($1, 'test', 1, true, false, $2, 0, 'before')";
    let mut old = rule();
    old["id"] = "test".into();
    execute(sql, &[&org.id, &old]).await;
    let listed = get("/rules", &org.viewer, &[]).await.ok();
    assert_eq!(texts(&listed["rows"], "id"), ["test"]);
}

#[tokio::test]
async fn a_trial_knows_the_organisations_working_hours() {
    let org = org().await;
    let mut at_night = rule();
    at_night["selection"] = json!({ "all": [{ "op": "after_hours", "value": true }] });
    at_night["tests"] = json!([{ "name": "at eight", "expect": "match", "events": [
        { "event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE",
          "timestamp": "2024-06-12T20:00:00Z" }] }]);
    let event = |hour: u8| {
        json!({ "event_type": "AUTHENTICATION", "action": "login",
        "outcome": "FAILURE", "timestamp": format!("2024-06-12T{hour:02}:00:00Z") })
    };
    let trial = json!({ "rule": at_night, "events": [event(12), event(20)] });
    let matched = async || post("/rules/test", &org.analyst, &trial).await.ok();
    assert_eq!(matched().await["matched"], json!([1]));
    let hours = json!({ "hours": { "from": "18:00", "until": "23:00" } });
    let sql = "UPDATE organisation SET settings = $2 WHERE id = $1";
    execute(sql, &[&org.id, &hours]).await;
    let tried = matched().await;
    assert_eq!(tried["matched"], json!([0]));
    // Its own test case is of no organisation.
    assert_eq!(tried["tests"][0]["passed"], true);
}
