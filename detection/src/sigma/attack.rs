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
        if is_id(&id) && !ids.contains(&id) && ids.len() < IDS_MAX {
            ids.push(id);
        }
    }
    ids
}

/// Whether it is the id of a tactic (`TA0006`), a technique (`T1110`) or a sub-technique
/// (`T1110.003`).
fn is_id(text: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(tactic) = text.strip_prefix("TA") {
        return digits(tactic, 4);
    }
    let technique = text.strip_prefix('T').unwrap_or_default();
    match technique.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(technique, 4),
    }
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

/// What coverage needs to know of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped<'r> {
    /// Its ATT&CK ids.
    pub attack: &'r [String],
    /// Whether it runs.
    pub enabled: bool,
    /// Its severity; nothing where that is the event's.
    pub severity: Option<Severity>,
}

impl<'r> From<&'r RuleDef> for Mapped<'r> {
    fn from(rule: &'r RuleDef) -> Self {
        Mapped {
            attack: &rule.attack,
            enabled: rule.enabled,
            severity: match rule.severity {
                RuleSeverity::Fixed(severity) => Some(severity),
                RuleSeverity::Ioc => None,
            },
        }
    }
}

/// What a set of rules covers.
pub fn coverage<'r>(rules: impl IntoIterator<Item = Mapped<'r>>) -> Coverage {
    let mut coverage = Coverage::default();
    for rule in rules {
        coverage.rules += 1;
        coverage.unmapped += usize::from(rule.attack.is_empty());
        for id in rule.attack {
            let known = if id.starts_with("TA") {
                &mut coverage.tactics
            } else {
                &mut coverage.techniques
            };
            known.entry(id.clone()).or_default().add(&rule);
        }
    }
    coverage
}

impl Technique {
    fn add(&mut self, rule: &Mapped<'_>) {
        if rule.enabled {
            self.enabled += 1;
            self.severity = self.severity.max(rule.severity);
        } else {
            self.disabled += 1;
        }
    }
}

/// The layer of the ATT&CK Navigator (format 4.5): each technique's score is the number of rules
/// that run. Techniques of which all rules are switched off are shown without a score.
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
        let mut shown = json!({
            "techniqueID": id,
            "enabled": true,
            "showSubtechniques": id.contains('.'),
            "comment": format!("{} rules{off}", technique.enabled),
            "metadata": technique.severity.map(|severity| {
                json!([{"name": "highest severity", "value": severity.as_str()}])
            }).unwrap_or_else(|| json!([])),
        });
        if technique.enabled > 0
            && let Some(members) = shown.as_object_mut()
        {
            members.insert("score".to_owned(), technique.enabled.into());
        }
        shown
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
