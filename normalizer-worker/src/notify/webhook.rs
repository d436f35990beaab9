//! The generic webhook: our own JSON, signed by Standard Webhooks, so that a receiver can tell that
//! it is from here, unchanged and recent.

use super::message::{Alert, Message, Organisation};
use millrace_shared::channel::Happening;
use serde::Serialize;

/// The body; docs/notifications.md describes it to receivers.
#[derive(Debug, Serialize)]
struct Body<'m> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'m str,
    timestamp: &'m str,
    data: Data<'m>,
}

#[derive(Debug, Serialize)]
struct Data<'m> {
    organisation: &'m Organisation,
    channel: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<&'m Alert>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_severity: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'m str>,
}

/// The body. The same message has the same body, byte for byte.
#[must_use]
pub(super) fn body(message: &Message) -> Vec<u8> {
    let body = Body {
        kind: match message.happening {
            Some(Happening::Created) => "alert.created",
            Some(Happening::Escalated) => "alert.escalated",
            Some(Happening::SeverityRaised) => "alert.severity_raised",
            Some(Happening::Resolved) => "alert.resolved",
            Some(Happening::Test) | None => "test",
        },
        id: &message.key,
        timestamp: &message.timestamp,
        data: Data {
            organisation: &message.organisation,
            channel: &message.channel,
            alert: message.alert.as_ref(),
            previous_severity: message.previous_severity.as_deref(),
            by: message.by.as_deref(),
            note: message.note.as_deref(),
            url: message.link.as_deref(),
        },
    };
    // A struct of texts and numbers cannot fail to be written.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::message::samples;
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_body_says_everything_and_is_the_same_again() {
        let message = samples::message(Happening::Created);
        assert_eq!(body(&message), body(&message));
        let said: Value = serde_json::from_slice(&body(&message)).unwrap();
        assert_eq!(said["type"], "alert.created");
        assert_eq!(said["id"], message.key.as_str());
        assert_eq!(said["data"]["alert"]["count"], 18);
        assert_eq!(said["data"]["url"], "https://soc.example.net/alerts/0f7e");
        assert_eq!(said["data"]["alert"]["retroactive"], false);
        let found: Value = serde_json::from_slice(&body(&samples::retroactive())).unwrap();
        assert_eq!(found["data"]["alert"]["retroactive"], true);
        let test: Value = serde_json::from_slice(&body(&samples::test())).unwrap();
        assert_eq!(test["type"], "test");
        assert!(test["data"].get("alert").is_none());
    }
}
