//! A pull parser for JSON text (RFC 8259), strict, over borrowed bytes.
//!
//! It allocates nothing, holds no tree and recurses nowhere, so hostile nesting costs a counter.
//! Strings are scanned eight bytes at a time (the "has zero byte" trick of Bit Twiddling Hacks).
//! It never repairs: trailing commas, comments, NaN, leading zeros and raw control characters are
//! errors. Duplicate keys are the caller's to refuse.

use bumpalo::Bump;
use thiserror::Error;

/// Why a text is not JSON, with the byte offset at which that was certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub what: &'static str,
    /// Offset in bytes from the start of the text.
    pub at: usize,
}

/// A string that cannot be represented: a lone UTF-16 surrogate escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("string has a lone surrogate escape")]
pub struct LoneSurrogate;

/// What the next value is, judged by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// `-` or a digit
    Number,
    /// `t` or `f`
    Bool,
    /// `n`
    Null,
    /// Nothing that can begin a value, or the end of the text.
    Other,
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Str<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Str<'a> {
    /// The text itself: borrowed from the body, or unescaped into the arena.
    ///
    /// # Errors
    /// [`LoneSurrogate`] when an escape names half a surrogate pair.
    pub fn text(self, arena: &'a Bump) -> Result<&'a str, LoneSurrogate> {
        if !self.escaped {
            return Ok(self.raw);
        }
        let mut out = bumpalo::collections::String::with_capacity_in(self.raw.len(), arena);
        unescape(self.raw, &mut |piece| out.push_str(piece))?;
        Ok(out.into_bump_str())
    }

    /// The text itself, where it is written without an escape.
    #[must_use]
    pub fn plain(self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// Adds the text itself to another, for those that have no arena.
    ///
    /// # Errors
    /// [`LoneSurrogate`] when an escape names half a surrogate pair; what stands before it was added.
    pub fn append_to(self, out: &mut String) -> Result<(), LoneSurrogate> {
        unescape(self.raw, &mut |piece| out.push_str(piece))
    }

    /// Bytes between the quotes, escapes counted as written.
    #[must_use]
    pub fn raw_len(self) -> usize {
        self.raw.len()
    }
}

/// A cursor over JSON text.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of `word` that end a plain run of string text: quote, backslash, control.
/// Only the lowest mark is exact; borrows may add false ones above it.
#[inline(always)]
const fn string_stops(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = slash.wrapping_sub(ONES) & !slash;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | slash | control) & HIGHS
}

