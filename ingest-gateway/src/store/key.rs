//! Ingest keys as they stand in the control database, secrets still sealed.

use crate::quota::Rates;
use ipnet::IpNet;
use millrace_runtime::pg::{PgError, Pool};
use millrace_shared::Signal;
use millrace_shared::ids::OrgId;
use tokio_postgres::Row;

const KEY: &str = "
SELECT k.org_id, k.kind, k.signals, k.schemes, k.secret, k.secret_next,
       k.allowed_cidrs::text[] AS networks, k.allowed_origins,
       (extract(epoch FROM nullif(k.not_before, '-infinity')) * 1000000)::bigint AS not_before,
       (extract(epoch FROM nullif(k.not_after, 'infinity')) * 1000000)::bigint AS not_after,
       k.revoked_at IS NOT NULL AS revoked,
       k.requests_per_minute::bigint AS key_requests, k.events_per_second AS key_events,
       k.bytes_per_second AS key_bytes,
       o.requests_per_minute::bigint AS org_requests, o.events_per_second AS org_events,
       o.bytes_per_second AS org_bytes, o.weight
  FROM ingest_key k JOIN organisation o ON o.id = k.org_id
 WHERE k.id = $1";

/// One row of `ingest_key` with its organisation's quotas.
pub(crate) struct KeyRecord {
    pub(crate) org: OrgId,
    pub(crate) weight: u32,
    pub(crate) public: bool,
    pub(crate) signals: Vec<Signal>,
    pub(crate) body_scheme: bool,
    pub(crate) webhook_scheme: bool,
    /// Sealed secrets, at most two.
    pub(crate) sealed: [Option<Vec<u8>>; 2],
    pub(crate) networks: Vec<IpNet>,
    pub(crate) origins: Vec<String>,
    /// Microseconds since 1970.
    pub(crate) not_before: Option<i64>,
    pub(crate) not_after: Option<i64>,
    pub(crate) revoked: bool,
    /// Quotas of the key's own, where it has them.
    pub(crate) own: Rates<Option<u64>>,
    pub(crate) of_org: Rates,
}

/// The key with that id.
pub(crate) async fn key(pool: &Pool, id: &str) -> Result<Option<KeyRecord>, PgError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(KEY).await?;
    let row = client.query_opt(&statement, &[&id]).await?;
    Ok(row.as_ref().map(record).transpose()?)
}

fn record(row: &Row) -> Result<KeyRecord, tokio_postgres::Error> {
    let kind: &str = row.try_get("kind")?;
    let signals: Vec<&str> = row.try_get("signals")?;
    let schemes: Vec<&str> = row.try_get("schemes")?;
    let networks: Vec<&str> = row.try_get("networks")?;
    let rate = |column: &str| -> Result<Option<u64>, tokio_postgres::Error> {
        let rate: Option<i64> = row.try_get(column)?;
        Ok(rate.map(|rate| u64::try_from(rate).unwrap_or(0)))
    };
    Ok(KeyRecord {
        org: row.try_get("org_id")?,
        weight: u32::try_from(row.try_get::<_, i32>("weight")?).unwrap_or(1),
        public: kind == "public",
        signals: signals
            .iter()
            .filter_map(|name| Signal::from_name(name))
            .collect(),
        body_scheme: schemes.contains(&"body"),
        webhook_scheme: schemes.contains(&"webhook"),
        sealed: [row.try_get("secret")?, row.try_get("secret_next")?],
        networks: networks.iter().filter_map(|net| net.parse().ok()).collect(),
        origins: row.try_get("allowed_origins")?,
        not_before: row.try_get("not_before")?,
        not_after: row.try_get("not_after")?,
        revoked: row.try_get("revoked")?,
        own: Rates {
            requests_per_minute: rate("key_requests")?,
            events_per_second: rate("key_events")?,
            bytes_per_second: rate("key_bytes")?,
        },
        of_org: Rates {
            requests_per_minute: rate("org_requests")?.unwrap_or(0),
            events_per_second: rate("org_events")?.unwrap_or(0),
            bytes_per_second: rate("org_bytes")?.unwrap_or(0),
        },
    })
}
