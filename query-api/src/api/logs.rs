//! Logs: search and histogram.

use super::page::{self, Answer, Paging};
use super::privacy::hashed;
use crate::Api;
use crate::answer::Moment;
use crate::ask::{Asked, Condition, Loose, OneOrMany, Scan, words};
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::events::{Histogram, LogRow};
use crate::store::{Column, List, Map, Table};
use actix_web::web::{Data, Json};
use millrace_shared::limits::{NS_PER_SECOND, retention_days};
use millrace_shared::outcome::Refusal;
use millrace_shared::{Signal, wire::Severity};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Bars of a histogram unless said otherwise.
const BARS: i64 = 60;
/// Bars of a histogram at most.
const BARS_MAX: i64 = 2_000;
/// Attributes one search may name.
const ATTRIBUTES_MAX: usize = 20;

/// What logs are searched by. Every filter narrows; of several values one must match.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogSearch {
    /// Start of the range: ISO 8601, a Unix number, or `now-1h` (the default).
    start: Option<Loose>,
    /// End of the range, not included; the default is now.
    end: Option<Loose>,
    /// Services.
    service: Option<OneOrMany>,
    /// Levels as they were sent, such as `error`, in upper or lower case.
    level: Option<OneOrMany>,
    /// Severities: info, low, medium, high, critical.
    severity: Option<OneOrMany>,
    /// Words that must all occur in the message, in any case.
    text: Option<String>,
    /// `words`, `substring`, or `auto` (the default): words, and where no message has them on the
    /// first page, the text as it stands anywhere in a message.
    text_mode: Option<String>,
    /// Trace id.
    trace_id: Option<String>,
    /// Attributes that must be equal, as `key=value`, repeated (in JSON also as an object);
    /// `resource.key=value` for one of the resource.
    attribute: Option<Attributes>,
    /// Event id.
    event_id: Option<Uuid>,
    /// Hosts.
    host: Option<OneOrMany>,
    /// Environments.
    environment: Option<OneOrMany>,
    /// An observable in the event.
    observable: Option<String>,
    /// A rule that matched.
    rule: Option<String>,
    /// A value that is stored as a hash or pseudonym, as `email:ada@example.com`: hashed here, for
    /// those with `pii:reveal-hash`, and recorded. Better sent in the body of a POST.
    hashed: Option<String>,
    /// `desc` (newest first, the default) or `asc`.
    order: Option<String>,
    /// Rows, 1 to 1000.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Width of a bar (histogram only): `30s`, `5m`, `1h`.
    step: Option<Loose>,
}

/// Attributes: `key=value` once or several times, or an object.
#[derive(Debug, Default, ToSchema)]
#[schema(value_type = Vec<String>)]
pub(crate) struct Attributes(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Object(BTreeMap<String, Loose>),
            Listed(OneOrMany),
        }
        let listed = match Given::deserialize(deserializer)? {
            Given::Object(members) => {
                let pairs = members.into_iter().map(|(key, value)| (key, value.0));
                return Ok(Attributes(pairs.collect()));
            }
            Given::Listed(listed) => listed.0,
        };
        let pair = |text: &String| {
            let (key, value) = text.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        };
        let pairs: Option<Vec<_>> = listed.iter().map(pair).collect();
        pairs
            .map(Attributes)
            .ok_or_else(|| D::Error::custom("attribute must be `key=value`"))
    }
}

/// Adds the conditions on attributes of a table's own map and of the resource.
///
/// # Errors
/// 422 for too many.
pub(super) fn attributes(
    scan: &mut Scan,
    map: Map,
    given: Option<&Attributes>,
) -> Result<(), Problem> {
    let pairs = given.map(|given| given.0.as_slice()).unwrap_or_default();
    if pairs.len() > ATTRIBUTES_MAX {
        let detail = format!("more than {ATTRIBUTES_MAX} attributes");
        return Err(Problem::new(Refusal::Unprocessable, detail));
    }
    for (key, value) in pairs {
        let condition = match key.strip_prefix("resource.") {
            Some(key) => Condition::Attribute(Map::Resource, key.to_owned(), value.clone()),
            None => Condition::Attribute(map, key.clone(), value.clone()),
        };
        scan.conditions.push(condition);
    }
    Ok(())
}

