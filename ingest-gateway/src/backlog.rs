//! What this gateway has appended to one shard and no worker has taken yet, in the order of the
//! stream. Counts bytes and whose they are; holds no body, asks nobody and reads no clock.
//!
//! A restarted gateway begins with nothing: what waits from before is not counted, which makes it
//! more generous for a while and never wrong about what is stored.

use millrace_shared::ids::{OrgId, StreamId};
use std::collections::VecDeque;

/// Appends within this many milliseconds are counted together.
const STEP_MS: u64 = 1_000;
/// A piece of so many bytes on the wire takes no more: a busy worker takes several of them a second,
/// so its pace shows.
const PIECE_BYTES: u64 = 256 * 1024;
/// Organisations of one piece: few enough to look through at each append.
const PIECE_ORGS: usize = 64;
/// Pieces of one shard: an hour's outage with a modest load, and as many bytes as the default
/// memory of the streams holds. What comes then is counted without a name. 400 KiB of memory, and
/// 2 MiB when every piece has several organisations.
const PIECES_MAX: usize = 4_096;

/// Bytes of one batch, measured in two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// On the wire: what a worker's pace is measured in.
    pub(crate) wire: u64,
    /// In the stream: what the memory budget is measured in.
    pub(crate) held: u64,
}

impl Size {
    /// Adds another.
    pub(crate) fn add(&mut self, other: Size) {
        self.wire += other.wire;
        self.held += other.held;
    }

    /// Takes another away.
    pub(crate) fn take(&mut self, other: Size) {
        self.wire = self.wire.saturating_sub(other.wire);
        self.held = self.held.saturating_sub(other.held);
    }
}

/// Appends close to each other.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) size: Size,
    /// Whose bytes of the stream they are, as far as they are counted by name.
    pub(crate) held: Vec<(OrgId, u64)>,
    first_ms: u64,
    last: StreamId,
}

/// What waits in one shard.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pieces: VecDeque<Piece>,
    cursor: StreamId,
    /// When a worker was last seen to take something, milliseconds since 1970.
    pub(crate) moved_ms: u64,
}

impl Piece {
    fn takes(&self, id: StreamId) -> bool {
        self.size.wire < PIECE_BYTES
            && self.held.len() < PIECE_ORGS
            && id.ms.saturating_sub(self.first_ms) < STEP_MS
    }
}

impl Backlog {
    /// Counts an append. False when it is counted without the organisation's name.
    pub(crate) fn push(&mut self, id: StreamId, org: OrgId, size: Size) -> bool {
        let full = self.pieces.len() >= PIECES_MAX;
        let fits = self.pieces.back().is_some_and(|last| last.takes(id));
        if !full && !fits {
            self.pieces.push_back(Piece {
                size: Size::default(),
                held: Vec::new(),
                first_ms: id.ms,
                last: id,
            });
        }
        let Some(piece) = self.pieces.back_mut() else {
            return false;
        };
        piece.size.add(size);
        piece.last = piece.last.max(id);
        if full && !fits {
            return false;
        }
        match piece.held.iter_mut().find(|(of, _)| *of == org) {
            Some((_, held)) => *held += size.held,
            None => piece.held.push((org, size.held)),
        }
        true
    }

    /// Takes what lies up to a worker's cursor, handing each piece to `taken`.
    pub(crate) fn take_until(
        &mut self,
        cursor: StreamId,
        now_ms: u64,
        mut taken: impl FnMut(&Piece),
    ) {
        if cursor > self.cursor {
            (self.cursor, self.moved_ms) = (cursor, now_ms);
        }
        while let Some(piece) = self.pieces.pop_front_if(|piece| piece.last <= cursor) {
            taken(&piece);
        }
    }

    /// When the oldest append that waits was made, milliseconds since 1970.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.pieces.front().map(|piece| piece.first_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { wire: 10, held: 2 };

    fn at(ms: u64) -> StreamId {
        StreamId { ms, seq: 0 }
    }

    fn taken(backlog: &mut Backlog, cursor: u64) -> Vec<(u64, Vec<(OrgId, u64)>)> {
        let mut all = Vec::new();
        backlog.take_until(at(cursor), 9, |piece| {
            all.push((piece.size.wire, piece.held.clone()));
        });
        all
    }

    #[test]
    fn what_lies_up_to_the_cursor_is_taken_and_the_rest_waits() {
        let (a, b) = (OrgId::from_u128(1), OrgId::from_u128(2));
        let mut backlog = Backlog::default();
        for (ms, org) in [(1_000, a), (1_100, b), (1_200, a), (2_500, a)] {
            assert!(backlog.push(at(ms), org, SIZE));
        }
        assert_eq!(backlog.oldest_ms(), Some(1_000));
        assert_eq!(taken(&mut backlog, 1_100), [], "a piece goes whole");
        assert_eq!((backlog.moved_ms, backlog.oldest_ms()), (9, Some(1_000)));
        assert_eq!(taken(&mut backlog, 1_200), [(30, vec![(a, 4), (b, 2)])]);
        assert_eq!(backlog.oldest_ms(), Some(2_500));
        assert_eq!(taken(&mut backlog, 5_000), [(10, vec![(a, 2)])]);
        assert_eq!(backlog.oldest_ms(), None);
    }

    #[test]
    fn a_busy_shard_is_counted_in_pieces_of_a_bounded_size() {
        let mut backlog = Backlog::default();
        let size = Size {
            wire: PIECE_BYTES,
            held: 1,
        };
        for org in 1..=3 {
            assert!(backlog.push(at(1_000), OrgId::from_u128(org), size));
        }
        assert_eq!(backlog.pieces.len(), 3);
    }

    #[test]
    fn however_much_waits_the_pieces_are_bounded_and_no_byte_is_forgotten() {
        let mut backlog = Backlog::default();
        let pushes = PIECES_MAX as u64 * 3;
        let named = (0..pushes)
            .filter(|n| backlog.push(at(n * STEP_MS), OrgId::from_u128(u128::from(*n)), SIZE))
            .count();
        assert_eq!((named, backlog.pieces.len()), (PIECES_MAX, PIECES_MAX));
        let all = taken(&mut backlog, u64::MAX);
        let wire: u64 = all.iter().map(|(wire, _)| wire).sum();
        assert_eq!(wire, pushes * SIZE.wire);
    }
}
