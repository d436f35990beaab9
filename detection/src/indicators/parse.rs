//! Feeds as text: CSV with named columns, and plain lists of one value a line.

use super::{Feed, Indicator};
use crate::observables::{Kind, canonical, guess};
use millrace_shared::time::parse_timestamp;
use millrace_shared::wire::Severity;
use std::sync::Arc;
use thiserror::Error;

/// What is wrong with a line of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct LineError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// A feed that was read: what is good in it, and what is not.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The indicators of the good lines.
    pub indicators: Vec<Indicator>,
    /// The bad lines.
    pub errors: Vec<LineError>,
}

impl Parsed {
    fn refuse(&mut self, line: u64, what: impl Into<String>) {
        self.errors.push(LineError {
            line,
            what: what.into(),
        });
    }
}

/// Reads a plain list: one value a line, `#` or `;` begin a comment, defanged forms are accepted.
#[must_use]
pub fn plain(text: &str, feed: &Arc<Feed>) -> Parsed {
    let mut parsed = Parsed::default();
    for (line, text) in (1..).zip(text.lines()) {
        let comment = text.starts_with(['#', ';']);
        let value = text
            .split_once(" #")
            .map_or(text, |(value, _)| value)
            .trim();
        if comment || value.is_empty() {
            continue;
        }
        match guess(value) {
            Some((kind, value)) => {
                parsed
                    .indicators
                    .push(Indicator::new(kind, value, Arc::clone(feed)));
            }
            None => parsed.refuse(
                line,
                format!("{:?} is no indicator of a known type", short(value)),
            ),
        }
    }
    parsed
}

/// The columns of a CSV feed, with the names under which feeds have them.
const COLUMNS: [(Column, &[&str]); 11] = [
    (
        Column::Value,
        &[
            "value",
            "indicator",
            "ioc",
            "ioc_value",
            "observable",
            "dst_ip",
            "ip",
            "ip_address",
            "domain",
            "url",
            "hash",
            "sha256_hash",
            "sha256",
            "md5",
        ],
    ),
    (
        Column::Kind,
        &["type", "kind", "ioc_type", "indicator_type"],
    ),
    (
        Column::Confidence,
        &["confidence", "confidence_level", "score"],
    ),
    (Column::Severity, &["severity", "level", "threat_level"]),
    (
        Column::Threat,
        &[
            "threat",
            "threat_name",
            "malware",
            "malware_printable",
            "description",
            "signature",
            "family",
        ],
    ),
    (Column::Tags, &["tags", "tag", "labels"]),
    (
        Column::FirstSeen,
        &[
            "first_seen",
            "first_seen_utc",
            "dateadded",
            "date_added",
            "created",
            "firstseen",
        ],
    ),
    (
        Column::LastSeen,
        &[
            "last_seen",
            "last_seen_utc",
            "last_online",
            "updated",
            "lastseen",
        ],
    ),
    (
        Column::ExpiresAt,
        &[
            "expires_at",
            "expires",
            "expiry",
            "expiration",
            "valid_until",
        ],
    ),
    (Column::MatchPrivate, &["match_private", "allow_private"]),
    (
        Column::Ignored,
        &[
            "id",
            "feed",
            "source",
            "reporter",
            "reference",
            "comment",
            "first_seen_by",
            "port",
            "status",
        ],
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Value,
    Kind,
    Confidence,
    Severity,
    Threat,
    Tags,
    FirstSeen,
    LastSeen,
    ExpiresAt,
    MatchPrivate,
    Ignored,
}

/// Reads CSV whose first line (but for `#` comments) names the columns; `value` is needed, the
/// others may be missing, unknown ones are ignored. A header behind a `#` is found too.
#[must_use]
pub fn csv(text: &str, feed: &Arc<Feed>) -> Parsed {
    let mut parsed = Parsed::default();
    let Some((columns, header_line, body)) = header(text) else {
        parsed.refuse(1, "no header line with a column \"value\"");
        return parsed;
    };
    let mut reader = ::csv::ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true).comment(Some(b'#'));
    let mut reader = reader.trim(::csv::Trim::All).from_reader(body.as_bytes());
    let mut record = ::csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return parsed,
            Err(error) => {
                let line = error.position().map_or(0, ::csv::Position::line);
                parsed.refuse(header_line + line, error.to_string());
                continue;
            }
        }
        let line = header_line + record.position().map_or(0, ::csv::Position::line);
        let row = Row {
            columns: &columns,
            record: &record,
        };
        match row.indicator(feed) {
            Ok(indicator) => parsed.indicators.push(indicator),
            Err(what) => parsed.refuse(line, what),
        }
    }
}

