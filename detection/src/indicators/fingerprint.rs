//! What stands for a kind and a value in the index, which does not keep values.

use crate::observables::Kind;
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use std::hash::{BuildHasher as _, Hasher, RandomState};

/// A kind and a value as two hashes: where in the table they are, and what tells them from others
/// there. Another value is taken for one that is known only if all of its tag is the same and it leads to
/// the same slot of all: a chance of one in 2⁶⁴ for each look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint {
    pub(super) position: u64,
    pub(super) tag: u64,
}

/// What the hashes of one index begin with. Whoever may add indicators could make many whose places are next to each
/// other, if he knew how places are found; so every index has seeds of its own, which the operating
/// system draws and nobody sees. Nothing that leaves the index depends on them.
#[derive(Clone, Debug)]
pub(super) struct Seeds {
    shared: SharedSeed,
    /// For the position and for the tag, of each kind.
    of_kinds: [[u64; 2]; Kind::ALL.len()],
}

impl Default for Seeds {
    fn default() -> Self {
        // A fresh RandomState is seeded by the operating system.
        let random = || RandomState::new().build_hasher().finish();
        Seeds {
            shared: SharedSeed::from_u64(random()),
            of_kinds: std::array::from_fn(|_| [random(), random()]),
        }
    }
}

impl Seeds {
    pub(super) fn fingerprint(&self, kind: Kind, value: &str) -> Fingerprint {
        Fingerprint {
            position: self.position(kind, value),
            tag: self.tag(kind, value),
        }
    }

    /// Where in the table a value is.
    #[inline]
    pub(super) fn position(&self, kind: Kind, value: &str) -> u64 {
        let [position, _] = self.of(kind);
        self.hash(position, value)
    }

    /// What tells a value from others; never 0.
    #[inline]
    pub(super) fn tag(&self, kind: Kind, value: &str) -> u64 {
        let [_, tag] = self.of(kind);
        self.hash(tag, value).max(1)
    }

    #[inline]
    fn of(&self, kind: Kind) -> [u64; 2] {
        let of_kind = self.of_kinds.get(kind as usize);
        of_kind.copied().unwrap_or_default()
    }

    #[inline]
    fn hash(&self, seed: u64, value: &str) -> u64 {
        let mut hasher = FoldHasher::with_seed(seed, &self.shared);
        hasher.write(value.as_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_lies_elsewhere_in_every_index_and_kinds_are_apart() {
        let (one, other) = (Seeds::default(), Seeds::default());
        let of = |seeds: &Seeds, kind| seeds.fingerprint(kind, "evil.com");
        assert_eq!(of(&one, Kind::Domain), of(&one, Kind::Domain));
        assert_ne!(of(&one, Kind::Domain), of(&one, Kind::Url));
        let (here, there) = (of(&one, Kind::Domain), of(&other, Kind::Domain));
        assert!(here.position != there.position && here.tag != there.tag);
        assert_ne!(here.position, here.tag);
    }
}
