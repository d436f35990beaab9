//! The content of a feed, brought into the table of indicators: what is new is added, what changed is
//! closed and added anew, and what the feed no longer holds is closed, under one revision.
//!
//! The content is copied into a table of its own first and compared there, so that millions cost no
//! memory here, and the lock that everybody waits for is held for the comparison only.

use crate::{FeedError, lock, revision};
use deadpool_postgres::Transaction;
use futures_util::pin_mut;
use millrace_detection::indicators::Indicator;
use millrace_shared::ids::OrgId;
use time::OffsetDateTime;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// How content meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is all there is: what it does not hold ceases to match.
    Replace,
    /// It is added; what is there and not in it stays.
    Merge,
}

/// Content on its way into a feed.
#[derive(Clone, Copy, Debug)]
pub struct Load<'l> {
    /// Whose feed; nobody's is everybody's.
    pub org: Option<OrgId>,
    /// Its name.
    pub name: &'l str,
    /// How far it is trusted from now on; as before (100 when new) where not said.
    pub trust: Option<u8>,
    /// Where the content comes from, in words.
    pub source: &'l str,
    /// SHA-256 of the content as it was read, in hexadecimal digits.
    pub sha256: &'l str,
    /// The content. Of a value that stands there twice, the first counts.
    pub indicators: &'l [Indicator],
    /// How much of it could not be used.
    pub refused: u64,
    /// How it meets what is there.
    pub mode: Mode,
    /// The token under which the feed is held, if it must be.
    pub lease: Option<Uuid>,
    /// Who does it.
    pub who: &'l str,
}

/// How often a feed's indicators came, went and stayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The feed.
    pub feed: i64,
    /// New ones, and changed ones.
    pub added: u64,
    /// Those that cease, and changed ones.
    pub ended: u64,
    /// Those of the content that are there as they are.
    pub kept: u64,
    /// All that count now.
    pub indicators: i64,
}

