//! RowBinary read back: the inverse of `encode`, column by column, without a copy. It never reads
//! past the bytes it is given, and makes no list longer than these bytes can fill.

use thiserror::Error;
use uuid::Uuid;

/// Bytes of a length: a `u64` in sevens of bits.
const LEN_BYTES_MAX: u32 = 10;

/// Why there is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RowError {
    /// The row goes on behind the end of the bytes.
    #[error("the bytes end within a row")]
    Incomplete,
    /// These are no bytes of a row of this table.
    #[error("the bytes are no row of this table")]
    Malformed,
}

/// A place in RowBinary bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    /// Bytes that are left.
    pub(super) const fn left(&self) -> usize {
        self.0.len()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(RowError::Incomplete)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RowError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, RowError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, RowError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, RowError> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, RowError> {
        self.array().map(f64::from_le_bytes)
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, RowError> {
        let (high, low) = (self.u64()?, self.u64()?);
        Ok(Uuid::from_u64_pair(high, low))
    }

    /// A length, of a text or of a list.
    pub(super) fn len(&mut self) -> Result<usize, RowError> {
        let mut len = 0_u64;
        for place in 0..LEN_BYTES_MAX {
            let byte = self.byte()?;
            len |= u64::from(byte & 0x7F) << (7 * place).min(63);
            if byte & 0x80 == 0 {
                return usize::try_from(len).map_err(|_| RowError::Malformed);
            }
        }
        Err(RowError::Malformed)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, RowError> {
        let len = self.len()?;
        let (text, rest) = self.0.split_at_checked(len).ok_or(RowError::Incomplete)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| RowError::Malformed)
    }

    /// Each item of a list, with its number.
    pub(super) fn each(
        &mut self,
        mut item: impl FnMut(u16, &mut Self) -> Result<(), RowError>,
    ) -> Result<(), RowError> {
        for number in 0..self.len()? {
            item(u16::try_from(number).unwrap_or(u16::MAX), self)?;
        }
        Ok(())
    }

    /// Each entry of a map of text to text.
    pub(super) fn map(&mut self, mut entry: impl FnMut(&'a str, &'a str)) -> Result<(), RowError> {
        self.each(|_, cursor| {
            entry(cursor.text()?, cursor.text()?);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Listed, Texts};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_written_is_read() {
        let mut bytes = Vec::new();
        let uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        uuid.put(&mut bytes);
        "é".repeat(200).as_str().put(&mut bytes);
        Texts(&["a", ""]).put(&mut bytes);
        Listed(&[7u64]).put(&mut bytes);
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.uuid(), Ok(uuid));
        assert_eq!(cursor.text().unwrap().chars().count(), 200);
        let mut texts = Vec::new();
        let read = cursor.each(|number, cursor| {
            texts.push((number, cursor.text()?));
            Ok(())
        });
        assert_eq!((read, texts), (Ok(()), vec![(0, "a"), (1, "")]));
        assert_eq!(
            (cursor.len(), cursor.u64(), cursor.left()),
            (Ok(1), Ok(7), 0)
        );
        assert_eq!(cursor.byte(), Err(RowError::Incomplete));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut cursor = Cursor::new(&bytes);
            while cursor.text().is_ok() {}
            let _ = Cursor::new(&bytes).map(|_, _| {});
        }
    }
}
