//! The immutable index of all indicators.
//!
//! A small filter turns away nearly all values that are no indicators. Behind it is a table with a slot
//! of 32 bytes for each value, where the value's fingerprint and what is known of it stand together;
//! what many indicators have in common (threat, tags, feed, …) is a profile, which they share. Values
//! themselves are not kept: the observable that matched has the text, the control table has the rest.
//!
//! What waits for memory: an unknown value, once, for the filter, which the processor's caches may hold;
//! a known one for its slot besides.

use super::allow::Allowed;
use super::build::IndexBuilder;
use super::filter::Filter;
use super::fingerprint::{position, tag};
use super::prefixes::{Network, Prefixes};
use super::probes::{Depths, Lead, Leads, Probe, Probes, TOGETHER, chosen, wanted};
use super::table::{Entry, Table};
use super::{Feed, Indicator};
use crate::observables::{Kind, Observable, is_special};
use hashbrown::HashMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use millrace_shared::ids::OrgId;
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::wire::Severity;
use std::net::IpAddr;

/// Indicators of one value that are reported; more feeds than this agree on nothing new.
const MATCHES_PER_VALUE_MAX: usize = 16;
/// Entries that room is made for on somebody's word.
const RESERVED_MAX: usize = 20_000_000;
/// Separates tags in the text they are kept as; feeds do not use it.
pub(super) const TAG_SEPARATOR: char = '\u{1f}';
/// The organisation number of indicators that are valid for all.
pub(super) const EVERYBODY: u32 = 0;
/// The organisation number of those who have no indicators of their own.
const NOBODY: u32 = u32::MAX;

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

    const fn matches_private(self) -> bool {
        self.0 & PRIVATE != 0
    }
}

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
    pub(super) count: usize,
    pub(super) filter: Filter,
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
            + self.filter.bytes()
            + self.v4.bytes()
            + self.v6.bytes()
            + self.profiles.capacity() * size_of::<Profile>()
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
        let query = Query {
            index: self,
            org: self.orgs.get(&asking.org).copied().unwrap_or(NOBODY),
            now: seconds(asking.now_ns),
            asking,
        };
        let mut probes = Probes::new();
        for (number, observable) in (0..=u16::MAX).zip(observables) {
            if probes.len() > TOGETHER {
                query.answer(&mut probes, observables, matches);
            }
            self.probe(number, observable, &mut probes);
        }
        query.answer(&mut probes, observables, matches);
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

    /// Takes in what is to be looked up for an observable.
    #[inline]
    fn probe(&self, number: u16, observable: &Observable<'_>, probes: &mut Probes) {
        let (kind, value) = (observable.kind, observable.value);
        let probe_of = |from: usize| Probe {
            tag: tag(kind, value.get(from..).unwrap_or_default()),
            from: u32::try_from(from).unwrap_or(u32::MAX),
            observable: number,
            is_network: false,
        };
        let networks_of = |address: u32| Probe {
            tag: address.into(),
            from: 0,
            observable: number,
            is_network: true,
        };
        match kind {
            Kind::Domain => probes.extend(self.names.suffixes(value).map(probe_of)),
            Kind::Ipv4 => {
                probes.push(probe_of(0));
                let address = v4_bits(value);
                if self.v4.may_hold(address) {
                    probes.push(networks_of(address));
                }
            }
            Kind::Ipv6 => {
                probes.push(probe_of(0));
                if !self.v6.is_empty() {
                    probes.push(networks_of(0));
                }
            }
            Kind::Cidr => probes.push(networks_of(0)),
            Kind::Url
            | Kind::Email
            | Kind::Md5
            | Kind::Sha1
            | Kind::Sha256
            | Kind::Sha512
            | Kind::Cve => probes.push(probe_of(0)),
        }
    }

    /// Where probes lead.
    fn leads<'p>(
        &self,
        probes: impl Iterator<Item = &'p Probe>,
        observables: &[Observable<'_>],
    ) -> Leads {
        let lead = |probe: &Probe| {
            let observable = observables.get(usize::from(probe.observable))?;
            self.lead(probe, observable)
        };
        let leads = probes.map(|probe| lead(probe).unwrap_or(Lead::NONE));
        let mut leads: Leads = leads.collect();
        for lead in &mut leads {
            lead.tag = self.table.tag_at(lead.slot);
        }
        leads
    }

    /// Where a probe leads; the table is not read.
    #[inline]
    fn lead(&self, probe: &Probe, observable: &Observable<'_>) -> Option<Lead> {
        if !probe.is_network {
            let value = observable.value.get(probe.from as usize..)?;
            let position = position(observable.kind, value);
            return Some(Lead {
                slot: self.table.place(position),
                ..Lead::NONE
            });
        }
        let (network, slot) = match v4_of(probe, observable) {
            Some(address) => self.v4.innermost(address)?,
            None => match network_of(observable)? {
                IpNet::V4(v4) => self.v4.innermost(v4.network().into())?,
                IpNet::V6(v6) => self.v6.innermost(v6.network().into())?,
            },
        };
        Some(Lead {
            slot: slot as usize,
            network,
            tag: 0,
        })
    }
}

