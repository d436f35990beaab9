//! The address of a channel as a caller writes it, read into one of its kind: every member belongs
//! there, nothing is missing, and it leads to where something may be sent.

use crate::error::Problem;
use millrace_runtime::outgoing::{Outgoing, Refusal as Forbidden};
use millrace_shared::channel::{Address, ChannelKind, MailSecurity, MailServer, PAGERDUTY_URL};
use millrace_shared::outcome::Refusal;
use millrace_shared::secret::Secret;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Where a channel leads to: `url` for all kinds but `email`; besides, `secret` for `webhook`,
/// `routing_key` for `pagerduty`, and for `email` the rest.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddressBody {
    /// Where to post. PagerDuty's own when absent there.
    url: Option<String>,
    /// The key of a webhook's signature (`whsec_…`); made, and told once, when absent.
    secret: Option<String>,
    /// PagerDuty's integration key.
    routing_key: Option<String>,
    /// The mail server.
    host: Option<String>,
    /// Its port: 465 for `tls`, else 587, when absent.
    port: Option<u16>,
    /// `tls`, `starttls` (when absent), or `none` within the operator's own networks.
    security: Option<String>,
    /// The user name at the mail server.
    username: Option<String>,
    /// The password that goes with it.
    password: Option<String>,
    /// The sender.
    from: Option<String>,
    /// The recipients, up to 20.
    to: Option<Vec<String>>,
}

/// An address, read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The address.
    pub(crate) address: Address,
    /// What of it may be shown.
    pub(crate) shown: Value,
    /// The secret that was made for it.
    pub(crate) made: Option<String>,
}

impl AddressBody {
    /// Reads it for a kind of channel.
    ///
    /// # Errors
    /// 400 and 422, naming the member and what is wrong with it.
    pub(crate) fn read(self, kind: ChannelKind, outgoing: &Outgoing) -> Result<Read, Problem> {
        self.only_of(kind)?;
        let mut made = None;
        let address = match kind {
            ChannelKind::Webhook => {
                let secret = match self.secret {
                    Some(secret) => secret,
                    None => {
                        let secret = Secret::generate()
                            .map_err(|error| Problem::internal("no secret", &error))?;
                        made = Some(secret.reveal().to_owned());
                        secret.reveal().to_owned()
                    }
                };
                let url = needed(self.url, "url")?;
                Address::Webhook { url, secret }
            }
            ChannelKind::Slack => Address::Slack {
                url: needed(self.url, "url")?,
            },
            ChannelKind::Teams => Address::Teams {
                url: needed(self.url, "url")?,
            },
            ChannelKind::Discord => Address::Discord {
                url: needed(self.url, "url")?,
            },
            ChannelKind::PagerDuty => Address::PagerDuty {
                url: self.url.unwrap_or_else(|| PAGERDUTY_URL.to_owned()),
                routing_key: needed(self.routing_key, "routing_key")?,
            },
            ChannelKind::Email => Address::Email(self.mail()?),
        };
        if let Some((member, why)) = address.fault() {
            return Err(unusable(member, why));
        }
        check(&address, outgoing)?;
        Ok(Read {
            shown: shown(&address),
            address,
            made,
        })
    }

    /// What is given and of no use would be mistaken for being used.
    fn only_of(&self, kind: ChannelKind) -> Result<(), Problem> {
        let given = [
            ("url", self.url.is_some(), kind != ChannelKind::Email),
            (
                "secret",
                self.secret.is_some(),
                kind == ChannelKind::Webhook,
            ),
            (
                "routing_key",
                self.routing_key.is_some(),
                kind == ChannelKind::PagerDuty,
            ),
            ("host", self.host.is_some(), kind == ChannelKind::Email),
            ("port", self.port.is_some(), kind == ChannelKind::Email),
            (
                "security",
                self.security.is_some(),
                kind == ChannelKind::Email,
            ),
            (
                "username",
                self.username.is_some(),
                kind == ChannelKind::Email,
            ),
            (
                "password",
                self.password.is_some(),
                kind == ChannelKind::Email,
            ),
            ("from", self.from.is_some(), kind == ChannelKind::Email),
            ("to", self.to.is_some(), kind == ChannelKind::Email),
        ];
        match given
            .into_iter()
            .find(|(_, given, belongs)| *given && !belongs)
        {
            None => Ok(()),
            Some((member, _, _)) => {
                let why = format!("is not of a channel of the kind {}", kind.as_str());
                Err(Problem::parameter(&format!("address.{member}"), why))
            }
        }
    }

    fn mail(self) -> Result<MailServer, Problem> {
        let security = match self.security.as_deref() {
            None | Some("starttls") => MailSecurity::Starttls,
            Some("tls") => MailSecurity::Tls,
            Some("none") => MailSecurity::None,
            Some(_) => return Err(unusable("security", "must be tls, starttls or none")),
        };
        let port = self.port.unwrap_or(match security {
            MailSecurity::Tls => 465,
            MailSecurity::Starttls | MailSecurity::None => 587,
        });
        Ok(MailServer {
            host: needed(self.host, "host")?,
            port,
            security,
            username: self.username,
            password: self.password,
            from: needed(self.from, "from")?,
            to: needed(self.to, "to")?,
        })
    }
}

