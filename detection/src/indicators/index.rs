//! The immutable index of all indicators.
//!
//! A small filter turns away nearly all values that are no indicators. Behind it are one entry of
//! 56 bytes per indicator, sorted by a 128-bit fingerprint of kind and value, and an open-addressed
//! table of 8-byte slots that points at the first entry of each value. Values themselves are not
//! kept: the observable that matched has the text, the control table has the rest.

use super::allow::Allowed;
use super::filter::Filter;
use super::prefixes::{Network, Prefixes};
use super::probes::{Probe, Probes, position, tag};
use super::{Feed, Indicator};
use crate::observables::{Kind, Observable, is_special};
use hashbrown::HashMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use millrace_shared::ids::OrgId;
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::wire::Severity;

/// Indicators of one value that are reported; more feeds than this agree on nothing new.
const MATCHES_PER_VALUE_MAX: usize = 16;
/// Entries that room is made for on somebody's word.
const RESERVED_MAX: usize = 20_000_000;
/// Separates tags in the text they are kept as; feeds do not use it.
const TAG_SEPARATOR: char = '\u{1f}';
/// The organisation number of indicators that are valid for all.
const EVERYBODY: u32 = 0;
/// The organisation number of those who have no indicators of their own.
const NOBODY: u32 = u32::MAX;

/// 128 bits of kind and value. The chance that any of 10⁷ indicators shares its fingerprint with
/// a given other value is 10⁷ / 2¹²⁸.
type Fingerprint = [u64; 2];

#[derive(Clone, Copy, Debug)]
struct Entry {
    fingerprint: Fingerprint,
    id: u64,
    first_seen: u32,
    last_seen: u32,
    expires_at: u32,
    threat: u32,
    tags: u32,
    org: u32,
    feed: u16,
    confidence: u8,
    /// Kind in the low four bits, severity in the next three, the private flag on top.
    bits: u8,
}

const _: () = assert!(size_of::<Entry>() == 56);
const PRIVATE: u8 = 0x80;

/// An indicator that matched: which observable of the event, which entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndicatorMatch {
    /// Index of the observable in the list that was matched.
    pub observable: u16,
    entry: u32,
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

/// Who asks, when, and what never matches.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'q> {
    /// For whom.
    pub org: OrgId,
    /// When, nanoseconds.
    pub now_ns: i64,
    /// The allow-lists, if there are some.
    pub allowed: Option<&'q Allowed>,
}

