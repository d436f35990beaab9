//! Slack's incoming webhook: a text for notifications, and blocks (Block Kit) with the facts.
//!
//! Lengths are Slack's: header 150 characters, a field 2,000, ten fields to a section, a text 3,000.
//! <https://docs.slack.dev/reference/block-kit/blocks>

use super::message::Message;
use super::text::{clip, is_blank, slack};
use serde_json::{Value, json};

const HEADER_CHARS: usize = 150;
const TEXT_CHARS: usize = 3_000;
const FIELD_CHARS: usize = 2_000;
/// What a value in a field may have of it, so that a message fits on a screen.
const VALUE_CHARS: usize = 300;
const FIELDS: usize = 10;

/// The body.
#[must_use]
pub(super) fn body(message: &Message) -> Value {
    let headline = message.headline();
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": clip(&headline, HEADER_CHARS), "emoji": false},
    })];
    let text = slack(&message.body(), TEXT_CHARS);
    if !is_blank(&text) {
        blocks.push(
            json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}}),
        );
    }
    let fields: Vec<Value> = message
        .facts()
        .iter()
        .take(FIELDS)
        .map(|(name, value)| {
            let text = format!(
                "*{}*\n{}",
                slack(name, VALUE_CHARS),
                slack(value, VALUE_CHARS)
            );
            json!({"type": "mrkdwn", "text": clip(&text, FIELD_CHARS), "verbatim": true})
        })
        .collect();
    blocks.push(json!({"type": "section", "fields": fields}));
    if let Some(link) = &message.link {
        blocks.push(json!({
            "type": "actions",
            "elements": [{"type": "button", "url": link, "action_id": "open_alert",
                          "text": {"type": "plain_text", "text": "Open the alert", "emoji": false}}],
        }));
    }
    json!({"text": slack(&headline, TEXT_CHARS), "blocks": blocks})
}

#[cfg(test)]
mod tests {
    use super::super::message::samples;
    use super::*;
    use millrace_shared::channel::Happening;

    fn chars(value: &Value) -> usize {
        value.as_str().unwrap().chars().count()
    }

    #[test]
    fn every_length_is_one_that_slack_takes() {
        for message in [
            samples::longest(),
            samples::test(),
            samples::message(Happening::Resolved),
        ] {
            let body = body(&message);
            assert!(chars(&body["text"]) <= 40_000);
            let blocks = body["blocks"].as_array().unwrap();
            assert!((2..=50).contains(&blocks.len()));
            assert!((1..=HEADER_CHARS).contains(&chars(&blocks[0]["text"]["text"])));
            for block in blocks.iter().filter(|block| block["type"] == "section") {
                if let Some(text) = block.get("text") {
                    assert!((1..=TEXT_CHARS).contains(&chars(&text["text"])));
                }
                let fields = block.get("fields").and_then(Value::as_array);
                for field in fields.into_iter().flatten() {
                    assert!((1..=FIELD_CHARS).contains(&chars(&field["text"])));
                }
                assert!(fields.is_none_or(|fields| (1..=FIELDS).contains(&fields.len())));
            }
        }
    }

    #[test]
    fn what_strangers_sent_mentions_nobody() {
        let text = body(&samples::message(Happening::Created)).to_string();
        assert!(text.contains("&lt;script&gt; &amp; @everyone"), "{text}");
        assert!(!text.contains("<script>"), "{text}");
    }
}
