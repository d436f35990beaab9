//! A store that is down gives a clear, retryable answer and never an empty success; what was
//! acknowledged is stored when it comes back.

use millrace_devstack::Engine;
use millrace_shared::Signal;
use millrace_tests::engines::Engines;
use millrace_tests::installation::{Part, free_address};
use millrace_tests::{Answer, Http, Installation, Org, shared, until};

fn is_a_clear_refusal(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(
        answer
            .header("content-type")
            .map(|kind| kind.starts_with("application/problem+json")),
        Some(true)
    );
    let problem = answer.json();
    assert!(
        !problem["detail"].as_str().unwrap_or_default().is_empty(),
        "{problem}"
    );
    assert_eq!(problem["retryable"], true, "{problem}");
}

#[test]
fn a_query_without_clickhouse_is_a_503_with_a_reason() {
    let org = Org::new("no-clickhouse");
    org.committed(&org.send_logs(&["here"]));
    let nowhere = format!("http://{}/?database=millrace", free_address());
    let mut query = shared()
        .installation
        .launch(Part::Query, &[("MILLRACE_CLICKHOUSE_URL", nowhere)]);
    query.must_be_up();
    let token = format!("Bearer {}", org.token("analyst"));
    let ask = |path: &str| {
        Http::new()
            .get(
                &format!("{}{path}", query.url),
                &[("authorization", &token)],
            )
            .unwrap()
    };
    for path in [
        "/api/v1/logs/search",
        "/api/v1/traces/search",
        "/api/v1/audit/search",
        "/api/v1/rum/search",
        "/api/v1/soc/overview",
    ] {
        is_a_clear_refusal(&ask(path));
    }
    // What needs PostgreSQL alone goes on.
    let _alerts = ask("/api/v1/alerts").must_be(200);
    let ready = Http::new()
        .get(&format!("{}/readyz", query.admin_url), &[])
        .unwrap();
    assert_eq!(ready.status, 503, "{}", ready.text());
}

#[test]
fn a_query_without_postgresql_is_a_503_with_a_reason() {
    let org = Org::new("no-postgres");
    let nowhere = format!("postgres://millrace:x@{}/millrace", free_address());
    let mut query = shared()
        .installation
        .launch(Part::Query, &[("MILLRACE_POSTGRES_URL", nowhere)]);
    query.must_be_up();
    let token = format!("Bearer {}", org.token("analyst"));
    let answer = Http::new()
        .get(
            &format!("{}/api/v1/alerts", query.url),
            &[("authorization", &token)],
        )
        .unwrap();
    is_a_clear_refusal(&answer);
}

#[test]
fn the_engines_go_one_by_one_and_come_back_and_nothing_is_lost() {
    let installation = Installation::on(Engines::own("outages"), "outages");
    let gateway = installation.start(Part::Gateway);
    let _worker = installation.start(Part::Worker);
    let query = installation.start(Part::Query);
    let org = Org::of(&installation, "outages", (&gateway.url, &query.url));
    let token = installation.admin(&["tokens", "create", "--org", &org.name, "--role", "analyst"]);
    org.use_token("analyst", token["token"].as_str().unwrap());
    org.committed(&org.send_logs(&["all is well"]));
    redis_is_down(&installation, &org);
    clickhouse_is_down(&installation, &org);
    postgres_is_down(&installation, &org);
    let mut messages = until("all are stored", || {
        let answer = org.ask("/api/v1/logs/search?limit=100");
        if answer.status != 200 {
            return Err(answer.text());
        }
        let messages = org.messages("service=test");
        if messages.len() >= 4 {
            Ok(messages)
        } else {
            Err(format!("{messages:?}"))
        }
    });
    messages.sort();
    assert_eq!(
        messages,
        [
            "all is well",
            "while clickhouse was away",
            "while postgres was away",
            "while redis was away"
        ]
    );
}

/// Nothing can be accepted; the retry under the same key is taken once.
fn redis_is_down(installation: &Installation, org: &Org) {
    let stack = installation.engines.stack();
    stack.kill(Engine::Redis).unwrap();
    let body = br#"{"logs":[{"service":"test","message":"while redis was away"}]}"#;
    let post = || org.post_bytes(Signal::Logs, body, &[("x-idempotency-key", "redis-outage")]);
    let refused = post();
    is_a_clear_refusal(&refused);
    assert!(
        refused
            .header("retry-after")
            .is_some_and(|after| after.parse::<u32>().is_ok()),
        "{:?}",
        refused.headers
    );
    stack.resume(Engine::Redis).unwrap();
    let accepted = until("the retry is accepted", || {
        let answer = post();
        if answer.status == 202 {
            Ok(answer.json())
        } else {
            Err(answer.text())
        }
    });
    org.committed(&accepted);
}

/// Accepting goes on, asking says why not, and the backlog is stored afterwards.
fn clickhouse_is_down(installation: &Installation, org: &Org) {
    let stack = installation.engines.stack();
    stack.kill(Engine::Clickhouse).unwrap();
    let accepted = org.send_logs(&["while clickhouse was away"]);
    is_a_clear_refusal(&org.ask("/api/v1/logs/search"));
    stack.resume(Engine::Clickhouse).unwrap();
    org.committed(&accepted);
}

/// Known keys go on; nothing is committed until the ledger is back.
fn postgres_is_down(installation: &Installation, org: &Org) {
    let stack = installation.engines.stack();
    stack.kill(Engine::Postgres).unwrap();
    let body = br#"{"logs":[{"service":"test","message":"while postgres was away"}]}"#;
    let post = || {
        org.post_bytes(
            Signal::Logs,
            body,
            &[("x-idempotency-key", "postgres-outage")],
        )
    };
    let answer = post();
    assert!([202, 503].contains(&answer.status), "{}", answer.text());
    stack.resume(Engine::Postgres).unwrap();
    let accepted = until("it is accepted", || {
        let answer = post();
        if answer.status == 202 {
            Ok(answer.json())
        } else {
            Err(answer.text())
        }
    });
    org.committed(&accepted);
}
