//! What a campaign has done and found: counts, recovery times, violations. Kept on disk as JSON
//! after every round, so that nothing that ran is lost, and added up over several runs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What one run has done, or several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Machine, commit, profile: where it ran and what.
    pub about: BTreeMap<String, String>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Seconds.
    pub seconds: u64,
    /// Rounds by kind.
    pub rounds: BTreeMap<String, u64>,
    /// Faults by label.
    pub faults: BTreeMap<String, u64>,
    /// Rounds of *resolve* by what was found.
    pub resolved: BTreeMap<String, u64>,
    /// Events sent, acknowledged, stored; requests; alerts.
    pub events: BTreeMap<String, u64>,
    /// Recovery times by what recovered, milliseconds.
    pub recoveries: BTreeMap<String, Vec<u64>>,
    /// What must not be.
    pub violations: Vec<String>,
}

impl Tally {
    /// Counts something.
    pub fn add(counts: &mut BTreeMap<String, u64>, name: &str, more: u64) {
        *counts.entry(name.to_owned()).or_default() += more;
    }

    /// Adds another run.
    pub fn join(&mut self, other: Tally) {
        self.about.extend(other.about);
        self.seeds.extend(other.seeds);
        self.seconds += other.seconds;
        let pairs = [
            (&mut self.rounds, other.rounds),
            (&mut self.faults, other.faults),
            (&mut self.resolved, other.resolved),
            (&mut self.events, other.events),
        ];
        for (to, from) in pairs {
            for (name, count) in from {
                Tally::add(to, &name, count);
            }
        }
        for (name, times) in other.recoveries {
            self.recoveries.entry(name).or_default().extend(times);
        }
        self.violations.extend(other.violations);
    }

    /// Kills by chance: those of no named point, by victim.
    #[must_use]
    pub fn kills(&self) -> u64 {
        let kills = self
            .faults
            .iter()
            .filter(|(name, _)| name.starts_with("kill "));
        kills.map(|(_, count)| count).sum()
    }

    /// Writes it down; the old file is there until the new one is whole.
    ///
    /// # Errors
    /// When it cannot.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(new, path)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(path: &Path) -> std::io::Result<Tally> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up() {
        let mut tally = Tally::default();
        Tally::add(&mut tally.faults, "kill redis", 2);
        Tally::add(&mut tally.faults, "point worker read", 1);
        tally.recoveries.insert("gateway".to_owned(), vec![5]);
        let mut sum = tally.clone();
        sum.join(tally);
        assert_eq!(sum.kills(), 4);
        assert_eq!(sum.faults["point worker read"], 2);
        assert_eq!(sum.recoveries["gateway"], [5, 5]);
    }
}
