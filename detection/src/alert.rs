//! What an alert says and what it is called. Text is made only from what the caller's look-up
//! gives, which is the scrubbed event.

use crate::rules::{EventView, Rule, RuleDef, RuleMatch, find_field};
use millrace_shared::ids::OrgId;
use millrace_shared::{Field, Value};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use uuid::{Builder, Uuid};

/// Characters of a rendered message.
pub const MESSAGE_CHARS_MAX: usize = 2_000;
/// Characters that one placeholder may put in.
const VALUE_CHARS_MAX: usize = 300;
/// Stands for a value that is not there.
const MISSING: &str = "unknown";

/// Fills the `{path}` placeholders of a template. `{{` and `}}` are braces; braces around what is
/// no path stay as they are.
pub fn render<'v>(template: &str, mut value: impl FnMut(&str) -> Option<Cow<'v, str>>) -> String {
    let mut text = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let brace = from.get(..1).unwrap_or_default();
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            text.push_str(brace);
            rest = after;
            continue;
        }
        match placeholder(from) {
            Some((path, after)) => {
                match value(path) {
                    Some(value) => text.extend(value.chars().take(VALUE_CHARS_MAX)),
                    None => text.push_str(MISSING),
                }
                rest = after;
            }
            None => {
                text.push_str(brace);
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    text.push_str(rest);
    if let Some((end, _)) = text.char_indices().nth(MESSAGE_CHARS_MAX) {
        text.truncate(end);
    }
    text
}

/// The paths that a template names.
pub fn placeholders(template: &str) -> Vec<String> {
    let mut paths = Vec::new();
    render(template, |path| {
        paths.push(path.to_owned());
        None
    });
    paths
}

/// The path between the braces at the start of the text, and what follows them.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (path, after) = text.strip_prefix('{')?.split_once('}')?;
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '@');
    (!path.is_empty() && path.chars().all(fits)).then_some((path, after))
}

/// The message of a rule's alert; the view is of the scrubbed event.
#[must_use]
pub fn message(rule: &RuleDef, view: &EventView<'_, '_>) -> String {
    render(&rule.message, |path| {
        find_field(path, view)
            .of(view.event, view.resource)
            .map(|field| text(field).into())
    })
}

/// The values of a match's group, or of its dedupe key where there is no group, by path: a JSON
/// object. The view is of the scrubbed event.
#[must_use]
pub fn group(rule: &Rule, found: &RuleMatch, view: &EventView<'_, '_>) -> Json {
    let (paths, fields) = if rule.def.group_by.is_empty() {
        (&rule.dedupe_keys, &found.dedupe_fields)
    } else {
        (&rule.def.group_by, &found.group_fields)
    };
    let values: Map<String, Json> = paths
        .iter()
        .zip(fields.as_slice())
        .filter_map(|(path, at)| {
            let field = at.of(view.event, view.resource)?;
            Some((path.clone(), text(field).into()))
        })
        .collect();
    Json::Object(values)
}

/// The group in whose window a match counts; none where it counts in no window.
#[must_use]
pub fn window_group(rule: &Rule, found: &RuleMatch) -> Option<u128> {
    found
        .group
        .or_else(|| rule.def.group_by.is_empty().then_some(0))
}

fn text(field: &Field<'_>) -> String {
    match field.value {
        Value::Text(text) | Value::Json(text) => text.to_owned(),
        Value::Int(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Null => String::new(),
    }
}

/// When an alert was seen: first and last, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First.
    pub first_ns: i64,
    /// Last.
    pub last_ns: i64,
}

impl Span {
    /// From the first to the last.
    #[must_use]
    pub const fn new(first_ns: i64, last_ns: i64) -> Self {
        Span { first_ns, last_ns }
    }

    /// Whether an alert takes up a firing of the same rule and dedupe key: less than the dedupe
    /// window lies between them, whichever is first.
    #[must_use]
    pub const fn takes(self, firing: Span, window_ns: i64) -> bool {
        firing.first_ns <= self.last_ns.saturating_add(window_ns)
            && firing.last_ns >= self.first_ns.saturating_sub(window_ns)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Span) -> Span {
        let first_ns = self.first_ns.min(other.first_ns);
        Span::new(first_ns, self.last_ns.max(other.last_ns))
    }
}

/// What an alert is about, for its id.
#[derive(Clone, Copy, Debug)]
pub struct AlertIdentity<'a> {
    /// The organisation.
    pub org: OrgId,
    /// The rule's id.
    pub rule: &'a str,
    /// [`crate::RuleMatch::dedupe`], or the group where the rule has no dedupe key.
    pub key: Option<u128>,
    /// The event that began it: [`crate::Firing::first_event`], or the event itself.
    pub first_event: u128,
}

/// The alert's id: made of what it is about alone, so that doing the work again names the same
/// alert. A UUID of version 8.
#[must_use]
pub fn alert_id(identity: &AlertIdentity<'_>) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(identity.org.as_bytes());
    hash.update(
        u64::try_from(identity.rule.len())
            .unwrap_or(u64::MAX)
            .to_be_bytes(),
    );
    hash.update(identity.rule.as_bytes());
    match identity.key {
        Some(key) => {
            hash.update([1]);
            hash.update(key.to_be_bytes());
        }
        None => hash.update([0]),
    }
    hash.update(identity.first_event.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let (first, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    Builder::from_custom_bytes(*first).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> String {
        render(template, |path| match path {
            "ip" => Some(Cow::Borrowed("[IP]")),
            "actor.email" => Some(Cow::Borrowed("{ip}")),
            _ => None,
        })
    }

    #[test]
    fn placeholders_are_filled_once_and_braces_stay() {
        assert_eq!(
            rendered("{ip} by {actor.email}, {nothing}"),
            "[IP] by {ip}, unknown"
        );
        assert_eq!(
            rendered("{{ip}} {not a path} {} } {é} {"),
            "{ip} {not a path} {} } unknown {"
        );
        assert_eq!(placeholders("{a.b} {{c}} {d}"), ["a.b", "d"]);
    }

    #[test]
    fn messages_are_bounded() {
        let long = render("{a}".repeat(100).as_str(), |_| {
            Some(Cow::Owned("é".repeat(10_000)))
        });
        assert_eq!(long.chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn ids_are_the_same_again_and_differ_in_every_part() {
        let base = AlertIdentity {
            org: Uuid::nil(),
            rule: "R",
            key: Some(1),
            first_event: 2,
        };
        let others = [
            AlertIdentity {
                org: Uuid::from_u128(9),
                ..base
            },
            AlertIdentity { rule: "S", ..base },
            AlertIdentity { key: None, ..base },
            AlertIdentity {
                key: Some(2),
                ..base
            },
            AlertIdentity {
                first_event: 3,
                ..base
            },
        ];
        assert_eq!(alert_id(&base), alert_id(&base));
        for other in &others {
            assert_ne!(alert_id(&base), alert_id(other));
        }
        assert_eq!(alert_id(&base).get_version_num(), 8);
    }
}
