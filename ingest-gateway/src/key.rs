//! Whose key it is: ingest keys from the control database, through a cache that bounds how long a
//! revoked key is still believed. Judges no signature.

use crate::error::Problem;
use crate::metrics::KEY_LOOKUPS;
use crate::quota::{Buckets, Kind, Owner, Quotas, Rates};
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
/// Quotas of a public key without its own: a few hundred visitors at a time, and no more.
const PUBLIC_RATES: Rates = Rates {
    requests_per_minute: 600,
    events_per_second: 2_000,
    bytes_per_second: 2 * 1024 * 1024,
};

const SELECT: &str = "
SELECT k.org_id, k.kind, k.signals, k.schemes, k.secret, k.secret_next,
       k.allowed_cidrs::text[] AS networks, k.allowed_origins,
       (extract(epoch FROM nullif(k.not_before, '-infinity')) * 1000000)::bigint AS not_before,
       (extract(epoch FROM nullif(k.not_after, 'infinity')) * 1000000)::bigint AS not_after,
       k.revoked_at IS NOT NULL AS revoked,
       k.requests_per_minute::bigint AS key_requests, k.events_per_second AS key_events,
       k.bytes_per_second AS key_bytes,
       o.requests_per_minute::bigint AS org_requests, o.events_per_second AS org_events,
       o.bytes_per_second AS org_bytes
  FROM ingest_key k JOIN organisation o ON o.id = k.org_id
 WHERE k.id = $1";

/// One ingest key, as it stood when it was looked up.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) org: OrgId,
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
            .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
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
        match tokio::time::timeout(LOOKUP_TIMEOUT, self.ask(id)).await {
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
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(SELECT).await?;
        let Some(row) = client.query_opt(&statement, &[&id]).await? else {
            return Ok(None);
        };
        let kind: String = row.try_get("kind")?;
        let org: OrgId = row.try_get("org_id")?;
        let public = kind == "public";
        let own = [
            row.try_get("key_requests")?,
            row.try_get("key_events")?,
            row.try_get("key_bytes")?,
        ];
        let of_org = [
            row.try_get("org_requests")?,
            row.try_get("org_events")?,
            row.try_get("org_bytes")?,
        ];
        let sealed: [Option<Vec<u8>>; 2] = [row.try_get("secret")?, row.try_get("secret_next")?];
        let signals: Vec<String> = row.try_get("signals")?;
        let schemes: Vec<String> = row.try_get("schemes")?;
        let networks: Vec<String> = row.try_get("networks")?;
        Ok(Some(Key {
            id: id.to_owned(),
            org,
            public,
            secrets: self.open(id, sealed),
            buckets: self.buckets(id, (org, public), own, of_org),
            signals: signals
                .iter()
                .filter_map(|name| Signal::from_name(name))
                .collect(),
            body_scheme: schemes.iter().any(|name| name == "body"),
            webhook_scheme: schemes.iter().any(|name| name == "webhook"),
            networks: networks.iter().filter_map(|net| net.parse().ok()).collect(),
            origins: row.try_get("allowed_origins")?,
            not_before: row.try_get("not_before")?,
            not_after: row.try_get("not_after")?,
            revoked: row.try_get("revoked")?,
        }))
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
    fn buckets(
        &self,
        id: &str,
        (org, public): (OrgId, bool),
        own: [Option<i64>; 3],
        of_org: [i64; 3],
    ) -> Buckets {
        let public_rates = [
            PUBLIC_RATES.requests_per_minute,
            PUBLIC_RATES.events_per_second,
            PUBLIC_RATES.bytes_per_second,
        ];
        let kinds = [Kind::Requests, Kind::Events, Kind::Bytes];
        let positive = |limit: i64| u64::try_from(limit).unwrap_or(1);
        let bucket = |at: usize| {
            let kind = kinds.get(at).copied().unwrap_or(Kind::Requests);
            let key_limit = own.get(at).copied().flatten().map(positive);
            let public_limit = public_rates.get(at).copied().filter(|_| public);
            match key_limit.or(public_limit) {
                Some(limit) => self.quotas.bucket(Owner::Key(id.to_owned()), kind, limit),
                None => {
                    let limit = of_org.get(at).copied().map_or(1, positive);
                    self.quotas.bucket(Owner::Org(org), kind, limit)
                }
            }
        };
        Buckets {
            requests: bucket(0),
            events: bucket(1),
            bytes: bucket(2),
        }
    }
}
