//! What a feed is: how far it is trusted, how long its indicators last, where it is fetched from.

use crate::credential::{Sealed, origin};
use crate::{FeedError, lock};
use deadpool_postgres::Transaction;
use millrace_detection::indicators::parse::Format;
use millrace_shared::ids::OrgId;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// What its server is told of who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// What it was told before.
    Kept,
    /// Nothing.
    Open,
    /// This credential.
    Sealed(Sealed),
}

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
    /// What its server is told of who asks.
    pub access: Access,
    /// Seconds between two fetches, within [`EVERY_S`](crate::EVERY_S).
    pub every_s: i32,
}

const PRESENT: &str = "SELECT url, credential IS NOT NULL FROM indicator_feed \
     WHERE org_id IS NOT DISTINCT FROM $1 AND name = $2 AND deleted_at IS NULL";
/// What is fetched from another address, or read otherwise, is another version of everything. A fetch
/// that is under way counts no more.
const PUT: &str = "INSERT INTO indicator_feed AS f (org_id, name, trust, expire_days, url, format, \
                                                    every_s, changed_by, credential, \
                                                    credential_sealed, next_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $5 <> '' THEN now() END) \
    ON CONFLICT (org_id, name) DO UPDATE SET \
        trust = excluded.trust, expire_days = excluded.expire_days, url = excluded.url, \
        format = excluded.format, every_s = excluded.every_s, changed_by = excluded.changed_by, \
        changed_at = now(), deleted_at = NULL, lease = NULL, next_at = excluded.next_at, \
        etag = CASE WHEN (f.url, f.format) = (excluded.url, excluded.format) THEN f.etag ELSE '' END, \
        last_modified = CASE WHEN (f.url, f.format) = (excluded.url, excluded.format) \
                             THEN f.last_modified ELSE '' END, \
        sha256 = CASE WHEN (f.url, f.format) = (excluded.url, excluded.format) \
                      THEN f.sha256 ELSE '' END, \
        credential = CASE WHEN $11 THEN f.credential ELSE excluded.credential END, \
        credential_sealed = CASE WHEN $11 THEN f.credential_sealed ELSE excluded.credential_sealed END, \
        failures = 0, failure = ''";

/// Makes a feed, or changes what it is; whether there was one before. One with an address is due at
/// once.
///
/// # Errors
/// When PostgreSQL is not available, and when it is to be fetched from another server with the
/// credential that it had: that one is not for others to read.
pub async fn put_feed(
    tx: &Transaction<'_>,
    (org, name): (Option<OrgId>, &str),
    settings: &FeedSettings,
    who: &str,
) -> Result<bool, FeedError> {
    lock(tx).await?;
    let present = tx.query_opt(PRESENT, &[&org, &name]).await?;
    let kept = settings.access == Access::Kept && !settings.url.is_empty();
    if let (true, Some(present)) = (kept, &present) {
        same_server(present, &settings.url)?;
    }
    let none = Sealed {
        shown: Value::Null,
        bytes: Vec::new(),
    };
    let sealed = match &settings.access {
        Access::Sealed(sealed) if !settings.url.is_empty() => sealed,
        Access::Sealed(_) | Access::Kept | Access::Open => &none,
    };
    let shown = Some(&sealed.shown).filter(|shown| !shown.is_null());
    let format = settings.format.map_or("", Format::as_str);
    let params: [&(dyn ToSql + Sync); 11] = [
        &org,
        &name,
        &settings.trust,
        &settings.expire_days,
        &settings.url,
        &format,
        &settings.every_s,
        &who,
        &shown,
        &sealed.bytes,
        &kept,
    ];
    tx.execute(PUT, &params).await?;
    Ok(present.is_some())
}

/// Whether the credential that a feed has, if it has one, is for the server of this address.
fn same_server(present: &Row, url: &str) -> Result<(), FeedError> {
    let (before, has_credential): (&str, bool) = (present.try_get(0)?, present.try_get(1)?);
    if has_credential && origin(before) != origin(url) {
        return Err(FeedError::OtherServer);
    }
    Ok(())
}
