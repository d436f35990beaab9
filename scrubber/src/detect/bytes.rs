//! Small questions about bytes and their neighbours that all detectors ask.
//!
//! Positions outside the text read as zero, which is no letter, no digit and no mark.

use crate::replace::{has_hash_at, is_placeholder};

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

/// The byte that a reader sees before a position, and the one before that. An escape there (`\n` of
/// JSON, `%3D` of an address) reads as what it stands for, not as the letter that it ends with.
pub(crate) fn two_before(text: &[u8], index: usize) -> (u8, u8) {
    let (last, earlier) = (before(text, index), before(text, index.wrapping_sub(1)));
    if earlier == b'\\' && is_escape(last) {
        return (b' ', earlier);
    }
    if !last.is_ascii_alphanumeric() && earlier.is_ascii_alphanumeric() {
        return (last, two_before(text, index.wrapping_sub(1)).0);
    }
    for (length, escape) in [(3, percent(text, index)), (6, unicode(text, index))] {
        if let Some(byte) = escape {
            return (byte, before(text, index.wrapping_sub(length)));
        }
    }
    (last, earlier)
}

/// The first of [`two_before`].
pub(crate) fn seen_before(text: &[u8], index: usize) -> u8 {
    two_before(text, index).0
}

/// Letters that stand for white space behind a backslash.
pub(crate) const fn is_escape(letter: u8) -> bool {
    matches!(letter, b'n' | b'r' | b't' | b'b' | b'f')
}

/// The byte of the percent escape that ends at a position.
fn percent(text: &[u8], end: usize) -> Option<u8> {
    let start = end.checked_sub(3)?;
    let digits = text.get(start + 1..end)?;
    (at(text, start) == b'%')
        .then(|| hex(digits))?
        .and_then(|code| u8::try_from(code).ok())
}

/// The byte of the `\u` escape that ends at a position; any beyond ASCII reads as 0x80.
fn unicode(text: &[u8], end: usize) -> Option<u8> {
    let start = end.checked_sub(6)?;
    let code = unicode_at(text, start)?;
    Some(u8::try_from(code).unwrap_or(0x80).min(0x80))
}

/// The code of the `\u` escape whose backslash is at a position.
pub(crate) fn unicode_at(text: &[u8], start: usize) -> Option<u32> {
    let escape = (at(text, start), at(text, start + 1)) == (b'\\', b'u');
    escape.then(|| hex(text.get(start + 2..start + 6)?))?
}

/// The byte of the percent escape whose sign is at a position.
pub(crate) fn percent_at(text: &[u8], start: usize) -> Option<u8> {
    percent(text, start + 3)
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, digit| {
        Some(code * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// Letters, digits and `_`: what identifiers are made of.
#[inline]
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The mark between groups of digits at a position, and its length. A space is `+` or `%20` in the
/// query of an address.
#[inline]
pub(crate) fn mark_between(text: &[u8], index: usize) -> (u8, usize) {
    match at(text, index) {
        b'%' if from(text, index).starts_with(b"%20") => (b'+', 3),
        mark => (mark, 1),
    }
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

/// Scripts that are written without spaces: behind a word of another script they are the sentence
/// that goes on, not the rest of the word.
pub(crate) const fn is_spaceless(letter: char) -> bool {
    letter as u32 >= 0x2e80
}

/// How many bytes from a position on are letters of one word, in any script, or marks of a kind.
pub(crate) fn word_length(text: &str, start: usize, mark: impl Fn(char) -> bool) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let spaceless = rest.starts_with(is_spaceless);
    let of_word = |letter: char| {
        letter.is_ascii_alphanumeric()
            || mark(letter)
            || !letter.is_ascii()
                && letter.is_alphanumeric()
                && (spaceless || !is_spaceless(letter))
    };
    let near = rest.char_indices().take(LOOK_ON);
    let mut after = near.skip_while(|(_, letter)| of_word(*letter));
    after.next().map_or(rest.len().min(LOOK_ON), |(end, _)| end)
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

/// Words to look for before and after a number, with the second and third letters there are for each
/// first: most words of a text end at a glance.
pub(crate) struct Context {
    words: &'static [&'static [u8]],
    seconds: [u32; 32],
    thirds: [u32; 32],
}

impl Context {
    /// Words in lower case; those of other scripts are taken as they are.
    pub(crate) const fn new(words: &'static [&'static [u8]]) -> Context {
        let (mut seconds, mut thirds) = ([0; 32], [0; 32]);
        let mut index = 0;
        #[expect(clippy::indexing_slicing, reason = "checked when compiled")]
        while index < words.len() {
            let word = words[index];
            let first = (word[0] & 0x1f) as usize;
            seconds[first] |= 1 << (word[1] & 0x1f);
            thirds[first] |= match word.len() {
                2 => u32::MAX,
                _ => 1 << (word[2] & 0x1f),
            };
            index += 1;
        }
        Context {
            words,
            seconds,
            thirds,
        }
    }

    /// A glance at three letters.
    #[inline]
    fn may_start(&self, text: &[u8], index: usize) -> bool {
        let first = usize::from(at(text, index) & 0x1f);
        let has = |letters: &[u32; 32], index: usize| {
            let letters = letters.get(first).copied().unwrap_or(0);
            letters >> (at(text, index) & 0x1f) & 1 == 1
        };
        has(&self.seconds, index + 1) && has(&self.thirds, index + 2)
    }

    /// Whether one of the words starts a word within the range, in any case.
    pub(crate) fn is_in(&self, text: &[u8], from: usize, to: usize) -> bool {
        self.first(text, from, to).is_some()
    }

    /// Where the last of the words within the range ends.
    pub(crate) fn last_end(&self, text: &[u8], from: usize, to: usize) -> Option<usize> {
        let (mut from, mut last) = (from, None);
        while let Some((next, end)) = self.first(text, from, to) {
            (from, last) = (next, Some(end));
        }
        last
    }

    /// The first word that starts a word within the range: where to look on, and where it ends.
    /// Words of other scripts count wherever they stand: not all of these divide words.
    fn first(&self, text: &[u8], from: usize, to: usize) -> Option<(usize, usize)> {
        let range = text.get(from..to.min(text.len())).unwrap_or_default();
        let (mut last, earlier) = (before(text, from), before(text, from.wrapping_sub(1)));
        let mut inside = last.is_ascii_alphabetic() && !(earlier == b'\\' && is_escape(last));
        for (index, byte) in range.iter().enumerate() {
            let letter = byte.is_ascii_alphabetic();
            let starts = letter && !inside || *byte >= 0xc0;
            // Behind an escape, such as the `\n` of JSON, another word begins.
            inside = letter && !(last == b'\\' && is_escape(*byte));
            last = *byte;
            let place = from + index;
            if starts
                && self.may_start(text, place)
                && let Some(end) = self.end_of(text, place)
            {
                return Some((place + 1, end));
            }
        }
        None
    }

    /// Where the word ends that stands at a place.
    #[inline(never)]
    fn end_of(&self, text: &[u8], place: usize) -> Option<usize> {
        let here = |word: &&&[u8]| starts_ci(text, place, word);
        let word = self.words.iter().find(here)?;
        let end = place + word.len();
        // What stands for a value that was taken out (`[PHONE]`, `phone:v1:…`) speaks of nothing.
        let around = text.get(place.saturating_sub(1)..=end);
        let is_mark = around.is_some_and(is_placeholder) || has_hash_at(text, end);
        (!is_mark).then_some(end)
    }
}
