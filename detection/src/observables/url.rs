//! URLs: their parts, and their canonical spelling.
//!
//! An apostrophe is legal in a path (RFC 3986, sub-delims) and is the usual quote of texts: a URL that
//! stands behind one ends at the next, any other keeps those within it. The server's name never holds
//! one, and one at the very end is taken for a quote.

use super::bytes::{self, URL, is};
use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;

/// Schemes that are taken, with the defanged ones, and what they are and listen on.
const SCHEMES: [(&str, &str, &str); 9] = [
    ("https", "https", ":443"),
    ("http", "http", ":80"),
    ("hxxps", "https", ":443"),
    ("hxxp", "http", ":80"),
    ("ftp", "ftp", ":21"),
    ("ftps", "ftps", ":990"),
    ("fxp", "ftp", ":21"),
    ("ws", "ws", ":80"),
    ("wss", "wss", ":443"),
];

/// Bytes of a URL at most: what browsers and proxies still agree on.
const URL_BYTES_MAX: usize = 2048;

/// Bytes of user, host and port at most: a name of the greatest length and some credentials.
const AUTHORITY_BYTES_MAX: usize = 400;

/// The beginning of a URL, up to its path. Its host is looked at before the path is read, so that
/// text full of `http://` costs no more than other text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'t> {
    scheme: &'static str,
    default_port: &'static str,
    from: usize,
    pub(super) path_from: usize,
    /// The host, without user, port and brackets.
    pub(super) host: &'t str,
    port: &'t str,
    in_brackets: bool,
    /// Whether an apostrophe stands before it.
    quoted: bool,
}

/// A URL where it stands in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Url<'t> {
    head: Head<'t>,
    /// As it was written, from scheme to end.
    whole: &'t str,
    path: &'t str,
}

/// Reads the beginning of the URL around `://` at `colon`, whose scheme may reach back to `floor`.
pub(super) fn head(text: &str, floor: usize, colon: usize) -> Option<Head<'_>> {
    let bytes = text.as_bytes();
    let floor = floor.max(colon.saturating_sub(8));
    let from = bytes::run_start(bytes, floor, colon, bytes::ALNUM);
    let written = text.get(from..colon)?;
    let (_, scheme, default_port) = *SCHEMES
        .iter()
        .find(|(name, _, _)| written.eq_ignore_ascii_case(name))?;
    let start = colon + 3;
    let rest = bytes.get(start..)?;
    let ends = |byte: &u8| !is(*byte, URL) || matches!(byte, b'/' | b'?' | b'#' | b'\'');
    let length = rest.iter().take(AUTHORITY_BYTES_MAX).position(ends);
    let stop = start + length.unwrap_or(rest.len().min(AUTHORITY_BYTES_MAX));
    let path_from = match bytes::at(bytes, stop) {
        b'/' | b'?' | b'#' => stop,
        _ => trimmed(bytes, start, stop),
    };
    let authority = text.get(start..path_from)?;
    let server = authority
        .rsplit_once('@')
        .map_or(authority, |(_, server)| server);
    let in_brackets = server.starts_with('[');
    let (host, port) = if in_brackets {
        let close = server.find(']')?;
        (server.get(1..close)?, server.get(close + 1..)?)
    } else {
        server.split_at_checked(server.find(':').unwrap_or(server.len()))?
    };
    let host = host.trim_end_matches('.');
    Some(Head {
        scheme,
        default_port,
        from,
        path_from,
        host,
        port,
        in_brackets,
        quoted: bytes::before(bytes, from) == b'\'',
    })
}

/// Reads on to the end of a URL and returns it with its end.
pub(super) fn whole<'t>(text: &'t str, head: Head<'t>) -> Option<(Url<'t>, usize)> {
    let bytes = text.as_bytes();
    let mut end = head.path_from;
    if matches!(bytes::at(bytes, end), b'/' | b'?' | b'#') {
        let limit = bytes.len().min(head.from + URL_BYTES_MAX);
        let stop = bytes::run_end(bytes.get(..limit)?, end, URL);
        let mut run = bytes.get(end..stop)?.iter();
        let closing = run.position(|byte| head.quoted && *byte == b'\'');
        end = trimmed(bytes, end, closing.map_or(stop, |length| end + length));
    }
    // A fragment names no other place, and what stands before it ends as it would without.
    let fragment = text.get(head.path_from..end)?.find('#');
    let path_to = fragment.map_or(end, |length| {
        trimmed(bytes, head.path_from, head.path_from + length)
    });
    let path = text.get(head.path_from..path_to)?;
    let url = Url {
        head,
        whole: text.get(head.from..end)?,
        path: if path == "/" { "" } else { path },
    };
    Some((url, end))
}

/// Where a URL ends: punctuation that ends a sentence, quotes and unopened brackets are not part of it.
fn trimmed(bytes: &[u8], from: usize, mut end: usize) -> usize {
    let run = bytes.get(from..end).unwrap_or_default();
    let count = |wanted: u8| run.iter().filter(|byte| **byte == wanted).count();
    let mut round = (count(b'('), count(b')'));
    let mut square = (count(b'['), count(b']'));
    while end > from {
        match bytes::before(bytes, end) {
            b'.' | b',' | b';' | b':' | b'!' | b'?' | b'*' | b'\'' => {}
            b')' if round.1 > round.0 => round.1 -= 1,
            b']' if square.1 > square.0 => square.1 -= 1,
            _ => break,
        }
        end -= 1;
    }
    end
}

impl<'a> Url<'a> {
    /// One spelling for one place: scheme and host in lower case; no user, password, default
    /// port, fragment, or lone slash. The path keeps its case, which servers may tell apart.
    pub(super) fn canonical(&self, host: &'a str, arena: &'a Bump) -> &'a str {
        let head = &self.head;
        let port = if head.port == ":" || head.port == head.default_port {
            ""
        } else {
            head.port
        };
        let brackets = if head.in_brackets {
            ("[", "]")
        } else {
            ("", "")
        };
        let parts = [
            head.scheme,
            "://",
            brackets.0,
            host,
            brackets.1,
            port,
            self.path,
        ];
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if let Some(written) = self.whole.get(..length)
            && written == self.whole
            && same(written, &parts)
        {
            return written;
        }
        let mut url = ArenaString::with_capacity_in(length, arena);
        for part in parts {
            url.push_str(part);
        }
        url.into_bump_str()
    }
}

fn same(written: &str, parts: &[&str]) -> bool {
    parts
        .iter()
        .try_fold(written, |rest, part| rest.strip_prefix(part))
        == Some("")
}
