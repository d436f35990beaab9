//! Random queries of two organisations that have everything in common but what they say: no answer
//! holds anything of the other one.
//!
//! Routes and parameters come from the API's own description, so that what is new is asked too.
//! `RANDOM_QUERIES` is how many; `RANDOM_SEED` asks the same ones again.

use crate::alerts::trail;
use crate::audit::alert;
use crate::metrics::{samples, series};
use crate::world::*;
use futures_util::StreamExt as _;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::sync::Mutex;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// In a run of all tests; a hundred thousand take a quarter of an hour.
const QUERIES: u64 = 1_500;
/// At a time: more wait for the stores.
const AT_ONCE: usize = 8;
/// Words that both have, and that stand in rows as services, hosts, users, attributes and text.
const WORDS: [&str; 6] = ["api", "web", "db", "alpha", "beta", "error"];
/// What somebody tries who looks for a way around.
const HOSTILE: [&str; 10] = [
    "' OR 1=1 --",
    "%",
    "_",
    "*",
    "\\",
    "\0",
    "{org:UUID}",
    "$1",
    "a,b,,",
    "0x00",
];

/// An organisation with rows of everything.
struct Side {
    org: Org,
    /// Stands in every row and in no query.
    secret: String,
    /// Ids of its things.
    ids: Vec<String>,
}

impl Side {
    async fn new() -> Side {
        let org = org().await;
        let secret = format!("secret{}", Uuid::new_v4().simple());
        let trace = Uuid::new_v4().simple().to_string();
        let mut side = Side {
            org,
            secret,
            ids: vec![trace],
        };
        side.fill_clickhouse().await;
        side.fill_postgres().await;
        side
    }

    async fn fill_clickhouse(&mut self) {
        let (secret, trace) = (self.secret.clone(), self.ids[0].clone());
        for (n, word) in WORDS.iter().enumerate() {
            let event = Uuid::new_v4();
            self.ids.push(event.to_string());
            let common = json!({ "EventId": event, "ServiceName": word, "Host": word, "Environment": word,
                "Observables": [word, secret], "RuleMatches": ["rule-1"], "ClientIp": "10.0.0.1" });
            let of = |more: Value| {
                let mut row = row(&self.org, n as f64, common.clone());
                let members = row.as_object_mut().unwrap();
                members.extend(more.as_object().unwrap().clone());
                row
            };
            let map = json!({ "k": word, "who": secret });
            let log = json!({ "Body": format!("{word} says {secret}"), "SeverityText": word, "Severity": "high",
                "LogAttributes": map, "ResourceAttributes": map, "TraceId": trace });
            let span = json!({ "SpanName": format!("{word} {secret}"), "SpanId": format!("{n:016x}"),
                "TraceId": trace, "StatusCode": "error", "SpanKind": "server", "SpanAttributes": map });
            let rum = json!({ "Page": format!("/{word}/{secret}"), "PageUrl": secret, "SessionId": word,
                "UserId": secret, "EventType": "pageview", "ErrorMessage": secret });
            let audit = json!({ "EventType": "AUTHENTICATION", "Action": word, "Outcome": "FAILURE",
                "Severity": "critical", "ActorId": secret, "ActorName": word, "ActorType": secret,
                "Targets.Id": [word], "Targets.Name": [secret], "Targets.Type": [word],
                "Message": secret, "Metadata": map, "GeoCountry": secret });
            for (table, more) in [
                ("logs", log),
                ("spans", span),
                ("rum_events", rum),
                ("audit_events", audit),
            ] {
                insert(table, &[of(more)]).await;
            }
        }
    }

