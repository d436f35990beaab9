//! Control snapshots: of the size that the targets name, rules by the thousand and indicators by the
//! million, none of which the standard batch matches often; and of rules that are given.

use anyhow::ensure;
use millrace_detection::RuleDef;
use normalizer_worker::control::{Control, Fixed, Kept};
use normalizer_worker::control_rows::{ControlRows, IndicatorRow, OrganisationRow, RuleRow};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

/// The organisation of the benchmarks.
pub const ORG: Uuid = Uuid::from_u128(0xbe0c);

/// A snapshot with that many rules and indicators.
#[must_use]
pub fn snapshot(rules: usize, indicators: usize) -> Control {
    let rows = ControlRows {
        rules: (0..rules).map(rule).collect(),
        indicators: (0..indicators).map(indicator).collect(),
        ..rows()
    };
    Control::build(&rows, Kept::default(), &Fixed::default()).0
}

/// A snapshot with these rules and no indicators.
///
/// # Errors
///
/// When a rule cannot be used.
pub fn of_rules(rules: &[Arc<RuleDef>]) -> anyhow::Result<Control> {
    let rules = rules.iter().map(|rule| RuleRow {
        org: ORG,
        id: rule.id.clone(),
        version: 1,
        body: rule.to_json(),
    });
    let rows = ControlRows {
        rules: rules.collect(),
        ..rows()
    };
    let (control, unusable) = Control::build(&rows, Kept::default(), &Fixed::default());
    ensure!(unusable.is_empty(), "{unusable:?}");
    Ok(control)
}

/// One organisation, as it is set up by itself.
fn rows() -> ControlRows {
    let organisation = OrganisationRow {
        org: ORG,
        pepper: [7; 32],
        pepper_version: 1,
        pii_policy: json!({}),
        settings: json!({}),
    };
    ControlRows {
        revision: 1,
        organisations: vec![organisation],
        ..ControlRows::default()
    }
}

/// Rules as people write them: a product or route, a word in the message, a status.
fn rule(n: usize) -> RuleRow {
    let selection = match n % 4 {
        0 => {
            json!([{"field": "message", "op": "contains", "value": format!("exploit-{n} attempted")}])
        }
        1 => json!([
            {"field": "service", "op": "eq", "value": format!("service-{n}")},
            {"field": "level", "op": "eq", "value": "error"},
        ]),
        2 => json!([
            {"field": "http.route", "op": "starts_with", "value": format!("/admin/{n}/")},
            {"field": "http.status", "op": "gte", "value": 500},
        ]),
        _ => {
            json!([{"field": "build", "op": "in", "value": [format!("1.{n}.0"), format!("1.{n}.1")]}])
        }
    };
    let body = json!({
        "id": format!("rule-{n}"), "name": format!("Rule {n}"), "version": 1, "severity": "high",
        "enabled": true, "message": "{service}: {message}", "scope": ["logs"],
        "selection": {"all": selection},
    });
    RuleRow {
        org: ORG,
        id: format!("rule-{n}"),
        version: 1,
        body,
    }
}

fn indicator(n: usize) -> IndicatorRow {
    let feed: Arc<str> = Arc::from("bench");
    let (kind, value) = match n % 4 {
        0 => (
            "ipv4",
            format!("45.{}.{}.{}", n >> 18 & 255, n >> 10 & 255, n >> 2 & 255),
        ),
        1 => ("domain", format!("host{n}.malicious-{}.com", n % 977)),
        2 => ("sha256", format!("{n:064x}")),
        _ => ("url", format!("http://bad{n}.example.org/payload")),
    };
    IndicatorRow {
        id: n as u64 + 1,
        org: None,
        feed_id: 1,
        feed,
        trust: 80,
        kind: kind.to_owned(),
        value,
        confidence: 80,
        severity: "high".to_owned(),
        threat: "Bench".to_owned(),
        tags: Vec::new(),
        match_private: false,
        first_seen: None,
        last_seen: None,
        expires_at: None,
    }
}