/// How a text is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextMode {
    Words,
    Substring,
    Auto,
}

impl LogSearch {
    fn paging(&self) -> Paging<'_> {
        Paging {
            start: self.start.as_ref(),
            end: self.end.as_ref(),
            order: self.order.as_deref(),
            limit: self.limit.as_ref(),
            cursor: self.cursor.as_deref(),
            days: retention_days(Signal::Logs) + 1,
        }
    }

    /// Everything but the text.
    fn scan(&self, now_ns: i64) -> Result<Scan, Problem> {
        let mut scan = Scan::new(Table::Logs, self.paging().range(now_ns)?);
        scan.one_of(Column::Service, self.service.as_ref());
        scan.one_of_any_case(Column::SeverityText, self.level.as_ref());
        scan.one_of_words::<Severity>((Column::Severity, "severity"), self.severity.as_ref())?;
        scan.one_of(Column::Host, self.host.as_ref());
        scan.one_of(Column::Environment, self.environment.as_ref());
        if let Some(trace) = &self.trace_id {
            scan.conditions
                .push(Condition::OneOf(Column::Trace, vec![trace.to_lowercase()]));
        }
        if let Some(id) = self.event_id {
            scan.conditions.push(Condition::Id(id));
        }
        if let Some(observable) = &self.observable {
            scan.conditions
                .push(Condition::Holds(List::Observables, observable.clone()));
        }
        if let Some(rule) = &self.rule {
            scan.conditions
                .push(Condition::Holds(List::Rules, rule.clone()));
        }
        attributes(&mut scan, Map::Log, self.attribute.as_ref())?;
        Ok(scan)
    }

    fn text_mode(&self) -> Result<TextMode, Problem> {
        match self.text_mode.as_deref() {
            None | Some("auto") => Ok(TextMode::Auto),
            Some("words") => Ok(TextMode::Words),
            Some("substring") => Ok(TextMode::Substring),
            Some(_) => Err(Problem::parameter(
                "text_mode",
                "must be auto, words or substring",
            )),
        }
    }

    /// The scans to try in turn, each with what it matches by: the first with rows is answered.
    async fn scans(
        &self,
        api: &Api,
        caller: &Caller,
        route: &'static str,
    ) -> Result<Vec<(&'static str, Scan)>, Problem> {
        let mut scan = self.scan(caller.now_ns)?;
        hashed(api, caller, (self.hashed.as_deref(), route), &mut scan).await?;
        let Some(text) = self.text.as_deref().filter(|text| !text.trim().is_empty()) else {
            return Ok(vec![("filters", scan)]);
        };
        let with = |condition| {
            let mut scan = scan.clone();
            scan.conditions.push(condition);
            scan
        };
        let words = words(text);
        let substring = (
            "substring",
            with(Condition::Contains(Column::Body, text.to_owned())),
        );
        if words.is_empty() {
            return Ok(vec![substring]);
        }
        let by_words = ("words", with(Condition::Words(Column::Body, words)));
        Ok(match self.text_mode()? {
            TextMode::Words => vec![by_words],
            TextMode::Substring => vec![substring],
            TextMode::Auto => vec![by_words, substring],
        })
    }
}

/// A page of log records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogAnswer {
    /// The page.
    #[serde(flatten)]
    page: Answer<LogRow>,
    /// What the rows match by: `filters`, `words` or `substring`.
    matched_by: &'static str,
}

/// Search log records, newest first, page by page.
#[utoipa::path(method(get, post), path = "/api/v1/logs/search", params(LogSearch), tag = "logs",
    responses((status = 200, body = LogAnswer)))]
