//! The `window` of a rule's document: reading it with every problem named by its place, and
//! writing it.

use super::def::Selection;
use super::error::Problem;
use super::json::{Object, Read, counted, each};
use super::window_def::{Measured, SequenceStep, WindowDef, budget, events, thousandths};
use super::{PATH_CHARS_MAX, WINDOW_SECONDS_DEFAULT, correlation, path};
use crate::windows::{
    BURN_LONG_MAX, BURN_SECONDS_MAX, BURN_SECONDS_MIN, BURNS_MAX, Baseline, Burn, BurnRate,
    CHAIN_MAX, FARTHEST_KM, SEQUENCE_HITS_MAX, SPEED_KMH_MIN, SPIKE_DAYS_MAX, SPIKE_FACTOR_MAX,
    THRESHOLD_MAX, WINDOW_SECONDS_MAX,
};
use serde_json::{Value, json};

/// Characters of the field of a distinct window.
const FIELD_CHARS_MAX: usize = 300;
/// The largest sum: beyond it a double cannot tell one more.
const SUM_MAX: f64 = 1e15;
/// The highest rate: more than an installation takes in.
const RATE_MAX: f64 = 1e6;
/// Events of a window that are not counted any more: thresholds have 32 bits.
const RATE_EVENTS_MAX: u64 = 1 << 32;
/// The lowest rate that is told from none.
const RATE_MIN: f64 = 0.001;
/// The longest silence: a week, which is what weekly jobs need.
const SILENCE_SECONDS_MAX: u32 = 7 * 24 * 3600;
/// How far back a value is new: a month, for which a state is kept of every group.
const NEW_VALUE_DAYS_MAX: u32 = 30;
/// The highest number of events that a spike may ask for.
const SPIKE_EVENTS_MAX: u32 = 1_000_000_000;
/// Events of an hour below which nothing is a spike, unless the rule says so: three times one is
/// three.
const SPIKE_EVENTS_DEFAULT: u32 = 10;
const SPIKE_DAYS_DEFAULT: u32 = 7;
const SPEED_KMH_DEFAULT: u32 = 900;
/// Faster than anything that flies passengers.
const SPEED_KMH_MAX: u32 = 10_000;
const DISTANCE_KM_DEFAULT: u32 = 500;
/// Where the worker puts the place of the client's address, and where senders put it themselves.
const LATITUDE: &str = "client.geo.location.lat || geo.latitude || latitude";
const LONGITUDE: &str = "client.geo.location.lon || geo.longitude || longitude";

/// Good events of a hundred that an objective asks for: less is none, and more is not told apart.
const OBJECTIVE: (f64, f64) = (50.0, 99.999);
/// The fastest pace that is told of: the whole budget of a month within an hour.
const FACTOR_MAX: f64 = 1_000.0;
/// How many times as long the long window is as the short one, where that is not said.
const LONG_DEFAULT: u32 = 12;
/// The pairs that page somebody, of the Site Reliability Workbook: 2 % of a month's budget within an
/// hour, and 5 % within six.
const RATES_DEFAULT: [BurnRate; 2] = [
    BurnRate {
        factor_thousandths: 14_400,
        long_s: 3_600,
        short_s: 300,
    },
    BurnRate {
        factor_thousandths: 6_000,
        long_s: 21_600,
        short_s: 1_800,
    },
];

const KINDS: &str = "must be count, distinct, sum, ratio, rate, burn_rate, measure, sequence, \
                     new_value, silence, spike, travel, or correlation";

const BASELINES: [(&str, Baseline); 3] = [
    ("same_hour", Baseline::SameHour),
    ("every_hour", Baseline::EveryHour),
    ("hour_of_week", Baseline::HourOfWeek),
];

