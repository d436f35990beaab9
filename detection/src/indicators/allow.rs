//! Allow-lists: what is known to be harmless, in the format of MISP's warning lists. An observable on
//! one matches no indicator, and an indicator on one matches nothing.
//!
//! They are asked only about what has matched, so they cost nothing where nothing does.

use super::parse::kinds_of;
use crate::observables::{Kind, guess};
use aho_corasick::AhoCorasick;
use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use millrace_shared::ids::OrgId;
use regex::{RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use thiserror::Error;

/// Entries of one list: the largest that MISP publishes have a million.
pub const ENTRIES_MAX: usize = 1_000_000;
/// Regular expressions of one list, and the bytes that they may take when compiled.
const REGEXES_MAX: usize = 500;
const REGEX_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Texts that are looked for inside values, of one list.
const SUBSTRINGS_MAX: usize = 50_000;
/// Characters of an entry that a message shows.
const SHOWN_CHARS: usize = 60;

/// How the entries of a list are compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// An address or a network lies within one.
    Cidr,
    /// A name is one, or below one; of a URL and an e-mail address, the host.
    Hostname,
    /// The value is one.
    String,
    /// The value holds one.
    Substring,
    /// The value is matched by one.
    Regex,
}

impl Matching {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Matching::Cidr => "cidr",
            Matching::Hostname => "hostname",
            Matching::String => "string",
            Matching::Substring => "substring",
            Matching::Regex => "regex",
        }
    }
}

/// A list as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AllowList {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What is on it.
    #[serde(default)]
    pub description: String,
    /// How its entries are compared.
    #[serde(rename = "type")]
    pub matching: Matching,
    /// The entries.
    pub list: Vec<String>,
    /// The types of attributes (as MISP names them) that it is for; for all where there are none.
    #[serde(default)]
    pub matching_attributes: Vec<String>,
}

/// What is wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadList {
    /// It is no JSON.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// It is JSON of another shape.
    #[error("it is no warning list: {0}")]
    Shape(String),
    /// Nothing is on it.
    #[error("there is no entry on it")]
    Empty,
    /// Too much is on it.
    #[error("more than {0} entries are on it")]
    TooLong(usize),
    /// An entry cannot be used.
    #[error("entry {number} ({text:?}) {what}")]
    Entry {
        /// Which, from 1.
        number: usize,
        /// What it begins with.
        text: String,
        /// What is wrong with it.
        what: String,
    },
    /// All entries together cannot be used.
    #[error("its entries cannot be compiled: {0}")]
    Compile(String),
}

impl AllowList {
    /// Reads a warning list.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_json(text: &str) -> Result<AllowList, BadList> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        serde_json::from_str(text).map_err(|error| match error.is_data() {
            true => BadList::Shape(error.to_string()),
            false => BadList::NotJson(error.to_string()),
        })
    }

    /// Makes it fit to be asked.
    ///
    /// # Errors
    /// When an entry cannot be used, with its number.
    pub fn compile(&self) -> Result<Allow, BadList> {
        let entries = || {
            let all = self.list.iter().map(|entry| entry.trim()).enumerate();
            all.filter(|(_, entry)| !entry.is_empty())
        };
        let most = match self.matching {
            Matching::Cidr | Matching::Hostname | Matching::String => ENTRIES_MAX,
            Matching::Substring => SUBSTRINGS_MAX,
            Matching::Regex => REGEXES_MAX,
        };
        match entries().count() {
            0 => return Err(BadList::Empty),
            count if count > most => return Err(BadList::TooLong(most)),
            _ => {}
        }
        let compiled = |error: &dyn std::fmt::Display| BadList::Compile(error.to_string());
        let entries = entries();
        let test = match self.matching {
            Matching::Cidr => Test::Networks(Ranges::new(entries)?),
            Matching::Hostname => Test::Names(entries.map(|(_, name)| bare_name(name)).collect()),
            Matching::String => {
                Test::Values(entries.flat_map(|(_, text)| spellings(text)).collect())
            }
            Matching::Substring => {
                let mut builder = AhoCorasick::builder();
                let built = builder
                    .ascii_case_insensitive(true)
                    .build(entries.map(|(_, text)| text));
                Test::Parts(Box::new(built.map_err(|error| compiled(&error))?))
            }
            Matching::Regex => Test::Regexes(regexes(entries)?),
        };
        let given = self.matching_attributes.iter();
        let kinds = given
            .flat_map(|name| kinds_of(name))
            .fold(0, |bits, kind| bits | bit(*kind));
        Ok(Allow {
            kinds: match self.matching_attributes.is_empty() {
                true => u16::MAX,
                false => kinds,
            },
            test,
        })
    }
}

const fn bit(kind: Kind) -> u16 {
    1 << kind as u16
}

fn bad((number, text): (usize, &str), what: impl Into<String>) -> BadList {
    BadList::Entry {
        number: number + 1,
        text: text.chars().take(SHOWN_CHARS).collect(),
        what: what.into(),
    }
}

fn bare_name(name: &str) -> Box<str> {
    let name = name.to_lowercase();
    let name = name.strip_prefix("*.").unwrap_or(&name);
    name.trim_matches('.').into()
}

/// An entry as it stands there, and as values are spelled here.
fn spellings(text: &str) -> impl Iterator<Item = Box<str>> {
    let canonical = guess(text).map(|(_, value)| value);
    [Some(text.to_lowercase()), canonical]
        .into_iter()
        .flatten()
        .map(String::into_boxed_str)
}

