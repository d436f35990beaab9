//! Teams, by a workflow ("when a webhook request is received"): a message with an Adaptive Card 1.4.
//!
//! What strangers sent stands in text runs, which are not read as Markdown. A message may have
//! 28 KB. <https://adaptivecards.io/explorer/>

use super::message::Message;
use super::text::clip;
use serde_json::{Value, json};

/// Characters of the title, the text and a value: all of them together stay below 28 KB, were each
/// character written as an escape of six bytes.
const TITLE_CHARS: usize = 200;
const TEXT_CHARS: usize = 1_000;
const VALUE_CHARS: usize = 80;
const FACTS: usize = 16;

/// The body.
#[must_use]
pub(super) fn body(message: &Message) -> Value {
    let mut elements = vec![
        runs(&message.headline(), TITLE_CHARS, true, colour(message)),
        runs(&message.body(), TEXT_CHARS, false, "Default"),
    ];
    let facts = message.facts();
    elements.extend(facts.iter().take(FACTS).map(|(name, value)| {
        json!({"type": "RichTextBlock", "spacing": "None", "inlines": [
            {"type": "TextRun", "text": format!("{}: ", clip(name, VALUE_CHARS)), "weight": "Bolder"},
            {"type": "TextRun", "text": clip(value, VALUE_CHARS)},
        ]})
    }));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard", "version": "1.4",
        "body": elements,
        "msteams": {"width": "Full"},
    });
    if let (Some(link), Some(card)) = (&message.link, card.as_object_mut()) {
        let open = json!([{"type": "Action.OpenUrl", "title": "Open the alert", "url": link}]);
        card.insert("actions".to_owned(), open);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

fn runs(text: &str, chars: usize, title: bool, colour: &str) -> Value {
    let (size, weight) = if title {
        ("Large", "Bolder")
    } else {
        ("Default", "Default")
    };
    let run = json!({"type": "TextRun", "text": clip(text, chars), "size": size, "weight": weight,
                     "color": colour});
    json!({"type": "RichTextBlock", "inlines": [run]})
}

/// The colours of cards are names.
fn colour(message: &Message) -> &'static str {
    match message.severity() {
        "critical" | "high" => "Attention",
        "medium" => "Warning",
        _ => "Accent",
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::samples;
    use super::*;
    use millrace_shared::channel::Happening;

    #[test]
    fn a_card_of_1_4_whose_strangers_text_is_in_runs() {
        let body = body(&samples::message(Happening::Created));
        let attachment = &body["attachments"][0];
        assert_eq!(body["type"], "message");
        assert_eq!(
            attachment["contentType"],
            "application/vnd.microsoft.card.adaptive"
        );
        let card = &attachment["content"];
        assert_eq!(
            (&card["type"], &card["version"]),
            (&json!("AdaptiveCard"), &json!("1.4"))
        );
        for element in card["body"].as_array().unwrap() {
            assert_eq!(element["type"], "RichTextBlock");
            for run in element["inlines"].as_array().unwrap() {
                assert_eq!(run["type"], "TextRun");
            }
        }
        assert_eq!(card["actions"][0]["type"], "Action.OpenUrl");
    }

    #[test]
    fn the_longest_message_is_below_28_kilobytes() {
        let bytes = body(&samples::longest()).to_string().len();
        assert!(bytes < 28 * 1024, "{bytes}");
    }
}
