//! Glances at the last letters of a name, in any case: most names end here.
//!
//! A glance may be wrong, never missing: it says yes to every name that means something.

use super::words::{FOREIGN, HASH_MODIFIERS, MODIFIERS, NUMBERS, PHONES, SUFFIXES, WORDS};

/// The last three letters of every word in the tables.
#[rustfmt::skip]
const TAILS: &[&[u8; 3]] = &[
    b"ord", b"rds", b"swd", b"ort", b"ase", b"ode", b"pwd", b"ass", b"ret", b"ets",
    b"ken", b"ens", b"ion", b"ial", b"als", b"jwt", b"rer", b"otp", b"cvv", b"cvc",
    b"srf", b"uth", b"kie", b"ies", b"key", b"eys", b"lue", b"ain", b"ext", b"raw",
    b"ing", b"irm", b"eat", b"new", b"old", b"ent", b"ted", b"enc", b"der", b"ash",
    b"hed", b"est", b"one", b"nes", b"ile", b"tel", b"fax", b"ell", b"sdn", b"app",
    b"ber", b"ssn", b"sse", b"ena", b"nha", b"ana", b"slo", b"ola", b"fre", b"fon",
    b"ono", b"oon", b"mer", b"bil", b"vil", b"lar", b"tlf", b"num", b"ure",
];

/// Letters of the alphabet, with room for the marks beside them.
const LETTERS: usize = 32;

/// The last letters but two in `TAILS` (in any case), by the last two.
static TAIL_STARTS: [u32; LETTERS * LETTERS] = {
    let mut starts = [0; LETTERS * LETTERS];
    let mut index = 0;
    #[expect(clippy::indexing_slicing, reason = "checked when compiled")]
    while index < TAILS.len() {
        let [first, second, third] = *TAILS[index];
        starts[place(second, third)] |= 1 << (first & 0x1f);
        index += 1;
    }
    starts
};

const fn place(second: u8, third: u8) -> usize {
    (second & 0x1f) as usize * LETTERS + (third & 0x1f) as usize
}

/// A glance at the last letters: most names end here.
#[inline]
pub(crate) fn may_matter(name: &[u8]) -> bool {
    match name {
        [.., 0x80..=0xff, _] => true,
        [.., a, b, c] if c.is_ascii_alphabetic() => {
            let starts = TAIL_STARTS.get(place(*b, *c)).copied().unwrap_or(0);
            starts >> (a & 0x1f) & 1 == 1 && ends_in_word(name)
                || matches!((b | 0x20, c | 0x20), (b'p', b'w') | (b'n', b'o' | b'r'))
                    && divides(*a, *b)
        }
        [_, _, ..] => true,
        _ => false,
    }
}

/// A second glance, at a few letters more: `port` is no `passwort`.
fn ends_in_word(name: &[u8]) -> bool {
    let word = |length: usize| {
        let start = name.len().checked_sub(length);
        start.is_some_and(|start| match name.get(start.wrapping_sub(1)..=start) {
            Some([before, first]) => divides(*before, *first),
            _ => true,
        })
    };
    SIXES.have(name)
        || THREES.have(name) && word(3)
        || FOURS.have(name) && word(4)
        || FIVES.have(name) && word(5)
}

/// Whether a word may start between two bytes. The first may end an escape: `%20pwd`, `%5Btoken`.
const fn divides(before: u8, first: u8) -> bool {
    !before.is_ascii_lowercase() || first.is_ascii_uppercase()
}

/// Ends of words, so many letters of each, in any case: a set that may have too many, never too
/// few.
struct Ends<const COUNT: usize>([u64; 64]);

/// The words of three, four and five letters, and the ends of the longer ones.
static THREES: Ends<3> = Ends::of(3);
static FOURS: Ends<4> = Ends::of(4);
static FIVES: Ends<5> = Ends::of(5);
static SIXES: Ends<6> = Ends::of(usize::MAX);

/// The tables of words, but for the first, which says more of each.
const TABLES: &[&[&[u8]]] = &[
    SUFFIXES,
    MODIFIERS,
    HASH_MODIFIERS,
    PHONES,
    NUMBERS,
    &[b"key", b"keys", b"tokens", b"signature", b"ssn"],
];

