//! Notification channels: who may do what to them, what they show and what they never show; what
//! becomes of their messages when they change.

use crate::alerts::trail;
use crate::audit::alert;
use crate::world::*;
use millrace_shared::channel::Address;
use millrace_shared::secret::MasterKey;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const SLACK: &str = "https://hooks.example.net/services/T00/B00/verysecretpath";

fn slack() -> Value {
    json!({ "name": "soc", "kind": "slack", "min_severity": "medium", "address": { "url": SLACK } })
}

async fn made(org: &Org, body: &Value) -> Value {
    let made = post("/channels", &org.admin, body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.body
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

/// Messages of an organisation by event and state, as the outbox has them.
async fn outbox(org: &Org) -> Vec<(String, String)> {
    let sql = "SELECT event, state FROM outbox WHERE org_id = $1 ORDER BY id";
    let rows = postgres().await.query(sql, &[&org.id]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Puts a message of an alert into the outbox, as a worker does.
async fn told(alert: Uuid, event: &str) {
    let sql = "SELECT notify_alert($1, $2, '0', '{}')";
    let row = postgres().await.query_one(sql, &[&alert, &event]).await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_channel_is_made_changed_and_removed_by_those_who_may() {
    let (ours, theirs) = (org().await, org().await);
    for token in [&ours.viewer, &ours.analyst] {
        let refused = post("/channels", token, &slack()).await;
        assert_eq!(refused.problem(403), "forbidden");
    }
    assert_eq!(
        get("/channels", &ours.viewer, &[]).await.problem(403),
        "forbidden"
    );
    let channel = made(&ours, &slack()).await;
    let path = format!("/channels/{}", text(&channel, "id"));
    assert_eq!(
        (
            &channel["kind"],
            &channel["enabled"],
            &channel["per_minute"]
        ),
        (&json!("slack"), &json!(true), &json!(60))
    );
    assert_eq!(
        channel["address"],
        json!({ "url": "https://hooks.example.net/…" })
    );
    assert_eq!(
        post("/channels", &ours.admin, &slack()).await.problem(409),
        "conflict"
    );
    for (method, body) in [
        (Method::GET, json!({})),
        (Method::PUT, slack()),
        (Method::DELETE, json!({})),
    ] {
        let foreign = write(method, &path, &theirs.admin, &body).await;
        assert_eq!(foreign.problem(404), "not_found");
    }
    // Without an address it keeps the one it has.
    let off = json!({ "name": "soc 2", "kind": "slack", "enabled": false });
    let off = write(Method::PUT, &path, &ours.admin, &off).await.ok();
    assert_eq!(
        (
            &off["name"],
            &off["enabled"],
            &off["min_severity"],
            &off["address"]
        ),
        (
            &json!("soc 2"),
            &json!(false),
            &json!("high"),
            &channel["address"]
        )
    );
    let other = json!({ "name": "soc 2", "kind": "teams" });
    let refused = write(Method::PUT, &path, &ours.admin, &other).await;
    assert_eq!(refused.problem(422), "unprocessable");
    let listed = get("/channels", &ours.analyst, &[]).await.ok();
    assert_eq!(texts(&listed["channels"], "name"), ["soc 2"]);
    let removed = write(Method::DELETE, &path, &ours.admin, &json!({})).await;
    assert_eq!(removed.status, 204);
    assert_eq!(get(&path, &ours.admin, &[]).await.problem(404), "not_found");
    let mut actions = texts(&Value::Array(trail(&ours).await), "action");
    actions.sort();
    assert_eq!(
        actions,
        ["channel.create", "channel.delete", "channel.update"]
    );
}

#[tokio::test]
async fn secrets_go_in_and_do_not_come_out() {
    let org = org().await;
    let key = "0123456789abcdef0123456789abcdef";
    let mail = json!({ "host": "mail.example.net", "username": "u", "password": "verysecretword",
                       "from": "a@example.net", "to": ["b@example.net"] });
    for body in [
        slack(),
        json!({ "name": "hook", "kind": "webhook", "address": { "url": "https://example.net/verysecretpath" } }),
        json!({ "name": "pager", "kind": "pagerduty", "address": { "routing_key": key } }),
        json!({ "name": "mail", "kind": "email", "address": mail }),
    ] {
        let _made = made(&org, &body).await;
    }
    let shown = get("/channels", &org.admin, &[]).await.ok().to_string();
    let audited = Value::Array(trail(&org).await).to_string();
    let sql = "SELECT id, target::text, sealed FROM notification_channel WHERE org_id = $1";
    let rows = postgres().await.query(sql, &[&org.id]).await.unwrap();
    assert_eq!(rows.len(), 4);
    let master = MasterKey::parse(MASTER_KEY).unwrap();
    for row in &rows {
        let (id, target): (Uuid, String) = (row.get(0), row.get(1));
        let sealed: Vec<u8> = row.get(2);
        Address::open(&master, &id.to_string(), &sealed).unwrap();
        let bytes = String::from_utf8_lossy(&sealed).into_owned();
        for place in [&shown, &audited, &target, &bytes] {
            for secret in ["verysecret", key, "whsec_"] {
                assert!(!place.contains(secret), "{secret} in {place}");
            }
        }
    }
}

#[tokio::test]
async fn the_secret_of_a_webhook_is_told_once() {
    let org = org().await;
    let hook = |secret: Option<&str>| {
        let mut address = json!({ "url": "https://example.net/hook" });
        if let Some(secret) = secret {
            address["secret"] = secret.into();
        }
        json!({ "name": "hook", "kind": "webhook", "address": address })
    };
    let channel = made(&org, &hook(None)).await;
    assert!(text(&channel, "secret").starts_with("whsec_"));
    let path = format!("/channels/{}", text(&channel, "id"));
    assert!(
        get(&path, &org.admin, &[])
            .await
            .ok()
            .get("secret")
            .is_none()
    );
    let own = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let kept = write(Method::PUT, &path, &org.admin, &hook(Some(own)))
        .await
        .ok();
    assert!(kept.get("secret").is_none(), "{kept}");
    let anew = write(Method::PUT, &path, &org.admin, &hook(None))
        .await
        .ok();
    assert!(text(&anew, "secret").starts_with("whsec_"));
    assert_ne!(anew["secret"], channel["secret"]);
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_the_member() {
    let org = org().await;
    let with = |name: &str, value: Value| {
        let mut body = slack();
        body[name] = value;
        body
    };
    for (body, status, said) in [
        (with("kind", "fax".into()), 400, "kind"),
        (with("min_severity", "grave".into()), 400, "min_severity"),
        (with("name", " ".into()), 400, "name"),
        (with("per_minute", 0.into()), 400, "per_minute"),
        (with("rules", json!(["no-such-rule"])), 422, "no-such-rule"),
        (with("address", Value::Null), 400, "address"),
        (
            with("address", json!({ "url": "https://10.0.0.1/x" })),
            422,
            "private",
        ),
        (
            with("address", json!({ "url": "http://169.254.169.254/" })),
            422,
            "metadata",
        ),
        (
            with("address", json!({ "url": "https://u:p@example.net/" })),
            422,
            "password",
        ),
        (with("colour", "red".into()), 400, "colour"),
    ] {
        let refused = post("/channels", &org.admin, &body).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.body);
        assert!(
            text(&refused.body, "detail").contains(said),
            "{}",
            refused.body
        );
    }
    let listed = get("/channels", &org.admin, &[]).await.ok();
    assert_eq!(listed["channels"], json!([]));
}

#[tokio::test]
async fn a_channel_is_told_of_what_it_wants_and_of_ends_it_knows_the_beginning_of() {
    let org = org().await;
    let early = alert(&org, "EARLY", "in_progress", "high", 1.0).await;
    let resolve = async |id: Uuid| {
        let path = format!("/alerts/{id}/status");
        let body = json!({ "status": "resolved", "note": "fixed" });
        post(&path, &org.analyst, &body).await.ok()
    };
    let _channel = made(&org, &slack()).await;
    resolve(early).await;
    assert_eq!(outbox(&org).await, []);
    let known = alert(&org, "KNOWN", "in_progress", "high", 2.0).await;
    told(known, "created").await;
    resolve(known).await;
    let pending = |event: &str| (event.to_owned(), "pending".to_owned());
    assert_eq!(
        outbox(&org).await,
        [pending("created"), pending("resolved")]
    );
    let sql = "SELECT payload FROM outbox WHERE org_id = $1 AND event = 'resolved'";
    let row = postgres().await.query_one(sql, &[&org.id]).await.unwrap();
    let payload: Value = row.get(0);
    assert_eq!(
        (
            &payload["by"],
            &payload["note"],
            &payload["alert"]["status"]
        ),
        (&json!("analyst token"), &json!("fixed"), &json!("resolved"))
    );
    // Reopened and resolved again, it is told again, under another key.
    let path = format!("/alerts/{known}/status");
    for status in ["open", "acknowledged", "in_progress", "closed"] {
        let body = json!({ "status": status });
        post(&path, &org.analyst, &body).await.ok();
    }
    let about = known.to_string();
    let listed = get("/notifications", &org.analyst, &[("alert_id", &about)])
        .await
        .ok();
    let keys = texts(&listed["notifications"], "idempotency_key");
    assert_eq!(keys.len(), 3);
    assert_ne!(keys[0], keys[1]);
    assert_eq!(
        texts(&listed["notifications"], "event"),
        ["resolved", "resolved", "created"]
    );
}

#[tokio::test]
async fn what_waits_for_a_channel_ends_with_it() {
    let org = org().await;
    let channel = made(&org, &slack()).await;
    let path = format!("/channels/{}", text(&channel, "id"));
    let state = async || {
        outbox(&org)
            .await
            .into_iter()
            .map(|row| row.1)
            .collect::<Vec<_>>()
    };
    let first = alert(&org, "FIRST", "open", "high", 1.0).await;
    told(first, "created").await;
    let off = json!({ "name": "soc", "kind": "slack", "enabled": false });
    write(Method::PUT, &path, &org.admin, &off).await.ok();
    assert_eq!(state().await, ["dropped"]);
    let refused = post(&format!("{path}/test"), &org.admin, &json!({})).await;
    assert_eq!(refused.problem(409), "conflict");
    // Switched on again, it is told of what happens from then on.
    write(Method::PUT, &path, &org.admin, &slack()).await.ok();
    told(first, "escalated").await;
    assert_eq!(state().await, ["dropped", "pending"]);
    let gone = write(Method::DELETE, &path, &org.admin, &json!({})).await;
    assert_eq!(gone.status, 204);
    assert_eq!(state().await, ["dropped", "dropped"]);
    let listed = get("/notifications", &org.analyst, &[("state", "dropped")])
        .await
        .ok();
    let errors = texts(&listed["notifications"], "last_error");
    assert_eq!(
        errors,
        ["the channel was deleted", "the channel was switched off"]
    );
}

#[tokio::test]
async fn what_was_given_up_is_sent_again_or_dropped_by_hand() {
    let (ours, theirs) = (org().await, org().await);
    let _channel = made(&ours, &slack()).await;
    let alert = alert(&ours, "A", "open", "high", 1.0).await;
    told(alert, "created").await;
    let dead = "UPDATE outbox SET state = 'dead', attempts = 9, finished_at = now() \
                 WHERE org_id = $1 RETURNING id";
    let row = postgres().await.query_one(dead, &[&ours.id]).await.unwrap();
    let path = format!("/notifications/{}", row.get::<_, i64>(0));
    let (retry, give_up) = (format!("{path}/retry"), format!("{path}/drop"));
    let nothing = json!({});
    for (token, status, code) in [
        (&ours.analyst, 403, "forbidden"),
        (&theirs.admin, 404, "not_found"),
    ] {
        assert_eq!(post(&retry, token, &nothing).await.problem(status), code);
    }
    let shown = get("/channels", &ours.analyst, &[]).await.ok();
    assert_eq!(shown["channels"][0]["dead"], 1);
    let again = post(&retry, &ours.admin, &nothing).await.ok();
    assert_eq!(
        (&again["state"], &again["attempts"]),
        (&json!("pending"), &json!(0))
    );
    assert_eq!(
        post(&retry, &ours.admin, &nothing).await.problem(409),
        "conflict"
    );
    let dropped = post(&give_up, &ours.admin, &nothing).await.ok();
    assert_eq!(dropped["state"], "dropped");
    assert_eq!(
        post(&give_up, &ours.admin, &nothing).await.problem(409),
        "conflict"
    );
}

#[tokio::test]
async fn a_channel_that_is_overrun_gets_no_more() {
    let org = org().await;
    let _channel = made(&org, &slack()).await;
    let alert = alert(&org, "STORM", "open", "high", 1.0).await;
    let sql = "SELECT sum(notify_alert($1, 'created', n::text, '{}'))::int8 \
                 FROM generate_series(1, 1200) AS n";
    postgres().await.query_one(sql, &[&alert]).await.unwrap();
    let count = |state: &'static str| {
        let rows = outbox(&org);
        async move { rows.await.iter().filter(|row| row.1 == state).count() }
    };
    assert_eq!(
        (count("pending").await, count("dropped").await),
        (1000, 200)
    );
}

#[tokio::test]
async fn a_channel_hears_that_an_alert_is_of_history_and_not_what_was_hidden() {
    let org = org().await;
    made(&org, &slack()).await;
    let plain = alert(&org, "BRUTE_FORCE_ATTACK", "open", "high", 1.0).await;
    let found = alert(&org, "RETRO_HUNT", "open", "high", 1.0).await;
    execute(
        "UPDATE alert SET retro_hunt = gen_random_uuid(), hidden = 'email:v1:0123456789abcdef',
                event_ids = ARRAY[gen_random_uuid()] WHERE id = $1",
        &[&found],
    )
    .await;
    execute(
        "UPDATE alert SET event_ids = ARRAY[gen_random_uuid()] WHERE id = $1",
        &[&plain],
    )
    .await;
    for (id, retroactive, events) in [(plain, false, 1), (found, true, 0)] {
        told(id, "created").await;
        let sql = "SELECT payload FROM outbox WHERE alert_id = $1";
        let row = postgres().await.query_one(sql, &[&id]).await.unwrap();
        let payload: Value = row.get(0);
        let about = &payload["alert"];
        assert_eq!(about["retroactive"], retroactive, "{payload}");
        assert_eq!(about["event_ids"].as_array().unwrap().len(), events);
        assert!(
            !payload.to_string().contains("0123456789abcdef"),
            "{payload}"
        );
    }
}
