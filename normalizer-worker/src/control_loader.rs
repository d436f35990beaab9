//! Loads what configures the pure half: rules, indicators, policies and pipelines, as they stood at
//! one revision, and keeps the last few revisions compiled.
//!
//! Rows of a revision never change once it is visible: whoever takes a revision holds a lock until
//! his transaction ends, and a revision is read only under that lock. So a batch can be made again,
//! later or elsewhere, with exactly what made it first.

use crate::control::{Control, Fixed, Kept, Unusable};
use crate::control_rows::{AllowListRow, ControlRows, OrganisationRow, PipelineRow, RuleRow};
use crate::error::WorkerError;
use crate::metrics;
use arc_swap::ArcSwap;
use deadpool_postgres::{Client, Pool};
use futures_util::{StreamExt as _, pin_mut};
use millrace_detection::indicators::{AllowList, Allowed, Feed, IndexBuilder};
use millrace_detection::{Indicator, IndicatorIndex, Kind};
use millrace_shared::Signal;
use millrace_shared::ids::OrgId;
use millrace_shared::limits::NS_PER_DAY;
use millrace_shared::wire::Severity;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_postgres::Row;

/// Revisions kept compiled: the present one and those that batches in flight may have pinned.
const KEPT: usize = 3;
/// The lock that takers of a revision hold (timescale-init says so too).
const REVISION_LOCK: i64 = 7_770_001;
/// Milliseconds to wait for a taker of a revision; the next look is soon.
const LOCK_TIMEOUT_MS: u32 = 3_000;

/// What configures the pure half, at one revision.
pub struct Snapshot {
    /// The revision.
    pub revision: i64,
    /// Compiled.
    pub control: Control,
}

/// The index over the indicators and the allow-lists, with the revision they were made at.
#[derive(Clone)]
struct Made {
    at: i64,
    index: Arc<IndicatorIndex>,
    allowed: Arc<Allowed>,
}

impl Made {
    fn of(snapshot: &Snapshot) -> Made {
        Made {
            at: snapshot.revision,
            index: snapshot.control.indicators(),
            allowed: snapshot.control.allowed(),
        }
    }
}

/// What of it still holds.
#[derive(Default)]
struct Holds {
    index: Option<Arc<IndicatorIndex>>,
    allowed: Option<Arc<Allowed>>,
}

/// The snapshots.
pub struct Controls {
    pool: Pool,
    fixed: Fixed,
    current: ArcSwap<Snapshot>,
    recent: Mutex<VecDeque<Arc<Snapshot>>>,
    made: Mutex<Option<Made>>,
    loading: tokio::sync::Mutex<()>,
    own: OnceLock<OrgId>,
}

/// The organisation of the pipeline's own telemetry.
const OWN_NAME: &str = "millrace-self";

impl Controls {
    /// Loads the present revision. `fixed` is what does not depend on it.
    ///
    /// # Errors
    /// When PostgreSQL is not available or a row cannot be read.
    pub async fn load(pool: Pool, fixed: Fixed) -> Result<Self, WorkerError> {
        let mut client = pool.get().await?;
        let revision = revision(&mut client).await?;
        let (rows, holds) = read(&client, revision, None).await?;
        drop(client);
        let snapshot = compile(&fixed, rows, holds, None).await?;
        metrics::CONTROL_REVISION.set(&[], as_gauge(revision));
        Ok(Controls {
            pool,
            fixed,
            current: ArcSwap::new(Arc::clone(&snapshot)),
            made: Mutex::new(Some(Made::of(&snapshot))),
            recent: Mutex::new(VecDeque::from([snapshot])),
            loading: tokio::sync::Mutex::new(()),
            own: OnceLock::new(),
        })
    }

    /// What new batches are made with.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// What batches of that revision were made with.
    ///
    /// # Errors
    /// When PostgreSQL is not available or a row cannot be read.
    pub async fn at(&self, revision: i64) -> Result<Arc<Snapshot>, WorkerError> {
        if let Some(kept) = self.kept(revision) {
            return Ok(kept);
        }
        let _one_at_a_time = self.loading.lock().await;
        match self.kept(revision) {
            Some(kept) => Ok(kept),
            None => self.read_and_keep(revision).await,
        }
    }

