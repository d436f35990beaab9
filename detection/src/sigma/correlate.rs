//! Correlations and the rules that they refer to, as one rule of the engine.

use super::correlation::{Correlation, Kind};
use super::document::LogSource;
use crate::rules::correlation::reached;
use crate::rules::path::OR;
use crate::rules::{
    Correlated, CorrelationDef, KEY_PATHS_MAX, Problem, RuleDef, Selection, StepDef,
};
use crate::windows::{Need, WINDOW_SECONDS_MAX};
use millrace_shared::Signal;

/// A rule that correlations may refer to, as it was taken in.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) logsource: LogSource,
    pub(super) rule: RuleDef,
}

impl Base {
    fn is(&self, reference: &str) -> bool {
        [&self.id, &self.name]
            .into_iter()
            .flatten()
            .any(|own| own == reference)
    }
}

/// What correlations may refer to: rules, and one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'k> {
    pub(super) bases: &'k [Base],
    pub(super) correlations: &'k [&'k Correlation],
}

/// What a name of a field becomes in the events of a log source.
pub(super) type Mapped<'m> = &'m dyn Fn(&LogSource, &str) -> Result<Vec<String>, Problem>;

/// The window of a correlation and its selection.
///
/// # Errors
/// What it refers to in vain, or what of it cannot be said.
pub(super) fn window(
    correlation: &Correlation,
    known: Known<'_>,
    mapped: Mapped<'_>,
) -> Result<(Selection, CorrelationDef), Problem> {
    if correlation.seconds > WINDOW_SECONDS_MAX {
        let what =
            format!("is longer than {WINDOW_SECONDS_MAX} seconds, beyond which no state is kept");
        return Err(Problem::new("correlation.timespan", what));
    }
    if correlation.group_by.len() > KEY_PATHS_MAX {
        let what = format!("has more than {KEY_PATHS_MAX} fields");
        return Err(Problem::new("correlation.group-by", what));
    }
    let mut members = Members::default();
    for (number, reference) in (0..).zip(&correlation.rules) {
        let referred = (reference.as_str(), number);
        match known.bases.iter().find(|base| base.is(reference)) {
            Some(base) => {
                members.needs.push(Need {
                    hits: 1,
                    seconds: 0,
                });
                members.add(correlation, correlation, (base, referred), mapped)?;
            }
            None => members.chain(correlation, referred, known, mapped)?,
        }
    }
    let is_chain = members.needs.iter().any(|need| need.seconds > 0);
    let def = CorrelationDef {
        seconds: correlation.seconds,
        of: correlated(correlation),
        bounds: correlation.bounds.clone(),
        steps: members.steps,
        needs: if is_chain { members.needs } else { Vec::new() },
    };
    Ok((Selection::Any(members.selections), def))
}

/// The members of a correlation.
#[derive(Debug, Default)]
struct Members {
    selections: Vec<Selection>,
    steps: Vec<StepDef>,
    needs: Vec<Need>,
}

impl Members {
    /// Adds a rule that a correlation refers to, whose aliases count.
    fn add(
        &mut self,
        outer: &Correlation,
        referring: &Correlation,
        (base, (reference, number)): (&Base, (&str, u32)),
        mapped: Mapped<'_>,
    ) -> Result<(), Problem> {
        let paths = |names: &[String]| -> Result<Vec<String>, Problem> {
            let each = names.iter().map(|name| {
                let field = aliased(referring, reference, base, name);
                Ok(mapped(&base.logsource, field)?.join(OR))
            });
            each.collect()
        };
        self.selections.push(base.rule.selection.clone());
        self.steps.push(StepDef {
            group_by: paths(&referring.group_by)?,
            fields: paths(&outer.fields)?,
            of: is_temporal(outer).then_some(number),
        });
        Ok(())
    }

