//! Metrics: aggregations, rates with resets, tiers, the catalog.

use crate::world::*;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// A series; its number.
pub(crate) async fn series(org: &Org, name: &str, service: &str, labels: Value) -> i64 {
    let fingerprint = Uuid::new_v4();
    let fingerprint = fingerprint.as_bytes().as_slice();
    let params: [&(dyn ToSql + Sync); 5] = [&org.id, &name, &labels, &service, &fingerprint];
    let sql = "INSERT INTO metric_series (org_id, name, labels, service, type, unit, fingerprint)
               VALUES ($1, $2, $3, $4, 'counter', 'requests', $5) RETURNING id";
    postgres()
        .await
        .query_one(sql, &params)
        .await
        .unwrap()
        .get(0)
}

/// Samples at seconds after the base.
pub(crate) async fn samples(series: i64, list: &[(f64, f64)]) {
    let client = postgres().await;
    for (seconds, value) in list {
        let time =
            time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns(*seconds))).unwrap();
        let params: [&(dyn ToSql + Sync); 3] = [&time, &series, value];
        let sql =
            "INSERT INTO metric_samples (time, series_id, value, batch_id) VALUES ($1, $2, $3, 0)";
        client.execute(sql, &params).await.unwrap();
    }
}

async fn query(org: &Org, query: &[(&str, &str)]) -> Value {
    let (start, end) = (at(0.0), at(600.0));
    let query = [&[("start", start.as_str()), ("end", end.as_str())], query].concat();
    get("/metrics/query", &org.viewer, &query).await.ok()
}

