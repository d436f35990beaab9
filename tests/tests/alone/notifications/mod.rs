//! Notifications, from an alert to its receivers: shapes, signatures, retries, rates, kills, escalation.
//! On an installation of their own with two workers, with the hours of production made seconds.

mod kinds;
mod life;
mod delivery;
mod mail;

use millrace_shared::secret::Secret;
use millrace_shared::signature::parse_webhook;
use millrace_tests::engines::Engines;
use millrace_tests::installation::{Part, Running};
use millrace_tests::receiver::{Request, mail_certificate};
use millrace_tests::wait::block_on;
use millrace_tests::{Installation, Org, until};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use uuid::Uuid;

/// An integration key as PagerDuty makes them.
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

/// How long a worker waits for an answer at most, seconds.
const PATIENT_S: u64 = 60;
/// What comes within this has not waited for a worker to give anything up.
const LONG: Duration = Duration::from_secs(PATIENT_S - 10);

/// A test of its own organisation, by name.
type Scenario = (&'static str, fn(&World));

macro_rules! scenarios {
    ($($module:ident :: $name:ident,)*) => {
        [$((stringify!($name), $module::$name),)*]
    };
}

/// What goes on side by side.
const SCENARIOS: &[Scenario] = &scenarios![
    kinds::every_kind_of_channel_is_told_in_its_own_shape,
    life::an_alert_of_the_pipeline_is_told_from_its_beginning_to_its_end,
    life::what_nobody_acknowledges_is_escalated_once_by_all_workers_together,
    delivery::what_may_pass_is_tried_again_under_the_same_key,
    delivery::what_cannot_be_delivered_is_given_up_visibly,
    delivery::a_channel_is_sent_no_more_than_its_rate_by_all_workers_together,
    delivery::an_address_that_has_become_forbidden_is_not_sent_to,
    mail::mail_goes_by_tls_logs_in_and_is_tried_again,
];

#[test]
fn alerts_are_told_whatever_the_receivers_do() {
    let _alone = crate::alone();
    let world = World::new();
    let failed: Vec<&str> = thread::scope(|scope| {
        let started: Vec<_> = SCENARIOS
            .iter()
            .map(|(name, scenario)| {
                let named = thread::Builder::new().name((*name).to_owned());
                let running = named.spawn_scoped(scope, || scenario(&world)).unwrap();
                (*name, running)
            })
            .collect();
        let ended = started.into_iter();
        ended
            .filter_map(|(name, running)| running.join().is_err().then_some(name))
            .collect()
    });
    assert_eq!(failed, [""; 0]);
    // From here on nobody gives a receiver up while a test waits.
    world.kill_and_replace_workers();
    delivery::one_receiver_that_never_answers_keeps_no_other_waiting(&world);
    delivery::a_worker_killed_between_sending_and_noting_it_sends_again_under_the_same_key(&world);
}

/// The installation, with two workers.
struct World {
    installation: Installation,
    gateway: Running,
    query: Running,
    workers: Mutex<Vec<Running>>,
}

impl World {
    fn new() -> World {
        let mut installation = Installation::on(Engines::own("notify"), "notify");
        installation.set("MILLRACE_OUTGOING_NETWORKS", "127.0.0.0/8");
        installation.set("MILLRACE_TLS_CA_FILE", &mail_certificate());
        // Long enough that no receiver here that answers is given up.
        installation.set("MILLRACE_NOTIFY_TIMEOUT_S", "10");
        installation.set("MILLRACE_NOTIFY_RETRY_S", "1");
        installation.set("MILLRACE_ESCALATION_S", "0");
        installation.set("MILLRACE_ALERT_URL", "https://soc.example.net/alerts/{id}");
        let parts = [Part::Gateway, Part::Query, Part::Worker, Part::Worker];
        let mut started = parts.map(|part| installation.launch(part, &[]));
        started.iter_mut().for_each(Running::must_get_ready);
        let [gateway, query, first, second] = started;
        World {
            installation,
            gateway,
            query,
            workers: Mutex::new(vec![first, second]),
        }
    }

    /// Kills all workers at once, and starts others, which wait for an answer as long as can be.
    fn kill_and_replace_workers(&self) {
        let mut workers = self.workers.lock().unwrap();
        for worker in workers.iter_mut() {
            worker.process.kill();
        }
        let patient = [("MILLRACE_NOTIFY_TIMEOUT_S", PATIENT_S.to_string())];
        let mut others = [(); 2].map(|()| self.installation.launch(Part::Worker, &patient));
        others.iter_mut().for_each(Running::must_get_ready);
        *workers = others.into();
    }

    /// A new organisation, whose only token may do everything.
    fn org(&self, name: &str) -> Org {
        let urls = (self.gateway.url.as_str(), self.query.url.as_str());
        let org = Org::of(&self.installation, name, urls);
        let arguments = ["tokens", "create", "--org", &org.name, "--role", "admin"];
        let made = self.installation.admin(&arguments);
        for role in ["analyst", "admin"] {
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
