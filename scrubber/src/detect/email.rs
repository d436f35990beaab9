//! E-mail addresses and passwords in URLs, both found by their at sign.
//!
//! Only the shape is judged; no name is looked up.

use super::bytes::{
    at, before, ends_ci, is_escape, is_spaceless, percent_at, run, run_before, starts_ci,
    unicode_at, word_length,
};
use crate::class::Class;
use crate::replace::is_scrubbed;
use crate::spans::Span;

/// The longest local part and domain of RFC 5321.
const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;

/// The at sign's code: `\u0040`.
const AT_SIGN: u32 = 0x40;

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
    b"conf",
    b"cfg",
    b"ini",
    b"log",
    b"txt",
    b"yaml",
    b"yml",
    b"toml",
    b"xml",
    b"lock",
    b"tsx",
    b"jsx",
    b"java",
    b"php",
    b"dll",
    b"exe",
    b"path",
];

/// Words of programs that stand before an at sign: `this@Activity.finish`.
const NO_LOCALS: &[&[u8]] = &[b"this", b"super", b"return", b"break", b"continue"];

/// What the at sign (or its `%40`) at `position` belongs to.
pub(crate) fn at_sign(text: &str, position: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    let (width, position) = match at(bytes, position) {
        b'@' => (1, position),
        b'%' if starts_ci(bytes, position, b"%40") => (3, position),
        // In JSON within JSON the backslash is doubled, once for every time it was quoted.
        b'\\' if unicode_at(bytes, position) == Some(AT_SIGN) => {
            let more = run_before(bytes, position, |byte| byte == b'\\');
            (6 + more, position - more)
        }
        _ => return None,
    };
    if width == 1
        && let Some(scheme) = user_info_start(bytes, position)
    {
        return password(bytes, scheme, position);
    }
    let start = local_start(text, position)?;
    let end = domain_end(text, position + width)?;
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
    let scheme = ends_ci(text, start, b"://") || ends_ci(text, start, b":\\/\\/");
    (back <= MAX_USER_INFO && scheme).then_some(start)
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

/// The start of the local part that ends at the at sign. Letters may be written as escapes
/// (`jos\u00e9`, `%C3%A9`); an escape that is no letter ends the address before it.
fn local_start(text: &str, position: usize) -> Option<usize> {
    let head = text.get(..position)?;
    let bytes = text.as_bytes();
    let mut start = position;
    for (index, letter) in head.char_indices().rev() {
        match escape(bytes, index, letter) {
            Some((decoded, _)) if is_local(decoded) => {}
            Some((_, length)) => {
                start = position.min(index + length);
                break;
            }
            None if !is_local(letter) => break,
            None => {}
        }
        if position - index > MAX_LOCAL {
            break;
        }
        start = index;
    }
    while start < position && !is_local_edge(bytes, start) {
        start += 1;
    }
    let local = bytes.get(start..position).unwrap_or_default();
    let masked = matches!(before(bytes, start), b'*') || local.ends_with(b".");
    (!local.is_empty() && !masked && !NO_LOCALS.contains(&local)).then_some(start)
}

/// What the escape that starts with this letter stands for, and its length.
fn escape(text: &[u8], index: usize, letter: char) -> Option<(char, usize)> {
    match letter {
        '\\' => match unicode_at(text, index) {
            Some(code) => Some((char::from_u32(code).unwrap_or(' '), 6)),
            None => is_escape(at(text, index + 1)).then_some((' ', 2)),
        },
        '%' => match percent_at(text, index)? {
            // A part of a letter in UTF-8.
            0x80.. => Some(('e', 3)),
            byte => Some((char::from(byte), 3)),
        },
        _ => None,
    }
}

/// Letters of the alphabets that are written with spaces, and the marks in common use. Scripts
/// without spaces would make the address reach back into the sentence.
fn is_local(letter: char) -> bool {
    match letter {
        '.' | '_' | '%' | '+' | '-' | '\'' => true,
        _ if letter.is_ascii() => letter.is_ascii_alphanumeric(),
        _ => !is_spaceless(letter) && letter.is_alphanumeric(),
    }
}

fn is_local_edge(text: &[u8], index: usize) -> bool {
    match at(text, index) {
        b'\\' => unicode_at(text, index).is_some(),
        b'%' => percent_at(text, index).is_some(),
        byte => byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80,
    }
}

/// The end of the domain that starts at `start`: labels with dots between, the last of letters.
fn domain_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut good = None;
    let mut label = start;
    let (mut labels, mut numbers) = (0, 0);
    loop {
        let end = label + word_length(text, label, |mark| mark == '-');
        let name = bytes.get(label..end)?;
        if name.is_empty() || name.starts_with(b"-") || end - start > MAX_DOMAIN {
            break;
        }
        numbers += usize::from(numbers == labels && name.iter().all(u8::is_ascii_digit));
        labels += 1;
        if labels > 1 && is_top_level(name) {
            good = Some(end);
        }
        if at(bytes, end) != b'.' {
            break;
        }
        label = end + 1;
    }
    // Two numbers at the start are a version: `react@18.2.0-rc.next`.
    good.filter(|end| numbers < 2 && !is_file(bytes, *end))
}

fn is_top_level(name: &[u8]) -> bool {
    let letters = name
        .iter()
        .all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
    (2..=24).contains(&name.len()) && (letters || starts_ci(name, 0, b"xn--"))
}

/// `logo@2x.png`, `getty@tty1.service`.
fn is_file(text: &[u8], end: usize) -> bool {
    let last = run_before(text, end, |byte| byte != b'.');
    let ending = text.get(end - last..end).unwrap_or_default();
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
            ("„bob@example.com“ fehlt", "bob@example.com"),
            ("bob@example.comを確認", "bob@example.com"),
            (r"first\nbob@example.com\nlast", "bob@example.com"),
            (r"\u003cbob@example.com\u003e", "bob@example.com"),
            (r"to jos\u00e9@example.com", r"jos\u00e9@example.com"),
            ("next=%2Fx%3Fq%3Dbob%40example.com", "bob%40example.com"),
            ("q=jos%C3%A9%40example.com", "jos%C3%A9%40example.com"),
            ("bob@163.com", "bob@163.com"),
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
            "react@18.2.0-rc.next",
            "this@MainActivity.finish",
            "openvpn@server.conf",
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
            (r"https:\/\/u:hunter2@example.com", "hunter2"),
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
