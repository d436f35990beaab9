//! Text as PostgreSQL takes it: it has no character zero, everything else passes as it is.

use serde_json::Value;

/// What stands for a character zero.
const REPLACEMENT: &str = "\u{fffd}";

/// The text without a character zero.
#[must_use]
pub(crate) fn plain(text: &str) -> String {
    if text.contains('\0') {
        text.replace('\0', REPLACEMENT)
    } else {
        text.to_owned()
    }
}

/// JSON from its text, without a character zero in any string; an empty object if it is none.
#[must_use]
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).map_or_else(|_| Value::Object(serde_json::Map::new()), clean)
}

fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(clean).collect()),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(key, value)| (plain(&key), clean(value)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_characters_are_replaced_wherever_they_stand() {
        let value = json(r#"{"a\u0000":["\u0000x",{"b":"\\u0000"}]}"#);
        assert_eq!(
            value,
            serde_json::json!({"a\u{fffd}": ["\u{fffd}x", {"b": "\\u0000"}]})
        );
        assert_eq!(json("no"), serde_json::json!({}));
    }
}
