//! Indicator files of a directory, brought into the control table: `*.csv` with a header, `*.txt`
//! with one value a line. A file is a feed; what it no longer holds is closed, what is new is added,
//! under a new control revision. Files that have not changed cost one look at the directory.

use crate::error::WorkerError;
use deadpool_postgres::{Pool, Transaction};
use millrace_detection::indicators::{Feed, Indicator, parse};
use millrace_shared::time::rfc3339;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use time::OffsetDateTime;
use tokio_postgres::Row;

/// How far a feed from a file is trusted: whoever put it there chose it.
const TRUST: u8 = 100;
/// What marks a feed as one of a file, with the name of the file behind it.
const SOURCE: &str = "file:";
/// The lock that takers of a control revision hold (timescale-init says so too).
const REVISION_LOCK: i64 = 7_770_001;
/// Indicators written with one statement.
const AT_ONCE: usize = 5_000;
/// Faulty lines of a file that are logged; the rest is counted.
const ERRORS_LOGGED: usize = 5;

/// A file as the directory shows it.
type Shown = (PathBuf, u64, Option<SystemTime>);

/// Looks at a directory and loads its files when something has changed.
pub struct Watch {
    directory: PathBuf,
    seen: Vec<Shown>,
}

impl Watch {
    /// Of a directory.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Watch {
            directory,
            seen: Vec::new(),
        }
    }

    /// Loads the files if the directory looks different than at the last look.
    ///
    /// # Errors
    /// When the directory cannot be read or PostgreSQL is not available.
    pub async fn look(&mut self, pool: &Pool) -> Result<(), WorkerError> {
        let shown = list(&self.directory)?;
        if shown == self.seen {
            return Ok(());
        }
        load(pool, &self.directory).await?;
        self.seen = shown;
        Ok(())
    }
}

fn list(directory: &Path) -> Result<Vec<Shown>, WorkerError> {
    let failed = |error: std::io::Error| unreadable(directory, &error.to_string());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let known = path
            .extension()
            .is_some_and(|ext| ext == "csv" || ext == "txt");
        let about = entry.metadata().map_err(failed)?;
        if known && about.is_file() {
            files.push((path, about.len(), about.modified().ok()));
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, problem: &str) -> WorkerError {
    WorkerError::IndicatorFile {
        file: name_of(path),
        problem: problem.to_owned(),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Brings all files of the directory into the control table, and closes what came from files that
/// are no longer there.
///
/// # Errors
/// When the directory cannot be read or PostgreSQL is not available.
pub async fn load(pool: &Pool, directory: &Path) -> Result<(), WorkerError> {
    let mut present = Vec::new();
    for (path, _, _) in list(directory)? {
        let name = name_of(&path);
        let read = tokio::task::spawn_blocking(move || read_file(&path));
        let file = read
            .await
            .map_err(|_| WorkerError::Control("reading was cut off".to_owned()))??;
        store(pool, &name, file).await?;
        present.push(format!("{SOURCE}{name}"));
    }
    close_absent(pool, &present).await
}

/// Indicators by kind and value.
type Wanted = HashMap<(String, String), Indicator>;

/// A file's digest and its indicators.
struct File {
    sha256: String,
    indicators: Wanted,
}

fn read_file(path: &Path) -> Result<File, WorkerError> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error.to_string()))?;
    let text = String::from_utf8_lossy(&bytes);
    let name = name_of(path);
    let feed = Arc::new(Feed {
        name: name.clone(),
        trust: TRUST,
    });
    let parsed = match path.extension().and_then(|ext| ext.to_str()) {
        Some("csv") => parse::csv(&text, &feed),
        Some(_) | None => parse::plain(&text, &feed),
    };
    for error in parsed.errors.iter().take(ERRORS_LOGGED) {
        tracing::warn!(
            file = name,
            line = error.line,
            "a line of an indicator file cannot be used"
        );
    }
    tracing::info!(
        file = name,
        indicators = parsed.indicators.len(),
        refused = parsed.errors.len(),
        "indicator file read"
    );
    let keyed = |one: Indicator| ((one.kind.as_str().to_owned(), one.value.clone()), one);
    Ok(File {
        sha256: hex::encode(Sha256::digest(&bytes)),
        indicators: parsed.indicators.into_iter().map(keyed).collect(),
    })
}

/// An indicator without its place in the table: as stored, so that a change of any part shows.
fn row(one: &Indicator) -> Value {
    let at = |time: Option<i64>| time.map(rfc3339);
    json!({
        "kind": one.kind.as_str(), "value": one.value, "confidence": one.confidence,
        "severity": one.severity.as_str(), "threat": one.threat, "tags": one.tags,
        "match_private": one.match_private, "first_seen": at(one.first_seen),
        "last_seen": at(one.last_seen), "expires_at": at(one.expires_at),
    })
}

async fn store(pool: &Pool, name: &str, file: File) -> Result<(), WorkerError> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&REVISION_LOCK])
        .await?;
    let sql = "INSERT INTO indicator_feed (name, trust, source) VALUES ($1, $2, $3) \
               ON CONFLICT (org_id, name) DO UPDATE SET source = excluded.source \
               RETURNING id, sha256";
    let source = format!("{SOURCE}{name}");
    let feed = tx
        .query_one(sql, &[&name, &i16::from(TRUST), &source])
        .await?;
    if feed.try_get::<_, &str>(1)? == file.sha256 {
        return Ok(());
    }
    let id: i64 = feed.try_get(0)?;
    let (gone, new) = difference(&tx, id, file.indicators).await?;
    if !gone.is_empty() || !new.is_empty() {
        change(&tx, id, (&gone, &new)).await?;
        tracing::info!(
            file = name,
            closed = gone.len(),
            added = new.len(),
            "indicators changed"
        );
    }
    let sql = "UPDATE indicator_feed SET sha256 = $2, loaded_at = now() WHERE id = $1";
    tx.execute(sql, &[&id, &file.sha256]).await?;
    tx.commit().await?;
    Ok(())
}

