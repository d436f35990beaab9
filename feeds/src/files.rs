//! Which feeds came from files, told by what stands as their source.

use crate::FeedError;
use deadpool_postgres::GenericClient;

/// Whether everybody's feed of that name holds the content with that digest, from that source.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn is_loaded(
    client: &impl GenericClient,
    (name, source): (&str, &str),
    sha256: &str,
) -> Result<bool, FeedError> {
    let sql = "SELECT 1 FROM indicator_feed WHERE org_id IS NULL AND name = $1 AND source = $2 \
                  AND sha256 = $3 AND deleted_at IS NULL";
    let row = client.query_opt(sql, &[&name, &source, &sha256]).await?;
    Ok(row.is_some())
}

/// Everybody's feeds whose source begins so and is none of those that are present.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn absent(
    client: &impl GenericClient,
    prefix: &str,
    present: &[String],
) -> Result<Vec<String>, FeedError> {
    let sql = "SELECT name FROM indicator_feed WHERE org_id IS NULL AND starts_with(source, $1) \
                  AND NOT source = ANY ($2) AND deleted_at IS NULL ORDER BY name";
    let rows = client.query(sql, &[&prefix, &present]).await?;
    let names = rows.iter().map(|row| row.try_get(0));
    Ok(names.collect::<Result<_, _>>()?)
}
