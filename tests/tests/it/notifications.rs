//! Notifications, from an alert to its receivers: shapes, signatures, retries, rates, kills, escalation.
//! On an installation of its own, with the hours of production made seconds.

use millrace_shared::Signal;
use millrace_shared::channel::Address;
use millrace_shared::secret::{MasterKey, Secret};
use millrace_shared::signature::parse_webhook;
use millrace_tests::engines::Engines;
use millrace_tests::installation::{Part, Running};
use millrace_tests::receiver::{
    MailServer, Protection, Receiver, Reply, Request, mail_certificate,
};
use millrace_tests::wait::block_on;
use millrace_tests::{Installation, Org, until, within};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Seconds after which a message is given up here.
const GIVE_UP_S: u64 = 8;
/// An integration key as PagerDuty makes them.
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

/// The installation, with two workers.
struct World {
    installation: Installation,
    gateway: Running,
    query: Running,
    workers: Mutex<Vec<Running>>,
}

/// One test at a time: some of them kill workers.
fn world() -> (&'static World, MutexGuard<'static, ()>) {
    static WORLD: OnceLock<World> = OnceLock::new();
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = WORLD.get_or_init(|| {
        let mut installation = Installation::on(Engines::own("notify"), "notify");
        installation.set("MILLRACE_OUTGOING_NETWORKS", "127.0.0.0/8");
        installation.set("MILLRACE_TLS_CA_FILE", &mail_certificate());
        installation.set("MILLRACE_NOTIFY_TIMEOUT_S", "2");
        installation.set("MILLRACE_NOTIFY_RETRY_S", "1");
        installation.set("MILLRACE_NOTIFY_GIVE_UP_S", &GIVE_UP_S.to_string());
        installation.set("MILLRACE_ESCALATION_S", "0");
        installation.set("MILLRACE_ALERT_URL", "https://soc.example.net/alerts/{id}");
        World {
            gateway: installation.start(Part::Gateway),
            query: installation.start(Part::Query),
            workers: Mutex::new(vec![
                installation.start(Part::Worker),
                installation.start(Part::Worker),
            ]),
            installation,
        }
    });
    (world, alone)
}

impl World {
    fn org(&self, name: &str) -> Org {
        let urls = (self.gateway.url.as_str(), self.query.url.as_str());
        let org = Org::of(&self.installation, name, urls);
        for role in ["analyst", "admin"] {
            let arguments = ["tokens", "create", "--org", &org.name, "--role", role];
            let made = self.installation.admin(&arguments);
            org.use_token(role, made["token"].as_str().unwrap());
        }
        org
    }

    /// Makes an alert as a worker does, and tells of it.
    fn alert(&self, org: &Org, severity: &str) -> Uuid {
        let id = Uuid::now_v7();
        let postgres = self.installation.postgres();
        let insert = "INSERT INTO alert (id, org_id, rule_id, rule_version, severity, severity_rank, title, \
                             message, alert_type, dedupe_hash, first_seen, last_seen, signal, group_key) \
             VALUES ($1, $2, 'BRUTE_FORCE_ATTACK', 1, $3, severity_rank($3), 'Brute force <b>', \
                     'from 198.51.100.7 & @everyone', 'BRUTE_FORCE_ATTACK', decode(replace($1::uuid::text, '-', ''), 'hex'), \
                     now(), now(), 'audit', '{\"ip\": \"198.51.100.7\"}')";
        block_on(postgres.execute(insert, &[&id, &org.id, &severity])).unwrap();
        let tell = "SELECT notify_alert($1, 'created', '0', '{}')";
        block_on(postgres.query_one(tell, &[&id])).unwrap();
        id
    }

    fn number(&self, sql: &str) -> i64 {
        let sql = format!("SELECT coalesce(({sql})::int8, 0)");
        block_on(self.installation.postgres().query_one(&sql, &[]))
            .unwrap()
            .get(0)
    }
}