fn needed<T>(value: Option<T>, member: &str) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::parameter(&format!("address.{member}"), "is missing"))
}

fn unusable(member: &str, why: &str) -> Problem {
    Problem::new(Refusal::Unprocessable, format!("address.{member} {why}"))
}

/// The same rules hold when something is sent, and then names are looked up as well.
fn check(address: &Address, outgoing: &Outgoing) -> Result<(), Problem> {
    let refused = |member: &str, why: Forbidden| unusable(member, &why.to_string());
    match address {
        Address::Email(server) => {
            let encrypted = server.security != MailSecurity::None;
            let checked = outgoing.check_mail(&server.host, server.port, encrypted);
            checked.map_err(|why| refused("host", why))
        }
        Address::Webhook { url, .. }
        | Address::Slack { url }
        | Address::Teams { url }
        | Address::Discord { url }
        | Address::PagerDuty { url, .. } => outgoing.check(url).map_err(|why| refused("url", why)),
    }
}

/// What may be shown: of a URL the host, because the rest of it is a secret with most receivers.
fn shown(address: &Address) -> Value {
    match address {
        Address::Email(server) => json!({
            "host": server.host, "port": server.port, "security": server.security,
            "username": server.username, "from": server.from, "to": server.to,
        }),
        Address::Webhook { url, .. }
        | Address::Slack { url }
        | Address::Teams { url }
        | Address::Discord { url }
        | Address::PagerDuty { url, .. } => json!({ "url": origin(url) }),
    }
}

fn origin(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) if url.path() == "/" && url.query().is_none() => url.origin().ascii_serialization(),
        Ok(url) => format!("{}/…", url.origin().ascii_serialization()),
        Err(_) => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_runtime::outgoing::SystemLookup;
    use std::sync::Arc;

    fn read(kind: ChannelKind, body: Value) -> Result<Read, String> {
        let outgoing = Outgoing::new(Vec::new(), Arc::new(SystemLookup)).unwrap();
        let body: AddressBody = serde_json::from_value(body).unwrap();
        body.read(kind, &outgoing)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_is_read_by_its_kind_and_shows_no_secret() {
        let url = "https://hooks.example.net/services/T0/B0/verysecret?x=1";
        let slack = read(ChannelKind::Slack, json!({ "url": url })).unwrap();
        assert_eq!(slack.shown, json!({ "url": "https://hooks.example.net/…" }));
        assert_eq!(slack.made, None);
        let webhook = read(
            ChannelKind::Webhook,
            json!({ "url": "https://example.net" }),
        )
        .unwrap();
        assert!(webhook.made.unwrap().starts_with("whsec_"));
        assert_eq!(webhook.shown, json!({ "url": "https://example.net" }));
        let key = "0123456789abcdef0123456789abcdef";
        let pager = read(ChannelKind::PagerDuty, json!({ "routing_key": key })).unwrap();
        assert_eq!(pager.address.url(), Some(PAGERDUTY_URL));
        assert!(!pager.shown.to_string().contains(key));
        let mail = json!({ "host": "mail.example.net", "username": "u", "password": "verysecret",
                           "from": "a@example.net", "to": ["b@example.net"] });
        let mail = read(ChannelKind::Email, mail).unwrap();
        assert_eq!(mail.shown["port"], 587);
        assert!(!mail.shown.to_string().contains("verysecret"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let key = "0123456789abcdef0123456789abcdef";
        let mail = |more: Value| {
            let mut body = json!({ "host": "mail.example.net", "from": "a@example.net",
                                   "to": ["b@example.net"] });
            let members = body.as_object_mut().unwrap();
            members.extend(more.as_object().unwrap().clone());
            body
        };
        for (kind, body, said) in [
            (ChannelKind::Slack, json!({}), "address.url is missing"),
            (
                ChannelKind::Slack,
                json!({ "url": "https://example.net", "secret": "x" }),
                "address.secret is not of a channel of the kind slack",
            ),
            (
                ChannelKind::Webhook,
                json!({ "url": "https://example.net", "secret": "x" }),
                "address.secret must be",
            ),
            (
                ChannelKind::Webhook,
                json!({ "url": "http://169.254.169.254/latest" }),
                "address.url is a metadata service",
            ),
            (
                ChannelKind::Discord,
                json!({ "url": "https://10.0.0.1/" }),
                "address.url is a private address",
            ),
            (
                ChannelKind::PagerDuty,
                json!({ "url": "https://localhost/", "routing_key": key }),
                "address.url names a host",
            ),
            (
                ChannelKind::Email,
                mail(json!({ "port": 25 })),
                "address.host must use port",
            ),
            (
                ChannelKind::Email,
                mail(json!({ "security": "none" })),
                "address.host must be reached with TLS",
            ),
            (
                ChannelKind::Email,
                mail(json!({ "to": ["b@example.net\r\nRCPT TO:<c@d>"] })),
                "address.to holds",
            ),
        ] {
            let refused = read(kind, body.clone()).err().unwrap_or_default();
            assert!(refused.contains(said), "{body}: {refused}");
        }
    }
}
