//! Hunts as they stand in the control database: begun for what feeds bring, taken on one after the
//! other, moved on together with the alerts of what was found.
//!
//! Knows nothing of how is searched. A step is taken by who knows the one before, or not at all.

use super::hidden::Hidden;
use super::look::{Sought, further};
use crate::commit::{Hunter, Retrospect, raise_in_retrospect};
use crate::control_loader::{Feeds, feed, indicator, organisation};
use crate::error::WorkerError;
use crate::metrics;
use crate::store::shorten;
use deadpool_postgres::{Client, Transaction};
use futures_util::{StreamExt as _, pin_mut};
use millrace_shared::Signal;
use millrace_shared::ids::OrgId;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Held by the one worker that hunts.
const LOCK: i64 = 7_770_110;
/// The lock that takers of a control revision hold (timescale-init says so too).
const REVISION_LOCK: i64 = 7_770_001;
/// Indicators looked for at a time: their index takes some 50 MB.
const CHUNK: i64 = 500_000;
/// Policies with their peppers that values may have been hidden by; the latest.
const POLICIES: i64 = 64;
/// Time for one statement: a hunt holds up nothing else.
const STATEMENT_TIMEOUT_MS: u32 = 60_000;
/// Seconds for which a hunt waits until all that was made without the new indicators is stored: a worker
/// that does not get there by then is in trouble that somebody else looks after.
const SETTLE_S: f64 = 600.0;
/// Attempts in a row that may fail, and the seconds between the first two and at most: given up after a
/// few hours.
const FAILURES_MAX: i32 = 20;
const RETRY_S: (f64, f64) = (5.0, 900.0);

/// How far a hunt has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The indicators looked for are those after this id.
    pub(super) after_indicator: i64,
    /// The last of them, once it is settled: what ends meanwhile must not let others slip in.
    pub(super) last_indicator: Option<i64>,
    /// The number of the table.
    pub(super) table: usize,
    /// The last row that was looked at: when it happened, and its id.
    pub(super) after: Option<(i64, Uuid)>,
}

/// What a step adds to a hunt's counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) indicators: u64,
    pub(super) rows: u64,
    pub(super) hits: u64,
    pub(super) alerts: u64,
}

/// A hunt that is not at its end.
#[derive(Clone, Debug)]
pub(super) struct Hunt {
    pub(super) id: Uuid,
    pub(super) org: OrgId,
    pub(super) feed: String,
    /// When it was taken on first.
    pub(super) started_ns: i64,
    /// Times of events, from and until before.
    pub(super) range: (i64, i64),
    pub(super) place: Place,
    feed_id: i64,
    revisions: (i64, i64),
    /// Whether only what is new in the feed is looked for.
    only_new: bool,
    step: i64,
}

/// Takes the lock of the one that hunts, for the length of the connection.
pub(super) async fn lock(client: &Client) -> Result<bool, WorkerError> {
    let sql = "SELECT pg_try_advisory_lock($1)";
    Ok(client.query_one(sql, &[&LOCK]).await?.try_get(0)?)
}

/// Gives it back.
pub(super) async fn unlock(client: &Client) -> Result<(), WorkerError> {
    let sql = "SELECT pg_advisory_unlock($1)";
    client.query_one(sql, &[&LOCK]).await?;
    Ok(())
}

/// Revisions that nobody has looked at for new indicators yet.
const ANY_NEW: &str = "SELECT 1 FROM retro_hunt_mark AS m, control_revision AS r \
                        WHERE r.is_called AND r.last_value > m.revision";
/// A hunt for each organisation that a feed with new indicators is for. What changed in an indicator
/// that was there before is not new; and a hunt that waits looks for what comes in meanwhile, too.
const BEGIN: &str = "WITH fresh AS ( \
     SELECT DISTINCT i.feed_id FROM indicator AS i \
      WHERE greatest(i.from_revision, coalesce(i.until_revision, 0)) > $1 \
        AND i.from_revision > $1 AND i.from_revision <= $2 AND i.until_revision IS NULL \
        AND NOT EXISTS (SELECT 1 FROM indicator AS o WHERE o.feed_id = i.feed_id \
              AND o.kind = i.kind AND o.value = i.value AND o.until_revision = i.from_revision)) \
   INSERT INTO retro_hunt AS h (id, org_id, feed_id, feed, origin, after_revision, upto_revision, \
                                range_start, range_end) \
   SELECT gen_random_uuid(), o.id, f.id, f.name, 'feed', $1, $2, \
          now() - make_interval(days => $3), now() + interval '1 day' \
     FROM fresh JOIN indicator_feed AS f ON f.id = fresh.feed_id AND f.deleted_at IS NULL \
     JOIN organisation AS o ON f.org_id IS NULL OR f.org_id = o.id \
   ON CONFLICT (org_id, feed_id) WHERE state = 'pending' AND origin = 'feed' \
   DO UPDATE SET upto_revision = excluded.upto_revision, range_end = excluded.range_end, \
                 asked_at = now()";

