//! Every route, in every role, asked about another organisation's things: denied, silent about
//! them, and without effect on them.
//!
//! The routes come from the API's own description, so a new one is asked too; one whose parameters
//! or body this test does not know how to fill fails it.

use millrace_shared::Signal;
use millrace_shared::entry::{BODY_FIELD, META_FIELD, Meta};
use millrace_shared::ids::ShardId;
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::secret::random;
use millrace_shared::wire::BodyFormat;
use millrace_tests::wait::block_on;
use millrace_tests::{Answer, Http, Org, shared, stores, until};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Roles of the asking organisation: those of every one, and one that it made.
const ROLES: [&str; 5] = ["viewer", "analyst", "threat_hunter", "admin", "intern"];

/// An organisation with something of everything, all of which says its canary.
struct Filled {
    org: Org,
    canary: String,
    /// What stands for a path parameter, by the beginning of the path.
    ids: BTreeMap<&'static str, String>,
}

impl Filled {
    fn new(name: &str) -> Filled {
        let org = Org::new(name);
        let word = || hex::encode(random::<8>().unwrap());
        let (canary, trace, rule) = (format!("canary{}", word()), word() + &word(), word());
        let made = json!({"id": rule, "name": canary, "severity": "high", "message": "seen {service}",
            "scope": ["logs"], "selection": [{"field": "service", "op": "eq", "value": canary}]});
        let _made = org.tell_as("admin", "/api/v1/rules", &made).must_be(201);
        let steps = json!({"steps": [{"default": {"field": canary, "value": canary}}]});
        let _put = org
            .put_as("admin", "/api/v1/pipelines/logs", &steps)
            .must_be(201);
        let made =
            json!({"value": format!("{canary}.example.com"), "threat": canary, "feed": "shared"});
        let made = org
            .tell_as("admin", "/api/v1/indicators", &made)
            .must_be(201);
        let indicator = made.json()["id"].to_string();
        let list = json!({"type": "string", "list": [canary], "description": canary});
        let _put = org
            .put_as("admin", "/api/v1/allow-lists/shared", &list)
            .must_be(201);
        let policy = json!({"policy": {"plain_keys": [canary]}});
        let _policy = org
            .put_as("admin", "/api/v1/privacy/policy", &policy)
            .must_be(200);
        org.rules_are_loaded();
        let (channel, notification) = told(&org, &canary);
        send_all(&org, &canary, &trace);
        append_poison(&org, &canary);
        let id_of = |path: &str, list: &str, id: &str| first_id(&org, path, (list, id));
        let ids = [
            ("/api/v1/alerts/", id_of("/api/v1/alerts", "rows", "id")),
            (
                "/api/v1/dead-letters/",
                id_of("/api/v1/dead-letters", "dead_letters", "id"),
            ),
            ("/api/v1/channels/", channel),
            ("/api/v1/notifications/", notification),
            (
                "/api/v1/retro-hunts/",
                id_of("/api/v1/retro-hunts", "rows", "id"),
            ),
            ("/api/v1/rules/", rule),
            ("/api/v1/indicators/", indicator),
            ("/api/v1/indicator-feeds/", "shared".to_owned()),
            ("/api/v1/allow-lists/", "shared".to_owned()),
            ("/api/v1/traces/", trace),
            ("/api/v1/pipelines/", "logs".to_owned()),
            ("/api/v1/metrics/label/", "who".to_owned()),
        ];
        let ids = ids.into();
        Filled { org, canary, ids }
    }

    /// A path with its parameter filled in.
    fn path(&self, pattern: &str) -> String {
        let Some((before, rest)) = pattern.split_once('{') else {
            return pattern.to_owned();
        };
        let (_, after) = rest.split_once('}').unwrap();
        let mut known = self.ids.iter().filter(|(start, _)| before == **start);
        let (_, id) = known
            .next()
            .unwrap_or_else(|| panic!("{pattern}: say in Filled::new what fills its parameter"));
        format!("{before}{id}{after}")
    }

