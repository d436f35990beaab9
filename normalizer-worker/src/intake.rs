//! Takes entries from one shard's stream and cuts them into batches: at once under load, after the
//! oldest has waited its time otherwise.

use crate::budget::{Budget, Held};
use crate::cut::{Full, Measured, Range};
use crate::error::WorkerError;
use crate::lease::Lease;
use crate::reader::{BLOCK, Reader};
use crate::work::RawEntry;
use millrace_shared::ids::StreamId;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes one read should bring: few round trips, and little memory held for a single shard.
const READ_BYTES: usize = 2 * 1024 * 1024;
/// Entries of one read at most.
const READ_COUNT_MAX: usize = 500;
/// What an entry is taken to be before any was seen.
const ENTRY_BYTES_GUESS: usize = 64 * 1024;
/// Pause between looks at a stream while a batch is filling.
const FILL_POLL: Duration = Duration::from_millis(50);
/// A batch takes its entries and its rows: about as much again.
const MEMORY_FACTOR: usize = 2;

/// A batch that was cut, with its part of the memory.
#[derive(Debug)]
pub struct Cut {
    /// The entries.
    pub range: Range,
    /// Given back when the batch is done.
    pub held: Held,
    /// When its first entry was seen.
    pub since: Instant,
}

/// The entries of one shard on their way into batches.
pub struct Intake<'i> {
    reader: Reader,
    lease: &'i Lease,
    budget: &'i Budget,
    full: Full,
    read_to: StreamId,
    waiting: VecDeque<Measured>,
    held: Option<Held>,
    entry_bytes: usize,
    began: Instant,
}

impl<'i> Intake<'i> {
    /// Of the entries after `cursor`.
    #[must_use]
    pub fn new(
        reader: Reader,
        lease: &'i Lease,
        (budget, full): (&'i Budget, Full),
        cursor: StreamId,
    ) -> Self {
        Intake {
            reader,
            lease,
            budget,
            full,
            read_to: cursor,
            waiting: VecDeque::new(),
            held: None,
            entry_bytes: ENTRY_BYTES_GUESS,
            began: Instant::now(),
        }
    }

    /// The next batch; `None` when asked to halt. What was read by then stays in the stream.
    ///
    /// # Errors
    /// When Redis does not answer or the lease ends.
    pub async fn next(&mut self, halt: &CancellationToken) -> Result<Option<Cut>, WorkerError> {
        let mut range = Range::default();
        loop {
            while let Some(next) = self.waiting.pop_front() {
                if let Err(next) = range.push(next, self.now_ms(), &self.full) {
                    self.waiting.push_front(next);
                    return Ok(self.cut(range));
                }
            }
            let patience = range.patience_ms(self.now_ms(), &self.full);
            if patience == Some(0) {
                return Ok(self.cut(range));
            }
            if halt.is_cancelled() {
                return Ok(None);
            }
            self.lease.check()?;
            let go_on = tokio::select! {
                () = halt.cancelled() => return Ok(None),
                read = self.read_more(patience) => read?,
            };
            if !go_on {
                return Ok(self.cut(range));
            }
        }
    }

    /// Reads on; false when there is no memory for more and the batch must go as it is.
    async fn read_more(&mut self, patience: Option<u64>) -> Result<bool, WorkerError> {
        let Some(patience) = patience else {
            // Nothing in hand: wait for one entry, and only then for memory.
            let read = self.reader.after(self.read_to, 1, Some(BLOCK)).await?;
            self.take(read, None).await;
            return Ok(true);
        };
        let Some(reserved) = self.budget.try_hold(READ_BYTES * MEMORY_FACTOR) else {
            return Ok(false);
        };
        let count = (READ_BYTES / self.entry_bytes.max(1)).clamp(1, READ_COUNT_MAX);
        let read = self.reader.after(self.read_to, count, None).await?;
        let all = read.len() < count;
        self.take(read, Some(reserved)).await;
        if all && self.waiting.is_empty() {
            tokio::time::sleep(FILL_POLL.min(Duration::from_millis(patience))).await;
        }
        Ok(true)
    }

    /// Takes entries over, with the memory they need.
    async fn take(&mut self, read: Vec<RawEntry>, reserved: Option<Held>) {
        let Some(last) = read.last().map(|entry| entry.id) else {
            return;
        };
        let wire: usize = read
            .iter()
            .map(|entry| entry.body.len() + entry.meta.len())
            .sum();
        self.entry_bytes = (self.entry_bytes + wire / read.len()) / 2;
        let before: usize = self.waiting.len();
        self.waiting.extend(read.into_iter().map(Measured::new));
        let inflated: usize = self
            .waiting
            .iter()
            .skip(before)
            .map(|entry| entry.bytes)
            .sum();
        let needed = inflated * MEMORY_FACTOR;
        let part = match reserved {
            Some(mut reserved) => {
                // What goes beyond the reservation is taken if it is free, and else overdrawn by
                // at most one read.
                let more = self
                    .budget
                    .try_hold(needed.saturating_sub(reserved.bytes()));
                let mut part = reserved.part(needed);
                if let (Some(part), Some(more)) = (part.as_mut(), more) {
                    part.add(more);
                }
                part
            }
            None => self.budget.hold(needed).await,
        };
        match (self.held.as_mut(), part) {
            (Some(held), Some(part)) => held.add(part),
            (None, part) => self.held = part,
            (Some(_), None) => {}
        }
        self.read_to = last;
    }

    fn cut(&mut self, range: Range) -> Option<Cut> {
        let mut all = self.held.take()?;
        let since = self.began + Duration::from_millis(range.since_ms);
        if self.waiting.is_empty() {
            return Some(Cut {
                range,
                held: all,
                since,
            });
        }
        let held = all.part(range.bytes * MEMORY_FACTOR)?;
        self.held = Some(all);
        Some(Cut { range, held, since })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
