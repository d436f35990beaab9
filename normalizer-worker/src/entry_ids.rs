//! The ids of a batch's entries in a few bytes each, as the ledger keeps them.
//!
//! Each id is two LEB128 numbers: the milliseconds since the id before, and the sequence number,
//! which counts from the id before while the milliseconds stay the same. The first follows `0-0`.

use millrace_shared::ids::StreamId;

/// Bits of a number in one byte; the eighth says that more follow.
const BITS: u32 = 7;
const MORE: u8 = 1 << BITS;

/// Packs ids that grow.
#[must_use]
pub fn pack(ids: impl IntoIterator<Item = StreamId>) -> Vec<u8> {
    let (mut bytes, mut before) = (Vec::new(), StreamId::ZERO);
    for id in ids {
        let later = id.ms.saturating_sub(before.ms);
        put(&mut bytes, later);
        let seq = if later == 0 {
            id.seq.saturating_sub(before.seq)
        } else {
            id.seq
        };
        put(&mut bytes, seq);
        before = id;
    }
    bytes
}

/// Unpacks them; `None` when the bytes were not packed here.
#[must_use]
pub fn unpack(mut bytes: &[u8]) -> Option<Vec<StreamId>> {
    let (mut ids, mut before) = (Vec::new(), StreamId::ZERO);
    while !bytes.is_empty() {
        let later = take(&mut bytes)?;
        let seq = take(&mut bytes)?;
        before = StreamId {
            ms: before.ms.checked_add(later)?,
            seq: if later == 0 {
                before.seq.checked_add(seq)?
            } else {
                seq
            },
        };
        ids.push(before);
    }
    Some(ids)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low seven bits are meant"
)]
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= u64::from(MORE) {
        bytes.push(number as u8 | MORE);
        number >>= BITS;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..u64::BITS).step_by(BITS as usize) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & !MORE);
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if first & MORE == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(ids in prop::collection::btree_set((any::<u64>(), any::<u64>()), 0..50)) {
            let ids: Vec<StreamId> = ids.into_iter().filter(|id| *id != (0, 0)).map(|(ms, seq)| StreamId { ms, seq }).collect();
            prop_assert_eq!(unpack(&pack(ids.iter().copied())), Some(ids));
        }

        #[test]
        fn strange_bytes_are_refused_or_read_never_worse(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(ids) = unpack(&bytes) {
                prop_assert!(ids.len() <= bytes.len() / 2);
            }
        }
    }

    #[test]
    fn entries_of_one_stream_take_a_few_bytes_each() {
        let ids = (0..1000).map(|n| StreamId {
            ms: 1_700_000_000_000 + n / 3,
            seq: n % 3,
        });
        assert!(pack(ids).len() <= 2 * 1000 + 6);
    }
}
