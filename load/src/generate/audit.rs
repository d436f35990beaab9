//! Audit events of ordinary work: spread over many people and addresses, so that no built-in rule
//! fires on them.

use super::Page;
use std::fmt::{self, Write as _};

/// Type, action, operation and outcome.
const DEEDS: &[(&str, &str, &str, &str)] = &[
    ("AUTHENTICATION", "login", "POST /login", "SUCCESS"),
    ("AUTHENTICATION", "logout", "POST /logout", "SUCCESS"),
    ("AUTHENTICATION", "login", "POST /login", "FAILURE"),
    ("AUTHORIZATION", "read_invoice", "GET /invoices", "SUCCESS"),
    (
        "USER_MANAGEMENT",
        "update_profile",
        "PATCH /profile",
        "SUCCESS",
    ),
    (
        "SYSTEM_CONFIG",
        "change_setting",
        "PUT /settings",
        "SUCCESS",
    ),
    ("API_SECURITY", "create_token", "POST /tokens", "SUCCESS"),
];

pub(super) fn event(page: &mut Page<'_>, seq: u64) -> fmt::Result {
    let time = page.time();
    let at = usize::try_from(page.dice.below(DEEDS.len() as u64)).unwrap_or(0);
    let deed = DEEDS.get(at).copied();
    let (kind, action, operation, outcome) =
        deed.unwrap_or(("SYSTEM_CONFIG", "none", "none", "SUCCESS"));
    let (user, address) = (page.dice.below(50_000), page.dice.below(1 << 24));
    let [_, a, b, c] = u32::try_from(address).unwrap_or(0).to_be_bytes();
    let email = match page.personal(seq) {
        Some((_, value)) => value,
        None => format!("user{user}@corp.example.com"),
    };
    write!(
        page.out,
        r#"{{"timestamp":"{time}","event_type":"{kind}","action":"{action}","outcome":"{outcome}","service":"accounts","operation":"{operation}","actor":{{"id":"u-{user}","email":"{email}","type":"user"}},"ip":"10.{a}.{b}.{c}","message":"{action} by u-{user}","metadata":{{"load_seq":{seq},"load_run":"{}"}}}}"#,
        page.recipe.run
    )
}
