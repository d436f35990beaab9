//! Back-tests against what really happened: on the same events a rule over history selects what it
//! selected live, and raises the alerts that were raised, counts and times included. Every kind of
//! window is among the rules, and every kind of correlation.

use millrace_runtime::clock;
use millrace_shared::Signal;
use millrace_shared::time::rfc3339;
use millrace_tests::{Org, shared, stores, until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NS: i64 = 1_000_000_000;
/// Two stretches of events, further apart than any alert takes up what follows.
const EPISODES: [i64; 2] = [0, 5_400];
/// Seconds of a stretch: within what windows allow for lateness.
const LENGTH: i64 = 240;
/// Requests of a stretch.
const REQUESTS: usize = 4;

/// A rule of failed logins, but for what else is said of it.
fn rule(id: &str, scope: &str, more: Value) -> Value {
    let mut rule = json!({"id": id, "name": id, "severity": "medium", "message": "{service}",
        "scope": [scope], "selection": [
            {"field": "event_type", "op": "eq", "value": "AUTHENTICATION"},
            {"field": "outcome", "op": "eq", "value": "FAILURE"},
            {"field": "service", "op": "eq", "value": "history"}]});
    let members = rule.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    rule
}

/// Rules of every kind of window that can only grow, and of none.
fn rules() -> Vec<Value> {
    let window = |id: &str, window: Value, group: &str| {
        rule(id, "audit", json!({"window": window, "group_by": [group]}))
    };
    let mut rules = vec![
        rule(
            "plain",
            "audit",
            json!({"dedupe": {"keys": ["actor.id"], "window_seconds": 600}}),
        ),
        window(
            "count",
            json!({"kind": "count", "seconds": 60, "threshold": 4}),
            "ip",
        ),
        window(
            "distinct",
            json!({"kind": "distinct", "seconds": 120, "threshold": 3, "field": "actor.id"}),
            "ip",
        ),
        window(
            "mail",
            json!({"kind": "count", "seconds": 200, "threshold": 3}),
            "actor.email",
        ),
        window(
            "rate",
            json!({"kind": "rate", "seconds": 60, "per_second": 0.06}),
            "ip",
        ),
    ];
    rules.extend(orders());
    rules.extend(sums());
    let of_found = json!({"field": "pii.class", "op": "eq", "value": "email"});
    rules.push(rule(
        "found",
        "logs",
        json!({"selection": [of_found], "group_by": ["client.host"],
            "window": {"kind": "count", "seconds": 100, "threshold": 3}}),
    ));
    rules
}

/// What follows upon what.
fn orders() -> [Value; 2] {
    let outcome = |outcome: &str| json!({"field": "outcome", "op": "eq", "value": outcome});
    let service = json!({"field": "service", "op": "eq", "value": "history"});
    let step = |word: &str| json!({"all": [service, outcome(word)]});
    [
        rule(
            "order",
            "audit",
            json!({"selection": {"any": [step("FAILURE"), step("SUCCESS")]},
                "window": {"kind": "correlation", "of": "temporal_ordered", "seconds": 90,
                    "steps": [{"group_by": ["ip"]}, {"group_by": ["ip"]}]}}),
        ),
        rule(
            "sequence",
            "audit",
            json!({"selection": [service], "group_by": ["ip"],
                "window": {"kind": "sequence", "seconds": 100, "steps": [
                    {"selection": [outcome("FAILURE")], "count": 2},
                    {"selection": [outcome("SUCCESS")]}]}}),
        ),
    ]
}

/// What adds up, of numbers that were sent as such.
fn sums() -> [Value; 2] {
    let failed = json!({"field": "status", "op": "gte", "value": 500});
    [
        rule(
            "sum",
            "logs",
            json!({"selection": [failed], "group_by": ["client.host"],
                "window": {"kind": "sum", "seconds": 100, "threshold": 800, "field": "bytes"}}),
        ),
        rule(
            "bytes",
            "logs",
            json!({"selection": {"any": [failed]},
                "window": {"kind": "correlation", "of": "value_sum", "seconds": 100,
                    "bounds": {"gte": 800},
                    "steps": [{"group_by": ["client.host"], "fields": ["bytes"]}]}}),
        ),
    ]
}

/// The events of a stretch, none in its place in time: (when, event).
fn audit(start: i64) -> Vec<Value> {
    let event = |n: i64| {
        let at = start + (n * 37 % LENGTH) * NS;
        let (address, user) = (n % 3, n % 5);
        json!({"timestamp": rfc3339(at), "event_type": "AUTHENTICATION", "action": "login",
            "outcome": if n % 4 == 3 { "SUCCESS" } else { "FAILURE" }, "service": "history",
            "ip": format!("192.0.2.{}", 10 + address),
            "actor": {"id": format!("u-{user}"), "email": format!("user{user}@example.com")}})
    };
    (0..48).map(event).collect()
}

fn logs(start: i64) -> Vec<Value> {
    let event = |n: i64| {
        let at = start + (n * 53 % LENGTH) * NS;
        json!({"timestamp": rfc3339(at), "service": "history", "message": "answered",
            "attributes": {"status": if n % 3 == 0 { 503 } else { 200 }, "bytes": 100 + n * 10,
                           "client": {"host": format!("h{}", n % 2)}, "ok": n % 3 != 0, "ratio": 0.25,
                           "contact": if n % 3 == 0 { "ada@example.com" } else { "nobody" }}})
    };
    (0..48).map(event).collect()
}

/// An alert as both tell of it: group, first and last event, count, events.
type Told = (String, String, String, i64, BTreeSet<String>);

fn told(alert: &Value, group: &str) -> Told {
    let text = |name: &str| alert[name].as_str().unwrap().to_owned();
    let events = alert["event_ids"].as_array().unwrap().iter();
    let events: BTreeSet<String> = events.map(|id| id.as_str().unwrap().to_owned()).collect();
    let group: BTreeMap<String, Value> = serde_json::from_value(alert[group].clone()).unwrap();
    let group = serde_json::to_string(&group).unwrap();
    let count = alert["count"].as_i64().unwrap();
    // More than are listed: which of them are depends on which came first.
    let listed = if count > 20 { BTreeSet::new() } else { events };
    (group, text("first_seen"), text("last_seen"), count, listed)
}

fn live(org: &Org, rule: &str) -> Vec<Told> {
    let alerts = org.rows(&format!("/api/v1/alerts?limit=100&rule_id={rule}"));
    let mut of_live: Vec<Told> = alerts
        .iter()
        .map(|alert| told(alert, "group_key"))
        .collect();
    of_live.sort();
    of_live
}

fn backtest(org: &Org, rule: &str, over: &Value) -> Value {
    until("a place for a back-test", || {
        let answer = org.tell_as("analyst", &format!("/api/v1/rules/{rule}/backtest"), over);
        match answer.status {
            429 => Err(answer.text()),
            _ => Ok(answer.must_be(200).json()),
        }
    })
}

/// Sends the events of all stretches over several requests each, in no order within a stretch.
fn send(org: &Org, start: i64) {
    for episode in EPISODES {
        let at = start + episode * NS;
        let (audit, logs) = (audit(at), logs(at));
        for request in 0..REQUESTS {
            let part = |events: &[Value]| -> Vec<Value> {
                let events = events.iter().skip(request).step_by(REQUESTS);
                events.cloned().collect()
            };
            org.store(Signal::Audit, &json!({ "events": part(&audit) }));
            org.store(Signal::Logs, &json!({ "logs": part(&logs) }));
        }
    }
}

/// Puts each rule to history and compares it with what happened live; how many alerts it raised.
fn compared(org: &Org, rules: &[Value], over: &Value) -> BTreeMap<String, usize> {
    let mut raised = BTreeMap::new();
    for rule in rules {
        let id = rule["id"].as_str().unwrap();
        let done = backtest(org, id, over);
        assert_eq!(done["cut_off"], Value::Null, "{done}");
        let alerts = done["alerts"].as_array().unwrap();
        let mut of_history: Vec<Told> = alerts.iter().map(|alert| told(alert, "group")).collect();
        of_history.sort();
        let of_live = live(org, id);
        assert_eq!(of_history, of_live, "{id}");
        let table = if rule["scope"][0] == "logs" {
            "logs"
        } else {
            "audit_events"
        };
        let sql = format!(
            "SELECT count() FROM millrace.{table} WHERE OrgId = '{}' AND has(RuleMatches, '{id}')",
            org.id
        );
        let matched = stores::number(&shared().installation, &sql);
        assert_eq!(done["matches"], matched, "{id}");
        let bars = done["bars"].as_array().unwrap();
        let in_bars: u64 = bars
            .iter()
            .map(|bar| bar["matches"].as_u64().unwrap())
            .sum();
        assert_eq!(in_bars, matched, "{id}");
        raised.insert(id.to_owned(), of_live.len());
    }
    raised
}

fn make(org: &Org, rules: &[Value]) {
    for rule in rules {
        let _made = org.tell_as("admin", "/api/v1/rules", rule).must_be(201);
    }
    org.rules_are_loaded();
}

#[test]
fn history_answers_as_it_was_live() {
    let org = Org::new("history");
    let rules = rules();
    make(&org, &rules);
    let start = clock::now_ns() / NS * NS - 3 * 3600 * NS;
    send(&org, start);
    let over = json!({"start": rfc3339(start - NS), "end": "now", "step": "5m"});
    let raised = compared(&org, &rules, &over);
    // Each of them had something to say, in both stretches and of several groups.
    for (id, alerts) in &raised {
        assert!(*alerts >= 2, "{id}: {raised:?}");
    }
    assert!(raised["count"] >= 4, "{raised:?}");
}

/// Conditions over the log records below.
fn of_service() -> Value {
    json!({"field": "service", "op": "eq", "value": "falling"})
}

fn failed() -> Value {
    json!({"all": [of_service(), {"field": "status", "op": "gte", "value": 500}]})
}

fn slow() -> Value {
    json!({"all": [of_service(), {"field": "ms", "op": "gte", "value": 300}]})
}

/// A rule over log records whose members are correlated by host, by what is said of `window`.
fn correlated(id: &str, members: &[Value], fields: &[&str], window: Value) -> Value {
    let step = match fields {
        [] => json!({"group_by": ["client.host"]}),
        fields => json!({"group_by": ["client.host"], "fields": fields}),
    };
    let steps = vec![step; members.len()];
    let mut correlation = json!({"kind": "correlation", "seconds": 60, "steps": steps});
    let more = window.as_object().unwrap().clone();
    correlation.as_object_mut().unwrap().extend(more);
    let rule_of = json!({"selection": {"any": members}, "window": correlation});
    rule(id, "logs", rule_of)
}

/// What values come to, and shares: all of it may fall again.
fn measures() -> Vec<Value> {
    let measured =
        |id: &str, of: Value, field: &str, window: Value| correlated(id, &[of], &[field], window);
    vec![
        rule(
            "ratio",
            "logs",
            json!({"selection": failed(), "group_by": ["client.host"],
                "window": {"kind": "ratio", "seconds": 100, "threshold": 3, "percent": 50,
                           "base": [of_service()]}}),
        ),
        measured(
            "average",
            of_service(),
            "ms",
            json!({"of": "value_avg", "bounds": {"gt": 150}}),
        ),
        measured(
            "percentile",
            of_service(),
            "ms",
            json!({"of": "value_percentile", "percentile": 75, "bounds": {"gte": 300}}),
        ),
        measured(
            "share",
            of_service(),
            "page",
            json!({"of": "value_share", "bounds": {"lt": 20}}),
        ),
        measured(
            "values",
            failed(),
            "page",
            json!({"of": "value_count", "bounds": {"gt": 2}}),
        ),
        measured(
            "few_values",
            of_service(),
            "page",
            json!({"of": "value_count", "bounds": {"gt": 1, "lte": 2}}),
        ),
    ]
}

/// What comes together, or too seldom.
fn meetings() -> Vec<Value> {
    let both = [failed(), slow()];
    let met = |id: &str, window: Value| correlated(id, &both, &[], window);
    let mut chain = met(
        "chain",
        json!({"of": "temporal", "needs": [{"hits": 3, "seconds": 60}, {"hits": 1}]}),
    );
    for step in [0, 1] {
        chain["window"]["steps"][step]["of"] = json!(step);
    }
    vec![
        met("events", json!({"of": "event_count", "bounds": {"gte": 4}})),
        correlated(
            "few_events",
            &[failed()],
            &[],
            json!({"of": "event_count", "bounds": {"gte": 2, "lt": 4}}),
        ),
        met("together", json!({"of": "temporal"})),
        met("one_of_two", json!({"of": "temporal", "bounds": {"eq": 1}})),
        chain,
    ]
}

/// Windows that compare with what was before, over audit events.
fn behaviour_rules() -> Vec<Value> {
    let acting = |action: &str| {
        json!([{"field": "service", "op": "eq", "value": "behaviour"},
                                       {"field": "action", "op": "eq", "value": action}])
    };
    let of = |id: &str, action: &str, window: Value| {
        rule(
            id,
            "audit",
            json!({"selection": acting(action), "window": window,
                                 "group_by": ["actor.id"]}),
        )
    };
    vec![
        of(
            "new_address",
            "login",
            json!({"kind": "new_value", "days": 7, "field": "ip"}),
        ),
        of("journey", "visit", json!({"kind": "travel"})),
        of(
            "burst",
            "download",
            json!({"kind": "spike", "factor": 3, "baseline": "same_hour"}),
        ),
    ]
}

/// Records that come in order: failures, slow answers and rare pages that come and go.
fn falling(start: i64) -> Vec<Value> {
    let event = |n: i64| {
        let at = start + n * 5 * NS;
        let (is_bad, is_slow) = (n % 30 < 10, (4..14).contains(&(n % 30)));
        let page = match (n % 11, n / 7 % 3) {
            (10, _) => "rare",
            (_, 0) => "a",
            (_, 1) => "b",
            _ => "c",
        };
        json!({"timestamp": rfc3339(at), "service": "falling", "message": "answered",
            "attributes": {"status": if is_bad { 503 } else { 200 },
                           "ms": if is_slow { 400 + n } else { 20 },
                           "page": page, "client": {"host": format!("h{}", n % 2)}}})
    };
    (0..72).map(event).collect()
}

/// Places, as people are seen there.
const BERLIN: (f64, f64) = (52.52, 13.405);
const HAMBURG: (f64, f64) = (53.5511, 9.9937);
const NEW_YORK: (f64, f64) = (40.7128, -74.006);

/// Events of several days that come in order; `start` is the beginning of an hour.
fn behaviour(start: i64) -> Vec<Value> {
    let event = |second: i64, action: &str, actor: &str, more: Value| {
        let mut event = json!({"timestamp": rfc3339(start + second * NS), "event_type": "DATA_ACCESS",
            "action": action, "outcome": "SUCCESS", "service": "behaviour", "actor": {"id": actor}});
        let members = event.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        (second, event)
    };
    let mut events = Vec::new();
    for (hour, actor, last) in [
        (1, "n-0", 10),
        (3, "n-0", 10),
        (5, "n-0", 11),
        (30, "n-0", 10),
        (31, "n-0", 12),
        (2, "n-1", 20),
        (4, "n-1", 20),
        (49, "n-1", 21),
    ] {
        let ip = json!({"ip": format!("192.0.2.{last}")});
        events.push(event(hour * 3600, "login", actor, ip));
    }
    for (minute, actor, (latitude, longitude)) in [
        (60, "t-0", BERLIN),
        (120, "t-0", NEW_YORK),
        (61, "t-1", BERLIN),
        (180, "t-1", HAMBURG),
        (2000, "t-2", NEW_YORK),
        (2001, "t-2", BERLIN),
    ] {
        let place = json!({"metadata": {"latitude": latitude, "longitude": longitude}});
        events.push(event(minute * 60, "visit", actor, place));
    }
    // How many of an actor's downloads come in the first hour of each day. Of the second one's only the
    // day in the middle is a spike: at the end of all rows it lies far back.
    for (actor, days) in [
        ("d-0", [4, 4, 30]),
        ("d-1", [4, 30, 4]),
        ("d-2", [12, 12, 12]),
    ] {
        for (day, count) in (0..).zip(days) {
            for n in 0..count {
                events.push(event(day * 86_400 + n * 60, "download", actor, json!({})));
            }
        }
    }
    events.sort_by_key(|(second, _)| *second);
    events.into_iter().map(|(_, event)| event).collect()
}

/// Sends events in the order of their times, over several requests, none of which ends where an hour
/// or a window does.
fn send_in_order(org: &Org, signal: Signal, events: &[Value]) {
    let name = if signal == Signal::Logs {
        "logs"
    } else {
        "events"
    };
    for part in events.chunks(events.len().div_ceil(REQUESTS)) {
        org.store(signal, &json!({ name: part }));
    }
}

#[test]
fn what_goes_by_what_has_come_in_is_the_same_of_what_came_in_order() {
    let org = Org::new("in-order");
    let rules = [measures(), meetings(), behaviour_rules()].concat();
    make(&org, &rules);
    let hour = 3_600 * NS;
    let start = clock::now_ns() / hour * hour - 50 * hour;
    for episode in EPISODES {
        send_in_order(&org, Signal::Logs, &falling(start + episode * NS));
    }
    send_in_order(&org, Signal::Audit, &behaviour(start));
    let over = json!({"start": rfc3339(start - NS), "end": "now", "step": "1h"});
    let raised = compared(&org, &rules, &over);
    for (id, alerts) in &raised {
        assert!(*alerts >= 2, "{id}: {raised:?}");
    }
}

#[test]
fn of_a_silence_history_says_why_it_cannot_tell() {
    let org = Org::new("silent-history");
    let silence = rule(
        "silence",
        "audit",
        json!({"group_by": ["actor.id"],
        "window": {"kind": "silence", "seconds": 300}}),
    );
    let body = json!({ "rule": silence });
    let refused = until("a place for a back-test", || {
        let answer = org.tell_as("analyst", "/api/v1/rules/backtest", &body);
        match answer.status {
            429 => Err(answer.text()),
            _ => Ok(answer.must_be(400).json()),
        }
    });
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.contains("window: is noticed by the clock, which history does not have"),
        "{detail}"
    );
}

#[test]
fn a_rule_that_is_not_saved_sees_what_was_stored_before_it_was_thought_of() {
    let org = Org::new("hindsight");
    let start = clock::now_ns() / NS * NS - 3 * 3600 * NS;
    send(&org, start);
    let rule = rules().remove(1);
    let body = json!({"rule": rule, "over": {"start": rfc3339(start), "end": "now"}});
    let done = until("a place for a back-test", || {
        let answer = org.tell_as("analyst", "/api/v1/rules/backtest", &body);
        match answer.status {
            429 => Err(answer.text()),
            _ => Ok(answer.must_be(200).json()),
        }
    });
    assert_eq!(done["rows_scanned"], 96, "{done}");
    assert_eq!(done["matches"], 72);
    assert!(done["alerts_raised"].as_u64().unwrap() >= 2, "{done}");
    // It raised none.
    assert_eq!(
        org.rows("/api/v1/alerts?rule_id=count"),
        Vec::<Value>::new()
    );
}
