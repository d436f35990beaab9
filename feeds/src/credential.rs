//! What a server asks for before it gives a feed away: a header of its own, a token, or a name with a
//! password. At rest it is sealed with the master key, for one feed at one server; of what may be shown,
//! nothing is secret. It goes with requests to the feed's own server and with no others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use millrace_runtime::outgoing::header::AUTHORIZATION;
use millrace_runtime::outgoing::{HeaderName, HeaderValue};
use millrace_shared::ids::OrgId;
use millrace_shared::secret::{MasterKey, SecretError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use url::Url;

/// Bytes of a secret: tokens that carry claims have a few thousand.
const SECRET_BYTES_MAX: usize = 4_096;
/// Bytes of the name of a header or of a user.
const NAME_BYTES_MAX: usize = 256;
/// Headers that a request has of itself, or that are about the connection.
const OWN_HEADERS: [&str; 12] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "if-modified-since",
    "if-none-match",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A credential.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// A header, such as `x-api-key`.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// `authorization: Bearer …`.
    Bearer {
        /// The token.
        token: String,
    },
    /// `authorization: Basic …`.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.shown())
    }
}

/// A credential as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What may be shown of it.
    pub shown: Value,
    /// All of it, for whoever has the master key.
    pub bytes: Vec<u8>,
}

impl Credential {
    /// What is wrong with it: the member, and why.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Credential::Header { name, value } => {
                let known = HeaderName::from_bytes(name.as_bytes());
                let may_be_set = known.is_ok_and(|name| !OWN_HEADERS.contains(&name.as_str()));
                if name.len() > NAME_BYTES_MAX || !may_be_set {
                    return Some(("name", "is no header that may be set"));
                }
                (!is_value(value)).then_some(("value", NO_VALUE))
            }
            Credential::Bearer { token } => {
                let fits = is_value(token) && !token.contains(' ');
                (!fits).then_some(("token", "must be visible ASCII without blanks"))
            }
            Credential::Basic { user, password } => {
                // The first colon ends the name (RFC 7617).
                if user.len() > NAME_BYTES_MAX || !is_text(user) || user.contains(':') {
                    return Some(("user", "must be plain text without a colon"));
                }
                (!is_text(password)).then_some(("password", "must be plain text"))
            }
        }
    }

    /// Its kind, and the name of its header or user.
    #[must_use]
    pub fn shown(&self) -> Value {
        match self {
            Credential::Header { name, .. } => json!({ "kind": "header", "name": name }),
            Credential::Bearer { .. } => json!({ "kind": "bearer" }),
            Credential::Basic { user, .. } => json!({ "kind": "basic", "user": user }),
        }
    }

    /// Seals it for the feed of an organisation (or everybody's) that is fetched from an address.
    ///
    /// # Errors
    /// When the address is none, or there is no randomness.
    pub fn seal(
        &self,
        master: &MasterKey,
        feed: (Option<OrgId>, &str),
        url: &str,
    ) -> Result<Sealed, SecretError> {
        let owner = owner(feed, url).ok_or(SecretError::Unsealable)?;
        let text = serde_json::to_vec(self).map_err(|_| SecretError::Unsealable)?;
        Ok(Sealed {
            shown: self.shown(),
            bytes: master.seal_bytes(&owner, &text)?,
        })
    }

    /// Opens what was sealed for the same feed and server.
    pub(crate) fn open(
        master: &MasterKey,
        feed: (Option<OrgId>, &str),
        (url, sealed): (&str, &[u8]),
    ) -> Result<Self, SecretError> {
        let owner = owner(feed, url).ok_or(SecretError::Unsealable)?;
        let text = master.open_bytes(&owner, sealed)?;
        serde_json::from_slice(&text).map_err(|_| SecretError::Unsealable)
    }

    /// The header that says it; nothing where it has a fault.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match self {
            Credential::Header { name, value } => {
                (HeaderName::from_bytes(name.as_bytes()).ok()?, value.clone())
            }
            Credential::Bearer { token } => (AUTHORIZATION, format!("Bearer {token}")),
            Credential::Basic { user, password } => {
                let both = BASE64.encode(format!("{user}:{password}"));
                (AUTHORIZATION, format!("Basic {both}"))
            }
        };
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

const NO_VALUE: &str = "must be visible ASCII, with blanks only between";

fn is_value(text: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    !text.is_empty()
        && text.len() <= SECRET_BYTES_MAX
        && text.bytes().all(visible)
        && text.trim() == text
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= SECRET_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Where an address leads to: scheme, host and port.
pub(crate) fn origin(url: &str) -> Option<String> {
    let origin = Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// A sealed credential can be moved neither to another feed nor to another server.
fn owner((org, name): (Option<OrgId>, &str), url: &str) -> Option<String> {
    let whose = org.map_or_else(|| "installation".to_owned(), |org| org.to_string());
    Some(format!("feed:{whose}:{name}:{}", origin(url)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> MasterKey {
        let text = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        MasterKey::parse(text).unwrap()
    }

    fn read(value: Value) -> Credential {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn it_is_opened_for_its_own_feed_and_server_only() {
        let credential = read(json!({"kind": "basic", "user": "ada", "password": "s3cret"}));
        let feed = (None, "one");
        let url = "https://feed.example.com/a.csv?x=1";
        let sealed = credential.seal(&master(), feed, url).unwrap();
        assert_eq!(sealed.shown, json!({"kind": "basic", "user": "ada"}));
        let open = |feed, url| Credential::open(&master(), feed, (url, &sealed.bytes));
        assert_eq!(open(feed, "https://feed.example.com:443/b"), Ok(credential));
        for (feed, url) in [
            ((None, "two"), url),
            ((Some(OrgId::nil()), "one"), url),
            (feed, "https://other.example.com/a.csv?x=1"),
            (feed, "http://feed.example.com/a.csv?x=1"),
            (feed, "https://feed.example.com:8443/a.csv?x=1"),
            (feed, ""),
        ] {
            assert_eq!(open(feed, url), Err(SecretError::Unsealable), "{url}");
        }
    }

    #[test]
    fn what_no_request_can_say_is_refused_and_nothing_is_printed() {
        for (wrong, member) in [
            (
                json!({"kind": "header", "name": "host", "value": "x"}),
                "name",
            ),
            (
                json!({"kind": "header", "name": "Accept-Encoding", "value": "gzip"}),
                "name",
            ),
            (
                json!({"kind": "header", "name": "a b", "value": "x"}),
                "name",
            ),
            (
                json!({"kind": "header", "name": "x-key", "value": "a\r\nb: c"}),
                "value",
            ),
            (
                json!({"kind": "header", "name": "x-key", "value": ""}),
                "value",
            ),
            (json!({"kind": "bearer", "token": "a b"}), "token"),
            (
                json!({"kind": "basic", "user": "a:b", "password": "x"}),
                "user",
            ),
            (
                json!({"kind": "basic", "user": "a", "password": ""}),
                "password",
            ),
        ] {
            assert_eq!(read(wrong.clone()).fault().unwrap().0, member, "{wrong}");
        }
        let right = read(json!({"kind": "header", "name": "X-Api-Key", "value": "s3cret"}));
        assert_eq!(right.fault(), None);
        assert!(!format!("{right:?}{:?}", right.header()).contains("s3cret"));
        let unknown = json!({"kind": "bearer", "token": "a", "more": 1});
        assert!(serde_json::from_value::<Credential>(unknown).is_err());
    }
}
