//! Every random choice of the laboratory, from one seed. Each lane of faults and each agent draws
//! from a sequence of its own, so that what one of them chooses does not depend on how fast the
//! others run.

/// A sequence of choices: xorshift64* (Vigna 2016), seeded through splitmix64.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of a name under a seed.
    #[must_use]
    pub fn of(seed: u64, name: &str) -> Chance {
        // FNV-1a: any stable hash will do.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // xorshift must not begin with zero.
        Chance(mix(seed ^ mix(hash)) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The upper bits are the better ones; the bias of the modulus is of no account here.
        (self.next() >> 11) % bound.max(1)
    }

    /// A number from `least` up to, but not, `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least))
    }

    /// True once in so many times.
    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = usize::try_from(self.below(from.len() as u64)).expect("an index");
        from[at]
    }
}

/// splitmix64 (Steele, Lea, Flood 2014), one step: spreads what is alike. Also what the contents of
/// events are made of.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_name_say_everything() {
        let draw = |seed, name| {
            let mut chance = Chance::of(seed, name);
            (0..50).map(|_| chance.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, "worker-1"), draw(7, "worker-1"));
        assert_ne!(draw(7, "worker-1"), draw(7, "worker-2"));
        assert_ne!(draw(7, "worker-1"), draw(8, "worker-1"));
    }

    #[test]
    fn choices_cover_their_range_and_no_more() {
        let mut chance = Chance::of(1, "range");
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            seen[usize::try_from(chance.between(2, 8)).unwrap() - 2] += 1;
        }
        assert!(
            seen.iter().all(|times| (800..1200).contains(times)),
            "{seen:?}"
        );
        assert_eq!(chance.between(5, 5), 5);
    }
}