impl<const COUNT: usize> Ends<COUNT> {
    /// Those of the words with at least so many letters as are looked at, and at most `longest`.
    #[expect(clippy::indexing_slicing, reason = "checked when compiled")]
    const fn of(longest: usize) -> Ends<COUNT> {
        let mut ends = Ends([0; 64]);
        let mut index = 0;
        while index < WORDS.len() {
            ends = ends.with(WORDS[index].0, longest);
            index += 1;
        }
        index = 0;
        while index < FOREIGN.len() {
            ends = ends.with(FOREIGN[index].as_bytes(), longest);
            index += 1;
        }
        let mut table = 0;
        while table < TABLES.len() {
            index = 0;
            while index < TABLES[table].len() {
                ends = ends.with(TABLES[table][index], longest);
                index += 1;
            }
            table += 1;
        }
        ends
    }

    #[expect(clippy::indexing_slicing, reason = "checked when compiled")]
    const fn with(mut self, word: &[u8], longest: usize) -> Ends<COUNT> {
        if let (Some(end), true) = (word.last_chunk::<COUNT>(), word.len() <= longest) {
            let (place, bit) = Ends::place(end);
            self.0[place] |= 1 << bit;
        }
        self
    }

    /// Where the bit of some letters is.
    #[expect(clippy::indexing_slicing, reason = "up to the length of the array")]
    const fn place(end: &[u8; COUNT]) -> (usize, u32) {
        let (mut code, mut index) = (0u32, 0);
        while index < COUNT {
            code = code << 5 | (end[index] & 0x1f) as u32;
            index += 1;
        }
        // Fibonacci hashing (Knuth, "The Art of Computer Programming", 6.4): the upper bits of the
        // product with the golden ratio.
        let spread = code.wrapping_mul(0x9e37_79b1) >> 20;
        ((spread >> 6) as usize, spread & 63)
    }

    fn have(&self, name: &[u8]) -> bool {
        let end = name.last_chunk::<COUNT>();
        end.is_some_and(|end| {
            let (place, bit) = Ends::place(end);
            self.0.get(place).copied().unwrap_or(0) >> bit & 1 == 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KeyKind, kind};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_glance_misses_no_word() {
        let words = WORDS
            .iter()
            .map(|(word, _)| *word)
            .chain(SUFFIXES.iter().copied());
        let more = MODIFIERS
            .iter()
            .chain(HASH_MODIFIERS)
            .chain(PHONES)
            .copied();
        let more = more.chain(NUMBERS.iter().copied());
        let foreign = FOREIGN.iter().map(|word| word.as_bytes());
        let single: [&[u8]; 6] = [b"key", b"keys", b"tokens", b"signature", b"x_no", b"ssn"];
        for word in words.chain(more).chain(foreign).chain(single) {
            assert!(may_matter(word), "{}", String::from_utf8_lossy(word));
        }
    }

    #[test]
    fn the_glance_ends_most_names() {
        for name in [
            "port", "PORT", "duration", "version", "action", "user", "casino", "database", "x_no1",
        ] {
            assert_eq!(may_matter(name.as_bytes()), name == "x_no1", "{name}");
        }
    }

    proptest! {
        /// However a word is written and whatever stands before it.
        #[test]
        fn the_glance_misses_no_name(
            before in "[a-zA-Z_.0-9-]{0,6}(has|ssn|phone|mobile|api|access|amz)?[_.-]?",
            word in 0usize..200,
            style in 0usize..3,
            after in "(_?(hash|value|no|nr|number|Number))?[0-9_]{0,2}",
        ) {
            let words: Vec<&[u8]> = WORDS
                .iter()
                .map(|(word, _)| *word)
                .chain(TABLES.iter().copied().flatten().copied())
                .chain(FOREIGN.iter().map(|word| word.as_bytes()))
                .collect();
            let word = str::from_utf8(words[word % words.len()]).unwrap();
            let mut letters = word.chars();
            let first = letters.next().unwrap();
            let word = match style {
                0 => word.to_owned(),
                1 => word.to_uppercase(),
                _ => format!("{}{}", first.to_uppercase(), letters.as_str()),
            };
            let name = format!("{before}{word}{after}");
            if kind(name.as_bytes()) != KeyKind::Plain {
                prop_assert!(may_matter(name.as_bytes()), "{name}");
            }
        }
    }
}
