//! What stands for a kind and a value in the index, which does not keep values.

use crate::observables::Kind;
use foldhash::quality::FixedState;
use std::hash::{BuildHasher, Hasher};

/// A kind and a value as two hashes: where in the table they are, and what tells them from others
/// there. Of the place some 22 bits of ten million indicators' count, so that the chance of one look-up
/// to take a value for another is one in 2⁶².
///
/// The seeds are fixed: the same value has the same fingerprint in every process, which makes an
/// index reproducible. Whoever crafts a collision earns himself an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint {
    pub(super) position: u64,
    pub(super) tag: u64,
}

impl Fingerprint {
    pub(super) fn of(kind: Kind, value: &str) -> Self {
        Fingerprint {
            position: position(kind, value),
            tag: tag(kind, value),
        }
    }
}

/// What tells a value from others; never 0.
#[inline]
pub(super) fn tag(kind: Kind, value: &str) -> u64 {
    half(0x6D69_6C6C, kind, value).max(1)
}

/// Where in the table a value is.
#[inline]
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