    /// Takes up the present revision if it is newer; whether it was.
    ///
    /// # Errors
    /// When PostgreSQL is not available or a row cannot be read; the old one then stays in use.
    pub async fn refresh(&self) -> Result<bool, WorkerError> {
        let mut client = self.pool.get().await?;
        let latest = revision(&mut client).await?;
        self.find_own(&client).await?;
        drop(client);
        if latest == self.current().revision {
            return Ok(false);
        }
        let started = Instant::now();
        let snapshot = self.at(latest).await?;
        self.current.store(snapshot);
        metrics::CONTROL_RELOAD.observe(&[], started.elapsed().as_secs_f64());
        metrics::CONTROL_REVISION.set(&[], as_gauge(latest));
        tracing::info!(revision = latest, "control tables reloaded");
        Ok(true)
    }

    /// Whether it is the organisation of the pipeline's own telemetry, of whose batches nothing may
    /// be told to itself.
    #[must_use]
    pub fn is_own(&self, org: OrgId) -> bool {
        self.own.get() == Some(&org)
    }

    async fn find_own(&self, client: &Client) -> Result<(), WorkerError> {
        if self.own.get().is_some() {
            return Ok(());
        }
        let sql = "SELECT id FROM organisation WHERE name = $1";
        if let Some(row) = client.query_opt(sql, &[&OWN_NAME]).await? {
            let _ = self.own.set(row.try_get(0)?);
        }
        Ok(())
    }

    fn kept(&self, revision: i64) -> Option<Arc<Snapshot>> {
        let recent = self.recent.lock().ok()?;
        recent
            .iter()
            .find(|snapshot| snapshot.revision == revision)
            .cloned()
    }

    async fn read_and_keep(&self, revision: i64) -> Result<Arc<Snapshot>, WorkerError> {
        let have = self.made.lock().ok().and_then(|have| have.clone());
        let client = self.pool.get().await?;
        let (rows, holds) = read(&client, revision, have).await?;
        drop(client);
        let before = self.current.load_full();
        let snapshot = compile(&self.fixed, rows, holds, Some(before)).await?;
        if let Ok(mut kept) = self.made.lock() {
            *kept = Some(Made::of(&snapshot));
        }
        if let Ok(mut recent) = self.recent.lock() {
            recent.push_back(Arc::clone(&snapshot));
            while recent.len() > KEPT {
                recent.pop_front();
            }
        }
        Ok(snapshot)
    }
}