/// Makes a channel; the answer.
fn channel(org: &Org, kind: &str, address: Value, more: Value) -> Value {
    let mut body = json!({"name": format!("{kind} {}", Uuid::new_v4()), "kind": kind, "min_severity": "low",
                          "per_minute": 600, "address": address});
    let members = body.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    org.tell_as("admin", "/api/v1/channels", &body)
        .must_be(201)
        .json()
}

fn test(org: &Org, channel: &Value) -> Value {
    let path = format!("/api/v1/channels/{}/test", channel["id"].as_str().unwrap());
    org.tell_as("admin", &path, &json!({})).must_be(200).json()
}

/// The messages to a channel, oldest first.
fn messages(org: &Org, channel: &Value) -> Vec<Value> {
    let path = format!(
        "/api/v1/notifications?channel_id={}",
        channel["id"].as_str().unwrap()
    );
    let answer = org.ask(&path).must_be(200).json();
    let mut rows = answer["notifications"].as_array().unwrap().clone();
    rows.reverse();
    rows
}

/// Waits until the only message to a channel is in a state.
fn ends(org: &Org, channel: &Value, state: &str) -> Value {
    until(&format!("a message is {state}"), || {
        let messages = messages(org, channel);
        match messages.as_slice() {
            [one] if one["state"] == state => Ok(one.clone()),
            others => Err(others.to_vec()),
        }
    })
}

fn verified(secret: &Value, request: &Request) {
    let secret = Secret::parse(secret.as_str().unwrap()).unwrap();
    let [id, time, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| request.header(name));
    let claim = parse_webhook(id, time, signature).unwrap();
    assert!(claim.holds(std::slice::from_ref(&secret), &request.body));
    assert!(!claim.holds(&[secret], b"{}"));
    let now = millrace_runtime::clock::now_ns() / 1_000_000_000;
    assert!((now - time.parse::<i64>().unwrap()).abs() < 120, "{time}");
    assert_eq!(request.header("idempotency-key"), id);
}

/// One channel of each kind, all leading to receivers here.
fn channels_of_all_kinds(org: &Org, http: &Receiver, mail: &MailServer) -> Vec<Value> {
    let url = |path: &str| json!({ "url": http.url(path) });
    let pager = json!({ "url": http.url("/pagerduty"), "routing_key": ROUTING_KEY });
    let address = json!({"host": "127.0.0.1", "port": mail.address.port(), "security": "none",
                         "from": "millrace@example.net", "to": ["soc@example.net", "boss@example.net"]});
    vec![
        channel(org, "webhook", url("/webhook"), json!({})),
        channel(org, "slack", url("/slack"), json!({})),
        channel(org, "teams", url("/teams"), json!({})),
        channel(org, "discord", url("/discord"), json!({})),
        channel(org, "pagerduty", pager, json!({})),
        channel(org, "email", address, json!({})),
    ]
}

fn by_path(seen: &[Request], path: &str) -> Vec<Request> {
    let line = format!("POST {path} HTTP/1.1");
    seen.iter()
        .filter(|one| one.line == line)
        .cloned()
        .collect()
}