/// Ids of the indicators of a feed that are not in the file as they are, and those of the file that
/// are not in the feed.
async fn difference(
    tx: &Transaction<'_>,
    feed: i64,
    mut wanted: Wanted,
) -> Result<(Vec<i64>, Vec<Indicator>), WorkerError> {
    let sql = "SELECT id, kind, value, confidence, severity, threat, tags, match_private, first_seen, \
                      last_seen, expires_at \
                 FROM indicator WHERE feed_id = $1 AND until_revision IS NULL";
    let mut gone = Vec::new();
    for stored in tx.query(sql, &[&feed]).await? {
        let key: (String, String) = (stored.try_get("kind")?, stored.try_get("value")?);
        let same = match wanted.get(&key) {
            Some(one) => same(one, &stored)?,
            None => false,
        };
        if same {
            wanted.remove(&key);
        } else {
            gone.push(stored.try_get("id")?);
        }
    }
    Ok((gone, wanted.into_values().collect()))
}

fn same(one: &Indicator, stored: &Row) -> Result<bool, WorkerError> {
    let time = |name: &str| -> Result<Option<i128>, WorkerError> {
        let at: Option<OffsetDateTime> = stored.try_get(name)?;
        Ok(at.map(|at| at.unix_timestamp_nanos() / 1_000))
    };
    // The table keeps microseconds.
    let micros = |at: Option<i64>| at.map(|at| i128::from(at) / 1_000);
    Ok(
        stored.try_get::<_, i16>("confidence")? == i16::from(one.confidence)
            && stored.try_get::<_, &str>("severity")? == one.severity.as_str()
            && stored.try_get::<_, &str>("threat")? == one.threat
            && stored.try_get::<_, Vec<String>>("tags")? == one.tags
            && stored.try_get::<_, bool>("match_private")? == one.match_private
            && time("first_seen")? == micros(one.first_seen)
            && time("last_seen")? == micros(one.last_seen)
            && time("expires_at")? == micros(one.expires_at),
    )
}

async fn change(
    tx: &Transaction<'_>,
    feed: i64,
    (gone, new): (&[i64], &[Indicator]),
) -> Result<(), WorkerError> {
    let revision: i64 = tx
        .query_one("SELECT nextval('control_revision')", &[])
        .await?
        .try_get(0)?;
    let sql = "UPDATE indicator SET until_revision = $1 WHERE id = ANY($2)";
    for ids in gone.chunks(AT_ONCE) {
        tx.execute(sql, &[&revision, &ids]).await?;
    }
    let sql = "INSERT INTO indicator (feed_id, kind, value, confidence, severity, threat, tags, \
                      match_private, first_seen, last_seen, expires_at, from_revision) \
               SELECT $1, kind, value, confidence, severity, threat, tags, match_private, \
                      first_seen, last_seen, expires_at, $2 \
                 FROM jsonb_to_recordset($3) AS r (kind text, value text, confidence int2, \
                      severity text, threat text, tags text[], match_private boolean, \
                      first_seen timestamptz, last_seen timestamptz, expires_at timestamptz)";
    let statement = tx.prepare_cached(sql).await?;
    for part in new.chunks(AT_ONCE) {
        let rows = Value::Array(part.iter().map(row).collect());
        tx.execute(&statement, &[&feed, &revision, &rows]).await?;
    }
    tx.batch_execute("NOTIFY millrace_control").await?;
    Ok(())
}

/// Closes the indicators of files that are no longer there.
async fn close_absent(pool: &Pool, present: &[String]) -> Result<(), WorkerError> {
    let mut client = pool.get().await?;
    let sql = "SELECT id FROM indicator_feed \
                WHERE org_id IS NULL AND starts_with(source, $1) AND NOT source = ANY($2) \
                  AND sha256 <> ''";
    let absent: Vec<i64> = client
        .query(sql, &[&SOURCE, &present])
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    for feed in absent {
        let tx = client.transaction().await?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&REVISION_LOCK])
            .await?;
        let (gone, _) = difference(&tx, feed, Wanted::new()).await?;
        change(&tx, feed, (&gone, &[])).await?;
        tx.execute(
            "UPDATE indicator_feed SET sha256 = '' WHERE id = $1",
            &[&feed],
        )
        .await?;
        tx.commit().await?;
        tracing::info!(feed, closed = gone.len(), "an indicator file is gone");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_indicators_and_the_directory_shows_changes() {
        let directory = std::env::temp_dir().join(format!("millrace-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(
            directory.join("bad.txt"),
            "# list\n198.51.100.7\nevil[.]example.com\nno value\n",
        )
        .unwrap();
        std::fs::write(
            directory.join("feed.csv"),
            "type,value,confidence,severity\nipv4,203.0.113.9,90,high\n",
        )
        .unwrap();
        std::fs::write(directory.join("notes.md"), "x").unwrap();
        let names: Vec<String> = list(&directory)
            .unwrap()
            .iter()
            .map(|file| name_of(&file.0))
            .collect();
        assert_eq!(names, ["bad.txt", "feed.csv"]);
        let list_file = read_file(&directory.join("bad.txt")).unwrap();
        assert_eq!(list_file.indicators.len(), 2);
        let csv = read_file(&directory.join("feed.csv")).unwrap();
        let one = &csv.indicators[&("ipv4".to_owned(), "203.0.113.9".to_owned())];
        assert_eq!(
            (one.confidence, row(one)["severity"].as_str()),
            (90, Some("high"))
        );
        assert_ne!(csv.sha256, list_file.sha256);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
