//! Indicators of compromise: feeds from files, as CSV or as plain lists. A feed is replaced as a
//! whole: what the file no longer holds stops counting, and what did not change stays as it is.

use crate::output::{Page, time};
use crate::stores::Stores;
use crate::{organisations, revision};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use deadpool_postgres::{GenericClient, Transaction};
use millrace_detection::indicators::parse::{self, LineError};
use millrace_detection::indicators::{Feed, Indicator};
use millrace_shared::ids::OrgId;
use millrace_shared::signature::digest;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;
use tokio_postgres::Row;

/// Rows shown unless asked for more.
const LISTED: i64 = 100;
/// Refused lines shown: enough to see what is wrong with a file.
const ERRORS_SHOWN: usize = 10;
/// Rows of one statement: a few megabytes.
const ROWS_AT_ONCE: usize = 10_000;
/// What stands between the tags of one indicator on their way to the server (`chr(31)` there).
const TAG_GAP: &str = "\u{1f}";
/// Addresses and names set aside for documentation, and a digest of nothing that exists.
const DEMO: &str = include_str!("demo_indicators.csv");

/// What can be done to indicators.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// List them
    List {
        /// Of this feed only
        #[arg(long)]
        feed: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = LISTED)]
        limit: i64,
    },
    /// Make a file the content of a feed: CSV with a header, or one value a line
    Import(Import),
}

/// What is imported.
#[derive(Args)]
pub(crate) struct Import {
    /// The file
    pub(crate) file: PathBuf,
    /// Name of the feed
    #[arg(long)]
    pub(crate) feed: String,
    /// For this organisation only (name or id); for every one when not given
    #[arg(long)]
    pub(crate) org: Option<String>,
    /// How far the feed is trusted, 0 to 100
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i16).range(0..=100))]
    pub(crate) trust: i16,
}

/// Carries an action out.
pub(crate) async fn run(stores: &Stores, action: Action) -> anyhow::Result<Page> {
    let mut client = stores.postgres().await?;
    match action {
        Action::List { feed, limit } => list(&client, feed.as_deref(), limit).await,
        Action::Import(import) => {
            let content = read(&import.file)?;
            let tx = client.transaction().await?;
            let org = match &import.org {
                Some(text) => Some(organisations::find(&tx, text).await?),
                None => None,
            };
            let parsed = parse(&content, &import.feed, import.trust)?;
            let source = import.file.display().to_string();
            let feed = FeedFile {
                org,
                source,
                content,
                parsed,
            };
            let changes = replace(&tx, &feed).await?;
            tx.commit().await?;
            Ok(told(&feed, changes))
        }
    }
}

fn told(feed: &FeedFile, changes: Changes) -> Page {
    let refused = &feed.parsed.errors;
    let mut text = format!(
        "feed {}: {} added, {} ended, {} unchanged, {} lines refused",
        feed.parsed.feed.name,
        changes.added,
        changes.ended,
        changes.kept,
        refused.len()
    );
    for error in refused.iter().take(ERRORS_SHOWN) {
        text.push_str(&format!("\n  {error}"));
    }
    let errors: Vec<String> = refused.iter().map(ToString::to_string).collect();
    let value = json!({
        "feed": feed.parsed.feed.name, "added": changes.added, "ended": changes.ended,
        "unchanged": changes.kept, "refused": errors,
    });
    Page::Said(text, value)
}

/// A feed as a file holds it.
pub(crate) struct FeedFile {
    org: Option<OrgId>,
    source: String,
    content: String,
    parsed: Parsed,
}