    /// What a route is asked with besides its path: a query string and a body.
    fn asked(&self, method: &str, pattern: &str) -> Option<(String, Value)> {
        let query = |text: &str| Some((text.to_owned(), Value::Null));
        let body = |body: Value| Some((String::new(), body));
        let rule = json!({"id": self.ids["/api/v1/rules/"], "name": "n", "severity": "low", "message": "m",
            "scope": ["logs"], "selection": [{"field": "service", "op": "eq", "value": "nothing"}]});
        match (method, pattern) {
            ("GET", "/api/v1/metrics/query") => query("?name=tenant_metric&agg=avg&step=1m&by=who"),
            ("POST", path) if path.ends_with("/search") => body(json!({"start": "now-1h"})),
            ("POST", "/api/v1/alerts/{id}/status") => {
                body(json!({"status": "acknowledged", "note": "mine"}))
            }
            ("POST", "/api/v1/alerts/{id}/assign") => {
                body(json!({"assignee": "me", "note": "mine"}))
            }
            ("POST", "/api/v1/alerts/{id}/notes") => body(json!({"note": "mine"})),
            // One of another id, so that the routes after it still ask about theirs.
            ("POST", "/api/v1/rules") => {
                let id = format!("{}-2", self.ids["/api/v1/rules/"]);
                let mut rule = rule;
                rule["id"] = id.into();
                body(rule)
            }
            ("POST", "/api/v1/rules/import/sigma") => {
                let id = format!("{}-3", self.ids["/api/v1/rules/"]);
                body(
                    json!({"title": "mine", "id": id, "logsource": {"product": "appliance"},
                    "detection": {"selection": {"service": "nothing"}, "condition": "selection"}}),
                )
            }
            ("PUT", "/api/v1/rules/{id}") => body(rule),
            ("POST", "/api/v1/channels") | ("PUT", "/api/v1/channels/{id}") => {
                body(json!({"name": "mine", "kind": "slack", "enabled": false,
                            "address": {"url": "https://hooks.example.net/mine"}}))
            }
            ("PUT", "/api/v1/rules/{id}/enabled") => body(json!({"enabled": false})),
            ("POST", "/api/v1/retro-hunts") => body(json!({"feed": "shared"})),
            ("PUT", "/api/v1/pipelines/{signal}") => body(json!({"steps": []})),
            ("POST", "/api/v1/indicators") => body(json!({"value": "203.0.113.77"})),
            ("POST", "/api/v1/indicators/import") => Some((
                "?feed=mine".to_owned(),
                json!({"objects": [{"type": "indicator", "id": "i",
                    "pattern": "[ipv4-addr:value = '203.0.113.78']"}]}),
            )),
            ("PUT", "/api/v1/indicator-feeds/{name}") => body(json!({"trust": 50})),
            ("PUT", "/api/v1/allow-lists/{name}") => {
                body(json!({"type": "string", "list": ["mine"]}))
            }
            ("POST", "/api/v1/pipelines/test") => {
                body(json!({"signal": "logs", "events": [{"message": "m"}]}))
            }
            ("POST", "/api/v1/rules/backtest") => {
                body(json!({"rule": rule, "over": {"start": "now-1h"}}))
            }
            ("POST", "/api/v1/rules/{id}/backtest") => body(json!({"start": "now-1h"})),
            (method, path) if path.starts_with("/api/v1/privacy/") => {
                of_privacy(method, path).and_then(body)
            }
            ("POST", "/api/v1/rules/test") => {
                body(json!({"rule_id": self.ids["/api/v1/rules/"], "events": []}))
            }
            _ => None,
        }
    }
}

/// What the first thing of a list is called, once there is one.
fn first_id(org: &Org, path: &str, (list, id): (&str, &str)) -> String {
    until(path, || {
        let answer = org.ask_as("admin", path).must_be(200).json();
        match &answer[list][0][id] {
            Value::Null => Err(answer),
            Value::String(text) => Ok(text.clone()),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Ok(other.to_string())
            }
        }
    })
}

/// A channel that is switched off, so that no worker touches it, and a notification that was given up;
/// their ids.
fn told(org: &Org, canary: &str) -> (String, String) {
    let body = json!({"name": canary, "kind": "slack", "enabled": false,
                      "address": {"url": "https://hooks.example.net/x"}});
    let made = org.tell_as("admin", "/api/v1/channels", &body).must_be(201);
    let channel = made.json()["id"].as_str().unwrap().to_owned();
    let id: uuid::Uuid = channel.parse().unwrap();
    let sql = "INSERT INTO outbox (org_id, channel_id, event, idempotency_key, payload, state, last_error, \
                                   finished_at) \
               VALUES ($1, $2, 'test', $3, '{}', 'dead', $3, now()) RETURNING id";
    let postgres = shared().installation.postgres();
    let row = block_on(postgres.query_one(sql, &[&org.id, &id, &canary])).unwrap();
    (channel, row.get::<_, i64>(0).to_string())
}