impl<'a> Reader<'a> {
    /// A reader at the start of `text`.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Reader { text, at: 0 }
    }

    /// The offset of the next unread byte.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Goes back (or on) to an offset this reader has reported.
    pub fn seek(&mut self, position: usize) {
        self.at = position.min(self.text.len());
    }

    /// The text between two offsets this reader has reported.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or("")
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    #[cold]
    fn error<T>(&self, what: &'static str) -> Result<T, JsonError> {
        Err(JsonError { what, at: self.at })
    }

    /// Skips white space and returns the next byte without taking it; 0 at the end.
    #[inline(always)]
    fn peek(&mut self) -> u8 {
        let mut byte = self.byte(self.at);
        while matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
            byte = self.byte(self.at);
        }
        byte
    }

    /// What the next value is.
    #[inline]
    pub fn kind(&mut self) -> Kind {
        match self.peek() {
            b'"' => Kind::String,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Other,
        }
    }

    #[inline(always)]
    fn take(&mut self, expected: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek() == expected {
            self.at += 1;
            Ok(())
        } else {
            self.error(what)
        }
    }

    /// Takes `{`.
    ///
    /// # Errors
    /// When the next value is not an object.
    #[inline]
    pub fn begin_object(&mut self) -> Result<(), JsonError> {
        self.take(b'{', "expected an object")
    }

    /// Takes `[`.
    ///
    /// # Errors
    /// When the next value is not an array.
    #[inline]
    pub fn begin_array(&mut self) -> Result<(), JsonError> {
        self.take(b'[', "expected an array")
    }

    /// The next key of the object being read, its colon taken too; `None` after the closing brace.
    /// `first` says whether it is the object's first member, and is cleared.
    ///
    /// # Errors
    /// When the text is not a member or the end of an object.
    #[inline]
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<Str<'a>>, JsonError> {
        match self.peek() {
            b'}' => {
                self.at += 1;
                return Ok(None);
            }
            b',' if !*first => self.at += 1,
            b'"' if *first => {}
            _ => return self.error("expected ',' or '}'"),
        }
        *first = false;
        let key = self.string()?;
        self.take(b':', "expected ':'")?;
        Ok(Some(key))
    }

    /// Whether the array being read has another item (then the reader stands before it).
    /// `first` as in [`next_key`](Self::next_key).
    ///
    /// # Errors
    /// When the text is neither an item nor the end of an array.
    #[inline]
    pub fn next_item(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        match self.peek() {
            b']' => {
                self.at += 1;
                return Ok(false);
            }
            b',' if !*first => {
                self.at += 1;
                if self.peek() == b']' {
                    return self.error("trailing comma");
                }
            }
            _ if *first => {}
            _ => return self.error("expected ',' or ']'"),
        }
        *first = false;
        Ok(true)
    }

    /// A string.
    ///
    /// # Errors
    /// When the next value is not a string, is not closed, or holds a raw control character or an
    /// unknown escape.
    #[inline]
    pub fn string(&mut self) -> Result<Str<'a>, JsonError> {
        self.take(b'"', "expected a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.run_of_plain_text();
            match self.byte(self.at) {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ if self.at >= self.text.len() => return self.error("string is not closed"),
                _ => return self.error("control character in a string"),
            }
        }
        let raw = self.slice(start, self.at);
        self.at += 1;
        Ok(Str { raw, escaped })
    }

    /// Moves to the next quote, backslash, control character or the end of the text.
    #[inline(always)]
    fn run_of_plain_text(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(chunk) = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let stops = string_stops(u64::from_le_bytes(*chunk));
            if stops != 0 {
                self.at += (stops.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while let Some(&byte) = bytes.get(self.at) {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.byte(self.at + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' if (2..6).all(|i| self.byte(self.at + i).is_ascii_hexdigit()) => self.at += 6,
            _ => return self.error("unknown escape in a string"),
        }
        Ok(())
    }

    /// A number, as its text (a valid JSON number, so [`str::parse`] takes it).
    ///
    /// # Errors
    /// When the next value is not a number as JSON writes them.
    #[inline]
    pub fn number(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let start = self.at;
        if self.byte(self.at) == b'-' {
            self.at += 1;
        }
        match self.byte(self.at) {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return self.error("expected a number"),
        }
        if self.byte(self.at) == b'.' {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.byte(self.at), b'e' | b'E') {
            self.at += 1;
            if matches!(self.byte(self.at), b'+' | b'-') {
                self.at += 1;
            }
            self.some_digits()?;
        }
        if self.byte(self.at).is_ascii_alphanumeric() {
            return self.error("malformed number");
        }
        Ok(self.slice(start, self.at))
    }

    #[inline(always)]
    fn digits(&mut self) {
        while self.byte(self.at).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !self.byte(self.at).is_ascii_digit() {
            return self.error("expected a digit");
        }
        self.digits();
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            if !self.byte(self.at).is_ascii_alphanumeric() {
                return Ok(());
            }
        }
        self.error("unknown word")
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// When the next value is neither.
    pub fn boolean(&mut self) -> Result<bool, JsonError> {
        let yes = self.peek() == b't';
        self.word(if yes { "true" } else { "false" })?;
        Ok(yes)
    }

    /// `null`.
    ///
    /// # Errors
    /// When the next value is not `null`.
    pub fn null(&mut self) -> Result<(), JsonError> {
        self.peek();
        self.word("null")
    }

    /// Reads over one value of any kind, checking its syntax, and returns its text.
    ///
    /// # Errors
    /// When the value is not JSON, or nests deeper than `depth_max` (at most 64).
    pub fn skip(&mut self, depth_max: usize) -> Result<&'a str, JsonError> {
        self.peek();
        let start = self.at;
        // One bit a level: set where the container is an object.
        let mut objects = 0u64;
        let mut depth = 0usize;
        let mut first = false;
        loop {
            match self.kind() {
                kind @ (Kind::Object | Kind::Array) => {
                    if depth == depth_max.min(64) {
                        return self.error("nested too deeply");
                    }
                    depth += 1;
                    objects = (objects << 1) | u64::from(kind == Kind::Object);
                    self.at += 1;
                    first = true;
                }
                Kind::String => drop(self.string()?),
                Kind::Number => drop(self.number()?),
                Kind::Bool => drop(self.boolean()?),
                Kind::Null => self.null()?,
                Kind::Other => return self.error("expected a value"),
            }
            // Close what ends here, then stand before the next value.
            loop {
                if depth == 0 {
                    return Ok(self.slice(start, self.at));
                }
                let more = if objects & 1 == 1 {
                    self.next_key(&mut first)?.is_some()
                } else {
                    self.next_item(&mut first)?
                };
                if more {
                    break;
                }
                depth -= 1;
                objects >>= 1;
                first = false;
            }
        }
    }

    /// Takes trailing white space and makes sure that nothing follows.
    ///
    /// # Errors
    /// When something follows.
    pub fn finish(&mut self) -> Result<(), JsonError> {
        self.peek();
        if self.at < self.text.len() {
            self.error("text after the end")
        } else {
            Ok(())
        }
    }
}

/// Resolves the escapes of a scanned string (they are known to be well formed), piece by piece.
fn unescape(raw: &str, put: &mut impl FnMut(&str)) -> Result<(), LoneSurrogate> {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        put(rest.get(..at).unwrap_or(""));
        let escape = rest.get(at + 1..).unwrap_or("");
        let (letter, taken) = match escape.as_bytes().first().copied().unwrap_or(0) {
            b'b' => ('\u{8}', 1),
            b'f' => ('\u{c}', 1),
            b'n' => ('\n', 1),
            b'r' => ('\r', 1),
            b't' => ('\t', 1),
            b'u' => unicode_escape(escape)?,
            byte => (char::from(byte), 1),
        };
        put(letter.encode_utf8(&mut [0; 4]));
        rest = escape.get(taken..).unwrap_or("");
    }
    put(rest);
    Ok(())
}