#[test]
fn every_kind_of_channel_is_told_in_its_own_shape() {
    let (world, _alone) = world();
    let org = world.org("kinds");
    let http = Receiver::new(|_, request| {
        // As the real ones answer.
        let status = match request.line.as_str() {
            "POST /discord HTTP/1.1" => 204,
            "POST /pagerduty HTTP/1.1" | "POST /teams HTTP/1.1" => 202,
            _ => 200,
        };
        Reply::Status(status, &[])
    });
    let mail = MailServer::new(Protection::Plain, |_| 250);
    let channels = channels_of_all_kinds(&org, &http, &mail);
    for channel in &channels {
        let tested = test(&org, channel);
        assert_eq!(tested["delivered"], true, "{tested}");
        assert_eq!(tested["notification"]["event"], "test");
    }
    let alert = world.alert(&org, "high").to_string();
    let seen = until("all receivers are told", || {
        let (seen, mails) = (http.seen(), mail.seen());
        if seen.len() == 10 && mails.len() == 2 {
            Ok(seen)
        } else {
            Err((seen.len(), mails.len()))
        }
    });
    let keys: BTreeSet<&str> = seen
        .iter()
        .map(|one| one.header("idempotency-key"))
        .collect();
    assert_eq!(keys.len(), seen.len(), "a key for each message");
    for request in &seen {
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.header("user-agent").starts_with("millrace/"));
    }
    let second = |path: &str| by_path(&seen, path).last().unwrap().clone();
    webhook_shape(&second("/webhook"), &channels[0]["secret"], &alert);
    slack_shape(&second("/slack").json());
    teams_shape(&second("/teams").json(), &alert);
    discord_shape(&second("/discord").json(), &alert);
    pagerduty_shape(&second("/pagerduty").json(), &alert);
    let mails = mail.seen();
    let last = mails.last().unwrap();
    assert_eq!(last.from, "FROM:<millrace@example.net>");
    assert_eq!(last.to, ["TO:<soc@example.net>", "TO:<boss@example.net>"]);
    for line in [
        "Subject: [HIGH] New alert: Brute force <b>\n",
        "From: Millrace <millrace@example.net>\n",
        &format!("In-Reply-To: <{alert}@example.net>\n"),
        "@example.net>\n",
        "ip: 198.51.100.7\n",
        &format!("https://soc.example.net/alerts/{alert}"),
    ] {
        assert!(last.data.contains(line), "{line}: {}", last.data);
    }
}

fn webhook_shape(request: &Request, secret: &Value, alert: &str) {
    verified(secret, request);
    let body = request.json();
    assert_eq!(body["type"], "alert.created");
    assert_eq!(body["id"], request.header("idempotency-key"));
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    let told = &body["data"]["alert"];
    assert_eq!(
        (&told["id"], &told["severity"]),
        (&json!(alert), &json!("high"))
    );
    assert_eq!(told["group_key"], json!({ "ip": "198.51.100.7" }));
    assert_eq!(
        body["data"]["url"],
        format!("https://soc.example.net/alerts/{alert}")
    );
}

/// <https://docs.slack.dev/reference/block-kit/blocks>
fn slack_shape(body: &Value) {
    only(body, &["text", "blocks"]);
    assert!(
        body["text"]
            .as_str()
            .unwrap()
            .contains("Brute force &lt;b&gt;")
    );
    let mut kinds = Vec::new();
    for block in body["blocks"].as_array().unwrap() {
        let kind = block["type"].as_str().unwrap();
        kinds.push(kind);
        match kind {
            "header" => {
                only(block, &["type", "text"]);
                assert_eq!(block["text"]["type"], "plain_text");
            }
            "section" => {
                only(block, &["type", "text", "fields"]);
                let texts = block["fields"].as_array().cloned().unwrap_or_default();
                let text = block.get("text").cloned();
                for text in texts.into_iter().chain(text) {
                    only(&text, &["type", "text", "verbatim"]);
                    assert_eq!(text["type"], "mrkdwn");
                    assert!(!text["text"].as_str().unwrap().is_empty());
                }
            }
            "actions" => {
                let button = &block["elements"][0];
                only(button, &["type", "text", "url", "action_id"]);
                assert_eq!(button["type"], "button");
            }
            other => panic!("a block of the kind {other}"),
        }
    }
    assert_eq!(kinds, ["header", "section", "section", "actions"]);
}

