//! Names and values in running text: `password=…`, `"password":"…"` at any depth of quoting,
//! `<password>…</password>`, `--password …`.
//!
//! The name decides (see `keys`); the value is only looked at where the name alone is not sure.

use super::bytes::{
    at, before, ends_ci, from, is_escape, is_spaceless, is_word, percent_at, run, run_before,
    starts_ci,
};
use super::token::looks_secret;
use super::{Scene, phone};
use crate::class::Class;
use crate::keys::{Force, KeyKind, is_foreign, may_matter};
use crate::replace::{has_hash_at, is_placeholder, is_scrubbed};
use crate::spans::Span;

/// The longest name and value that are looked at.
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 4096;
/// How far after its name a telephone number ends.
const MAX_PHONE: usize = 32;
/// Spaces around the mark between name and value.
const MAX_SPACES: usize = 4;

/// Schemes after which an authorization header has its credentials.
const SCHEMES: &[&[u8]] = &[
    b"bearer",
    b"basic",
    b"token",
    b"apikey",
    b"digest",
    b"negotiate",
    b"aws4-hmac-sha256",
];

/// Values that say something about a secret instead of being one.
const ORDINARY: &[&[u8]] = &[
    b"null",
    b"none",
    b"nil",
    b"undefined",
    b"true",
    b"false",
    b"yes",
    b"no",
    b"empty",
    b"unset",
    b"missing",
    b"invalid",
    b"expired",
    b"required",
    b"redacted",
    b"hidden",
    b"filtered",
    b"masked",
    b"incorrect",
    b"wrong",
    b"denied",
    b"failed",
    b"changed",
    b"unknown",
    b"the",
    b"is",
    b"was",
    b"for",
    b"to",
    b"and",
    b"or",
    b"not",
    b"must",
    b"should",
    b"cannot",
    b"can",
    b"does",
    b"did",
    b"has",
    b"may",
    b"will",
    b"mismatch",
    b"too",
    b"ok",
    b"string",
    b"number",
    b"optional",
    b"disabled",
    b"enabled",
];

/// Architectures behind the names of Debian's packages: `passwd:amd64`, `python3-jwt:all`.
const ARCHITECTURES: &[&[u8]] = &[
    b"all", b"any", b"amd64", b"arm64", b"armel", b"armhf", b"i386", b"native", b"ppc64el",
    b"riscv64", b"s390x",
];

/// Marks of full width, as they are written in Chinese and Japanese.
const FULL_COLON: &[u8] = "：".as_bytes();
const FULL_EQUALS: &[u8] = "＝".as_bytes();

/// Whether what stands before a mark can be a name of ours. A glance that ends most of it: it may
/// say yes where `at_mark` then finds no name, never no where it would find one.
#[inline]
pub(crate) fn may_be_named(head: &[u8]) -> bool {
    match head.last() {
        Some(last) if last.is_ascii_alphabetic() => may_matter(head) || is_indexed(head),
        Some(_) | None => ends_in_name(head),
    }
}

/// `may_be_named`, for what ends in no letter: spaces, brackets, quotes, digits.
fn ends_in_name(head: &[u8]) -> bool {
    let spaces = run_before(head, head.len(), |byte| byte == b' ');
    if spaces > MAX_SPACES {
        return false;
    }
    let head = shortened(head, spaces);
    let head = head.strip_suffix(b"]").unwrap_or(head);
    let head = match head {
        [rest @ .., b'"' | b'\'' | b'`'] => {
            shortened(rest, run_before(rest, rest.len(), |byte| byte == b'\\'))
        }
        _ => head,
    };
    // Digits and marks at the end of a name do not count, and are none without a letter.
    let is_end = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.');
    let head = shortened(head, run_before(head, head.len(), is_end));
    match head.last() {
        Some(0x80..) => true,
        Some(last) if last.is_ascii_alphabetic() => may_matter(head) || is_indexed(head),
        Some(_) | None => false,
    }
}

/// `user%5Bpassword%5D`
fn is_indexed(head: &[u8]) -> bool {
    ends_ci(head, head.len(), b"%5d")
}