/// Carries a load out, inside the caller's transaction.
///
/// # Errors
/// When PostgreSQL is not available, or the feed is not held as the load says.
pub async fn load(tx: &Transaction<'_>, load: &Load<'_>) -> Result<Changes, FeedError> {
    let token = Uuid::now_v7();
    stage(tx, token, load.indicators).await?;
    lock(tx).await?;
    let feed = feed(tx, load).await?;
    let revision = revision(tx).await?;
    let ended = close(tx, (feed, token), (revision, load.mode)).await?;
    let added = add(tx, (feed, token), (revision, load.org)).await?;
    let staged = tx
        .execute("DELETE FROM indicator_staging WHERE load = $1", &[&token])
        .await?;
    let (came, went) = (signed(added), signed(ended));
    let sql = "UPDATE indicator_feed SET indicators = indicators + $2 - $3 WHERE id = $1 \
               RETURNING indicators";
    let row = tx.query_one(sql, &[&feed, &came, &went]).await?;
    Ok(Changes {
        feed,
        added,
        ended,
        kept: staged.saturating_sub(added),
        indicators: row.try_get(0)?,
    })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Columns of the content, with their types.
const COPY: &str = "COPY indicator_staging (load, ordinal, kind, value, confidence, severity, threat, \
                    tags, match_private, first_seen, last_seen, expires_at) FROM STDIN BINARY";
const TYPES: [Type; 12] = [
    Type::UUID,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::INT2,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT_ARRAY,
    Type::BOOL,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
];

async fn stage(
    tx: &Transaction<'_>,
    load: Uuid,
    indicators: &[Indicator],
) -> Result<(), FeedError> {
    let sink = tx.copy_in(COPY).await?;
    let writer = BinaryCopyInWriter::new(sink, &TYPES);
    pin_mut!(writer);
    for (ordinal, one) in (0_i64..).zip(indicators) {
        let confidence = i16::from(one.confidence);
        let times = [one.first_seen, one.last_seen, one.expires_at].map(stored_time);
        let [first_seen, last_seen, expires_at] = &times;
        let row: [&(dyn ToSql + Sync); 12] = [
            &load,
            &ordinal,
            &one.kind.as_str(),
            &one.value,
            &confidence,
            &one.severity.as_str(),
            &one.threat,
            &one.tags,
            &one.match_private,
            first_seen,
            last_seen,
            expires_at,
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    let sql = "DELETE FROM indicator_staging AS s USING indicator_staging AS e \
                WHERE s.load = $1 AND e.load = $1 AND e.kind = s.kind AND e.value = s.value \
                  AND e.ordinal < s.ordinal";
    tx.execute(sql, &[&load]).await?;
    Ok(())
}

/// A time as precise as PostgreSQL keeps it.
pub(crate) fn stored_time(at: Option<i64>) -> Option<OffsetDateTime> {
    let whole = at?.div_euclid(1_000) * 1_000;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(whole)).ok()
}

/// The row of the feed, made where there is none.
async fn feed(tx: &Transaction<'_>, load: &Load<'_>) -> Result<i64, FeedError> {
    let refused = signed(load.refused);
    if let Some(lease) = load.lease {
        let sql = "UPDATE indicator_feed SET source = $4, sha256 = $5, refused = $6, loaded_at = now() \
                    WHERE org_id IS NOT DISTINCT FROM $1 AND name = $2 AND lease = $3 \
                      AND deleted_at IS NULL RETURNING id";
        let params: [&(dyn ToSql + Sync); 6] = [
            &load.org,
            &load.name,
            &lease,
            &load.source,
            &load.sha256,
            &refused,
        ];
        let row = tx.query_opt(sql, &params).await?;
        return Ok(row.ok_or(FeedError::NotHeld)?.try_get(0)?);
    }
    let sql = "INSERT INTO indicator_feed AS f (org_id, name, trust, source, sha256, refused, changed_by, \
                                                loaded_at) \
               VALUES ($1, $2, coalesce($3::smallint, 100::smallint), $4, $5, $6, $7, now()) \
               ON CONFLICT (org_id, name) DO UPDATE SET trust = coalesce($3::smallint, f.trust), \
                   source = excluded.source, sha256 = excluded.sha256, refused = excluded.refused, \
                   changed_by = excluded.changed_by, changed_at = now(), loaded_at = now(), \
                   deleted_at = NULL \
               RETURNING id";
    let trust = load.trust.map(|trust| i16::from(trust.min(100)));
    let params: [&(dyn ToSql + Sync); 7] = [
        &load.org,
        &load.name,
        &trust,
        &load.source,
        &load.sha256,
        &refused,
        &load.who,
    ];
    Ok(tx.query_one(sql, &params).await?.try_get(0)?)
}

/// Closes what is to cease.
async fn close(
    tx: &Transaction<'_>,
    (feed, load): (i64, Uuid),
    (revision, mode): (i64, Mode),
) -> Result<u64, FeedError> {
    // What is there and not in the content as it is; merging, of that only what the content holds too.
    let sql = "UPDATE indicator AS i SET until_revision = $3, ended_at = now() \
                WHERE i.feed_id = $1 AND i.until_revision IS NULL \
                  AND NOT EXISTS (SELECT 1 FROM indicator_staging AS s \
                       WHERE s.load = $2 AND s.kind = i.kind AND s.value = i.value \
                         AND s.confidence = i.confidence AND s.severity = i.severity \
                         AND s.threat = i.threat AND s.tags = i.tags \
                         AND s.match_private = i.match_private \
                         AND (s.first_seen, s.last_seen, s.expires_at) \
                             IS NOT DISTINCT FROM (i.first_seen, i.last_seen, i.expires_at)) \
                  AND ($4 OR EXISTS (SELECT 1 FROM indicator_staging AS s \
                       WHERE s.load = $2 AND s.kind = i.kind AND s.value = i.value))";
    let all = mode == Mode::Replace;
    Ok(tx.execute(sql, &[&feed, &load, &revision, &all]).await?)
}

/// Adds what is not there.
async fn add(
    tx: &Transaction<'_>,
    (feed, load): (i64, Uuid),
    (revision, org): (i64, Option<OrgId>),
) -> Result<u64, FeedError> {
    let sql = "INSERT INTO indicator (feed_id, org_id, from_revision, kind, value, confidence, severity, \
                                      threat, tags, match_private, first_seen, last_seen, expires_at) \
               SELECT $1, $3, $4, s.kind, s.value, s.confidence, \
                      s.severity, s.threat, s.tags, s.match_private, s.first_seen, s.last_seen, s.expires_at \
                 FROM indicator_staging AS s \
                WHERE s.load = $2 \
                  AND NOT EXISTS (SELECT 1 FROM indicator AS i \
                       WHERE i.feed_id = $1 AND i.until_revision IS NULL \
                         AND i.kind = s.kind AND i.value = s.value) \
                ORDER BY s.ordinal";
    Ok(tx.execute(sql, &[&feed, &load, &org, &revision]).await?)
}
