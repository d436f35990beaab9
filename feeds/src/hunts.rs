//! Retro-hunts that somebody asks for: begun for all indicators of a feed, and cancelled. The workers
//! search; nothing of that is here.

use crate::FeedError;
use deadpool_postgres::Transaction;
use millrace_shared::ids::OrgId;
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Hunts of an organisation that were asked for and wait or are under way: each costs a search of all
/// its history.
pub const HUNTS_OPEN_MAX: i64 = 20;
/// Days of history that are searched when nothing is said, and at most.
pub const HUNT_DAYS: (i64, i64) = (30, 366);

/// A hunt to be begun.
#[derive(Clone, Debug)]
pub struct NewHunt<'h> {
    /// Whose history is searched.
    pub org: OrgId,
    /// The feed, the organisation's own or one for all.
    pub feed: &'h str,
    /// Over events that happened from and until before these times.
    pub range: (OffsetDateTime, OffsetDateTime),
    /// Who asks.
    pub who: &'h str,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BegunHunt {
    /// It waits for a worker, under this id.
    Waits(Uuid),
    /// There is no such feed.
    NoFeed,
    /// So many are open already.
    TooMany(i64),
}

const FEED: &str = "SELECT id FROM indicator_feed \
     WHERE name = $2 AND (org_id = $1 OR org_id IS NULL) AND deleted_at IS NULL \
     ORDER BY org_id NULLS LAST LIMIT 1";
const OPEN: &str = "SELECT count(*) FROM retro_hunt \
     WHERE org_id = $1 AND origin = 'request' AND state IN ('pending', 'running')";
const INSERT: &str = "INSERT INTO retro_hunt (id, org_id, feed_id, feed, origin, requested_by, \
                                              after_revision, upto_revision, range_start, range_end) \
     SELECT $1, $2, $3, $4, 'request', $5, 0, CASE WHEN is_called THEN last_value ELSE 0 END, $6, $7 \
       FROM control_revision";
const CANCEL: &str = "UPDATE retro_hunt SET state = 'cancelled', finished_at = now() \
     WHERE org_id = $1 AND id = $2 AND state IN ('pending', 'running')";

/// Begins a hunt, as far as the transaction is committed.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn begin_hunt(tx: &Transaction<'_>, new: &NewHunt<'_>) -> Result<BegunHunt, FeedError> {
    let Some(feed) = tx.query_opt(FEED, &[&new.org, &new.feed]).await? else {
        return Ok(BegunHunt::NoFeed);
    };
    let feed: i64 = feed.try_get(0)?;
    let open: i64 = tx.query_one(OPEN, &[&new.org]).await?.try_get(0)?;
    if open >= HUNTS_OPEN_MAX {
        return Ok(BegunHunt::TooMany(open));
    }
    let id = Uuid::now_v7();
    let (start, end) = new.range;
    let params: [&(dyn ToSql + Sync); 7] =
        [&id, &new.org, &feed, &new.feed, &new.who, &start, &end];
    tx.execute(INSERT, &params).await?;
    Ok(BegunHunt::Waits(id))
}

/// Cancels a hunt; whether there was one that was open. What it raised stays.
///
/// # Errors
/// When PostgreSQL is not available.
pub async fn cancel_hunt(tx: &Transaction<'_>, org: OrgId, id: Uuid) -> Result<bool, FeedError> {
    Ok(tx.execute(CANCEL, &[&org, &id]).await? > 0)
}