/// Expressions as they stand, or between slashes with flags behind.
fn regexes<'e>(entries: impl Iterator<Item = (usize, &'e str)>) -> Result<RegexSet, BadList> {
    let mut written = Vec::new();
    for (number, text) in entries {
        let inside = text
            .strip_prefix('/')
            .and_then(|rest| rest.rsplit_once('/'));
        let (expression, flags) = inside.unwrap_or((text, ""));
        if !flags.chars().all(|flag| "imsux".contains(flag)) {
            return Err(bad(
                (number, text),
                format!("has the unknown flags `{flags}`"),
            ));
        }
        let flags: String = flags
            .chars()
            .filter(|flag| "imsx".contains(*flag))
            .collect();
        let expression = match flags.is_empty() {
            true => expression.to_owned(),
            false => format!("(?{flags}:{expression})"),
        };
        if let Err(error) = regex_syntax::Parser::new().parse(&expression) {
            return Err(bad(
                (number, text),
                format!(
                    "is no regular expression: {}",
                    first_line(&error.to_string())
                ),
            ));
        }
        written.push(expression);
    }
    let mut builder = RegexSetBuilder::new(&written);
    let built = builder.size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|error| BadList::Compile(error.to_string()))
}

/// What went wrong stands on the last line of what the parser says; the others show where.
fn first_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default().trim()
}

/// Networks without gaps or overlaps, as first and last address.
#[derive(Clone, Debug, Default)]
struct Ranges {
    v4: Vec<(u128, u128)>,
    v6: Vec<(u128, u128)>,
}

impl Ranges {
    fn new<'e>(entries: impl Iterator<Item = (usize, &'e str)>) -> Result<Self, BadList> {
        let mut ranges = Ranges::default();
        for (number, text) in entries {
            let network = network(text);
            match network.ok_or_else(|| bad((number, text), "is no address and no network"))? {
                IpNet::V4(_) => ranges.v4.extend(network.map(ends)),
                IpNet::V6(_) => ranges.v6.extend(network.map(ends)),
            }
        }
        for list in [&mut ranges.v4, &mut ranges.v6] {
            list.sort_unstable();
            list.dedup_by(|next, before| {
                let touches = next.0 <= before.1.saturating_add(1);
                if touches {
                    before.1 = before.1.max(next.1);
                }
                touches
            });
        }
        Ok(ranges)
    }

    fn hold(&self, network: IpNet) -> bool {
        let list = match network {
            IpNet::V4(_) => &self.v4,
            IpNet::V6(_) => &self.v6,
        };
        let (first, last) = ends(network);
        let after = list.partition_point(|range| range.0 <= first);
        let range = after.checked_sub(1).and_then(|at| list.get(at));
        range.is_some_and(|range| last <= range.1)
    }
}

fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(network) => Some(network.trunc()),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

fn ends(network: IpNet) -> (u128, u128) {
    match network {
        IpNet::V4(v4) => (
            u32::from(v4.network()).into(),
            u32::from(v4.broadcast()).into(),
        ),
        IpNet::V6(v6) => (v6.network().into(), v6.broadcast().into()),
    }
}

#[derive(Clone, Debug)]
enum Test {
    Networks(Ranges),
    Names(HashSet<Box<str>>),
    Values(HashSet<Box<str>>),
    Parts(Box<AhoCorasick>),
    Regexes(RegexSet),
}

/// A list that can be asked.
#[derive(Clone, Debug)]
pub struct Allow {
    kinds: u16,
    test: Test,
}

impl Allow {
    /// Whether a canonical value of that kind is on the list.
    #[must_use]
    pub fn holds(&self, kind: Kind, value: &str) -> bool {
        if self.kinds & bit(kind) == 0 {
            return false;
        }
        match &self.test {
            Test::Networks(ranges) => {
                let text = if kind == Kind::Url {
                    host(value)
                } else {
                    value
                };
                network(text).is_some_and(|network| ranges.hold(network))
            }
            Test::Names(names) => {
                let name = if kind == Kind::Url {
                    host(value)
                } else {
                    value
                };
                let name = name.rsplit('@').next().unwrap_or_default();
                suffixes(name).any(|suffix| names.contains(suffix))
            }
            Test::Values(values) => {
                values.contains(value) || values.contains(value.to_lowercase().as_str())
            }
            Test::Parts(parts) => parts.is_match(value),
            Test::Regexes(set) => set.is_match(value),
        }
    }
}

/// The name, and what is left of it behind each dot.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let suffix = rest?;
        rest = suffix.split_once('.').map(|(_, rest)| rest);
        Some(suffix)
    })
}

/// The host of a canonical URL, without user, port and brackets.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// All lists of all organisations at one moment.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    everybodys: Vec<Arc<Allow>>,
    of_orgs: HashMap<OrgId, Vec<Arc<Allow>>>,
}

impl Allowed {
    /// Of lists, each of an organisation or of everybody.
    pub fn new(lists: impl IntoIterator<Item = (Option<OrgId>, Arc<Allow>)>) -> Self {
        let mut allowed = Allowed::default();
        for (org, list) in lists {
            match org {
                Some(org) => allowed.of_orgs.entry(org).or_default().push(list),
                None => allowed.everybodys.push(list),
            }
        }
        allowed
    }

    /// Whether a value is on a list that counts for the organisation.
    #[must_use]
    pub fn holds(&self, org: OrgId, kind: Kind, value: &str) -> bool {
        let own = self.of_orgs.get(&org).into_iter().flatten();
        let mut lists = self.everybodys.iter().chain(own);
        lists.any(|list| list.holds(kind, value))
    }
}
