//! Steps of samples to the points of a range query.

use crate::store::samples::Step;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How samples become a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// Mean of all samples.
    Avg,
    /// Sum of all samples.
    Sum,
    /// Least sample.
    Min,
    /// Greatest sample.
    Max,
    /// Number of samples.
    Count,
    /// Increase a second, counters restarting from zero.
    Rate,
}

impl Aggregation {
    /// Reads its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "avg" => Some(Aggregation::Avg),
            "sum" => Some(Aggregation::Sum),
            "min" => Some(Aggregation::Min),
            "max" => Some(Aggregation::Max),
            "count" => Some(Aggregation::Count),
            "rate" => Some(Aggregation::Rate),
            _ => None,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts and seconds are far below 2^52"
    )]
    fn value(self, step: &Step, step_s: i64) -> f64 {
        match self {
            Aggregation::Avg => step.sum / step.count.max(1) as f64,
            Aggregation::Sum => step.sum,
            Aggregation::Min => step.min,
            Aggregation::Max => step.max,
            Aggregation::Count => step.count as f64,
            Aggregation::Rate => step.sum / step_s.max(1) as f64,
        }
    }
}

/// A series of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Line {
    /// The labels it is grouped by.
    pub labels: BTreeMap<String, String>,
    /// Start of the step (seconds since 1970) and value; steps without samples are absent.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub points: Vec<(i64, f64)>,
}

/// The lines of groups, whose labels are given in the order of their numbers. Groups without any
/// point are left out.
#[must_use]
pub fn lines(
    groups: Vec<BTreeMap<String, String>>,
    steps: &[Step],
    aggregation: Aggregation,
    (start_s, step_s): (i64, i64),
) -> Vec<Line> {
    let empty = |labels| Line {
        labels,
        points: Vec::new(),
    };
    let mut lines: Vec<Line> = groups.into_iter().map(empty).collect();
    for step in steps {
        let line = usize::try_from(step.group)
            .ok()
            .and_then(|group| lines.get_mut(group));
        let value = aggregation.value(step, step_s);
        if let Some(line) = line.filter(|_| value.is_finite()) {
            line.points
                .push((start_s + i64::from(step.slot) * step_s, value));
        }
    }
    lines.retain(|line| !line.points.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_points_of_their_group() {
        let label = |value: &str| BTreeMap::from([("code".to_owned(), value.to_owned())]);
        let step = |group, slot, sum, count| Step {
            group,
            slot,
            sum,
            count,
            min: 1.0,
            max: 9.0,
        };
        let steps = [
            step(0, 0, 10.0, 4),
            step(0, 2, 6.0, 2),
            step(2, 1, f64::NAN, 1),
        ];
        let groups = vec![label("200"), label("404"), label("500")];
        let of = |aggregation| lines(groups.clone(), &steps, aggregation, (600, 60));
        let avg = of(Aggregation::Avg);
        assert_eq!(avg.len(), 1, "what has no number is left out: {avg:?}");
        assert_eq!(avg[0].points, [(600, 2.5), (720, 3.0)]);
        assert_eq!(of(Aggregation::Rate)[0].points[1], (720, 0.1));
        assert_eq!(of(Aggregation::Count)[0].points[0], (600, 4.0));
        assert_eq!(of(Aggregation::Max)[0].points[0], (600, 9.0));
    }
}
