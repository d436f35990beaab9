//! Whose keys the requests are signed with: one that may do everything, and some that may not.

use millrace_shared::secret::Secret;

/// A key and its secret.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
}

/// The keys of one organisation, and one of another.
#[derive(Clone, Debug)]
pub struct Sender {
    /// `host:port` of the gateway.
    pub host: String,
    /// When the requests are sent, Unix seconds.
    pub now_s: i64,
    /// May send every signal in every way.
    pub good: Key,
    /// The key of another organisation.
    pub foreign: Key,
    /// For logs alone.
    pub logs_only: Key,
    /// For `x-signature` alone.
    pub body_only: Key,
    /// For Standard Webhooks alone.
    pub webhook_only: Key,
    /// For a network that the sender is not in.
    pub elsewhere: Key,
    /// Over since yesterday.
    pub expired: Key,
    /// Not good before tomorrow.
    pub early: Key,
    /// Revoked.
    pub revoked: Key,
    /// The id of a public key, for pages of [`ORIGIN`].
    pub public: String,
}

/// The origin that the public key allows.
pub const ORIGIN: &str = "https://shop.example";

impl Sender {
    /// A sender of nowhere, for looking at the corpus without a gateway.
    ///
    /// # Panics
    /// Never: the secrets are well formed.
    #[must_use]
    pub fn example() -> Sender {
        let key = |id: &str, fill: char| {
            let text = format!("whsec_{}", fill.to_string().repeat(44));
            let secret = Secret::parse(&text).expect("44 characters of base64");
            Key {
                id: id.to_owned(),
                secret,
            }
        };
        Sender {
            host: "127.0.0.1:8080".to_owned(),
            now_s: 1_700_000_000,
            good: key("k_good", 'A'),
            foreign: key("k_foreign", 'E'),
            logs_only: key("k_logs", 'I'),
            body_only: key("k_body", 'M'),
            webhook_only: key("k_webhook", 'Q'),
            elsewhere: key("k_elsewhere", 'U'),
            expired: key("k_expired", 'Y'),
            early: key("k_early", 'c'),
            revoked: key("k_revoked", 'g'),
            public: "pub_example".to_owned(),
        }
    }
}
