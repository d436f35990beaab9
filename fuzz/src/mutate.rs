//! A simple mutator, for runs without a guide: the same number gives the same inputs every time.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

/// Pieces that parsers react to.
const PIECES: [&[u8]; 32] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b":",
    b",",
    b"\n",
    b"\0",
    b" ",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"9223372036854775808",
    b"\\ud800",
    b"\\u0040",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"{\"a\":",
    b"[[[[",
    b"a@b.example",
    b"4111 1111 1111 1111",
    b"10.0.0.1",
    b"http://a.example/",
    b"password=",
    b"sha256=",
    b"v1,",
    b"#",
    b"%00",
];

/// An input grows no further.
const BYTES_MAX: usize = 16 * 1024;

impl Dice {
    /// Dice of a number.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Dice { state: seed }
    }

    /// 64 random bits.
    pub const fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.roll()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Another input, from one or two of those there are.
    pub fn mutate(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let pick = self.below(inputs.len());
        let mut input = inputs.get(pick).cloned().unwrap_or_default();
        for _ in 0..=self.below(4) {
            self.once(&mut input, inputs);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn once(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let to = at + self.below(input.len() - at.min(input.len()) + 1).min(64);
        let range = at.min(input.len())..to.min(input.len());
        let piece = PIECES.get(self.below(PIECES.len())).copied().unwrap_or(b"");
        match self.below(9) {
            0 => {
                let bit = 1u8 << self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= bit;
                }
            }
            1 => {
                let byte = self.roll().to_le_bytes()[0];
                if let Some(place) = input.get_mut(at) {
                    *place = byte;
                }
            }
            2 => drop(input.drain(range)),
            3 => drop(input.splice(range, piece.iter().copied())),
            4 => drop(input.splice(at..at, piece.iter().copied())),
            5 => {
                let again = input.get(range.clone()).unwrap_or(&[]).to_vec();
                drop(input.splice(range.end..range.end, again));
            }
            6 => input.truncate(at),
            7 => {
                // The front of one and the back of another.
                let pick = self.below(inputs.len());
                let other = inputs.get(pick).map_or(&[][..], Vec::as_slice);
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(other.get(from..).unwrap_or(&[]));
            }
            _ => {
                let count = 1 + self.below(64);
                drop(input.splice(at..at, piece.repeat(count)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_gives_the_same_inputs() {
        let inputs = [b"abc".to_vec(), b"{\"a\":1}".to_vec(), Vec::new()];
        let run = |seed| -> Vec<Vec<u8>> {
            let mut dice = Dice::new(seed);
            (0..200).map(|_| dice.mutate(&inputs)).collect()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(run(3).iter().all(|input| input.len() <= BYTES_MAX));
    }
}
