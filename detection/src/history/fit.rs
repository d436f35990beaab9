//! Whether stored rows can answer for a rule: a rule that asks for what rows do not tell is refused,
//! with the reason.

use crate::rules::path::{self, INDICATOR_PATH, Source};
use crate::rules::{Condition, Operator, Problem, Rule, RuleSet, WindowDef};
use millrace_shared::{Role, Signal};
use serde_json::Value;

const SENT_OF_RESOURCE: &str = "asks for the resource's own service, host or environment, and rows do not tell them from the event's";
const SILENCE: &str = "is noticed by the clock, which history does not have";
const NULLS: &str = "asks whether a field is there, be it null, and rows do not keep null";
const EVENT_TIMES: &str =
    "asks for the time of a span event, and rows have the span's start where there was none";
const INDICATOR: &str =
    "asks which indicator weighed most, and rows have only the list of those that matched";

/// A field whose words are stored in one spelling, whatever they were sent in.
struct Spelled {
    signal: Signal,
    role: Role,
    name: &'static str,
    /// Words without an alias, which no missing value stands for either.
    exact: &'static [&'static str],
}

static SPELLED: [Spelled; 3] = [
    Spelled {
        signal: Signal::Traces,
        role: Role::Kind,
        name: "kind",
        exact: &["client", "server", "producer", "consumer"],
    },
    Spelled {
        signal: Signal::Traces,
        role: Role::Status,
        name: "status",
        exact: &["ok", "error"],
    },
    Spelled {
        signal: Signal::Rum,
        role: Role::EventType,
        name: "event_type",
        exact: &["click", "error", "performance", "custom"],
    },
];

/// Checks that rows of these signals can answer for a rule of the set.
///
/// # Errors
/// The first thing that rows do not tell, with its path.
pub fn check(set: &RuleSet, rule: &Rule, signals: &[Signal]) -> Result<(), Problem> {
    if signals.contains(&Signal::Metrics) {
        let what = "names metrics, which are kept as samples of series and not as events";
        return Err(Problem::new("scope", what));
    }
    if let Some(WindowDef::Silence { .. }) = &rule.def.window {
        return Err(Problem::new("window", SILENCE));
    }
    let mut wrong = None;
    for selection in rule.def.selections() {
        selection.each(&mut |condition| {
            if wrong.is_none() {
                wrong = compared(condition, signals).err();
            }
        });
    }
    if let Some(problem) = wrong {
        return Err(problem);
    }
    for key in set.reads(rule).keyed {
        if key == INDICATOR_PATH {
            return Err(Problem::new(key, INDICATOR));
        }
        told(key)?;
        if let Some(spelled) = spelled(key, signals) {
            return Err(Problem::new(key, spelling(spelled)));
        }
    }
    Ok(())
}

fn compared(condition: &Condition, signals: &[Signal]) -> Result<(), Problem> {
    let field = condition.field.as_str();
    if condition.op.operator == Operator::Present {
        return Err(Problem::new(field, NULLS));
    }
    told(field)?;
    if let Some(spelled) = spelled(field, signals).filter(|of| !is_exact(condition, of)) {
        return Err(Problem::new(field, spelling(spelled)));
    }
    let other = condition.value.get("field").and_then(Value::as_str);
    let other = other.unwrap_or_default();
    told(other)?;
    match spelled(other, signals) {
        Some(spelled) => Err(Problem::new(other, spelling(spelled))),
        None => Ok(()),
    }
}

/// Checks that rows tell what a path means.
fn told(path: &str) -> Result<(), Problem> {
    if path.is_empty() {
        return Ok(());
    }
    for (_, source) in path::all_sources(path) {
        match source {
            Source::ResourceCore(_) => return Err(Problem::new(path, SENT_OF_RESOURCE)),
            Source::Core(Role::SpanEventTime) => return Err(Problem::new(path, EVENT_TIMES)),
            Source::Core(_) | Source::Key(..) => {}
        }
    }
    Ok(())
}