/// All indicators of all organisations at one moment.
#[derive(Debug, Default)]
pub struct IndicatorIndex {
    filter: Filter,
    entries: Vec<Entry>,
    /// Upper half: bits of the fingerprint; lower half: place of the first entry, plus one.
    slots: Vec<u64>,
    v4: Prefixes<u32>,
    v6: Prefixes<u128>,
    orgs: HashMap<OrgId, u32>,
    feeds: Vec<Feed>,
    texts: Vec<Box<str>>,
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
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory held, as far as they grow with the indicators.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts: usize = self
            .texts
            .iter()
            .map(|text| text.len() + size_of::<Box<str>>())
            .sum();
        self.entries.capacity() * size_of::<Entry>()
            + self.filter.bytes()
            + self.slots.capacity() * size_of::<u64>()
            + self.v4.bytes()
            + self.v6.bytes()
            + texts
    }

    /// Adds to `matches` the indicators that the organisation's observables match at that time:
    /// the longest prefix for addresses, the longest suffix for domains, else the same value.
    /// Neither an observable nor an indicator on an allow-list counts.
    pub fn matches(
        &self,
        asking: &Asking<'_>,
        observables: &[Observable<'_>],
        matches: &mut Vec<IndicatorMatch>,
    ) {
        if self.is_empty() {
            return;
        }
        let mut query = Query {
            index: self,
            org: self.orgs.get(&asking.org).copied().unwrap_or(NOBODY),
            now: seconds(asking.now_ns),
            special: false,
            asking,
        };
        let mut probes = Probes::new();
        let mut from = 0;
        for (at, observable) in observables.iter().enumerate() {
            if !probes.add(at, observable) {
                query.answer(&mut probes, (from, observables.get(from..at)), matches);
                probes.add(at, observable);
                from = at;
            }
        }
        query.answer(&mut probes, (from, observables.get(from..)), matches);
    }

    /// What is known of a match.
    #[must_use]
    pub fn known(&self, found: IndicatorMatch) -> Option<Known<'_>> {
        let entry = self.entries.get(found.entry as usize)?;
        let text = |number: u32| self.texts.get(number as usize).map_or("", |text| text);
        Some(Known {
            id: entry.id,
            kind: *Kind::ALL.get(usize::from(entry.bits & 0xF))?,
            feed: self.feeds.get(usize::from(entry.feed))?,
            everybodys: entry.org == EVERYBODY,
            confidence: entry.confidence,
            severity: *Severity::ALL.get(usize::from(entry.bits >> 4 & 7))?,
            threat: text(entry.threat),
            tags: text(entry.tags),
            first_seen: nanoseconds(entry.first_seen),
            last_seen: nanoseconds(entry.last_seen),
            expires_at: nanoseconds(entry.expires_at),
        })
    }

    /// Looks up several values. What they need of memory is asked for by one after the other before
    /// the first answer is waited for.
    fn look_up(&self, probes: &mut [Probe<'_>]) {
        for probe in probes.iter_mut() {
            probe.may_match = self.filter.may_hold(probe.tag);
        }
        for probe in probes.iter_mut().filter(|probe| probe.may_match) {
            probe.position = position(probe.kind, probe.value);
        }
        for probe in probes.iter_mut().filter(|probe| probe.may_match) {
            probe.slot = self.slot(probe.position).map_or(0, |(_, slot)| slot);
        }
        for probe in probes.iter_mut().filter(|probe| probe.slot != 0) {
            probe.entry = self.entry([probe.tag, probe.position]);
        }
    }

    /// Where the slots of a position begin, and the first of them.
    #[inline]
    fn slot(&self, position: u64) -> Option<(usize, u64)> {
        let mask = self.slots.len().checked_sub(1)?;
        let at = low(position) & mask;
        Some((at, *self.slots.get(at)?))
    }

    /// The place of the first entry with that fingerprint.
    #[inline]
    fn entry(&self, fingerprint: Fingerprint) -> Option<u32> {
        let [tag, position] = fingerprint;
        let mask = self.slots.len().checked_sub(1)?;
        let (mut at, mut slot) = self.slot(position)?;
        loop {
            if slot == 0 {
                return None;
            }
            let entry = (slot & 0xFFFF_FFFF) - 1;
            if slot >> 32 == tag >> 32
                && self
                    .entries
                    .get(low(entry))
                    .is_some_and(|e| e.fingerprint == fingerprint)
            {
                return u32::try_from(entry).ok();
            }
            at = (at + 1) & mask;
            slot = *self.slots.get(at)?;
        }
    }
}

/// One look-up: for whom, when, and whether the address is of a range that needs to be named.
struct Query<'i> {
    index: &'i IndicatorIndex,
    org: u32,
    now: u32,
    special: bool,
    asking: &'i Asking<'i>,
}

