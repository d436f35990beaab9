//! Which format a text is in, told by its content, or read as the one that it is said to be.

use super::{Parsed, csv, hosts, misp, plain, stix, table, without_mark};
use crate::indicators::Feed;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;
use uuid::Uuid;

macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// How a feed is written down.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format { $($(#[$doc])* $name,)* }

        impl Format {
            /// All of them.
            pub const ALL: &'static [Format] = &[$(Format::$name,)*];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Format::$name => $word,)* }
            }
        }
    };
}

formats! {
    /// CSV whose header names the columns.
    Csv = "csv",
    /// One value a line.
    Plain = "plain",
    /// A hosts file.
    Hosts = "hosts",
    /// A bundle of STIX 2.1 (or 2.0).
    Stix = "stix",
    /// Events or attributes of MISP.
    Misp = "misp",
    /// The manifest of a MISP feed, which names events that lie beside it.
    MispFeed = "misp-feed",
    /// A warning list of MISP: an allow-list.
    WarningList = "misp-warninglist",
}

impl Format {
    /// Reads the word for one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Format> {
        Format::ALL.iter().copied().find(|one| one.as_str() == word)
    }

    /// The format of a text, by its content.
    ///
    /// # Errors
    /// Why it is none of them.
    pub fn detect(text: &str) -> Result<Format, Unread> {
        let text = without_mark(text);
        let begin = text.trim_start();
        if begin.starts_with(['{', '[']) {
            return of_json(begin);
        }
        if table::has_header(text) {
            return Ok(Format::Csv);
        }
        let first = text.lines().find_map(super::plain::without_comment);
        let first = first.ok_or(Unread::Empty)?;
        let mut words = first.split_ascii_whitespace();
        let sink = words.next().is_some_and(super::plain::is_sink);
        match (sink && words.next().is_some(), first.starts_with('"')) {
            (true, _) => Ok(Format::Hosts),
            (false, true) => Err(Unread::Header),
            (false, false) => Ok(Format::Plain),
        }
    }
}

/// Why a text is not read as a feed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unread {
    /// There is nothing in it.
    #[error("there is nothing in it")]
    Empty,
    /// It looks like CSV, and no line names columns.
    #[error("no header names a column of values (`value`, `indicator`, `ioc`, …)")]
    Header,
    /// It begins like JSON.
    #[error("it begins like JSON and is none: {0}")]
    Json(String),
    /// It is JSON of another kind.
    #[error(
        "it is JSON, and no STIX bundle, no event, attributes or manifest of MISP and no warning list"
    )]
    OtherJson,
    /// It is an allow-list.
    #[error("it is a warning list: what stands on it is harmless; make it an allow-list")]
    WarningList,
    /// It names events that are not in it.
    #[error(
        "it is the manifest of a MISP feed, whose events lie beside it; give its address, or the events"
    )]
    Manifest,
}

fn of_json(text: &str) -> Result<Format, Unread> {
    let broken = |error: serde_json::Error| Unread::Json(error.to_string());
    if text.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
        let first = items.first().ok_or(Unread::Empty)?;
        return members(first.get()).and_then(|members| {
            let has = |name: &str| members.contains_key(name);
            match (has("Event"), has("to_ids"), has("type") && has("id")) {
                (true, _, _) | (_, true, _) => Ok(Format::Misp),
                (false, false, true) => Ok(Format::Stix),
                (false, false, false) => Err(Unread::OtherJson),
            }
        });
    }
    let members: Members<'_> = serde_json::from_str(text).map_err(broken)?;
    let has = |name: &str| members.contains_key(name);
    if has("objects") {
        return Ok(Format::Stix);
    }
    if has("Event") || has("response") || has("Attribute") {
        return Ok(Format::Misp);
    }
    if has("list") && has("type") {
        return Ok(Format::WarningList);
    }
    if !members.is_empty() && members.keys().all(|key| Uuid::try_parse(key).is_ok()) {
        return Ok(Format::MispFeed);
    }
    Err(Unread::OtherJson)
}

type Members<'t> = BTreeMap<String, &'t RawValue>;

fn members(text: &str) -> Result<Members<'_>, Unread> {
    serde_json::from_str(text).map_err(|_| Unread::OtherJson)
}

/// Reads a feed: in the format given, or else in the one that its content tells.
///
/// # Errors
/// When the text as a whole cannot be read; of a single line or object, [`Parsed`] tells.
pub fn read(
    text: &str,
    format: Option<Format>,
    feed: &Arc<Feed>,
) -> Result<(Format, Parsed), Unread> {
    let format = match format {
        Some(format) => format,
        None => Format::detect(text)?,
    };
    let parsed = match format {
        Format::Csv if !table::has_header(without_mark(text)) => return Err(Unread::Header),
        Format::Csv => csv(text, feed),
        Format::Plain => plain(text, feed),
        Format::Hosts => hosts(text, feed),
        Format::Stix => stix(text, feed)?,
        Format::Misp => misp(text, feed)?,
        Format::MispFeed => return Err(Unread::Manifest),
        Format::WarningList => return Err(Unread::WarningList),
    };
    Ok((format, parsed))
}