/// Decodes `uXXXX` or `uXXXX\uXXXX`; with how many bytes it took.
fn unicode_escape(escape: &str) -> Result<(char, usize), LoneSurrogate> {
    let unit = |from: usize| {
        escape
            .get(from..from + 4)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
    };
    let high = unit(1).ok_or(LoneSurrogate)?;
    if let Some(letter) = char::from_u32(high) {
        return Ok((letter, 5));
    }
    let pair = escape.get(5..7) == Some("\\u");
    let low = if pair { unit(7) } else { None }.ok_or(LoneSurrogate)?;
    if !(0xD800..0xDC00).contains(&high) || !(0xDC00..0xE000).contains(&low) {
        return Err(LoneSurrogate);
    }
    let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    Ok((char::from_u32(code).ok_or(LoneSurrogate)?, 11))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &str) -> bool {
        let mut reader = Reader::new(text);
        reader.skip(64).is_ok() && reader.finish().is_ok()
    }

    #[test]
    fn takes_what_json_allows() {
        for text in [
            "{}",
            "[]",
            " [ 1 , -0.5e+3, true,false , null,\"\" ] ",
            r#"{"a":{"b":[{}]}}"#,
            "0",
            r#""\u00e9\n\/""#,
            "[[[[]]]]",
            "-1",
            "1E5",
            "\"\u{7f}\"",
        ] {
            assert!(accepts(text), "{text}");
        }
    }

    #[test]
    fn refuses_what_json_forbids() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{,}",
            "[,1]",
            "01",
            "1.",
            ".5",
            "+1",
            "NaN",
            "-",
            "1e",
            "tru",
            "truex",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "{\"a\"}",
            "{\"a\":}",
            "[1 2]",
            "{1:2}",
            "nul",
            "'a'",
            "[1]]",
            "{} {}",
            "\u{feff}{}",
            "-01",
            "0x1",
            "1a",
        ] {
            assert!(!accepts(text), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_without_recursion() {
        let deep = "[".repeat(1_000_000);
        let error = Reader::new(&deep).skip(64).unwrap_err();
        assert_eq!(error.what, "nested too deeply");
        assert!(accepts(&format!("{}{}", "[".repeat(64), "]".repeat(64))));
        assert!(!accepts(&format!("{}{}", "[".repeat(65), "]".repeat(65))));
    }

    #[test]
    fn escapes_resolve_and_lone_surrogates_do_not() {
        let arena = Bump::new();
        let read = |text: &'static str| Reader::new(text).string().unwrap().text(&arena);
        assert_eq!(
            read(r#""a\tb\\\"\/\u00e9\ud83d\ude00""#),
            Ok("a\tb\\\"/é😀")
        );
        let string = |text: &'static str| Reader::new(text).string().unwrap();
        let mut longer = "so: ".to_owned();
        string(r#""\u00e9\n""#).append_to(&mut longer).unwrap();
        assert_eq!(longer, "so: é\n");
        assert_eq!(string(r#""a b""#).plain(), Some("a b"));
        assert_eq!(string(r#""a\tb""#).plain(), None);
        for bad in [
            r#""\ud800""#,
            r#""\udc00x""#,
            r#""\ud800\u0041""#,
            r#""\ud800\ud800""#,
        ] {
            assert_eq!(read(bad), Err(LoneSurrogate), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_any_text(text in r#"[\[\]{}:,"\\ a-z0-9.eE+\-\n]{0,40}"#) {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(accepts(&text), theirs, "{}", text);
        }

        #[test]
        fn reads_back_any_string(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            let arena = Bump::new();
            let read = Reader::new(&written).string().unwrap().text(&arena).unwrap().to_owned();
            prop_assert_eq!(read, text);
        }
    }
}
