//! Metric series: counters that restart, and a limit on their number.

use crate::stories::points;
use millrace_runtime::clock::now_ns;
use millrace_shared::Signal;
use millrace_tests::Org;
use serde_json::{Value, json};

const SECOND_NS: i64 = 1_000_000_000;

#[test]
fn a_rate_counts_a_reset_from_zero_and_is_never_negative() {
    let org = Org::new("reset");
    // Within one step: the top of an hour must not fall between the samples.
    let hour = 3600 * SECOND_NS;
    let start = (now_ns() - 2 * hour) / hour * hour;
    let samples: Vec<Value> = [100.0, 110.0, 130.0, 5.0, 20.0]
        .iter()
        .zip(0i64..)
        .map(|(value, n)| {
            json!({"name": "requests_total", "type": "counter", "value": value,
                                 "timestamp": start + (n + 1) * 60 * SECOND_NS})
        })
        .collect();
    org.store(
        Signal::Metrics,
        &json!({"metrics": samples, "resource": {"service_name": "web"}}),
    );
    let range = format!("start={start}&end={}", start + hour);
    let path = format!("/api/v1/metrics/query?name=requests_total&agg=rate&step=1h&{range}");
    let answer = org.ask(&path).must_be(200).json();
    // 10 + 20, then from zero to 5, then 15: 50 in the hour.
    let total: f64 = points(&answer).iter().sum::<f64>() * 3600.0;
    assert!((total - 50.0).abs() < 1e-6, "{answer}");
    let path = format!("/api/v1/metrics/query?name=requests_total&agg=rate&step=1m&{range}");
    let answer = org.ask(&path).must_be(200).json();
    let points = points(&answer);
    assert!(points.iter().all(|value| *value >= 0.0), "{answer}");
    let total: f64 = points.iter().sum::<f64>() * 60.0;
    assert!(
        (total - 50.0).abs() < 1e-6,
        "the same over small steps: {answer}"
    );
}
