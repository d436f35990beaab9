//! What the workers' logs say of *resolve*: a killed worker takes its metrics along, its log stays.

use super::site::Site;
use crate::process;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// The line that a worker writes at every round of *resolve*.
const LINE: &str = "judged the rows of a batch in doubt";
/// What may be found, as the line says it.
pub const FOUND: [&str; 4] = ["all", "none", "some", "more"];

/// Reads logs as they grow.
#[derive(Debug)]
pub struct Watch {
    logs: Vec<(PathBuf, u64)>,
}

impl Watch {
    /// Of the workers of a site.
    #[must_use]
    pub fn of(site: &Site) -> Watch {
        let workers = Site::NAMES
            .into_iter()
            .filter(|name| name.starts_with("worker"));
        let logs = workers.map(|name| {
            let log = &site.member(name).log;
            (process::logs().join(format!("{log}.log")), 0)
        });
        Watch {
            logs: logs.collect(),
        }
    }

    /// Rounds of *resolve* since the last look, by what was found.
    pub fn resolved(&mut self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (path, read) in &mut self.logs {
            let mut text = Vec::new();
            let Ok(mut file) = File::open(path) else {
                continue;
            };
            let found = file
                .seek(SeekFrom::Start(*read))
                .and_then(|_| file.read_to_end(&mut text));
            if found.is_err() {
                continue;
            }
            // A line that is being written is read at the next look.
            let whole = text
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            *read += whole as u64;
            let text = String::from_utf8_lossy(&text[..whole]);
            for line in text.lines().filter(|line| line.contains(LINE)) {
                let said = FOUND
                    .iter()
                    .find(|word| line.contains(&format!("\"found\":\"{word}\"")));
                *counts.entry(said.unwrap_or(&"?").to_string()).or_default() += 1;
            }
        }
        counts
    }
}
