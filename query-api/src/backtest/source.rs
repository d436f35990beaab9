//! The stored events of one signal, in order, page after page. Rows were counted beforehand, by
//! stretches of time, so that each page asks for a slice that holds about as many rows as it takes:
//! every row is read about once, however long the range.

use super::{PAGE_BYTES, PAGE_ROWS, ROW_BYTES_MAX, STRETCHES};
use crate::Api;
use crate::ask::TimeRange;
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::Table;
use crate::store::history::{Counts, Place, Rows, Stretch, table};
use millrace_shared::Signal;
use millrace_shared::limits::NS_PER_SECOND;
use std::collections::VecDeque;

/// Rows as they were read, and how far they have been looked at.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    /// Whether the last row in it may be cut off.
    pub(super) cut: bool,
    /// Bytes that have been looked at, and the rows in them.
    pub(super) seen: usize,
    pub(super) rows: u32,
    /// The last row that was looked at.
    pub(super) last: Option<Place>,
    /// Whether it must be read on before the next row is known.
    pub(super) spent: bool,
    /// Rows that were asked for.
    asked: u32,
}

/// Where the rows of a signal come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) signal: Signal,
    pub(super) page: Page,
    /// Whether there are no more rows.
    pub(super) ended: bool,
    table: Table,
    range: TimeRange,
    stretch_ns: i64,
    /// Stretches that are not read yet.
    stretches: VecDeque<Stretch>,
    /// What is being read.
    slice: Option<TimeRange>,
    after: Option<Place>,
    /// Rows of the next page.
    limit: u32,
}

impl Source {
    /// Counts the rows of a signal in a range; how many there are.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn open(
        api: &Api,
        caller: &Caller,
        (signal, range): (Signal, TimeRange),
    ) -> Result<(Self, u64), Problem> {
        let table =
            table(signal).ok_or_else(|| Problem::internal("a signal without a table", &signal))?;
        let length = range.end.saturating_sub(range.start);
        let stretch_ns = (length / STRETCHES + 1).max(NS_PER_SECOND);
        let counts = Counts {
            table,
            range,
            step_ns: stretch_ns,
        };
        let stretches = api.clickhouse.rows(&caller.bind(counts)?).await?;
        let rows = stretches.iter().map(|stretch| stretch.rows).sum();
        let source = Source {
            signal,
            page: Page {
                spent: true,
                ..Page::default()
            },
            ended: false,
            table,
            range,
            stretch_ns,
            stretches: stretches.into(),
            slice: None,
            after: None,
            limit: PAGE_ROWS.0,
        };
        Ok((source, rows))
    }

    /// Reads the next page, once the one before is spent; its bytes.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn fill(&mut self, api: &Api, caller: &Caller) -> Result<u64, Problem> {
        loop {
            let most = self.turn()?;
            let Some(range) = self.slice else {
                self.ended = true;
                return Ok(0);
            };
            let asked = if most == PAGE_BYTES { self.limit } else { 1 };
            let rows = Rows {
                table: self.table,
                range,
                after: self.after,
                limit: asked,
            };
            let piece = api.clickhouse.binary(&caller.bind(rows)?, most).await?;
            let read = piece.bytes.len() as u64;
            self.page = Page {
                bytes: piece.bytes,
                cut: piece.cut,
                asked,
                ..Page::default()
            };
            if read > 0 {
                return Ok(read);
            }
        }
    }

    /// Settles what is read next: the rest of the slice, or another. The bytes that may be read.
    fn turn(&mut self) -> Result<usize, Problem> {
        let page = std::mem::take(&mut self.page);
        self.after = page.last.or(self.after);
        let has_more = page.cut || (page.asked > 0 && page.rows >= page.asked);
        if self.slice.is_none() || !has_more {
            self.slice = self.next_slice();
            self.after = None;
        }
        if let Some(bytes) = page.seen.checked_div(page.rows as usize) {
            let fit = u32::try_from(PAGE_BYTES / bytes.max(1)).unwrap_or(u32::MAX);
            self.limit = fit.clamp(1, PAGE_ROWS.1);
        } else if page.cut && page.bytes.len() >= ROW_BYTES_MAX {
            return Err(Problem::internal(
                "a row that is larger than any",
                &self.signal,
            ));
        } else if page.cut {
            return Ok(ROW_BYTES_MAX);
        }
        Ok(PAGE_BYTES)
    }

    /// The next stretches, as many as a page takes.
    fn next_slice(&mut self) -> Option<TimeRange> {
        let first = self.stretches.pop_front()?;
        let (mut last, mut rows) = (first.number, first.rows);
        while let Some(next) = self.stretches.front()
            && rows + next.rows <= u64::from(self.limit)
        {
            (last, rows) = (next.number, rows + next.rows);
            self.stretches.pop_front();
        }
        let at = |number: i64| {
            let offset = number.saturating_mul(self.stretch_ns);
            self.range.start.saturating_add(offset).min(self.range.end)
        };
        Some(TimeRange {
            start: at(first.number),
            end: at(last.saturating_add(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_hold_about_a_page_and_leave_nothing_out() {
        let rows = [1500, 400, 90, 5000, 10, 1, 2000];
        let stretches = (0..).step_by(2).zip(rows);
        let mut source = Source {
            signal: Signal::Logs,
            page: Page::default(),
            ended: false,
            table: Table::Logs,
            range: TimeRange {
                start: 100,
                end: 225,
            },
            stretch_ns: 10,
            stretches: stretches
                .map(|(number, rows)| Stretch { number, rows })
                .collect(),
            slice: None,
            after: None,
            limit: 2000,
        };
        let slices: Vec<_> = std::iter::from_fn(|| source.next_slice())
            .map(|slice| (slice.start, slice.end))
            .collect();
        assert_eq!(
            slices,
            [(100, 150), (160, 170), (180, 210), (220, 225)],
            "the last is cut where the range ends"
        );
    }
}
