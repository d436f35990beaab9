//! Notification channels as they cross from the query API, which writes them, to the worker, which
//! sends: their kinds, what is told through them, and their addresses in sealed form.
//!
//! Judges what an address says, not where it leads: that is for the client which goes there.

use crate::secret::{MasterKey, Secret, SecretError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Recipients of an e-mail channel: a team, not a mailing list.
pub const RECIPIENTS_MAX: usize = 20;
/// Bytes of an e-mail address (RFC 5321, with room for the brackets).
const MAILBOX_BYTES_MAX: usize = 254;
/// Bytes of a user name or password for a mail server.
const CREDENTIAL_BYTES_MAX: usize = 500;
/// Characters of a PagerDuty integration key.
const ROUTING_KEY_CHARS: usize = 32;
/// Where PagerDuty takes events, unless its region is another.
pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// How a channel is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// HTTP with our own JSON, signed.
    Webhook,
    /// Slack's incoming webhook.
    Slack,
    /// Teams, by a workflow that takes an Adaptive Card.
    Teams,
    /// Discord's webhook.
    Discord,
    /// PagerDuty's Events API v2.
    PagerDuty,
    /// Mail, by SMTP.
    Email,
}

impl ChannelKind {
    /// All of them.
    pub const ALL: [ChannelKind; 6] = [
        ChannelKind::Webhook,
        ChannelKind::Slack,
        ChannelKind::Teams,
        ChannelKind::Discord,
        ChannelKind::PagerDuty,
        ChannelKind::Email,
    ];

    /// The word as it is stored, shown and counted.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ChannelKind::Webhook => "webhook",
            ChannelKind::Slack => "slack",
            ChannelKind::Teams => "teams",
            ChannelKind::Discord => "discord",
            ChannelKind::PagerDuty => "pagerduty",
            ChannelKind::Email => "email",
        }
    }
}

/// What is told of an alert; and of none, the test of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// It is new.
    Created,
    /// Nobody has acknowledged it in time.
    Escalated,
    /// Its severity has risen.
    SeverityRaised,
    /// It is resolved, closed, or was nothing.
    Resolved,
    /// Nothing: somebody tries the channel.
    Test,
}

impl Happening {
    /// All of them.
    pub const ALL: [Happening; 5] = [
        Happening::Created,
        Happening::Escalated,
        Happening::SeverityRaised,
        Happening::Resolved,
        Happening::Test,
    ];

    /// The word as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Happening::Created => "created",
            Happening::Escalated => "escalated",
            Happening::SeverityRaised => "severity_raised",
            Happening::Resolved => "resolved",
            Happening::Test => "test",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Happening::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailSecurity {
    /// TLS from the first byte (port 465).
    Tls,
    /// Upgraded to TLS before anything is said; a server that cannot is not used (port 587).
    Starttls,
    /// In plain text, for the operator's own networks only.
    None,
}

/// Where a channel leads to, with its secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Address {
    /// A receiver of our JSON.
    Webhook {
        /// Where to.
        url: String,
        /// The key of the signature, as issued (`whsec_…`).
        secret: String,
    },
    /// Slack.
    Slack {
        /// The incoming webhook.
        url: String,
    },
    /// Teams.
    Teams {
        /// The workflow's address.
        url: String,
    },
    /// Discord.
    Discord {
        /// The webhook.
        url: String,
    },
    /// PagerDuty.
    PagerDuty {
        /// Where events are taken.
        url: String,
        /// The integration key.
        routing_key: String,
    },
    /// Mail.
    Email(MailServer),
}

/// A mail server, and who gets mail by it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailServer {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// Who we are to the server, if it asks.
    pub username: Option<String>,
    /// The password that goes with it.
    pub password: Option<String>,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}, …)", self.kind().as_str())
    }
}

impl fmt::Debug for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailServer(…)")
    }
}

impl Address {
    /// The kind of channel that it is for.
    #[must_use]
    pub const fn kind(&self) -> ChannelKind {
        match self {
            Address::Webhook { .. } => ChannelKind::Webhook,
            Address::Slack { .. } => ChannelKind::Slack,
            Address::Teams { .. } => ChannelKind::Teams,
            Address::Discord { .. } => ChannelKind::Discord,
            Address::PagerDuty { .. } => ChannelKind::PagerDuty,
            Address::Email(_) => ChannelKind::Email,
        }
    }

