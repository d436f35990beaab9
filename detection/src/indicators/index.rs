//! The immutable index of all indicators.
//!
//! A word says of nearly all values that are no indicators that they are none, and of the others where they
//! are: in a slot of 32 bytes, where the value's fingerprint and what is known of it stand together;
//! what many indicators have in common (threat, tags, feed, …) is a profile, which they share. Values
//! themselves are not kept: the observable that matched has the text, the control table has the rest.
//! How it is asked: [`super::query`].

use super::build::IndexBuilder;
use super::fingerprint::Seeds;
use super::prefixes::Prefixes;
use super::probes::Depths;
use super::table::Table;
use super::{Feed, Indicator};
use crate::observables::Kind;
use hashbrown::HashMap;
use millrace_shared::ids::OrgId;
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::wire::Severity;

/// Entries that room is made for on somebody's word.
const RESERVED_MAX: usize = 20_000_000;
/// Separates tags in the text they are kept as; feeds do not use it.
pub(super) const TAG_SEPARATOR: char = '\u{1f}';
/// The organisation number of indicators that are valid for all.
pub(super) const EVERYBODY: u32 = 0;

/// What many indicators have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Profile {
    pub(super) threat: u32,
    pub(super) tags: u32,
    pub(super) org: u32,
    pub(super) feed: u16,
    pub(super) confidence: u8,
    pub(super) bits: ProfileBits,
}

const _: () = assert!(size_of::<Profile>() == 16);

/// Kind in the low four bits, severity in the next three, the private flag on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProfileBits(u8);

const PRIVATE: u8 = 0x80;

impl ProfileBits {
    pub(super) const fn of(indicator: &Indicator) -> Self {
        let private = if indicator.match_private { PRIVATE } else { 0 };
        ProfileBits(indicator.kind as u8 | (indicator.severity as u8) << 4 | private)
    }

    fn kind(self) -> Option<Kind> {
        Kind::ALL.get(usize::from(self.0 & 0xF)).copied()
    }

    fn severity(self) -> Option<Severity> {
        Severity::ALL.get(usize::from(self.0 >> 4 & 7)).copied()
    }

    pub(super) const fn matches_private(self) -> bool {
        self.0 & PRIVATE != 0
    }
}

/// An indicator that matched: which observable of the event, which entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndicatorMatch {
    /// Index of the observable in the list that was matched.
    pub observable: u16,
    pub(super) entry: u32,
}

/// What the index knows of an indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'i> {
    /// Its id in the control table.
    pub id: u64,
    /// What it is.
    pub kind: Kind,
    /// Its feed.
    pub feed: &'i Feed,
    /// Whether it is valid for every organisation.
    pub everybodys: bool,
    /// How sure the feed is, 0–100.
    pub confidence: u8,
    /// How bad it is.
    pub severity: Severity,
    /// Name of the threat, or empty.
    pub threat: &'i str,
    tags: &'i str,
    /// When it was first seen, nanoseconds.
    pub first_seen: Option<i64>,
    /// When it was last seen, nanoseconds.
    pub last_seen: Option<i64>,
    /// When it ceases to match, nanoseconds.
    pub expires_at: Option<i64>,
}

impl<'i> Known<'i> {
    /// Its tags.
    pub fn tags(&self) -> impl Iterator<Item = &'i str> + use<'i> {
        self.tags.split(TAG_SEPARATOR).filter(|tag| !tag.is_empty())
    }
}

/// All indicators of all organisations at one moment.
#[derive(Debug, Default)]
pub struct IndicatorIndex {
    pub(super) count: usize,
    pub(super) seeds: Seeds,
    pub(super) table: Table,
    pub(super) names: Depths,
    pub(super) v4: Prefixes<u32>,
    pub(super) v6: Prefixes<u128>,
    pub(super) profiles: Vec<Profile>,
    pub(super) orgs: HashMap<OrgId, u32>,
    pub(super) feeds: Vec<Feed>,
    pub(super) texts: Vec<Box<str>>,
}

impl IndicatorIndex {
    /// Builds the index. Values must be canonical; a network that cannot be read is left out.
    pub fn build(indicators: impl IntoIterator<Item = Indicator>) -> Self {
        let indicators = indicators.into_iter();
        let (least, most) = indicators.size_hint();
        let mut builder = IndexBuilder::with_capacity(most.unwrap_or(least).min(RESERVED_MAX));
        for indicator in indicators {
            builder.add(&indicator);
        }
        builder.finish()
    }

    /// How many indicators there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of memory held, as far as they grow with the indicators.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts: usize = self
            .texts
            .iter()
            .map(|text| text.len() + size_of::<Box<str>>())
            .sum();
        self.table.bytes()
            + self.v4.bytes()
            + self.v6.bytes()
            + self.profiles.capacity() * size_of::<Profile>()
            + texts
    }

    /// What is known of a match.
    #[must_use]
    pub fn known(&self, found: IndicatorMatch) -> Option<Known<'_>> {
        let entry = self.table.get(found.entry)?;
        let profile = self.profiles.get(entry.profile as usize)?;
        let text = |number: u32| self.texts.get(number as usize).map_or("", |text| text);
        Some(Known {
            id: entry.id,
            kind: profile.bits.kind()?,
            feed: self.feeds.get(usize::from(profile.feed))?,
            everybodys: profile.org == EVERYBODY,
            confidence: profile.confidence,
            severity: profile.bits.severity()?,
            threat: text(profile.threat),
            tags: text(profile.tags),
            first_seen: nanoseconds(entry.first_seen),
            last_seen: nanoseconds(entry.last_seen),
            expires_at: nanoseconds(entry.expires_at),
        })
    }
}

/// Whole seconds; 0 and below mean never.
pub(super) fn seconds(ns: i64) -> u32 {
    u32::try_from((ns / NS_PER_SECOND).max(0)).unwrap_or(u32::MAX)
}

fn nanoseconds(seconds: u32) -> Option<i64> {
    (seconds != 0).then(|| i64::from(seconds) * NS_PER_SECOND)
}