/// The columns, the line they stand on, and the text after it.
fn header(text: &str) -> Option<(Vec<Column>, u64, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rest = text;
    let mut number = 0;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        number += 1;
        let names = line.trim_start_matches(['#', ' ']).trim_end();
        let columns: Vec<Column> = names.split(',').map(column).collect();
        // A comment such as "# the url of this list" has words, but not two columns.
        let is_comment = line.trim_start().starts_with('#');
        if columns.contains(&Column::Value) && (!is_comment || columns.len() > 1) {
            return Some((columns, number, rest));
        }
        if !is_comment && !line.trim().is_empty() {
            return None;
        }
    }
    None
}

fn column(name: &str) -> Column {
    let name = name
        .trim()
        .trim_matches('"')
        .trim()
        .to_ascii_lowercase()
        .replace([' ', '-'], "_");
    let known = COLUMNS
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()));
    known.map_or(Column::Ignored, |(column, _)| *column)
}

struct Row<'r> {
    columns: &'r [Column],
    record: &'r ::csv::StringRecord,
}

impl Row<'_> {
    fn get(&self, column: Column) -> Option<&str> {
        let mut cells = self.columns.iter().zip(self.record);
        let (_, cell) = cells.find(|(other, _)| **other == column)?;
        (!cell.is_empty()).then_some(cell)
    }

    fn indicator(&self, feed: &Arc<Feed>) -> Result<Indicator, String> {
        let value = self.get(Column::Value).ok_or("no value")?;
        let (kind, value) = match self.get(Column::Kind).map(|kind| (kind, Kind::parse(kind))) {
            Some((_, Some(kind))) => canonical(kind, value)
                .ok_or_else(|| format!("{:?} is no {}", short(value), kind.as_str()))?,
            // Feeds have type names of their own (`ip:port`, `payload`): the value tells.
            Some((_, None)) | None => guess(value)
                .ok_or_else(|| format!("{:?} is no indicator of a known type", short(value)))?,
        };
        let mut indicator = Indicator::new(kind, value, Arc::clone(feed));
        if let Some(confidence) = self.get(Column::Confidence) {
            indicator.confidence = parse_confidence(confidence)?;
        }
        if let Some(severity) = self.get(Column::Severity) {
            indicator.severity = Severity::parse(severity)
                .ok_or_else(|| format!("unknown severity {:?}", short(severity)))?;
        }
        indicator.threat = self.get(Column::Threat).unwrap_or_default().to_owned();
        let tags = self
            .get(Column::Tags)
            .unwrap_or_default()
            .split([',', ';', '|']);
        indicator.tags = tags
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .map(Into::into)
            .collect();
        indicator.first_seen = self.time(Column::FirstSeen)?;
        indicator.last_seen = self.time(Column::LastSeen)?.or(indicator.first_seen);
        indicator.expires_at = self.time(Column::ExpiresAt)?;
        indicator.match_private = matches!(
            self.get(Column::MatchPrivate)
                .map(str::to_ascii_lowercase)
                .as_deref(),
            Some("true" | "1" | "yes")
        );
        Ok(indicator)
    }

    fn time(&self, column: Column) -> Result<Option<i64>, String> {
        let Some(text) = self.get(column) else {
            return Ok(None);
        };
        read_time(text)
            .map(Some)
            .ok_or_else(|| format!("unreadable time {:?}", short(text)))
    }
}

fn parse_confidence(text: &str) -> Result<u8, String> {
    let known = match text.to_ascii_lowercase().as_str() {
        "low" => Some(30),
        "medium" => Some(60),
        "high" => Some(90),
        number => number
            .trim_end_matches('%')
            .parse()
            .ok()
            .filter(|number| *number <= 100),
    };
    known.ok_or_else(|| format!("confidence {:?} is not 0 to 100", short(text)))
}

/// ISO 8601, also as feeds write it: a blank for the `T`, no zone (UTC), the date alone.
fn read_time(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches(" UTC");
    let spelled = text.replacen(' ', "T", 1);
    let date_only = format!("{spelled}T00:00:00Z");
    let zoned = format!("{spelled}Z");
    [&spelled, &zoned, &date_only]
        .into_iter()
        .find_map(|text| parse_timestamp(text))
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}
