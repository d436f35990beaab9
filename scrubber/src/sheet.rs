//! Short texts side by side, so that one look at a window of bytes serves several of them.
//!
//! Says which of the texts may hold something; whether they do is for each by itself. Never misses
//! one: what lies between the texts is no part of any shape.

use fearless_simd::Level;

use crate::class::ClassSet;
use crate::detect::{self, MIN_TEXT};
use crate::keys::Keys;
use crate::masks::BLOCK;

/// The bytes of a sheet: a few windows, and little to clear for the next.
const BYTES: usize = 12 * BLOCK;

/// The longest text for a sheet: longer ones fill windows of their own.
const MAX_TEXT: usize = BLOCK;

/// How a text is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Not at all: it is too short to hold anything.
    Spared,
    /// By itself: it is long, or the sheet is full.
    Apart,
    /// On the sheet, where it begins here.
    At(usize),
}

/// Texts with a byte of no kind between them.
pub(crate) struct Sheet {
    bytes: [u8; BYTES],
    length: usize,
    /// Positions where something may be found, a bit for each.
    suspects: [u64; BYTES / BLOCK + 1],
}

impl Sheet {
    pub(crate) const fn new() -> Sheet {
        Sheet {
            bytes: [0; BYTES],
            length: 0,
            suspects: [0; BYTES / BLOCK + 1],
        }
    }

    /// Adds a text, and says how it is looked at.
    #[inline]
    pub(crate) fn add(&mut self, text: &str) -> Look {
        if text.len() < MIN_TEXT {
            return Look::Spared;
        }
        let start = self.length;
        let end = start + text.len();
        match self.bytes.get_mut(start..end) {
            Some(room) if text.len() <= MAX_TEXT => {
                room.copy_from_slice(text.as_bytes());
                self.length = end + 1;
                Look::At(start)
            }
            Some(_) | None => Look::Apart,
        }
    }

    /// Looks at all texts.
    pub(crate) fn read(&mut self, level: Level, active: ClassSet, keys: &Keys) {
        if self.length == 0 {
            return;
        }
        let text = self.bytes.get(..self.length.clamp(BLOCK, BYTES));
        let marked = &mut self.suspects;
        let text = text.unwrap_or_default();
        detect::suspects(level, text, active, keys, |offset, bits| {
            let (word, shift) = (offset / BLOCK, offset % BLOCK);
            // What is shifted out belongs to the next word, in two steps where that is all.
            let over = bits >> 1 >> (BLOCK - 1 - shift);
            for (word, bits) in [(word, bits << shift), (word + 1, over)] {
                if let Some(word) = marked.get_mut(word) {
                    *word |= bits;
                }
            }
        });
    }

    /// Whether the text, looked at like this, may hold something.
    #[inline]
    pub(crate) fn suspects(&self, look: Look, text: &str) -> bool {
        let start = match look {
            Look::Spared => return false,
            Look::Apart => return true,
            Look::At(start) => start,
        };
        let (word, shift) = (start / BLOCK, start % BLOCK);
        let at = |word: usize| self.suspects.get(word).copied().unwrap_or(0);
        let bits = at(word) >> shift | at(word + 1) << 1 << (BLOCK - 1 - shift);
        bits << (BLOCK - text.len().clamp(1, BLOCK)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_texts_with_something_in_them_are_told() {
        let texts = [
            "checkout",
            "bob@example.com",
            "GET",
            "pwd=x1y2",
            "12",
            "34-5678",
            "4111 1111 1111 1111",
            "cache hit",
            "user=bob",
            "00:1a:2b:3c:4d:5e",
        ];
        let mut sheet = Sheet::new();
        let looks = texts.map(|text| sheet.add(text));
        sheet.read(Level::new(), ClassSet::ALL, &Keys::default());
        let told = looks.iter().zip(texts);
        let told: Vec<&str> = told
            .filter(|(look, text)| sheet.suspects(**look, text))
            .map(|(_, text)| text)
            .collect();
        assert_eq!(
            told,
            [
                "bob@example.com",
                "pwd=x1y2",
                "4111 1111 1111 1111",
                "00:1a:2b:3c:4d:5e"
            ]
        );
        assert_eq!(looks[2], Look::Spared);
    }

    #[test]
    fn a_full_sheet_takes_no_more() {
        let mut sheet = Sheet::new();
        let text = "x".repeat(MAX_TEXT);
        let looks = (0..20).map(|_| sheet.add(&text));
        assert_eq!(
            looks.filter(|look| *look != Look::Apart).count(),
            BYTES / (MAX_TEXT + 1)
        );
        assert_eq!(sheet.add(&"x".repeat(BYTES)), Look::Apart);
        sheet.read(Level::new(), ClassSet::ALL, &Keys::default());
    }

    proptest! {
        #[test]
        fn every_position_belongs_to_its_text(
            before in proptest::collection::vec(5usize..=64, 0..9),
            length in 5usize..=64,
            mark in 0usize..64,
        ) {
            let mut sheet = Sheet::new();
            let blanks: Vec<String> = before.iter().map(|length| " ".repeat(*length)).collect();
            let looks: Vec<Look> = blanks.iter().map(|blank| sheet.add(blank)).collect();
            let mark = mark.min(length - 1);
            let mut text = " ".repeat(length);
            text.replace_range(mark..=mark, "@");
            let (look, last) = (sheet.add(&text), sheet.add("     "));
            sheet.read(Level::new(), ClassSet::ALL, &Keys::default());
            prop_assert!(sheet.suspects(look, &text));
            prop_assert!(!sheet.suspects(last, "     "));
            for (look, blank) in looks.into_iter().zip(&blanks) {
                prop_assert!(!sheet.suspects(look, blank));
            }
        }
    }
}
