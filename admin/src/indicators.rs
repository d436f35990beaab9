//! Indicators of compromise: feeds from files in every format that is known, and the indicators in
//! them. A feed is replaced as a whole unless it is asked otherwise: what the file no longer holds
//! stops counting, and what did not change stays as it is.

use crate::organisations;
use crate::output::{Page, time};
use crate::stores::Stores;
use crate::trail::WHO;
use crate::{allow_lists, feeds};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use deadpool_postgres::{GenericClient, Transaction};
use millrace_detection::indicators::Feed;
use millrace_detection::indicators::parse::{self, Format, Parsed};
use millrace_feeds::{Changes, Load, Mode, end_indicator, load};
use millrace_shared::ids::OrgId;
use millrace_shared::signature::digest;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows shown unless asked for more.
const LISTED: i64 = 100;
/// Refused lines and objects shown: enough to see what is wrong with a file.
const ERRORS_SHOWN: usize = 10;
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
        /// With this value only; defanged forms are accepted
        #[arg(long)]
        value: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = LISTED)]
        limit: i64,
    },
    /// Make a file the content of a feed: CSV, a plain list, a hosts file, STIX 2.1, MISP
    Import(Import),
    /// End an indicator
    Remove {
        /// Its number
        id: i64,
        /// Of this organisation (name or id); everybody's when not given
        #[arg(long)]
        org: Option<String>,
    },
    /// Feeds
    #[command(subcommand)]
    Feeds(feeds::Action),
    /// Lists of what is known to be harmless
    #[command(subcommand)]
    AllowLists(allow_lists::Action),
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
    /// How far the feed is trusted, 0 to 100; as before, or 100, when not given
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) trust: Option<u8>,
    /// csv, plain, hosts, stix or misp; told by the content when not given
    #[arg(long, value_parser = format)]
    pub(crate) format: Option<Format>,
    /// Add to what the feed holds, instead of replacing it
    #[arg(long)]
    pub(crate) merge: bool,
    /// Say what would come of it, and store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Reads the word for a format of feeds.
pub(crate) fn format(word: &str) -> Result<Format, String> {
    let format = Format::parse(word).filter(|format| *format != Format::WarningList);
    format.ok_or_else(|| "must be csv, plain, hosts, stix, misp or misp-feed".to_owned())
}

/// Carries an action out.
pub(crate) async fn run(stores: &Stores, action: Action) -> anyhow::Result<Page> {
    let mut client = stores.postgres().await?;
    match action {
        Action::List { feed, value, limit } => {
            let value = value.map(|text| canonical(&text));
            list(&client, (feed.as_deref(), value.as_deref()), limit).await
        }
        Action::Import(import) => {
            let content = read(&import.file)?;
            let parsed = parsed(&content, &import.feed, import.format)?;
            let tx = client.transaction().await?;
            let org = whose(&tx, import.org.as_deref()).await?;
            let file = FeedFile {
                org,
                name: import.feed.clone(),
                trust: import.trust,
                source: import.file.display().to_string(),
                content,
                parsed,
                merge: import.merge,
            };
            let changes = store(&tx, &file).await?;
            match import.dry_run {
                true => tx.rollback().await?,
                false => tx.commit().await?,
            }
            Ok(told(&file, changes, import.dry_run))
        }
        Action::Remove { id, org } => {
            let tx = client.transaction().await?;
            let org = whose(&tx, org.as_deref()).await?;
            let Some(ended) = end_indicator(&tx, org, id).await? else {
                bail!("there is no such indicator");
            };
            tx.commit().await?;
            let text = format!(
                "{} {} of feed {} ended",
                ended.kind, ended.value, ended.feed
            );
            let value = json!({ "feed": ended.feed, "kind": ended.kind, "value": ended.value });
            Ok(Page::Said(text, value))
        }
        Action::Feeds(action) => feeds::run(stores, &mut client, action).await,
        Action::AllowLists(action) => allow_lists::run(&mut client, action).await,
    }
}