/// The bodies of the routes of personal data.
fn of_privacy(method: &str, path: &str) -> Option<Value> {
    Some(match (method, path) {
        ("PUT", "/api/v1/privacy/policy") => json!({"policy": {}}),
        ("POST", "/api/v1/privacy/policy/test") => {
            json!({"signal": "logs", "events": [{"message": "m"}]})
        }
        ("POST", "/api/v1/privacy/peppers") => json!({"reason": "mine"}),
        ("POST", "/api/v1/privacy/hash") => json!({"class": "email", "value": "mine@example.com"}),
        _ => return None,
    })
}

/// One event of every signal.
fn send_all(org: &Org, canary: &str, trace: &str) {
    let now = millrace_runtime::clock::now_ns();
    let logs = json!({"logs": [{"service": canary, "message": canary, "host": canary}]});
    let rest = [
        (
            Signal::Metrics,
            json!({"metrics": [{"name": "tenant_metric", "value": 1, "service": canary,
                                              "labels": {"who": canary}}]}),
        ),
        (
            Signal::Traces,
            json!({"traces": [{"trace_id": trace, "span_id": "b7ad6b7169203331", "name": canary,
                                            "service": canary, "start_time": now - 1000, "end_time": now}],
                                "resource": {"service_name": canary}}),
        ),
        (
            Signal::Rum,
            json!({"events": [{"session_id": canary, "event_type": "pageview",
                                         "page_url": format!("https://{canary}.example/{canary}")}]}),
        ),
        (
            Signal::Audit,
            json!({"events": [{"event_type": "AUTHENTICATION", "action": canary, "outcome": "BLOCKED",
                                           "severity": "critical", "actor": {"id": canary}}]}),
        ),
    ];
    for (signal, body) in &rest {
        org.store(*signal, body);
    }
    org.store(Signal::Logs, &logs);
}

/// An entry that is parked: a body that says the canary and is no JSON.
fn append_poison(org: &Org, canary: &str) {
    let shard = ShardId {
        signal: Signal::Logs,
        shard: 1,
    };
    let now = millrace_runtime::clock::now_ns();
    let how = (BodyFormat::Json, Encoding::Lz4);
    let mut meta = Meta::new(org.id, &org.key_id, now, how);
    meta.accepted = 1;
    let mut command = redis::cmd("XADD");
    command.arg(shard.stream()).arg("*");
    command.arg(META_FIELD).arg(meta.to_text());
    command
        .arg(BODY_FIELD)
        .arg(pack(format!("{{\"logs\": [\"{canary}").as_bytes()));
    let mut redis = shared().installation.redis();
    let _id: String = block_on(command.query_async(&mut redis)).unwrap();
}

/// An operation of the description.
struct Route {
    method: String,
    pattern: String,
    permission: String,
}

/// All of them, from the API that runs. Fails for one that this test cannot ask.
fn routes(theirs: &Filled) -> Vec<Route> {
    let url = format!("{}/api/openapi.json", theirs.org.query_url);
    let description = Http::new().get(&url, &[]).unwrap().must_be(200).json();
    let mut routes = Vec::new();
    for (pattern, methods) in description["paths"].as_object().unwrap() {
        let operations = methods.as_object().unwrap().iter();
        for (method, operation) in operations.filter(|(name, _)| *name != "parameters") {
            let method = method.to_uppercase();
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let must = |one: &Value| one["in"] == "query" && one["required"] == true;
            let needs = parameters.iter().any(must) || operation.get("requestBody").is_some();
            assert!(
                !needs || theirs.asked(&method, pattern).is_some(),
                "{method} {pattern}: say in Filled::asked what it is asked with"
            );
            let permission = operation["x-permission"].as_str();
            let permission = permission
                .unwrap_or_else(|| panic!("{method} {pattern} names no permission"))
                .to_owned();
            let pattern = pattern.clone();
            routes.push(Route {
                method,
                pattern,
                permission,
            });
        }
    }
    assert!(routes.len() >= 48, "{}", routes.len());
    routes
}

