//! Whose key it is: ingest keys from the control database, through a cache that bounds how long a
//! revoked key is still believed. Judges no signature.

use crate::admission::Tenant;
use crate::error::Problem;
use crate::metrics::KEY_LOOKUPS;
use crate::quota::{Buckets, Kind, Owner, Quotas, Rates};
use crate::store::{self, KeyRecord};
use ipnet::IpNet;
use millrace_runtime::pg::{PgError, Pool};
use millrace_shared::Signal;
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use millrace_shared::secret::{MasterKey, Secret};
use moka::future;
use moka::sync;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Keys (and unknown ids) remembered at once; a flood of made-up ids pushes out only itself,
/// because the cache keeps what is used often.
const CACHED_MAX: u64 = 100_000;
/// How long a key is still believed while PostgreSQL cannot be asked. Nobody can revoke a key
/// in a database that is down, so this bounds only a network split.
const STALE_MAX: Duration = Duration::from_secs(3600);
/// Time for one look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// Time to look up a key that is known: its requests wait no longer for a database that hangs.
const REFRESH_TIMEOUT: Duration = Duration::from_millis(500);
/// Quotas of a public key without its own: a few hundred visitors at a time, and no more.
const PUBLIC_RATES: Rates = Rates {
    requests_per_minute: 600,
    events_per_second: 2_000,
    bytes_per_second: 2 * 1024 * 1024,
};

/// One ingest key, as it stood when it was looked up.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) org: OrgId,
    /// Of the organisation, where something is scarce.
    pub(crate) weight: u32,
    /// Unsigned, for browsers.
    pub(crate) public: bool,
    /// Up to two: both are good while one replaces the other.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) buckets: Buckets,
    pub(crate) signals: Vec<Signal>,
    pub(crate) body_scheme: bool,
    pub(crate) webhook_scheme: bool,
    pub(crate) networks: Vec<IpNet>,
    pub(crate) origins: Vec<String>,
    /// Microseconds since 1970.
    pub(crate) not_before: Option<i64>,
    pub(crate) not_after: Option<i64>,
    pub(crate) revoked: bool,
}

impl Key {
    /// Who it belongs to, where organisations share something.
    pub(crate) const fn tenant(&self) -> Tenant {
        Tenant {
            org: self.org,
            weight: self.weight,
        }
    }

    /// Whether it is good at `now` (nanoseconds). A key that is not answers like one unknown.
    pub(crate) fn is_current(&self, now: i64) -> bool {
        let now = now / 1_000;
        !self.revoked
            && self.not_before.is_none_or(|from| from <= now)
            && self.not_after.is_none_or(|until| now < until)
    }

    /// Whether it may be used from there.
    pub(crate) fn allows_address(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|net| net.contains(&address))
    }

    /// Whether a page from there may use it.
    pub(crate) fn allows_origin(&self, origin: &str) -> bool {
        self.origins
            .iter()
            .any(|allowed| matches_origin(allowed, origin))
    }
}

/// The keys, cached.
pub(crate) struct Keys {
    pool: Pool,
    master_key: MasterKey,
    quotas: Arc<Quotas>,
    /// Believed without asking. Unknown ids stay as long as known ones: were they looked up more
    /// often, the time of an answer would tell which ids exist.
    fresh: future::Cache<String, Option<Arc<Key>>>,
    /// Believed only while PostgreSQL cannot be asked.
    last_known: sync::Cache<String, Arc<Key>>,
}

impl Keys {
    pub(crate) fn new(
        pool: Pool,
        master_key: MasterKey,
        quotas: Arc<Quotas>,
        cached_for: Duration,
    ) -> Self {
        Keys {
            pool,
            master_key,
            quotas,
            fresh: future::Cache::builder()
                .max_capacity(CACHED_MAX)
                .time_to_live(cached_for)
                .build(),
            last_known: sync::Cache::builder()
                .max_capacity(CACHED_MAX)
                .time_to_live(STALE_MAX)
                .build(),
        }
    }

    /// The key with that id, if there is one. Simultaneous questions about one id ask once.
    ///
    /// # Errors
    /// 503 when it is not known and PostgreSQL cannot be asked.
    pub(crate) async fn find(&self, id: Option<&str>) -> Result<Option<Arc<Key>>, Problem> {
        let Some(id) = id else { return Ok(None) };
        if let Some(key) = self.fresh.get(id).await {
            KEY_LOOKUPS.add(&["hit"], 1);
            return Ok(key);
        }
        let found = self.fresh.try_get_with_by_ref(id, self.look_up(id)).await;
        found.map_err(|_| {
            KEY_LOOKUPS.add(&["failed"], 1);
            let detail = "the key cannot be looked up at the moment";
            Problem::new(Refusal::DependencyDown, detail)
        })
    }

    async fn look_up(&self, id: &str) -> Result<Option<Arc<Key>>, PgError> {
        let patience = match self.last_known.contains_key(id) {
            true => REFRESH_TIMEOUT,
            false => LOOKUP_TIMEOUT,
        };
        match tokio::time::timeout(patience, self.ask(id)).await {
            Ok(Ok(Some(key))) => {
                KEY_LOOKUPS.add(&["miss"], 1);
                let key = Arc::new(key);
                self.last_known.insert(id.to_owned(), Arc::clone(&key));
                Ok(Some(key))
            }
            Ok(Ok(None)) => {
                KEY_LOOKUPS.add(&["miss"], 1);
                self.last_known.invalidate(id);
                Ok(None)
            }
            Ok(Err(error)) => self.stale(id, error),
            Err(_) => self.stale(id, PgError::Timeout),
        }
    }

