//! Fields of events: every value and every key of an event's own, in whatever form it was sent.
//!
//! Which fields there are and what they are called is decided in `shared`; nothing is added or
//! taken away here, so that positions stay as they are.

use bumpalo::Bump;
use millrace_shared::rewrite;
use millrace_shared::{Field, Role, Value};

use crate::class::ClassSet;
use crate::scrubber::{FieldPlan, Scrubbed, Scrubber};
use crate::sheet::{Look, Sheet};

/// The smallest number sent as a number that can be a card or a telephone number.
const PERSONAL_NUMBER_MIN: i64 = 100_000_000;

/// Fields of an event that are looked at together.
const GROUP: usize = 24;

/// A field and how its value and its key are looked at.
#[derive(Clone, Copy)]
struct Looked {
    plan: FieldPlan,
    value: Look,
    key: Look,
}

impl Scrubber {
    /// Scrubs the fields of an event in place, as [`Scrubber::scrub_field`] does one. Short strings
    /// are looked at side by side, which takes a fraction of the time.
    pub fn scrub_fields<'a>(
        &self,
        fields: &mut [Field<'a>],
        arena: &'a Bump,
        found: &mut ClassSet,
    ) {
        for group in fields.chunks_mut(GROUP) {
            let mut sheet = Sheet::new();
            let mut looked = [None; GROUP];
            for (field, slot) in group.iter().zip(&mut looked) {
                *slot = self.look(field, &mut sheet);
            }
            self.read(&mut sheet);
            for (field, looked) in group.iter_mut().zip(looked) {
                let Some(Looked { plan, value, key }) = looked else {
                    continue;
                };
                let name = field.name;
                if sheet.suspects(value, text_of(field).unwrap_or_default()) {
                    self.value(field, plan, arena, found);
                }
                if sheet.suspects(key, name) {
                    self.key(field, arena, found);
                }
            }
        }
    }

    /// How a field is looked at: not at all, where it cannot hold anything personal.
    fn look(&self, field: &Field<'_>, sheet: &mut Sheet) -> Option<Looked> {
        if is_closed_word(field.role) {
            return None;
        }
        let plan = self.plan(field.name);
        let value = match text_of(field) {
            Some(text) if plan.leaves_to_triggers() => sheet.add(text),
            Some(_) | None => Look::Apart,
        };
        let key = if field.role.path().is_empty() {
            sheet.add(field.name)
        } else {
            Look::Spared
        };
        Some(Looked { plan, value, key })
    }

