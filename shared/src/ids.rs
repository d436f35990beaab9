//! Identifiers: of stream entries, of accepted requests, of ledger batches, of stored events.
//!
//! All but the organisation's are derived from the place of an entry in its stream, so that doing
//! the work again gives the same ids.

use crate::limits::{BATCH_ROWS_MAX, SHARDS_MAX};
use crate::signal::Signal;
use hmac::{Hmac, Mac};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;
use uuid::Uuid;

/// An identifier that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed identifier")]
pub struct MalformedId;

/// An organisation.
pub type OrgId = Uuid;

/// The id Redis gave a stream entry: milliseconds and a number within them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds since 1970.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// Before every entry.
    pub const ZERO: StreamId = StreamId { ms: 0, seq: 0 };

    /// The least id after this one.
    #[must_use]
    pub const fn next(self) -> StreamId {
        match self.seq.checked_add(1) {
            Some(seq) => StreamId { ms: self.ms, seq },
            None => StreamId {
                ms: self.ms.saturating_add(1),
                seq: 0,
            },
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for StreamId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let (ms, seq) = text.split_once('-').ok_or(MalformedId)?;
        let part = |text: &str| text.parse().map_err(|_| MalformedId);
        Ok(StreamId {
            ms: part(ms)?,
            seq: part(seq)?,
        })
    }
}

/// The consumer group that shows how far a worker has read a stream: a view, never the truth.
pub const CURSOR_GROUP: &str = "millrace";

/// One stream: a shard of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The signal.
    pub signal: Signal,
    /// The number of the shard, from 0.
    pub shard: u16,
}

impl ShardId {
    /// The hash tag that all keys of the shard share, so that one script may touch them all.
    #[must_use]
    pub fn tag(self) -> String {
        format!("millrace:{{{}:{}}}", self.signal, self.shard)
    }

    /// The key of the stream.
    #[must_use]
    pub fn stream(self) -> String {
        format!("{}:in", self.tag())
    }

    /// The key of the hash that counts what was received: fields `<org>:events`,
    /// `<org>:rejected`, `<org>:bytes` and `<org>:batches`.
    #[must_use]
    pub fn received(self) -> String {
        format!("{}:received", self.tag())
    }

    /// The key that remembers the answer given under an idempotency key.
    #[must_use]
    pub fn remembered(self, org: OrgId, key: &str) -> String {
        format!("{}:idem:{}:{key}", self.tag(), org.simple())
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.signal, self.shard)
    }
}

/// A ledger batch, as its rows carry it: the shard in the upper 16 bits, its sequence number below.
/// Unique within a signal's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LedgerId(pub u64);

impl LedgerId {
    /// Of a shard's batch with that sequence number.
    #[must_use]
    pub const fn new(shard: u16, seq: u64) -> Self {
        LedgerId(((shard as u64) << 48) | (seq & ((1 << 48) - 1)))
    }
}

/// What a stored event is called for ever: 16 bytes, written as a UUID (version 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub Uuid);

const _: () = assert!(SHARDS_MAX <= 1 << 9);
const _: () = assert!(BATCH_ROWS_MAX <= 1 << 16);

impl EventId {
    /// Of the event at `index` of an entry: 48 bits of milliseconds, 12 + 32 bits of sequence,
    /// 3 of signal, 9 of shard, 16 of index.
    #[must_use]
    pub const fn new(shard: ShardId, entry: StreamId, index: u16) -> Self {
        let high = (entry.ms << 16) | (0x8 << 12) | ((entry.seq >> 32) & 0xFFF);
        let low = (0b10 << 62)
            | ((entry.seq & 0xFFFF_FFFF) << 28)
            | ((shard.signal.number() as u64) << 25)
            | ((shard.shard as u64 & 0x1FF) << 16)
            | index as u64;
        EventId(Uuid::from_u64_pair(high, low))
    }
}

/// The `batch_id` of an answer: names the entry that a request became, and proves by a keyed tag
/// that we gave it to that organisation. So nothing need be stored to find a batch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchId {
    /// Where the entry is.
    pub shard: ShardId,
    /// Which entry it is.
    pub entry: StreamId,
}

