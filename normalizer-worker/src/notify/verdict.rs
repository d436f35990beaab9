//! What an attempt came to, and what follows: sent, again after a pause, or given up. Knows no clock.

use super::Rules;
use millrace_runtime::outgoing::OutgoingError;
use millrace_shared::channel::Happening;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The longest pause between two attempts of a message, and the longest rest of a channel.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
const REST_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest that a receiver can ask to be left alone for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The receiver took it.
    Taken {
        /// The status, of HTTP or SMTP.
        status: u16,
    },
    /// It may go better later.
    Later {
        /// What went wrong; never what the receiver said.
        error: String,
        /// The status, where there was one.
        status: Option<u16>,
        /// How long the receiver asks us to wait.
        retry_after: Option<Duration>,
    },
    /// It will never be taken like this.
    Never {
        /// What is wrong.
        error: String,
        /// The status, where there was one.
        status: Option<u16>,
    },
}

impl Attempt {
    /// One that will not go better, without a status.
    #[must_use]
    pub(super) fn never(error: &str) -> Self {
        Attempt::Never {
            error: error.to_owned(),
            status: None,
        }
    }

    /// One that may go better later, without a status.
    #[must_use]
    pub(super) fn later(error: &str) -> Self {
        Attempt::Later {
            error: error.to_owned(),
            status: None,
            retry_after: None,
        }
    }

    /// What it means that there is no answer.
    #[must_use]
    pub(super) fn failed(error: &OutgoingError) -> Self {
        if error.may_pass() {
            Attempt::later(&error.to_string())
        } else {
            Attempt::never(&error.to_string())
        }
    }

    /// What a status of HTTP means.
    #[must_use]
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        let error = format!("answered with status {status}");
        let status = Some(status);
        match status {
            Some(code @ 200..=299) => Attempt::Taken { status: code },
            // Request timeout, too early, too many requests.
            Some(408 | 425 | 429 | 500..=599) => Attempt::Later {
                error,
                status,
                retry_after,
            },
            Some(300..=399) => Attempt::Never {
                error: "answered with a redirect, which is not followed".to_owned(),
                status,
            },
            _ => Attempt::Never { error, status },
        }
    }
}

/// What is known of the message and its channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// What is told.
    pub(super) happening: Happening,
    /// Attempts, this one included.
    pub(super) attempts: u32,
    /// Attempts of the channel that failed one after another before this one.
    pub(super) failures: u32,
    /// Since it was queued.
    pub(super) age: Duration,
}

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is delivered.
    Sent,
    /// It is tried again after a pause.
    Pending(Duration),
    /// It is given up.
    Dead,
    /// A test that failed: nobody waits for it.
    Dropped,
}

impl Fate {
    /// As it is stored and counted.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Fate::Sent => "sent",
            Fate::Pending(_) => "pending",
            Fate::Dead => "dead",
            Fate::Dropped => "dropped",
        }
    }
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) fate: Fate,
    pub(super) error: Option<String>,
    pub(super) status: Option<u16>,
    /// How long the channel is left alone.
    pub(super) rest: Option<Duration>,
}

/// Decides.
pub(super) fn judge(attempt: Attempt, standing: Standing, rules: &Rules) -> Verdict {
    let gives_up = |fate: Fate| match standing.happening {
        Happening::Test => Fate::Dropped,
        Happening::Created
        | Happening::Escalated
        | Happening::SeverityRaised
        | Happening::Resolved => fate,
    };
    match attempt {
        Attempt::Taken { status } => Verdict {
            fate: Fate::Sent,
            error: None,
            status: Some(status),
            rest: None,
        },
        Attempt::Never { error, status } => Verdict {
            fate: gives_up(Fate::Dead),
            error: Some(error),
            status,
            rest: None,
        },
        Attempt::Later {
            error,
            status,
            retry_after,
        } => {
            let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
            let pause = doubled(rules.retry, standing.attempts.saturating_sub(1), PAUSE_MAX);
            let rest = doubled(rules.retry, standing.failures, REST_MAX).max(asked);
            let over = standing.age >= rules.give_up;
            let again = Fate::Pending(pause.max(asked));
            Verdict {
                fate: gives_up(if over { Fate::Dead } else { again }),
                error: Some(error),
                status,
                rest: Some(rest),
            }
        }
    }
}

/// A pause doubled so many times, shortened at random by up to half, so that those who wait for one
/// receiver do not return to it at once.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    let whole = first.saturating_mul(1 << times.min(16)).min(most);
    // A fresh RandomState is seeded by the operating system.
    let random = RandomState::new().build_hasher().finish() % 1_000;
    whole / 2 + whole * u32::try_from(random).unwrap_or(0) / 2_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            timeout: Duration::from_secs(15),
            retry: Duration::from_secs(4),
            give_up: Duration::from_secs(3_600),
            escalate: Duration::ZERO,
            link: String::new(),
        }
    }

    fn standing(attempts: u32) -> Standing {
        Standing {
            happening: Happening::Created,
            attempts,
            failures: attempts.saturating_sub(1),
            age: Duration::from_secs(60),
        }
    }

    fn after(attempt: Attempt, attempts: u32) -> Verdict {
        judge(attempt, standing(attempts), &rules())
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [200, 201, 202, 204, 299] {
            let verdict = after(Attempt::of_status(status, None), 1);
            assert_eq!((verdict.fate, verdict.rest), (Fate::Sent, None), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            let verdict = after(Attempt::of_status(status, None), 1);
            assert!(matches!(verdict.fate, Fate::Pending(_)), "{status}");
            assert!(verdict.rest.is_some(), "{status}");
        }
        for status in [100, 301, 302, 307, 400, 401, 403, 404, 410, 422, 600] {
            let verdict = after(Attempt::of_status(status, None), 1);
            assert_eq!((verdict.fate, verdict.rest), (Fate::Dead, None), "{status}");
        }
    }

    #[test]
    fn pauses_double_with_jitter_up_to_the_longest() {
        for attempts in 1..20 {
            let Fate::Pending(pause) = after(Attempt::of_status(500, None), attempts).fate else {
                panic!("given up");
            };
            let whole = Duration::from_secs(4 << (attempts - 1)).min(PAUSE_MAX);
            assert!(
                pause >= whole / 2 && pause <= whole,
                "{attempts}: {pause:?}"
            );
        }
    }

    #[test]
    fn what_the_receiver_asks_for_is_waited_for_within_reason() {
        let asked = |seconds| {
            let attempt = Attempt::of_status(429, Some(Duration::from_secs(seconds)));
            let verdict = after(attempt, 1);
            let Fate::Pending(pause) = verdict.fate else {
                panic!("given up");
            };
            assert_eq!(verdict.rest, Some(pause));
            pause
        };
        assert_eq!(asked(120), Duration::from_secs(120));
        assert_eq!(asked(1_000_000), RETRY_AFTER_MAX);
    }

    #[test]
    fn a_message_too_old_is_given_up_and_a_test_is_tried_once() {
        let old = Standing {
            age: Duration::from_secs(3_600),
            ..standing(9)
        };
        let verdict = judge(Attempt::of_status(503, None), old, &rules());
        assert_eq!(verdict.fate, Fate::Dead);
        let test = Standing {
            happening: Happening::Test,
            ..standing(1)
        };
        for status in [404, 503] {
            let verdict = judge(Attempt::of_status(status, None), test, &rules());
            assert_eq!(verdict.fate, Fate::Dropped, "{status}");
        }
    }
}
