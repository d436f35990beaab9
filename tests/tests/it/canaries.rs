//! Canaries in every field of every signal, in headers, addresses, refused requests and poison: they
//! turn up in no log, no metric, no answer and no store, and in no stream once it is trimmed.

use millrace_shared::Signal;
use millrace_shared::entry::{BODY_FIELD, META_FIELD, Meta};
use millrace_shared::ids::ShardId;
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::signature::sign_body;
use millrace_shared::wire::BodyFormat;
use millrace_tests::canary::Canaries;
use millrace_tests::wait::block_on;
use millrace_tests::{Answer, Http, Org, shared, until};
use serde_json::{Value, json};

/// A body of a signal with canaries wherever its contract takes text.
fn body(signal: Signal, c: &Canaries) -> Value {
    let (s, now) = (c.sentence(), millrace_runtime::clock::now_s());
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let many = json!({"note": s, "nested": {"deep": {"list": [s, {"k": s}], "mail": c.email}}, (c.email.clone()): "a key",
        "password": c.password, "token": c.token, "card": c.card.replace(' ', "").parse::<u64>().unwrap(), "json": json!({"a": s}).to_string()});
    let url = format!(
        "https://shop.example/u/{}?mail={}&password={}&token={}",
        c.email,
        c.email.replace('@', "%40"),
        c.password,
        c.token
    );
    let short = format!("{} {}", c.email, c.ssn);
    let resource = json!({"service_name": short, "host": c.email, "environment": c.email, "owner": s, "more": many});
    match signal {
        Signal::Logs => {
            json!({"logs": [{"service": short, "message": s, "attributes": many, "trace_id": c.email, "span_id": c.email,
            "host": c.email, "environment": c.email, "unknown": s}], "resource": resource})
        }
        Signal::Metrics => {
            json!({"metrics": [{"name": "canaries", "value": 1, "unit": c.email, "service": short, "host": c.email,
            "environment": c.email, "labels": {"a": s, (c.email.clone()): "k", "password": c.password}}], "resource": resource})
        }
        Signal::Traces => {
            json!({"traces": [{"trace_id": trace, "span_id": span, "name": s.chars().take(199).collect::<String>(),
            "start_time": now, "end_time": now, "attributes": many, "service": short, "host": c.email,
            "events": [{"name": s, "timestamp": now, "attributes": many}], "links": [{"trace_id": trace, "span_id": span, "attributes": many}]}],
            "resource": resource})
        }
        Signal::Rum => {
            json!({"events": [{"session_id": c.email, "user_id": c.email, "event_type": "error", "page_url": url, "referrer": url,
            "user_agent": s, "error": {"message": s, "stack": s, "type": c.email, "more": s}, "custom_attributes": many, "service": short,
            "environment": c.email}]})
        }
        Signal::Audit => {
            json!({"events": [{"event_type": "AUTHENTICATION", "action": short, "outcome": "FAILURE", "service": short,
            "operation": c.email, "actor": {"id": c.email, "email": c.email, "name": c.email, "type": c.email, "of_actor": s},
            "targets": [{"id": c.email, "type": c.email, "name": short, "of_target": s}], "ip": c.email, "user_agent": s, "country": c.email,
            "session_id": c.email, "request_id": c.email, "message": s, "metadata": many}], "resource": resource})
        }
    }
}

/// Sends all signals, in every packing, and waits until they are committed.
fn send_everything(org: &Org, c: &Canaries) -> Vec<Answer> {
    let mut answers = Vec::new();
    for signal in Signal::ALL {
        let body = body(signal, c).to_string();
        let headers = [
            ("user-agent", c.email.as_str()),
            ("referer", &c.email),
            ("cookie", &c.token),
            ("authorization", &c.token),
            ("x-forwarded-for", &c.email),
            ("x-request-id", &c.email),
            ("traceparent", &c.token),
        ];
        let answer = org
            .post_bytes(signal, body.as_bytes(), &headers)
            .must_be(202);
        org.committed(&answer.json());
        answers.push(answer);
    }
    // In an array, behind escapes, where only a reader of JSON sees them.
    let escaped = format!(
        r#"{{"logs":[{{"service":"escaped","message":"m","attributes":{{"a":[{0},{{"k":{0}}}],"b":["x\n{1}","\t{2}\""]}}}}]}}"#,
        c.escaped(),
        c.ssn,
        c.card
    );
    let answer = org
        .post_bytes(Signal::Logs, escaped.as_bytes(), &[])
        .must_be(202);
    org.committed(&answer.json());
    answers.push(answer);
    answers
}

