//! What a feed is: how far it is trusted, how long its indicators last, where it is fetched from.

use crate::{FeedError, lock};
use deadpool_postgres::Transaction;
use millrace_detection::indicators::parse::Format;
use millrace_shared::ids::OrgId;
use tokio_postgres::types::ToSql;

/// What a feed is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSettings {
    /// How far it is trusted, 0 to 100.
    pub trust: i16,
    /// Days after which its indicators cease to match, within [`EXPIRE_DAYS`](crate::EXPIRE_DAYS).
    pub expire_days: Option<i32>,
    /// Where it is fetched from; empty when it is not.
    pub url: String,
    /// Its format, where its content does not tell.
    pub format: Option<Format>,
    /// Seconds between two fetches, within [`EVERY_S`](crate::EVERY_S).
    pub every_s: i32,
}

const PRESENT: &str = "SELECT 1 FROM indicator_feed \
     WHERE org_id IS NOT DISTINCT FROM $1 AND name = $2 AND deleted_at IS NULL";
/// What is fetched from another address, or read otherwise, is another version of everything. A fetch
/// that is under way counts no more.
const PUT: &str = "INSERT INTO indicator_feed AS f (org_id, name, trust, expire_days, url, format, \
                                                    every_s, changed_by, next_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $5 <> '' THEN now() END) \
    ON CONFLICT (org_id, name) DO UPDATE SET \
        trust = excluded.trust, expire_days = excluded.expire_days, url = excluded.url, \
        format = excluded.format, every_s = excluded.every_s, changed_by = excluded.changed_by, \
        changed_at = now(), deleted_at = NULL, lease = NULL, next_at = excluded.next_at, \
        etag = CASE WHEN (f.url, f.format) = (excluded.url, excluded.format) THEN f.etag ELSE '' END, \
        last_modified = CASE WHEN (f.url, f.format) = (excluded.url, excluded.format) \
                             THEN f.last_modified ELSE '' END, \
        sha256 = CASE WHEN (f.url, f.format) = (excluded.url, excluded.format) \
                      THEN f.sha256 ELSE '' END, \
        failures = 0, failure = ''";

/// Makes a feed, or changes what it is; whether there was one before. One with an address is due at
/// once.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn put_feed(
    tx: &Transaction<'_>,
    (org, name): (Option<OrgId>, &str),
    settings: &FeedSettings,
    who: &str,
) -> Result<bool, FeedError> {
    lock(tx).await?;
    let present = tx.query_opt(PRESENT, &[&org, &name]).await?.is_some();
    let format = settings.format.map_or("", Format::as_str);
    let params: [&(dyn ToSql + Sync); 8] = [
        &org,
        &name,
        &settings.trust,
        &settings.expire_days,
        &settings.url,
        &format,
        &settings.every_s,
        &who,
    ];
    tx.execute(PUT, &params).await?;
    Ok(present)
}