fn shortened(text: &[u8], by: usize) -> &[u8] {
    text.get(..text.len().saturating_sub(by))
        .unwrap_or_default()
}

/// The mark between a name and a value as a reader sees it, and where it ends.
fn seen_mark(text: &[u8], mark: usize) -> Option<(u8, usize)> {
    match at(text, mark) {
        byte if byte.is_ascii() => Some((byte, mark + 1)),
        _ if from(text, mark).starts_with(FULL_COLON) => Some((b':', mark + FULL_COLON.len())),
        _ if from(text, mark).starts_with(FULL_EQUALS) => Some((b'=', mark + FULL_EQUALS.len())),
        _ => None,
    }
}

/// The value that belongs to the mark (`:`, `=` or `>`, or one of full width) at `mark`, if its
/// name is of ours.
pub(crate) fn at_mark(scene: &Scene<'_>, mark: usize) -> Option<Span> {
    let text = scene.text.as_bytes();
    seen_mark(text, mark)?;
    let name = Name::before(text, mark)?;
    let xml = at(text, mark) == b'>';
    if xml != (before(text, name.start) == b'<' && !name.spaced) {
        return None;
    }
    // `$API_KEY: not set`
    if at(text, mark) == b':' && before(text, name.start) == b'$' {
        return None;
    }
    match scene.keys.kind_of_name(name.bytes(text)) {
        KeyKind::Plain | KeyKind::Ssn => None,
        KeyKind::Phone => {
            let value = Value::after(scene.text, mark, &name, Force::Sure)?;
            let end = text.len().min(value.start + MAX_PHONE);
            let span = phone::value(text, value.start, end)
                .filter(|span| span.start < value.end && scene.active.contains(Class::Phone))?;
            let whole = (span.start, span.end) == (value.start, value.end);
            Some(Span {
                quotes: if whole {
                    value.span(&name).quotes
                } else {
                    None
                },
                ..span
            })
        }
        KeyKind::Sensitive(force) => {
            let value = Value::after(scene.text, mark, &name, force)?;
            let hashed = has_hash_at(text, mark);
            (!hashed && value.is_secret(text, force)).then(|| value.span(&name))
        }
    }
    .filter(|span| span.start < span.end)
}

/// The password in the quotes at `quote`, in the grammar of SQL: `PASSWORD '…'`, `PASSWORD('…')`,
/// `IDENTIFIED BY '…'`. A quote within is doubled.
pub(crate) fn at_quote(text: &str, quote: usize) -> Option<Span> {
    const WORDS: &[&[u8]] = &[b"password", b"identified by"];
    let bytes = text.as_bytes();
    let head = bytes.get(..quote)?;
    let head = head.strip_suffix(b"(").unwrap_or(head);
    let spaces = run_before(head, head.len(), |byte| byte == b' ');
    let head = shortened(head, spaces);
    let apart = head.len() < quote && spaces <= MAX_SPACES;
    let word = WORDS.iter().find(|word| ends_ci(head, head.len(), word))?;
    if !apart || is_word(before(head, head.len() - word.len())) {
        return None;
    }
    let mut value = Value::quoted(bytes, quote)?;
    while at(bytes, value.end + 1) == b'\'' && at(bytes, value.end + 2).is_ascii_alphanumeric() {
        let rest = Value::quoted(bytes, value.end + 1)?;
        if rest.end == bytes.len() {
            break;
        }
        value.end = rest.end;
    }
    let end = text.floor_char_boundary(value.end.min(value.start + MAX_VALUE));
    let value = Value { end, ..value };
    let right = value.is_secret(bytes, Force::Sure);
    right.then(|| Span::new(Class::Secret, value.start, value.end))
}

/// The value after a command line flag, whose first dash is at `start`.
pub(crate) fn at_flag(scene: &Scene<'_>, start: usize) -> Option<Span> {
    let text = scene.text.as_bytes();
    let length = run(text, start, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
    });
    let end = start + length;
    let KeyKind::Sensitive(force) = scene.keys.kind_of_name(text.get(start..end)?) else {
        return None;
    };
    if length > MAX_NAME || at(text, end) != b' ' || at(text, end + 1) == b'-' {
        return None;
    }
    let name = Name {
        start,
        end,
        quotes: None,
        spaced: true,
    };
    let value = Value::after(scene.text, end, &name, Force::Sure)?;
    value.is_secret(text, force).then(|| value.span(&name))
}

