//! The severity an audit event has when its sender gave none: a table, nothing else.

use millrace_shared::wire::{AuditOutcome, Severity};

/// Verbs whose success changes what somebody may do.
const PRIVILEGED_VERBS: &[&str] = &["delete", "remove", "suspend", "elevate", "grant"];
/// Verbs whose success takes a company out of service.
const CRITICAL_VERBS: &[&str] = &["suspend", "delete", "archive"];

/// The default severity by event type, outcome, and the words of action and operation.
#[must_use]
pub fn audit_severity(
    event_type: &str,
    outcome: AuditOutcome,
    action: &str,
    operation: Option<&str>,
) -> Severity {
    use AuditOutcome::{Blocked, Failure, RateLimited, Success, Suspicious};
    let verb =
        |verbs: &[&str]| has_word(action, verbs) || operation.is_some_and(|o| has_word(o, verbs));
    match event_type {
        "AUTHENTICATION" | "PASSWORD_RESET" => match outcome {
            Success => Severity::Info,
            Failure | Suspicious => Severity::Medium,
            Blocked | RateLimited => Severity::High,
        },
        "AUTHORIZATION" => match outcome {
            Success => Severity::Info,
            Failure => Severity::Low,
            Blocked | RateLimited | Suspicious => Severity::Medium,
        },
        "USER_MANAGEMENT" => match outcome {
            Success if verb(PRIVILEGED_VERBS) => Severity::High,
            Success => Severity::Low,
            Failure | Blocked | RateLimited | Suspicious => Severity::Medium,
        },
        "COMPANY_MANAGEMENT" => match outcome {
            Success if verb(CRITICAL_VERBS) => Severity::Critical,
            Success | Failure | Blocked | RateLimited | Suspicious => Severity::High,
        },
        "PLATFORM_ADMIN" | "DATA_PRIVACY" => Severity::High,
        "RATE_LIMITING" => Severity::Medium,
        "CSRF_PROTECTION" => match outcome {
            Blocked => Severity::High,
            Success => Severity::Info,
            Failure | RateLimited | Suspicious => Severity::Medium,
        },
        "API_SECURITY" => match outcome {
            Blocked => Severity::High,
            Success | Failure | RateLimited | Suspicious => Severity::Medium,
        },
        _ => match outcome {
            Success => Severity::Info,
            Failure => Severity::Low,
            Blocked | RateLimited | Suspicious => Severity::Medium,
        },
    }
}

/// Whether one of the words begins a word of the text: `delete` is in `user.deleted`,
/// `DeleteUser` and `hard_delete`, not in `undeletable`.
fn has_word(text: &str, words: &[&str]) -> bool {
    let bytes = text.as_bytes();
    words.iter().any(|word| {
        bytes.windows(word.len()).enumerate().any(|(at, window)| {
            let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied();
            let first = window.first().copied().unwrap_or(0);
            let begins = match before {
                None => true,
                Some(before) => {
                    !before.is_ascii_alphabetic()
                        || (before.is_ascii_lowercase() && first.is_ascii_uppercase())
                }
            };
            begins && window.eq_ignore_ascii_case(word.as_bytes())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use AuditOutcome::{Blocked, Failure, RateLimited, Success, Suspicious};

    #[test]
    fn the_table_of_the_design() {
        let of = |event_type, outcome, action| audit_severity(event_type, outcome, action, None);
        for (event_type, outcome, action, severity) in [
            ("AUTHENTICATION", Success, "login", Severity::Info),
            ("AUTHENTICATION", Failure, "login", Severity::Medium),
            ("AUTHENTICATION", Suspicious, "login", Severity::Medium),
            ("AUTHENTICATION", Blocked, "login", Severity::High),
            ("AUTHENTICATION", RateLimited, "login", Severity::High),
            ("AUTHORIZATION", Blocked, "read", Severity::Medium),
            ("USER_MANAGEMENT", Success, "user.deleted", Severity::High),
            ("USER_MANAGEMENT", Success, "GrantRole", Severity::High),
            ("USER_MANAGEMENT", Success, "user.create", Severity::Low),
            ("USER_MANAGEMENT", Failure, "user.delete", Severity::Medium),
            ("COMPANY_MANAGEMENT", Success, "archive", Severity::Critical),
            ("COMPANY_MANAGEMENT", Success, "rename", Severity::High),
            ("COMPANY_MANAGEMENT", Failure, "archive", Severity::High),
            ("PLATFORM_ADMIN", Success, "view", Severity::High),
            ("DATA_PRIVACY", Success, "export", Severity::High),
            ("RATE_LIMITING", RateLimited, "limit", Severity::Medium),
            ("CSRF_PROTECTION", Blocked, "post", Severity::High),
            ("API_SECURITY", Blocked, "call", Severity::High),
            ("API_SECURITY", Success, "call", Severity::Medium),
            ("SOMETHING_ELSE", Success, "x", Severity::Info),
        ] {
            assert_eq!(
                of(event_type, outcome, action),
                severity,
                "{event_type} {action}"
            );
        }
    }

    #[test]
    fn the_operation_counts_as_the_action_does_and_only_whole_words() {
        let of = |action, operation| audit_severity("USER_MANAGEMENT", Success, action, operation);
        assert_eq!(of("update", Some("Suspend user")), Severity::High);
        assert_eq!(of("undeletable", None), Severity::Low);
        assert_eq!(of("hardDelete", None), Severity::High);
    }
}
