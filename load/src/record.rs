//! What was acknowledged, on disk before anything else is done with it: the memory of a test that
//! compares it with what is stored.

use crate::error::LoadError;
use crate::generate::Batch;
use crate::send::Acknowledged;
use millrace_shared::Signal;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// One line: a request that was answered with 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The number of the request.
    pub request: u64,
    /// The signal.
    pub signal: String,
    /// The number of its first event; the others follow.
    pub first_seq: u64,
    /// Events sent.
    pub events: u32,
    /// Events accepted.
    pub accepted: u32,
    /// Events rejected.
    pub rejected: u32,
    /// What the gateway calls the batch.
    pub batch_id: String,
}

/// A file of acknowledgements, each fsynced before the next request of its connection.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    file: Mutex<File>,
}

impl Record {
    /// Opens a file to append to; it must not exist yet.
    ///
    /// # Errors
    /// When it exists or cannot be made.
    pub fn create(path: &Path) -> Result<Self, LoadError> {
        let file = File::create_new(path).map_err(|error| LoadError::file(path, error))?;
        Ok(Record {
            path: path.to_path_buf(),
            file: Mutex::new(file),
        })
    }

    /// Writes one acknowledgement and waits for the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, batch: &Batch, answer: &Acknowledged) -> Result<(), LoadError> {
        let line = Line {
            request: batch.request,
            signal: batch.signal.to_string(),
            first_seq: batch.first_seq,
            events: batch.events,
            accepted: answer.accepted,
            rejected: answer.rejected,
            batch_id: answer.batch_id.clone(),
        };
        let failed = |error: std::io::Error| LoadError::file(&self.path, error);
        let mut text = serde_json::to_vec(&line).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        file.write_all(&text).map_err(failed)?;
        file.sync_data().map_err(failed)
    }

    /// Reads such a file. A torn last line, from a kill in the midst of it, was never relied upon
    /// and is left out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Line>, LoadError> {
        let file = File::open(path).map_err(|error| LoadError::file(path, error))?;
        let mut lines = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|error| LoadError::file(path, error))?;
            if let Ok(line) = serde_json::from_str(&line) {
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

impl Line {
    /// The signal, when its name is one.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        Signal::from_name(&self.signal)
    }

    /// The numbers of its events.
    #[must_use]
    pub fn numbers(&self) -> std::ops::Range<u64> {
        self.first_seq..self.first_seq + u64::from(self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_torn_line_is_left_out() {
        let path = std::env::temp_dir().join(format!("millrace-record-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let record = Record::create(&path).unwrap();
        let batch = Batch {
            signal: Signal::Logs,
            request: 1,
            first_seq: 10,
            events: 3,
            json: String::new(),
        };
        let answer = Acknowledged {
            batch_id: "logs-0-1-0-aa".to_owned(),
            accepted: 3,
            ..Acknowledged::default()
        };
        record.write(&batch, &answer).unwrap();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        file.write_all(b"{\"request\":2,").unwrap();
        let lines = Record::read(&path).unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].numbers(), 10..13);
        assert_eq!(lines[0].signal(), Some(Signal::Logs));
        assert!(Record::create(&path).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
