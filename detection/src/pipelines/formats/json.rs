//! A JSON object, its nested objects as dotted names, its arrays as JSON text.

use super::{Put, Source};
use bumpalo::Bump;
use millrace_shared::Value;
use millrace_shared::limits::DEPTH_MAX;
use serde_json::Value as Json;

pub(super) fn read<'a>(source: Source<'a>, put: &mut Put<'_, 'a>) -> bool {
    let text = source.text.trim();
    if !text.starts_with('{') {
        return false;
    }
    let Ok(Json::Object(members)) = serde_json::from_str(text) else {
        return false;
    };
    for (name, value) in &members {
        member(source.arena, source.arena.alloc_str(name), (value, 1), put);
    }
    true
}

fn member<'a>(
    arena: &'a Bump,
    name: &'a str,
    (value, depth): (&Json, usize),
    put: &mut Put<'_, 'a>,
) {
    let value = match value {
        Json::Object(members) if depth < DEPTH_MAX => {
            for (inner, value) in members {
                let inner = bumpalo::format!(in arena, "{}.{}", name, inner);
                member(arena, inner.into_bump_str(), (value, depth + 1), put);
            }
            return;
        }
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(*bool),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(float)) => Value::Float(float),
            (None, None) => Value::Null,
        },
        Json::String(text) => Value::Text(arena.alloc_str(text)),
        Json::Array(_) | Json::Object(_) => Value::Json(arena.alloc_str(&value.to_string())),
    };
    put(name, value);
}

#[cfg(test)]
mod tests {
    use super::super::Format::Json;
    use super::super::tests::{pairs, read};

    #[test]
    fn members_are_read_and_nested_ones_get_dotted_names() {
        let text = r#" {"a": {"b": {"c": 1}, "d": "x\n"}, "e": [1, {"f": 2}], "g": true, "h": null, "i": 1.5} "#;
        let mut found = read(Json, text).unwrap();
        found.sort();
        let expected = [
            ("a.b.c", "1"),
            ("a.d", "x\n"),
            ("e", r#"[1,{"f":2}]"#),
            ("g", "true"),
            ("h", "null"),
            ("i", "1.5"),
        ];
        assert_eq!(Some(found), pairs(&expected));
    }

    #[test]
    fn anything_but_an_object_is_refused() {
        for text in [
            "",
            "[1]",
            "\"a\"",
            "{",
            "{\"a\":}",
            "{} x",
            "error: {\"a\":1}",
        ] {
            assert_eq!(read(Json, text), None, "{text}");
        }
    }
}
