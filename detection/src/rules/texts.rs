//! Which of many texts stand in a value, case aside, at a fraction of a step a byte.
//!
//! Texts that are a whole value, or stand at its beginning or end, are looked up by their bytes
//! there, eight at most; texts that may stand anywhere by [`Grams`]. Small bitmaps say of most bytes
//! that they belong to none. Everything found is compared in full; nothing is allocated while
//! looking.

use super::filter::{Filtered, Span};
use super::grams::Grams;
use super::packed::Packed;
use super::tiny::Tiny;

/// Bytes of the longest key of an edge.
const KEY: usize = 8;
/// What makes the two cases of a letter one (and a few other bytes, which the comparison in full
/// tells apart).
const FOLD: u64 = 0x2020_2020_2020_2020;
/// Bytes of the shortest text that is looked for anywhere whatever it begins with.
pub(super) const SHORTEST: usize = Pairs::SHORTEST;
/// Bytes from which on a text is found by long grams.
pub(super) const LONG: usize = Long::SHORTEST;

type Long = Grams<4, 5>;
type Short = Grams<3, 2>;
type Pairs = Grams<2, 2>;

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Stand {
    /// It is the whole value.
    Whole,
    Start,
    End,
    /// Anywhere; such a text has [`SHORTEST`] bytes or more, or begins with a rare one.
    Anywhere,
}

/// A text in lower case with the rules that want it.
pub(super) type Wanted<'w> = ((Stand, &'w str), Vec<u32>);

/// The texts that rules look for in one place.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Box<[u8]>,
    rules: Box<[u32]>,
    patterns: Box<[Pattern]>,
    whole: Filtered<u32>,
    starts: Edges,
    ends: Edges,
    long: Long,
    short: Short,
    pairs: Pairs,
    packed: Packed,
    tiny: Tiny,
    /// Whether a number, as it is written, may hold one of them.
    in_numbers: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pattern {
    text: Span,
    rules: Span,
}

/// Patterns by the bytes at an edge.
#[derive(Debug, Default)]
struct Edges {
    /// By the byte nearest to the edge, the next, and the one behind that: the lengths of the keys that
    /// have it there, a bit each, so that most edges of values are looked up under none.
    lengths: [[u8; CLASSES]; NEAREST],
    table: Filtered<u32>,
}

/// Bytes at an edge that say which lengths are worth looking up.
const NEAREST: usize = 3;
/// Classes of bytes: the two cases of a letter are in one.
const CLASSES: usize = 32;

/// The class of the byte at a place of an edge, the nearest first.
#[inline]
fn class(edge: u64, place: usize) -> usize {
    let byte = edge.to_le_bytes().get(place).copied();
    usize::from(byte.unwrap_or(0)) % CLASSES
}

/// The first bytes of a text, the first of all lowest.
#[inline]
fn head(text: &[u8]) -> u64 {
    match text.first_chunk::<KEY>() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => text
            .iter()
            .rfold(0, |key, byte| key << 8 | u64::from(*byte)),
    }
}

/// The last bytes of a text, the last of all lowest.
#[inline]
fn tail(text: &[u8]) -> u64 {
    match text.last_chunk::<KEY>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => text.iter().fold(0, |key, byte| key << 8 | u64::from(*byte)),
    }
}

/// So many of the lowest bytes, case aside.
#[inline]
const fn cut(key: u64, length: usize) -> u64 {
    if length >= KEY {
        key | FOLD
    } else {
        (key | FOLD) & ((1 << (8 * length)) - 1)
    }
}

/// The key of a whole text.
#[inline]
const fn whole(tail: u64, length: usize) -> u64 {
    cut(tail, length) ^ (length as u64).rotate_right(8)
}

/// Whether a text in lower case could be part of a number as it is written.
fn is_numeric(text: &str) -> bool {
    let in_numbers = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let of_no_digits = ["-inf", "nan"];
    text.bytes().all(in_numbers) || of_no_digits.iter().any(|number| number.contains(text))
}

