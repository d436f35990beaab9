//! E-mail addresses and passwords in URLs, both found by their at sign.
//!
//! Only the shape is judged; no name is looked up.

use super::bytes::{at, before, ends_ci, run, run_before, starts_ci};
use crate::class::Class;
use crate::replace::is_scrubbed;
use crate::spans::Span;

/// The longest local part and domain of RFC 5321.
const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;

/// The longest credentials in a URL that are looked for.
const MAX_USER_INFO: usize = 512;

/// Endings that are no top-level domains but follow an at sign in logs: units, pictures, scripts.
const NO_DOMAINS: &[&[u8]] = &[
    b"service",
    b"socket",
    b"timer",
    b"mount",
    b"automount",
    b"target",
    b"slice",
    b"scope",
    b"device",
    b"swap",
    b"png",
    b"jpg",
    b"jpeg",
    b"gif",
    b"svg",
    b"webp",
    b"js",
    b"mjs",
    b"css",
    b"json",
    b"html",
    b"jar",
    b"tgz",
    b"gz",
    b"tar",
    b"whl",
];

/// What the at sign (or its `%40`) at `position` belongs to.
pub(crate) fn at_sign(text: &str, position: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    let width = match at(bytes, position) {
        b'@' => 1,
        b'%' if starts_ci(bytes, position, b"%40") => 3,
        _ => return None,
    };
    if width == 1
        && let Some(scheme) = user_info_start(bytes, position)
    {
        return password(bytes, scheme, position);
    }
    let start = local_start(text, position)?;
    let end = domain_end(bytes, position + width)?;
    let scp_like = ends_ci(bytes, position, b"git") && position - start == 3;
    if scp_like && matches!(at(bytes, end), b':' | b'/') {
        return None;
    }
    Some(Span::new(Class::Email, start, end))
}

/// Where the user information of a URL starts, when the at sign ends one.
fn user_info_start(text: &[u8], position: usize) -> Option<usize> {
    let back = run_before(text, position, |byte| {
        byte > b' ' && !matches!(byte, b'/' | b'"' | b'\'' | b'<' | b'>' | b'?' | b'#')
    });
    let start = position - back;
    (back <= MAX_USER_INFO && ends_ci(text, start, b"://")).then_some(start)
}

/// The password between the first colon and the at sign; a user alone is none.
fn password(text: &[u8], start: usize, position: usize) -> Option<Span> {
    let user = run(text, start, |byte| byte != b':' && byte != b'@');
    let from = start + user + 1;
    let value = text.get(from..position).filter(|value| !value.is_empty())?;
    let host = at(text, position + 1);
    if is_scrubbed(value)
        || !(host.is_ascii_alphanumeric() || matches!(host, b'[' | b'_' | b'$' | b'{'))
    {
        return None;
    }
    Some(Span::new(Class::Secret, from, position))
}

/// The start of the local part that ends at the at sign.
fn local_start(text: &str, position: usize) -> Option<usize> {
    let head = text.get(..position)?;
    let mut start = position;
    for (index, letter) in head.char_indices().rev() {
        if !is_local(letter) || position - index > MAX_LOCAL {
            break;
        }
        start = index;
    }
    let bytes = text.as_bytes();
    while start < position && !is_local_edge(at(bytes, start)) {
        start += 1;
    }
    let masked = matches!(before(bytes, start), b'*') || matches!(before(bytes, position), b'.');
    (start < position && !masked).then_some(start)
}

/// Letters of the alphabets that are written with spaces, and the marks in common use. Scripts
/// without spaces would make the address reach back into the sentence.
fn is_local(letter: char) -> bool {
    match letter {
        '.' | '_' | '%' | '+' | '-' | '\'' => true,
        _ if letter.is_ascii() => letter.is_ascii_alphanumeric(),
        _ => u32::from(letter) < 0x2e80 && letter.is_alphanumeric(),
    }
}

fn is_local_edge(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The end of the domain that starts at `start`: labels with dots between, the last of letters.
fn domain_end(text: &[u8], start: usize) -> Option<usize> {
    let is_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte >= 0x80;
    let mut good = None;
    let mut label = start;
    let mut labels = 0;
    loop {
        let end = label + run(text, label, is_label);
        let name = text.get(label..end)?;
        if name.is_empty() || name.starts_with(b"-") || end - start > MAX_DOMAIN {
            break;
        }
        labels += 1;
        if labels > 1 && is_top_level(name) {
            good = Some(end);
        }
        if at(text, end) != b'.' {
            break;
        }
        label = end + 1;
    }
    good.filter(|end| !is_file(text, start, *end))
}

fn is_top_level(name: &[u8]) -> bool {
    let letters = name
        .iter()
        .all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
    (2..=24).contains(&name.len()) && (letters || starts_ci(name, 0, b"xn--"))
}

/// `logo@2x.png`, `getty@tty1.service`.
fn is_file(text: &[u8], start: usize, end: usize) -> bool {
    let last = run_before(text, end, |byte| byte != b'.');
    let ending = text.get(end - last..end).unwrap_or_default();
    let _ = start;
    NO_DOMAINS
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let signs = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| matches!(byte, b'@' | b'%'));
        let spans = signs.filter_map(|(position, _)| at_sign(text, position));
        spans
            .map(|span| text.get(span.start..span.end).unwrap())
            .collect()
    }

    #[test]
    fn addresses() {
        for (text, address) in [
            ("mail bob@example.com now", "bob@example.com"),
            (
                "<o'brien.x+tag@mail.example.co.uk>",
                "o'brien.x+tag@mail.example.co.uk",
            ),
            ("to=Bob_1@EXAMPLE.Org.", "Bob_1@EXAMPLE.Org"),
            ("'bob@example.com'", "bob@example.com"),
            ("?email=bob%40example.com&x=1", "bob%40example.com"),
            ("mailto:bob@example.museum", "bob@example.museum"),
            ("josé@example.com", "josé@example.com"),
            ("a@b.co", "a@b.co"),
            ("bob@bücher.example", "bob@bücher.example"),
            ("bob@example.xn--p1ai", "bob@example.xn--p1ai"),
            ("请联系bob@example.com", "bob@example.com"),
            ("-bob@example.com,", "bob@example.com"),
        ] {
            assert_eq!(found(text), [address], "{text}");
        }
    }

    #[test]
    fn no_addresses() {
        for text in [
            "@",
            "a@",
            "@b.com",
            "user@host",
            "root@10.0.0.1",
            "package@1.2.3",
            "x@2x.png",
            "getty@tty1.service",
            "@types/node",
            "git@github.com:org/repo.git",
            "a***@example.com",
            "https://medium.com/@bob",
            "ssh://git@github.com/org/repo",
            "a@-b.com",
            "50%40",
            "100%",
            "[EMAIL]@b",
            "image@sha256:abcdef",
            "Foo@1a2b3c",
            "a@b..com",
            "a.@b.com",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }

    #[test]
    fn passwords_in_urls() {
        for (text, password) in [
            ("postgres://app:s3cr3t@db.internal:5432/x", "s3cr3t"),
            ("redis://:hunter2@cache:6379", "hunter2"),
            ("https://u:p%40ss@example.com/a?b=c@d", "p%40ss"),
            ("amqp://guest:guest@10.0.0.1", "guest"),
        ] {
            assert_eq!(found(text), [password], "{text}");
        }
        for text in [
            "https://user@example.com",
            "http://u:[SECRET]@example.com/",
            "http://u:@x.org",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
