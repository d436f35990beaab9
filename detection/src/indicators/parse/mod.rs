//! Feeds as text, in the formats in which they are published, to indicators.
//!
//! ```text
//! format   which of them a text is
//! plain    one value a line, and hosts files
//! record   CSV to records       table    records to indicators, by the names of the columns
//! stix     bundles              pattern  what a STIX pattern says, as values
//! misp     events and manifests of feeds
//! ```
//!
//! A line or an object that cannot be used is refused with its place and the reason, and the rest is
//! read all the same. Nothing here reads a file, asks anybody, or keeps more than it was given.

mod format;
mod plain;
mod record;
mod table;
mod pattern;
mod stix;
mod misp;

pub use format::{Format, Unread, read};
pub(super) use misp::kinds_of;
pub use misp::{ManifestEvent, manifest, misp};
pub use plain::{hosts, plain};
pub use stix::stix;
pub use table::csv;

use super::{Feed, Indicator};
use crate::observables::{Kind, guess};
use millrace_shared::time::parse_timestamp;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// Errors and notes that are kept, each: whoever has more of them needs another file, not a longer
/// list. All are counted.
pub const TOLD_MAX: usize = 1_000;
/// Tags of one indicator; feeds have a handful.
const TAGS_MAX: usize = 32;
/// Characters of a tag, and of the name of a threat.
const TAG_CHARS_MAX: usize = 200;
const THREAT_CHARS_MAX: usize = 200;
/// Characters of a value that a message shows.
const SHOWN_CHARS: usize = 60;
/// What feeds write where they have nothing to say.
const NOTHING: [&str; 5] = ["", "n/a", "none", "null", "-"];

/// Where in a feed something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line, from 1.
    Line(u64),
    /// An object: its id, or its place in a list.
    Object(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Object(id) => f.write_str(id),
        }
    }
}

/// A line or an object of a feed, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{at}: {what}")]
pub struct Told {
    /// Where.
    pub at: Place,
    /// What.
    pub what: String,
}

/// A feed that was read: what is good in it, and what is not.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The indicators that were found.
    pub indicators: Vec<Indicator>,
    /// The first [`TOLD_MAX`] lines and objects that cannot be used.
    pub errors: Vec<Told>,
    /// How many cannot be used.
    pub refused: u64,
    /// The first [`TOLD_MAX`] that are used otherwise than they say, and how.
    pub notes: Vec<Told>,
    /// How many objects are no indicators, or no longer: remarks, reports, revoked ones.
    pub left_out: u64,
}

impl Parsed {
    fn refuse(&mut self, at: Place, what: impl Into<String>) {
        self.refused += 1;
        if self.errors.len() < TOLD_MAX {
            let what = what.into();
            self.errors.push(Told { at, what });
        }
    }

    fn note(&mut self, at: Place, what: impl Into<String>) {
        if self.notes.len() < TOLD_MAX {
            let what = what.into();
            self.notes.push(Told { at, what });
        }
    }

    /// Adds what another part of the same feed holds.
    pub fn append(&mut self, mut other: Parsed) {
        self.indicators.append(&mut other.indicators);
        self.errors.append(&mut other.errors);
        self.errors.truncate(TOLD_MAX);
        self.notes.append(&mut other.notes);
        self.notes.truncate(TOLD_MAX);
        self.refused += other.refused;
        self.left_out += other.left_out;
    }

    fn push(&mut self, kind: Kind, value: String, feed: &Arc<Feed>) {
        let indicator = Indicator::new(kind, value, Arc::clone(feed));
        self.indicators.push(indicator);
    }
}

/// A text without the mark that some editors begin files with.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// What a cell or a member says, if it says something.
fn said(text: &str) -> Option<&str> {
    let text = text.trim();
    let nothing = NOTHING.iter().any(|word| text.eq_ignore_ascii_case(word));
    (!nothing).then_some(text)
}

/// What a value is; of an address or a name with a port, the address or the name.
fn value(text: &str) -> Option<(Kind, String)> {
    guess(text).or_else(|| guess(without_port(text)?))
}

fn without_port(text: &str) -> Option<&str> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let is_port = port.parse::<u16>().is_ok();
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']'),
        None => Some(host).filter(|host| !host.contains(':')),
    };
    bare.filter(|_| is_port)
}

fn unknown(text: &str) -> String {
    format!("{:?} is no indicator of a known type", short(text))
}

/// ISO 8601, also as feeds write it: a blank for the `T`, no zone (UTC), the date alone; or seconds
/// since 1970.
fn read_time(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches(" UTC");
    let spelled = text.replacen(' ', "T", 1);
    let date_only = format!("{spelled}T00:00:00Z");
    let zoned = format!("{spelled}Z");
    [&spelled, &zoned, &date_only]
        .into_iter()
        .find_map(|text| parse_timestamp(text))
}

fn threat_name(text: &str) -> String {
    text.trim().chars().take(THREAT_CHARS_MAX).collect()
}

/// The tags that are kept of those given: each once, in their order.
fn tags<'t>(given: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in given.filter_map(said) {
        let tag: String = tag.chars().take(TAG_CHARS_MAX).collect();
        if tags.len() < TAGS_MAX && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

fn short(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}
