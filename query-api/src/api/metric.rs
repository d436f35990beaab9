//! Metrics: range queries and the catalog.

use crate::Api;
use crate::answer::Moment;
use crate::answer::points::{Aggregation, Line, lines};
use crate::ask::{Asked, DAY_S, Loose, Matcher, OneOrMany, Operator, TimeRange, limit};
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::samples::{Samples, Tier};
use crate::store::series::{LabelNames, LabelValues, MetricName, Names, Series, SeriesOf};
use actix_web::web::{Data, Json, Path};
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::outcome::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use utoipa::{IntoParams, ToSchema};

/// Points of one line at most: what Prometheus allows.
const POINTS_MAX: i64 = 11_000;
/// Points of an answer at most: some tens of megabytes.
const ANSWER_POINTS_MAX: i64 = 1_000_000;
/// Points of a line when no step is given.
const POINTS: i64 = 240;
/// Series one query may read.
const SERIES_MAX: u32 = 20_000;
/// The longest range: the retention of the coarsest rollup.
const DAYS_MAX: i64 = 366;
/// Names, labels and values listed unless said otherwise, and at most.
const LISTED: (u32, u32) = (1_000, 10_000);

/// A range query.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RangeQuery {
    /// Name of the metric.
    name: String,
    /// Label matchers, repeated: `service="api"`, `code!="200"`, `path=~"/v1/.*"`, `host!~"db.*"`.
    #[serde(rename = "match")]
    #[param(rename = "match")]
    matchers: Option<OneOrMany>,
    /// `avg` (the default), `sum`, `min`, `max`, `count` over all samples of a step and a group, or
    /// `rate`: the increase of counters a second.
    agg: Option<String>,
    /// Labels to group by; without any, everything is one line.
    by: Option<OneOrMany>,
    /// Start of the range; an hour before the end by default.
    start: Option<Loose>,
    /// End of the range, not included; now by default.
    end: Option<Loose>,
    /// Width of a step: `15s`, `1m`, `1h`; by default one that gives about 240 points.
    step: Option<Loose>,
}

/// The answer to a range query.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RangeAnswer {
    /// Name of the metric.
    name: String,
    /// Start of the first step.
    start: Moment,
    /// End of the last step.
    end: Moment,
    /// Width of a step, seconds. Steps begin at multiples of it.
    step_s: i64,
    /// Where it was read: `samples` or a rollup.
    source: &'static str,
    /// Series that match.
    series: usize,
    /// The metric's unit.
    unit: String,
    /// One line for each group.
    lines: Vec<Line>,
}

/// A metric over time.
#[utoipa::path(get, path = "/api/v1/metrics/query", params(RangeQuery), tag = "metrics",
    responses((status = 200, body = RangeAnswer)))]
pub(crate) async fn query(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<RangeQuery>,
) -> Result<Json<RangeAnswer>, Problem> {
    let Asked(query) = asked;
    let aggregation = match query.agg.as_deref() {
        None => Aggregation::Avg,
        Some(text) => Aggregation::parse(text).ok_or_else(|| {
            Problem::parameter("agg", "must be avg, sum, min, max, count or rate")
        })?,
    };
    let (range, step_s) = query.steps(caller.now_ns)?;
    let series = series(&api, &caller, &query).await?;
    let by = query.by.as_ref().map(OneOrMany::split).unwrap_or_default();
    let (groups, members) = group(&series, &by);
    let steps = range.seconds() / step_s;
    if steps.saturating_mul(i64::try_from(groups.len()).unwrap_or(i64::MAX)) > ANSWER_POINTS_MAX {
        return Err(too_much("the answer would have more than a million points"));
    }
    let age_s = (caller.now_ns - range.start) / NS_PER_SECOND;
    let tier = Tier::choose(step_s, age_s);
    let mut samples = Samples::new(tier, range, step_s);
    for (series, group) in members {
        samples.add(series, group);
    }
    if aggregation == Aggregation::Rate {
        samples = samples.increase();
    }
    let steps = api.pg.rows(&caller.bind(samples)?).await?;
    let start_s = range.start / NS_PER_SECOND;
    Ok(Json(RangeAnswer {
        name: query.name,
        start: Moment(range.start),
        end: Moment(range.end),
        step_s,
        source: tier.as_str(),
        unit: series
            .first()
            .map(|series| series.unit.clone())
            .unwrap_or_default(),
        series: series.len(),
        lines: lines(groups, &steps, aggregation, (start_s, step_s)),
    }))
}

impl RangeQuery {
    /// The range, widened to whole steps, and the step. Steps begin at multiples of their width,
    /// so that the same query a moment later has the same steps.
    fn steps(&self, now_ns: i64) -> Result<(TimeRange, i64), Problem> {
        let (start, end) = (self.start.as_ref(), self.end.as_ref());
        let range = TimeRange::read(start, end, now_ns, DAYS_MAX * DAY_S)?;
        let step_s = match &self.step {
            Some(step) => step.duration_s("step")?,
            None => pleasant_step(range.seconds() / POINTS),
        };
        let width = step_s.saturating_mul(NS_PER_SECOND);
        let start = range.start.div_euclid(width).saturating_mul(width);
        let whole = (range.end - start).div_euclid(width);
        let part = i64::from((range.end - start).rem_euclid(width) > 0);
        if whole + part > POINTS_MAX {
            return Err(too_much(
                "a line would have more than 11,000 points: send a larger step",
            ));
        }
        let end = start.saturating_add((whole + part).saturating_mul(width));
        Ok((TimeRange { start, end }, step_s))
    }
}

