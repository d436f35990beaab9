//! The bytes of a window's state. They are ours alone: written and read by this crate, kept by the
//! caller. Numbers are LEB128, times are differences.

use super::{COUNT_TAG, Kept, WindowState};
use thiserror::Error;

/// The first byte: the version of the format in its upper half, what the window is of in the other.
const V1: u8 = 0x10;

/// Bytes that are no state of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed window state")]
pub struct MalformedState;

impl WindowState {
    /// The state as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let has_values = self.tag != COUNT_TAG;
        let mut bytes = Vec::with_capacity(16 + self.hits.len() * if has_values { 30 } else { 22 });
        bytes.push(V1 | self.tag);
        let Some(newest) = self.newest_ns else {
            return bytes;
        };
        bytes.extend(newest.to_be_bytes());
        let mut previous = newest;
        for hit in self.hits.iter().rev() {
            // From the newest back: differences of a few bytes, never negative.
            let back = previous.abs_diff(hit.at_ns);
            put(&mut bytes, u128::from(back) << 1 | u128::from(hit.reported));
            bytes.extend(hit.event.to_be_bytes());
            if has_values {
                bytes.extend(hit.value.to_be_bytes());
            }
            previous = hit.at_ns;
        }
        bytes
    }

    /// The state that was written as these bytes.
    ///
    /// # Errors
    /// [`MalformedState`] for any others.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedState> {
        let mut reader = Reader(bytes);
        let [first] = reader.array::<1>()?;
        if first & 0xF0 != V1 {
            return Err(MalformedState);
        }
        let tag = first & 0x0F;
        let mut state = WindowState {
            tag,
            ..WindowState::default()
        };
        if reader.0.is_empty() {
            return Ok(state);
        }
        let newest = i64::from_be_bytes(reader.array()?);
        state.newest_ns = Some(newest);
        let mut previous = newest;
        while !reader.0.is_empty() {
            let number = reader.number()?;
            let back = u64::try_from(number >> 1).map_err(|_| MalformedState)?;
            let at_ns = previous.checked_sub_unsigned(back).ok_or(MalformedState)?;
            let event = u128::from_be_bytes(reader.array()?);
            let value = if tag != COUNT_TAG {
                u64::from_be_bytes(reader.array()?)
            } else {
                0
            };
            state.hits.push(Kept {
                at_ns,
                event,
                value,
                reported: number & 1 == 1,
            });
            previous = at_ns;
        }
        state.hits.reverse();
        Ok(state)
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes().first().copied().unwrap_or(0) | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes().first().copied().unwrap_or(0));
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedState> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(MalformedState)?;
        self.0 = rest;
        Ok(*array)
    }

    /// At most 65 bits, in ten bytes.
    fn number(&mut self) -> Result<u128, MalformedState> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array()?;
            number |= u128::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(MalformedState)
    }
}