/// The organisation of that name or id, or everybody.
pub(crate) async fn whose(
    client: &impl GenericClient,
    org: Option<&str>,
) -> anyhow::Result<Option<OrgId>> {
    match org {
        Some(text) => Ok(Some(organisations::find(client, text).await?)),
        None => Ok(None),
    }
}

fn canonical(text: &str) -> String {
    let known = millrace_detection::observables::guess(text);
    known.map_or_else(|| text.to_owned(), |(_, value)| value)
}

fn told(file: &FeedFile, changes: Changes, dry_run: bool) -> Page {
    let Parsed {
        errors,
        refused,
        notes,
        left_out,
        ..
    } = &file.parsed;
    let mut text = format!(
        "feed {}: {} added, {} ended, {} unchanged, {refused} lines or objects refused, {left_out} left out",
        file.name, changes.added, changes.ended, changes.kept,
    );
    if dry_run {
        text.push_str("; a dry run: nothing was stored");
    }
    for one in errors.iter().chain(notes).take(ERRORS_SHOWN) {
        text.push_str(&format!("\n  {one}"));
    }
    let texts = |told: &[parse::Told]| told.iter().map(ToString::to_string).collect::<Vec<_>>();
    let value = json!({
        "feed": file.name, "added": changes.added, "ended": changes.ended, "dry_run": dry_run,
        "unchanged": changes.kept, "refused": texts(errors), "notes": texts(notes),
        "left_out": left_out,
    });
    Page::Said(text, value)
}

/// A feed as a file holds it.
pub(crate) struct FeedFile {
    org: Option<OrgId>,
    name: String,
    trust: Option<u8>,
    source: String,
    content: String,
    parsed: Parsed,
    merge: bool,
}

/// Reads a file of text.
pub(crate) fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn parsed(content: &str, feed: &str, format: Option<Format>) -> anyhow::Result<Parsed> {
    let feed = Arc::new(Feed {
        id: 0,
        name: feed.to_owned(),
        trust: 100,
    });
    let (_, parsed) = parse::read(content, format, &feed).context("the file is no feed")?;
    if parsed.indicators.is_empty() {
        let first = parsed.errors.first().map(ToString::to_string);
        bail!("no indicator in the file; {}", first.unwrap_or_default());
    }
    Ok(parsed)
}

/// What the demonstration knows of: documentation addresses and names, which nobody owns.
pub(crate) fn demo() -> anyhow::Result<FeedFile> {
    let content = DEMO.to_owned();
    let parsed = parsed(&content, "demo", None)?;
    Ok(FeedFile {
        org: None,
        name: "demo".to_owned(),
        trust: None,
        source: "built in".to_owned(),
        content,
        parsed,
        merge: false,
    })
}

/// Makes the file the content of its feed, or adds it, under a revision of its own.
pub(crate) async fn store(tx: &Transaction<'_>, file: &FeedFile) -> anyhow::Result<Changes> {
    let sha256 = hex::encode(digest(file.content.as_bytes()));
    let content = Load {
        org: file.org,
        name: &file.name,
        trust: file.trust,
        source: &file.source,
        sha256: &sha256,
        indicators: &file.parsed.indicators,
        refused: file.parsed.refused,
        mode: match file.merge {
            true => Mode::Merge,
            false => Mode::Replace,
        },
        lease: None,
        who: WHO,
    };
    Ok(load(tx, &content).await?)
}

async fn list(
    client: &impl GenericClient,
    (feed, value): (Option<&str>, Option<&str>),
    limit: i64,
) -> anyhow::Result<Page> {
    let sql = "SELECT i.id, f.name, o.name, i.kind, i.value, i.confidence, i.severity, i.threat, \
                      i.last_seen, i.expires_at \
                 FROM indicator i JOIN indicator_feed f ON f.id = i.feed_id \
                 LEFT JOIN organisation o ON o.id = i.org_id \
                WHERE i.until_revision IS NULL AND ($1::text IS NULL OR f.name = $1) \
                  AND ($3::text IS NULL OR i.value = $3) \
                ORDER BY i.id LIMIT $2";
    let mut rows = Vec::new();
    for row in client.query(sql, &[&feed, &limit, &value]).await? {
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