/// <https://adaptivecards.io/schemas/adaptive-card.json>, version 1.4
fn teams_shape(body: &Value, alert: &str) {
    only(body, &["type", "attachments"]);
    assert_eq!(body["type"], "message");
    let attachment = &body["attachments"][0];
    only(attachment, &["contentType", "contentUrl", "content"]);
    assert_eq!(
        attachment["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let card = &attachment["content"];
    only(
        card,
        &["$schema", "type", "version", "body", "actions", "msteams"],
    );
    assert_eq!(
        (&card["type"], &card["version"]),
        (&json!("AdaptiveCard"), &json!("1.4"))
    );
    for element in card["body"].as_array().unwrap() {
        only(element, &["type", "inlines", "spacing"]);
        assert_eq!(element["type"], "RichTextBlock");
        for run in element["inlines"].as_array().unwrap() {
            only(run, &["type", "text", "size", "weight", "color"]);
            assert_eq!(run["type"], "TextRun");
        }
    }
    only(&card["actions"][0], &["type", "title", "url"]);
    assert!(card["actions"][0]["url"].as_str().unwrap().ends_with(alert));
}

/// <https://discord.com/developers/docs/resources/webhook#execute-webhook>
fn discord_shape(body: &Value, alert: &str) {
    only(body, &["username", "embeds", "allowed_mentions"]);
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    let embed = &body["embeds"][0];
    only(
        embed,
        &[
            "title",
            "description",
            "url",
            "color",
            "timestamp",
            "fields",
        ],
    );
    assert!(embed["color"].as_u64().unwrap() <= 0x00FF_FFFF);
    assert!(embed["url"].as_str().unwrap().ends_with(alert));
    for field in embed["fields"].as_array().unwrap() {
        only(field, &["name", "value", "inline"]);
    }
}

/// <https://developer.pagerduty.com/docs/send-alert-event>
fn pagerduty_shape(body: &Value, alert: &str) {
    only(
        body,
        &[
            "routing_key",
            "event_action",
            "dedup_key",
            "payload",
            "client",
            "client_url",
            "links",
        ],
    );
    assert_eq!(
        (
            &body["routing_key"],
            &body["event_action"],
            &body["dedup_key"]
        ),
        (&json!(ROUTING_KEY), &json!("trigger"), &json!(alert))
    );
    let payload = &body["payload"];
    only(
        payload,
        &[
            "summary",
            "source",
            "severity",
            "timestamp",
            "component",
            "group",
            "class",
            "custom_details",
        ],
    );
    assert_eq!(payload["severity"], "error");
    assert_eq!(payload["custom_details"]["ip"], "198.51.100.7");
    only(&body["links"][0], &["href", "text"]);
}

/// That an object has no members but these.
fn only(object: &Value, members: &[&str]) {
    for member in object.as_object().unwrap().keys() {
        assert!(members.contains(&member.as_str()), "{member} in {object}");
    }
}

#[test]
fn an_alert_of_the_pipeline_is_told_from_its_beginning_to_its_end() {
    let (world, _alone) = world();
    let org = world.org("story");
    let http = Receiver::willing();
    let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), json!({}));
    let failure = json!({"event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE",
                         "actor": {"id": "u-root"}, "service": "sso", "ip": "192.0.2.50"});
    let told = until("the alert is told", || {
        // The rules of a new organisation take effect within seconds.
        org.send(
            Signal::Audit,
            &json!({ "events": vec![failure.clone(); 6] }),
        );
        std::thread::sleep(Duration::from_millis(500));
        http.seen().first().cloned().ok_or("nothing yet")
    });
    verified(&hook["secret"], &told);
    assert_eq!(told.json()["type"], "alert.created");
    let alert = told.json()["data"]["alert"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for status in ["acknowledged", "in_progress", "resolved"] {
        let body = json!({"status": status, "note": "done"});
        let path = format!("/api/v1/alerts/{alert}/status");
        let _answer = org.tell_as("analyst", &path, &body).must_be(200);
    }
    let ended = until("the end is told", || {
        let seen = http.seen();
        let ended = seen
            .iter()
            .find(|one| one.json()["type"] == "alert.resolved");
        ended.cloned().ok_or(seen.len())
    });
    verified(&hook["secret"], &ended);
    let data = &ended.json()["data"];
    assert_eq!(
        (&data["alert"]["id"], &data["note"]),
        (&json!(alert), &json!("done"))
    );
    // However many matches there were, an alert is told of once.
    until("one message for each alert", || {
        let seen = http.seen();
        let created = seen
            .iter()
            .filter(|one| one.json()["type"] == "alert.created");
        let (created, alerts) = (created.count(), org.alerts().len());
        if created == alerts {
            Ok(())
        } else {
            Err((created, alerts))
        }
    });
}

#[test]
fn what_may_pass_is_tried_again_under_the_same_key() {
    let (world, _alone) = world();
    let org = world.org("retries");
    let replies: [(&str, fn(usize) -> Reply, &str); 4] = [
        (
            "500",
            |_| Reply::Status(500, &[]),
            "answered with status 500",
        ),
        (
            "429",
            |_| Reply::Status(429, &["retry-after: 3"]),
            "answered with status 429",
        ),
        ("silence", |_| Reply::Silence, "took too long"),
        ("closing", |_| Reply::Close, "broke"),
    ];
    for (what, reply, error) in replies {
        let http = Receiver::new(move |number, _| match number {
            0 => reply(number),
            _ => Reply::Status(200, &[]),
        });
        let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), json!({}));
        world.alert(&org, "high");
        let waits = until("the first attempt has failed", || {
            let messages = messages(&org, &hook);
            match messages.as_slice() {
                [one] if one["last_error"].is_string() => Ok(one.clone()),
                others => Err(others.to_vec()),
            }
        });
        assert_eq!(waits["state"], "pending", "{what}: {waits}");
        let said = waits["last_error"].as_str().unwrap();
        assert!(said.contains(error), "{what}: {said}");
        let sent = ends(&org, &hook, "sent");
        assert_eq!(sent["attempts"], 2, "{what}: {sent}");
        let seen = http.seen();
        let keys: Vec<_> = seen
            .iter()
            .map(|one| one.header("idempotency-key"))
            .collect();
        assert_eq!(keys.len(), 2, "{what}");
        assert_eq!(keys[0], keys[1], "{what}");
        assert_eq!(seen[0].body, seen[1].body, "{what}");
        verified(&hook["secret"], &seen[1]);
        if what == "429" {
            let pause = seen[1].at - seen[0].at;
            assert!(pause >= Duration::from_secs(3), "{pause:?}");
        }
        let removed = format!("/api/v1/channels/{}", hook["id"].as_str().unwrap());
        let _gone = org.delete_as("admin", &removed).must_be(204);
    }
}

