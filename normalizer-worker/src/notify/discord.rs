//! Discord's webhook: one embed, and nobody mentioned.
//!
//! Lengths are Discord's: title 256 characters, description 4,096, 25 fields of 256 and 1,024, all of
//! them together 6,000. <https://discord.com/developers/docs/resources/message#embed-object>

use super::message::Message;
use super::text::markdown;
use serde_json::{Value, json};

const TITLE_CHARS: usize = 256;
const DESCRIPTION_CHARS: usize = 2_500;
const NAME_CHARS: usize = 60;
const VALUE_CHARS: usize = 100;
const FIELDS: usize = 16;
/// What all of them may come to.
const EMBED_CHARS: usize = 6_000;
const _: () =
    assert!(TITLE_CHARS + DESCRIPTION_CHARS + FIELDS * (NAME_CHARS + VALUE_CHARS) <= EMBED_CHARS);

/// The body.
#[must_use]
pub(super) fn body(message: &Message) -> Value {
    let facts = message.facts();
    let fields: Vec<Value> = facts
        .iter()
        .take(FIELDS)
        .map(|(name, value)| {
            json!({"name": markdown(name, NAME_CHARS), "value": markdown(value, VALUE_CHARS),
                   "inline": true})
        })
        .collect();
    let mut embed = json!({
        "title": markdown(&message.headline(), TITLE_CHARS),
        "description": markdown(&message.body(), DESCRIPTION_CHARS),
        "color": colour(message.severity()),
        "timestamp": message.timestamp,
        "fields": fields,
    });
    if let (Some(link), Some(embed)) = (&message.link, embed.as_object_mut()) {
        embed.insert("url".to_owned(), json!(link));
    }
    json!({"username": "Millrace", "embeds": [embed], "allowed_mentions": {"parse": []}})
}

/// Colours of the edge: from grey to red.
fn colour(severity: &str) -> u32 {
    match severity {
        "critical" => 0x008B_0000,
        "high" => 0x00D9_3025,
        "medium" => 0x00F2_9900,
        "low" => 0x0018_80E8,
        _ => 0x0080_8080,
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::samples;
    use super::*;
    use millrace_shared::channel::Happening;

    #[test]
    fn every_length_is_one_that_discord_takes() {
        for message in [
            samples::longest(),
            samples::test(),
            samples::message(Happening::Created),
        ] {
            let body = body(&message);
            let embed = &body["embeds"][0];
            let chars = |value: &Value| value.as_str().unwrap().chars().count();
            let mut all = chars(&embed["title"]) + chars(&embed["description"]);
            assert!((1..=256).contains(&chars(&embed["title"])));
            assert!((1..=4_096).contains(&chars(&embed["description"])));
            let fields = embed["fields"].as_array().unwrap();
            assert!((1..=25).contains(&fields.len()));
            for field in fields {
                assert!((1..=256).contains(&chars(&field["name"])), "{field}");
                assert!((1..=1_024).contains(&chars(&field["value"])), "{field}");
                all += chars(&field["name"]) + chars(&field["value"]);
            }
            assert!(all <= EMBED_CHARS, "{all}");
            assert_eq!(body["allowed_mentions"], json!({"parse": []}));
        }
    }
}