    /// Adds a correlation that another one refers to: a count that must be reached by the same
    /// fields.
    fn chain(
        &mut self,
        outer: &Correlation,
        (reference, number): (&str, u32),
        known: Known<'_>,
        mapped: Mapped<'_>,
    ) -> Result<(), Problem> {
        let wrong = |what: String| Err(Problem::new("correlation.rules", what));
        let is_meant = |inner: &&&Correlation| {
            let names = [&inner.meta.id, &inner.meta.name];
            names.into_iter().flatten().any(|name| name == reference)
        };
        let Some(inner) = known.correlations.iter().find(is_meant) else {
            return wrong(format!(
                "refers to {reference:?}, which is not in this import"
            ));
        };
        let hits = reached(&inner.bounds).filter(|_| inner.kind == Kind::EventCount);
        let Some(hits) = hits.filter(|_| is_temporal(outer)) else {
            let what = "only an event count that must be reached can be a step, of a temporal one";
            return wrong(format!("refers to the correlation {reference:?}: {what}"));
        };
        if inner.group_by != outer.group_by {
            let what = "it must group by the same fields as the one that refers to it";
            return wrong(format!("refers to the correlation {reference:?}: {what}"));
        }
        self.needs.push(Need {
            hits,
            seconds: inner.seconds,
        });
        for name in &inner.rules {
            let Some(base) = known.bases.iter().find(|base| base.is(name)) else {
                let what = "which refers to no rule of this import";
                return wrong(format!("refers to the correlation {reference:?}, {what}"));
            };
            self.add(outer, inner, (base, (name, number)), mapped)?;
        }
        Ok(())
    }
}

const fn is_temporal(correlation: &Correlation) -> bool {
    matches!(correlation.kind, Kind::Temporal | Kind::TemporalOrdered)
}

/// The field that a name stands for in the events of a rule.
fn aliased<'c>(
    correlation: &'c Correlation,
    reference: &str,
    base: &Base,
    name: &'c str,
) -> &'c str {
    let alias = correlation.aliases.iter().find(|alias| alias.name == name);
    let field = alias.and_then(|alias| {
        let is_meant = |(rule, _): &&(String, String)| rule == reference || base.is(rule);
        alias.fields.iter().find(is_meant)
    });
    field.map_or(name, |(_, field)| field)
}

const fn correlated(correlation: &Correlation) -> Correlated {
    match (correlation.kind, correlation.percentile) {
        (Kind::EventCount, _) => Correlated::Count,
        (Kind::ValueCount, _) => Correlated::Distinct,
        (Kind::Temporal, _) => Correlated::Temporal,
        (Kind::TemporalOrdered, _) => Correlated::Ordered,
        (Kind::ValueSum, _) => Correlated::Sum,
        (Kind::ValueAvg, _) => Correlated::Average,
        (Kind::ValuePercentile, Some(percent)) => Correlated::Percentile(percent),
        // Without a percentile it is what the specification's example says: how rare a value is.
        (Kind::ValuePercentile, None) => Correlated::Share,
    }
}

/// The ids and names of all rules that a correlation refers to, and those of what it refers to.
pub(super) fn referred(correlation: &Correlation, known: Known<'_>) -> Vec<String> {
    let mut names = correlation.rules.clone();
    for inner in known.correlations {
        let own = [&inner.meta.id, &inner.meta.name];
        if own
            .into_iter()
            .flatten()
            .any(|name| correlation.rules.contains(name))
        {
            names.extend(inner.rules.iter().cloned());
        }
    }
    names
}

/// The signals of all rules that a correlation refers to.
pub(super) fn scope(correlation: &Correlation, known: Known<'_>) -> Vec<Signal> {
    let names = referred(correlation, known);
    let mut scope: Vec<Signal> = Vec::new();
    for base in known.bases {
        if !names.iter().any(|name| base.is(name)) {
            continue;
        }
        for signal in &base.rule.scope {
            if !scope.contains(signal) {
                scope.push(*signal);
            }
        }
    }
    scope
}