#[test]
fn what_cannot_be_delivered_is_given_up_visibly() {
    let (world, _alone) = world();
    let org = world.org("dead");
    let nobody = format!("http://{}/", millrace_tests::installation::free_address());
    let refusing = channel(&org, "webhook", json!({ "url": nobody }), json!({}));
    let missing = Receiver::new(|_, _| Reply::Status(404, &[]));
    let missing_url = json!({ "url": missing.url("/") });
    let misled = channel(&org, "slack", missing_url, json!({}));
    let moved = Receiver::new(|_, _| Reply::Status(307, &["location: http://127.0.0.1:1/"]));
    let redirect = channel(&org, "teams", json!({ "url": moved.url("/") }), json!({}));
    let begun = Instant::now();
    world.alert(&org, "high");
    for (channel, error) in [(&misled, "404"), (&redirect, "redirect")] {
        let dead = ends(&org, channel, "dead");
        assert_eq!(dead["attempts"], 1, "{dead}");
        assert!(
            dead["last_error"].as_str().unwrap().contains(error),
            "{dead}"
        );
    }
    let dead = ends(&org, &refusing, "dead");
    assert!(begun.elapsed() >= Duration::from_secs(GIVE_UP_S), "{dead}");
    assert!(dead["attempts"].as_i64().unwrap() >= 3, "{dead}");
    assert!(
        dead["last_error"]
            .as_str()
            .unwrap()
            .contains("cannot be reached"),
        "{dead}"
    );
    let shown = until("the metrics show it", || {
        let workers = world.workers.lock().unwrap();
        let text: String = workers.iter().map(Running::metrics).collect();
        let dead = "millrace_outbox_notifications{state=\"dead\"} ";
        let counts = text
            .lines()
            .filter_map(|line| line.strip_prefix(dead)?.parse::<u32>().ok());
        let most = counts.max().unwrap_or(0);
        if most >= 3 && text.contains("outcome=\"dead\"} ") {
            Ok(text)
        } else {
            Err(most)
        }
    });
    assert!(shown.contains("millrace_notification_seconds_bucket{kind=\"slack\""));
    // Once its receiver is there, it can be sent again.
    let (id, number) = (
        refusing["id"].as_str().unwrap(),
        dead["id"].as_i64().unwrap(),
    );
    let http = Receiver::willing();
    let body = json!({"name": "mended", "kind": "webhook", "min_severity": "low",
                      "address": {"url": http.url("/")}});
    let path = format!("/api/v1/channels/{id}");
    let _mended = org.put_as("admin", &path, &body).must_be(200);
    let path = format!("/api/v1/notifications/{number}/retry");
    let _again = org.tell_as("admin", &path, &json!({})).must_be(200);
    let sent = ends(&org, &refusing, "sent");
    assert_eq!(
        http.seen()[0].header("idempotency-key"),
        sent["idempotency_key"].as_str().unwrap()
    );
    for channel in [&misled, &redirect] {
        let number = ends(&org, channel, "dead")["id"].as_i64().unwrap();
        let path = format!("/api/v1/notifications/{number}/drop");
        let _dropped = org.tell_as("admin", &path, &json!({})).must_be(200);
    }
}

