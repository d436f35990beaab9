//! The encodings that value modifiers put values into.

/// The alphabet of RFC 4648.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// What may introduce a command-line option: hyphen, slash, en dash, em dash, horizontal bar.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// UTF-16, in either byte order, with or without its mark.
pub(super) fn utf16(text: &str, big_endian: bool, mark: bool) -> Vec<u8> {
    let mark = mark.then_some(0xFEFF_u16);
    let units = mark.into_iter().chain(text.encode_utf16());
    units
        .flat_map(|unit| {
            if big_endian {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        })
        .collect()
}

/// Base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for sextet in 0..4_usize {
            let value = bits >> (18 - 6 * sextet) & 0x3F;
            let letter = BASE64.get(value as usize).copied().unwrap_or(b'=');
            text.push(if sextet <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

/// What of the bytes' Base64 stays the same wherever they stand in a longer text: one variant for
/// each of the three positions of their first byte.
pub(super) fn base64_offsets(bytes: &[u8]) -> [String; 3] {
    std::array::from_fn(|offset| {
        let mut shifted = vec![b' '; offset];
        shifted.extend(bytes);
        let text = base64(&shifted);
        // Letters that hold bits of what stands before or behind are left out.
        let from = [0, 2, 3].get(offset).copied().unwrap_or(0);
        let behind = match shifted.len() % 3 {
            0 => 0,
            1 => 3,
            _ => 2,
        };
        let to = text.len().saturating_sub(behind);
        text.get(from..to).unwrap_or_default().to_owned()
    })
}

/// A text with every dash that introduces an option replaced by each of the others, the text
/// itself included; `None` when these are more than `most`.
pub(super) fn windash(text: &str, most: usize) -> Option<Vec<String>> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut variants = vec![String::with_capacity(text.len())];
    let mut before = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let introduces = DASHES.contains(&letter)
            && !before.is_some_and(is_word)
            && letters.peek().copied().is_some_and(is_word);
        before = Some(letter);
        if !introduces {
            variants.iter_mut().for_each(|variant| variant.push(letter));
            continue;
        }
        if variants.len() * DASHES.len() > most {
            return None;
        }
        let with = |variant: &String| DASHES.map(|dash| format!("{variant}{dash}"));
        variants = variants.iter().flat_map(with).collect();
    }
    Some(variants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn an_offset_variant_stands_in_every_longer_text() {
        for secret in ["http://", "a", "ab", "abc", "Invoke"] {
            let variants = base64_offsets(secret.as_bytes());
            for before in 0..6 {
                for behind in ["", "x", "yz", "???"] {
                    let longer = format!("{}{secret}{behind}", "~".repeat(before));
                    let encoded = base64(longer.as_bytes());
                    let variant = &variants[before % 3];
                    assert!(encoded.contains(variant), "{longer} {variant}");
                }
            }
        }
        assert_eq!(
            base64_offsets(b"foobar"),
            ["Zm9vYmFy", "Zvb2Jhc", "mb29iYX"]
        );
    }

    #[test]
    fn utf16_in_both_orders() {
        assert_eq!(utf16("cmd", false, false), b"c\0m\0d\0");
        assert_eq!(utf16("cmd", true, false), b"\0c\0m\0d");
        assert_eq!(utf16("cmd", false, true), b"\xFF\xFEc\0m\0d\0");
    }

    #[test]
    fn dashes_of_options_are_exchanged_and_no_others() {
        let variants = windash("-f a-b", 100).unwrap();
        assert_eq!(variants.len(), 5);
        assert!(variants.contains(&"/f a-b".to_owned()));
        assert!(variants.contains(&"\u{2015}f a-b".to_owned()));
        assert_eq!(windash("-a /b", 100).unwrap().len(), 25);
        assert_eq!(windash("- ", 100).unwrap(), ["- "]);
        assert_eq!(windash("plain", 100).unwrap(), ["plain"]);
        assert!(windash("-a -b -c", 100).is_none());
    }
}
