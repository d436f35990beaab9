//! Fields that hold several values.

use super::*;

#[test]
fn lists_are_read_element_by_element_without_the_escapes_of_json() {
    let attributes = json!({"f": ["C:\\Windows\\cmd.exe", "a \"b\""], "empty": [], "deep": [["\\x"], {"\\k": true}]});
    let event = json!({"message": "m", "attributes": attributes});
    for (field, op, value, expected) in [
        ("f", "ends_with", json!("\\cmd.exe"), true),
        ("f", "eq", json!("a \"b\""), true),
        ("f", "contains", json!("\\\\"), false),
        ("f", "neq", json!("C:\\Windows\\cmd.exe"), false),
        ("empty", "present", json!(true), true),
        ("empty", "exists", json!(true), false),
        // In every field: what stands in a list, and not how it is written there.
        ("*", "contains", json!("C:\\Windows"), true),
        ("*", "eq", json!("\\x"), true),
        ("*", "eq", json!(true), true),
        ("*", "contains", json!("\\k"), false),
        ("*", "contains", json!("\", \""), false),
    ] {
        let condition = json!({"field": field, "op": op, "value": value});
        let selected = selects(json!([condition]), &event);
        assert_eq!(selected, expected, "{condition}");
    }
}
