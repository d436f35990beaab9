//! A rule that is imported once more. What the publisher wrote is taken anew; what the organisation
//! made of it stays: whether it runs, its exceptions and mute windows, its dedupe and its test cases.

use crate::rules::trial::run_tests;
use crate::rules::{OrgSettings, Problem, RuleDef, check_new_id};
use serde_json::Value;

/// What becomes of an imported rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Renewal {
    /// There is none of its id: it is made.
    New,
    /// There is one, and this is its next version.
    Changed(Box<RuleDef>),
    /// There is one, and it says the same.
    Same,
    /// It cannot take the place of the one that there is.
    Refused(Problem),
}

/// What becomes of an imported rule where `present` is the document of the rule with its id.
#[must_use]
pub fn renew(imported: &RuleDef, present: Option<&Value>, settings: OrgSettings) -> Renewal {
    let Some(present) = present else {
        return check_new_id(&imported.id).map_or_else(Renewal::Refused, |()| Renewal::New);
    };
    if present.pointer("/origin/format").and_then(Value::as_str) != Some("sigma") {
        let what = "is that of a rule which is not of Sigma; remove or rename one of them";
        return Renewal::Refused(Problem::new("id", what));
    }
    // One that this version cannot read does not run either: it begins anew.
    let Ok(present) = RuleDef::from_json(present) else {
        return Renewal::Changed(Box::new(imported.clone()));
    };
    let next = tuned(imported, &present);
    if next == present {
        return Renewal::Same;
    }
    match own_tests(&next, settings) {
        Ok(()) => Renewal::Changed(Box::new(next)),
        Err(problem) => Renewal::Refused(problem),
    }
}

/// The imported rule with what the organisation made of the present one.
fn tuned(imported: &RuleDef, present: &RuleDef) -> RuleDef {
    // The windows of correlations say themselves what is one alert.
    let dedupe = present.dedupe.clone();
    RuleDef {
        version: present.version,
        enabled: present.enabled,
        exceptions: present.exceptions.clone(),
        mute: present.mute.clone(),
        tests: present.tests.clone(),
        dedupe: dedupe.filter(|_| imported.window.is_none()),
        ..imported.clone()
    }
}

fn own_tests(rule: &RuleDef, settings: OrgSettings) -> Result<(), Problem> {
    let outcomes = run_tests(rule, settings).map_err(|error| error.problem)?;
    match outcomes.iter().find(|outcome| !outcome.passed) {
        None => Ok(()),
        Some(failed) => {
            let what = format!("the test case {:?} that you gave it fails", failed.name);
            Err(Problem::new("tests", what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::BusinessHours;
    use serde_json::json;

    const SETTINGS: OrgSettings = OrgSettings {
        hash_key: [0; 32],
        hours: BusinessHours::UTC_OFFICE,
    };

    fn imported(value: &str) -> RuleDef {
        let document = json!({
            "id": "r", "name": "Rule", "severity": "high", "message": "m", "scope": ["logs"],
            "selection": {"field": "f", "op": "eq_ci", "value": value}, "origin": {"format": "sigma"},
        });
        RuleDef::from_json(&document).unwrap()
    }

    fn present(more: &Value) -> Value {
        let mut document = imported("x").to_json();
        let members = document.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        document
    }

    fn renewed(value: &str, more: &Value) -> Renewal {
        renew(&imported(value), Some(&present(more)), SETTINGS)
    }

    #[test]
    fn what_says_the_same_is_no_new_version() {
        assert_eq!(renew(&imported("x"), None, SETTINGS), Renewal::New);
        for more in [
            json!({}),
            json!({"version": 7}),
            json!({"enabled": false}),
            json!({"mute": [{"from": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", "reason": "move"}]}),
        ] {
            assert_eq!(renewed("x", &more), Renewal::Same, "{more}");
        }
    }

    #[test]
    fn what_the_organisation_made_of_a_rule_stays() {
        let more = json!({
            "version": 3, "enabled": false,
            "exceptions": [{"selection": {"field": "g", "op": "eq", "value": "ours"}, "reason": "known"}],
            "dedupe": {"keys": ["g"], "window_seconds": 60},
            "tests": [{"name": "fires", "expect": "match", "events": [
                {"message": "m", "attributes": {"f": "y"}}]}],
        });
        let Renewal::Changed(next) = renewed("y", &more) else {
            panic!("no new version");
        };
        let kept = RuleDef::from_json(&present(&more)).unwrap();
        assert_eq!(next.selection, imported("y").selection);
        assert_eq!(
            *next,
            RuleDef {
                selection: next.selection.clone(),
                ..kept
            }
        );
        // A version that does not do what the organisation wants of the rule is not taken.
        let Renewal::Refused(problem) = renewed("z", &more) else {
            panic!("taken");
        };
        assert!(problem.to_string().contains("\"fires\""), "{problem}");
    }

    #[test]
    fn a_rule_of_ones_own_is_not_overwritten() {
        let Renewal::Refused(problem) = renewed("y", &json!({"origin": null})) else {
            panic!("taken");
        };
        assert_eq!(problem.path, "id");
        let unreadable = json!({"id": "r", "origin": {"format": "sigma"}, "selection": 5});
        let renewal = renew(&imported("y"), Some(&unreadable), SETTINGS);
        assert_eq!(renewal, Renewal::Changed(Box::new(imported("y"))));
    }
}
