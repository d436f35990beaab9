//! Receivers that fail, refuse, forget, or cannot be reached; and workers that die.

use super::{World, channel, ends, messages, test, verified};
use millrace_shared::channel::Address;
use millrace_shared::secret::MasterKey;
use millrace_tests::installation::{Running, free_address};
use millrace_tests::receiver::{Receiver, Reply, Request};
use millrace_tests::wait::block_on;
use millrace_tests::{until, within};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// What a receiver does with the first message.
type First = fn() -> Reply;

pub(super) fn what_may_pass_is_tried_again_under_the_same_key(world: &World) {
    let org = world.org("retries");
    let failures: [(&str, First); 4] = [
        ("500", || Reply::Status(500, &[])),
        ("429", || Reply::Status(429, &["retry-after: 3"])),
        ("silence", || Reply::Silence),
        ("closing", || Reply::Close),
    ];
    let receivers = failures.map(|(what, first)| {
        let http = Receiver::new(move |number, _| match number {
            0 => first(),
            _ => Reply::Status(200, &[]),
        });
        let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), json!({}));
        (what, http, hook)
    });
    world.alert(&org, "high");
    for (what, http, hook) in &receivers {
        let sent = ends(&org, hook, "sent");
        assert_eq!(sent["attempts"], 2, "{what}: {sent}");
        is_the_same_twice(http);
        let seen = http.seen();
        verified(&hook["secret"], &seen[1]);
        let pause = seen[1].at - seen[0].at;
        let asked = if *what == "429" { 3_000 } else { 500 };
        assert!(pause >= Duration::from_millis(asked), "{what}: {pause:?}");
    }
}

/// That a receiver got one message twice: under one key, byte for byte.
fn is_the_same_twice(http: &Receiver) {
    let seen = http.seen();
    let [first, second] = &seen[..] else {
        panic!("not two but {seen:?}");
    };
    let key = |request: &Request| request.header("idempotency-key").to_owned();
    assert_eq!((key(first), &first.body), (key(second), &second.body));
}

pub(super) fn what_cannot_be_delivered_is_given_up_visibly(world: &World) {
    let org = world.org("dead");
    let nobody = format!("http://{}/", free_address());
    let refusing = channel(&org, "webhook", json!({ "url": nobody }), json!({}));
    let missing = Receiver::new(|_, _| Reply::Status(404, &[]));
    let missing_url = json!({ "url": missing.url("/") });
    let misled = channel(&org, "slack", missing_url, json!({}));
    let moved = Receiver::new(|_, _| Reply::Status(307, &["location: http://127.0.0.1:1/"]));
    let redirect = channel(&org, "teams", json!({ "url": moved.url("/") }), json!({}));
    world.alert(&org, "high");
    for (channel, error) in [(&misled, "404"), (&redirect, "redirect")] {
        let dead = ends(&org, channel, "dead");
        assert_eq!(dead["attempts"], 1, "{dead}");
        assert!(
            dead["last_error"].as_str().unwrap().contains(error),
            "{dead}"
        );
    }
    until("the third is tried again", || {
        let message = messages(&org, &refusing).remove(0);
        let attempts = message["attempts"].as_i64().unwrap();
        if attempts >= 2 { Ok(()) } else { Err(message) }
    });
    assert_eq!(messages(&org, &refusing)[0]["state"], "pending");
    let (id, a_day_passes) = (
        refusing["id"].as_str().unwrap(),
        "UPDATE outbox SET queued_at = queued_at - interval '1 day' WHERE channel_id = $1::text::uuid",
    );
    block_on(world.installation.postgres().execute(a_day_passes, &[&id])).unwrap();
    let dead = ends(&org, &refusing, "dead");
    assert!(
        dead["last_error"]
            .as_str()
            .unwrap()
            .contains("cannot be reached"),
        "{dead}"
    );
    the_metrics_show_the_dead(world);
    // Once its receiver is there, it can be sent again.
    let number = dead["id"].as_i64().unwrap();
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

/// That the workers count at least three dead messages.
fn the_metrics_show_the_dead(world: &World) {
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
}

pub(super) fn a_worker_killed_between_sending_and_noting_it_sends_again_under_the_same_key(
    world: &World,
) {
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
    world.kill_and_replace_workers();
    let leases_run_out =
        "UPDATE notification_channel SET leased_until = now() WHERE leased_until IS NOT NULL";
    block_on(world.installation.postgres().execute(leases_run_out, &[])).unwrap();
    let sent = ends(&org, &hook, "sent");
    assert_eq!(sent["attempts"], 2, "{sent}");
    is_the_same_twice(&http);
}

pub(super) fn a_channel_is_sent_no_more_than_its_rate_by_all_workers_together(world: &World) {
    const MESSAGES: usize = 6;
    let org = world.org("rate");
    let http = Receiver::willing();
    let more = json!({"per_minute": 120});
    let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), more);
    for _ in 0..MESSAGES {
        world.alert(&org, "high");
    }
    until("all are sent", || {
        let sent = messages(&org, &hook)
            .iter()
            .filter(|one| one["state"] == "sent")
            .count();
        if sent == MESSAGES { Ok(()) } else { Err(sent) }
    });
    // When they arrive is the machine's affair; when they were sent is the workers'.
    let closest = format!(
        "SELECT min(gap) * 1000 FROM (SELECT extract(epoch FROM attempted_at - lag(attempted_at) OVER \
         (ORDER BY attempted_at)) AS gap FROM outbox WHERE channel_id = '{}') AS gaps",
        hook["id"].as_str().unwrap()
    );
    assert!(world.number(&closest) >= 500, "{}", world.number(&closest));
    assert_eq!(http.seen().len(), MESSAGES);
}

pub(super) fn an_address_that_has_become_forbidden_is_not_sent_to(world: &World) {
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
        ("https://[::1]/", "address of this machine"),
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

pub(super) fn one_receiver_that_never_answers_keeps_no_other_waiting(world: &World) {
    let org = world.org("neighbours");
    let deaf = Receiver::new(|_, _| Reply::Silence);
    let _channels: Vec<Value> = (0..3)
        .map(|_| channel(&org, "slack", json!({ "url": deaf.url("/") }), json!({})))
        .collect();
    let http = Receiver::willing();
    let hook = channel(&org, "webhook", json!({ "url": http.url("/") }), json!({}));
    world.alert(&org, "high");
    within(super::LONG, "the willing one is told", || {
        http.seen().first().cloned().ok_or("not yet")
    });
    assert_eq!(ends(&org, &hook, "sent")["attempts"], 1);
}
