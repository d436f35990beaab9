//! MITRE ATT&CK: tags to ids, what a set of rules covers, and the layer that the ATT&CK Navigator
//! shows.

use crate::rules::{RuleDef, RuleSeverity};
use millrace_shared::wire::Severity;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The tactics by the names that tags have, with their ids.
const TACTICS: [(&str, &str); 16] = [
    ("reconnaissance", "TA0043"),
    ("resource-development", "TA0042"),
    ("initial-access", "TA0001"),
    ("execution", "TA0002"),
    ("persistence", "TA0003"),
    ("privilege-escalation", "TA0004"),
    ("defense-evasion", "TA0005"),
    ("stealth", "TA0005"),
    ("defense-impairment", "TA0112"),
    ("credential-access", "TA0006"),
    ("discovery", "TA0007"),
    ("lateral-movement", "TA0008"),
    ("collection", "TA0009"),
    ("command-and-control", "TA0011"),
    ("exfiltration", "TA0010"),
    ("impact", "TA0040"),
];
/// Ids that one rule may have.
const IDS_MAX: usize = 50;

/// The ids of a rule's tags: techniques, sub-techniques and tactics. Groups and software stay
/// among the tags only.
pub(super) fn ids(tags: &[String]) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for tag in tags {
        let Some(name) = tag.strip_prefix("attack.") else {
            continue;
        };
        let name = name.replace('_', "-").to_lowercase();
        let tactic = TACTICS.iter().find(|(tactic, _)| *tactic == name);
        let id = match tactic {
            Some((_, id)) => (*id).to_owned(),
            None => name.to_uppercase(),
        };
        let digits = id.strip_prefix("TA").or_else(|| id.strip_prefix('T'));
        let is_id = digits.is_some_and(|digits| {
            digits.len() >= 4
                && digits
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.')
        });
        if is_id && !ids.contains(&id) && ids.len() < IDS_MAX {
            ids.push(id);
        }
    }
    ids
}

/// What is known of one technique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Technique {
    /// Rules that run.
    pub enabled: usize,
    /// Rules that are switched off.
    pub disabled: usize,
    /// The highest severity of those that run.
    pub severity: Option<Severity>,
}

/// What rules cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// By the id of the technique or sub-technique.
    pub techniques: BTreeMap<String, Technique>,
    /// By the id of the tactic.
    pub tactics: BTreeMap<String, Technique>,
    /// Rules without any id.
    pub unmapped: usize,
    /// All rules.
    pub rules: usize,
}

/// What a set of rules covers.
pub fn coverage<'r>(rules: impl IntoIterator<Item = &'r RuleDef>) -> Coverage {
    let mut coverage = Coverage::default();
    for rule in rules {
        coverage.rules += 1;
        coverage.unmapped += usize::from(rule.attack.is_empty());
        for id in &rule.attack {
            let known = if id.starts_with("TA") {
                &mut coverage.tactics
            } else {
                &mut coverage.techniques
            };
            known.entry(id.clone()).or_default().add(rule);
        }
    }
    coverage
}

impl Technique {
    fn add(&mut self, rule: &RuleDef) {
        if !rule.enabled {
            self.disabled += 1;
            return;
        }
        self.enabled += 1;
        let severity = match rule.severity {
            RuleSeverity::Fixed(severity) => severity,
            RuleSeverity::Ioc => Severity::Medium,
        };
        self.severity = self.severity.max(Some(severity));
    }
}

/// The layer of the ATT&CK Navigator (format 4.5): each technique's score is the number of rules
/// that run.
#[must_use]
pub fn navigator_layer(coverage: &Coverage, name: &str) -> Value {
    let most = coverage
        .techniques
        .values()
        .map(|technique| technique.enabled)
        .max();
    let techniques = coverage.techniques.iter().map(|(id, technique)| {
        let off = match technique.disabled {
            0 => String::new(),
            disabled => format!(", {disabled} switched off"),
        };
        json!({
            "techniqueID": id,
            "score": technique.enabled,
            "enabled": true,
            "showSubtechniques": id.contains('.'),
            "comment": format!("{} rules{off}", technique.enabled),
            "metadata": technique.severity.map(|severity| {
                json!([{"name": "highest severity", "value": severity.as_str()}])
            }).unwrap_or_else(|| json!([])),
        })
    });
    json!({
        "name": name,
        "versions": {"layer": "4.5", "navigator": "5.1.0"},
        "domain": "enterprise-attack",
        "description": format!("{} rules, {} without a technique or tactic", coverage.rules, coverage.unmapped),
        "sorting": 3,
        "hideDisabled": false,
        "techniques": techniques.collect::<Vec<_>>(),
        "gradient": {
            "colors": ["#ffe766ff", "#8ec843ff"],
            "minValue": 0,
            "maxValue": most.unwrap_or(0).max(1),
        },
        "legendItems": [],
    })
}
