//! Hostile input that is quick to try; the rest of it is in the tests that run alone.

use millrace_runtime::clock::now_s;
use millrace_shared::Signal;
use millrace_tests::hostile::stand::Stand;
use millrace_tests::hostile::timing;
use millrace_tests::{Org, shared};
use serde_json::json;
use std::time::Duration;

#[test]
fn text_that_means_something_elsewhere_is_kept_as_it_is() {
    let org = Org::new("verbatim");
    let texts = millrace_tests::hostile::injected();
    let event =
        |text: &&str| json!({"service": "verbatim", "message": text, "attributes": {"text": text}});
    let logs: Vec<_> = texts.iter().map(event).collect();
    org.store(Signal::Logs, &json!({ "logs": logs }));
    let rows = org.search_logs("service=verbatim");
    assert_eq!(rows.len(), texts.len());
    for text in texts {
        let found = rows.iter().find(|row| row["message"] == *text);
        let found = found.unwrap_or_else(|| panic!("{text:?} is not stored as it was sent"));
        assert_eq!(found["attributes"]["text"], *text);
    }
}

/// Fewer than any statistics would need: what is tested is that each class takes the same way.
const REFUSALS: usize = 20;
/// When who is not known is told so, at the earliest.
const UNKNOWN_AFTER: Duration = Duration::from_millis(25);

#[test]
fn every_reason_not_to_be_known_is_told_at_the_same_time_and_no_earlier() {
    let shared = shared();
    let stand = Stand::on(&shared.installation, &shared.query.url, now_s());
    let classes = timing::measure(&stand.sender, REFUSALS).unwrap();
    for class in &classes {
        let earliest = class.quantile(0.0);
        assert!(
            earliest >= UNKNOWN_AFTER,
            "{:?} after {earliest:?}",
            class.failure
        );
    }
    assert_eq!(classes.len(), timing::Failure::ALL.len());
}
