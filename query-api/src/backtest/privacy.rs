//! What scrubbing keeps from history. Live rules see events before they are scrubbed, rows are made
//! afterwards: a rule that compares what the organisation's policy takes out is refused. It goes by the
//! policy as it is now; rows say themselves what was scrubbed from them (see `run`).

use bumpalo::Bump;
use millrace_detection::RuleDef;
use millrace_detection::rules::{Condition, Operator, Problem, Reads, field_names};
use millrace_scrubber::{ClassSet, Pepper, Policy, Scrubbed, Scrubber};
use serde_json::Value;

/// Any key does: what is scrubbed is compared with nothing.
const NO_PEPPER: [u8; 32] = [0; 32];
/// Fields whose whole value is of one class, with two such values: what becomes of them tells what
/// becomes of the field. The address book's and documentation's own.
const OF_ONE_CLASS: [(&str, [&str; 2]); 2] = [
    ("actor.email", ["ada@example.com", "bob@example.org"]),
    ("ip", ["192.0.2.7", "198.51.100.9"]),
];
/// Values of no class.
const PLAIN: [&str; 2] = ["first value", "second value"];

/// Checks that what a rule compares and tells apart is still in scrubbed rows.
///
/// # Errors
/// The first path of which it is not.
pub(super) fn check(rule: &RuleDef, reads: &Reads<'_>, policy: &Value) -> Result<(), Problem> {
    // One that cannot be read is replaced by the default in the worker too.
    let policy: Policy = serde_json::from_value(policy.clone()).unwrap_or_default();
    let policy = policy.with_hashed_paths();
    let made = |policy: &Policy| Scrubber::new(policy, Pepper::new(1, &NO_PEPPER)?);
    let scrubber = made(&policy)
        .or_else(|_| made(&Policy::default().with_hashed_paths()))
        .map_err(|error| Problem::new("", error.to_string()))?;
    let sight = Sight {
        scrubber,
        arena: Bump::new(),
    };
    let mut wrong = None;
    for selection in rule.selections() {
        selection.each(&mut |condition| {
            if wrong.is_none() {
                wrong = sight.compared(condition).err();
            }
        });
    }
    if let Some(problem) = wrong {
        return Err(problem);
    }
    reads.keyed.iter().try_for_each(|path| sight.keyed(path))
}

struct Sight {
    scrubber: Scrubber,
    arena: Bump,
}

impl Sight {
    fn compared(&self, condition: &Condition) -> Result<(), Problem> {
        let Condition { field, op, value } = condition;
        if field.is_empty() || op.operator == Operator::Exists {
            return Ok(());
        }
        let problem = |what: &str| Err(Problem::new(field, what));
        let other = value.get("field").and_then(Value::as_str);
        let others = other.map(field_names).unwrap_or_default();
        for name in field_names(field).into_iter().chain(others) {
            if self.scrubber.is_sensitive_key(&name) {
                return problem("is scrubbed as a whole before it is stored");
            }
            let changed = |text: &&str| self.scrub(&name, text).is_some();
            if literals(value).iter().any(|text| changed(&text.as_str())) {
                return problem("is compared with a value that is scrubbed before it is stored");
            }
        }
        match self.of_one_class(field) {
            Some([Some(_), _]) => problem("is scrubbed before it is stored"),
            Some([None, _]) | None => Ok(()),
        }
    }

    fn keyed(&self, path: &str) -> Result<(), Problem> {
        let one_for_all = |values: [Option<String>; 2]| {
            let [first, second] = values;
            first.is_some() && first == second
        };
        let of_class = self.of_one_class(path).is_some_and(one_for_all);
        let whole = field_names(path)
            .iter()
            .any(|name| one_for_all(PLAIN.map(|value| self.scrub(name, value))));
        if of_class || whole {
            let what =
                "is scrubbed to one text before it is stored, so values cannot be told apart";
            return Err(Problem::new(path, what));
        }
        Ok(())
    }

    /// What becomes of two values of a field that holds values of one class.
    fn of_one_class(&self, path: &str) -> Option<[Option<String>; 2]> {
        let name = match path {
            "address" | "client_ip" => "ip",
            path => path,
        };
        let (name, values) = OF_ONE_CLASS.iter().find(|(known, _)| *known == name)?;
        Some(values.map(|value| self.scrub(name, value)))
    }

    /// The text that stands for a value, if that is another.
    fn scrub(&self, name: &str, value: &str) -> Option<String> {
        let mut classes = ClassSet::EMPTY;
        let scrubbed = self
            .scrubber
            .scrub(&self.arena, name, value, &mut classes)?;
        Some(match scrubbed {
            Scrubbed::Replaced(text) => text.to_owned(),
            Scrubbed::Removed => String::new(),
        })
    }
}

/// The texts that a condition compares with.
fn literals(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(literals).collect(),
        Value::Number(number) => vec![number.to_string()],
        Value::Null | Value::Bool(_) | Value::Object(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is_refused(selection: &Value, group_by: &[&str], policy: &Value) -> bool {
        let rule = RuleDef::from_json(
            &json!({"id": "r", "name": "n", "severity": "low", "message": "m",
            "scope": ["audit"], "selection": [selection]}),
        )
        .unwrap();
        let reads = Reads {
            compared: Vec::new(),
            keyed: group_by.to_vec(),
        };
        check(&rule, &reads, policy).is_err()
    }

    fn condition(field: &str, op: &str, value: &Value) -> Value {
        json!({"field": field, "op": op, "value": value})
    }

    #[test]
    fn what_is_taken_out_cannot_be_compared() {
        let none = json!({});
        let addresses = json!({"classes": {"ipv4": "pseudonym"}});
        for (selection, policy) in [
            (
                condition("actor.email", "ends_with", &json!("@example.com")),
                &none,
            ),
            (
                condition("message", "contains", &json!("eve@example.com")),
                &none,
            ),
            (
                condition("metadata.password", "eq", &json!("hunter2")),
                &none,
            ),
            (condition("ip", "cidr", &json!("192.0.2.0/24")), &addresses),
            (
                condition("metadata.src", "in", &json!(["192.0.2.7"])),
                &addresses,
            ),
        ] {
            assert!(is_refused(&selection, &[], policy), "{selection} {policy}");
        }
        for selection in [
            condition("actor.email", "exists", &json!(true)),
            condition("message", "contains", &json!("Failed password")),
            condition("ip", "cidr", &json!("192.0.2.0/24")),
            condition("actor", "eq", &json!("u-1")),
        ] {
            assert!(!is_refused(&selection, &[], &none), "{selection}");
        }
        let kept = json!({"paths": [{"path": "actor.email", "classes": {"email": "keep"}}]});
        let selection = condition("actor.email", "ends_with", &json!("@example.com"));
        assert!(!is_refused(&selection, &[], &kept));
    }

    #[test]
    fn what_is_hashed_can_be_told_apart_and_what_is_redacted_cannot() {
        let any = condition("action", "eq", &json!("login"));
        let none = json!({});
        assert!(!is_refused(&any, &["actor.email", "ip", "actor"], &none));
        assert!(is_refused(&any, &["metadata.password"], &none));
        let redacted = json!({"paths": [{"path": "actor.email", "classes": {"email": "redact"}}]});
        assert!(is_refused(&any, &["actor.email"], &redacted));
        assert!(is_refused(
            &any,
            &["address"],
            &json!({"classes": {"ipv4": "redact"}})
        ));
    }
}