struct Parsed {
    feed: Arc<Feed>,
    indicators: Vec<Indicator>,
    errors: Vec<LineError>,
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// CSV when a header names a column of values, else a plain list.
fn parse(content: &str, feed: &str, trust: i16) -> anyhow::Result<Parsed> {
    let feed = Arc::new(Feed {
        name: feed.to_owned(),
        trust: u8::try_from(trust)?,
    });
    let as_csv = parse::csv(content, &feed);
    let taken = if as_csv.indicators.is_empty() {
        parse::plain(content, &feed)
    } else {
        as_csv
    };
    if taken.indicators.is_empty() {
        let first = taken
            .errors
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        bail!("no indicator in the file; {first}");
    }
    Ok(Parsed {
        feed,
        indicators: taken.indicators,
        errors: taken.errors,
    })
}

/// What the demonstration knows of: documentation addresses and names, which nobody owns.
pub(crate) fn demo() -> anyhow::Result<FeedFile> {
    let content = DEMO.to_owned();
    let parsed = parse(&content, "demo", 100)?;
    Ok(FeedFile {
        org: None,
        source: "built in".to_owned(),
        content,
        parsed,
    })
}

/// How often a feed's indicators came, went and stayed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Changes {
    added: usize,
    ended: usize,
    kept: usize,
}

/// Makes the file the content of its feed, under a revision of its own.
pub(crate) async fn replace(tx: &Transaction<'_>, feed: &FeedFile) -> anyhow::Result<Changes> {
    let sha256 = hex::encode(digest(feed.content.as_bytes()));
    let known = &feed.parsed.feed;
    let sql = "INSERT INTO indicator_feed (org_id, name, trust, source, sha256, loaded_at) \
               VALUES ($1, $2, $3, $4, $5, now()) \
               ON CONFLICT (org_id, name) DO UPDATE SET trust = excluded.trust, \
                   source = excluded.source, sha256 = excluded.sha256, loaded_at = now() \
               RETURNING id";
    let trust = i16::from(known.trust);
    let row = tx
        .query_one(
            sql,
            &[&feed.org, &known.name, &trust, &feed.source, &sha256],
        )
        .await?;
    let id: i64 = row.try_get(0)?;
    let mut stored = current(tx, id).await?;
    let mut changes = Changes::default();
    let (mut taken, mut added, mut ended) = (HashSet::new(), Vec::new(), Vec::new());
    for indicator in &feed.parsed.indicators {
        let key = (indicator.kind.as_str().to_owned(), indicator.value.clone());
        // Of a value that the file holds twice, the first line counts.
        if !taken.insert(key.clone()) {
            continue;
        }
        match stored.remove(&key) {
            Some((_, content)) if content == Content::of(indicator) => changes.kept += 1,
            Some((id, _)) => {
                ended.push(id);
                added.push(indicator);
            }
            None => added.push(indicator),
        }
    }
    ended.extend(stored.into_values().map(|(id, _)| id));
    (changes.added, changes.ended) = (added.len(), ended.len());
    let revision = revision::take(tx).await?;
    let sql = "UPDATE indicator SET until_revision = $2 WHERE id = ANY($1)";
    tx.execute(sql, &[&ended, &revision]).await?;
    for chunk in added.chunks(ROWS_AT_ONCE) {
        insert(tx, (id, feed.org), revision, chunk).await?;
    }
    Ok(changes)
}

/// What of an indicator may change; times as precise as PostgreSQL keeps them.
#[derive(PartialEq)]
struct Content {
    confidence: i16,
    severity: String,
    threat: String,
    tags: Vec<String>,
    match_private: bool,
    times: [Option<OffsetDateTime>; 3],
}

impl Content {
    fn of(indicator: &Indicator) -> Content {
        Content {
            confidence: i16::from(indicator.confidence),
            severity: indicator.severity.as_str().to_owned(),
            threat: indicator.threat.clone(),
            tags: indicator.tags.clone(),
            match_private: indicator.match_private,
            times: [
                indicator.first_seen,
                indicator.last_seen,
                indicator.expires_at,
            ]
            .map(stored_time),
        }
    }

    fn read(row: &Row) -> anyhow::Result<Content> {
        Ok(Content {
            confidence: row.try_get("confidence")?,
            severity: row.try_get("severity")?,
            threat: row.try_get("threat")?,
            tags: row.try_get("tags")?,
            match_private: row.try_get("match_private")?,
            times: [
                row.try_get("first_seen")?,
                row.try_get("last_seen")?,
                row.try_get("expires_at")?,
            ],
        })
    }
}

fn stored_time(at: Option<i64>) -> Option<OffsetDateTime> {
    let whole = at?.div_euclid(1_000) * 1_000;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(whole)).ok()
}