impl Query<'_> {
    fn is_allowed(&self, kind: Kind, value: &str) -> bool {
        let allowed = self.asking.allowed;
        allowed.is_some_and(|allowed| allowed.holds(self.asking.org, kind, value))
    }

    /// Answers for observables, from the number of the first of them on, whose values are the probes,
    /// which are then forgotten.
    fn answer(
        &mut self,
        probes: &mut Probes<'_>,
        (from, observables): (usize, Option<&[Observable<'_>]>),
        matches: &mut Vec<IndicatorMatch>,
    ) {
        self.index.look_up(probes.as_mut_slice());
        let mut rest = probes.as_slice();
        for (number, observable) in (from..).zip(observables.unwrap_or_default()) {
            let is_own = |probe: &&Probe<'_>| probe.observable == number;
            let (own, further) = rest.split_at(rest.iter().take_while(is_own).count());
            rest = further;
            let (Some(entry), Ok(number)) = (self.first(observable, own), u16::try_from(number))
            else {
                continue;
            };
            if self.is_allowed(observable.kind, observable.value) {
                continue;
            }
            let found = self.visible(entry).take(MATCHES_PER_VALUE_MAX);
            matches.extend(found.map(|entry| IndicatorMatch {
                observable: number,
                entry,
            }));
        }
        probes.clear();
    }

    /// The first entry of the most specific value that matches and is visible.
    fn first(&mut self, observable: &Observable<'_>, probes: &[Probe<'_>]) -> Option<u32> {
        let value = observable.value;
        self.special = false;
        let exact = |query: &Self| probes.iter().find_map(|probe| query.exact(probe));
        match observable.kind {
            Kind::Ipv4 | Kind::Ipv6 => {
                let address = value.parse().ok()?;
                self.special = is_special(address);
                exact(self).or_else(|| self.network(IpNet::from(address)))
            }
            Kind::Cidr => {
                let network: IpNet = value.parse().ok()?;
                self.special = is_special(network.addr());
                self.network(network)
            }
            Kind::Domain
            | Kind::Url
            | Kind::Email
            | Kind::Md5
            | Kind::Sha1
            | Kind::Sha256
            | Kind::Sha512
            | Kind::Cve => exact(self),
        }
    }

    fn exact(&self, probe: &Probe<'_>) -> Option<u32> {
        let entry = probe.entry?;
        let counts =
            self.visible(entry).next().is_some() && !self.is_allowed(probe.kind, probe.value);
        counts.then_some(entry)
    }

    /// The narrowest visible network that holds all of `network`.
    fn network(&self, network: IpNet) -> Option<u32> {
        match network {
            IpNet::V4(v4) => {
                let last = u32::from(v4.broadcast());
                let mut holding = self.index.v4.holding(u32::from(v4.network()));
                let counts = |n: &&Network<u32>| {
                    n.last >= last && self.network_counts(n.entry, || v4_net(n.first, n.last))
                };
                holding.find(counts).map(|n| n.entry)
            }
            IpNet::V6(v6) => {
                let last = u128::from(v6.broadcast());
                let mut holding = self.index.v6.holding(u128::from(v6.network()));
                let counts = |n: &&Network<u128>| {
                    n.last >= last && self.network_counts(n.entry, || v6_net(n.first, n.last))
                };
                holding.find(counts).map(|n| n.entry)
            }
        }
    }

    /// Whether a network is visible, and on no allow-list.
    fn network_counts(&self, entry: u32, network: impl Fn() -> Option<IpNet>) -> bool {
        if self.visible(entry).next().is_none() {
            return false;
        }
        let is_allowed = |network: IpNet| self.is_allowed(Kind::Cidr, &network.to_string());
        self.asking.allowed.is_none() || !network().is_some_and(is_allowed)
    }

    /// The entries with the value of `first` that count for this query.
    fn visible(&self, first: u32) -> impl Iterator<Item = u32> {
        let entries = self.index.entries.get(first as usize..).unwrap_or_default();
        let fingerprint = entries.first().map(|entry| entry.fingerprint);
        (first..)
            .zip(entries)
            .take_while(move |(_, entry)| Some(entry.fingerprint) == fingerprint)
            .filter(|(_, entry)| {
                (entry.org == EVERYBODY || entry.org == self.org)
                    && (entry.expires_at == 0 || entry.expires_at > self.now)
                    && (!self.special || entry.bits & PRIVATE != 0)
            })
            .map(|(place, _)| place)
    }
}

/// The network from a first to a last address.
fn v4_net(first: u32, last: u32) -> Option<IpNet> {
    let bits = u8::try_from((first ^ last).leading_zeros()).ok()?;
    Ipv4Net::new(first.into(), bits).ok().map(IpNet::V4)
}

fn v6_net(first: u128, last: u128) -> Option<IpNet> {
    let bits = u8::try_from((first ^ last).leading_zeros()).ok()?;
    Ipv6Net::new(first.into(), bits).ok().map(IpNet::V6)
}

/// Builds an index from indicators that come one by one and are not kept.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    index: IndicatorIndex,
    feeds: HashMap<Feed, u16>,
    texts: HashMap<Box<str>, u32>,
    networks: Vec<(IpNet, Fingerprint)>,
}

impl IndexBuilder {
    /// For about so many: a list that grows as it goes takes twice the memory on the way.
    #[must_use]
    pub fn with_capacity(indicators: usize) -> Self {
        let mut builder = IndexBuilder::default();
        builder.index.entries.reserve_exact(indicators);
        builder
    }

