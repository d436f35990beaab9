//! The record of what was sent and what was acknowledged, on disk before anything else happens:
//! a request before its first byte leaves, an acknowledgement before the agent goes on. The checks
//! read this file and not what the agents remember.

use super::request::Request;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The record of one round.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

/// What a record says.
#[derive(Debug, Default)]
pub struct Record {
    /// Every request of which a byte may have been sent.
    pub sent: Vec<Request>,
    /// The requests that were answered with a 2xx.
    pub acknowledged: BTreeSet<u64>,
}

impl Journal {
    /// Begins a record.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin(path: PathBuf) -> io::Result<Journal> {
        let file = Mutex::new(File::options().create_new(true).append(true).open(&path)?);
        Ok(Journal { path, file })
    }

    /// A request is about to be sent.
    ///
    /// # Errors
    /// When it cannot be written down; then it must not be sent.
    pub fn sent(&self, request: &Request) -> io::Result<()> {
        self.write(&request.line())
    }

    /// A 2xx has come for it.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn acknowledged(&self, id: u64) -> io::Result<()> {
        self.write(&format!("acked {id}"))
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let mut file = self.file.lock().map_err(|_| io::Error::other("poisoned"))?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Record {
    /// Reads a record from disk.
    ///
    /// # Errors
    /// When there is none, or a line of it is none of ours.
    pub fn read(path: &Path) -> io::Result<Record> {
        let mut record = Record::default();
        for line in std::fs::read_to_string(path)?.lines() {
            let acked = line.strip_prefix("acked ").and_then(|id| id.parse().ok());
            match (Request::read(line), acked) {
                (Some(request), _) => record.sent.push(request),
                (None, Some(id)) => {
                    record.acknowledged.insert(id);
                }
                (None, None) => return Err(io::Error::other(format!("no record: {line}"))),
            }
        }
        Ok(record)
    }

    /// Poisoned requests of an organisation: sent, and acknowledged.
    #[must_use]
    pub fn poison(&self, org: usize) -> (u64, u64) {
        let poison = self
            .sent
            .iter()
            .filter(|request| request.poison && request.org == org);
        poison.fold((0, 0), |(sent, acked), request| {
            (
                sent + 1,
                acked + u64::from(self.acknowledged.contains(&request.id)),
            )
        })
    }

    /// Events sent, and events acknowledged; without those that the store refuses.
    #[must_use]
    pub fn events(&self) -> (u64, u64) {
        let count = |only_acked: bool| {
            let requests = self.sent.iter().filter(|request| !request.poison);
            let counted =
                requests.filter(|request| !only_acked || self.acknowledged.contains(&request.id));
            counted.map(|request| u64::from(request.events)).sum()
        };
        (count(false), count(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::Signal;

    #[test]
    fn what_was_written_is_read_back() {
        let path = std::env::temp_dir().join(format!("journal-{}", uuid::Uuid::new_v4()));
        let journal = Journal::begin(path.clone()).unwrap();
        let request = Request {
            id: 1,
            round: 0,
            org: 0,
            signal: Signal::Audit,
            first: 0,
            events: 9,
            rejected: 0,
            at_us: 1,
            attack: 5,
            poison: false,
        };
        journal.sent(&request).unwrap();
        let second = Request {
            id: 2,
            first: 9,
            events: 1,
            ..request.clone()
        };
        journal.sent(&second).unwrap();
        journal.acknowledged(2).unwrap();
        let record = Record::read(&path).unwrap();
        assert_eq!(record.sent, [request, second]);
        assert_eq!(record.events(), (10, 1));
        assert!(
            Journal::begin(path.clone()).is_err(),
            "a record is never written over"
        );
        std::fs::remove_file(path).unwrap();
    }
}
