//! CSV with named columns, as feeds publish it: abuse.ch's (URLhaus, ThreatFox, MalwareBazaar, Feodo
//! Tracker, SSLBL), whose header stands in a comment, and others.

use super::record::Records;
use super::{
    Parsed, Place, read_time, said, short, tags, threat_name, unknown, value, without_mark,
};
use crate::indicators::{Feed, Indicator};
use crate::observables::{Kind, canonical};
use millrace_shared::wire::Severity;
use std::borrow::Cow;
use std::sync::Arc;

/// The columns of a CSV feed, with the names under which feeds have them.
const COLUMNS: [(Column, &[&str]); 11] = [
    (
        Column::Value,
        &["value", "indicator", "ioc", "ioc_value", "observable"],
    ),
    (
        Column::Named,
        &[
            "dst_ip",
            "src_ip",
            "ip",
            "ip_address",
            "domain",
            "hostname",
            "url",
            "hash",
            "sha256_hash",
            "sha256",
            "sha1_hash",
            "sha1",
            "md5_hash",
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
            "listingreason",
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
            "listingdate",
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
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    /// A value, of the kind that the row names or of any.
    Value,
    /// A value of the kind that the column is called by; a row may have several.
    Named,
    Kind,
    Confidence,
    Severity,
    Threat,
    Tags,
    FirstSeen,
    LastSeen,
    ExpiresAt,
    MatchPrivate,
    /// One that says nothing of use here, or that nobody knows.
    Other,
}

impl Column {
    const fn holds_values(self) -> bool {
        matches!(self, Column::Value | Column::Named)
    }
}

/// Reads CSV whose first line (but for `#` comments) names the columns; one of values is needed, the
/// others may be missing, unknown ones are ignored. A header behind a `#` is found too. A row with
/// several values (digests of one file) becomes as many indicators.
#[must_use]
pub fn csv(text: &str, feed: &Arc<Feed>) -> Parsed {
    let mut parsed = Parsed::default();
    let Some((columns, header_line, body)) = header(text) else {
        parsed.refuse(Place::Line(1), "no header line with a column \"value\"");
        return parsed;
    };
    for (line, cells) in Records::new(body, header_line) {
        let cells = match cells {
            Ok(cells) => cells,
            Err(what) => {
                parsed.refuse(Place::Line(line), what);
                continue;
            }
        };
        let row = Row {
            columns: &columns,
            cells: &cells,
        };
        match row.indicators(feed, &mut parsed.indicators) {
            Ok(()) => {}
            Err(what) => parsed.refuse(Place::Line(line), what),
        }
    }
    parsed
}

/// Whether a header is found.
pub(super) fn has_header(text: &str) -> bool {
    header(text).is_some()
}

/// The columns, the line they stand on, and the text after it.
fn header(text: &str) -> Option<(Vec<Column>, u64, &str)> {
    let mut rest = without_mark(text);
    let mut number = 0;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        number += 1;
        let names = line.trim_start_matches(['#', ' ']).trim_end();
        let columns: Vec<Column> = names.split(',').map(column).collect();
        // A comment such as "# the url of this list" has words, but not two columns.
        let is_comment = line.trim_start().starts_with('#');
        let has_values = columns.iter().any(|column| column.holds_values());
        if has_values && (!is_comment || columns.len() > 1) {
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
    known.map_or(Column::Other, |(column, _)| *column)
}

struct Row<'r> {
    columns: &'r [Column],
    cells: &'r [Cow<'r, str>],
}

impl Row<'_> {
    /// The cells that say something, with their columns.
    fn said(&self) -> impl Iterator<Item = (Column, &str)> {
        let cells = self.columns.iter().zip(self.cells);
        cells.filter_map(|(column, cell)| Some((*column, said(cell)?)))
    }

    fn get(&self, column: Column) -> Option<&str> {
        let mut said = self.said();
        said.find_map(|(other, cell)| (other == column).then_some(cell))
    }

    fn indicators(&self, feed: &Arc<Feed>, to: &mut Vec<Indicator>) -> Result<(), String> {
        let mut values = self.said().filter(|(column, _)| column.holds_values());
        let (column, first) = values.next().ok_or("no value")?;
        let about = self.about(self.value(column, first)?, feed)?;
        let before = to.len();
        to.push(about.clone());
        for (column, other) in values {
            match self.value(column, other) {
                Ok((kind, value)) => to.push(Indicator {
                    kind,
                    value,
                    ..about.clone()
                }),
                Err(what) => {
                    to.truncate(before);
                    return Err(what);
                }
            }
        }
        Ok(())
    }

    fn value(&self, column: Column, text: &str) -> Result<(Kind, String), String> {
        let named = self.get(Column::Kind).filter(|_| column == Column::Value);
        match named.and_then(Kind::parse) {
            Some(kind) => {
                let no = || format!("{:?} is no {}", short(text), kind.as_str());
                canonical(kind, text).ok_or_else(no)
            }
            // Feeds have type names of their own (`ip:port`, `payload`): the value tells.
            None => value(text).ok_or_else(|| unknown(text)),
        }
    }

    fn about(&self, (kind, value): (Kind, String), feed: &Arc<Feed>) -> Result<Indicator, String> {
        let mut indicator = Indicator::new(kind, value, Arc::clone(feed));
        if let Some(confidence) = self.get(Column::Confidence) {
            indicator.confidence = parse_confidence(confidence)?;
        }
        if let Some(severity) = self.get(Column::Severity) {
            indicator.severity = Severity::parse(severity)
                .ok_or_else(|| format!("unknown severity {:?}", short(severity)))?;
        }
        indicator.threat = threat_name(self.get(Column::Threat).unwrap_or_default());
        let given = self.get(Column::Tags).unwrap_or_default();
        indicator.tags = tags(given.split([',', ';', '|']));
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
