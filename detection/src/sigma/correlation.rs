//! Correlation rules as they are written: what of which rules adds up to what, within which time.

use super::document::Meta;
use super::yaml::{Map, scalar};
use crate::rules::{KEY_PATHS_MAX, Problem};
use crate::windows::{BOUNDS_MAX, Bound};
use serde_yaml_ng::Value as Yaml;

/// Rules that one correlation refers to.
const RULES_MAX: usize = 50;

/// A correlation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Correlation {
    pub(super) meta: Meta,
    pub(super) kind: Kind,
    /// Ids or names of the rules it refers to, in the order that `temporal_ordered` wants.
    pub(super) rules: Vec<String>,
    pub(super) group_by: Vec<String>,
    pub(super) seconds: u32,
    pub(super) aliases: Vec<Alias>,
    /// The fields whose values are counted or added up.
    pub(super) fields: Vec<String>,
    /// What the count or the value must be; none stands for all rules of a temporal correlation.
    pub(super) bounds: Vec<(Bound, f64)>,
    /// The percentile that is meant, where one is given.
    pub(super) percentile: Option<f64>,
    /// Whether the rules it refers to stand for themselves too.
    pub(super) generate: bool,
}

/// One name for different fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alias {
    pub(super) name: String,
    /// Rule and field.
    pub(super) fields: Vec<(String, String)>,
}

/// The types of correlations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    EventCount,
    ValueCount,
    Temporal,
    TemporalOrdered,
    ValueSum,
    ValueAvg,
    ValuePercentile,
}

type Read<T> = Result<T, Problem>;

pub(super) fn read(meta: Meta, section: &Map<'_>) -> Read<Correlation> {
    let kind = kind(section)?;
    let rules = section.texts("rules")?;
    if rules.is_empty() || rules.len() > RULES_MAX {
        let what = format!("must be 1 to {RULES_MAX} ids or names of rules");
        return Err(Problem::new("correlation.rules", what));
    }
    let (fields, bounds, percentile) = condition(section, kind)?;
    let generate = section.get("generate").and_then(Yaml::as_bool);
    Ok(Correlation {
        meta,
        kind,
        rules,
        group_by: section.texts("group-by")?,
        seconds: timespan(section)?,
        aliases: aliases(section)?,
        fields,
        bounds,
        percentile,
        generate: generate.unwrap_or(false),
    })
}

fn kind(section: &Map<'_>) -> Read<Kind> {
    match section.text("type")?.unwrap_or_default().as_str() {
        "event_count" => Ok(Kind::EventCount),
        "value_count" => Ok(Kind::ValueCount),
        "temporal" => Ok(Kind::Temporal),
        "temporal_ordered" => Ok(Kind::TemporalOrdered),
        "value_sum" => Ok(Kind::ValueSum),
        "value_avg" => Ok(Kind::ValueAvg),
        "value_percentile" => Ok(Kind::ValuePercentile),
        other => Err(Problem::new(
            "correlation.type",
            format!("{other:?} is none of the seven types"),
        )),
    }
}

/// A number and `s`, `m`, `h` or `d`.
fn timespan(section: &Map<'_>) -> Read<u32> {
    let text = section.text("timespan")?.unwrap_or_default();
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(number.len()..) {
        Some("s") => Some(1),
        Some("m") => Some(60),
        Some("h") => Some(3600),
        Some("d") => Some(24 * 3600),
        Some(_) | None => None,
    };
    let number: Option<u32> = number.parse().ok().filter(|number| *number > 0);
    let seconds = number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit));
    seconds.ok_or_else(|| {
        let what = format!("{text:?} is not a number and one of s, m, h, d");
        Problem::new("correlation.timespan", what)
    })
}

fn aliases(section: &Map<'_>) -> Read<Vec<Alias>> {
    let Some(map) = section.map("aliases")? else {
        return Ok(Vec::new());
    };
    let mut aliases = Vec::new();
    for member in map.members() {
        let (name, fields) = member?;
        let fields = Map::new(fields, &map.at(&name))?;
        let each = fields.members().map(|field| {
            let (rule, field) = field?;
            let field = scalar(field);
            let field = field.ok_or_else(|| Problem::new(&fields.at(&rule), "must be a field"))?;
            Ok((rule, field))
        });
        aliases.push(Alias {
            fields: each.collect::<Read<_>>()?,
            name,
        });
    }
    Ok(aliases)
}

type Parts = (Vec<String>, Vec<(Bound, f64)>, Option<f64>);

fn condition(section: &Map<'_>, kind: Kind) -> Read<Parts> {
    let path = "correlation.condition";
    let is_temporal = matches!(kind, Kind::Temporal | Kind::TemporalOrdered);
    let Some(map) = section.map("condition")? else {
        return if is_temporal {
            Ok((Vec::new(), Vec::new(), None))
        } else {
            Err(Problem::new(path, "is required"))
        };
    };
    let (mut bounds, mut percentile) = (Vec::new(), None);
    for member in map.members() {
        let (name, value) = member?;
        let number = || {
            let number = scalar(value).and_then(|text| text.parse().ok());
            let number = number.filter(|number: &f64| number.is_finite());
            number.ok_or_else(|| Problem::new(&map.at(&name), "must be a number"))
        };
        match (name.as_str(), bound(&name)) {
            (_, Some(bound)) => bounds.push((bound, number()?)),
            ("field", None) => {}
            ("percentile", None) if kind == Kind::ValuePercentile => {
                percentile = Some(number()?).filter(|number| (0.0..=100.0).contains(number));
                if percentile.is_none() {
                    return Err(Problem::new(&map.at(&name), "must be from 0 to 100"));
                }
            }
            (_, None) => return Err(Problem::new(&map.at(&name), "is not known here")),
        }
    }
    if bounds.is_empty() {
        return Err(Problem::new(path, "has none of gt, gte, lt, lte, eq, neq"));
    }
    let fields = map.texts("field")?;
    let wants_field = match kind {
        Kind::ValueCount | Kind::ValueSum | Kind::ValueAvg | Kind::ValuePercentile => true,
        Kind::EventCount | Kind::Temporal | Kind::TemporalOrdered => false,
    };
    if !wants_field && !fields.is_empty() {
        return Err(Problem::new(
            &map.at("field"),
            "means nothing for this type",
        ));
    }
    if wants_field && fields.is_empty() {
        return Err(Problem::new(&map.at("field"), "is required"));
    }
    if bounds.len() > BOUNDS_MAX {
        return Err(Problem::new(
            path,
            format!("has more than {BOUNDS_MAX} bounds"),
        ));
    }
    if fields.len() > KEY_PATHS_MAX {
        return Err(Problem::new(&map.at("field"), "has too many fields"));
    }
    Ok((fields, bounds, percentile))
}

fn bound(name: &str) -> Option<Bound> {
    match name {
        "gt" => Some(Bound::Gt),
        "gte" => Some(Bound::Gte),
        "lt" => Some(Bound::Lt),
        "lte" => Some(Bound::Lte),
        "eq" => Some(Bound::Eq),
        "neq" => Some(Bound::Neq),
        _ => None,
    }
}