/// A name before its mark.
struct Name {
    start: usize,
    end: usize,
    /// Backslashes before its quotes, when it is quoted with `"`.
    quotes: Option<u8>,
    /// Whether there is a space between name and mark.
    spaced: bool,
}

impl Name {
    fn before(text: &[u8], mark: usize) -> Option<Name> {
        let mut end = mark;
        let spaces = run_before(text, end, |byte| byte == b' ');
        if spaces > MAX_SPACES {
            return None;
        }
        end -= spaces;
        if before(text, end) == b']' {
            end -= 1;
        } else if ends_ci(text, end, b"%5d") {
            end -= 3;
        }
        let mut quotes = None;
        let quote = before(text, end);
        if matches!(quote, b'"' | b'\'' | b'`') {
            end -= 1;
            let slashes = run_before(text, end, |byte| byte == b'\\');
            quotes = u8::try_from(slashes).ok().filter(|_| quote == b'"');
            end -= slashes;
        }
        let length = name_length(text, end);
        let start = end - length;
        let placeholder = text
            .get(start.wrapping_sub(1)..end + 1)
            .is_some_and(is_placeholder);
        let kept = (2..=MAX_NAME).contains(&length) && !placeholder;
        kept.then_some(Name {
            start,
            end,
            quotes,
            spaced: spaces > 0,
        })
    }

    fn bytes<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// How long the name is that ends at `end`: letters, digits and few marks, without the letter of an
/// escape before it. Letters beyond ASCII belong to it where it is one of our words by them.
fn name_length(text: &[u8], end: usize) -> usize {
    /// The longest of our words beyond ASCII, in bytes.
    const MAX_FOREIGN: usize = 32;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let plain = run_before(text, end, is_name);
    if before(text, end - plain) >= 0x80 {
        let any = run_before(text, end, |byte| is_name(byte) || byte >= 0x80).min(MAX_FOREIGN);
        if text.get(end - any..end).is_some_and(is_foreign) {
            return any;
        }
    }
    let start = end - plain;
    let escaped = match before(text, start) {
        b'\\' if is_escape(at(text, start)) => 1,
        // `user%5Btoken%5D=…`
        b'%' if percent_at(text, start - 1).is_some() => 2,
        _ => 0,
    };
    plain.saturating_sub(escaped)
}

/// A value after its mark.
struct Value {
    start: usize,
    end: usize,
    /// Whether it stands in quotes.
    quoted: bool,
    /// Whether it follows its mark without a space, or in quotes: data rather than prose.
    tight: bool,
    /// Whether it is an object or array.
    nested: bool,
    /// Whether the text named a scheme before it.
    scheme: bool,
}

impl Value {
    fn after(text: &str, mark: usize, name: &Name, force: Force) -> Option<Value> {
        let bytes = text.as_bytes();
        let (sign, behind) = seen_mark(bytes, mark)?;
        let mut start = behind;
        match (sign, at(bytes, start)) {
            (b'=' | b':', b'=') | (b':', b':') if sign == at(bytes, start) => return None,
            (b'=', b'>') | (b':', b'=') => start += 1,
            _ => {}
        }
        // `ruser= rhost=x`: an empty value.
        let spaces = run(bytes, start, |byte| matches!(byte, b' ' | b'\t'));
        if spaces > MAX_SPACES || sign == b'=' && spaces > 0 && !name.spaced && start == behind {
            return None;
        }
        start += spaces;
        let tight = spaces == 0 || name.quotes.is_some();
        let value = if sign == b'>' {
            Value::plain(start, start + run(bytes, start, |byte| byte != b'<'), tight)
        } else {
            Value::quoted(bytes, start)
                .or_else(|| Value::nested(bytes, start, name, force))
                .unwrap_or_else(|| {
                    Value::bare(bytes, start, tight, force == Force::Line && sign == b':')
                })
        };
        let mut end = value.end.min(value.start + MAX_VALUE);
        if behind > mark + 1 && !value.quoted {
            end = sentence_part(text, value.start, end)?;
        }
        let end = text.floor_char_boundary(end);
        Some(Value { end, ..value })
    }