/// Reads the window of a rule, or the shorthand for one.
pub(super) fn window(rule: &mut Object<'_>) -> Read<Option<WindowDef>> {
    let threshold_most = u64::from(THRESHOLD_MAX);
    let shorthand = rule.number("threshold_count", 1, threshold_most)?;
    let seconds = rule.number("window_seconds", 1, u64::from(WINDOW_SECONDS_MAX))?;
    let Some(value) = rule.get("window") else {
        if shorthand.is_none() && seconds.is_some() {
            return Err(Problem::new("window_seconds", "needs a threshold_count"));
        }
        let seconds = seconds.unwrap_or(WINDOW_SECONDS_DEFAULT);
        return Ok(shorthand.map(|threshold| WindowDef::Count { seconds, threshold }));
    };
    if shorthand.is_some() || seconds.is_some() {
        return Err(Problem::new("threshold_count", "stands beside a window"));
    }
    let mut window = Object::new(value, "window")?;
    let kind = window.need("kind")?.as_str().unwrap_or_default();
    let def = match kind {
        "count" => count(&mut window)?,
        "distinct" => distinct(&mut window)?,
        "sum" => sum(&mut window)?,
        "ratio" => ratio(&mut window)?,
        "rate" => rate(&mut window)?,
        "burn_rate" => burn_rate(&mut window)?,
        "measure" => measure(&mut window)?,
        "sequence" => sequence(&mut window)?,
        "new_value" => WindowDef::NewValue {
            days: needed(&mut window, "days", NEW_VALUE_DAYS_MAX)?,
            field: field(&mut window)?,
        },
        "silence" => WindowDef::Silence {
            seconds: needed(&mut window, "seconds", SILENCE_SECONDS_MAX)?,
        },
        "spike" => spike(&mut window)?,
        "travel" => travel(&mut window)?,
        "correlation" => WindowDef::Correlation(super::correlation::read(&mut window)?),
        _ => return Err(Problem::new("window.kind", KINDS)),
    };
    window.finish()?;
    Ok(Some(def))
}

fn missing(name: &str) -> Problem {
    Problem::new(&format!("window.{name}"), "is required")
}

fn needed(window: &mut Object<'_>, name: &'static str, most: u32) -> Read<u32> {
    let number = window.number(name, 1, u64::from(most))?;
    number.ok_or_else(|| missing(name))
}

fn seconds(window: &mut Object<'_>) -> Read<u32> {
    needed(window, "seconds", WINDOW_SECONDS_MAX)
}

fn field(window: &mut Object<'_>) -> Read<String> {
    let field = window.text("field", FIELD_CHARS_MAX)?;
    field.ok_or_else(|| missing("field"))
}

/// A number above 0, or from `least` on where there is one.
fn decimal(window: &mut Object<'_>, name: &'static str, bounds: (f64, f64)) -> Read<f64> {
    let (least, most) = bounds;
    let number = window.need(name)?.as_f64();
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        let what = format!("must be a number from {least} to {most}");
        Problem::new(&format!("window.{name}"), what)
    })
}

fn count(window: &mut Object<'_>) -> Read<WindowDef> {
    Ok(WindowDef::Count {
        seconds: seconds(window)?,
        threshold: needed(window, "threshold", THRESHOLD_MAX)?,
    })
}

fn distinct(window: &mut Object<'_>) -> Read<WindowDef> {
    Ok(WindowDef::Distinct {
        seconds: seconds(window)?,
        threshold: needed(window, "threshold", THRESHOLD_MAX)?,
        field: field(window)?,
    })
}

fn sum(window: &mut Object<'_>) -> Read<WindowDef> {
    Ok(WindowDef::Sum {
        seconds: seconds(window)?,
        threshold: decimal(window, "threshold", (1e-6, SUM_MAX))?,
        field: field(window)?,
    })
}

fn ratio(window: &mut Object<'_>) -> Read<WindowDef> {
    let seconds = seconds(window)?;
    let threshold = needed(window, "threshold", THRESHOLD_MAX)?;
    let over = window.get("over_percent").is_some();
    if over && window.get("percent").is_some() {
        return Err(Problem::new("window.percent", "stands beside over_percent"));
    }
    // A share of more than all there is would never be.
    let (name, most) = if over {
        ("over_percent", 99.999)
    } else {
        ("percent", 100.0)
    };
    let percent = decimal(window, name, (0.001, most))?;
    let base = window.get("base");
    let base = base.map(|base| counted(base, "window.base"));
    Ok(WindowDef::Ratio {
        seconds,
        threshold,
        percent,
        over,
        base: base.transpose()?,
    })
}

fn rate(window: &mut Object<'_>) -> Read<WindowDef> {
    let seconds = seconds(window)?;
    let per_second = decimal(window, "per_second", (RATE_MIN, RATE_MAX))?;
    let wrong = |what: &str| {
        let what = format!("makes {what} events in {seconds} seconds");
        Err(Problem::new("window.per_second", what))
    };
    match events(per_second, seconds) {
        ..2 => return wrong("less than two"),
        RATE_EVENTS_MAX.. => return wrong("too many"),
        _ => {}
    }
    Ok(WindowDef::Rate {
        seconds,
        per_second,
    })
}

