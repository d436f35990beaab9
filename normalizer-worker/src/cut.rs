//! Where one batch ends and the next begins: a pure decision over entries in the order of the
//! stream. Reads no clock and no stream.

use crate::work::RawEntry;
use millrace_shared::entry::Meta;
use millrace_shared::inflate::Encoding;
use millrace_shared::limits::{BATCH_BYTES_MAX, INFLATED_BYTES_MAX, RECEIVED_DAY_MAX};

/// Milliseconds in a day, for entries known only by their id.
const MS_PER_DAY: u64 = 24 * 3600 * 1000;
/// What a body that does not say its size is taken to inflate to: real telemetry packs 4 to 10
/// times.
const INFLATES_TIMES: usize = 8;

/// An entry with what must be known to cut before it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The entry.
    pub entry: RawEntry,
    /// Rows it will make.
    pub rows: usize,
    /// Bytes it takes to work on, inflated.
    pub bytes: usize,
    /// The day it was received, in days since 1970: the partition of its rows.
    pub day: i64,
}

impl Measured {
    /// Measures an entry; one that cannot be read makes no rows and counts with its bytes.
    #[must_use]
    pub fn new(entry: RawEntry) -> Self {
        let meta = Meta::parse(&entry.meta).ok();
        let by_id = i64::try_from(entry.id.ms / MS_PER_DAY).unwrap_or(i64::MAX);
        let day = meta
            .as_ref()
            .map_or(by_id.min(RECEIVED_DAY_MAX), Meta::received_day);
        let rows = meta.as_ref().map_or(0, |meta| meta.accepted as usize);
        let bytes = meta.map_or(entry.body.len(), |meta| {
            inflated(meta.encoding(), &entry.body)
        });
        Measured {
            rows,
            bytes: bytes + entry.meta.len(),
            day,
            entry,
        }
    }
}

/// The size a body says it inflates to, or a guess; never beyond what inflating is capped to.
fn inflated(encoding: Encoding, body: &[u8]) -> usize {
    let word = |bytes: Option<&[u8; 4]>| bytes.map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let size = match encoding {
        Encoding::Identity => Some(body.len()),
        Encoding::Lz4 => word(body.first_chunk()),
        Encoding::Gzip => word(body.last_chunk()),
        Encoding::Zstd => None,
    };
    size.unwrap_or(body.len() * INFLATES_TIMES)
        .clamp(body.len().min(INFLATED_BYTES_MAX), INFLATED_BYTES_MAX)
}

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub struct Full {
    /// Rows.
    pub rows: usize,
    /// Bytes, inflated.
    pub bytes: usize,
    /// Entries: bounds what is told of one batch in the ledger and redone after a crash.
    pub entries: usize,
    /// Milliseconds that its oldest entry waits.
    pub age_ms: u64,
}

/// Entries of one batch at most: 10 events each still fill a batch.
pub const ENTRIES_MAX: usize = 5_000;

impl Full {
    /// With the given rows and age, and the pipeline's own limits.
    #[must_use]
    pub const fn new(rows: usize, age_ms: u64) -> Self {
        Full {
            rows,
            bytes: BATCH_BYTES_MAX,
            entries: ENTRIES_MAX,
            age_ms,
        }
    }
}

/// A contiguous range of entries that is one batch, closed or still growing.
#[derive(Debug, Default)]
pub struct Range {
    /// The entries, in order.
    pub entries: Vec<RawEntry>,
    /// Rows they make together.
    pub rows: usize,
    /// Bytes they take together.
    pub bytes: usize,
    /// The day all of them were received.
    pub day: i64,
    /// When the first of them was seen, milliseconds of the caller's clock.
    pub since_ms: u64,
}

impl Range {
    /// Takes the entry, or gives it back because the batch must end before it.
    ///
    /// # Errors
    /// The entry, which then begins the next batch. An empty range takes any entry.
    pub fn push(&mut self, next: Measured, now_ms: u64, full: &Full) -> Result<(), Measured> {
        if self.entries.is_empty() {
            self.day = next.day;
            self.since_ms = now_ms;
        } else if next.day != self.day
            || self.rows + next.rows > full.rows
            || self.bytes + next.bytes > full.bytes
            || self.entries.len() >= full.entries
        {
            return Err(next);
        }
        self.rows += next.rows;
        self.bytes += next.bytes;
        self.entries.push(next.entry);
        Ok(())
    }

