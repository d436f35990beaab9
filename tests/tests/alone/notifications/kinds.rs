//! One channel of each kind: what its receiver gets has the shape that its maker has published.

use super::{ROUTING_KEY, World, channel, test, verified};
use millrace_tests::receiver::{MailServer, Protection, Receiver, Reply, Request};
use millrace_tests::{Org, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

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

pub(super) fn every_kind_of_channel_is_told_in_its_own_shape(world: &World) {
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
