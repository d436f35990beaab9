//! RowBinary read back, by the types of the columns.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The rows of a body, as objects.
pub fn rows(columns: &[(&str, &str)], mut body: &[u8]) -> Value {
    let mut rows = Vec::new();
    while !body.is_empty() {
        let row: Map<String, Value> = columns
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), value(kind, &mut body)))
            .collect();
        rows.push(Value::Object(row));
    }
    Value::Array(rows)
}

fn take<const N: usize>(body: &mut &[u8]) -> [u8; N] {
    let (head, rest) = body.split_first_chunk().unwrap();
    *body = rest;
    *head
}

fn len(body: &mut &[u8]) -> usize {
    let (mut len, mut shift) = (0, 0);
    loop {
        let [byte] = take(body);
        len |= usize::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return len;
        }
        shift += 7;
    }
}

fn text(body: &mut &[u8]) -> String {
    let bytes = len(body);
    let (text, rest) = body.split_at(bytes);
    *body = rest;
    String::from_utf8(text.to_vec()).unwrap()
}

/// What stands between the parentheses of a type.
fn within<'t>(kind: &'t str, outer: &str) -> Option<&'t str> {
    kind.strip_prefix(outer)?
        .strip_prefix('(')?
        .strip_suffix(')')
}

fn value(kind: &str, body: &mut &[u8]) -> Value {
    if let Some(inner) = within(kind, "LowCardinality") {
        return value(inner, body);
    }
    if let Some(inner) = within(kind, "Array") {
        let count = len(body);
        return (0..count).map(|_| value(inner, body)).collect();
    }
    if let Some(inner) = within(kind, "Map") {
        let (key, of) = inner.split_once(", ").unwrap();
        let count = len(body);
        let pair = |_| {
            let name = value(key, body);
            json!([name, value(of, body)])
        };
        return (0..count).map(pair).collect();
    }
    match kind {
        "String" => text(body).into(),
        "Bool" => (take::<1>(body)[0] == 1).into(),
        "UInt8" => take::<1>(body)[0].into(),
        "UInt32" => u32::from_le_bytes(take(body)).into(),
        "UInt64" => u64::from_le_bytes(take(body)).into(),
        "DateTime64(9, 'UTC')" => i64::from_le_bytes(take(body)).into(),
        // NaN, which stands for "not measured", has no JSON.
        "Float64" => json!(f64::from_le_bytes(take(body)).to_string()),
        "UUID" => {
            let (high, low) = (
                u64::from_le_bytes(take(body)),
                u64::from_le_bytes(take(body)),
            );
            Uuid::from_u64_pair(high, low).to_string().into()
        }
        other => panic!("no reader for {other}"),
    }
}
