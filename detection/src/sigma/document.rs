//! Documents of Sigma: rules, correlations, filters, and what all of them may say of themselves.

use super::correlation::Correlation;
use super::yaml::{self, Map};
use crate::rules::Problem;
use serde_json::{Value as Json, json};
use serde_yaml_ng::Value as Yaml;

/// Characters of a title, of a name.
const TITLE_CHARS_MAX: usize = 256;
/// Bytes of what is kept of a rule's description, and of every list.
const KEPT_BYTES_MAX: usize = 8_000;

type Read<T> = Result<T, Problem>;

/// One document.
#[derive(Clone, Debug)]
pub(super) enum Document {
    Rule(Box<SigmaRule>),
    Correlation(Box<Correlation>),
    Filter(Box<Filter>),
}

/// What a document says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Meta {
    pub(super) title: String,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) status: Option<String>,
    pub(super) level: Option<String>,
    pub(super) taxonomy: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) fields: Vec<String>,
    /// All of it that is worth keeping, for the record.
    pub(super) origin: Json,
}

/// Where a rule's events come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogSource {
    pub(super) product: Option<String>,
    pub(super) category: Option<String>,
    pub(super) service: Option<String>,
}

/// A rule. Its detections stay as they are written until the pipelines for its log source are
/// known.
#[derive(Clone, Debug)]
pub(super) struct SigmaRule {
    pub(super) meta: Meta,
    pub(super) logsource: LogSource,
    pub(super) detections: Vec<(String, Yaml)>,
    /// Any of which may hold.
    pub(super) conditions: Vec<String>,
}

/// Which rules a filter is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filtered {
    /// All of its log source.
    Any,
    /// Those with these ids or names.
    These(Vec<String>),
}

/// What is taken out of other rules.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) rules: Filtered,
    /// Its log source and detections, as those of a rule.
    pub(super) inner: SigmaRule,
}

/// Reads a document.
pub(super) fn read(value: &Yaml) -> Read<Document> {
    let map = Map::new(value, "")?;
    if map.get("action").is_some() {
        let what = "is of a collection of former times; write whole documents";
        return Err(Problem::new("action", what));
    }
    let meta = meta(&map)?;
    let parts = ["detection", "correlation", "filter"].map(|name| map.get(name).is_some());
    match parts {
        [true, false, false] => {
            let detection = Map::new(map.need("detection")?, "detection")?;
            let logsource = logsource(&map)?;
            Ok(Document::Rule(Box::new(rule(meta, logsource, &detection)?)))
        }
        [false, true, false] => {
            let section = Map::new(map.need("correlation")?, "correlation")?;
            let mut correlation = super::correlation::read(meta, &section)?;
            // The specification has it beside the correlation, and many write it within.
            let generate = map.get("generate").and_then(Yaml::as_bool);
            correlation.generate = generate.unwrap_or(correlation.generate);
            Ok(Document::Correlation(Box::new(correlation)))
        }
        [false, false, true] => Ok(Document::Filter(Box::new(filter(meta, &map)?))),
        [false, false, false] => Err(Problem::new("detection", "is required")),
        _ => {
            let what = "is one of detection, correlation and filter: only one may be there";
            Err(Problem::new("detection", what))
        }
    }
}

fn meta(map: &Map<'_>) -> Read<Meta> {
    let title = map.text("title")?.filter(|title| !title.trim().is_empty());
    let title = title.ok_or_else(|| Problem::new("title", "is required"))?;
    if title.chars().count() > TITLE_CHARS_MAX {
        let what = format!("is longer than {TITLE_CHARS_MAX} characters");
        return Err(Problem::new("title", what));
    }
    let level = map.text("level")?;
    if let Some(level) = &level
        && !["informational", "low", "medium", "high", "critical"].contains(&level.as_str())
    {
        let what = "must be informational, low, medium, high or critical";
        return Err(Problem::new("level", what));
    }
    Ok(Meta {
        title,
        id: map.text("id")?,
        name: map.text("name")?,
        status: map.text("status")?,
        level,
        taxonomy: map.text("taxonomy")?,
        tags: map.texts("tags")?,
        fields: map.texts("fields")?,
        origin: origin(map)?,
    })
}

