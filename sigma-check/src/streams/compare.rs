//! Both evaluators on all cases.

use super::readings::{Reading, Readings};
use super::{Case, Fire, ours, theirs};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A case on which the two are not of one mind.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The case.
    pub case: Case,
    /// What only we say.
    pub ours: Vec<Fire>,
    /// What only the other says.
    pub theirs: Vec<Fire>,
}

/// What came of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Cases that both took in.
    pub cases: usize,
    /// Those of them in which anything fired.
    pub fired: usize,
    /// Firings, by us.
    pub fires: usize,
    /// Cases that one of the two refuses, with its reason.
    pub refused: Vec<String>,
    /// Differences.
    pub differences: Vec<Difference>,
}

/// Compares the two, with some readings, on these cases.
#[must_use]
pub fn compare(cases: &[Case], readings: &Readings) -> Comparison {
    let mut comparison = Comparison::default();
    for case in cases {
        let (ours, theirs) = match (ours::fires(case), theirs::fires(case, readings)) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(error), _) => {
                comparison
                    .refused
                    .push(format!("{} by us: {error}", case.name));
                continue;
            }
            (_, Err(error)) => {
                comparison
                    .refused
                    .push(format!("{} by the other: {error}", case.name));
                continue;
            }
        };
        comparison.cases += 1;
        comparison.fired += usize::from(!ours.is_empty());
        comparison.fires += ours.len();
        if ours != theirs {
            comparison.differences.push(Difference {
                case: case.clone(),
                ours: ours.difference(&theirs).cloned().collect(),
                theirs: theirs.difference(&ours).cloned().collect(),
            });
        }
    }
    comparison
}

/// The readings without which these cases show no difference: they are of no use.
#[must_use]
pub fn unneeded(cases: &[Case]) -> BTreeSet<Reading> {
    let is_unneeded = |reading: &Reading| {
        let readings = Readings::without(*reading);
        // Without a reading the other may refuse a case, which tells it apart too.
        let comparison = compare(cases, &readings);
        comparison.differences.is_empty() && comparison.refused.is_empty()
    };
    Reading::ALL.into_iter().filter(is_unneeded).collect()
}

impl Comparison {
    /// In words, with so many differences.
    #[must_use]
    pub fn told(&self, most: usize) -> String {
        let mut text = format!(
            "{} cases, {} of them with firings, {} firings, {} refused, {} with differences\n",
            self.cases,
            self.fired,
            self.fires,
            self.refused.len(),
            self.differences.len()
        );
        for refused in self.refused.iter().take(most) {
            let _infallible = writeln!(text, "refused: {refused}");
        }
        for one in self.differences.iter().take(most) {
            let case = &one.case;
            let _infallible = writeln!(
                text,
                "== {}\n{}{}only ours: {:?}\nonly theirs: {:?}",
                case.name,
                case.rules,
                case.pipelines.concat(),
                one.ours,
                one.theirs
            );
            let last = one.ours.iter().chain(&one.theirs).map(|fire| fire.1).max();
            for (number, event) in case.events.iter().enumerate().take(last.unwrap_or(0) + 1) {
                let fields = serde_json::Value::Object(event.fields.clone());
                let _infallible =
                    writeln!(text, "{number}: {} {fields}", event.second - 1_700_000_000);
            }
        }
        text
    }
}