/// One look-up: for whom, and when.
struct Query<'i> {
    index: &'i IndicatorIndex,
    org: u32,
    now: u32,
    asking: &'i Asking<'i>,
}

impl Query<'_> {
    fn is_allowed(&self, kind: Kind, value: &str) -> bool {
        let allowed = self.asking.allowed;
        allowed.is_some_and(|allowed| allowed.holds(self.asking.org, kind, value))
    }

    /// Answers for the observables with these probes, which are then forgotten.
    fn answer(
        &self,
        probes: &mut Probes,
        observables: &[Observable<'_>],
        matches: &mut Vec<IndicatorMatch>,
    ) {
        let filter = &self.index.filter;
        let bits = wanted(probes, |probe| {
            probe.is_network | filter.may_hold(probe.tag)
        });
        if bits == 0 {
            probes.clear();
            return;
        }
        let leads = self.index.leads(chosen(probes, bits), observables);
        let mut answered = None;
        for (probe, lead) in chosen(probes, bits).zip(leads) {
            if lead.tag == 0 || answered == Some(probe.observable) {
                continue;
            }
            let Some(observable) = observables.get(usize::from(probe.observable)) else {
                continue;
            };
            let Some((slot, special)) = self.slot(probe, lead, observable) else {
                continue;
            };
            answered = Some(probe.observable);
            if self.is_allowed(observable.kind, observable.value) {
                continue;
            }
            let found = self.visible(slot, special).take(MATCHES_PER_VALUE_MAX);
            matches.extend(found.map(|entry| IndicatorMatch {
                observable: probe.observable,
                entry,
            }));
        }
        probes.clear();
    }

    /// The slot of the value that counts, and whether only those count that ask for such addresses.
    #[inline]
    fn slot(&self, probe: &Probe, lead: Lead, observable: &Observable<'_>) -> Option<(u32, bool)> {
        if probe.is_network {
            let network = network_of(observable)?;
            let special = is_special(network.addr());
            return Some((self.network(network, lead, special)?, special));
        }
        let slot = self.index.table.find(lead.slot, probe.tag)?;
        let special = match observable.kind {
            Kind::Ipv4 | Kind::Ipv6 => is_special(observable.value.parse().ok()?),
            Kind::Cidr
            | Kind::Domain
            | Kind::Url
            | Kind::Email
            | Kind::Md5
            | Kind::Sha1
            | Kind::Sha256
            | Kind::Sha512
            | Kind::Cve => false,
        };
        let value = observable.value.get(probe.from as usize..)?;
        let counts = self.visible(slot, special).next().is_some()
            && !self.is_allowed(observable.kind, value);
        counts.then_some((slot, special))
    }

    /// The narrowest visible network that holds all of `network`, from one on.
    fn network(&self, network: IpNet, lead: Lead, special: bool) -> Option<u32> {
        match network {
            IpNet::V4(v4) => {
                let last = u32::from(v4.broadcast());
                let counts = |n: &&Network<u32>| {
                    n.last >= last
                        && self.network_counts(n.entry, special, || v4_net(n.first, n.last))
                };
                self.index
                    .v4
                    .from(lead.network)
                    .find(counts)
                    .map(|n| n.entry)
            }
            IpNet::V6(v6) => {
                let last = u128::from(v6.broadcast());
                let counts = |n: &&Network<u128>| {
                    n.last >= last
                        && self.network_counts(n.entry, special, || v6_net(n.first, n.last))
                };
                self.index
                    .v6
                    .from(lead.network)
                    .find(counts)
                    .map(|n| n.entry)
            }
        }
    }

    /// Whether a network is visible, and on no allow-list.
    fn network_counts(
        &self,
        slot: u32,
        special: bool,
        network: impl Fn() -> Option<IpNet>,
    ) -> bool {
        if self.visible(slot, special).next().is_none() {
            return false;
        }
        let is_allowed = |network: IpNet| self.is_allowed(Kind::Cidr, &network.to_string());
        self.asking.allowed.is_none() || !network().is_some_and(is_allowed)
    }

    /// The entries of a slot's value that count for this query; for special addresses, only those that
    /// ask for them.
    #[inline]
    fn visible(&self, slot: u32, special: bool) -> impl Iterator<Item = u32> {
        let IndicatorIndex {
            table, profiles, ..
        } = self.index;
        let counts = move |entry: &Entry| {
            let is_over = entry.expires_at != 0 && entry.expires_at <= self.now;
            let profile = profiles.get(entry.profile as usize);
            !is_over
                && profile.is_some_and(|profile| {
                    (profile.org == EVERYBODY || profile.org == self.org)
                        && (!special || profile.bits.matches_private())
                })
        };
        table
            .entries_of(slot)
            .filter(move |number| table.get(*number).is_some_and(counts))
    }
}