/// The least of the usual steps that is not less.
fn pleasant_step(least_s: i64) -> i64 {
    let usual = [1, 5, 10, 15, 30, 60, 300, 900, 1800, 3600, 6 * 3600];
    usual
        .into_iter()
        .find(|step| *step >= least_s)
        .unwrap_or(DAY_S)
}

fn too_much(detail: &str) -> Problem {
    Problem::new(Refusal::Unprocessable, detail)
}

/// The series that match.
async fn series(api: &Api, caller: &Caller, query: &RangeQuery) -> Result<Vec<Series>, Problem> {
    let given = query.matchers.iter().flat_map(|matchers| &matchers.0);
    let matchers = given
        .map(|text| Matcher::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    // Equal labels narrow in the store; what is left is few enough to look at.
    let (mut labels, mut service) = (Map::new(), None);
    for matcher in &matchers {
        match (&matcher.operator, matcher.label.as_str()) {
            (Operator::Equal(value), _) if value.is_empty() => {}
            (Operator::Equal(value), "service") => service = Some(value.clone()),
            (Operator::Equal(_), "host" | "environment") => {}
            (Operator::Equal(value), label) => {
                labels.insert(label.to_owned(), value.clone().into());
            }
            (Operator::NotEqual(_) | Operator::Like(_) | Operator::NotLike(_), _) => {}
        }
    }
    let asked = SeriesOf {
        name: query.name.clone(),
        labels: Value::Object(labels),
        service,
        limit: i64::from(SERIES_MAX) + 1,
    };
    let mut series = api.pg.rows(&caller.bind(asked)?).await?;
    if series.len() > usize::try_from(SERIES_MAX).unwrap_or(usize::MAX) {
        return Err(too_much("more than 20,000 series match: narrow the labels"));
    }
    let value =
        |series: &Series, label: &str| series.labels.get(label).cloned().unwrap_or_default();
    series.retain(|series| matchers.iter().all(|m| m.passes(&value(series, &m.label))));
    Ok(series)
}

/// The labels of each group, and the group of each series.
type Groups = (Vec<BTreeMap<String, String>>, Vec<(i64, i32)>);

fn group(series: &[Series], by: &[String]) -> Groups {
    let mut numbers: HashMap<BTreeMap<String, String>, i32> = HashMap::new();
    let (mut groups, mut members) = (Vec::new(), Vec::new());
    for one in series {
        let label = |name: &String| Some((name.clone(), one.labels.get(name)?.clone()));
        let labels: BTreeMap<_, _> = by.iter().filter_map(label).collect();
        let next = i32::try_from(groups.len()).unwrap_or(i32::MAX);
        let number = *numbers.entry(labels.clone()).or_insert(next);
        if number == next {
            groups.push(labels);
        }
        members.push((one.id, number));
    }
    (groups, members)
}

/// What catalogs take.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Catalog {
    /// Only of this metric (labels and values only).
    name: Option<String>,
    /// Only names with this in them (names only).
    contains: Option<String>,
    /// At most so many, up to 10,000.
    limit: Option<Loose>,
}

impl Catalog {
    fn limit(&self) -> Result<i64, Problem> {
        limit(self.limit.as_ref(), LISTED.0, LISTED.1).map(i64::from)
    }
}

/// A list of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listed<T> {
    /// What is listed.
    items: Vec<T>,
    /// There are more.
    more: bool,
}

fn listed<T>(mut items: Vec<T>, limit: i64) -> Json<Listed<T>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    Json(Listed { items, more })
}

/// The metrics there are.
#[utoipa::path(get, path = "/api/v1/metrics/names", params(Catalog), tag = "metrics",
    responses((status = 200, body = Listed<MetricName>)))]
pub(crate) async fn names(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<Catalog>,
) -> Result<Json<Listed<MetricName>>, Problem> {
    let limit = asked.0.limit()?;
    let names = Names {
        contains: asked.0.contains,
        limit: limit + 1,
    };
    Ok(listed(api.pg.rows(&caller.bind(names)?).await?, limit))
}

/// The labels there are.
#[utoipa::path(get, path = "/api/v1/metrics/labels", params(Catalog), tag = "metrics",
    responses((status = 200, body = Listed<String>)))]
pub(crate) async fn labels(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<Catalog>,
) -> Result<Json<Listed<String>>, Problem> {
    let limit = asked.0.limit()?;
    let labels = LabelNames {
        name: asked.0.name,
        limit: limit + 1,
    };
    Ok(listed(api.pg.rows(&caller.bind(labels)?).await?, limit))
}

/// The values of a label.
#[utoipa::path(get, path = "/api/v1/metrics/label/{name}/values",
    params(("name" = String, Path, description = "The label"), Catalog), tag = "metrics",
    responses((status = 200, body = Listed<String>)))]
pub(crate) async fn values(
    api: Data<Api>,
    caller: Caller,
    label: Path<String>,
    asked: Asked<Catalog>,
) -> Result<Json<Listed<String>>, Problem> {
    let limit = asked.0.limit()?;
    let values = LabelValues {
        label: label.into_inner(),
        name: asked.0.name,
        limit: limit + 1,
    };
    Ok(listed(api.pg.rows(&caller.bind(values)?).await?, limit))
}
