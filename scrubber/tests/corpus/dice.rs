//! A small generator with a seed (SplitMix64): a corpus is the same on every run.

/// Digits.
pub(crate) const DIGITS: &str = "0123456789";
/// Hex digits in lower case.
pub(crate) const HEX: &str = "0123456789abcdef";
/// Letters in lower case.
pub(crate) const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
/// Letters in upper case.
pub(crate) const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Upper case letters and digits.
pub(crate) const UPPER_DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Letters and digits.
pub(crate) const ALNUM: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// The alphabet of base64url.
pub(crate) const BASE64URL: &str =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The generator.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        let at = usize::try_from(self.below(list.len() as u64)).unwrap();
        list[at]
    }

    /// Letters of an alphabet.
    pub(crate) fn text(&mut self, alphabet: &str, length: usize) -> String {
        let letters = alphabet.as_bytes();
        (0..length).map(|_| char::from(self.of(letters))).collect()
    }

    /// Letters of an alphabet, at least `low` and at most `high` of them.
    pub(crate) fn some(&mut self, alphabet: &str, low: u64, high: u64) -> String {
        let length = usize::try_from(self.between(low, high)).unwrap();
        self.text(alphabet, length)
    }

    /// A pattern with its `#` replaced by digits and its `N` by digits from 2 to 9.
    pub(crate) fn fill(&mut self, pattern: &str) -> String {
        let digit = |mark: char| match mark {
            '#' => char::from(self.of(DIGITS.as_bytes())),
            'N' => char::from(self.of(b"23456789")),
            other => other,
        };
        pattern.chars().map(digit).collect()
    }
}