#[test]
fn a_worker_killed_between_sending_and_noting_it_sends_again_under_the_same_key() {
    let (world, _alone) = world();
    let org = world.org("killed");
    // The first request is received whole, and the worker dies before it hears so.
    let http = Receiver::new(|number, _| match number {
        0 => Reply::Silence,
        _ => Reply::Status(200, &[]),
    });
    let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), json!({}));
    world.alert(&org, "critical");
    until("the first request is there", || {
        http.seen().first().cloned().ok_or("not yet")
    });
    {
        let mut workers = world.workers.lock().unwrap();
        for worker in workers.iter_mut() {
            worker.process.kill();
        }
        workers.clear();
        workers.push(world.installation.start(Part::Worker));
        workers.push(world.installation.start(Part::Worker));
    }
    let sent = ends(&org, &hook, "sent");
    assert_eq!(sent["attempts"], 2, "{sent}");
    let seen = http.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        seen[0].header("idempotency-key"),
        seen[1].header("idempotency-key")
    );
    assert_eq!(seen[0].body, seen[1].body);
}

#[test]
fn a_channel_is_sent_no_more_than_its_rate_by_all_workers_together() {
    let (world, _alone) = world();
    let org = world.org("rate");
    let http = Receiver::willing();
    let more = json!({"per_minute": 120});
    let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), more);
    for _ in 0..9 {
        world.alert(&org, "high");
    }
    until("all are sent", || {
        let sent = messages(&org, &hook)
            .iter()
            .filter(|one| one["state"] == "sent")
            .count();
        if sent == 9 { Ok(()) } else { Err(sent) }
    });
    let closest = format!(
        "SELECT min(gap) * 1000 FROM (SELECT extract(epoch FROM attempted_at - lag(attempted_at) OVER \
         (ORDER BY attempted_at)) AS gap FROM outbox WHERE channel_id = '{}') AS gaps",
        hook["id"].as_str().unwrap()
    );
    assert!(world.number(&closest) >= 500, "{}", world.number(&closest));
    let seen = http.seen();
    assert_eq!(seen.len(), 9);
    let span = seen[8].at - seen[0].at;
    assert!(span >= Duration::from_millis(3_500), "{span:?}");
}