    /// The URL that is posted to; none for mail.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match self {
            Address::Webhook { url, .. }
            | Address::Slack { url }
            | Address::Teams { url }
            | Address::Discord { url }
            | Address::PagerDuty { url, .. } => Some(url),
            Address::Email(_) => None,
        }
    }

    /// What is wrong with it, as far as it says by itself: the member, and why.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Address::Webhook { secret, .. } => Secret::parse(secret).err().map(|_| {
                let why = "must be `whsec_` and the base64 of at least 24 bytes";
                ("secret", why)
            }),
            Address::PagerDuty { routing_key, .. } => {
                let fits = routing_key.len() == ROUTING_KEY_CHARS
                    && routing_key.bytes().all(|byte| byte.is_ascii_alphanumeric());
                (!fits).then_some(("routing_key", "must be 32 letters and digits"))
            }
            Address::Slack { .. } | Address::Teams { .. } | Address::Discord { .. } => None,
            Address::Email(server) => server.fault(),
        }
    }

    /// Seals it for one channel.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn seal(&self, key: &MasterKey, channel: &str) -> Result<Vec<u8>, SecretError> {
        let text = serde_json::to_vec(self).map_err(|_| SecretError::Unsealable)?;
        key.seal_bytes(&owner(channel), &text)
    }

    /// Opens what was sealed for the same channel.
    ///
    /// # Errors
    /// [`SecretError::Unsealable`].
    pub fn open(key: &MasterKey, channel: &str, sealed: &[u8]) -> Result<Self, SecretError> {
        let text = key.open_bytes(&owner(channel), sealed)?;
        serde_json::from_slice(&text).map_err(|_| SecretError::Unsealable)
    }
}

/// A sealed address cannot be moved to another channel, nor taken for an ingest secret.
fn owner(channel: &str) -> String {
    format!("channel:{channel}")
}

impl MailServer {
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let credentials = [&self.username, &self.password];
        let odd = |text: &Option<String>| {
            text.as_ref().is_some_and(|text| {
                text.is_empty()
                    || text.len() > CREDENTIAL_BYTES_MAX
                    || text.chars().any(char::is_control)
            })
        };
        if self.username.is_some() != self.password.is_some() {
            Some(("password", "must be given with a username, and only then"))
        } else if credentials.into_iter().any(odd) {
            Some(("username", "and password must be plain text of some length"))
        } else if self.username.is_some() && self.security == MailSecurity::None {
            Some((
                "security",
                "must be tls or starttls where there is a password",
            ))
        } else if !is_mailbox(&self.from) {
            Some(("from", "is no e-mail address"))
        } else if self.to.is_empty() || self.to.len() > RECIPIENTS_MAX {
            Some(("to", "must name between 1 and 20 recipients"))
        } else if !self.to.iter().all(|to| is_mailbox(to)) {
            Some(("to", "holds what is no e-mail address"))
        } else {
            None
        }
    }
}

/// Whether it is a plain e-mail address: `local@domain`, without quotes, comments or a name.
#[must_use]
pub fn is_mailbox(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    text.len() <= MAILBOX_BYTES_MAX
        && (1..=64).contains(&local.len())
        && local.bytes().all(plain)
        && local.split('.').all(|part| !part.is_empty())
        && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> MailServer {
        MailServer {
            host: "mail.example.net".to_owned(),
            port: 587,
            security: MailSecurity::Starttls,
            username: Some("u".to_owned()),
            password: Some("p".to_owned()),
            from: "millrace@example.net".to_owned(),
            to: vec!["soc@example.net".to_owned()],
        }
    }

    #[test]
    fn a_sealed_address_opens_for_its_own_channel_and_is_never_printed() {
        let text = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let key = MasterKey::parse(text).unwrap();
        for address in [
            Address::Slack {
                url: "https://hooks.example.net/secret".to_owned(),
            },
            Address::Email(mail()),
        ] {
            let sealed = address.seal(&key, "a").unwrap();
            assert_eq!(Address::open(&key, "a", &sealed), Ok(address.clone()));
            assert_eq!(
                Address::open(&key, "b", &sealed),
                Err(SecretError::Unsealable)
            );
            assert!(!format!("{address:?}").contains("secret"));
        }
        assert_eq!(format!("{:?}", mail()), "MailServer(…)");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        let with = |change: fn(&mut MailServer)| {
            let mut server = mail();
            change(&mut server);
            Address::Email(server).fault().map(|fault| fault.0)
        };
        assert_eq!(with(|_| ()), None);
        assert_eq!(with(|mail| mail.password = None), Some("password"));
        assert_eq!(
            with(|mail| mail.username = Some("a\r\nb".to_owned())),
            Some("username")
        );
        assert_eq!(
            with(|mail| mail.security = MailSecurity::None),
            Some("security")
        );
        assert_eq!(with(|mail| mail.from = "me".to_owned()), Some("from"));
        assert_eq!(with(|mail| mail.to.clear()), Some("to"));
        let webhook = Address::Webhook {
            url: String::new(),
            secret: "short".to_owned(),
        };
        assert_eq!(webhook.fault().map(|fault| fault.0), Some("secret"));
        let pager = |key: &str| Address::PagerDuty {
            url: String::new(),
            routing_key: key.to_owned(),
        };
        assert_eq!(pager(&"a1".repeat(16)).fault(), None);
        assert_eq!(
            pager("a1").fault().map(|fault| fault.0),
            Some("routing_key")
        );
    }

    #[test]
    fn mailboxes_are_plain() {
        for good in ["a@b", "first.last+tag@mail.example.net"] {
            assert!(is_mailbox(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b..c",
            "a@-b",
            ".a@b",
            "a b@c",
            "a@b\r\nRCPT TO:<x@y>",
            "<a@b>",
            "\"a\"@b",
            "a@b,c@d",
            "ä@b",
        ] {
            assert!(!is_mailbox(bad), "{bad:?}");
        }
    }
}