/// Asks a route about the things of an organisation; `more` is added to its query string.
fn ask(route: &Route, about: &Filled, headers: &[(&str, &str)], more: &str) -> Answer {
    let (query, body) = about
        .asked(&route.method, &route.pattern)
        .unwrap_or_default();
    let query = match (query.is_empty(), more.is_empty()) {
        (_, true) => query,
        (true, false) => format!("?{more}"),
        (false, false) => format!("{query}&{more}"),
    };
    let url = format!(
        "{}{}{query}",
        about.org.query_url,
        about.path(&route.pattern)
    );
    let bytes = match body {
        Value::Null => Vec::new(),
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => body.to_string().into_bytes(),
    };
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    let send = || {
        let method: Method = route.method.parse().unwrap();
        client().send(method, &url, &all, bytes.clone()).unwrap()
    };
    until("a place for a back-test", || match send() {
        // Tests beside this one take the process's places.
        full if full.status == 429 && route.pattern.ends_with("/backtest") => Err(full.text()),
        answer => Ok(answer),
    })
}

/// One client for the thousand requests: making one takes longer than asking.
fn client() -> &'static Http {
    static CLIENT: OnceLock<Http> = OnceLock::new();
    CLIENT.get_or_init(Http::new)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Waits until nothing that the organisation did or sent is under way any more.
fn at_rest(org: &Org) {
    until("books of which nothing is pending", || {
        let books = org.ask("/api/v1/ledger/balance").must_be(200).json();
        let mut signals = books["signals"].as_array().unwrap().iter();
        // What is dead-lettered here was never received.
        let count = |signal: &Value, side: &str| signal[side].as_i64().unwrap();
        let done = |signal: &Value| count(signal, "stored") + count(signal, "rejected");
        match signals.all(|signal| done(signal) == count(signal, "received")) {
            true => Ok(()),
            false => Err(books),
        }
    });
}

/// Every row of the control tables that is of the organisation, and its telemetry, as digests.
fn snapshot(org: &Org) -> BTreeMap<String, String> {
    let postgres = shared().installation.postgres();
    let sql = "SELECT table_name::text FROM information_schema.columns \
                WHERE table_schema = 'public' AND column_name = 'org_id' ORDER BY 1";
    let mut tables = BTreeMap::new();
    for row in block_on(postgres.query(sql, &[])).unwrap() {
        let table: String = row.get(0);
        if ["retro_hunt", "rule_window"].contains(&table.as_str()) {
            // Workers go on with hunts all the while, and forget of windows what is over; what nobody else
            // may do is cancel a hunt.
            continue;
        }
        let sql = format!(
            "SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) \
               FROM {table} AS t WHERE org_id = $1"
        );
        let digest = block_on(postgres.query_one(&sql, &[&org.id]))
            .unwrap()
            .get(0);
        tables.insert(table, digest);
    }
    assert!(tables.len() >= 12, "{tables:?}");
    let sql = "SELECT count(*) FROM retro_hunt WHERE org_id = $1 AND state = 'cancelled'";
    let cancelled: i64 = block_on(postgres.query_one(sql, &[&org.id]))
        .unwrap()
        .get(0);
    tables.insert("retro_hunt".to_owned(), cancelled.to_string());
    for table in stores::TABLES {
        let sql = format!(
            "SELECT count() FROM millrace.{table} WHERE OrgId = '{}'",
            org.id
        );
        let rows = stores::number(&shared().installation, &sql);
        tables.insert(format!("millrace.{table}"), rows.to_string());
    }
    tables
}