/// The number that an IPv4 address is; of what is none, some number.
#[inline]
fn v4_bits(text: &str) -> u32 {
    let (mut address, mut part) = (0_u32, 0_u32);
    for byte in text.bytes() {
        if byte == b'.' {
            address = address << 8 | part;
            part = 0;
        } else {
            part = part.wrapping_mul(10).wrapping_add(u32::from(byte & 0xF));
        }
    }
    address << 8 | part
}

/// The IPv4 address that networks are asked for.
fn v4_of(probe: &Probe, observable: &Observable<'_>) -> Option<u32> {
    let is_v4 = observable.kind == Kind::Ipv4;
    is_v4.then(|| u32::try_from(probe.tag).ok()).flatten()
}

/// An address or a network as a network.
fn network_of(observable: &Observable<'_>) -> Option<IpNet> {
    match observable.kind {
        Kind::Ipv4 | Kind::Ipv6 => {
            let address: IpAddr = observable.value.parse().ok()?;
            Some(IpNet::from(address))
        }
        Kind::Cidr => observable.value.parse().ok(),
        Kind::Domain
        | Kind::Url
        | Kind::Email
        | Kind::Md5
        | Kind::Sha1
        | Kind::Sha256
        | Kind::Sha512
        | Kind::Cve => None,
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

/// Whole seconds; 0 and below mean never.
pub(super) fn seconds(ns: i64) -> u32 {
    u32::try_from((ns / NS_PER_SECOND).max(0)).unwrap_or(u32::MAX)
}

fn nanoseconds(seconds: u32) -> Option<i64> {
    (seconds != 0).then(|| i64::from(seconds) * NS_PER_SECOND)
}
