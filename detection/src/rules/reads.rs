//! What a rule reads of an event: the paths it compares, and those whose values it only tells apart
//! (groups, dedupe keys, what a window counts).

use super::compile::{NO_SLOT, Rule, RuleSet};
use super::keys::INDICATOR_SLOT;
use super::path::INDICATOR_PATH;

/// The paths that a rule reads, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads<'r> {
    /// Those that its conditions and exceptions compare.
    pub compared: Vec<&'r str>,
    /// Those whose values it tells apart or adds up.
    pub keyed: Vec<&'r str>,
}

impl RuleSet {
    /// What a rule of this set reads.
    #[must_use]
    pub fn reads<'s>(&'s self, rule: &'s Rule) -> Reads<'s> {
        let mut reads = Reads::default();
        let add = |list: &mut Vec<&'s str>, path: &'s str| {
            if !path.is_empty() && !list.contains(&path) {
                list.push(path);
            }
        };
        for selection in rule.def.selections() {
            selection.each(&mut |condition| {
                add(&mut reads.compared, &condition.field);
                let other = condition.value.get("field");
                let other = other.and_then(serde_json::Value::as_str);
                add(&mut reads.compared, other.unwrap_or_default());
            });
        }
        for path in rule.def.group_by.iter().chain(&rule.dedupe_keys) {
            add(&mut reads.keyed, path);
        }
        // What a window counts or adds up has a slot, whatever kind of window it is.
        rule.each_slot(&mut |slot| match slot {
            NO_SLOT => {}
            INDICATOR_SLOT => add(&mut reads.keyed, INDICATOR_PATH),
            slot => {
                let path = self.paths.get(slot as usize).map_or("", |path| path);
                if !reads.compared.contains(&path) {
                    add(&mut reads.keyed, path);
                }
            }
        });
        reads
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BusinessHours, OrgSettings, RuleDef};
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn what_is_compared_and_what_is_told_apart() {
        let document = json!({"id": "r", "name": "n", "severity": "low", "message": "m", "scope": ["logs"],
            "selection": {"all": [
                {"field": "level", "op": "eq", "value": "error"},
                {"field": "a", "op": "eq", "value": {"field": "b"}},
                {"op": "after_hours", "value": true}]},
            "window": {"kind": "distinct", "seconds": 60, "threshold": 2, "field": "user"},
            "group_by": ["host", "level"],
            "exceptions": [{"selection": [{"field": "c", "op": "exists", "value": true}], "reason": "x"}]});
        let def = Arc::new(RuleDef::from_json(&document).unwrap());
        let settings = OrgSettings {
            hash_key: [0; 32],
            hours: BusinessHours::default(),
        };
        let (set, errors) = RuleSet::compile([def], settings);
        assert!(errors.is_empty(), "{errors:?}");
        let reads = set.reads(&set.rules()[0]);
        assert_eq!(reads.compared, ["c", "level", "a", "b"]);
        assert_eq!(reads.keyed, ["host", "level", "user"]);
    }
}
