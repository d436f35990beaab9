//! Digits in groups with single marks between, read once for every number detector.

use super::bytes::{at, mark_between};

/// Digits that are kept: one more than the longest number looked for, so that longer runs show.
const MAX_DIGITS: usize = 20;
/// Groups that are kept: a card has five, a French telephone number has five.
const MAX_GROUPS: usize = 7;
/// The longest first group that a `+` may follow: that of a card.
const MAX_FIRST: usize = 4;

/// A number that may be written in groups.
pub(crate) struct Groups {
    digits: [u8; MAX_DIGITS],
    /// Per group: where it ends in the text, and how many digits there are up to there.
    ends: [(usize, usize); MAX_GROUPS],
    count: usize,
    marks: [u8; MAX_GROUPS],
}

impl Groups {
    /// Reads from the start of a run of digits on, across the marks that are allowed.
    pub(crate) fn read(text: &[u8], start: usize, is_mark: impl Fn(u8) -> bool) -> Groups {
        let mut groups = Groups {
            digits: [0; MAX_DIGITS],
            ends: [(0, 0); MAX_GROUPS],
            count: 0,
            marks: [0; MAX_GROUPS],
        };
        let mut position = start;
        let mut total = 0;
        while at(text, position).is_ascii_digit() {
            while at(text, position).is_ascii_digit() {
                if let Some(slot) = groups.digits.get_mut(total) {
                    *slot = at(text, position) - b'0';
                }
                total += 1;
                position += 1;
            }
            let (Some(end), Some(slot)) = (
                groups.ends.get_mut(groups.count),
                groups.marks.get_mut(groups.count),
            ) else {
                break;
            };
            if total >= MAX_DIGITS {
                break;
            }
            let (mark, length) = mark_between(text, position);
            (*end, *slot) = ((position, total), mark);
            groups.count += 1;
            if !is_mark(mark) || groups.is_sum(mark, total) {
                break;
            }
            position += length;
        }
        groups
    }

    /// Whether the marks between the groups differ.
    pub(crate) fn has_mixed_marks(&self) -> bool {
        let between = self
            .marks
            .get(..self.count.saturating_sub(1))
            .unwrap_or_default();
        between.windows(2).any(|pair| pair.first() != pair.last())
    }

    /// Whether a plus stands between numbers, not between the groups of one: it does so from the
    /// first, short group on, or never.
    fn is_sum(&self, mark: u8, total: usize) -> bool {
        let from_first = self.marks.first() == Some(&b'+');
        let short = self.count > 1 || total <= MAX_FIRST;
        (mark == b'+') != (from_first && short)
    }

    /// Whether the first two groups have this mark between them.
    pub(crate) fn has_mark(&self, mark: u8) -> bool {
        self.count > 1 && self.marks.first() == Some(&mark)
    }

    /// For every group: where the number would end in the text, and its digits up to there.
    pub(crate) fn ends(&self) -> impl DoubleEndedIterator<Item = (usize, &[u8])> {
        let ends = self.ends.get(..self.count).unwrap_or_default();
        ends.iter()
            .map(|(end, total)| (*end, self.digits.get(..*total).unwrap_or_default()))
    }

    /// How many digits each group has.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = usize> {
        let mut before = 0;
        self.ends().map(move |(_, digits)| {
            let length = digits.len() - before;
            before = digits.len();
            length
        })
    }
}
