//! Who may ask, and that nobody sees another organisation.

use crate::alerts::trail;
use crate::audit::alert;
use crate::world::*;
use reqwest::{Client, Method};
use serde_json::{Value, json};

#[tokio::test]
async fn without_a_valid_token_every_route_is_a_401() {
    let org = org().await;
    let expired = token(org.id, "admin").await;
    execute("UPDATE api_token SET expires_at = now() - interval '1 s' WHERE org_id = $1 AND hash = sha256($2)", &[&org.id, &expired.as_bytes()]).await;
    let revoked = token(org.id, "admin").await;
    execute(
        "UPDATE api_token SET revoked_at = now() WHERE org_id = $1 AND hash = sha256($2)",
        &[&org.id, &revoked.as_bytes()],
    )
    .await;
    let unknown = format!("mlr_{}", "x".repeat(43));
    for bad in [expired.as_str(), &revoked, &unknown, "", "mlr_x"] {
        assert_eq!(
            get("/whoami", bad, &[]).await.problem(401),
            "unauthorized",
            "{bad}"
        );
    }
    // Who is not known hears nothing of parameters.
    let misspelt = get("/logs/search", &unknown, &[("servise", "x")]).await;
    assert_eq!(misspelt.problem(401), "unauthorized");
    let description: Value = send(Client::new().get(format!("{}/api/openapi.json", shared())))
        .await
        .ok();
    let mut asked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path
            .replace("{id}", "1")
            .replace("{name}", "x")
            .replace("{trace_id}", "x");
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = send(Client::new().request(method, format!("{}{path}", shared()))).await;
            assert_eq!(answer.problem(401), "unauthorized", "{path}");
            asked += 1;
        }
    }
    assert!(asked >= 35, "{asked}");
}

#[tokio::test]
async fn a_token_is_who_its_row_says() {
    let org = org().await;
    let me = get("/whoami", &org.analyst, &[]).await.ok();
    assert_eq!(
        (&me["org_id"], &me["organisation"]),
        (&json!(org.id), &json!(org.name))
    );
    assert_eq!(
        (&me["role"], &me["visiting"]),
        (&json!("analyst"), &json!(false))
    );
    // The organisation takes a permission away, and cannot give one that reaches beyond it.
    execute(
        "INSERT INTO role (org_id, name, permissions) VALUES ($1, 'intern', '{metrics:read,tenants:switch,installation:read}')",
        &[&org.id],
    )
    .await;
    let intern = token(org.id, "intern").await;
    assert_eq!(
        get("/whoami", &intern, &[]).await.ok()["permissions"],
        json!(["metrics:read"])
    );
    get("/metrics/names", &intern, &[]).await.ok();
    assert_eq!(
        get("/logs/search", &intern, &[]).await.problem(403),
        "forbidden"
    );
    let nobody = token(org.id, "unheard_of").await;
    assert_eq!(
        get("/metrics/names", &nobody, &[]).await.problem(403),
        "forbidden"
    );
}

#[tokio::test]
async fn only_a_global_admin_visits_and_the_visited_are_told() {
    let (home, visited) = (org().await, org().await);
    insert("logs", &[row(&visited, 1.0, json!({ "Body": "theirs" }))]).await;
    let search = async |token: &str, tenant: &str| {
        let request = request(
            shared(),
            Method::GET,
            &with("/logs/search", &range()),
            token,
        );
        send(request.header("x-tenant-id", tenant)).await
    };
    let id = visited.id.to_string();
    assert_eq!(search(&home.admin, &id).await.problem(403), "forbidden");
    assert_eq!(
        search(&home.admin, &home.id.to_string()).await.problem(403),
        "forbidden"
    );
    let global = token(home.id, "global_admin").await;
    assert_eq!(
        search(&global, &id).await.ok()["rows"][0]["message"],
        "theirs"
    );
    assert_eq!(
        search(&global, "nonsense").await.problem(400),
        "bad_parameter"
    );
    assert_eq!(
        search(&global, &uuid::Uuid::new_v4().to_string())
            .await
            .problem(404),
        "not_found"
    );
    assert_eq!(
        texts(&Value::Array(trail(&visited).await), "action"),
        ["tenant.visit"]
    );
    assert!(trail(&home).await.is_empty());
}