    async fn fill_postgres(&mut self) {
        let (id, secret) = (self.org.id, self.secret.clone());
        for status in ["open", "acknowledged", "resolved"] {
            let made = alert(&self.org, &secret, status, "high", 1.0).await;
            self.ids.push(made.to_string());
        }
        for word in WORDS {
            let labels = json!({ "k": word, "who": secret });
            let made = series(&self.org, "requests", word, labels).await;
            samples(made, &[(1.0, 1.0), (61.0, 5.0)]).await;
        }
        let params: [&(dyn ToSql + Sync); 2] = [&id, &secret];
        for sql in [
            "INSERT INTO source_health (org_id, signal, key_id, service, last_seen) VALUES ($1, 'logs', $2, $2, now())",
            "INSERT INTO rule (org_id, id, version, enabled, body, from_revision)
             VALUES ($1, 'rule-1', 1, true, jsonb_build_object('name', $2::text, 'id', 'rule-1'), 1)",
            "INSERT INTO dead_letter (org_id, signal, shard, entry_ms, entry_seq, events, reason, detail, meta, body)
             VALUES ($1, 'logs', 210, (random() * 1e15)::int8, 1, 1, 'undecodable', $2, $2::text::bytea, $2::text::bytea)",
        ] {
            execute(sql, &params).await;
        }
        let sql = "SELECT id FROM dead_letter WHERE org_id = $1";
        let row = postgres().await.query_one(sql, &[&id]).await.unwrap();
        self.ids.push(row.get::<_, i64>(0).to_string());
    }
}

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.roll(list.len())]
    }
}

/// A reading route with the names of its parameters.
struct Route {
    pattern: String,
    parameters: Vec<(String, bool)>,
}

async fn routes() -> Vec<Route> {
    let description = send(Client::new().get(format!("{}/api/openapi.json", shared())))
        .await
        .ok();
    let mut routes = Vec::new();
    for (pattern, methods) in description["paths"].as_object().unwrap() {
        let Some(operation) = methods.get("get") else {
            continue;
        };
        let parameters = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let named = parameters.iter().filter(|one| one["in"] == "query");
        let name = |one: &Value| {
            (
                one["name"].as_str().unwrap().to_owned(),
                one["required"] == true,
            )
        };
        routes.push(Route {
            pattern: pattern.clone(),
            parameters: named.map(name).collect(),
        });
    }
    assert!(routes.len() >= 20);
    routes
}

/// A value for a parameter: mostly one with sense, of either organisation's things.
fn value(dice: &mut Dice, name: &str, ids: &[String], cursors: &[String]) -> String {
    let any_id = |dice: &mut Dice| ids[dice.roll(ids.len())].clone();
    if dice.roll(12) == 0 {
        return dice.pick(&HOSTILE).to_owned();
    }
    let word = match name {
        "start" => dice.pick(&["now-4h", "now-5h", "now-1d", "now-6d"]),
        "end" => dice.pick(&["now", "now-1h"]),
        "limit" => dice.pick(&["1", "2", "10", "1000"]),
        "order" => dice.pick(&["asc", "desc"]),
        "step" => dice.pick(&["15s", "1m", "1h"]),
        "level" | "severity" => dice.pick(&["error", "high", "critical", "info,high"]),
        "outcome" => dice.pick(&["FAILURE", "success"]),
        "event_type" => dice.pick(&["AUTHENTICATION", "pageview"]),
        "text_mode" => dice.pick(&["words", "substring", "auto"]),
        "attribute" => dice.pick(&["k=api", "resource.k=web", "who=x", "k=error"]),
        "name" => dice.pick(&["requests", "request"]),
        "agg" => dice.pick(&["avg", "sum", "max", "rate", "count"]),
        "by" => dice.pick(&["k", "who", "service", "k,who"]),
        "match" | "match[]" => {
            dice.pick(&["k=\"api\"", "who!=\"x\"", "who=~\".*\"", "k=~\"a.*|web\""])
        }
        "status" => dice.pick(&["open", "error", "acknowledged,open", "resolved"]),
        "state" => dice.pick(&["PARKED", "COMMITTED", "EXPIRED"]),
        "signal" => dice.pick(&["logs", "metrics", "audit"]),
        "rule" | "rule_id" => "rule-1",
        "raw" => "true",
        "cursor" if !cursors.is_empty() => return cursors[dice.roll(cursors.len())].clone(),
        "event_id" | "trace_id" | "id" => return any_id(dice),
        _ => dice.pick(&WORDS),
    };
    if dice.roll(10) == 0 {
        any_id(dice)
    } else {
        word.to_owned()
    }
}