#[test]
fn an_address_that_has_become_forbidden_is_not_sent_to() {
    let (world, _alone) = world();
    let org = world.org("forbidden");
    let master = world
        .installation
        .settings()
        .iter()
        .find(|(name, _)| *name == "MILLRACE_MASTER_KEY");
    let master = MasterKey::parse(&master.unwrap().1).unwrap();
    for (url, why) in [
        ("https://10.0.0.1/hook", "private address"),
        ("http://169.254.169.254/latest", "metadata service"),
        ("https://localhost/", "cannot be reached"),
        ("http://8.8.8.8/", "https://"),
    ] {
        let hook = channel(
            &org,
            "slack",
            json!({ "url": "http://127.0.0.1:9/" }),
            json!({}),
        );
        // Past the API, as if the operator had since withdrawn a network.
        let id: Uuid = hook["id"].as_str().unwrap().parse().unwrap();
        let address = Address::Slack {
            url: url.to_owned(),
        };
        let sealed = address.seal(&master, &id.to_string()).unwrap();
        let sql = "UPDATE notification_channel SET sealed = $2 WHERE id = $1";
        let postgres = world.installation.postgres();
        block_on(postgres.execute(sql, &[&id, &sealed])).unwrap();
        let tested = test(&org, &hook);
        let said = tested["notification"]["last_error"].as_str().unwrap();
        assert!(said.contains(why), "{url}: {said}");
        assert_eq!(tested["delivered"], false);
        let removed = format!("/api/v1/channels/{id}");
        let _gone = org.delete_as("admin", &removed).must_be(204);
    }
    let body = json!({"name": "n", "kind": "slack", "address": {"url": "https://192.168.0.1/"}});
    let refused = org.tell_as("admin", "/api/v1/channels", &body);
    assert_eq!(refused.status, 422, "{}", refused.text());
}