    /// Adds an indicator. Its value must be canonical; a network that cannot be read is left out.
    pub fn add(&mut self, indicator: &Indicator) {
        let fingerprint = fingerprint(indicator.kind, &indicator.value);
        if indicator.kind == Kind::Cidr {
            match indicator.value.parse::<IpNet>() {
                Ok(network) => self.networks.push((network.trunc(), fingerprint)),
                Err(_) => return,
            }
        }
        let (Some(feed), Some(org)) = (self.feed(&indicator.feed), self.org(indicator.org)) else {
            return;
        };
        let private = if indicator.match_private { PRIVATE } else { 0 };
        let entry = Entry {
            fingerprint,
            id: indicator.id,
            first_seen: indicator.first_seen.map_or(0, seconds),
            last_seen: indicator.last_seen.map_or(0, seconds),
            expires_at: indicator.expires_at.map_or(0, |at| seconds(at).max(1)),
            threat: self.text(&indicator.threat),
            tags: self.tags(&indicator.tags),
            org,
            feed,
            confidence: indicator.confidence.min(100),
            bits: indicator.kind as u8 | (indicator.severity as u8) << 4 | private,
        };
        self.index.entries.push(entry);
    }

    fn feed(&mut self, feed: &Feed) -> Option<u16> {
        if let Some(number) = self.feeds.get(feed) {
            return Some(*number);
        }
        let number = u16::try_from(self.index.feeds.len()).ok()?;
        self.index.feeds.push(feed.clone());
        self.feeds.insert(feed.clone(), number);
        Some(number)
    }

    fn org(&mut self, org: Option<OrgId>) -> Option<u32> {
        let Some(org) = org else {
            return Some(EVERYBODY);
        };
        let next = u32::try_from(self.index.orgs.len()).ok()?.checked_add(1)?;
        Some(*self.index.orgs.entry(org).or_insert(next))
    }

    fn tags(&mut self, tags: &[String]) -> u32 {
        match tags {
            [] => self.text(""),
            [one] => self.text(one),
            many => self.text(&many.join(TAG_SEPARATOR.encode_utf8(&mut [0; 4]))),
        }
    }

    fn text(&mut self, text: &str) -> u32 {
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        let Ok(number) = u32::try_from(self.index.texts.len()) else {
            return u32::MAX;
        };
        self.index.texts.push(text.into());
        self.texts.insert(text.into(), number);
        number
    }

    /// The index over all that were added.
    #[must_use]
    pub fn finish(self) -> IndicatorIndex {
        let IndexBuilder {
            mut index,
            networks,
            ..
        } = self;
        index
            .entries
            .sort_unstable_by_key(|entry| (entry.fingerprint, entry.org, entry.id));
        index.entries.shrink_to_fit();
        let hashes = index.entries.iter().map(|entry| entry.fingerprint[0]);
        index.filter = Filter::new(index.entries.len(), hashes);
        index.slots = slots(&index.entries);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (network, fingerprint) in networks {
            let Some(entry) = index.entry(fingerprint) else {
                continue;
            };
            match network {
                IpNet::V4(net) => {
                    let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                    v4.push(Network::new(first, last, entry));
                }
                IpNet::V6(net) => {
                    let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
                    v6.push(Network::new(first, last, entry));
                }
            }
        }
        v4.sort_unstable_by_key(|network| network.entry);
        v4.dedup_by_key(|network| network.entry);
        v6.sort_unstable_by_key(|network| network.entry);
        v6.dedup_by_key(|network| network.entry);
        index.v4 = Prefixes::new(v4);
        index.v6 = Prefixes::new(v6);
        index
    }
}

/// The table over sorted entries, at most two thirds full.
#[expect(
    clippy::indexing_slicing,
    reason = "every offset is masked to the table's length"
)]
fn slots(entries: &[Entry]) -> Vec<u64> {
    let mut slots = vec![0_u64; (entries.len() * 3 / 2 + 1).next_power_of_two()];
    let mask = slots.len() - 1;
    let mut previous = None;
    for (place, entry) in (1..=u64::from(u32::MAX)).zip(entries) {
        if previous.replace(entry.fingerprint) == Some(entry.fingerprint) {
            continue;
        }
        let [tag, position] = entry.fingerprint;
        let mut at = low(position) & mask;
        while slots[at] != 0 {
            at = (at + 1) & mask;
        }
        slots[at] = tag >> 32 << 32 | place;
    }
    slots
}

/// The low bits as an offset.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only the low bits are wanted"
)]
const fn low(bits: u64) -> usize {
    bits as usize
}

fn fingerprint(kind: Kind, value: &str) -> Fingerprint {
    [tag(kind, value), position(kind, value)]
}

/// Whole seconds; 0 and below mean never.
fn seconds(ns: i64) -> u32 {
    u32::try_from((ns / NS_PER_SECOND).max(0)).unwrap_or(u32::MAX)
}

fn nanoseconds(seconds: u32) -> Option<i64> {
    (seconds != 0).then(|| i64::from(seconds) * NS_PER_SECOND)
}
