//! Hardware addresses: six pairs of hex digits with `:` or `-`, or three groups of four with `.`.

use super::bytes::{at, is_word, run_before, seen_before};
use crate::class::Class;
use crate::spans::Span;

/// The address whose first mark is at `mark`.
pub(crate) fn at_mark(text: &[u8], mark: usize) -> Option<Span> {
    let separator = at(text, mark);
    let (width, groups) = if separator == b'.' { (4, 3) } else { (2, 6) };
    let start = mark.checked_sub(width)?;
    let end = start + groups * (width + 1) - 1;
    let address = text.get(start..end)?;
    let shaped = address
        .iter()
        .enumerate()
        .all(|(index, byte)| match index % (width + 1) {
            place if place == width => *byte == separator,
            _ => byte.is_ascii_hexdigit(),
        });
    // With dashes or dots, digits alone are a date or a version.
    let lettered = separator == b':' || address.iter().any(u8::is_ascii_alphabetic);
    let (last, next) = (seen_before(text, start), at(text, end));
    let free = !is_word(last) && (last != separator || is_name(text, start)) && !is_word(next);
    // A fingerprint goes on for more pairs.
    let whole = next != separator || !at(text, end + 1).is_ascii_hexdigit();
    (shaped && lettered && free && whole).then(|| Span::new(Class::Mac, start, end))
}

/// Whether the mark before the address ends a name (`mac:00:1a:…`) and not another pair.
fn is_name(text: &[u8], start: usize) -> bool {
    let colon = start - 1;
    let length = run_before(text, colon, is_word);
    let name = text.get(colon - length..colon).unwrap_or_default();
    name.iter().any(|byte| !byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let mut spans = (0..text.len()).filter_map(|mark| {
            matches!(at(text.as_bytes(), mark), b':' | b'-' | b'.')
                .then(|| at_mark(text.as_bytes(), mark))?
        });
        spans.next().and_then(|span| text.get(span.start..span.end))
    }

    #[test]
    fn addresses() {
        for address in [
            "00:1A:2b:3c:4D:5e",
            "00-1a-2b-3c-4d-5e",
            "001a.2b3c.4d5e",
            "12:34:56:78:90:12",
        ] {
            assert_eq!(found(&format!("link {address} up")), Some(address));
            assert_eq!(found(&format!("mac={address}, up")), Some(address));
            assert_eq!(found(&format!("mac:{address}, up")), Some(address));
        }
    }

    #[test]
    fn other_marks() {
        for text in [
            "12:34:56",
            "00:1a:2b:3c:4d",
            "00:1a:2b:3c:4d:5e:6f:70",
            "24-01-02-03-04-05",
            "1234.5678.9012",
            "00:1a:2b:3c:4d:5g",
            "x00:1a:2b:3c:4d:5e",
            "00:1a-2b:3c:4d:5e",
            "fe80:00:1a:2b:3c:4d:5e",
            "00:1a:2b:3c:4d:**",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
