//! Allow-lists in the control tables, versioned as rules are.

use crate::{FeedError, lock, revision};
use deadpool_postgres::Transaction;
use millrace_detection::indicators::AllowList;
use millrace_shared::ids::OrgId;
use tokio_postgres::types::ToSql;

const CLOSE: &str = "UPDATE allow_list SET until_revision = $3 \
                      WHERE org_id IS NOT DISTINCT FROM $1 AND name = $2 AND until_revision IS NULL";

/// Makes a list what is on the allow-list of that name; whether there was one before.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn put_list(
    tx: &Transaction<'_>,
    (org, name): (Option<OrgId>, &str),
    list: &AllowList,
    who: &str,
) -> Result<bool, FeedError> {
    lock(tx).await?;
    let revision = revision(tx).await?;
    let closed = tx.execute(CLOSE, &[&org, &name, &revision]).await?;
    let sql = "INSERT INTO allow_list (org_id, name, description, matching, attributes, entries, \
                                       from_revision, changed_by) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let matching = list.matching.as_str();
    let params: [&(dyn ToSql + Sync); 8] = [
        &org,
        &name,
        &list.description,
        &matching,
        &list.matching_attributes,
        &list.list,
        &revision,
        &who,
    ];
    tx.execute(sql, &params).await?;
    Ok(closed > 0)
}

/// Takes an allow-list back; whether there was one.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn remove_list(
    tx: &Transaction<'_>,
    org: Option<OrgId>,
    name: &str,
) -> Result<bool, FeedError> {
    lock(tx).await?;
    let revision = revision(tx).await?;
    Ok(tx.execute(CLOSE, &[&org, &name, &revision]).await? > 0)
}
