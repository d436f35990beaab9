//! RowBinary: how each type of column is written. Lengths are unsigned LEB128, numbers little
//! endian, a UUID two little-endian halves, the upper one first.

use crate::event::{Field, Role, Value};
use std::io::Write as _;
use uuid::Uuid;

/// A value that can stand in a column.
pub trait Column {
    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);
}

/// Nanoseconds since 1970 UTC, in a `DateTime64(9)` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ns(pub i64);

/// Bytes that were encoded before.
#[derive(Clone, Copy, Debug)]
pub struct PreEncoded<'e>(pub &'e [u8]);

/// An array of texts.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'e>(pub &'e [&'e str]);

/// An array of plain values.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'e, T>(pub &'e [T]);

/// The fields of one role as a map of text to text; `null` values are left out.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'e, 'a> {
    /// All fields of the event.
    pub fields: &'e [Field<'a>],
    /// Which of them.
    pub role: Role,
    /// Of which element only, where they belong to one.
    pub sub: Option<u16>,
}

/// One map for each numbered element: the attributes of span events or links.
#[derive(Clone, Copy, Debug)]
pub struct EventAttributes<'e, 'a> {
    /// All fields of the event.
    pub fields: &'e [Field<'a>],
    /// Which of them.
    pub role: Role,
    /// How many elements there are.
    pub count: usize,
}

/// Appends a length.
#[inline]
pub fn put_len(mut len: usize, out: &mut Vec<u8>) {
    while len >= 0x80 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low seven bits are wanted"
        )]
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128 by the loop")]
    out.push(len as u8);
}

/// Appends a string.
#[inline]
pub fn put_text(text: &str, out: &mut Vec<u8>) {
    put_len(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

impl Column for &str {
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        put_text(self, out);
    }
}

impl Column for Uuid {
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        let (high, low) = self.as_u64_pair();
        out.extend_from_slice(&high.to_le_bytes());
        out.extend_from_slice(&low.to_le_bytes());
    }
}

impl Column for Ns {
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }
}

macro_rules! plain {
    ($($type:ty)*) => { $(impl Column for $type {
        #[inline]
        fn put(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.to_le_bytes());
        }
    })* };
}
plain!(u8 u32 u64 f64);

impl Column for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Column for PreEncoded<'_> {
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

impl Column for Texts<'_> {
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.0.len(), out);
        for text in self.0 {
            put_text(text, out);
        }
    }
}

impl<T: Column> Column for Listed<'_, T> {
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.0.len(), out);
        for value in self.0 {
            value.put(out);
        }
    }
}

impl Column for Attributes<'_, '_> {
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        let wanted = || {
            self.fields.iter().filter(|field| {
                field.role == self.role
                    && self.sub.is_none_or(|sub| sub == field.sub)
                    && field.value != Value::Null
            })
        };
        put_len(wanted().count(), out);
        for field in wanted() {
            put_text(field.name, out);
            put_value(&field.value, out);
        }
    }
}

impl Column for EventAttributes<'_, '_> {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.count, out);
        for sub in 0..self.count {
            let sub = Some(u16::try_from(sub).unwrap_or(u16::MAX));
            Attributes {
                fields: self.fields,
                role: self.role,
                sub,
            }
            .put(out);
        }
    }
}

/// A value as text: numbers and truth values as JSON writes them.
#[inline]
fn put_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) | Value::Json(text) => put_text(text, out),
        Value::Int(int) => put_text(itoa::Buffer::new().format(*int), out),
        Value::Float(float) => put_float(*float, out),
        Value::Bool(true) => put_text("true", out),
        Value::Bool(false) => put_text("false", out),
        Value::Null => put_len(0, out),
    }
}

/// Whole floats lose their `.0`, as they had none when they were sent.
fn put_float(float: f64, out: &mut Vec<u8>) {
    // The longest `f64` in this notation is under 330 bytes.
    let mut buffer = [0u8; 400];
    let mut rest = buffer.as_mut_slice();
    let before = rest.len();
    // Cannot fail: the buffer is longer than any number.
    let _ = write!(rest, "{float}");
    let written = before - rest.len();
    let digits = buffer.get(..written).unwrap_or(&[]);
    put_len(digits.len(), out);
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(column: impl Column) -> Vec<u8> {
        let mut out = Vec::new();
        column.put(&mut out);
        out
    }

    #[test]
    fn columns_are_written_as_clickhouse_reads_them() {
        assert_eq!(bytes("é"), [2, 0xC3, 0xA9]);
        assert_eq!(bytes("x".repeat(300).as_str())[..2], [0xAC, 0x02]);
        let uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        let expected = [
            0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa,
            0x99, 0x88,
        ];
        assert_eq!(bytes(uuid), expected);
        assert_eq!(bytes(Texts(&["a", ""])), [2, 1, b'a', 0]);
        assert_eq!(bytes(Listed(&[1u64])), [1, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_map_holds_the_values_of_its_role_as_text() {
        let field = |name, value, role| Field {
            name,
            value,
            role,
            sub: 0,
        };
        let fields = [
            field("a", Value::Int(-5), Role::Attribute),
            field("b", Value::Float(1.5), Role::Attribute),
            field("c", Value::Null, Role::Attribute),
            field("message", Value::Text("m"), Role::Message),
        ];
        let map = Attributes {
            fields: &fields,
            role: Role::Attribute,
            sub: None,
        };
        assert_eq!(
            bytes(map),
            [2, 1, b'a', 2, b'-', b'5', 1, b'b', 3, b'1', b'.', b'5']
        );
    }
}