fn burn_rate(window: &mut Object<'_>) -> Read<WindowDef> {
    let objective = decimal(window, "objective", OBJECTIVE)?;
    let threshold = window.number("threshold", 1, u64::from(THRESHOLD_MAX))?;
    let rates = each(window.list("rates", BURNS_MAX)?, "window.rates", pair)?;
    let rates = if rates.is_empty() {
        RATES_DEFAULT.to_vec()
    } else {
        rates
    };
    if Burn::new(budget(objective), &rates).is_none() {
        let what = format!(
            "must be pairs of {BURN_SECONDS_MIN} to {BURN_SECONDS_MAX} seconds, the shortest first, \
             the long window at most {BURN_LONG_MAX} times the short one"
        );
        return Err(Problem::new("window.rates", what));
    }
    let all = u64::from(thousandths(100.0)) * 1_000;
    let asked = |rate: &BurnRate| u64::from(rate.factor_thousandths) * u64::from(budget(objective));
    if let Some(at) = rates.iter().position(|rate| asked(rate) >= all) {
        let what = "asks for more bad events than there are: the objective leaves too much";
        return Err(Problem::new(&format!("window.rates[{at}].factor"), what));
    }
    let base = window.get("base");
    let base = base.map(|base| counted(base, "window.base"));
    Ok(WindowDef::BurnRate {
        objective,
        threshold: threshold.unwrap_or(1),
        rates,
        base: base.transpose()?,
        field: window.text("field", FIELD_CHARS_MAX)?,
    })
}

fn pair(value: &Value, path: &str) -> Read<BurnRate> {
    let mut object = Object::new(value, path)?;
    let factor = object.need("factor")?.as_f64();
    let factor = factor.filter(|factor| (0.1..=FACTOR_MAX).contains(factor));
    let what = format!("must be a number from 0.1 to {FACTOR_MAX}");
    let factor = factor.ok_or_else(|| Problem::new(&object.at("factor"), what))?;
    let longest = u64::from(BURN_SECONDS_MAX);
    let seconds = object.number("seconds", 1, longest)?;
    let long_s = seconds.ok_or_else(|| Problem::new(&object.at("seconds"), "is required"))?;
    let short_s = object.number("short_seconds", 1, longest)?;
    object.finish()?;
    Ok(BurnRate {
        factor_thousandths: thousandths(factor),
        long_s,
        short_s: short_s.unwrap_or(long_s / LONG_DEFAULT),
    })
}

fn measure(window: &mut Object<'_>) -> Read<WindowDef> {
    let percentile = window.get("percentile").map(|value| {
        let percent = value
            .as_f64()
            .filter(|percent| (0.0..=100.0).contains(percent));
        percent.ok_or_else(|| Problem::new("window.percentile", "must be a number from 0 to 100"))
    });
    let of = match (
        window.need("of")?.as_str().unwrap_or_default(),
        percentile.transpose()?,
    ) {
        ("average", None) => Measured::Average,
        ("minimum", None) => Measured::Minimum,
        ("maximum", None) => Measured::Maximum,
        ("percentile", Some(percent)) => Measured::Percentile(percent),
        ("percentile", None) => return Err(missing("percentile")),
        ("increase", None) => Measured::Increase,
        ("rate", None) => Measured::Rate,
        (_, Some(_)) => {
            let what = "stands where nothing is said of a percentile";
            return Err(Problem::new("window.percentile", what));
        }
        (_, None) => {
            let what = "must be average, minimum, maximum, percentile, increase, or rate";
            return Err(Problem::new("window.of", what));
        }
    };
    let threshold = window.number("threshold", 1, u64::from(THRESHOLD_MAX))?;
    // One value says nothing of how a counter grows.
    let least = if of.is_of_counter() { 2 } else { 1 };
    Ok(WindowDef::Measure {
        seconds: seconds(window)?,
        of,
        field: field(window)?,
        bounds: correlation::bounds(window.need("bounds")?)?,
        threshold: threshold.unwrap_or(least).max(least),
    })
}

