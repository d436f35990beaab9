//! The index is asked: which of an event's observables match, for one organisation at one time.
//!
//! All values go through the same steps together, and what waits for memory is read for all before anything is
//! decided on it: the word of each value's cell, which turns nearly all unknown values away and which the processor's caches
//! may hold; then the slots of those that are left, each of which is one read. What else a match needs (its
//! profile, an organisation's number) is little and hot. Nothing here writes to the index.

use super::allow::Allowed;
use super::fingerprint::Fingerprint;
use super::index::{EVERYBODY, IndicatorIndex, IndicatorMatch, seconds};
use super::prefixes::Network;
use super::probes::{Lead, Leads, Probe, Probes, TOGETHER, chosen, wanted};
use super::table::Entry;
use crate::observables::{Kind, Observable, is_special};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use millrace_shared::ids::OrgId;

/// Indicators of one value that are reported; more feeds than this agree on nothing new.
const MATCHES_PER_VALUE_MAX: usize = 16;
/// The organisation number of those who have no indicators of their own.
const NOBODY: u32 = u32::MAX;

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

impl IndicatorIndex {
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

    /// Takes in what is to be looked up for an observable.
    #[inline]
    fn probe(&self, number: u16, observable: &Observable<'_>, probes: &mut Probes) {
        let (kind, value) = (observable.kind, observable.value);
        let probe_of = |from: usize| Probe {
            position: self
                .seeds
                .position(kind, value.get(from..).unwrap_or_default()),
            from: u32::try_from(from).unwrap_or(u32::MAX),
            observable: number,
            is_network: false,
        };
        let networks_of = |address: u32| Probe {
            position: address.into(),
            from: 0,
            observable: number,
            is_network: true,
        };
        match kind {
            Kind::Domain => {
                let first = probes.len();
                self.names
                    .suffixes(value, |from| probes.push(probe_of(from)));
                probes.get_mut(first..).unwrap_or_default().reverse();
            }
            Kind::Ipv4 => {
                probes.push(probe_of(0));
                if let Some(address) = v4_of(observable)
                    && self.v4.may_hold(address)
                {
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
            lead.found = self.table.tag_of(lead.number);
        }
        leads
    }

    /// Where a probe leads; no slot is read.
    #[inline]
    fn lead(&self, probe: &Probe, observable: &Observable<'_>) -> Option<Lead> {
        if !probe.is_network {
            let value = observable.value.get(probe.from as usize..)?;
            let fingerprint = Fingerprint {
                position: probe.position,
                tag: self.seeds.tag(observable.kind, value),
            };
            return Some(Lead {
                tag: fingerprint.tag,
                number: self.table.number_of(fingerprint),
                ..Lead::NONE
            });
        }
        let (network, number) = match observable.network? {
            IpNet::V4(v4) => self.v4.innermost(v4.network().into())?,
            IpNet::V6(v6) => self.v6.innermost(v6.network().into())?,
        };
        Some(Lead {
            number,
            network,
            ..Lead::NONE
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
        let table = &self.index.table;
        let bits = wanted(probes, |probe| {
            probe.is_network | table.may_hold(probe.position)
        });
        if bits == 0 {
            probes.clear();
            return;
        }
        let leads = self.index.leads(chosen(probes, bits), observables);
        let mut answered = None;
        for (probe, lead) in chosen(probes, bits).zip(&leads) {
            let is_there = lead.found != 0 && (probe.is_network || lead.found == lead.tag);
            if !is_there || answered == Some(probe.observable) {
                continue;
            }
            if let Some(observable) = observables.get(usize::from(probe.observable))
                && self.add(probe, lead, observable, matches)
            {
                answered = Some(probe.observable);
            }
        }
        probes.clear();
    }

    /// Adds what counts of a value that is known, or of the narrowest network of which something counts. Whether anything does:
    /// if so, shorter suffixes and wider networks say nothing more.
    #[inline]
    fn add(
        &self,
        probe: &Probe,
        lead: &Lead,
        observable: &Observable<'_>,
        matches: &mut Vec<IndicatorMatch>,
    ) -> bool {
        let network = observable.network;
        let special = network.is_some_and(|network| is_special(network.addr()));
        let number = match network.filter(|_| probe.is_network) {
            Some(network) => self.network(network, lead, special),
            None => Some(lead.number),
        };
        let before = matches.len();
        let found = number.into_iter().flat_map(|n| self.visible(n, special));
        let found = found.take(MATCHES_PER_VALUE_MAX);
        matches.extend(found.map(|entry| IndicatorMatch {
            observable: probe.observable,
            entry,
        }));
        if matches.len() == before {
            return false;
        }
        if self.asking.allowed.is_none() {
            return true;
        }
        let whole = observable.value;
        let value = whole.get(probe.from as usize..).unwrap_or_default();
        let counts = probe.is_network || !self.is_allowed(observable.kind, value);
        if !counts || self.is_allowed(observable.kind, whole) {
            matches.truncate(before);
        }
        counts
    }

    /// The narrowest visible network that holds all of `network`, from one on.
    #[inline]
    fn network(&self, network: IpNet, lead: &Lead, special: bool) -> Option<u32> {
        // An address is in the network of its stretch, and most are asked for without allow-lists.
        let is_address = network.prefix_len() == network.max_prefix_len();
        if is_address
            && self.asking.allowed.is_none()
            && self.visible(lead.number, special).next().is_some()
        {
            return Some(lead.number);
        }
        self.wider_network(network, lead, special)
    }

    fn wider_network(&self, network: IpNet, lead: &Lead, special: bool) -> Option<u32> {
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

/// The number that an IPv4 address is.
#[inline]
fn v4_of(observable: &Observable<'_>) -> Option<u32> {
    match observable.network? {
        IpNet::V4(v4) => Some(v4.addr().into()),
        IpNet::V6(_) => None,
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