#[test]
fn what_nobody_acknowledges_is_escalated_once_by_all_workers_together() {
    let (world, _alone) = world();
    let org = world.org("escalation");
    let http = Receiver::willing();
    let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), json!({}));
    let postgres = world.installation.postgres();
    let escalating =
        "UPDATE organisation SET settings = '{\"escalation_minutes\": 0.02}' WHERE id = $1";
    block_on(postgres.execute(escalating, &[&org.id])).unwrap();
    let (open, seen_to) = (world.alert(&org, "high"), world.alert(&org, "high"));
    let status = |id: Uuid, status: &str| {
        let path = format!("/api/v1/alerts/{id}/status");
        let body = json!({ "status": status });
        let _answer = org.tell_as("analyst", &path, &body).must_be(200);
    };
    status(seen_to, "acknowledged");
    let escalated = |id: Uuid| {
        let all = http.seen();
        let told = all.iter().filter(|one| {
            let body = one.json();
            body["type"] == "alert.escalated" && body["data"]["alert"]["id"] == id.to_string()
        });
        told.count()
    };
    let once = |id: Uuid, times: usize| {
        until("the escalation is told", || match escalated(id) {
            told if told == times => Ok(()),
            told => Err(told),
        });
    };
    once(open, 1);
    // A later one passes both workers' rounds: had they escalated twice, it would be seen by now.
    let later = world.alert(&org, "low");
    once(later, 1);
    assert_eq!((escalated(open), escalated(seen_to)), (1, 0));
    let history = org
        .ask(&format!("/api/v1/alerts/{open}"))
        .must_be(200)
        .json();
    assert!(history["escalated_at"].is_string(), "{history}");
    let lines = history["history"].as_array().unwrap();
    let escalations = lines.iter().filter(|line| line["what"] == "escalated");
    assert_eq!(escalations.count(), 1, "{history}");
    // Opened anew, it can be escalated anew.
    for step in ["acknowledged", "in_progress", "resolved", "open"] {
        status(open, step);
    }
    once(open, 2);
    let sent = messages(&org, &hook);
    let keys: BTreeSet<String> = sent
        .iter()
        .map(|one| one["idempotency_key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), sent.len());
}

#[test]
fn mail_goes_by_tls_logs_in_and_is_tried_again() {
    let (world, _alone) = world();
    let org = world.org("mail");
    let address = |server: &MailServer, security: &str| {
        json!({"host": "127.0.0.1", "port": server.address.port(), "security": security,
               "username": "user", "password": "verysecretword",
               "from": "millrace@example.net", "to": ["soc@example.net"]})
    };
    for (protection, security) in [(Protection::Starttls, "starttls"), (Protection::Tls, "tls")] {
        let server = MailServer::new(protection, |number| if number == 0 { 451 } else { 250 });
        let mail = channel(&org, "email", address(&server, security), json!({}));
        world.alert(&org, "high");
        let sent = ends(&org, &mail, "sent");
        assert_eq!(
            (&sent["attempts"], &sent["last_status"]),
            (&json!(2), &json!(250)),
            "{sent}"
        );
        let mails = server.seen();
        assert_eq!(mails.len(), 2);
        for one in &mails {
            assert!(one.encrypted && one.login.starts_with("PLAIN "), "{one:?}");
            assert_eq!(one.to, ["TO:<soc@example.net>"]);
        }
        assert_eq!(
            mails[0].data, mails[1].data,
            "the same mail, with the same Message-ID"
        );
        let path = format!("/api/v1/channels/{}", mail["id"].as_str().unwrap());
        let _gone = org.delete_as("admin", &path).must_be(204);
    }
    // Without TLS, the password is not said; and what is refused for good is not tried again.
    let plain = MailServer::new(Protection::Plain, |_| 250);
    let mail = channel(&org, "email", address(&plain, "starttls"), json!({}));
    let tested = test(&org, &mail);
    let said = tested["notification"]["last_error"].as_str().unwrap();
    assert!(said.contains("STARTTLS"), "{said}");
    let refusing = MailServer::new(Protection::Tls, |_| 550);
    let mail = channel(&org, "email", address(&refusing, "tls"), json!({}));
    world.alert(&org, "high");
    let dead = ends(&org, &mail, "dead");
    assert_eq!(
        (&dead["attempts"], &dead["last_status"]),
        (&json!(1), &json!(550)),
        "{dead}"
    );
    assert!(plain.seen().is_empty());
}

#[test]
fn one_receiver_that_never_answers_keeps_no_other_waiting() {
    let (world, _alone) = world();
    let org = world.org("neighbours");
    let deaf = Receiver::new(|_, _| Reply::Silence);
    let _channels: Vec<Value> = (0..3)
        .map(|_| channel(&org, "slack", json!({ "url": deaf.url("/") }), json!({})))
        .collect();
    let http = Receiver::willing();
    let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), json!({}));
    let begun = Instant::now();
    world.alert(&org, "high");
    within(Duration::from_secs(10), "the willing one is told", || {
        http.seen().first().cloned().ok_or(begun.elapsed())
    });
    assert_eq!(ends(&org, &hook, "sent")["attempts"], 1);
}

/// The example of docs/notifications.md, run as it stands there.
#[test]
fn the_documented_verification_works_when_pasted() {
    let page = millrace_devstack::place::workspace().join("docs/notifications.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split_once("```python\n").unwrap().1;
    let example = example.split_once("```").unwrap().0;
    let secret = Secret::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let body = b"{\"type\":\"test\"}";
    let signature = millrace_shared::signature::sign_webhook(&secret, "id:1", 1_700_000_000, body);
    let check = |body: &str, now: u32| {
        let program = format!(
            "{example}\nheaders = {{'webhook-id': 'id:1', 'webhook-timestamp': '1700000000', \
             'webhook-signature': '{signature}'}}\n\
             print(is_genuine('{}', headers, b'{body}', {now}))",
            secret.reveal()
        );
        let run = std::process::Command::new("python3")
            .args(["-c", &program])
            .output();
        run.map(|output| {
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            said
        })
    };
    let Ok(genuine) = check("{\"type\":\"test\"}", 1_700_000_100) else {
        eprintln!("skipped: there is no python3 here");
        return;
    };
    assert_eq!(genuine, "True");
    assert_eq!(
        check("{\"type\":\"text\"}", 1_700_000_100).unwrap(),
        "False"
    );
    assert_eq!(
        check("{\"type\":\"test\"}", 1_700_001_000).unwrap(),
        "False",
        "too old"
    );
}