    const fn plain(start: usize, end: usize, tight: bool) -> Value {
        Value {
            start,
            end,
            quoted: false,
            tight,
            nested: false,
            scheme: false,
        }
    }

    /// A value in quotes, which end where as many backslashes precede the quote as at its start,
    /// or where it is cut off.
    fn quoted(text: &[u8], start: usize) -> Option<Value> {
        let depth = run(text, start, |byte| byte == b'\\');
        let quote = at(text, start + depth);
        if !matches!(quote, b'"' | b'\'' | b'`') || depth > 15 {
            return None;
        }
        let start = start + depth + 1;
        let mut slashes = 0;
        let mut end = text.len();
        for (index, byte) in from(text, start).iter().enumerate().take(MAX_VALUE) {
            if *byte == quote && slashes % (2 * (depth + 1)) == depth {
                end = start + index - depth;
                break;
            }
            slashes = if *byte == b'\\' { slashes + 1 } else { 0 };
        }
        Some(Value {
            quoted: true,
            ..Value::plain(start, end, true)
        })
    }

    /// An object or array, to its closing bracket or the end of the text.
    fn nested(text: &[u8], start: usize, name: &Name, force: Force) -> Option<Value> {
        let close = match at(text, start) {
            b'{' => b'}',
            b'[' => b']',
            _ => return None,
        };
        if name.quotes.is_none() && force != Force::Sure {
            return None;
        }
        let open = at(text, start);
        let mut depth = 0usize;
        for (index, byte) in from(text, start).iter().enumerate().take(MAX_VALUE) {
            depth += usize::from(*byte == open);
            if *byte == close {
                depth -= 1;
                if depth == 0 {
                    let value = Value::plain(start, start + index + 1, true);
                    return Some(Value {
                        nested: true,
                        ..value
                    });
                }
            }
        }
        Some(Value {
            nested: true,
            ..Value::plain(start, text.len(), true)
        })
    }

    /// A value without quotes: to the next space or mark, or to the end of the line.
    fn bare(text: &[u8], start: usize, tight: bool, line: bool) -> Value {
        if line {
            let length = run(text, start, |byte| {
                !matches!(byte, b'\n' | b'\r' | b'"' | b'\\')
            });
            let spaces = run_before(text, start + length, |byte| byte == b' ').min(length);
            return Value::plain(start, start + length - spaces, tight);
        }
        let word = bare_length(text, start);
        let name = text.get(start..start + word).unwrap_or_default();
        let known = SCHEMES
            .iter()
            .position(|scheme| name.eq_ignore_ascii_case(scheme));
        if let (Some(index), b' ') = (known, at(text, start + word)) {
            let from = start + word + run(text, start + word, |byte| byte == b' ');
            // Digest and AWS signatures are lists to the end of the line.
            let list = matches!(index, 4 | 6);
            let rest = |byte: u8| !matches!(byte, b'\n' | b'\r' | b'\'' | b'\\');
            let length = if list {
                run(text, from, rest)
            } else {
                // Credentials are ASCII and end in no mark of a sentence.
                let value = text.get(from..from + bare_length(text, from));
                let value = ascii_part(value.unwrap_or_default());
                let marks = value.iter().rev();
                value.len()
                    - marks
                        .take_while(|byte| matches!(byte, b'!' | b'?' | b':'))
                        .count()
            };
            return Value {
                scheme: true,
                ..Value::plain(from, from + length, tight)
            };
        }
        Value::plain(start, start + word, tight)
    }

    fn is_secret(&self, text: &[u8], force: Force) -> bool {
        let value = text.get(self.start..self.end).unwrap_or_default();
        if value.is_empty() || says_something(value) {
            return false;
        }
        let directory = matches!(value, [b'/', ..] | [_, b':', b'\\' | b'/', ..]);
        let weak = || value.len() >= 6 && looks_secret(value);
        match force {
            Force::Sure => !directory,
            Force::Maybe if self.scheme => looks_secret(value) || value.len() >= 8 && self.tight,
            Force::Maybe if self.quoted || self.tight => value.len() >= 3,
            Force::Weak if self.scheme => true,
            Force::Maybe | Force::Weak => weak(),
            Force::Line => value.contains(&b'=') || self.quoted || weak() || self.nested,
        }
    }