/// Begins hunts for what is new in feeds, over so many days; where that is none, it only notes that it
/// was there.
pub(super) async fn begin(client: &mut Client, days: i32) -> Result<(), WorkerError> {
    if client.query_opt(ANY_NEW, &[]).await?.is_none() {
        return Ok(());
    }
    let tx = limited(client).await?;
    // Revisions become visible in order to whoever holds this lock; who takes one is soon done.
    let sql = "SELECT pg_try_advisory_xact_lock_shared($1)";
    if !tx.query_one(sql, &[&REVISION_LOCK]).await?.try_get(0)? {
        return Ok(());
    }
    let sql = "SELECT m.revision, r.last_value FROM retro_hunt_mark AS m, control_revision AS r";
    let row = tx.query_one(sql, &[]).await?;
    let (before, now): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let begun = match days {
        0 => 0,
        days => tx.execute(BEGIN, &[&before, &now, &days]).await?,
    };
    tx.execute("UPDATE retro_hunt_mark SET revision = $1", &[&now])
        .await?;
    tx.commit().await?;
    if begun > 0 {
        tracing::info!(
            hunts = begun,
            revision = now,
            "new indicators, hunting for them"
        );
    }
    Ok(())
}

/// The hunt whose turn it is, which is then under way. It is taken on when no worker makes batches
/// without its indicators any more and all that were are stored: later events are judged when they come.
const NEXT: &str = "UPDATE retro_hunt SET state = 'running', started_at = coalesce(started_at, now()) \
     WHERE id = (SELECT h.id FROM retro_hunt AS h \
          WHERE h.state IN ('pending', 'running') AND h.next_at <= now() \
            AND (h.state = 'running' OR h.asked_at < now() - make_interval(secs => $1) \
                 OR (NOT EXISTS (SELECT 1 FROM worker AS w WHERE w.seen_until > now() \
                          AND (w.revision IS NULL OR w.revision < h.upto_revision)) \
                     AND NOT EXISTS (SELECT 1 FROM batch AS b WHERE b.state = 'PREPARED' \
                          AND b.revision < h.upto_revision))) \
          ORDER BY h.next_at, h.id LIMIT 1 FOR UPDATE SKIP LOCKED) \
     RETURNING *";

pub(super) async fn next(client: &Client) -> Result<Option<Hunt>, WorkerError> {
    let row = client.query_opt(NEXT, &[&SETTLE_S]).await?;
    row.as_ref().map(hunt).transpose()
}

fn hunt(row: &Row) -> Result<Hunt, WorkerError> {
    let at = |name: &str| -> Result<i64, WorkerError> {
        let at: OffsetDateTime = row.try_get(name)?;
        Ok(i64::try_from(at.unix_timestamp_nanos()).unwrap_or(i64::MAX))
    };
    let after: (Option<i64>, Option<Uuid>) =
        (row.try_get("after_ns")?, row.try_get("after_event")?);
    let table: i16 = row.try_get("table_number")?;
    Ok(Hunt {
        id: row.try_get("id")?,
        org: row.try_get("org_id")?,
        feed: row.try_get("feed")?,
        started_ns: at("started_at")?,
        range: (at("range_start")?, at("range_end")?),
        place: Place {
            after_indicator: row.try_get("after_indicator")?,
            last_indicator: row.try_get("last_indicator")?,
            table: usize::try_from(table).unwrap_or_default(),
            after: after.0.zip(after.1),
        },
        feed_id: row.try_get("feed_id")?,
        revisions: (
            row.try_get("after_revision")?,
            row.try_get("upto_revision")?,
        ),
        only_new: row.try_get::<_, &str>("origin")? == "feed",
        step: row.try_get("step")?,
    })
}

/// What an organisation's values may have been hidden by in what is stored.
pub(super) async fn hidden(client: &Client, hunt: &Hunt) -> Result<Hidden, WorkerError> {
    let sql = "SELECT DISTINCT org_id, pepper, pepper_version, pii_policy, '{}'::jsonb AS settings \
                 FROM organisation_version WHERE org_id = $1 ORDER BY pepper_version DESC LIMIT $2";
    let rows = client.query(sql, &[&hunt.org, &POLICIES]).await?;
    let policies: Result<Vec<_>, _> = rows.iter().map(organisation).collect();
    Ok(Hidden::new(&policies?))
}

