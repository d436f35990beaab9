//! Values that came lately, with the rules that they made candidates: fields hold the same few values
//! again and again, and what was looked for in one of them need not be looked for anew.
//!
//! Only what came twice is kept, so that values that never come again drive nothing out. It is a
//! memory of what [`Values`](super::index::Values) and [`Keywords`](super::keywords::Keywords)
//! answered, and never changes an answer.

use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Values that are kept: some hundred kilobytes at most.
const KEPT: usize = 512;
/// Bytes of the longest value that is kept.
const BYTES_MAX: usize = 512;
/// Candidates of a value that is kept.
const RULES_MAX: usize = 64;

/// A fixed seed: whoever makes values collide has them looked at again, no more.
const STATE: FixedState = FixedState::with_seed(0x0072_6563_656E_7400);
/// Spreads the bits of a place over all (D. Knuth's multiplicative hashing).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Where a value was looked at: the matcher's number, that of what is looked for, and whether keywords
/// are as well.
pub(super) type Where = (u64, u32, bool);

/// Some values that came lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    places: Vec<Place>,
}

/// One value, and the hash of the one that came last and is not kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    at: Option<Where>,
    text: Vec<u8>,
    rules: Vec<u32>,
    last: u64,
}

/// What is known of a value.
pub(super) enum Seen<'r> {
    /// The candidates that it made.
    Kept(&'r [u32]),
    /// That it came before: it is worth its place.
    Again(&'r mut Place),
    /// Nothing.
    New,
}

#[inline]
fn hash((matcher, number, with_keywords): Where, text: &[u8]) -> u64 {
    let mut hasher = STATE.build_hasher();
    hasher.write(text);
    let at = matcher << 33 | u64::from(number) << 1 | u64::from(with_keywords);
    hasher.finish() ^ at.wrapping_mul(SPREAD)
}

impl Recent {
    /// Says what is known of a value.
    #[inline]
    pub(super) fn ask(&mut self, at: Where, text: &[u8]) -> Seen<'_> {
        if text.len() > BYTES_MAX {
            return Seen::New;
        }
        if self.places.is_empty() {
            self.places.resize_with(KEPT, Place::default);
        }
        let hash = hash(at, text);
        #[expect(clippy::cast_possible_truncation, reason = "so few bits are asked for")]
        let Some(place) = self.places.get_mut(hash as usize % KEPT) else {
            return Seen::New;
        };
        if place.at == Some(at) && place.text == text {
            return Seen::Kept(&place.rules);
        }
        if place.last == hash {
            return Seen::Again(place);
        }
        place.last = hash;
        Seen::New
    }
}

impl Place {
    /// Keeps what a look at a value finds, and hands it back.
    pub(super) fn keep(
        &mut self,
        at: Where,
        text: &[u8],
        look: impl FnOnce(&mut dyn FnMut(&[u32])),
    ) -> &[u32] {
        self.rules.clear();
        look(&mut |rules| self.rules.extend_from_slice(rules));
        self.rules.sort_unstable();
        self.rules.dedup();
        self.text.clear();
        self.text.extend_from_slice(text);
        self.at = (self.rules.len() <= RULES_MAX).then_some(at);
        &self.rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a look finds: it depends on where, and on the text.
    fn rules((matcher, number, with_keywords): Where, text: &[u8]) -> Vec<u32> {
        let first = text.first().copied().unwrap_or(0);
        let matcher = u32::try_from(matcher).unwrap();
        let mut rules = vec![u32::from(first), number, matcher, u32::from(with_keywords)];
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// What is found in a text, and whether it was looked at for that.
    fn found(recent: &mut Recent, at: Where, text: &[u8]) -> (Vec<u32>, bool) {
        match recent.ask(at, text) {
            Seen::Kept(rules) => (rules.to_vec(), false),
            Seen::Again(place) => {
                let kept = place.keep(at, text, |found| {
                    found(&rules(at, text));
                    found(&rules(at, text));
                });
                (kept.to_vec(), true)
            }
            Seen::New => (rules(at, text), true),
        }
    }

    proptest! {
        #[test]
        fn a_remembered_answer_is_the_one_that_a_look_gives(
            asked in prop::collection::vec((0..3_u64, 0..3_u32, any::<bool>(), "[ab]{0,3}"), 0..400),
        ) {
            let mut recent = Recent::default();
            for (matcher, number, with_keywords, text) in asked {
                let (at, text) = ((matcher, number, with_keywords), text.as_bytes());
                prop_assert_eq!(found(&mut recent, at, text).0, rules(at, text));
            }
        }
    }

    #[test]
    fn what_came_twice_is_not_looked_at_a_third_time() {
        let mut recent = Recent::default();
        let mut is_looked_at = |text: &[u8]| found(&mut recent, (1, 1, true), text).1;
        let looks = ["a", "a", "b", "a", "a"].map(|text| is_looked_at(text.as_bytes()));
        assert_eq!(looks, [true, true, true, false, false]);
        let long = [b'x'; BYTES_MAX + 1];
        assert_eq!([0; 3].map(|_| is_looked_at(&long)), [true; 3]);
    }
}
