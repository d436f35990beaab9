//! Where the other evaluator reads correlations, filters and pipelines otherwise than Sigma 2.1 says, or
//! where the specification leaves it open. Each reading is what the other has to be given, or what of its
//! answer does not count, for it to say what we say.
//!
//! Each can be left out: that makes a difference in some case, or the reading is of no use.

use std::collections::BTreeSet;

/// A known reason for differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// A window is open at its old end: events that lie a whole time span apart are not within it. To the other
    /// they are; in whole seconds, it is given a second less. The specification leaves it open.
    OpenEnd,
    /// A temporal correlation without a condition wants all of its rules; to the other one is enough.
    AllOfTemporal,
    /// The bounds of a percentile hold for it; the other fires whatever it is.
    PercentileBounds,
    /// An event that several rules of a count or a sum match is one event; the other counts it for each.
    EventOnce,
    /// An event without the value that is counted or added up, or with none that is a number, changes nothing and so
    /// fires nothing; the other looks again at what was there before.
    ValueNeeded,
    /// What lacks a value to group by is of no group: two that are missing are not the same. To the other they
    /// are. The specification leaves it open.
    GroupNeeded,
    /// Words that senders write where they know nothing (`-`, `unknown`), empty texts and null are missing values where
    /// is grouped or counted; to the other they are values like any other. The specification leaves it open.
    WordsForNothing,
    /// What a correlation refers to is silent unless it says `generate`: rules that it names by name and other
    /// correlations, too. The other silences what is named by id, and no correlation.
    SilentParts,
    /// A filter takes away what its condition selects, as the specification's example has it, or, where that is a
    /// negation, is what must hold besides, as pySigma has it; to the other it is always the latter.
    FilterTakesAway,
    /// A filter names rules by id or name; the other knows them by id or title.
    FilterByName,
    /// Pipelines are for filters as well; the other leaves those as they are written.
    FilterMapped,
    /// A field that correlations group by is called what the pipelines call it in the events of each rule, also where
    /// a mapping is for one log source; the other asks the correlation, which has no log source.
    GroupMapped,
}

impl Reading {
    /// All of them.
    pub const ALL: [Reading; 12] = [
        Reading::OpenEnd,
        Reading::AllOfTemporal,
        Reading::PercentileBounds,
        Reading::EventOnce,
        Reading::ValueNeeded,
        Reading::GroupNeeded,
        Reading::WordsForNothing,
        Reading::SilentParts,
        Reading::FilterTakesAway,
        Reading::FilterByName,
        Reading::FilterMapped,
        Reading::GroupMapped,
    ];
}

/// The readings that are applied.
#[derive(Clone, Debug)]
pub struct Readings(BTreeSet<Reading>);

impl Default for Readings {
    fn default() -> Self {
        Readings(Reading::ALL.into_iter().collect())
    }
}

impl Readings {
    /// All but one.
    #[must_use]
    pub fn without(reading: Reading) -> Self {
        let mut all = Readings::default();
        all.0.remove(&reading);
        all
    }

    pub(super) fn has(&self, reading: Reading) -> bool {
        self.0.contains(&reading)
    }
}