/// The indicators of a feed that count now, by kind and value.
async fn current(
    tx: &Transaction<'_>,
    feed: i64,
) -> anyhow::Result<HashMap<(String, String), (i64, Content)>> {
    let sql = "SELECT id, kind, value, confidence, severity, threat, tags, match_private, \
                      first_seen, last_seen, expires_at \
                 FROM indicator WHERE feed_id = $1 AND until_revision IS NULL";
    let mut stored = HashMap::new();
    for row in tx.query(sql, &[&feed]).await? {
        let key = (row.try_get("kind")?, row.try_get("value")?);
        stored.insert(key, (row.try_get("id")?, Content::read(&row)?));
    }
    Ok(stored)
}

async fn insert(
    tx: &Transaction<'_>,
    (feed, org): (i64, Option<OrgId>),
    revision: i64,
    indicators: &[&Indicator],
) -> anyhow::Result<()> {
    let sql = "INSERT INTO indicator (feed_id, org_id, from_revision, kind, value, confidence, severity, \
                                      threat, tags, match_private, first_seen, last_seen, expires_at) \
               SELECT $1, $2, $3, i.kind, i.value, i.confidence, i.severity, i.threat, \
                      coalesce(string_to_array(nullif(i.tags, ''), chr(31)), '{}'), i.match_private, i.first_seen, \
                      i.last_seen, i.expires_at \
                 FROM unnest($4::text[], $5::text[], $6::smallint[], $7::text[], $8::text[], $9::text[], \
                             $10::boolean[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[]) \
                   AS i (kind, value, confidence, severity, threat, tags, match_private, first_seen, \
                         last_seen, expires_at)";
    let column = |make: fn(&Indicator) -> String| -> Vec<String> {
        indicators.iter().map(|indicator| make(indicator)).collect()
    };
    let times = |make: fn(&Indicator) -> Option<i64>| -> Vec<Option<OffsetDateTime>> {
        indicators
            .iter()
            .map(|indicator| stored_time(make(indicator)))
            .collect()
    };
    let confidence: Vec<i16> = indicators
        .iter()
        .map(|one| i16::from(one.confidence))
        .collect();
    let private: Vec<bool> = indicators.iter().map(|one| one.match_private).collect();
    tx.execute(
        sql,
        &[
            &feed,
            &org,
            &revision,
            &column(|one| one.kind.as_str().to_owned()),
            &column(|one| one.value.clone()),
            &confidence,
            &column(|one| one.severity.as_str().to_owned()),
            &column(|one| one.threat.clone()),
            &column(|one| one.tags.join(TAG_GAP)),
            &private,
            &times(|one| one.first_seen),
            &times(|one| one.last_seen),
            &times(|one| one.expires_at),
        ],
    )
    .await?;
    Ok(())
}

async fn list(client: &impl GenericClient, feed: Option<&str>, limit: i64) -> anyhow::Result<Page> {
    let sql = "SELECT i.id, f.name, o.name, i.kind, i.value, i.confidence, i.severity, i.threat, \
                      i.last_seen, i.expires_at \
                 FROM indicator i JOIN indicator_feed f ON f.id = i.feed_id \
                 LEFT JOIN organisation o ON o.id = i.org_id \
                WHERE i.until_revision IS NULL AND ($1::text IS NULL OR f.name = $1) \
                ORDER BY i.id LIMIT $2";
    let mut rows = Vec::new();
    for row in client.query(sql, &[&feed, &limit]).await? {
        rows.push(vec![
            json!(row.try_get::<_, i64>(0)?),
            json!(row.try_get::<_, String>(1)?),
            json!(row.try_get::<_, Option<String>>(2)?),
            json!(row.try_get::<_, String>(3)?),
            json!(row.try_get::<_, String>(4)?),
            json!(row.try_get::<_, i16>(5)?),
            json!(row.try_get::<_, String>(6)?),
            json!(row.try_get::<_, String>(7)?),
            time(row.try_get(8)?),
            time(row.try_get(9)?),
        ]);
    }
    let columns = &[
        "id",
        "feed",
        "org",
        "kind",
        "value",
        "confidence",
        "severity",
        "threat",
        "last_seen",
        "expires_at",
    ];
    Ok(Page::Table { columns, rows })
}