/// Which indicators a hunt looks for: of the feed $1, that came in after $2 and up to $3 and still
/// count; of those, where $4, that were not there before.
const SOUGHT: &str = "i.feed_id = $1 AND i.from_revision > $2 AND i.from_revision <= $3 \
     AND i.until_revision IS NULL \
     AND (NOT $4 OR NOT EXISTS (SELECT 1 FROM indicator AS o WHERE o.feed_id = i.feed_id \
           AND o.kind = i.kind AND o.value = i.value AND o.until_revision = i.from_revision))";

/// Notes how many indicators a hunt will look for, once.
pub(super) async fn measure(client: &Client, hunt: &Hunt) -> Result<(), WorkerError> {
    let sql = format!(
        "UPDATE retro_hunt SET indicators_all = (SELECT count(*) FROM indicator AS i WHERE {SOUGHT}) \
          WHERE id = $5 AND indicators_all IS NULL"
    );
    let (after, upto) = hunt.revisions;
    let params: [&(dyn ToSql + Sync); 5] = [&hunt.feed_id, &after, &upto, &hunt.only_new, &hunt.id];
    client.execute(&sql, &params).await?;
    Ok(())
}

/// Indicators that are looked for together.
pub(super) struct Chunk {
    pub(super) sought: Sought,
    pub(super) count: u64,
    /// The id of the last.
    pub(super) last: Option<i64>,
}

/// The next indicators of a hunt, in the order of their ids. They come as a stream, and none is kept but
/// in what looks for them.
pub(super) async fn chunk(
    client: &Client,
    hunt: &Hunt,
    hidden: &Hidden,
) -> Result<Chunk, WorkerError> {
    let sql = "SELECT id, name, trust, expire_days FROM indicator_feed WHERE id = $1";
    let feeds = client.query(sql, &[&hunt.feed_id]).await?;
    let feeds: Feeds = feeds.iter().map(feed).collect::<Result<_, _>>()?;
    let sql = format!(
        "SELECT i.id, i.feed_id, i.org_id, i.kind, i.value, i.confidence, i.severity, i.threat, i.tags, \
                i.match_private, i.first_seen, i.last_seen, i.expires_at, i.added_at, \
                ARRAY(SELECT e.id FROM indicator AS e WHERE e.feed_id = i.feed_id AND e.kind = i.kind \
                         AND e.value = i.value AND e.until_revision IS NOT NULL) AS before \
           FROM indicator AS i WHERE {SOUGHT} AND i.id > $5 AND ($6::bigint IS NULL OR i.id <= $6) \
          ORDER BY i.id LIMIT $7"
    );
    let ((after, upto), place) = (hunt.revisions, hunt.place);
    let params: [&(dyn ToSql + Sync); 7] = [
        &hunt.feed_id,
        &after,
        &upto,
        &hunt.only_new,
        &place.after_indicator,
        &place.last_indicator,
        &CHUNK,
    ];
    let rows = client.query_raw(&sql, params).await?;
    pin_mut!(rows);
    let (mut sought, mut count, mut last) = (Sought::default(), 0, None);
    while let Some(row) = rows.next().await {
        let row = row?;
        let before: Vec<i64> = row.try_get("before")?;
        if let Some(indicator) = indicator(&row, &feeds)? {
            sought.add(&indicator, &before, hidden);
        }
        (count, last) = (count + 1, Some(row.try_get("id")?));
    }
    Ok(Chunk {
        sought,
        count,
        last,
    })
}

/// Moves a hunt on past rows of a signal, with the alerts of what was found in them; false when
/// somebody else did, or it was cancelled, and then nothing is changed.
pub(super) async fn found(
    client: &mut Client,
    hunt: &mut Hunt,
    (place, rows): (Place, u64),
    (signal, found): (Signal, Vec<Retrospect>),
) -> Result<bool, WorkerError> {
    let hits: u64 = found.iter().map(|one| one.draft.count).sum();
    let tx = limited(client).await?;
    // The hunt is locked first: so it is by whoever cancels it.
    let Some(raised) = ours(&tx, hunt).await? else {
        return Ok(false);
    };
    let hunter = Hunter {
        hunt: hunt.id,
        further: further(hunt.id),
        raised: usize::try_from(raised).unwrap_or(usize::MAX),
        signal,
    };
    let alerts = raise_in_retrospect(&tx, &hunter, found).await?;
    let progress = Progress {
        rows,
        hits,
        alerts,
        ..Progress::default()
    };
    moved(&tx, hunt, (place, progress)).await?;
    tx.commit().await?;
    metrics::HUNT_ROWS.add(&[], rows);
    metrics::HUNT_HITS.add(&[], hits);
    (hunt.place, hunt.step) = (place, hunt.step + 1);
    Ok(true)
}