pub(crate) async fn search(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<LogSearch>,
) -> Result<Json<LogAnswer>, Problem> {
    let Asked(search) = asked;
    let mut scans = search.scans(&api, &caller, "/api/v1/logs/search").await?;
    if search.cursor.is_some() {
        // Later pages go on as the first began: its scan is the one the cursor was given for.
        let fits = |scan: &mut Scan| search.paging().settle(scan).is_ok();
        if let Some(at) = scans.iter_mut().position(|(_, scan)| fits(scan)) {
            scans = scans.drain(at..=at).collect();
        }
    }
    let mut answered = None;
    for (matched_by, mut scan) in scans {
        let settled = search.paging().settle(&mut scan)?;
        let page = page::ask::<LogRow>(&api, &caller, &scan, settled).await?;
        let empty = page.rows.is_empty();
        answered = Some(LogAnswer { page, matched_by });
        if !empty {
            break;
        }
    }
    answered
        .map(Json)
        .ok_or_else(|| Problem::internal("nothing was asked", &"logs"))
}

/// A bar of a histogram.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistogramBar {
    /// Start of the bar.
    start: Moment,
    /// Records in it.
    count: u64,
    /// Of these by severity.
    by_severity: BTreeMap<&'static str, u64>,
}

/// Counts of log records over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistogramAnswer {
    /// Width of a bar, seconds.
    step_s: i64,
    /// Records in all.
    total: u64,
    /// All bars of the range, empty ones too.
    bars: Vec<HistogramBar>,
    /// What the records match by.
    matched_by: &'static str,
}

/// Count log records over time, by severity.
#[utoipa::path(get, path = "/api/v1/logs/histogram", params(LogSearch), tag = "logs",
    responses((status = 200, body = HistogramAnswer)))]
pub(crate) async fn histogram(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<LogSearch>,
) -> Result<Json<HistogramAnswer>, Problem> {
    let Asked(search) = asked;
    let mut answered = None;
    let scans = search
        .scans(&api, &caller, "/api/v1/logs/histogram")
        .await?;
    for (matched_by, scan) in scans {
        let seconds = scan.range.seconds();
        let step_s = match &search.step {
            Some(step) => step.duration_s("step")?,
            None => (seconds / BARS).max(1),
        };
        if seconds / step_s > BARS_MAX {
            let detail = format!("more than {BARS_MAX} bars: send a larger step");
            return Err(Problem::new(Refusal::Unprocessable, detail));
        }
        let range = scan.range;
        let counts = api
            .clickhouse
            .rows(&caller.bind(Histogram { scan, step_s })?)
            .await?;
        let empty = counts.is_empty();
        let first = (range.start / NS_PER_SECOND).div_euclid(step_s) * step_s;
        let last = (range.end - 1) / NS_PER_SECOND;
        let mut bars: BTreeMap<i64, HistogramBar> = BTreeMap::new();
        let mut at = first;
        while at <= last {
            bars.insert(at, empty_bar(at));
            at += step_s;
        }
        for count in counts {
            let bar = bars.entry(count.at).or_insert_with(|| empty_bar(count.at));
            bar.count += count.count;
            if let Some(severity) = Severity::parse(&count.severity) {
                *bar.by_severity.entry(severity.as_str()).or_default() += count.count;
            }
        }
        let bars: Vec<_> = bars.into_values().collect();
        let total = bars.iter().map(|bar| bar.count).sum();
        answered = Some(HistogramAnswer {
            step_s,
            total,
            bars,
            matched_by,
        });
        if !empty {
            break;
        }
    }
    answered
        .map(Json)
        .ok_or_else(|| Problem::internal("nothing was asked", &"logs"))
}

fn empty_bar(at: i64) -> HistogramBar {
    HistogramBar {
        start: Moment(at.saturating_mul(NS_PER_SECOND)),
        count: 0,
        by_severity: BTreeMap::new(),
    }
}
