//! The values of an event's observables on their way through the index.
//!
//! An index of millions is in no cache: a look-up waits for memory most of its time. Values are
//! looked up several at a time, step by step, so that they wait together.

use crate::observables::{Kind, Observable};
use foldhash::quality::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Labels of a name that are tried from the longest suffix on; deeper names are tunnels' noise.
const LABELS_MAX: usize = 12;
/// Values that are looked up together: as many loads as a core has under way, and enough for any
/// one observable.
const PROBES: usize = 16;

const _: () = assert!(LABELS_MAX <= PROBES);

/// A value that is looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe<'v> {
    /// The number of its observable.
    pub(super) observable: usize,
    pub(super) kind: Kind,
    pub(super) value: &'v str,
    /// Half of its fingerprint; the other half is made of those that may match.
    pub(super) tag: u64,
    pub(super) position: u64,
    pub(super) may_match: bool,
    /// The first slot of its position, 0 where that is empty.
    pub(super) slot: u64,
    /// The place of its first entry.
    pub(super) entry: Option<u32>,
}

/// Values that are looked up together.
#[derive(Debug)]
pub(super) struct Probes<'v> {
    list: [Probe<'v>; PROBES],
    count: usize,
}

impl<'v> Probes<'v> {
    pub(super) const fn new() -> Self {
        const NONE: Probe<'_> = Probe {
            observable: 0,
            kind: Kind::Ipv4,
            value: "",
            tag: 0,
            position: 0,
            may_match: false,
            slot: 0,
            entry: None,
        };
        Probes {
            list: [NONE; PROBES],
            count: 0,
        }
    }

    /// Takes in the values of an observable, or says that there is no room for all of them.
    pub(super) fn add(&mut self, number: usize, observable: &Observable<'v>) -> bool {
        let count = self.count;
        for value in values(observable) {
            let Some(place) = self.list.get_mut(self.count) else {
                self.count = count;
                return false;
            };
            *place = Probe {
                observable: number,
                kind: observable.kind,
                value,
                tag: tag(observable.kind, value),
                position: 0,
                may_match: false,
                slot: 0,
                entry: None,
            };
            self.count += 1;
        }
        true
    }

    pub(super) fn as_slice(&self) -> &[Probe<'v>] {
        self.list.get(..self.count).unwrap_or_default()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Probe<'v>] {
        self.list.get_mut(..self.count).unwrap_or_default()
    }

    pub(super) const fn clear(&mut self) {
        self.count = 0;
    }
}

/// The values of which each may be that of an indicator, the most specific first.
fn values<'v>(observable: &Observable<'v>) -> impl Iterator<Item = &'v str> + use<'v> {
    let (is_name, is_network) = match observable.kind {
        Kind::Domain => (true, false),
        Kind::Cidr => (false, true),
        Kind::Ipv4
        | Kind::Ipv6
        | Kind::Url
        | Kind::Email
        | Kind::Md5
        | Kind::Sha1
        | Kind::Sha256
        | Kind::Sha512
        | Kind::Cve => (false, false),
    };
    let value = observable.value;
    let names = is_name.then(|| suffixes(value)).into_iter().flatten();
    names.chain((!is_name && !is_network).then_some(value))
}

/// The name itself, then every shorter suffix with at least two labels.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    let suffixes = std::iter::from_fn(move || {
        let suffix = rest?;
        rest = suffix.split_once('.').map(|(_, rest)| rest);
        rest.map(|_| suffix)
    });
    // Of a very deep name only the labels next to the registered one matter.
    let dots = name.bytes().filter(|byte| *byte == b'.').count();
    suffixes.skip(dots.saturating_sub(LABELS_MAX))
}

/// Half of the fingerprint of a kind and a value.
///
/// The seeds are fixed: the same value has the same fingerprint in every process, which makes an
/// index reproducible. Whoever crafts a collision earns himself an alert.
pub(super) fn tag(kind: Kind, value: &str) -> u64 {
    half(0x6D69_6C6C, kind, value)
}

/// The other half, which says where in the table the value is.
pub(super) fn position(kind: Kind, value: &str) -> u64 {
    half(0x7261_6365, kind, value)
}

#[inline]
fn half(seed: u64, kind: Kind, value: &str) -> u64 {
    let mut hasher = FixedState::with_seed(seed).build_hasher();
    hasher.write(value.as_bytes());
    hasher.write_u8(kind as u8);
    hasher.finish()
}