/// Moves a hunt on, where nothing was found.
pub(super) async fn advance(
    client: &mut Client,
    hunt: &mut Hunt,
    (place, progress): (Place, Progress),
) -> Result<bool, WorkerError> {
    let tx = limited(client).await?;
    if ours(&tx, hunt).await?.is_none() {
        return Ok(false);
    }
    moved(&tx, hunt, (place, progress)).await?;
    tx.commit().await?;
    (hunt.place, hunt.step) = (place, hunt.step + 1);
    Ok(true)
}

/// Ends a hunt; false when it was cancelled before.
pub(super) async fn end(client: &Client, hunt: &Hunt) -> Result<bool, WorkerError> {
    let sql = "UPDATE retro_hunt SET state = 'done', finished_at = now(), failures = 0, failure = '' \
                WHERE id = $1 AND state = 'running' AND step = $2";
    Ok(client.execute(sql, &[&hunt.id, &hunt.step]).await? == 1)
}

/// Lets the hunts that wait have their turn before it goes on from where it is.
pub(super) async fn queue(client: &mut Client, hunt: &mut Hunt) -> Result<(), WorkerError> {
    let here = (hunt.place, Progress::default());
    if !advance(client, hunt, here).await? {
        return Ok(());
    }
    let sql = "UPDATE retro_hunt SET next_at = clock_timestamp() \
                WHERE id = $1 AND state = 'running' AND step = $2";
    client.execute(sql, &[&hunt.id, &hunt.step]).await?;
    Ok(())
}

/// Notes that an attempt has failed: it is tried again later, or given up.
pub(super) async fn failed(
    client: &Client,
    hunt: &Hunt,
    why: &WorkerError,
) -> Result<(), WorkerError> {
    let sql = "UPDATE retro_hunt SET failures = failures + 1, failure = $3, \
                      next_at = now() + make_interval(secs => least($4 * power(2, failures), $5)), \
                      state = CASE WHEN failures + 1 >= $6 THEN 'failed' ELSE state END, \
                      finished_at = CASE WHEN failures + 1 >= $6 THEN now() END \
                WHERE id = $1 AND state = 'running' AND step = $2";
    let (first, most) = RETRY_S;
    let why = shorten(&why.to_string());
    let params: [&(dyn ToSql + Sync); 6] =
        [&hunt.id, &hunt.step, &why, &first, &most, &FAILURES_MAX];
    client.execute(sql, &params).await?;
    Ok(())
}

/// Locks a hunt that is where it was left; how many alerts it has raised.
async fn ours(tx: &Transaction<'_>, hunt: &Hunt) -> Result<Option<i64>, WorkerError> {
    let sql = "SELECT alerts FROM retro_hunt WHERE id = $1 AND state = 'running' AND step = $2 FOR UPDATE";
    let row = tx.query_opt(sql, &[&hunt.id, &hunt.step]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn moved(
    tx: &Transaction<'_>,
    hunt: &Hunt,
    (place, progress): (Place, Progress),
) -> Result<(), WorkerError> {
    let sql = "UPDATE retro_hunt SET step = step + 1, after_indicator = $2, last_indicator = $3, \
                      table_number = $4, after_ns = $5, after_event = $6, \
                      indicators = indicators + $7, rows_read = rows_read + $8, hits = hits + $9, \
                      alerts = alerts + $10, failures = 0, failure = '' \
                WHERE id = $1";
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let table = i16::try_from(place.table).unwrap_or(i16::MAX);
    let (at, event) = place.after.unzip();
    let params: [&(dyn ToSql + Sync); 10] = [
        &hunt.id,
        &place.after_indicator,
        &place.last_indicator,
        &table,
        &at,
        &event,
        &signed(progress.indicators),
        &signed(progress.rows),
        &signed(progress.hits),
        &signed(progress.alerts),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

async fn limited(client: &mut Client) -> Result<Transaction<'_>, WorkerError> {
    let tx = client.transaction().await?;
    tx.batch_execute(&format!(
        "SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}"
    ))
    .await?;
    Ok(tx)
}
