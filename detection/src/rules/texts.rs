//! Which of many texts stand in a value, case aside, at a fraction of a step a byte.
//!
//! Texts at the end or the beginning of a value are looked up by their last or first bytes. A text
//! of [`LONG`] bytes or more that stands anywhere is found by samples: any [`STRIDE`] neighbouring
//! positions within it hold one of the positions that are looked at, so of each text the four
//! bytes at so many positions, where they are rarest, are put into a table (after S. Wu and
//! U. Manber, "A fast algorithm for multi-pattern searching", 1994). A small bitmap says of most
//! samples that they are in no table. Shorter texts are left to an Aho–Corasick automaton.
//!
//! Everything found is compared in full; nothing is allocated while looking.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Bytes of a sample.
const SAMPLE: usize = 4;
/// Bytes from which on a text is found by samples.
pub(super) const LONG: usize = 8;
/// From one sample to the next.
const STRIDE: usize = LONG - SAMPLE + 1;
/// Bytes of a key of an end or beginning that is long enough; else [`SAMPLE`].
const KEY: usize = 8;
/// Words of the bitmap: 8 kB, which stay in the first cache.
const BITMAP_WORDS: usize = 1024;
/// Patterns up to which the automaton is a full table, which is faster and larger.
const DFA_PATTERNS_MAX: usize = 2_000;

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stand {
    Start,
    End,
    Anywhere,
}

/// Texts in lower case with the rules that want them, by where they stand.
pub(super) type Wanted = HashMap<(Stand, Box<str>), Vec<u32>>;

/// The texts that rules look for in one slot.
#[derive(Debug, Default)]
pub(super) struct Texts {
    patterns: Vec<Pattern>,
    starts: Edges,
    ends: Edges,
    samples: Samples,
    short: Option<Short>,
}

#[derive(Debug)]
struct Pattern {
    text: Box<[u8]>,
    rules: Box<[u32]>,
}

/// Patterns by the bytes at their edge.
#[derive(Debug, Default)]
struct Edges {
    long: HashMap<u64, Vec<u32>, FixedState>,
    short: HashMap<u32, Vec<u32>, FixedState>,
}

#[derive(Debug)]
struct Samples {
    bitmap: Box<[u64]>,
    /// By the sample: patterns, and where in them it stands.
    table: HashMap<u32, Vec<(u32, u32)>, FixedState>,
}

impl Default for Samples {
    fn default() -> Self {
        Samples {
            bitmap: vec![0; BITMAP_WORDS].into(),
            table: HashMap::default(),
        }
    }
}

#[derive(Debug)]
struct Short {
    automaton: AhoCorasick,
    patterns: Vec<u32>,
}

/// Four bytes, of which those of a letter's two cases are the same.
#[inline]
fn sample(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<SAMPLE>()?;
    Some(u32::from_le_bytes(*bytes) | 0x2020_2020)
}

fn key(bytes: &[u8; KEY]) -> u64 {
    u64::from_le_bytes(*bytes) | 0x2020_2020_2020_2020
}

/// The bit of a sample (D. Knuth's multiplicative hashing).
#[inline]
const fn bit(sample: u32) -> (usize, u64) {
    let hash = sample.wrapping_mul(0x9E37_79B1) >> 16;
    ((hash >> 6) as usize, 1 << (hash & 63))
}

impl Texts {
    /// Puts the texts together; `None` when there are too many short ones.
    pub(super) fn build(wanted: &Wanted) -> Option<Texts> {
        let mut texts = Texts::default();
        let mut long = Vec::new();
        let mut short = Vec::new();
        for ((stand, text), rules) in wanted {
            let number = u32::try_from(texts.patterns.len()).ok()?;
            let bytes = text.as_bytes();
            match stand {
                Stand::Start if bytes.len() >= SAMPLE => texts.starts.add_start(number, bytes),
                Stand::End if bytes.len() >= SAMPLE => texts.ends.add_end(number, bytes),
                Stand::Start | Stand::End | Stand::Anywhere if bytes.len() >= LONG => {
                    long.push(number);
                }
                Stand::Start | Stand::End | Stand::Anywhere => short.push(number),
            }
            texts.patterns.push(Pattern {
                text: bytes.into(),
                rules: rules.as_slice().into(),
            });
        }
        texts.samples.add(&texts.patterns, &long);
        if !short.is_empty() {
            texts.short = Some(Short::new(&texts.patterns, short)?);
        }
        Some(texts)
    }

    /// Hands over the candidates of a text, perhaps several times.
    #[inline]
    pub(super) fn each(&self, text: &str, mut candidates: impl FnMut(&[u32])) {
        let text = text.as_bytes();
        let mut hand_over = |number: u32, from: usize| {
            if let Some(pattern) = self.patterns.get(number as usize)
                && pattern.stands(text, from)
            {
                candidates(&pattern.rules);
            }
        };
        for number in self.starts.of_start(text) {
            hand_over(*number, 0);
        }
        for number in self.ends.of_end(text) {
            let bytes = self
                .patterns
                .get(*number as usize)
                .map_or(0, |one| one.text.len());
            if let Some(from) = text.len().checked_sub(bytes) {
                hand_over(*number, from);
            }
        }
        self.samples.each(text, &mut hand_over);
        if let Some(short) = &self.short {
            for found in short.automaton.find_overlapping_iter(text) {
                if let Some(number) = short.patterns.get(found.pattern().as_usize()) {
                    hand_over(*number, found.start());
                }
            }
        }
    }
}

impl Pattern {
    #[inline]
    fn stands(&self, text: &[u8], from: usize) -> bool {
        text.get(from..from + self.text.len())
            .is_some_and(|part| part.eq_ignore_ascii_case(&self.text))
    }
}