    /// Scrubs a field in place: its value, and its key where the sender chose it. A value of which
    /// nothing is left becomes null. Adds what was scrubbed to `found`.
    pub fn scrub_field<'a>(&self, field: &mut Field<'a>, arena: &'a Bump, found: &mut ClassSet) {
        if is_closed_word(field.role) {
            return;
        }
        let plan = self.plan(field.name);
        self.value(field, plan, arena, found);
        self.key(field, arena, found);
    }

    fn key<'a>(&self, field: &mut Field<'a>, arena: &'a Bump, found: &mut ClassSet) {
        if field.role.path().is_empty()
            && let Some(key) = self.scrub_key(arena, field.name, found)
        {
            field.name = key;
        }
    }

    fn value<'a>(
        &self,
        field: &mut Field<'a>,
        plan: FieldPlan,
        arena: &'a Bump,
        found: &mut ClassSet,
    ) {
        if let Value::Json(text) = field.value
            && text.contains('\\')
        {
            field.value = Value::Json(self.strings(plan, text, arena, found));
        }
        match field.value {
            Value::Text(text) | Value::Json(text) => {
                match self.scrub_planned(arena, plan, text, found) {
                    None => {}
                    Some(Scrubbed::Replaced(text)) => field.value = Value::Text(text),
                    Some(Scrubbed::Removed) => field.value = Value::Null,
                }
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                self.number(field, plan, arena, found);
            }
            Value::Null => {}
        }
    }

    /// Scrubs the strings of a JSON text one by one, as their reader sees them: in the text itself
    /// an escape beside a value (`\n`, `\"`) looks like a part of it. What spans several strings,
    /// as a key and its value, is for the text as a whole, after this.
    fn strings<'a>(
        &self,
        plan: FieldPlan,
        text: &'a str,
        arena: &'a Bump,
        found: &mut ClassSet,
    ) -> &'a str {
        if plan.replaces_whole_value() {
            return text;
        }
        let rewritten = rewrite::strings(text, arena, |string| {
            match self.scrub_planned(arena, plan, string, found)? {
                Scrubbed::Replaced(string) => Some(string),
                Scrubbed::Removed => Some(""),
            }
        });
        // Decoding has refused lone surrogates already.
        rewritten.unwrap_or(text)
    }

    /// A number sent as a number can be a card or a social security number all the same, and any
    /// number or truth value that of a sensitive field.
    fn number<'a>(
        &self,
        field: &mut Field<'a>,
        plan: FieldPlan,
        arena: &'a Bump,
        found: &mut ClassSet,
    ) {
        let text = match field.value {
            Value::Int(int) if int >= PERSONAL_NUMBER_MIN || plan.replaces_whole_value() => {
                bumpalo::format!(in arena, "{}", int)
            }
            Value::Float(float) if plan.replaces_whole_value() => {
                bumpalo::format!(in arena, "{}", float)
            }
            Value::Bool(bool) if plan.replaces_whole_value() => {
                bumpalo::format!(in arena, "{}", bool)
            }
            Value::Int(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::Text(_)
            | Value::Json(_)
            | Value::Null => return,
        };
        if !field.role.path().is_empty() {
            return;
        }
        match self.scrub_planned(arena, plan, text.into_bump_str(), found) {
            None => {}
            Some(Scrubbed::Replaced(text)) => field.value = Value::Text(text),
            Some(Scrubbed::Removed) => field.value = Value::Null,
        }
    }
}

/// The text of a field that is looked at as it is: escapes of JSON are read first.
fn text_of<'a>(field: &Field<'a>) -> Option<&'a str> {
    match field.value {
        Value::Text(text) => Some(text),
        Value::Json(text) => Some(text).filter(|text| !text.contains('\\')),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Null => None,
    }
}