/// Makes and checks [`BatchId`] texts.
#[derive(Clone)]
pub struct BatchIds {
    key: [u8; 32],
}

/// Bytes of the tag: forging one takes 2^63 requests.
const TAG_BYTES: usize = 8;

impl BatchIds {
    /// With a key derived from the master key (label `batch-id`).
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        BatchIds { key }
    }

    /// The text given to the organisation: `logs-3-19a6f2c3b7e-0-9f86d081884c7d65`.
    #[must_use]
    pub fn text(&self, org: OrgId, id: BatchId) -> String {
        let BatchId { shard, entry } = id;
        let tag = hex::encode(self.tag(org, id));
        format!(
            "{}-{}-{:x}-{:x}-{tag}",
            shard.signal, shard.shard, entry.ms, entry.seq
        )
    }

    /// Reads a text that we gave to that organisation; nothing else is accepted.
    ///
    /// # Errors
    /// [`MalformedId`], whatever is wrong with it.
    pub fn parse(&self, org: OrgId, text: &str) -> Result<BatchId, MalformedId> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(MalformedId);
        let number = |text: &str| u64::from_str_radix(text, 16).map_err(|_| MalformedId);
        let signal = Signal::from_name(part()?).ok_or(MalformedId)?;
        let shard = part()?.parse().map_err(|_| MalformedId)?;
        let entry = StreamId {
            ms: number(part()?)?,
            seq: number(part()?)?,
        };
        let id = BatchId {
            shard: ShardId { signal, shard },
            entry,
        };
        // The text is made anew and compared whole, so there is one spelling of each id.
        let expected = self.text(org, id);
        let same: bool = subtle::ConstantTimeEq::ct_eq(expected.as_bytes(), text.as_bytes()).into();
        if same { Ok(id) } else { Err(MalformedId) }
    }

    fn tag(&self, org: OrgId, id: BatchId) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        if let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(&self.key) {
            mac.update(org.as_bytes());
            mac.update(id.shard.to_string().as_bytes());
            mac.update(id.entry.to_string().as_bytes());
            for (to, from) in tag.iter_mut().zip(mac.finalize().into_bytes()) {
                *to = from;
            }
        }
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_id_is_good_for_its_own_organisation_only() {
        let ids = BatchIds::new([7; 32]);
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let shard = ShardId {
            signal: Signal::Traces,
            shard: 3,
        };
        let id = BatchId {
            shard,
            entry: StreamId {
                ms: 1_700_000_000_000,
                seq: 12,
            },
        };
        let text = ids.text(ours, id);
        assert_eq!(ids.parse(ours, &text), Ok(id));
        assert_eq!(ids.parse(theirs, &text), Err(MalformedId));
        assert_eq!(BatchIds::new([8; 32]).parse(ours, &text), Err(MalformedId));
        assert_eq!(
            ids.parse(ours, &text.replacen("-3-", "-03-", 1)),
            Err(MalformedId)
        );
    }

    #[test]
    fn event_ids_differ_in_every_part_and_sort_by_time() {
        let shard = ShardId {
            signal: Signal::Logs,
            shard: 1,
        };
        let entry = StreamId {
            ms: 1_700_000_000_000,
            seq: 0,
        };
        let base = EventId::new(shard, entry, 0);
        let other_shard = EventId::new(ShardId { shard: 2, ..shard }, entry, 0);
        let other_signal = EventId::new(
            ShardId {
                signal: Signal::Rum,
                ..shard
            },
            entry,
            0,
        );
        let all = [
            base,
            other_shard,
            other_signal,
            EventId::new(shard, entry, 1),
            EventId::new(shard, StreamId { seq: 1, ..entry }, 0),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(base.0.get_version_num(), 8);
        assert!(
            EventId::new(
                shard,
                StreamId {
                    ms: entry.ms + 1,
                    seq: 0
                },
                0
            ) > base
        );
    }

    #[test]
    fn stream_ids_read_what_redis_writes() {
        let id: StreamId = "1526919030474-55".parse().unwrap();
        assert_eq!(
            (id.ms, id.seq, id.to_string().as_str()),
            (1_526_919_030_474, 55, "1526919030474-55")
        );
        assert!("1526919030474".parse::<StreamId>().is_err());
        assert!(id.next() > id);
    }
}
