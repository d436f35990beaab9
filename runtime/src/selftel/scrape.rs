//! The recorder's Prometheus text, turned into metric samples. Buckets are left out: Prometheus has
//! them, and counts and sums say what the pipeline's own organisation needs.

use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The samples in a page of Prometheus text, taken at `now` (nanoseconds).
pub(super) fn samples(page: &str, now: i64) -> Vec<Value> {
    let mut kinds: HashMap<&str, &str> = HashMap::new();
    let mut samples = Vec::new();
    for line in page.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            kinds.extend(declared.split_once(' '));
            continue;
        }
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.trim_end_matches('}')),
            None => (series, ""),
        };
        let Ok(value) = value.parse::<f64>() else {
            continue;
        };
        if name.ends_with("_bucket") || !value.is_finite() {
            continue;
        }
        let kind = match kinds.get(name) {
            Some(&"gauge") => "gauge",
            _ => "counter",
        };
        samples.push(json!({
            "timestamp": now,
            "name": name,
            "value": value,
            "type": kind,
            "labels": label_map(labels),
        }));
    }
    samples
}

/// Our label values come from closed sets of plain words, so no escape can occur in them.
fn label_map(labels: &str) -> Map<String, Value> {
    labels
        .split(',')
        .filter_map(|label| label.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_samples_without_buckets() {
        let page = "# HELP a_total Help.\n# TYPE a_total counter\na_total{signal=\"logs\",outcome=\"ok\"} 3\n\n\
                    # TYPE g gauge\ng 1.5\n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"1\"} 2\n\
                    h_seconds_sum 0.5\nh_seconds_count 2\nn NaN\n";
        let samples = samples(page, 7);
        let of = |at: usize, key: &str| samples[at][key].clone();
        assert_eq!(samples.len(), 4);
        assert_eq!(
            (of(0, "name"), of(0, "value")),
            (json!("a_total"), json!(3.0))
        );
        assert_eq!(of(0, "labels"), json!({"signal": "logs", "outcome": "ok"}));
        assert_eq!(
            (of(1, "type"), of(3, "name")),
            (json!("gauge"), json!("h_seconds_count"))
        );
    }
}
