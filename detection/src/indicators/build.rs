//! Indicators become an index.
//!
//! They come one by one and are not kept: what the index needs of each waits in one of 256 parts, by the
//! first bits of its position, until all are there. Part by part they are then sorted and put into slots, in the processor's
//! caches; a part that is done is given back, and the next slots take its memory. So the
//! index never needs much more memory than what waits, or than it has in the end.

use super::fingerprint::Fingerprint;
use super::index::{EVERYBODY, IndicatorIndex, Profile, ProfileBits, TAG_SEPARATOR, seconds};
use super::place::Staged;
use super::prefixes::{Network, Prefixes};
use super::table::{Entry, PART_BITS, PARTS, Table, part};
use super::{Feed, Indicator};
use crate::observables::Kind;
use hashbrown::HashMap;
use ipnet::IpNet;
use millrace_shared::ids::OrgId;
use std::cmp::Ordering;

/// A part's share of what is expected is exceeded by less than this part of it, and this many.
const PART_SPARE: (usize, usize) = (32, 8);

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
            parts: (0..PARTS).map(|_| Vec::with_capacity(room)).collect(),
            profiles: HashMap::new(),
            feeds: HashMap::new(),
            texts: HashMap::new(),
            networks: Vec::new(),
        }
    }

    /// Adds an indicator. Its value must be canonical; a network that cannot be read is left out.
    pub fn add(&mut self, indicator: &Indicator) {
        let fingerprint = self
            .index
            .seeds
            .fingerprint(indicator.kind, &indicator.value);
        if indicator.kind == Kind::Cidr {
            match indicator.value.parse::<IpNet>() {
                Ok(network) => self.networks.push((network.trunc(), fingerprint)),
                Err(_) => return,
            }
        }
        let Some(profile) = self.profile(indicator) else {
            return;
        };
        let Some(part) = self.parts.get_mut(part(fingerprint.position)) else {
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
        index.table = Table::with_room_for(count);
        let mut heads = Vec::new();
        for (number, part) in parts.into_iter().enumerate() {
            heads.clear();
            heads.extend(values(&part).filter_map(|staged| head(&mut index.table, staged)));
            drop(part);
            index.table.fill(number, &heads);
        }
        index.table.settle();
        place_networks(&mut index, networks);
        index
    }
}

/// The indicators of each value, of a sorted part.
fn values(part: &[Staged]) -> impl Iterator<Item = &[Staged]> {
    part.chunk_by(|a, b| a.fingerprint() == b.fingerprint())
}

/// What stands in the slot of a value with these indicators.
fn head(table: &mut Table, staged: &[Staged]) -> Option<Staged> {
    let first = staged.first()?;
    if staged.len() == 1 {
        return Some(*first);
    }
    let entries: Vec<Entry> = staged.iter().map(|staged| staged.entry).collect();
    Some(Staged {
        position: first.position,
        entry: table.head(&entries)?,
    })
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
    for (network, fingerprint) in networks {
        let Some(entry) = index.table.find(fingerprint) else {
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
