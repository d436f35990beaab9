//! PagerDuty's Events API v2: what happens to an alert happens to one incident, whose key is the
//! alert's id.
//!
//! <https://developer.pagerduty.com/docs/send-alert-event>

use super::message::Message;
use super::text::clip;
use millrace_shared::channel::Happening;
use serde_json::{Map, Value, json};

/// Characters of a summary, by PagerDuty's documentation.
const SUMMARY_CHARS: usize = 1_024;
/// Characters of a detail: an event may have 512 KB.
const VALUE_CHARS: usize = 2_000;

/// The body.
#[must_use]
pub(super) fn body(message: &Message, routing_key: &str) -> Value {
    let action = match message.happening {
        Some(Happening::Resolved) => "resolve",
        Some(
            Happening::Created | Happening::Escalated | Happening::SeverityRaised | Happening::Test,
        )
        | None => "trigger",
    };
    let alert = message.alert.as_ref();
    let details: Map<String, Value> = message
        .facts()
        .into_iter()
        .chain([("Message".to_owned(), message.body())])
        .map(|(name, value)| (name, clip(&value, VALUE_CHARS).into()))
        .collect();
    let mut body = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": alert.map_or(message.key.as_str(), |alert| alert.id.as_str()),
        "payload": {
            "summary": clip(&message.headline(), SUMMARY_CHARS),
            "source": format!("millrace/{}", clip(&message.organisation.name, SUMMARY_CHARS)),
            "severity": severity(message.severity()),
            "timestamp": message.timestamp,
            "component": alert.map_or("test", |alert| alert.rule_id.as_str()),
            "group": alert.map_or("test", |alert| alert.signal.as_str()),
            "class": alert.map_or("test", |alert| alert.alert_type.as_str()),
            "custom_details": details,
        },
        "client": "Millrace",
    });
    if let (Some(link), Some(body)) = (&message.link, body.as_object_mut()) {
        body.insert("client_url".to_owned(), json!(link));
        let links = json!([{"href": link, "text": "Open the alert"}]);
        body.insert("links".to_owned(), links);
    }
    body
}

/// PagerDuty's four for our five.
fn severity(ours: &str) -> &'static str {
    match ours {
        "critical" => "critical",
        "high" => "error",
        "medium" => "warning",
        _ => "info",
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::samples;
    use super::*;

    #[test]
    fn one_incident_follows_one_alert() {
        let key = "a".repeat(32);
        let opened = body(&samples::message(Happening::Created), &key);
        let raised = body(&samples::message(Happening::Escalated), &key);
        let solved = body(&samples::message(Happening::Resolved), &key);
        assert_eq!(opened["event_action"], "trigger");
        assert_eq!(raised["event_action"], "trigger");
        assert_eq!(solved["event_action"], "resolve");
        assert_eq!(opened["dedup_key"], solved["dedup_key"]);
        assert_eq!(opened["payload"]["severity"], "error");
        assert_eq!(opened["payload"]["custom_details"]["ip"], "198.51.100.7");
        assert_eq!(body(&samples::test(), &key)["dedup_key"], "test:1");
    }

    #[test]
    fn the_longest_event_is_below_512_kilobytes() {
        let event = body(&samples::longest(), &"a".repeat(32));
        assert!(event.to_string().len() < 512 * 1024);
        let summary = event["payload"]["summary"].as_str().unwrap();
        assert_eq!(summary.chars().count(), SUMMARY_CHARS);
        assert!(event["dedup_key"].as_str().unwrap().len() <= 255);
    }
}