    fn stale(&self, id: &str, error: PgError) -> Result<Option<Arc<Key>>, PgError> {
        tracing::warn!(%error, "key look-up failed");
        match self.last_known.get(id) {
            Some(key) => {
                KEY_LOOKUPS.add(&["stale"], 1);
                Ok(Some(key))
            }
            None => Err(error),
        }
    }

    async fn ask(&self, id: &str) -> Result<Option<Key>, PgError> {
        Ok(store::key(&self.pool, id)
            .await?
            .map(|record| self.key(id, record)))
    }

    fn key(&self, id: &str, record: KeyRecord) -> Key {
        Key {
            id: id.to_owned(),
            org: record.org,
            weight: record.weight,
            public: record.public,
            buckets: self.buckets(id, &record),
            secrets: self.open(id, record.sealed),
            signals: record.signals,
            body_scheme: record.body_scheme,
            webhook_scheme: record.webhook_scheme,
            networks: record.networks,
            origins: record.origins,
            not_before: record.not_before,
            not_after: record.not_after,
            revoked: record.revoked,
        }
    }

    fn open(&self, id: &str, sealed: [Option<Vec<u8>>; 2]) -> Vec<Secret> {
        let sealed = sealed
            .into_iter()
            .flatten()
            .filter(|bytes| !bytes.is_empty());
        sealed
            .filter_map(|bytes| match self.master_key.open(id, &bytes) {
                Ok(secret) => Some(secret),
                Err(error) => {
                    tracing::error!(key = id, %error, "secret of an ingest key cannot be opened");
                    None
                }
            })
            .collect()
    }

    /// A quota of the key's own counts the key alone; the organisation's counts all its keys.
    fn buckets(&self, id: &str, record: &KeyRecord) -> Buckets {
        let public = |limit: u64| record.public.then_some(limit);
        let bucket =
            |kind: Kind, own: Option<u64>, public: Option<u64>, of_org: u64| match own.or(public) {
                Some(limit) => self.quotas.bucket(Owner::Key(id.to_owned()), kind, limit),
                None => self.quotas.bucket(Owner::Org(record.org), kind, of_org),
            };
        let (own, of_org) = (&record.own, &record.of_org);
        Buckets {
            requests: bucket(
                Kind::Requests,
                own.requests_per_minute,
                public(PUBLIC_RATES.requests_per_minute),
                of_org.requests_per_minute,
            ),
            events: bucket(
                Kind::Events,
                own.events_per_second,
                public(PUBLIC_RATES.events_per_second),
                of_org.events_per_second,
            ),
            bytes: bucket(
                Kind::Bytes,
                own.bytes_per_second,
                public(PUBLIC_RATES.bytes_per_second),
                of_org.bytes_per_second,
            ),
        }
    }
}

/// Whether a page's origin is one that the key allows: `*`, an origin as browsers write it, or one
/// with `*` for its port (`http://localhost:*`) or its first label (`https://*.example.com`).
fn matches_origin(allowed: &str, origin: &str) -> bool {
    if allowed == "*" || allowed.eq_ignore_ascii_case(origin) {
        return true;
    }
    let (allowed, origin) = (allowed.to_ascii_lowercase(), origin.to_ascii_lowercase());
    if let Some(site) = allowed.strip_suffix(":*") {
        let Some(port) = origin.strip_prefix(site) else {
            return false;
        };
        let port = port.strip_prefix(':').unwrap_or(port);
        return port.bytes().all(|b| b.is_ascii_digit());
    }
    let Some((scheme, domain)) = allowed.split_once("://*.") else {
        return false;
    };
    let host = origin
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"));
    let label = host
        .and_then(|host| host.strip_suffix(domain))
        .and_then(|label| label.strip_suffix('.'));
    label.is_some_and(|label| !label.is_empty() && !label.contains(['/', '@', ':']))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A key with so many secrets.
    pub(crate) fn key(secrets: usize, revoked: bool) -> Key {
        let quotas = Quotas::new(0);
        let bucket = |kind| quotas.bucket(Owner::Key("k".to_owned()), kind, 1);
        Key {
            id: "k".to_owned(),
            org: OrgId::from_u128(1),
            weight: 1,
            public: false,
            secrets: (0..secrets).map(|_| Secret::generate().unwrap()).collect(),
            buckets: Buckets {
                requests: bucket(Kind::Requests),
                events: bucket(Kind::Events),
                bytes: bucket(Kind::Bytes),
            },
            signals: Signal::ALL.to_vec(),
            body_scheme: true,
            webhook_scheme: true,
            networks: Vec::new(),
            origins: Vec::new(),
            not_before: None,
            not_after: None,
            revoked,
        }
    }

    #[test]
    fn an_origin_matches_whole_or_by_its_wildcard() {
        for (allowed, origin) in [
            ("*", "null"),
            ("https://app.example.com", "https://APP.example.com"),
            ("http://localhost:*", "http://localhost:3000"),
            ("http://localhost:*", "http://localhost"),
            ("https://*.example.com", "https://shop.example.com"),
        ] {
            assert!(matches_origin(allowed, origin), "{allowed} {origin}");
        }
        for (allowed, origin) in [
            ("https://app.example.com", "https://app.example.com.evil"),
            ("http://localhost:*", "http://localhost.evil:3000"),
            ("http://localhost:*", "http://localhost:3000.evil"),
            ("https://*.example.com", "https://example.com"),
            ("https://*.example.com", "https://evilexample.com"),
            ("https://*.example.com", "http://shop.example.com"),
            ("https://*.example.com", "https://shop.example.com:8443"),
        ] {
            assert!(!matches_origin(allowed, origin), "{allowed} {origin}");
        }
    }
}