/// Tokens that are no tokens any more, and none.
fn bad_tokens(ours: &Filled) -> Vec<(&'static str, String)> {
    let installation = &shared().installation;
    let postgres = installation.postgres();
    let create = |org: &str| {
        let made = installation.admin(&["tokens", "create", "--org", org, "--role", "admin"]);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("id").parse::<uuid::Uuid>().unwrap(), text("token"))
    };
    let change = |id: uuid::Uuid, sql: &str| block_on(postgres.execute(sql, &[&id])).unwrap();
    let ([expired, revoked, disabled], gone) = (
        [(); 3].map(|()| create(&ours.org.name)),
        Org::new("strangers-gone"),
    );
    change(
        expired.0,
        "UPDATE api_token SET expires_at = now() - interval '1 s' WHERE id = $1",
    );
    installation.admin(&["tokens", "revoke", &revoked.0.to_string()]);
    change(
        disabled.0,
        "WITH u AS (INSERT INTO app_user (id, org_id, email, role, disabled_at) \
                    SELECT gen_random_uuid(), org_id, 'gone@x.example', 'admin', now() FROM api_token WHERE id = $1 \
                    RETURNING id) \
         UPDATE api_token SET user_id = u.id FROM u WHERE api_token.id = $1",
    );
    let deleted = create(&gone.name);
    change(gone.id, "DELETE FROM organisation WHERE id = $1");
    vec![
        ("no token", String::new()),
        ("made up", format!("mlr_{}", "A".repeat(43))),
        ("expired", expired.1),
        ("revoked", revoked.1),
        ("of a disabled user", disabled.1),
        ("of a deleted organisation", deleted.1),
    ]
}

/// What each role may do, as the API says it of a token of that role.
fn permissions(ours: &Filled) -> BTreeMap<&'static str, Vec<String>> {
    let sql = "INSERT INTO role (org_id, name, permissions) VALUES ($1, 'intern', \
                      '{metrics:read,dead_letters:read,tenants:switch}')";
    let postgres = shared().installation.postgres();
    block_on(postgres.execute(sql, &[&ours.org.id])).unwrap();
    let of_role = |role| {
        let me = ours.org.ask_as(role, "/api/v1/whoami").must_be(200).json();
        let list = me["permissions"].as_array().unwrap();
        (
            role,
            list.iter()
                .map(|word| word.as_str().unwrap().to_owned())
                .collect(),
        )
    };
    ROLES.into_iter().map(of_role).collect()
}

/// The answer to a role that may ask the route, about things that are not its own.
fn foreign(route: &Route, answer: &Answer, place: &str) {
    // A label, a pipeline, a feed and an allow-list are asked for by a name that everybody's has.
    let by_name = [
        "/label/",
        "/pipelines/",
        "/indicator-feeds/",
        "/allow-lists/",
    ];
    let by_name = by_name.iter().any(|part| route.pattern.contains(part));
    let names_a_thing = route.pattern.contains('{') && !by_name;
    // A hunt is begun for a feed, by its name.
    let named =
        (by_name && !route.pattern.contains("/label/")) || route.pattern == "/api/v1/retro-hunts";
    // One's own, which is made and removed on the way.
    if named && answer.status == 404 {
        return;
    }
    let changes = route.method != "GET" && !route.pattern.ends_with("/search");
    match (
        names_a_thing || route.pattern.ends_with("/rules/test"),
        changes,
    ) {
        (true, _) => assert_eq!(answer.status, 404, "{place}: {}", answer.text()),
        // One's own rule is made, once.
        (false, true) => assert!(
            matches!(answer.status, 200 | 201 | 202 | 204 | 409),
            "{place}: {}",
            answer.text()
        ),
        (false, false) => assert_eq!(answer.status, 200, "{place}: {}", answer.text()),
    }
}