    /// Milliseconds that may pass before the batch must go, or `None` when there is nothing in it.
    #[must_use]
    pub fn patience_ms(&self, now_ms: u64, full: &Full) -> Option<u64> {
        if self.entries.is_empty() {
            return None;
        }
        if self.rows >= full.rows || self.bytes >= full.bytes {
            return Some(0);
        }
        Some(
            full.age_ms
                .saturating_sub(now_ms.saturating_sub(self.since_ms)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use millrace_shared::ids::StreamId;
    use millrace_shared::limits::NS_PER_DAY;
    use millrace_shared::wire::BodyFormat;
    use proptest::prelude::*;

    const FULL: Full = Full {
        rows: 100,
        bytes: 1000,
        entries: 10,
        age_ms: 500,
    };

    fn measured(ms: u64, rows: usize, bytes: usize, day: i64) -> Measured {
        let entry = RawEntry {
            id: StreamId { ms, seq: 0 },
            meta: Bytes::new(),
            body: Bytes::new(),
        };
        Measured {
            entry,
            rows,
            bytes,
            day,
        }
    }

    #[test]
    fn a_batch_ends_at_rows_bytes_entries_and_midnight() {
        let mut range = Range::default();
        assert!(range.push(measured(1, 60, 10, 7), 0, &FULL).is_ok());
        assert!(range.push(measured(2, 41, 10, 7), 0, &FULL).is_err());
        assert!(range.push(measured(2, 10, 991, 7), 0, &FULL).is_err());
        assert!(range.push(measured(2, 10, 10, 8), 0, &FULL).is_err());
        assert!(range.push(measured(2, 40, 10, 7), 0, &FULL).is_ok());
        assert_eq!((range.rows, range.bytes, range.entries.len()), (100, 20, 2));
        assert_eq!(range.patience_ms(0, &FULL), Some(0));
    }

    #[test]
    fn an_entry_larger_than_a_batch_is_a_batch_of_its_own() {
        let mut range = Range::default();
        assert!(range.push(measured(1, 5000, 5000, 7), 0, &FULL).is_ok());
        assert!(range.push(measured(2, 1, 1, 7), 0, &FULL).is_err());
    }

    #[test]
    fn a_single_entry_waits_no_longer_than_the_age() {
        let mut range = Range::default();
        assert_eq!(range.patience_ms(1000, &FULL), None);
        assert!(range.push(measured(1, 1, 1, 7), 1000, &FULL).is_ok());
        assert!(range.push(measured(2, 1, 1, 7), 1400, &FULL).is_ok());
        assert_eq!(range.patience_ms(1400, &FULL), Some(100));
        assert_eq!(range.patience_ms(1600, &FULL), Some(0));
    }

    #[test]
    fn an_entry_is_measured_by_its_description_or_else_by_its_id() {
        let org = uuid::Uuid::from_u128(1);
        let day = 20_000 * NS_PER_DAY;
        let mut meta = Meta::new(org, "k", day + 5, (BodyFormat::Json, Encoding::Lz4));
        meta.accepted = 3;
        let body = millrace_shared::inflate::pack(&[b'a'; 4000]);
        let entry = |meta: &str| RawEntry {
            id: StreamId {
                ms: MS_PER_DAY * 20_001,
                seq: 0,
            },
            meta: Bytes::copy_from_slice(meta.as_bytes()),
            body: Bytes::copy_from_slice(&body),
        };
        let good = Measured::new(entry(&meta.to_text()));
        assert_eq!((good.rows, good.day), (3, 20_000));
        assert!(good.bytes >= 4000 && good.bytes < 4400);
        let bad = Measured::new(entry("no"));
        assert_eq!((bad.rows, bad.day, bad.bytes), (0, 20_001, body.len() + 2));
    }

    proptest! {
        #[test]
        fn every_entry_is_in_exactly_one_batch_and_none_is_over_its_limits(
            sizes in prop::collection::vec((0usize..150, 0usize..1500, 0i64..3), 0..60)
        ) {
            let mut batches = Vec::new();
            let mut range = Range::default();
            for (at, (rows, bytes, day)) in sizes.iter().enumerate() {
                if let Err(next) = range.push(measured(at as u64, *rows, *bytes, *day), 0, &FULL) {
                    batches.push(std::mem::take(&mut range));
                    prop_assert!(range.push(next, 0, &FULL).is_ok());
                }
            }
            batches.push(range);
            let ids: Vec<u64> = batches.iter().flat_map(|b| b.entries.iter().map(|e| e.id.ms)).collect();
            prop_assert_eq!(ids, (0..sizes.len() as u64).collect::<Vec<_>>());
            for batch in batches.iter().filter(|batch| batch.entries.len() > 1) {
                prop_assert!(batch.rows <= FULL.rows && batch.bytes <= FULL.bytes);
                prop_assert!(batch.entries.len() <= FULL.entries);
            }
        }
    }
}