async fn compile(
    fixed: &Fixed,
    rows: ControlRows,
    holds: Holds,
    before: Option<Arc<Snapshot>>,
) -> Result<Arc<Snapshot>, WorkerError> {
    let fixed = fixed.clone();
    let revision = rows.revision;
    let build = move || {
        let kept = Kept {
            indicators: holds.index.as_ref(),
            allowed: holds.allowed.as_ref(),
            before: before.as_ref().map(|before| &before.control),
        };
        Control::build(&rows, kept, &fixed)
    };
    let (control, unusable) = tokio::task::spawn_blocking(build)
        .await
        .map_err(|_| WorkerError::Control(format!("revision {revision} cannot be compiled")))?;
    for Unusable { org, problem } in unusable {
        tracing::error!(%org, problem, revision, "a control row cannot be used, going on without it");
    }
    Ok(Arc::new(Snapshot { revision, control }))
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn as_gauge(value: i64) -> f64 {
    value as f64
}

/// The latest revision whose rows are all visible.
async fn revision(client: &mut Client) -> Result<i64, WorkerError> {
    let tx = client.transaction().await?;
    tx.batch_execute(&format!("SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        .await?;
    tx.execute("SELECT pg_advisory_xact_lock_shared($1)", &[&REVISION_LOCK])
        .await?;
    let sql = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM control_revision";
    let revision = tx.query_one(sql, &[]).await?.try_get(0)?;
    tx.commit().await?;
    Ok(revision)
}

/// The rows of a revision, but for those that what is at hand was made of, and the index.
async fn read(
    client: &Client,
    revision: i64,
    have: Option<Made>,
) -> Result<(ControlRows, Holds), WorkerError> {
    let mut holds = Holds::default();
    if let Some(made) = have {
        let since = made.at.min(revision);
        if unchanged(client, INDICATORS_CHANGED, since).await? {
            holds.index = Some(made.index);
        }
        if unchanged(client, ALLOW_LISTS_CHANGED, since).await? {
            holds.allowed = Some(made.allowed);
        }
    }
    let mut rows = ControlRows {
        revision,
        organisations: read_organisations(client, revision).await?,
        rules: read_rules(client, revision).await?,
        indicators: Vec::new(),
        allow_lists: Vec::new(),
        pipelines: read_pipelines(client, revision).await?,
    };
    if holds.index.is_none() {
        let index = read_indicators(client, revision).await?;
        let count = i64::try_from(index.len()).unwrap_or(i64::MAX);
        metrics::INDICATORS.set(&[], as_gauge(count));
        holds.index = Some(Arc::new(index));
    }
    if holds.allowed.is_none() {
        rows.allow_lists = read_allow_lists(client, revision).await?;
    }
    Ok((rows, holds))
}

/// Whether any indicator has come or gone since a revision, or any feed counts otherwise.
const INDICATORS_CHANGED: &str = "SELECT EXISTS (SELECT 1 FROM indicator \
        WHERE greatest(from_revision, coalesce(until_revision, 0)) > $1) \
     OR EXISTS (SELECT 1 FROM indicator_feed_version \
        WHERE greatest(from_revision, coalesce(until_revision, 0)) > $1)";
/// Whether any allow-list has changed since a revision.
const ALLOW_LISTS_CHANGED: &str = "SELECT EXISTS (SELECT 1 FROM allow_list \
        WHERE greatest(from_revision, coalesce(until_revision, 0)) > $1)";

async fn unchanged(client: &Client, changed: &str, since: i64) -> Result<bool, WorkerError> {
    let changed: bool = client.query_one(changed, &[&since]).await?.try_get(0)?;
    Ok(!changed)
}

/// The rows that count at revision $1.
const AT: &str = "from_revision <= $1 AND (until_revision IS NULL OR $1 < until_revision)";

async fn read_organisations(
    client: &Client,
    revision: i64,
) -> Result<Vec<OrganisationRow>, WorkerError> {
    let sql = format!(
        "SELECT org_id, pepper, pepper_version, pii_policy, settings FROM organisation_version \
          WHERE {AT} ORDER BY org_id"
    );
    let rows = client.query(&sql, &[&revision]).await?;
    rows.iter().map(organisation).collect()
}

/// An organisation's policies, of a row of their versions.
pub(crate) fn organisation(row: &Row) -> Result<OrganisationRow, WorkerError> {
    let pepper: &[u8] = row.try_get("pepper")?;
    let version: i32 = row.try_get("pepper_version")?;
    Ok(OrganisationRow {
        org: row.try_get("org_id")?,
        pepper: pepper
            .try_into()
            .map_err(|_| WorkerError::Control("a pepper is not 32 bytes".to_owned()))?,
        pepper_version: u32::try_from(version)
            .map_err(|_| WorkerError::Control("a pepper has no version".to_owned()))?,
        pii_policy: row.try_get("pii_policy")?,
        settings: row.try_get("settings")?,
    })
}

async fn read_rules(client: &Client, revision: i64) -> Result<Vec<RuleRow>, WorkerError> {
    let sql = format!(
        "SELECT org_id, id, version, body FROM rule WHERE enabled AND {AT} ORDER BY org_id, id"
    );
    let rule = |row: &Row| {
        Ok(RuleRow {
            org: row.try_get("org_id")?,
            id: row.try_get("id")?,
            version: row.try_get("version")?,
            body: row.try_get("body")?,
        })
    };
    client
        .query(&sql, &[&revision])
        .await?
        .iter()
        .map(rule)
        .collect()
}

async fn read_pipelines(client: &Client, revision: i64) -> Result<Vec<PipelineRow>, WorkerError> {
    let sql = format!(
        "SELECT org_id, signal, steps FROM normalization_pipeline WHERE {AT} ORDER BY org_id, signal"
    );
    let mut pipelines = Vec::new();
    for row in client.query(&sql, &[&revision]).await? {
        let signal = Signal::from_name(row.try_get("signal")?)
            .ok_or_else(|| WorkerError::Control("a pipeline is for no signal".to_owned()))?;
        let (org, steps) = (row.try_get("org_id")?, row.try_get("steps")?);
        pipelines.push(PipelineRow { org, signal, steps });
    }
    Ok(pipelines)
}

/// Indicators come by the million: they are read as a stream, and none is kept but in the index.
async fn read_indicators(client: &Client, revision: i64) -> Result<IndicatorIndex, WorkerError> {
    let feeds = read_feeds(client, revision).await?;
    let sql = format!("SELECT count(*) FROM indicator WHERE {AT}");
    let count: i64 = client.query_one(&sql, &[&revision]).await?.try_get(0)?;
    let sql = format!(
        "SELECT id, feed_id, org_id, kind, value, confidence, severity, threat, tags, match_private, \
                first_seen, last_seen, expires_at, added_at FROM indicator WHERE {AT}"
    );
    let rows = client.query_raw(&sql, [revision]).await?;
    pin_mut!(rows);
    let mut index = IndexBuilder::with_capacity(usize::try_from(count).unwrap_or(0));
    while let Some(row) = rows.next().await {
        if let Some(indicator) = indicator(&row?, &feeds)? {
            index.add(&indicator);
        }
    }
    tokio::task::spawn_blocking(|| index.finish())
        .await
        .map_err(|_| {
            WorkerError::Control(format!("the indicators of {revision} cannot be indexed"))
        })
}

/// What of a feed matters to its indicators.
pub(crate) struct FeedRow {
    feed: Arc<Feed>,
    /// Nanoseconds after which an indicator without an end of its own ceases to match.
    lasts: Option<i64>,
}

pub(crate) type Feeds = HashMap<i64, FeedRow>;

async fn read_feeds(client: &Client, revision: i64) -> Result<Feeds, WorkerError> {
    let sql = format!(
        "SELECT f.id, f.name, v.trust, v.expire_days \
           FROM indicator_feed AS f JOIN indicator_feed_version AS v ON v.feed_id = f.id WHERE {AT}"
    );
    let rows = client.query(&sql, &[&revision]).await?;
    rows.iter().map(feed).collect()
}

/// A feed by its id, of `id`, `name`, `trust` and `expire_days`.
pub(crate) fn feed(row: &Row) -> Result<(i64, FeedRow), WorkerError> {
    let (name, days): (&str, Option<i32>) = (row.try_get("name")?, row.try_get("expire_days")?);
    let id: i64 = row.try_get("id")?;
    let feed = Feed {
        id,
        name: name.to_owned(),
        trust: percent(row.try_get("trust")?),
    };
    let row = FeedRow {
        feed: Arc::new(feed),
        lasts: days.map(|days| i64::from(days).saturating_mul(NS_PER_DAY)),
    };
    Ok((id, row))
}

async fn read_allow_lists(
    client: &Client,
    revision: i64,
) -> Result<Vec<AllowListRow>, WorkerError> {
    let sql = format!(
        "SELECT org_id, name, description, matching, attributes, entries FROM allow_list \
          WHERE {AT} ORDER BY id"
    );
    let mut lists = Vec::new();
    for row in client.query(&sql, &[&revision]).await? {
        let matching = serde_json::Value::String(row.try_get("matching")?);
        let matching = serde_json::from_value(matching);
        lists.push(AllowListRow {
            org: row.try_get("org_id")?,
            list: AllowList {
                name: row.try_get("name")?,
                description: row.try_get("description")?,
                matching: matching
                    .map_err(|_| WorkerError::Control("an allow-list is of no type".to_owned()))?,
                list: row.try_get("entries")?,
                matching_attributes: row.try_get("attributes")?,
            },
        });
    }
    Ok(lists)
}

fn percent(value: i16) -> u8 {
    u8::try_from(value.clamp(0, 100)).unwrap_or(0)
}

/// An indicator of one of the feeds; nothing where it is of a kind that this program does not know.
pub(crate) fn indicator(row: &Row, feeds: &Feeds) -> Result<Option<Indicator>, WorkerError> {
    let (id, feed): (i64, i64) = (row.try_get("id")?, row.try_get("feed_id")?);
    let feed = feeds
        .get(&feed)
        .ok_or_else(|| WorkerError::Control("an indicator is of no feed".to_owned()))?;
    let Some(kind) = Kind::parse(row.try_get("kind")?) else {
        return Ok(None);
    };
    let at = |name: &str| -> Result<Option<i64>, WorkerError> {
        let at: Option<OffsetDateTime> = row.try_get(name)?;
        Ok(at.and_then(|at| i64::try_from(at.unix_timestamp_nanos()).ok()))
    };
    let (last_seen, added) = (at("last_seen")?, at("added_at")?);
    // Of two moments the later one: an old sighting that was only told now holds for a while, too.
    let since = last_seen.max(added);
    let ends = since.zip(feed.lasts);
    let ends = ends.map(|(since, lasts)| since.saturating_add(lasts));
    Ok(Some(Indicator {
        id: u64::try_from(id).unwrap_or(0),
        org: row.try_get("org_id")?,
        kind,
        value: row.try_get("value")?,
        feed: Arc::clone(&feed.feed),
        confidence: percent(row.try_get("confidence")?),
        severity: Severity::parse(row.try_get("severity")?).unwrap_or(Severity::Medium),
        threat: row.try_get("threat")?,
        tags: row.try_get("tags")?,
        match_private: row.try_get("match_private")?,
        first_seen: at("first_seen")?,
        last_seen,
        expires_at: at("expires_at")?.or(ends),
    }))
}