/// A random request: its path with its query string.
fn question(dice: &mut Dice, routes: &[Route], ids: &[String], cursors: &[String]) -> String {
    let route = &routes[dice.roll(routes.len())];
    let mut path = route.pattern.clone();
    while let Some((before, rest)) = path.split_once('{') {
        let (_, after) = rest.split_once('}').unwrap();
        let filled = match dice.roll(3) {
            0 => dice.pick(&["k", "who", "rule-1", "1"]).to_owned(),
            _ => ids[dice.roll(ids.len())].clone(),
        };
        path = format!("{before}{filled}{after}");
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, required) in &route.parameters {
        let ranged = name == "start";
        if *required || (ranged && dice.roll(10) > 0) || dice.roll(4) == 0 {
            query.append_pair(name, &value(dice, name, ids, cursors));
        }
    }
    format!("{path}?{}", query.finish())
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var_os(name).and_then(|text| text.into_string().ok());
    given.map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_random_query_shows_a_foreign_row() {
    let _shared = SOURCES.read().await;
    let sides = [Side::new().await, Side::new().await];
    let routes = routes().await;
    let ids: Vec<String> = sides.iter().flat_map(|side| side.ids.clone()).collect();
    let seed = number(
        "RANDOM_SEED",
        millrace_runtime::clock::now_ns().unsigned_abs(),
    );
    let count = number("RANDOM_QUERIES", QUERIES);
    let cursors = Mutex::new(Vec::new());
    let (answered, own) = (Mutex::new(0u64), Mutex::new(0u64));
    let client = Client::new();
    futures_util::stream::iter(0..count)
        .for_each_concurrent(AT_ONCE, async |n| {
            let mut dice = Dice(seed.wrapping_add(n.wrapping_mul(0x5851_F42D_4C95_7F2D)));
            let us = dice.roll(2);
            let (ours, theirs) = (&sides[us], &sides[1 - us]);
            let known = cursors.lock().unwrap().clone();
            let path = question(&mut dice, &routes, &ids, &known);
            let role = [&ours.org.viewer, &ours.org.analyst, &ours.org.admin][dice.roll(3)];
            let request = client.request(Method::GET, format!("{}{path}", shared()));
            let answer = send(request.header("authorization", format!("Bearer {role}"))).await;
            let text = answer.body.to_string();
            let place = format!("seed {seed} number {n}: {path}");
            assert!(answer.status < 500, "{place}: {} {text}", answer.status);
            assert!(!text.contains(&theirs.secret), "{place}: {text}");
            *answered.lock().unwrap() += u64::from(answer.status == 200);
            *own.lock().unwrap() += u64::from(text.contains(&ours.secret));
            if let Some(cursor) = answer.body["next_cursor"].as_str() {
                let mut cursors = cursors.lock().unwrap();
                let at = dice.roll(64);
                match cursors.get_mut(at) {
                    Some(old) => *old = cursor.to_owned(),
                    None => cursors.push(cursor.to_owned()),
                }
            }
        })
        .await;
    let (answered, own) = (*answered.lock().unwrap(), *own.lock().unwrap());
    println!("{count} queries of seed {seed}: {answered} answered, {own} with rows of their own");
    // Else it would have shown nothing.
    assert!(answered > count / 4 && own > count / 20, "{answered} {own}");
    for side in &sides {
        let raw = trail(&side.org).await.len();
        println!("{raw} raw readings of dead letters recorded");
    }
}