fn sequence(window: &mut Object<'_>) -> Read<WindowDef> {
    let seconds = seconds(window)?;
    let steps = each(window.list("steps", CHAIN_MAX)?, "window.steps", step)?;
    if steps.len() < 2 {
        let what = format!("must be a list of 2 to {CHAIN_MAX} steps");
        return Err(Problem::new("window.steps", what));
    }
    let hits: u32 = steps.iter().map(|step| step.count).sum();
    if hits > SEQUENCE_HITS_MAX {
        let what = format!("take more than {SEQUENCE_HITS_MAX} events together");
        return Err(Problem::new("window.steps", what));
    }
    Ok(WindowDef::Sequence { seconds, steps })
}

fn step(value: &Value, path: &str) -> Read<SequenceStep> {
    let mut object = Object::new(value, path)?;
    let step = SequenceStep {
        selection: counted(object.need("selection")?, &object.at("selection"))?,
        count: object
            .number("count", 1, u64::from(SEQUENCE_HITS_MAX))?
            .unwrap_or(1),
    };
    object.finish()?;
    Ok(step)
}

fn spike(window: &mut Object<'_>) -> Read<WindowDef> {
    let factor = decimal(window, "factor", (1.0, SPIKE_FACTOR_MAX))?;
    let threshold = window.number("threshold", 1, u64::from(SPIKE_EVENTS_MAX))?;
    let days = window.number("days", 1, u64::from(SPIKE_DAYS_MAX))?;
    let days = days.unwrap_or(SPIKE_DAYS_DEFAULT);
    let baseline = match window.text("baseline", FIELD_CHARS_MAX)? {
        None => Baseline::SameHour,
        Some(name) => {
            let known = BASELINES.iter().find(|(known, _)| *known == name);
            let what = "must be same_hour, every_hour, or hour_of_week";
            known
                .map(|(_, baseline)| *baseline)
                .ok_or_else(|| Problem::new("window.baseline", what))?
        }
    };
    if baseline == Baseline::HourOfWeek && !days.is_multiple_of(7) {
        let what = "must be whole weeks where hours of the week are compared";
        return Err(Problem::new("window.days", what));
    }
    Ok(WindowDef::Spike {
        factor,
        threshold: threshold.unwrap_or(SPIKE_EVENTS_DEFAULT),
        days,
        baseline,
    })
}

fn travel(window: &mut Object<'_>) -> Read<WindowDef> {
    let (slowest, fastest) = (u64::from(SPEED_KMH_MIN), u64::from(SPEED_KMH_MAX));
    let speed = window.number("speed_kmh", slowest, fastest)?;
    let distance = window.number("distance_km", 1, u64::from(FARTHEST_KM))?;
    let latitude = window.text("latitude", PATH_CHARS_MAX)?;
    let longitude = window.text("longitude", PATH_CHARS_MAX)?;
    Ok(WindowDef::Travel {
        speed_kmh: speed.unwrap_or(SPEED_KMH_DEFAULT),
        distance_km: distance.unwrap_or(DISTANCE_KM_DEFAULT),
        latitude: latitude.unwrap_or_else(|| LATITUDE.to_owned()),
        longitude: longitude.unwrap_or_else(|| LONGITUDE.to_owned()),
    })
}

/// Checks the paths that a window names.
pub(super) fn check_paths(window: &WindowDef) -> Read<()> {
    let checked = |name: &str, check: Result<(), &'static str>| {
        check.map_err(|what| Problem::new(&format!("window.{name}"), what))
    };
    match window {
        WindowDef::Distinct { field, .. } => checked("field", path::check(field)),
        WindowDef::Sum { field, .. }
        | WindowDef::NewValue { field, .. }
        | WindowDef::Measure { field, .. }
        | WindowDef::BurnRate {
            field: Some(field), ..
        } => checked("field", path::check_one(field)),
        WindowDef::Travel {
            latitude,
            longitude,
            ..
        } => {
            checked("latitude", path::check_one(latitude))?;
            checked("longitude", path::check_one(longitude))
        }
        WindowDef::Count { .. }
        | WindowDef::Ratio { .. }
        | WindowDef::Rate { .. }
        | WindowDef::BurnRate { field: None, .. }
        | WindowDef::Sequence { .. }
        | WindowDef::Silence { .. }
        | WindowDef::Spike { .. }
        | WindowDef::Correlation(_) => Ok(()),
    }
}

