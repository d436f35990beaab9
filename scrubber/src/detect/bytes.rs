//! Small questions about bytes and their neighbours that all detectors ask.
//!
//! Positions outside the text read as zero, which is no letter, no digit and no mark.

/// The byte at a position.
#[inline]
pub(crate) fn at(text: &[u8], index: usize) -> u8 {
    text.get(index).copied().unwrap_or(0)
}

/// The byte before a position.
#[inline]
pub(crate) fn before(text: &[u8], index: usize) -> u8 {
    at(text, index.wrapping_sub(1))
}

/// Letters, digits and `_`: what identifiers are made of.
#[inline]
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The part of the text from a position on.
#[inline]
pub(crate) fn from(text: &[u8], index: usize) -> &[u8] {
    text.get(index..).unwrap_or_default()
}

/// How far detectors look on and back. Longer is nothing they know; the bounds keep the time linear
/// for texts that are made to be slow.
const LOOK_ON: usize = 4096;
const LOOK_BACK: usize = 600;

/// How many bytes from a position on are of a kind, counted to `LOOK_ON`.
#[inline]
pub(crate) fn run(text: &[u8], index: usize, kind: impl Fn(u8) -> bool) -> usize {
    let tail = from(text, index);
    tail.iter()
        .take(LOOK_ON)
        .take_while(|byte| kind(**byte))
        .count()
}

/// How many bytes before a position are of a kind, counted to `LOOK_BACK`.
#[inline]
pub(crate) fn run_before(text: &[u8], index: usize, kind: impl Fn(u8) -> bool) -> usize {
    let head = text.get(..index).unwrap_or_default();
    head.iter()
        .rev()
        .take(LOOK_BACK)
        .take_while(|byte| kind(**byte))
        .count()
}

/// Whether the text goes on with these bytes, in any case.
#[inline]
pub(crate) fn starts_ci(text: &[u8], index: usize, lower: &[u8]) -> bool {
    text.get(index..index + lower.len())
        .is_some_and(|part| part.eq_ignore_ascii_case(lower))
}

/// Whether the text before a position ends with these bytes, in any case.
#[inline]
pub(crate) fn ends_ci(text: &[u8], end: usize, lower: &[u8]) -> bool {
    end >= lower.len() && starts_ci(text, end - lower.len(), lower)
}

/// Words to look for before and after a number, with the letters they begin with.
pub(crate) struct Context {
    words: &'static [&'static [u8]],
    initials: u32,
}

impl Context {
    /// Words in lower case.
    pub(crate) const fn new(words: &'static [&'static [u8]]) -> Context {
        let mut initials = 0;
        let mut index = 0;
        while index < words.len() {
            #[expect(clippy::indexing_slicing, reason = "checked when compiled")]
            let first = words[index][0];
            initials |= 1 << (first & 0x1f);
            index += 1;
        }
        Context { words, initials }
    }

    /// Whether one of the words starts a word within the range, in any case.
    pub(crate) fn is_in(&self, text: &[u8], from: usize, to: usize) -> bool {
        let range = text.get(from..to.min(text.len())).unwrap_or_default();
        let mut last = before(text, from);
        range.iter().enumerate().any(|(index, byte)| {
            let starts = byte.is_ascii_alphabetic()
                && !last.is_ascii_alphabetic()
                && self.initials >> (byte & 0x1f) & 1 == 1;
            last = *byte;
            starts
                && self
                    .words
                    .iter()
                    .any(|word| starts_ci(text, from + index, word))
        })
    }
}