fn spelled(path: &str, signals: &[Signal]) -> Option<&'static Spelled> {
    if path.is_empty() {
        return None;
    }
    let sources = path::all_sources(path);
    let of = |known: &&Spelled| {
        let is_meant = |source: &Source| *source == Source::Core(known.role);
        signals.contains(&known.signal) && sources.iter().any(|(_, source)| is_meant(source))
    };
    SPELLED.iter().find(of)
}

/// Whether the condition holds of the stored word exactly when it holds of the one that was sent.
fn is_exact(condition: &Condition, spelled: &Spelled) -> bool {
    let is_equality = matches!(
        condition.op.operator,
        Operator::Eq | Operator::Neq | Operator::In | Operator::NotIn
    );
    let is_word = |value: &Value| {
        let word = value.as_str().map(str::to_ascii_lowercase);
        word.is_some_and(|word| spelled.exact.contains(&word.as_str()))
    };
    let are_words = match &condition.value {
        Value::Array(values) => values.iter().all(is_word),
        value @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)) => is_word(value),
    };
    is_equality && condition.op.any_case && are_words
}

fn spelling(spelled: &Spelled) -> String {
    let Spelled { name, exact, .. } = spelled;
    format!(
        "asks for a {name} as it was sent, and rows have it in one spelling: history can answer \
         eq_ci, neq_ci, in_ci and not_in_ci with {}",
        exact.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{BusinessHours, OrgSettings, RuleDef};
    use serde_json::json;
    use std::sync::Arc;

    fn refused(scope: &[&str], more: &Value) -> Option<Problem> {
        let mut document = json!({"id": "r", "name": "n", "severity": "low", "message": "m",
            "scope": scope, "selection": [{"field": "service", "op": "eq", "value": "a"}]});
        let members = document.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        let def = Arc::new(RuleDef::from_json(&document).unwrap());
        let settings = OrgSettings {
            hash_key: [0; 32],
            hours: BusinessHours::default(),
        };
        let signals = def.scope.clone();
        let (set, errors) = RuleSet::compile([def], settings);
        assert!(errors.is_empty(), "{errors:?}");
        check(&set, &set.rules()[0], &signals).err()
    }

    fn with(field: &str, op: &str, value: Value) -> Value {
        json!({"selection": [{"field": field, "op": op, "value": value}]})
    }

    #[test]
    fn what_rows_do_not_tell_is_refused() {
        for (scope, more) in [
            ("metrics", json!({})),
            ("logs", with("a", "present", json!(true))),
            ("logs", with("resource.service.name", "eq", json!("a"))),
            ("logs", with("a", "eq", json!({"field": "resource.host"}))),
            ("traces", with("status", "eq", json!("error"))),
            ("traces", with("status", "eq_ci", json!("unset"))),
            ("traces", with("events.timestamp", "exists", json!(true))),
            ("traces", json!({"group_by": ["kind"]})),
            (
                "logs",
                json!({"window": {"kind": "silence", "seconds": 600}, "group_by": ["host"]}),
            ),
            (
                "rum",
                with("event_type", "in_ci", json!(["error", "pageview"])),
            ),
            (
                "logs",
                json!({"dedupe": {"keys": ["ioc.indicator"], "window_seconds": 60}}),
            ),
        ] {
            assert!(refused(&[scope], &more).is_some(), "{scope} {more}");
        }
    }

    #[test]
    fn all_else_is_answered_for() {
        for (scope, more) in [
            ("logs", with("status", "eq", json!("error"))),
            ("logs", with("resource.region", "eq", json!("eu"))),
            ("audit", with("event_type", "eq", json!("LOGIN"))),
            ("traces", with("status", "eq_ci", json!("Error"))),
            (
                "rum",
                with("event_type", "in_ci", json!(["error", "click"])),
            ),
            (
                "audit",
                json!({"group_by": ["ip"], "window": {"kind": "count", "seconds": 60, "threshold": 2}}),
            ),
        ] {
            assert_eq!(refused(&[scope], &more), None, "{scope} {more}");
        }
    }
}