    /// The span; a value that was not a string in JSON becomes one.
    fn span(&self, name: &Name) -> Span {
        let quotes = if self.quoted { None } else { name.quotes };
        Span {
            quotes,
            ..Span::new(Class::Secret, self.start, self.end)
        }
    }
}

/// Where a value behind a full-width mark ends: where the sentence goes on in a script without
/// spaces, or with its marks. A secret begins in ASCII there; `密码：错误` speaks of one.
fn sentence_part(text: &str, start: usize, end: usize) -> Option<usize> {
    let end = text.floor_char_boundary(end);
    let value = text.get(start..end)?;
    let secret = value.starts_with(|first: char| first.is_ascii_graphic());
    secret.then(|| {
        value
            .find(is_spaceless)
            .map_or(end, |length| start + length)
    })
}

/// Bytes up to what ends a value without quotes.
fn bare_length(text: &[u8], start: usize) -> usize {
    let ends = |byte: u8| {
        byte <= b' '
            || matches!(
                byte,
                b',' | b';' | b'&' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'|' | b'}' | b'\\'
            )
    };
    let mut length = run(text, start, |byte| !ends(byte));
    // A backslash belongs to the value unless it starts an escape.
    while at(text, start + length) == b'\\'
        && !matches!(
            at(text, start + length + 1),
            b'n' | b'r' | b't' | b'"' | b'\'' | b'\\' | 0
        )
    {
        length += 1 + run(text, start + length + 1, |byte| !ends(byte));
    }
    let value = text.get(start..start + length).unwrap_or_default();
    if value.starts_with(b"[") {
        let end = value.iter().position(|byte| *byte == b']').unwrap_or(0) + 1;
        let placeholder = value.get(..end).is_some_and(is_scrubbed);
        return if placeholder { end } else { length };
    }
    let closing = value
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b')' | b']' | b'.'))
        .count();
    length - closing
}

/// Whether a value says something about a secret instead of being one, perhaps within a sentence
/// that goes on behind it: `null!`, `null。`.
fn says_something(value: &[u8]) -> bool {
    let says = |value: &[u8]| is_scrubbed(value) || is_template(value) || is_ordinary(value);
    let mut rest = ascii_part(value);
    while let [shorter @ .., b'!' | b'?' | b',' | b':'] = rest {
        if says(rest) {
            return true;
        }
        rest = shorter;
    }
    says(value) || says(rest)
}

/// A value up to its first letter beyond ASCII.
fn ascii_part(value: &[u8]) -> &[u8] {
    let foreign = value.iter().position(|byte| *byte >= 0x80);
    value
        .get(..foreign.unwrap_or(value.len()))
        .unwrap_or_default()
}

/// `${PASSWORD}`, `{{ password }}`, `%s`, `$PASSWORD`: the place of a value.
fn is_template(value: &[u8]) -> bool {
    let variable = |rest: &[u8]| {
        !rest.is_empty()
            && rest
                .iter()
                .all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
    };
    match value {
        [b'$', b'{' | b'(', ..] | [b'{', b'{', ..] | b"{}" | [b'%', b's' | b'd' | b'v'] | b"?" => {
            true
        }
        [b'$', rest @ ..] => variable(rest),
        [b'*', ..] => value.iter().all(|byte| *byte == b'*'),
        _ => false,
    }
}

fn is_ordinary(value: &[u8]) -> bool {
    let value = value.strip_suffix(b":").unwrap_or(value);
    ORDINARY.iter().any(|word| value.eq_ignore_ascii_case(word))
        || ARCHITECTURES.contains(&value)
        || value.len() > 2
            && value
                .iter()
                .all(|byte| matches!(byte, b'x' | b'X' | b'-' | b'.'))
        || starts_ci(value, 0, b"<redacted") && value.ends_with(b">")
}
