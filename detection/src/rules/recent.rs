//! Values that came lately, with the rules that they made candidates: fields hold the same few values
//! again and again, and what was looked for in one of them need not be looked for anew.
//!
//! Only what came twice is kept, so that values that never come again drive nothing out. It is a
//! memory of what [`Texts`](super::texts::Texts) answered and never changes an answer.

use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Values that are kept: some hundred kilobytes at most.
const KEPT: usize = 512;
/// Bytes of the longest value that is kept.
const BYTES_MAX: usize = 512;
/// Candidates of a value that is kept.
const RULES_MAX: usize = 64;

/// A fixed seed: whoever makes values collide has them looked at again, no more.
const STATE: FixedState = FixedState::with_seed(0x0072_6563_656E_7400);

/// Where a value was looked at: the matcher's number, and that of what is looked for.
pub(super) type Where = (u64, u32);

/// Some values that came lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    places: Vec<Place>,
}

/// One value, and the hash of the one that came last and is not kept.
#[derive(Clone, Debug, Default)]
struct Place {
    at: Option<Where>,
    text: Vec<u8>,
    rules: Vec<u32>,
    last: u64,
}

impl Recent {
    /// Hands over the candidates of a value: those that are remembered, or those that `look` finds.
    #[inline]
    pub(super) fn each<C: FnMut(&[u32])>(
        &mut self,
        at: Where,
        text: &[u8],
        candidates: &mut C,
        look: impl FnOnce(&mut dyn FnMut(&[u32])),
    ) {
        if text.len() > BYTES_MAX {
            return look(candidates);
        }
        if self.places.is_empty() {
            self.places.resize_with(KEPT, Place::default);
        }
        let hash = STATE.hash_one((at, text));
        #[expect(clippy::cast_possible_truncation, reason = "so few bits are asked for")]
        let Some(place) = self.places.get_mut(hash as usize % KEPT) else {
            return look(candidates);
        };
        if place.at == Some(at) && place.text == text {
            candidates(&place.rules);
        } else if place.last == hash {
            place.keep(at, text, candidates, look);
        } else {
            place.last = hash;
            look(candidates);
        }
    }
}

impl Place {
    fn keep<C: FnMut(&[u32])>(
        &mut self,
        at: Where,
        text: &[u8],
        candidates: &mut C,
        look: impl FnOnce(&mut dyn FnMut(&[u32])),
    ) {
        self.rules.clear();
        look(&mut |rules| {
            self.rules.extend_from_slice(rules);
            candidates(rules);
        });
        self.rules.sort_unstable();
        self.rules.dedup();
        self.text.clear();
        self.text.extend_from_slice(text);
        self.at = (self.rules.len() <= RULES_MAX).then_some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a look finds: it depends on where, and on the text.
    fn rules((matcher, number): Where, text: &[u8]) -> Vec<u32> {
        let first = text.first().copied().unwrap_or(0);
        let matcher = u32::try_from(matcher).unwrap();
        vec![u32::from(first), number, matcher]
    }

    proptest! {
        #[test]
        fn a_remembered_answer_is_the_one_that_a_look_gives(
            asked in prop::collection::vec((0..3_u64, 0..3_u32, "[ab]{0,3}"), 0..400),
        ) {
            let mut recent = Recent::default();
            for (matcher, number, text) in asked {
                let (at, text) = ((matcher, number), text.as_bytes());
                let mut found = Vec::new();
                recent.each(at, text, &mut |rules| found.extend_from_slice(rules), |found| {
                    found(&rules(at, text));
                });
                let mut expected = rules(at, text);
                for list in [&mut found, &mut expected] {
                    list.sort_unstable();
                    list.dedup();
                }
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn what_came_twice_is_not_looked_at_a_third_time() {
        let (mut recent, mut looks) = (Recent::default(), 0);
        for text in ["a", "a", "b", "a", "a"] {
            recent.each((1, 1), text.as_bytes(), &mut |_| {}, |_| looks += 1);
        }
        assert_eq!(looks, 3);
        let long = [b'x'; BYTES_MAX + 1];
        for _ in 0..3 {
            recent.each((1, 1), &long, &mut |_| {}, |_| looks += 1);
        }
        assert_eq!(looks, 6);
    }
}