#[test]
fn every_route_denies_every_role_what_is_anothers() {
    let (ours, theirs) = (Filled::new("strangers"), Filled::new("strangers-asked"));
    let (routes, may) = (routes(&theirs), permissions(&ours));
    at_rest(&theirs.org);
    let before = snapshot(&theirs.org);
    let id = theirs.org.id.to_string();
    let mut asked = 0;
    let mut check = |answer: &Answer, place: &str| {
        asked += 1;
        assert!(answer.status < 500, "{place}: {}", answer.text());
        assert!(
            !answer.text().contains(&theirs.canary),
            "{place}: {}",
            answer.text()
        );
    };
    for route in &routes {
        for role in ROLES {
            let place = format!("{} {} as {role}", route.method, route.pattern);
            let token = bearer(&ours.org.token(role));
            let allowed = route.permission == "any-token" || may[role].contains(&route.permission);
            let answer = ask(route, &theirs, &[("authorization", &token)], "");
            check(&answer, &place);
            match allowed {
                true => foreign(route, &answer, &place),
                false => assert_eq!(answer.status, 403, "{place}: {}", answer.text()),
            }
            let headers = [("authorization", token.as_str()), ("x-tenant-id", &id)];
            let answer = ask(route, &theirs, &headers, "");
            check(&answer, &place);
            assert_eq!(answer.status, 403, "{place} visiting: {}", answer.text());
            for more in [
                format!("org={id}"),
                format!("org_id={id}&tenant={id}"),
                "raw=true".to_owned(),
            ] {
                check(
                    &ask(route, &theirs, &[("authorization", &token)], &more),
                    &place,
                );
            }
        }
        for (what, token) in bad_tokens_once(&ours) {
            let place = format!("{} {} with a token {what}", route.method, route.pattern);
            let answer = ask(route, &theirs, &[("authorization", &bearer(token))], "");
            check(&answer, &place);
            assert_eq!(answer.status, 401, "{place}: {}", answer.text());
        }
    }
    // An id is one's own: with theirs, another rule is made.
    let id = &theirs.ids["/api/v1/rules/"];
    let same = json!({"id": id, "severity": "low", "selection": {"field": "f", "op": "exists"}});
    let _made = ours
        .org
        .tell_as("admin", "/api/v1/rules", &same)
        .must_be(201);
    let after = snapshot(&theirs.org);
    assert_eq!(before, after, "something of theirs was changed");
    assert!(asked >= routes.len() * 31, "{asked}");
    they_see_their_own(&routes, &theirs);
}

fn bad_tokens_once(ours: &Filled) -> &'static [(&'static str, String)] {
    static TOKENS: OnceLock<Vec<(&str, String)>> = OnceLock::new();
    TOKENS.get_or_init(|| bad_tokens(ours))
}

/// The other half, without which the test could not fail: asked by their owner, the same routes
/// answer, and say the canary.
fn they_see_their_own(routes: &[Route], theirs: &Filled) {
    let token = bearer(&theirs.org.token("admin"));
    let mut said = Vec::new();
    for route in routes.iter().filter(|route| route.method == "GET") {
        let answer = ask(route, theirs, &[("authorization", &token)], "");
        assert_eq!(answer.status, 200, "{}: {}", route.pattern, answer.text());
        if answer.text().contains(&theirs.canary) {
            said.push(route.pattern.as_str());
        }
    }
    assert!(said.len() >= 15, "{said:?}");
    let letter = theirs.path("/api/v1/dead-letters/{id}");
    let raw = theirs
        .org
        .ask_as("admin", &format!("{letter}?raw=true"))
        .must_be(200);
    assert!(raw.text().contains(&theirs.canary), "{}", raw.text());
    let hidden = theirs.org.ask_as("admin", &letter).must_be(200);
    assert!(!hidden.text().contains(&theirs.canary), "{}", hidden.text());
    let _denied = theirs
        .org
        .ask_as("analyst", &format!("{letter}?raw=true"))
        .must_be(403);
}

#[test]
fn a_foreign_batch_is_answered_as_an_unknown_one() {
    let (ours, theirs) = (Org::new("batches"), Org::new("batches-asked"));
    let sent = theirs.send_logs(&["theirs"]);
    let id = sent["batch_id"].as_str().unwrap();
    theirs.committed(&sent);
    let own = ours.send_logs(&["ours"]);
    let own = own["batch_id"].as_str().unwrap();
    // Of the same form, and of nobody: one character of the seal is another.
    let (begin, end) = own.split_at(own.len() - 1);
    let unknown = format!("{begin}{}", if end == "A" { "B" } else { "A" });
    let plain = |answer: Answer| {
        let mut body: Map<String, Value> = answer.json().as_object().unwrap().clone();
        body.remove("request_id");
        (answer.status, body)
    };
    for query in ["", "?wait=committed&timeout=1s"] {
        let foreign = plain(ours.batch(id, query));
        assert_eq!(foreign, plain(ours.batch(&unknown, query)));
        assert_eq!(foreign.0, 404, "{foreign:?}");
        let _theirs = theirs.batch(id, query).must_be(200);
    }
}