/// Requests that are refused, each with canaries in it.
fn send_what_is_refused(org: &Org, c: &Canaries) -> Vec<Answer> {
    let s = c.sentence();
    let quoted = json!(s).to_string();
    let mut answers = Vec::new();
    for body in [
        s.clone(),
        format!("{{{quoted}:1}}"),
        format!("{{\"logs\":{quoted}}}"),
        format!("{{\"logs\":[{quoted}]}}"),
        format!("{{\"logs\":[{{\"service\":{quoted},\"message\":7}}]}}"),
        format!("{{\"logs\":[{{\"service\":\"s\",\"level\":{quoted},\"message\":\"m\"}}]}}"),
        format!("{{\"logs\":[{{\"service\":\"s\",\"timestamp\":{quoted},\"message\":\"m\"}}]}}"),
        format!("{{\"logs\":[{{{quoted}:1,{quoted}:2,\"service\":\"s\",\"message\":\"m\"}}]}}"),
        format!("{{\"logs\":[{{\"service\":\"s\",\"message\":\"m\"}}],\"resource\":{quoted}}}"),
        format!("{{\"logs\":[{{\"service\":\"s\",\"message\":{quoted}"),
    ] {
        answers.push(org.post_bytes(Signal::Logs, body.as_bytes(), &[]));
        let lines = [("content-type", "application/x-ndjson")];
        answers.push(org.post_bytes(Signal::Logs, body.as_bytes(), &lines));
    }
    for header in [
        "x-org-key",
        "x-signature",
        "content-type",
        "content-encoding",
        "x-tenant-id",
        "x-idempotency-key",
        "webhook-id",
    ] {
        for value in [c.email.as_str(), &s, &c.secrets[0]] {
            answers.push(org.post_bytes(Signal::Logs, b"{}", &[(header, value)]));
        }
    }
    let signature = sign_body(&org.secret, b"");
    let headers = [
        ("x-org-key", org.key_id.as_str()),
        ("x-signature", &signature),
    ];
    for target in [
        format!("/v1/batches/{}", c.email),
        format!("/v1/batches/x?wait={}", c.email),
        format!("/v1/logs?validate={}", c.token),
        format!("/v1/rum?key={}", c.token),
        format!("/{}", c.email),
    ] {
        let url = format!("{}{target}", org.gateway_url);
        answers.push(Http::new().get(&url, &headers).unwrap());
        answers.push(Http::new().post(&url, &headers, b"").unwrap());
    }
    assert!(
        answers
            .iter()
            .all(|answer| (400..500).contains(&answer.status))
    );
    answers
}

/// Entries that nobody can decode, as a broken gateway would have left them.
fn send_poison(org: &Org, c: &Canaries) {
    let shard = ShardId {
        signal: Signal::Logs,
        shard: 2,
    };
    let mut meta = Meta::new(
        org.id,
        &org.key_id,
        millrace_runtime::clock::now_ns(),
        (BodyFormat::Json, Encoding::Lz4),
    );
    meta.accepted = 1;
    let meta = meta.to_text();
    let broken = format!("{{\"logs\":[{{\"message\":{} ", json!(c.sentence()));
    let mut redis = shared().installation.redis();
    for (meta, body) in [
        (meta.as_bytes(), pack(broken.as_bytes())),
        (meta.as_bytes(), c.sentence().into_bytes()),
        (c.sentence().as_bytes(), Vec::new()),
    ] {
        let mut command = redis::cmd("XADD");
        command
            .arg(shard.stream())
            .arg("*")
            .arg(META_FIELD)
            .arg(meta)
            .arg(BODY_FIELD)
            .arg(body);
        let _id: String = block_on(command.query_async(&mut redis)).unwrap();
    }
    until("the poison is parked", || {
        let sql = "SELECT count(*) FROM dead_letter WHERE org_id = $1";
        let row = block_on(shared().installation.postgres().query_one(sql, &[&org.id])).unwrap();
        match row.get::<_, i64>(0) {
            2 => Ok(()),
            other => Err(other),
        }
    });
}

/// Questions with canaries in them, by one who may ask and by one who may not.
fn ask(org: &Org, c: &Canaries) -> Vec<Answer> {
    let mut answers = Vec::new();
    let encoded: String = c
        .sentence()
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    for path in [
        format!("/api/v1/logs/search?cursor={encoded}"),
        format!("/api/v1/logs/search?start={encoded}"),
        format!("/api/v1/logs/search?limit={encoded}"),
        format!("/api/v1/traces/{encoded}"),
        format!("/api/v1/alerts/{encoded}"),
        format!("/api/v1/dead-letters/{encoded}"),
        format!("/api/v1/{encoded}"),
    ] {
        answers.push(org.ask_as("admin", &path));
        let url = format!("{}{path}", org.query_url);
        answers.push(
            Http::new()
                .get(&url, &[("authorization", &format!("Bearer {}", c.token))])
                .unwrap(),
        );
    }
    let body = json!({"id": c.email, "name": 7});
    answers.push(org.tell_as("admin", "/api/v1/rules", &body));
    answers
}

#[test]
fn canaries_turn_up_nowhere() {
    let org = Org::new("canaries");
    let installation = &shared().installation;
    let master = installation
        .settings()
        .iter()
        .find(|(name, _)| *name == "MILLRACE_MASTER_KEY");
    let secret = org.secret.reveal().to_owned();
    let secrets = vec![
        secret.clone(),
        secret.trim_start_matches("whsec_").to_owned(),
        master.unwrap().1.clone(),
        org.token("admin"),
    ];
    let c = Canaries::new(secrets);

    let mut answers = send_everything(&org, &c);
    answers.extend(send_what_is_refused(&org, &c));
    send_poison(&org, &c);
    answers.extend(ask(&org, &c));

    for answer in &answers {
        let headers: String = answer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect();
        c.absent("an answer", &format!("{headers}{}", answer.text()));
    }
    c.absent_from_clickhouse(installation);
    c.absent_from_postgres(installation);
    c.gone_from_redis(installation);
    c.absent_from_telemetry(&[&shared().gateway, &shared().worker, &shared().query]);
    // What was stored is there all the same, without them.
    let rows = org.search_logs("service=escaped");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].to_string().contains("[EMAIL]"), "{rows:?}");
}
