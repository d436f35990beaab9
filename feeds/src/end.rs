//! The end of an indicator, and of a feed with all that it holds. Rows are closed, and removed much
//! later by whoever keeps house.

use crate::{FeedError, lock, revision};
use deadpool_postgres::Transaction;
use millrace_shared::ids::OrgId;

/// An indicator that was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its feed.
    pub feed: String,
    /// Its kind.
    pub kind: String,
    /// Its value.
    pub value: String,
}

/// Ends an indicator of the organisation, or one of everybody's where no organisation is said.
/// Nothing when there is no such one.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn end_indicator(
    tx: &Transaction<'_>,
    org: Option<OrgId>,
    id: i64,
) -> Result<Option<Ended>, FeedError> {
    lock(tx).await?;
    let revision = revision(tx).await?;
    let sql = "WITH ended AS ( \
                 UPDATE indicator SET until_revision = $3, ended_at = now() \
                  WHERE id = $2 AND org_id IS NOT DISTINCT FROM $1 AND until_revision IS NULL \
                 RETURNING feed_id, kind, value) \
               UPDATE indicator_feed AS f SET indicators = f.indicators - 1 FROM ended \
                WHERE f.id = ended.feed_id RETURNING f.name, ended.kind, ended.value";
    let Some(row) = tx.query_opt(sql, &[&org, &id, &revision]).await? else {
        return Ok(None);
    };
    Ok(Some(Ended {
        feed: row.try_get(0)?,
        kind: row.try_get(1)?,
        value: row.try_get(2)?,
    }))
}

/// Ends a feed and all its indicators; how many, or nothing when there is no such feed. Its name is
/// free again.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn end_feed(
    tx: &Transaction<'_>,
    org: Option<OrgId>,
    name: &str,
) -> Result<Option<u64>, FeedError> {
    lock(tx).await?;
    let sql = "UPDATE indicator_feed SET deleted_at = now(), url = '', lease = NULL, next_at = NULL, \
                      etag = '', last_modified = '', sha256 = '', failures = 0, failure = '', \
                      indicators = 0, refused = 0, \
                      credential = NULL, credential_sealed = '' \
                WHERE org_id IS NOT DISTINCT FROM $1 AND name = $2 AND deleted_at IS NULL RETURNING id";
    let Some(row) = tx.query_opt(sql, &[&org, &name]).await? else {
        return Ok(None);
    };
    let feed: i64 = row.try_get(0)?;
    let revision = revision(tx).await?;
    let sql = "UPDATE indicator SET until_revision = $2, ended_at = now() \
                WHERE feed_id = $1 AND until_revision IS NULL";
    Ok(Some(tx.execute(sql, &[&feed, &revision]).await?))
}