/// Points as (seconds after the base, value).
fn points(line: &Value) -> Vec<(i64, f64)> {
    let base = base_ns() / 1_000_000_000;
    let point = |p: &Value| (p[0].as_i64().unwrap() - base, p[1].as_f64().unwrap());
    line["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(point)
        .collect()
}

#[tokio::test]
async fn a_rate_counts_resets_from_zero_and_loses_nothing_between_steps() {
    let org = org().await;
    let id = series(&org, "hits", "api", json!({ "code": "200" })).await;
    // 100 → 130 → 160 | 190 → restart at 10 → 40 | 100; before the range: 70.
    let list = [
        (-20.0, 70.0),
        (10.0, 100.0),
        (30.0, 130.0),
        (50.0, 160.0),
        (70.0, 190.0),
        (90.0, 10.0),
        (110.0, 40.0),
        (170.0, 100.0),
    ];
    samples(id, &list).await;
    // By hand: step 0 grows from 70 to 160, step 1 from 160 to 190, then 10, then 30, step 2 60.
    let expected = [(0, 90.0 / 60.0), (60, 70.0 / 60.0), (120, 60.0 / 60.0)];
    for step in ["60s", "1m"] {
        let answer = query(&org, &[("name", "hits"), ("agg", "rate"), ("step", step)]).await;
        assert_eq!(answer["source"], "metric_1m");
        assert_eq!(points(&answer["lines"][0]), expected);
    }
    // A step that no rollup fits reads the samples: the same increase in all.
    let answer = query(&org, &[("name", "hits"), ("agg", "rate"), ("step", "20s")]).await;
    assert_eq!(answer["source"], "samples");
    let increase: f64 = points(&answer["lines"][0])
        .iter()
        .map(|(_, rate)| rate * 20.0)
        .sum();
    assert!((increase - 220.0).abs() < 1e-9, "{increase}");
    let answer = query(&org, &[("name", "hits"), ("agg", "rate"), ("step", "5m")]).await;
    assert_eq!(answer["source"], "metric_5m");
    assert_eq!(points(&answer["lines"][0]), [(0, 220.0 / 300.0)]);
}

#[tokio::test]
async fn aggregations_group_by_labels_over_samples_and_rollups() {
    let (ours, theirs) = (org().await, org().await);
    let a = series(&ours, "load", "api", json!({ "code": "200", "path": "/a" })).await;
    let b = series(&ours, "load", "web", json!({ "code": "200", "path": "/b" })).await;
    let c = series(&ours, "load", "web", json!({ "code": "500", "path": "/c" })).await;
    let foreign = series(&theirs, "load", "api", json!({ "code": "200" })).await;
    samples(a, &[(0.0, 1.0), (30.0, 3.0), (60.0, 5.0)]).await;
    samples(b, &[(15.0, 8.0)]).await;
    samples(c, &[(15.0, 100.0)]).await;
    samples(foreign, &[(0.0, 1e6)]).await;
    for step in ["1m", "30s"] {
        for (agg, first) in [
            ("avg", 4.0),
            ("sum", 12.0),
            ("min", 1.0),
            ("max", 8.0),
            ("count", 3.0),
        ] {
            let query = query(
                &ours,
                &[
                    ("name", "load"),
                    ("agg", agg),
                    ("step", "1m"),
                    ("by", "code"),
                    ("match", "code=\"200\""),
                ],
            )
            .await;
            assert_eq!(query["lines"].as_array().unwrap().len(), 1, "{step} {agg}");
            assert_eq!(points(&query["lines"][0])[0], (0, first), "{agg}");
            assert_eq!(query["lines"][0]["labels"], json!({ "code": "200" }));
        }
    }
    let by = query(
        &ours,
        &[("name", "load"), ("by", "service,code"), ("step", "5m")],
    )
    .await;
    assert_eq!(
        (by["lines"].as_array().unwrap().len(), by["series"].as_u64()),
        (3, Some(3))
    );
    for (matcher, series) in [
        ("service=web", 2),
        ("code!=\"500\"", 2),
        ("path=~\"/(a|c)\"", 2),
        ("path!~\"/.*\"", 0),
        ("none=\"\"", 3),
        ("code=\"2' OR '1\"", 0),
    ] {
        let answer = query(&ours, &[("name", "load"), ("match", matcher)]).await;
        assert_eq!(answer["series"], series, "{matcher}");
    }
}

#[tokio::test]
async fn the_catalog_lists_ones_own() {
    let (ours, theirs) = (org().await, org().await);
    series(&ours, "own_metric", "api", json!({ "code": "200" })).await;
    series(
        &ours,
        "own_metric",
        "web",
        json!({ "code": "404", "zone": "b" }),
    )
    .await;
    series(&theirs, "foreign_metric", "spy", json!({ "secret": "x" })).await;
    let names = get("/metrics/names", &ours.viewer, &[]).await.ok();
    assert_eq!(
        names["items"],
        json!([{ "name": "own_metric", "type": "counter", "unit": "requests", "series": 2 }])
    );
    let labels = get("/metrics/labels", &ours.viewer, &[("name", "own_metric")])
        .await
        .ok();
    assert_eq!(labels["items"], json!(["code", "service", "zone"]));
    for (label, values) in [
        ("code", json!(["200", "404"])),
        ("service", json!(["api", "web"])),
        ("secret", json!([])),
    ] {
        let path = format!("/metrics/label/{label}/values");
        assert_eq!(
            get(&path, &ours.viewer, &[]).await.ok()["items"],
            values,
            "{label}"
        );
    }
}

#[tokio::test]
async fn too_many_points_are_refused() {
    let org = org().await;
    let query = [("name", "x"), ("start", "now-4h"), ("step", "1s")];
    let answer = get("/metrics/query", &org.viewer, &query).await;
    assert_eq!(answer.problem(422), "unprocessable");
    for bad in [
        ("agg", "median"),
        ("match", "nonsense"),
        ("step", "0"),
        ("by2", "x"),
    ] {
        let answer = get("/metrics/query", &org.viewer, &[("name", "x"), bad]).await;
        assert_eq!(answer.problem(400), "bad_parameter", "{bad:?}");
    }
}
