//! Indicators become an index.
//!
//! They come one by one and are not kept: what the index needs of each waits in one of 256 parts, by the
//! first bits of its position, until all are there. Part by part they are then sorted, in the processor's
//! caches, and written to the table from front to back; a part that is written is given back. So the
//! index never needs much more memory than it has in the end.

use super::filter::Filter;
use super::fingerprint::Fingerprint;
use super::index::{EVERYBODY, IndicatorIndex, Profile, ProfileBits, TAG_SEPARATOR, seconds};
use super::prefixes::{Network, Prefixes};
use super::table::{Entry, Table};
use super::{Feed, Indicator};
use crate::observables::Kind;
use hashbrown::HashMap;
use ipnet::IpNet;
use millrace_shared::ids::OrgId;
use std::cmp::Ordering;

/// Bits of a position that choose its part: of ten million, a part is 1.5 MiB.
const PART_BITS: u32 = 8;
/// A part's share of what is expected is exceeded by less than this part of it, and this many.
const PART_SPARE: (usize, usize) = (32, 8);

/// An indicator that waits for its place.
#[derive(Clone, Copy, Debug)]
struct Staged {
    position: u64,
    entry: Entry,
}

impl Staged {
    const fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            position: self.position,
            tag: self.entry.tag,
        }
    }
}

/// Builds an index from indicators that come one by one and are not kept.
#[derive(Debug)]
pub struct IndexBuilder {
    index: IndicatorIndex,
    parts: Vec<Vec<Staged>>,
    profiles: HashMap<Profile, u32>,
    feeds: HashMap<Feed, u16>,
    texts: HashMap<Box<str>, u32>,
    networks: Vec<(IpNet, Fingerprint)>,
}

impl Default for IndexBuilder {
    fn default() -> Self {
        IndexBuilder::with_capacity(0)
    }
}

impl IndexBuilder {
    /// For about so many: a list that grows as it goes takes twice the memory on the way.
    #[must_use]
    pub fn with_capacity(indicators: usize) -> Self {
        let share = indicators >> PART_BITS;
        let (of_share, and) = PART_SPARE;
        let room = if share == 0 {
            0
        } else {
            share + share / of_share + and
        };
        IndexBuilder {
            index: IndicatorIndex::default(),
            parts: (0..1 << PART_BITS)
                .map(|_| Vec::with_capacity(room))
                .collect(),
            profiles: HashMap::new(),
            feeds: HashMap::new(),
            texts: HashMap::new(),
            networks: Vec::new(),
        }
    }

    /// Adds an indicator. Its value must be canonical; a network that cannot be read is left out.
    pub fn add(&mut self, indicator: &Indicator) {
        let fingerprint = Fingerprint::of(indicator.kind, &indicator.value);
        if indicator.kind == Kind::Cidr {
            match indicator.value.parse::<IpNet>() {
                Ok(network) => self.networks.push((network.trunc(), fingerprint)),
                Err(_) => return,
            }
        }
        let Some(profile) = self.profile(indicator) else {
            return;
        };
        let part = fingerprint.position >> (u64::BITS - PART_BITS);
        let Some(part) = usize::try_from(part)
            .ok()
            .and_then(|part| self.parts.get_mut(part))
        else {
            return;
        };
        part.push(Staged {
            position: fingerprint.position,
            entry: Entry {
                tag: fingerprint.tag,
                id: indicator.id,
                profile,
                first_seen: indicator.first_seen.map_or(0, seconds),
                last_seen: indicator.last_seen.map_or(0, seconds),
                expires_at: indicator.expires_at.map_or(0, |at| seconds(at).max(1)),
            },
        });
        if indicator.kind == Kind::Domain {
            self.index.names.add(&indicator.value);
        }
        self.index.count += 1;
    }

    fn profile(&mut self, indicator: &Indicator) -> Option<u32> {
        let profile = Profile {
            threat: self.text(&indicator.threat),
            tags: self.tags(&indicator.tags),
            org: self.org(indicator.org)?,
            feed: self.feed(&indicator.feed)?,
            confidence: indicator.confidence.min(100),
            bits: ProfileBits::of(indicator),
        };
        let next = self.index.profiles.len();
        match self.profiles.get(&profile) {
            Some(number) => Some(*number),
            None => {
                let number = u32::try_from(next)
                    .ok()
                    .filter(|number| *number < u32::MAX)?;
                self.index.profiles.push(profile);
                self.profiles.insert(profile, number);
                Some(number)
            }
        }
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
            mut parts,
            networks,
            ..
        } = self;
        for part in &mut parts {
            part.sort_unstable_by(|a, b| order(&index.profiles, a, b));
        }
        let count: usize = parts.iter().map(|part| values(part).count()).sum();
        index.filter = Filter::with_room_for(count);
        index.table = Table::with_room_for(count);
        for part in parts {
            for staged in values(&part) {
                let Some(first) = staged.first() else {
                    continue;
                };
                index.filter.add(first.entry.tag);
                let entries = staged.iter().map(|staged| staged.entry);
                index.table.push(first.position, entries);
            }
        }
        place_networks(&mut index, networks);
        index
    }
}

/// The indicators of each value, of a sorted part.
fn values(part: &[Staged]) -> impl Iterator<Item = &[Staged]> {
    part.chunk_by(|a, b| a.fingerprint() == b.fingerprint())
}

/// By position, then by value; of one value, by organisation and id.
fn order(profiles: &[Profile], a: &Staged, b: &Staged) -> Ordering {
    let org = |staged: &Staged| {
        let profile = profiles.get(staged.entry.profile as usize);
        profile.map(|profile| profile.org)
    };
    let by_value = a.fingerprint().cmp(&b.fingerprint());
    by_value.then_with(|| (org(a), a.entry.id).cmp(&(org(b), b.entry.id)))
}

/// Has the networks point at their slots.
fn place_networks(index: &mut IndicatorIndex, networks: Vec<(IpNet, Fingerprint)>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (network, Fingerprint { position, tag }) in networks {
        let Some(entry) = index.table.find(index.table.place(position), tag) else {
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
}
