//! Repeatable randomness: the same seed and request number always give the same events.

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, fast, good enough to vary test data. Not for keys.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Dice for one request of a seeded run.
    #[must_use]
    pub const fn new(seed: u64, request: u64) -> Self {
        let state = seed ^ request.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Dice { state }
    }

    /// 64 random bits.
    pub const fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound` (0 for a bound of 0).
    pub const fn below(&mut self, bound: u64) -> u64 {
        // Lemire's multiply-shift; its bias is far below what test data could show.
        ((self.roll() >> 32) * (bound & 0xFFFF_FFFF)) >> 32
    }

    /// Whether a chance of so many in a thousand comes true.
    pub const fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille as u64
    }

    /// One of the words; empty where there is none.
    pub fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        let at = usize::try_from(self.below(words.len() as u64)).unwrap_or(0);
        words.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_repeats_and_another_request_differs() {
        let rolls = |seed, request| -> Vec<u64> {
            let mut dice = Dice::new(seed, request);
            (0..8).map(|_| dice.below(1_000_000)).collect()
        };
        assert_eq!(rolls(1, 2), rolls(1, 2));
        assert_ne!(rolls(1, 2), rolls(1, 3));
        assert_ne!(rolls(1, 2), rolls(2, 2));
    }

    #[test]
    fn a_chance_comes_true_about_as_often_as_it_says() {
        let mut dice = Dice::new(7, 0);
        let hits = (0..100_000).filter(|_| dice.chance(100)).count();
        assert!((9_500..10_500).contains(&hits), "{hits}");
    }
}