impl Edges {
    fn add_start(&mut self, number: u32, text: &[u8]) {
        match text.first_chunk::<KEY>() {
            Some(edge) => self.long.entry(key(edge)).or_default().push(number),
            None => self.add_short(number, text.first_chunk::<SAMPLE>()),
        }
    }

    fn add_end(&mut self, number: u32, text: &[u8]) {
        match text.last_chunk::<KEY>() {
            Some(edge) => self.long.entry(key(edge)).or_default().push(number),
            None => self.add_short(number, text.last_chunk::<SAMPLE>()),
        }
    }

    fn add_short(&mut self, number: u32, edge: Option<&[u8; SAMPLE]>) {
        if let Some(edge) = edge {
            let key = u32::from_le_bytes(*edge) | 0x2020_2020;
            self.short.entry(key).or_default().push(number);
        }
    }

    #[inline]
    fn of_start(&self, text: &[u8]) -> impl Iterator<Item = &u32> {
        self.of(text.first_chunk::<KEY>(), text.first_chunk::<SAMPLE>())
    }

    #[inline]
    fn of_end(&self, text: &[u8]) -> impl Iterator<Item = &u32> {
        self.of(text.last_chunk::<KEY>(), text.last_chunk::<SAMPLE>())
    }

    #[inline]
    fn of(
        &self,
        long: Option<&[u8; KEY]>,
        short: Option<&[u8; SAMPLE]>,
    ) -> impl Iterator<Item = &u32> {
        let long = long.filter(|_| !self.long.is_empty());
        let long = long.and_then(|edge| self.long.get(&key(edge)));
        let short = short.filter(|_| !self.short.is_empty()).and_then(|edge| {
            let key = u32::from_le_bytes(*edge) | 0x2020_2020;
            self.short.get(&key)
        });
        long.into_iter().chain(short).flatten()
    }
}

impl Samples {
    fn add(&mut self, patterns: &[Pattern], long: &[u32]) {
        let texts = || {
            let pattern = |number: &u32| Some((*number, &*patterns.get(*number as usize)?.text));
            long.iter().filter_map(pattern)
        };
        // How many texts have a sample: those of paths that every other text has are shunned.
        let mut shared: HashMap<u32, u32, FixedState> = HashMap::default();
        for (_, text) in texts() {
            for at in 0..text.len() {
                if let Some(sample) = sample(text, at) {
                    *shared.entry(sample).or_default() += 1;
                }
            }
        }
        for (number, text) in texts() {
            let cost = |from: usize| -> u32 {
                let samples = (from..from + STRIDE).filter_map(|at| sample(text, at));
                samples.filter_map(|sample| shared.get(&sample)).sum()
            };
            let from = (0..=text.len() - LONG)
                .min_by_key(|from| cost(*from))
                .unwrap_or(0);
            for at in from..from + STRIDE {
                let (Some(sample), Ok(offset)) = (sample(text, at), u32::try_from(at)) else {
                    continue;
                };
                self.table.entry(sample).or_default().push((number, offset));
                let (word, bit) = bit(sample);
                if let Some(word) = self.bitmap.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }

    #[inline]
    fn each(&self, text: &[u8], hand_over: &mut impl FnMut(u32, usize)) {
        if self.table.is_empty() {
            return;
        }
        let mut at = 0;
        while let Some(sample) = sample(text, at) {
            let (word, bit) = bit(sample);
            if self.bitmap.get(word).is_some_and(|word| word & bit != 0)
                && let Some(found) = self.table.get(&sample)
            {
                for (number, offset) in found {
                    if let Some(from) = at.checked_sub(*offset as usize) {
                        hand_over(*number, from);
                    }
                }
            }
            at += STRIDE;
        }
    }
}

impl Short {
    fn new(patterns: &[Pattern], short: Vec<u32>) -> Option<Short> {
        let kind = (short.len() <= DFA_PATTERNS_MAX).then_some(AhoCorasickKind::DFA);
        let texts = short
            .iter()
            .filter_map(|number| Some(&patterns.get(*number as usize)?.text));
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(kind)
            .build(texts)
            .ok()?;
        Some(Short {
            automaton,
            patterns: short,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn stands() -> impl Strategy<Value = Stand> {
        prop::sample::select(vec![Stand::Start, Stand::End, Stand::Anywhere])
    }

    proptest! {
        #[test]
        fn every_text_is_found_where_it_stands_and_ends_only_there(
            wanted in prop::collection::vec((stands(), "[abcä@`]{1,14}"), 1..20),
            text in "[abcABCä@`]{0,40}",
        ) {
            let mut rules = Wanted::default();
            for (number, (stand, wanted)) in (0..).zip(&wanted) {
                let key = (*stand, wanted.to_lowercase().into());
                rules.entry(key).or_default().push(number);
            }
            let mut found = BTreeSet::new();
            Texts::build(&rules).unwrap().each(&text, |rules| found.extend(rules.to_vec()));
            let lower = text.to_ascii_lowercase();
            for (number, (stand, wanted)) in (0_u32..).zip(&wanted) {
                let is = match stand {
                    Stand::Start => lower.starts_with(wanted),
                    Stand::End => lower.ends_with(wanted),
                    Stand::Anywhere => lower.contains(wanted),
                };
                // Short texts of an edge are looked for anywhere.
                let may = is || wanted.len() < SAMPLE;
                prop_assert!(!is || found.contains(&number), "{} {}", wanted, text);
                prop_assert!(may || !found.contains(&number), "{} {}", wanted, text);
            }
        }
    }
}
