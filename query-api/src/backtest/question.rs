//! What a back-test is asked: read, checked, and compiled. Whether rows can answer for the rule is
//! settled here, before any is read.

use super::{BARS, ROWS_MAX, privacy};
use crate::ask::{Loose, OneOrMany, TimeRange};
use crate::error::Problem;
use crate::store::history::OrganisationSettings;
use millrace_detection::RuleDef;
use millrace_detection::history::{self, Replay};
use millrace_shared::Signal;
use millrace_shared::limits::{NS_PER_SECOND, retention_days};
use millrace_shared::outcome::Refusal;
use serde::Deserialize;
use utoipa::ToSchema;

/// Seconds of a day.
const DAY_S: i64 = 24 * 3600;

/// Over what a rule is tried.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asks {
    /// Start of the range: ISO 8601, a Unix number, or `now-1h` (the default).
    start: Option<Loose>,
    /// End of the range, not included; the default is now.
    end: Option<Loose>,
    /// Only these of the signals that the rule looks at.
    signals: Option<OneOrMany>,
    /// Width of a bar: `30s`, `5m`, `1h`.
    step: Option<Loose>,
    /// Rows to look at, at most 20,000,000.
    rows_max: Option<Loose>,
}

/// A question with everything that is needed to answer it, but for the rows.
#[derive(Debug)]
pub(crate) struct Question {
    pub(super) rule: RuleDef,
    pub(super) signals: Vec<Signal>,
    pub(super) range: TimeRange,
    pub(super) step_ns: i64,
    pub(super) rows_max: u64,
    pub(super) replay: Replay,
    /// Paths whose values the rule compares.
    pub(super) compared: Vec<String>,
}

impl Question {
    /// The id of the rule.
    pub(crate) fn rule_id(&self) -> &str {
        &self.rule.id
    }

    /// Reads and checks. Takes its time with a large rule.
    ///
    /// # Errors
    /// 400 for a rule that rows cannot answer for, and for parameters that make no sense; 422 for
    /// what is no rule, and for a range that is too long.
    pub(crate) fn new(
        rule: RuleDef,
        asks: &Asks,
        org: &OrganisationSettings,
        now_ns: i64,
    ) -> Result<Self, Problem> {
        let signals = signals(&rule, asks.signals.as_ref())?;
        let days = signals.iter().map(|signal| retention_days(*signal)).max();
        let days = days.unwrap_or_default() + 1;
        let (start, end) = (asks.start.as_ref(), asks.end.as_ref());
        let range = TimeRange::read(start, end, now_ns, days.saturating_mul(DAY_S))?;
        let replay = Replay::new(&rule, org.for_trials(), super::ALERTS_LISTED)
            .map_err(|error| Problem::new(Refusal::Unprocessable, error.to_string()))?;
        let compared = fit(&replay, &signals, org)?;
        Ok(Question {
            step_ns: step_s(range, asks.step.as_ref())?.saturating_mul(NS_PER_SECOND),
            rows_max: rows_max(asks.rows_max.as_ref())?,
            rule,
            signals,
            range,
            replay,
            compared,
        })
    }
}

/// The signals of the rule, or those of them that are asked for.
fn signals(rule: &RuleDef, asked: Option<&OneOrMany>) -> Result<Vec<Signal>, Problem> {
    let Some(asked) = asked else {
        return Ok(rule.scope.clone());
    };
    let mut signals = Vec::new();
    for name in asked.split() {
        let signal = Signal::from_name(&name)
            .ok_or_else(|| Problem::parameter("signals", "names none of the five"))?;
        if !rule.scope.contains(&signal) {
            return Err(Problem::parameter(
                "signals",
                format!("names {name}, at which the rule does not look"),
            ));
        }
        if !signals.contains(&signal) {
            signals.push(signal);
        }
    }
    if signals.is_empty() {
        return Err(Problem::parameter("signals", "names none"));
    }
    Ok(signals)
}

