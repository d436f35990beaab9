//! What the detectors found, and which of it counts where findings overlap.

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::class::Class;

/// A finding: a byte range of the text on character boundaries, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) class: Class,
    /// Backslashes before the quotes that the replacement needs around it, for a bare value in
    /// (possibly nested) JSON; `None` when it needs no quotes of its own.
    pub(crate) quotes: Option<u8>,
}

impl Span {
    pub(crate) const fn new(class: Class, start: usize, end: usize) -> Span {
        Span {
            start,
            end,
            class,
            quotes: None,
        }
    }
}

/// Findings of one text. Allocates with the first finding only.
pub(crate) type Spans<'a> = Vec<'a, Span>;

/// No findings yet.
pub(crate) fn none(arena: &Bump) -> Spans<'_> {
    Vec::new_in(arena)
}

/// Leaves findings that do not overlap, in the order of the text: the leftmost wins, among those
/// the longest, among those the class of the highest priority. Whatever else was found in part
/// under the winner goes with it, so that no half of a finding is left over.
pub(crate) fn settle(spans: &mut Spans<'_>) {
    if spans.len() < 2 {
        return;
    }
    spans.sort_unstable_by(|a, b| {
        a.start
            .cmp(&b.start)
            .then(b.end.cmp(&a.end))
            .then(b.class.cmp(&a.class))
    });
    spans.dedup_by(|later, kept| {
        let overlaps = later.start < kept.end;
        if overlaps {
            kept.end = kept.end.max(later.end);
        }
        overlaps
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(found: &[(Class, usize, usize)]) -> std::vec::Vec<(Class, usize, usize)> {
        let arena = Bump::new();
        let mut spans = none(&arena);
        spans.extend(
            found
                .iter()
                .map(|(class, start, end)| Span::new(*class, *start, *end)),
        );
        settle(&mut spans);
        spans
            .iter()
            .map(|span| (span.class, span.start, span.end))
            .collect()
    }

    #[test]
    fn leftmost_then_longest_then_priority() {
        use Class::{Email, PaymentCard, Phone, Secret};
        assert_eq!(
            settled(&[(Phone, 5, 9), (Email, 0, 4)]),
            [(Email, 0, 4), (Phone, 5, 9)]
        );
        assert_eq!(settled(&[(Phone, 2, 5), (Email, 2, 9)]), [(Email, 2, 9)]);
        assert_eq!(
            settled(&[(PaymentCard, 2, 9), (Secret, 2, 9)]),
            [(Secret, 2, 9)]
        );
        assert_eq!(
            settled(&[(Email, 0, 6), (Phone, 4, 12), (Secret, 11, 14)]),
            [(Email, 0, 14)]
        );
        assert_eq!(
            settled(&[(Email, 0, 4), (Email, 4, 8)]),
            [(Email, 0, 4), (Email, 4, 8)]
        );
    }
}