/// Fields whose text was checked against a closed list of words, or is hexadecimal, and so cannot
/// hold anything personal. A log's trace id is free text and not among them.
const fn is_closed_word(role: Role) -> bool {
    matches!(
        role,
        Role::Level
            | Role::Kind
            | Role::Status
            | Role::MetricType
            | Role::Outcome
            | Role::Severity
            | Role::Browser
            | Role::Os
            | Role::Device
            | Role::Performance
            | Role::StartTime
            | Role::EndTime
            | Role::Duration
            | Role::SpanEventTime
            | Role::LinkTraceId
            | Role::LinkSpanId
            | Role::ParentSpanId
            | Role::MetricValue
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pepper, Policy};
    use proptest::prelude::*;

    fn scrubbed<'a>(policy: &str, field: Field<'a>, arena: &'a Bump) -> (Field<'a>, ClassSet) {
        let policy: Policy = serde_json::from_str(policy).unwrap();
        let pepper = Pepper::new(1, b"a pepper of a good length").unwrap();
        let scrubber = Scrubber::new(&policy, pepper).unwrap();
        let (mut field, mut found) = (field, ClassSet::EMPTY);
        scrubber.scrub_field(&mut field, arena, &mut found);
        (field, found)
    }

    const fn attribute<'a>(name: &'a str, value: Value<'a>) -> Field<'a> {
        Field {
            name,
            value,
            role: Role::Attribute,
            sub: 0,
        }
    }

    #[test]
    fn numbers_are_treated_as_the_policy_says() {
        let arena = Bump::new();
        let of =
            |policy: &str, name, value| scrubbed(policy, attribute(name, value), &arena).0.value;
        let card = Value::Int(4_111_111_111_111_111);
        assert_eq!(of("{}", "card", card), Value::Text("[CARD]"));
        assert_eq!(
            of("{}", "pin.password", Value::Int(17)),
            Value::Text("[REDACTED]")
        );
        assert_eq!(of("{}", "n", Value::Int(17)), Value::Int(17));
        let rule = |how: &str| format!(r#"{{"paths":[{{"path":"x","value":"{how}"}}]}}"#);
        for value in [Value::Int(17), Value::Float(1.5), Value::Bool(true)] {
            assert_eq!(of(&rule("remove"), "x", value), Value::Null);
            assert_eq!(of(&rule("keep"), "x", value), value);
            let Value::Text(hashed) = of(&rule("hash"), "x", value) else {
                panic!("{value:?}")
            };
            assert!(hashed.starts_with("sensitive_key:v1:"), "{hashed}");
        }
    }

    #[test]
    fn arrays_keys_and_closed_words() {
        let arena = Bump::new();
        let list = Value::Json(
            r#"["a
bob@example.com",{"password":"x"}]"#,
        );
        let (field, found) = scrubbed("{}", attribute("list", list), &arena);
        let expected = r#"["a
[EMAIL]",{"password":"[SECRET]"}]"#;
        assert_eq!(field.value, Value::Text(expected));
        assert_eq!(found.names().collect::<Vec<_>>(), ["email", "secret"]);
        let (field, _) = scrubbed(
            "{}",
            attribute("bob@example.com", Value::Bool(true)),
            &arena,
        );
        assert_eq!(field.name, "[EMAIL]");
        let level = Field {
            role: Role::Level,
            ..attribute("level", Value::Text("bob@example.com"))
        };
        assert_eq!(scrubbed("{}", level, &arena).0, level);
    }

    /// What fields hold, and what they are called.
    const TEXTS: &[&str] = &[
        "checkout",
        "GET",
        "bob@example.com",
        "pwd=x1y2",
        "4111111111111111",
        "415-555-2671",
        "it",
        "phone: 98765 43210",
        "/home/alice/x",
        "10.0.0.5",
        "a fairly long line without anything in it, but long",
        "a long line that says bob@example.com is the one whom we write to, and to nobody else at all",
        r#"["a\nbob@example.com"]"#,
        "DE89370400440532013000",
        "user.password",
        "phone",
        "ssn",
        "x",
        "email.bob@example.com",
        "00:1a:2b:3c:4d:5e",
        "123456789",
        "message",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "\\",
        "n12345678",
        "%3D",
        "密码：x1",
    ];

    fn field() -> impl Strategy<Value = Field<'static>> {
        let text = || proptest::sample::select(TEXTS);
        let value = prop_oneof![
            4 => text().prop_map(Value::Text),
            1 => text().prop_map(Value::Json),
            1 => Just(Value::Int(4_111_111_111_111_111)),
            1 => Just(Value::Bool(true)),
            1 => Just(Value::Null),
        ];
        let role = prop_oneof![
            Just(Role::Attribute),
            Just(Role::Message),
            Just(Role::Level)
        ];
        (text(), value, role).prop_map(|(name, value, role)| Field {
            name,
            value,
            role,
            sub: 0,
        })
    }

    proptest! {
        #[test]
        fn together_is_as_one_by_one(fields in proptest::collection::vec(field(), 0..70)) {
            let rules = r#"{"classes":{"ipv6":"redact"},"paths":[{"path":"x","classes":{"ipv4":"hash"}}]}"#;
            let words = r#"{"sensitive_keys":["it"],"plain_keys":["message"]}"#;
            for policy in ["{}", rules, words] {
                let policy: Policy = serde_json::from_str(policy).unwrap();
                let pepper = Pepper::new(1, b"a pepper of a good length").unwrap();
                let scrubber = Scrubber::new(&policy, pepper).unwrap();
                let arena = Bump::new();
                let (mut apart, mut together) = (fields.clone(), fields.clone());
                let (mut one, mut all) = (ClassSet::EMPTY, ClassSet::EMPTY);
                for field in &mut apart {
                    scrubber.scrub_field(field, &arena, &mut one);
                }
                scrubber.scrub_fields(&mut together, &arena, &mut all);
                prop_assert_eq!(apart, together);
                prop_assert_eq!(one, all);
            }
        }
    }
}