/// What the record keeps of the source: the author and the licence above all.
fn origin(map: &Map<'_>) -> Read<Json> {
    let mut kept = json!({"format": "sigma"});
    let mut keep = |name: &str, value: Json| {
        if let Some(members) = kept.as_object_mut()
            && value.to_string().len() <= KEPT_BYTES_MAX
        {
            members.insert(name.to_owned(), value);
        }
    };
    for name in [
        "id",
        "name",
        "status",
        "level",
        "description",
        "author",
        "license",
        "date",
        "modified",
    ] {
        if let Some(text) = map.text(name)? {
            keep(name, json!(text));
        }
    }
    for name in ["references", "tags", "falsepositives", "fields", "scope"] {
        let texts = map.texts(name)?;
        if !texts.is_empty() {
            keep(name, json!(texts));
        }
    }
    Ok(kept)
}

fn logsource(map: &Map<'_>) -> Read<LogSource> {
    let section = Map::new(map.need("logsource")?, "logsource")?;
    let part = |name: &str| -> Read<Option<String>> {
        Ok(section.text(name)?.map(|text| text.trim().to_lowercase()))
    };
    let logsource = LogSource {
        product: part("product")?,
        category: part("category")?,
        service: part("service")?,
    };
    if logsource == LogSource::default() {
        let what = "must have a category, a product or a service";
        return Err(Problem::new("logsource", what));
    }
    Ok(logsource)
}

fn rule(meta: Meta, logsource: LogSource, detection: &Map<'_>) -> Read<SigmaRule> {
    let mut detections = Vec::new();
    for member in detection.members() {
        let (name, value) = member?;
        match name.as_str() {
            "condition" => {}
            "timeframe" => {
                let what = "belongs to the correlations of former times, see correlation";
                return Err(Problem::new("detection.timeframe", what));
            }
            _ => detections.push((name, value.clone())),
        }
    }
    let conditions = yaml::items(detection.need("condition")?).iter().map(|one| {
        let text = one.as_str().map(str::to_owned);
        text.ok_or_else(|| Problem::new("detection.condition", "must be text or a list of texts"))
    });
    let conditions = conditions.collect::<Read<Vec<_>>>()?;
    if conditions.is_empty() || detections.is_empty() {
        return Err(Problem::new(
            "detection",
            "has no search identifier or no condition",
        ));
    }
    Ok(SigmaRule {
        meta,
        logsource,
        detections,
        conditions,
    })
}

fn filter(meta: Meta, map: &Map<'_>) -> Read<Filter> {
    let section = Map::new(map.need("filter")?, "filter")?;
    let rules = match section.texts("rules")?.as_slice() {
        [] => return Err(Problem::new("filter.rules", "is required")),
        [any] if any == "any" => Filtered::Any,
        names => Filtered::These(names.to_vec()),
    };
    let mut inner = rule(meta, logsource(map)?, &section)?;
    inner.detections.retain(|(name, _)| name != "rules");
    if inner.detections.is_empty() {
        return Err(Problem::new("filter", "has no search identifier"));
    }
    Ok(Filter { rules, inner })
}

impl LogSource {
    /// Whether every part that is given here is the same there.
    pub(super) fn includes(&self, other: &LogSource) -> bool {
        let fits = |wanted: &Option<String>, has: &Option<String>| {
            wanted.is_none() || wanted.as_deref() == has.as_deref()
        };
        fits(&self.product, &other.product)
            && fits(&self.category, &other.category)
            && fits(&self.service, &other.service)
    }

    /// Its parts, for people.
    pub(super) fn name(&self) -> String {
        let parts = [&self.product, &self.category, &self.service];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.join("/")
    }
}
