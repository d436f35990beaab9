//! Where the next page begins: after the last row of this one, in the same range and order. A page
//! is found by the row's own time and id, so rows that arrive meanwhile move nothing.

use super::{Order, TimeRange};
use crate::error::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The place of a row in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Nanoseconds since 1970.
    pub at: i64,
    /// The row's id.
    pub id: Uuid,
}

/// A cursor, opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The range of the first page, which later pages keep.
    pub range: TimeRange,
    /// The order of the first page.
    pub order: Order,
    /// The last row of the page before.
    pub after: Position,
    /// Stands for the filters, which must stay the same.
    pub filters: [u8; 8],
}

const VERSION: u8 = 1;
const BYTES: usize = 1 + 1 + 8 + 8 + 8 + 16 + 8;

impl Cursor {
    /// A short digest of filters.
    #[must_use]
    pub fn digest(filters: &str) -> [u8; 8] {
        let mut digest = [0; 8];
        for (to, from) in digest.iter_mut().zip(Sha256::digest(filters.as_bytes())) {
            *to = from;
        }
        digest
    }

    /// The text that is given to the client.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.push(u8::from(self.order == Order::Ascending));
        bytes.extend(self.range.start.to_be_bytes());
        bytes.extend(self.range.end.to_be_bytes());
        bytes.extend(self.after.at.to_be_bytes());
        bytes.extend(self.after.id.as_bytes());
        bytes.extend(self.filters);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a text that was given to a client.
    ///
    /// # Errors
    /// 400 when it is none, or was given for other filters.
    pub fn parse(text: &str, filters: [u8; 8]) -> Result<Self, Problem> {
        let cursor = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| read(&bytes));
        let cursor = cursor.ok_or_else(|| Problem::parameter("cursor", "was not given by us"))?;
        if cursor.filters == filters {
            return Ok(cursor);
        }
        Err(Problem::parameter("cursor", "was given for other filters"))
    }
}

fn read(bytes: &[u8]) -> Option<Cursor> {
    let (&version, rest) = bytes.split_first()?;
    let (&order, rest) = rest.split_first()?;
    let (start, rest) = rest.split_first_chunk::<8>()?;
    let (end, rest) = rest.split_first_chunk::<8>()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let filters = *rest.first_chunk::<8>()?;
    let order = match order {
        0 => Order::Descending,
        1 => Order::Ascending,
        _ => return None,
    };
    (version == VERSION && rest.len() == 8).then_some(Cursor {
        range: TimeRange {
            start: i64::from_be_bytes(*start),
            end: i64::from_be_bytes(*end),
        },
        order,
        after: Position {
            at: i64::from_be_bytes(*at),
            id: Uuid::from_bytes(*id),
        },
        filters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_for_the_same_filters_only() {
        let cursor = Cursor {
            range: TimeRange { start: -5, end: 7 },
            order: Order::Ascending,
            after: Position {
                at: 3,
                id: Uuid::from_u128(9),
            },
            filters: Cursor::digest("service=a"),
        };
        let text = cursor.text();
        assert_eq!(Cursor::parse(&text, cursor.filters).unwrap(), cursor);
        assert!(Cursor::parse(&text, Cursor::digest("service=b")).is_err());
        for bad in ["", "x", "AAAA", &text[1..]] {
            assert!(Cursor::parse(bad, cursor.filters).is_err(), "{bad}");
        }
    }
}
