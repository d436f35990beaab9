//! Indicator files of a directory, brought into the control table. A file is a feed, in whichever of
//! the formats its content tells; what it no longer holds is closed, what is new is added, under a new
//! control revision. Files that have not changed cost one look at the directory, and one that cannot
//! be read leaves what was loaded of it before.

use crate::error::WorkerError;
use deadpool_postgres::Pool;
use millrace_detection::indicators::Feed;
use millrace_detection::indicators::parse::{self, Format, Parsed, Unread};
use millrace_feeds::{Load, Mode, absent, end_feed, is_loaded, load as load_feed};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// How far a feed from a file is trusted: whoever put it there chose it.
const TRUST: u8 = 100;
/// What marks a feed as one of a file, with the name of the file behind it.
const SOURCE: &str = "file:";
/// What names of indicator files end in.
const EXTENSIONS: [&str; 4] = ["csv", "txt", "json", "hosts"];
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
        let known = EXTENSIONS.iter().any(|known| extension(&path) == *known);
        let about = entry.metadata().map_err(failed)?;
        if known && about.is_file() {
            files.push((path, about.len(), about.modified().ok()));
        }
    }
    files.sort();
    Ok(files)
}

fn extension(path: &Path) -> &str {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.unwrap_or_default()
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
        if let Some(file) = file {
            store(pool, &name, file).await?;
        }
        present.push(format!("{SOURCE}{name}"));
    }
    close_absent(pool, &present).await
}

/// A file's digest and what is in it.
struct File {
    sha256: String,
    parsed: Parsed,
}

/// Nothing where it is in no format of feeds.
fn read_file(path: &Path) -> Result<Option<File>, WorkerError> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error.to_string()))?;
    let text = String::from_utf8_lossy(&bytes);
    let name = name_of(path);
    let feed = Arc::new(Feed {
        id: 0,
        name: name.clone(),
        trust: TRUST,
    });
    let format = match extension(path) {
        "csv" => Some(Format::Csv),
        "hosts" => Some(Format::Hosts),
        _ => None,
    };
    let parsed = match parse::read(&text, format, &feed) {
        Ok((_, parsed)) => parsed,
        Err(Unread::Empty) => Parsed::default(),
        Err(problem) => {
            tracing::warn!(file = name, %problem, "an indicator file cannot be used");
            return Ok(None);
        }
    };
    for error in parsed.errors.iter().take(ERRORS_LOGGED) {
        tracing::warn!(file = name, at = %error.at, "a part of an indicator file cannot be used");
    }
    tracing::info!(
        file = name,
        indicators = parsed.indicators.len(),
        refused = parsed.refused,
        "indicator file read"
    );
    Ok(Some(File {
        sha256: hex::encode(Sha256::digest(&bytes)),
        parsed,
    }))
}

async fn store(pool: &Pool, name: &str, file: File) -> Result<(), WorkerError> {
    let mut client = pool.get().await?;
    let source = format!("{SOURCE}{name}");
    if is_loaded(&client, (name, &source), &file.sha256).await? {
        return Ok(());
    }
    let tx = client.transaction().await?;
    let content = Load {
        org: None,
        name,
        trust: None,
        source: &source,
        sha256: &file.sha256,
        indicators: &file.parsed.indicators,
        refused: file.parsed.refused,
        mode: Mode::Replace,
        lease: None,
        who: "worker",
    };
    let changes = load_feed(&tx, &content).await?;
    tx.commit().await?;
    tracing::info!(
        file = name,
        closed = changes.ended,
        added = changes.added,
        "indicators changed"
    );
    Ok(())
}

/// Closes the indicators of files that are no longer there.
async fn close_absent(pool: &Pool, present: &[String]) -> Result<(), WorkerError> {
    let mut client = pool.get().await?;
    for name in absent(&client, SOURCE, present).await? {
        let tx = client.transaction().await?;
        let closed = end_feed(&tx, None, &name).await?;
        tx.commit().await?;
        tracing::info!(file = name, closed, "an indicator file is gone");
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
        let bundle = r#"{"type": "bundle", "objects": [{"type": "indicator", "id": "i", "pattern": "[ipv4-addr:value = '203.0.113.10']"}]}"#;
        std::fs::write(directory.join("bundle.json"), bundle).unwrap();
        std::fs::write(directory.join("other.json"), "{}").unwrap();
        std::fs::write(directory.join("void.txt"), "# nothing").unwrap();
        let names: Vec<String> = list(&directory)
            .unwrap()
            .iter()
            .map(|file| name_of(&file.0))
            .collect();
        assert_eq!(
            names,
            [
                "bad.txt",
                "bundle.json",
                "feed.csv",
                "other.json",
                "void.txt"
            ]
        );
        let read = |name: &str| read_file(&directory.join(name)).unwrap();
        let list_file = read("bad.txt").unwrap();
        assert_eq!(
            (list_file.parsed.indicators.len(), list_file.parsed.refused),
            (2, 1)
        );
        let csv = read("feed.csv").unwrap();
        let one = &csv.parsed.indicators[0];
        assert_eq!((one.confidence, one.severity.as_str()), (90, "high"));
        let bundle = read("bundle.json").unwrap();
        assert_eq!(bundle.parsed.indicators[0].value, "203.0.113.10");
        assert!(read("other.json").is_none(), "it is no feed");
        assert_eq!(read("void.txt").unwrap().parsed.indicators, []);
        assert_ne!(csv.sha256, list_file.sha256);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
