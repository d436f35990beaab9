//! Browser events.

use crate::world::*;
use serde_json::{Value, json};

fn event(org: &Org, seconds: f64, more: Value) -> Value {
    // The columns of vitals have no default of their own: what is not measured is NaN.
    let mut row = row(
        org,
        seconds,
        json!({ "SessionId": "s1", "EventType": "pageview", "PageUrl": "https://x.example/cart?a=1",
                "Page": "/cart", "Fcp": "nan", "Lcp": "nan", "Fid": "nan", "Inp": "nan", "Cls": "nan",
                "Ttfb": "nan", "DomLoad": "nan", "WindowLoad": "nan" }),
    );
    row.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    row
}

#[tokio::test]
async fn pages_have_percentiles_of_what_was_measured() {
    let (ours, theirs) = (org().await, org().await);
    let mut rows: Vec<_> = (1..=5)
        .map(|n| event(&ours, f64::from(n), json!({ "Lcp": f64::from(n) * 100.0 })))
        .collect();
    rows.push(event(
        &ours,
        6.0,
        json!({ "EventType": "error", "ErrorMessage": "Boom happened",
        "ErrorType": "TypeError", "SessionId": "s2", "Browser": "Firefox" }),
    ));
    rows.push(event(
        &ours,
        7.0,
        json!({ "Page": "/home", "PageUrl": "https://x.example/" }),
    ));
    rows.push(event(&theirs, 8.0, json!({ "Lcp": 1e9 })));
    insert("rum_events", &rows).await;
    let pages = get("/rum/pages", &ours.viewer, &range()).await.ok();
    let cart = &pages["pages"][0];
    assert_eq!(
        (&cart["page"], &cart["pageviews"]),
        (&json!("/cart"), &json!(5))
    );
    assert_eq!((&cart["errors"], &cart["sessions"]), (&json!(1), &json!(2)));
    for (percentile, expected) in cart["lcp"]
        .as_array()
        .unwrap()
        .iter()
        .zip([300.0, 400.0, 480.0])
    {
        assert!(
            (percentile.as_f64().unwrap() - expected).abs() < 1e-6,
            "{cart}"
        );
    }
    assert_eq!(cart["cls"], json!([null, null, null]));
    assert_eq!(pages["pages"].as_array().unwrap().len(), 2);
    for (filter, count) in [
        (("event_type", "error"), 1),
        (("error", "BOOM"), 1),
        (("session_id", "s1"), 6),
        (("page", "/home"), 1),
        (("url", "cart?a"), 6),
        (("browser", "Firefox"), 1),
        (("error_type", "TypeError"), 1),
    ] {
        let query = [&range()[..], &[filter]].concat();
        let found = get("/rum/search", &ours.viewer, &query).await.ok();
        assert_eq!(found["rows"].as_array().unwrap().len(), count, "{filter:?}");
    }
    let query = [&range()[..], &[("limit", "1"), ("order", "asc")]].concat();
    let first = get("/rum/search", &ours.viewer, &query).await.ok();
    assert_eq!(
        (&first["rows"][0]["lcp"], &first["rows"][0]["cls"]),
        (&json!(100.0), &Value::Null)
    );
}