impl WindowDef {
    pub(super) fn to_json(&self) -> Value {
        match self {
            WindowDef::Count { seconds, threshold } => {
                json!({"kind": "count", "seconds": seconds, "threshold": threshold})
            }
            WindowDef::Distinct {
                seconds,
                threshold,
                field,
            } => of_field("distinct", *seconds, &json!(threshold), field),
            WindowDef::Sum {
                seconds,
                threshold,
                field,
            } => of_field("sum", *seconds, &json!(threshold), field),
            WindowDef::Rate {
                seconds,
                per_second,
            } => json!({"kind": "rate", "seconds": seconds, "per_second": per_second}),
            WindowDef::Ratio { .. } | WindowDef::BurnRate { .. } | WindowDef::Measure { .. } => {
                self.share_to_json()
            }
            WindowDef::Sequence { seconds, steps } => {
                let steps: Vec<Value> = steps.iter().map(SequenceStep::to_json).collect();
                json!({"kind": "sequence", "seconds": seconds, "steps": steps})
            }
            WindowDef::NewValue { days, field } => {
                json!({"kind": "new_value", "days": days, "field": field})
            }
            WindowDef::Silence { seconds } => json!({"kind": "silence", "seconds": seconds}),
            WindowDef::Spike {
                factor,
                threshold,
                days,
                baseline,
            } => json!({
                "kind": "spike", "factor": factor, "threshold": threshold, "days": days,
                "baseline": name_of(*baseline),
            }),
            WindowDef::Travel {
                speed_kmh,
                distance_km,
                latitude,
                longitude,
            } => json!({
                "kind": "travel", "speed_kmh": speed_kmh, "distance_km": distance_km,
                "latitude": latitude, "longitude": longitude,
            }),
            WindowDef::Correlation(correlation) => correlation.to_json(),
        }
    }
}

impl WindowDef {
    /// Of a share or of what is measured; null of others.
    fn share_to_json(&self) -> Value {
        match self {
            WindowDef::Ratio {
                seconds,
                threshold,
                percent,
                over,
                base,
            } => json!({
                "kind": "ratio", "seconds": seconds, "threshold": threshold,
                "percent": (!over).then_some(percent), "over_percent": over.then_some(percent),
                "base": base.as_ref().map(Selection::to_json),
            }),
            WindowDef::BurnRate {
                objective,
                threshold,
                rates,
                base,
                field,
            } => json!({
                "kind": "burn_rate", "objective": objective, "threshold": threshold,
                "rates": rates.iter().map(pair_to_json).collect::<Vec<_>>(),
                "base": base.as_ref().map(Selection::to_json), "field": field,
            }),
            WindowDef::Measure {
                seconds,
                of,
                field,
                bounds,
                threshold,
            } => {
                let (of, percentile) = name_of_measured(*of);
                json!({
                    "kind": "measure", "seconds": seconds, "of": of, "percentile": percentile,
                    "field": field, "threshold": threshold,
                    "bounds": correlation::bounds_to_json(bounds),
                })
            }
            WindowDef::Count { .. }
            | WindowDef::Distinct { .. }
            | WindowDef::Sum { .. }
            | WindowDef::Rate { .. }
            | WindowDef::Sequence { .. }
            | WindowDef::NewValue { .. }
            | WindowDef::Silence { .. }
            | WindowDef::Spike { .. }
            | WindowDef::Travel { .. }
            | WindowDef::Correlation(_) => Value::Null,
        }
    }
}

impl SequenceStep {
    fn to_json(&self) -> Value {
        json!({"selection": self.selection.to_json(), "count": self.count})
    }
}

fn of_field(kind: &str, seconds: u32, threshold: &Value, field: &str) -> Value {
    json!({"kind": kind, "seconds": seconds, "threshold": threshold, "field": field})
}

fn name_of(baseline: Baseline) -> Option<&'static str> {
    let known = BASELINES.iter().find(|(_, known)| *known == baseline);
    known.map(|(name, _)| *name)
}

fn pair_to_json(rate: &BurnRate) -> Value {
    json!({
        "factor": f64::from(rate.factor_thousandths) / 1_000.0,
        "seconds": rate.long_s, "short_seconds": rate.short_s,
    })
}

const fn name_of_measured(of: Measured) -> (&'static str, Option<f64>) {
    match of {
        Measured::Average => ("average", None),
        Measured::Minimum => ("minimum", None),
        Measured::Maximum => ("maximum", None),
        Measured::Percentile(percent) => ("percentile", Some(percent)),
        Measured::Increase => ("increase", None),
        Measured::Rate => ("rate", None),
    }
}