impl Texts {
    /// Puts the texts together.
    pub(super) fn build(wanted: &[Wanted<'_>]) -> Texts {
        let (mut bytes, mut rules, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
        for ((_, text), of_text) in wanted {
            let (byte, rule) = (bytes.len(), rules.len());
            bytes.extend_from_slice(text.as_bytes());
            rules.extend_from_slice(of_text);
            patterns.push(Pattern {
                text: Span::new(byte, bytes.len()),
                rules: Span::new(rule, rules.len()),
            });
        }
        let of = |is_meant: &dyn Fn(Stand, usize) -> bool| -> Vec<(u32, &[u8])> {
            let numbered = (0..).zip(wanted);
            let texts = numbered.map(|(number, ((stand, text), _))| (number, *stand, text));
            let texts = texts.filter(|(_, stand, text)| is_meant(*stand, text.len()));
            texts
                .map(|(number, _, text)| (number, text.as_bytes()))
                .collect()
        };
        let anywhere = |from: usize, below: usize| {
            of(&|stand, bytes| stand == Stand::Anywhere && (from..below).contains(&bytes))
        };
        let wholes = of(&|stand, _| stand == Stand::Whole).into_iter();
        let wholes = wholes.map(|(number, text)| (whole(tail(text), text.len()), number));
        let in_numbers = |(stand, text): &(Stand, &str)| *stand != Stand::Whole && is_numeric(text);
        Texts {
            whole: Filtered::new(wholes.collect()),
            starts: Edges::new(&of(&|stand, _| stand == Stand::Start), head),
            ends: Edges::new(&of(&|stand, _| stand == Stand::End), tail),
            long: Long::new(&anywhere(LONG, usize::MAX)),
            short: Short::new(&anywhere(Short::SHORTEST, LONG)),
            pairs: Pairs::new(&anywhere(SHORTEST, Short::SHORTEST)),
            packed: Packed::default(),
            tiny: Tiny::new(&anywhere(1, SHORTEST)),
            in_numbers: wanted.iter().any(|(wanted, _)| in_numbers(wanted)),
            bytes: bytes.into(),
            rules: rules.into(),
            patterns: patterns.into(),
        }
    }

    /// Whether some may stand anywhere, so that a value is read from its beginning to its end.
    #[inline]
    pub(super) fn are_searched_for(&self) -> bool {
        let are_none = self.long.is_empty() && self.short.is_empty();
        !(are_none && self.pairs.is_empty() && self.tiny.is_empty())
    }

    /// Whether a number, as it is written, may hold one of the texts.
    pub(super) fn are_in_numbers(&self) -> bool {
        self.in_numbers
    }

    /// Puts texts that may stand anywhere together for much text in lower case.
    pub(super) fn build_for_much(wanted: &[Wanted<'_>]) -> Texts {
        let texts = Texts::build(wanted);
        let short = (0..)
            .zip(wanted)
            .filter(|(_, ((_, text), _))| (SHORTEST..LONG).contains(&text.len()));
        let short: Vec<_> = short
            .map(|(number, ((_, text), _))| (number, text.as_bytes()))
            .collect();
        match Packed::new(&short) {
            Some(packed) => Texts {
                packed,
                short: Short::default(),
                pairs: Pairs::default(),
                ..texts
            },
            None => texts,
        }
    }

    /// Hands over the candidates of a value, perhaps several times.
    #[inline]
    pub(super) fn each(&self, value: &[u8], candidates: &mut impl FnMut(&[u32])) {
        let mut compare = |number: u32, from: usize| {
            if let Some(pattern) = self.patterns.get(number as usize)
                && pattern.stands(&self.bytes, value, from)
            {
                candidates(pattern.rules.of(&self.rules));
            }
        };
        if !self.whole.is_empty() {
            for number in self.whole.of(whole(tail(value), value.len())) {
                if self.bytes_of(*number) == value.len() {
                    compare(*number, 0);
                }
            }
        }
        self.starts
            .each(head(value), value.len(), |number| compare(number, 0));
        self.ends.each(tail(value), value.len(), |number| {
            if let Some(from) = value.len().checked_sub(self.bytes_of(number)) {
                compare(number, from);
            }
        });
        self.long.each(value, &mut compare);
        self.short.each(value, &mut compare);
        self.pairs.each(value, &mut compare);
        self.packed.each(value, &mut compare);
        self.tiny.each(value, &mut compare);
    }

    fn bytes_of(&self, number: u32) -> usize {
        let pattern = self.patterns.get(number as usize);
        pattern.map_or(0, |pattern| pattern.text.of(&self.bytes).len())
    }
}

impl Pattern {
    #[inline]
    fn stands(self, bytes: &[u8], value: &[u8], from: usize) -> bool {
        let text = self.text.of(bytes);
        let part = value.get(from..from + text.len());
        part.is_some_and(|part| part.eq_ignore_ascii_case(text))
    }
}

impl Edges {
    fn new(texts: &[(u32, &[u8])], edge: impl Fn(&[u8]) -> u64) -> Edges {
        let mut lengths = [[0; CLASSES]; NEAREST];
        for (_, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
            let bit = 1 << (text.len().min(KEY) - 1);
            for (place, lengths) in lengths.iter_mut().enumerate() {
                let class = class(edge(text), place);
                for (number, lengths) in lengths.iter_mut().enumerate() {
                    // A text that ends before the place has any byte there.
                    if place >= text.len() || number == class {
                        *lengths |= bit;
                    }
                }
            }
        }
        let keys = texts.iter();
        let keys = keys.map(|(number, text)| (cut(edge(text), text.len()), *number));
        Edges {
            lengths,
            table: Filtered::new(keys.collect()),
        }
    }

    #[inline]
    fn each(&self, edge: u64, bytes: usize, mut found: impl FnMut(u32)) {
        if self.table.is_empty() {
            return;
        }
        // Keys are no longer than the value.
        let mut left = match bytes {
            0 => 0,
            1..KEY => u8::MAX >> (KEY - bytes),
            _ => u8::MAX,
        };
        for (place, lengths) in self.lengths.iter().enumerate() {
            left &= lengths.get(class(edge, place)).copied().unwrap_or(0);
        }
        while left != 0 {
            let length = left.trailing_zeros() as usize + 1;
            left &= left - 1;
            for number in self.table.of(cut(edge, length)) {
                found(*number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn stands() -> impl Strategy<Value = Stand> {
        prop::sample::select(vec![
            Stand::Whole,
            Stand::Start,
            Stand::End,
            Stand::Anywhere,
        ])
    }

    #[test]
    fn every_part_of_a_number_is_known_as_one() {
        for number in [-0.5, 1e21, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let written = number.to_string().to_ascii_lowercase();
            for from in 0..written.len() {
                for to in from + 1..=written.len() {
                    assert!(is_numeric(&written[from..to]), "{written}");
                }
            }
        }
        assert!(!is_numeric("1e5") && !is_numeric("info"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn every_text_is_found_where_it_stands_and_only_there(
            wanted in prop::collection::vec((stands(), "[abcä@`]{0,14}"), 1..20),
            text in "[abcABCä@`]{0,40}",
        ) {
            let texts: Vec<String> = wanted.iter().map(|(_, text)| text.to_ascii_lowercase()).collect();
            let mut rules: BTreeMap<(Stand, &str), Vec<u32>> = BTreeMap::new();
            for (number, ((stand, _), text)) in (0..).zip(wanted.iter().zip(&texts)) {
                let is_looked_for = match stand {
                    Stand::Whole => true,
                    Stand::Start | Stand::End => !text.is_empty(),
                    Stand::Anywhere => text.len() >= SHORTEST || text.starts_with(['@', '`']),
                };
                if is_looked_for {
                    rules.entry((*stand, text)).or_default().push(number);
                }
            }
            let rules: Vec<Wanted<'_>> = rules.into_iter().collect();
            let lower = text.to_ascii_lowercase();
            let is_there = |stand: Stand, wanted: &str| match stand {
                Stand::Whole => lower == wanted,
                Stand::Start => lower.starts_with(wanted),
                Stand::End => lower.ends_with(wanted),
                Stand::Anywhere => lower.contains(wanted),
            };
            let there = rules.iter().filter(|((stand, text), _)| is_there(*stand, text));
            let expected: BTreeSet<u32> = there.flat_map(|(_, rules)| rules.clone()).collect();
            let mut found = BTreeSet::new();
            let texts = Texts::build(&rules);
            texts.each(text.as_bytes(), &mut |rules| found.extend(rules.to_vec()));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn much_text_holds_what_it_holds(
            wanted in prop::collection::btree_set("[abc]{3,9}", 1..90),
            text in "[abc\0]{0,200}",
        ) {
            let numbered = (0..).zip(&wanted);
            let rules: Vec<Wanted<'_>> = numbered
                .map(|(number, text)| ((Stand::Anywhere, text.as_str()), vec![number]))
                .collect();
            let there = (0..).zip(&wanted).filter(|(_, wanted)| text.contains(*wanted));
            let expected: BTreeSet<u32> = there.map(|(number, _)| number).collect();
            let mut found = BTreeSet::new();
            let texts = Texts::build_for_much(&rules);
            texts.each(text.as_bytes(), &mut |rules| found.extend(rules.to_vec()));
            prop_assert_eq!(found, expected);
        }
    }
}