/// Whether rows can answer for the rule; the paths that it compares.
fn fit(
    replay: &Replay,
    signals: &[Signal],
    org: &OrganisationSettings,
) -> Result<Vec<String>, Problem> {
    let set = replay.set();
    let Some(rule) = set.rules().first() else {
        return Err(Problem::internal("a rule that is none", &"backtest"));
    };
    let unfit = |problem: millrace_detection::rules::Problem| {
        let detail = format!("history cannot answer for this rule: {problem}");
        Problem::new(Refusal::BadParameter, detail)
    };
    history::check(set, rule, signals).map_err(unfit)?;
    if rule.after_scrubbing {
        // Live it sees scrubbed events too.
        return Ok(Vec::new());
    }
    let reads = set.reads(rule);
    privacy::check(&rule.def, &reads, &org.pii_policy).map_err(unfit)?;
    Ok(reads.compared.into_iter().map(str::to_owned).collect())
}

fn step_s(range: TimeRange, asked: Option<&Loose>) -> Result<i64, Problem> {
    let step_s = match asked {
        Some(step) => step.duration_s("step")?,
        None => (range.seconds() / BARS.0).max(1),
    };
    if range.seconds() / step_s >= BARS.1 {
        let detail = format!("{} bars or more: send a larger step", BARS.1);
        return Err(Problem::new(Refusal::Unprocessable, detail));
    }
    Ok(step_s)
}

fn rows_max(asked: Option<&Loose>) -> Result<u64, Problem> {
    let Some(asked) = asked else {
        return Ok(ROWS_MAX);
    };
    let rows: u64 = asked.number("rows_max")?;
    if (1..=ROWS_MAX).contains(&rows) {
        return Ok(rows);
    }
    let why = format!("must lie between 1 and {ROWS_MAX}");
    Err(Problem::parameter("rows_max", why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: i64 = 1_700_000_000 * NS_PER_SECOND;

    fn ask(rule: &Value, asks: Value) -> Result<Question, Refusal> {
        let mut document = json!({"id": "r", "name": "n", "severity": "low", "message": "m",
            "scope": ["logs"], "selection": [{"field": "service", "op": "eq", "value": "a"}]});
        let members = document.as_object_mut().unwrap();
        members.extend(rule.as_object().unwrap().clone());
        let org = OrganisationSettings {
            settings: json!({}),
            pii_policy: json!({}),
        };
        let asks: Asks = serde_json::from_value(asks).unwrap();
        let rule = RuleDef::from_json(&document).unwrap();
        Question::new(rule, &asks, &org, NOW).map_err(|problem| problem.refusal())
    }

    #[test]
    fn the_range_is_bounded_and_cut_into_bars() {
        let asked = ask(&json!({}), json!({"start": "now-2d", "end": "now"})).unwrap();
        assert_eq!(asked.step_ns, 2880 * NS_PER_SECOND);
        assert_eq!(
            (asked.rows_max, asked.signals),
            (ROWS_MAX, vec![Signal::Logs])
        );
        for (asks, refusal) in [
            (json!({"start": "now-92d"}), Refusal::Unprocessable),
            (
                json!({"start": "now-2d", "step": "1s"}),
                Refusal::Unprocessable,
            ),
            (json!({"rows_max": 0}), Refusal::BadParameter),
            (json!({"signals": ["audit"]}), Refusal::BadParameter),
            (json!({"signals": ["cheese"]}), Refusal::BadParameter),
        ] {
            assert_eq!(
                ask(&json!({}), asks.clone()).unwrap_err(),
                refusal,
                "{asks}"
            );
        }
    }

    #[test]
    fn a_rule_may_be_asked_about_those_of_its_signals_that_are_rows() {
        let both = json!({"scope": ["logs", "metrics"]});
        assert_eq!(ask(&both, json!({})).unwrap_err(), Refusal::BadParameter);
        ask(&both, json!({"signals": ["logs"]})).unwrap();
    }
}
