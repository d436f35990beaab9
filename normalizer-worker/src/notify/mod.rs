//! Tells people of alerts: what stands in the outbox is sent to the channels, at least once, each
//! message under one key that never changes.
//!
//! ```text
//! commit, API   alert changes → notify_alert() → a row for each channel   (timescale-init/140)
//! escalate      open for too long → the same, once, whichever worker comes first
//! queue         a lease on a channel → its next message → what became of it
//! message       the stored facts, clipped
//! webhook, …    facts → the body that a kind of receiver takes            (pure)
//! send, smtp    body → the receiver, through the guarded client; mail over a bounded wire
//! verdict       how that ended → sent, again later, or never              (pure)
//! sender        all of it, again and again
//! ```
//!
//! A channel is sent to by one worker at a time, message by message, so that its rate limit is exact
//! and an alert's end is not told before its beginning. A worker that is killed between sending and
//! noting it leaves a message that is sent again, with the same key.
//!
//! What must not be here: a message made from anything but the scrubbed alert, an answer's text in a
//! log line or a table, a connection that `millrace_runtime::outgoing` has not judged.

pub mod message;
mod text;
mod webhook;
mod slack;
mod teams;
mod discord;
mod pagerduty;
mod email;
mod wire;
mod smtp;
mod send;
mod verdict;
mod queue;
mod escalate;
mod sender;

pub use sender::{Sender, run};

use millrace_runtime::outgoing::Outgoing;
use millrace_shared::secret::MasterKey;
use millrace_shared::settings::{Settings, SettingsError};
use std::time::Duration;

/// What stands for the id in the address of an alert.
const LINK_ID: &str = "{id}";

/// How notifications are sent.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Time for one attempt.
    pub timeout: Duration,
    /// The first pause before another.
    pub retry: Duration,
    /// Age at which a message is given up.
    pub give_up: Duration,
    /// Age at which an open alert is escalated; zero for never.
    pub escalate: Duration,
    /// Address of an alert, with `{id}`; empty for none.
    pub link: String,
}

impl Rules {
    /// Reads and checks the settings.
    ///
    /// # Errors
    /// Names the setting and the fix.
    pub fn read(settings: &Settings) -> Result<Self, SettingsError> {
        const LINK: &str = "MILLRACE_ALERT_URL";
        let link = settings.text(LINK)?.to_owned();
        let web = link.starts_with("https://") || link.starts_with("http://");
        let usable = link.is_empty() || (web && link.contains(LINK_ID));
        if !usable {
            return Err(SettingsError::Unusable {
                name: LINK,
                problem: "must be an http(s) address with `{id}` in it".to_owned(),
            });
        }
        Ok(Rules {
            timeout: settings.seconds("MILLRACE_NOTIFY_TIMEOUT_S", 1..=60)?,
            retry: settings.seconds("MILLRACE_NOTIFY_RETRY_S", 1..=600)?,
            give_up: settings.seconds("MILLRACE_NOTIFY_GIVE_UP_S", 1..=604_800)?,
            escalate: settings.seconds("MILLRACE_ESCALATION_S", 0..=604_800)?,
            link,
        })
    }

    fn link_to(&self, alert: &str) -> Option<String> {
        (!self.link.is_empty()).then(|| self.link.replace(LINK_ID, alert))
    }
}

/// With what notifications are sent.
#[derive(Clone, Debug)]
pub struct Means {
    /// How.
    pub rules: Rules,
    /// The guarded way out.
    pub outgoing: Outgoing,
    /// Opens the addresses.
    pub master: MasterKey,
}