/// Every reading route, asked by one organisation about another's things, never mentions them.
#[tokio::test]
async fn no_route_shows_another_organisation() {
    let (ours, theirs) = (org().await, org().await);
    let mark = format!("canary{}", uuid::Uuid::new_v4().simple());
    let trace = uuid::Uuid::new_v4().simple().to_string();
    let more = json!({ "ServiceName": mark, "Host": mark, "KeyId": mark, "TraceId": trace });
    let with_more = |extra: Value| {
        let mut all = more.clone();
        all.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        all
    };
    let plain = |extra: Value| {
        let mut all = with_more(extra);
        all.as_object_mut().unwrap().remove("TraceId");
        all
    };
    insert(
        "logs",
        &[row(&theirs, 1.0, with_more(json!({ "Body": mark })))],
    )
    .await;
    insert(
        "spans",
        &[row(
            &theirs,
            1.0,
            with_more(json!({ "SpanName": mark, "SpanId": "a" })),
        )],
    )
    .await;
    insert(
        "rum_events",
        &[row(
            &theirs,
            1.0,
            plain(json!({ "Page": mark, "PageUrl": mark, "SessionId": mark })),
        )],
    )
    .await;
    insert("audit_events", &[row(&theirs, 1.0, plain(json!({ "EventType": mark, "ActorId": mark, "GeoCountry": mark, "Severity": "critical" })))]).await;
    let alert = alert(&theirs, &mark, "open", "critical", 1.0).await;
    execute("INSERT INTO source_health (org_id, signal, key_id, service, last_seen) VALUES ($1, 'logs', $2, $2, now())", &[&theirs.id, &mark]).await;
    execute("INSERT INTO metric_series (org_id, name, labels, service, fingerprint) VALUES ($1, $2, jsonb_build_object($2::text, $2::text), $2, '\\x01')", &[&theirs.id, &mark]).await;
    execute("INSERT INTO rule (org_id, id, version, enabled, body, from_revision) VALUES ($1, $2, 1, true, jsonb_build_object('name', $2::text), 1)", &[&theirs.id, &mark]).await;
    let _shared = SOURCES.read().await;
    let reading = [
        "/whoami".to_owned(),
        "/logs/search".to_owned(),
        "/logs/histogram".to_owned(),
        format!("/metrics/query?name={mark}"),
        "/metrics/names".to_owned(),
        "/metrics/labels".to_owned(),
        format!("/metrics/label/{mark}/values"),
        "/traces/search".to_owned(),
        format!("/traces/{trace}"),
        "/audit/search".to_owned(),
        "/audit/filters".to_owned(),
        "/rum/search".to_owned(),
        "/rum/pages".to_owned(),
        "/soc/overview".to_owned(),
        "/alerts".to_owned(),
        "/alerts/summary".to_owned(),
        format!("/alerts/{alert}"),
        "/rules".to_owned(),
        format!("/rules/{mark}"),
        "/usage".to_owned(),
        "/sources".to_owned(),
        "/ledger/batches".to_owned(),
        "/ledger/balance".to_owned(),
        "/ledger/lost".to_owned(),
        "/dead-letters".to_owned(),
    ];
    let ranged = |path: &str| {
        [
            "search",
            "histogram",
            "filters",
            "pages",
            "overview",
            "query?",
        ]
        .iter()
        .any(|part| path.contains(part))
    };
    for path in &reading {
        let query = match (ranged(path), path.contains('?')) {
            (true, true) => "&start=now-4h",
            (true, false) => "?start=now-4h",
            (false, _) => "",
        };
        let url = format!("/api/v1{path}{query}");
        let ours = send(request(shared(), Method::GET, &url, &ours.admin)).await;
        assert!(
            matches!(ours.status, 200 | 404),
            "{path} {} {}",
            ours.status,
            ours.body
        );
        let shown = ours
            .body
            .to_string()
            .replace(&format!("\"name\":\"{mark}\""), "");
        assert!(
            !shown.contains(&mark) && !shown.contains(&alert.to_string()),
            "{path} {shown}"
        );
        let theirs = send(request(shared(), Method::GET, &url, &theirs.admin)).await;
        assert_eq!(theirs.status, 200, "{path} {}", theirs.body);
        // What they see of it themselves: else the test could not fail.
        let silent = [
            "/whoami",
            "/summary",
            "/usage",
            "/ledger",
            "/dead-letters",
            "/histogram",
            "/query",
        ];
        if !silent.iter().any(|part| path.contains(part)) {
            assert!(
                theirs.body.to_string().contains(&mark),
                "{path} {}",
                theirs.body
            );
        }
    }
    let status = format!("/alerts/{alert}/status");
    assert_eq!(
        post(&status, &ours.admin, &json!({ "status": "acknowledged" }))
            .await
            .problem(404),
        "not_found"
    );
    let deleted = write(
        Method::DELETE,
        &format!("/rules/{mark}"),
        &ours.admin,
        &json!({}),
    )
    .await;
    assert_eq!(deleted.problem(404), "not_found");
}

#[tokio::test]
async fn errors_are_problems_and_documents_are_served() {
    let org = org().await;
    let unknown = send(request(
        shared(),
        Method::GET,
        "/api/v1/nothing",
        &org.viewer,
    ))
    .await;
    assert_eq!(unknown.problem(404), "not_found");
    let method = write(Method::DELETE, "/logs/search", &org.viewer, &json!({})).await;
    assert_eq!(method.problem(405), "method_not_allowed");
    let misspelt = get("/logs/search", &org.viewer, &[("servise", "x")]).await;
    assert_eq!(misspelt.problem(400), "bad_parameter");
    let not_json = request(shared(), Method::POST, "/api/v1/logs/search", &org.viewer).body("{");
    assert_eq!(send(not_json).await.problem(400), "not_json");
    let with_id = request(shared(), Method::GET, "/api/v1/alerts/x", &org.viewer)
        .header("x-request-id", "abc-1");
    let answer = send(with_id).await;
    assert_eq!(
        (
            &answer.body["request_id"],
            answer.headers["x-request-id"].to_str().unwrap()
        ),
        (&json!("abc-1"), "abc-1")
    );
    assert_eq!(answer.problem(404), "not_found");
    let description = send(Client::new().get(format!("{}/api/openapi.json", shared())))
        .await
        .ok();
    assert_eq!(description["openapi"], "3.1.0");
    let docs = send(Client::new().get(format!("{}/docs", shared())))
        .await
        .ok();
    assert!(docs.as_str().unwrap().contains("swagger-ui"), "{docs}");
}
