//! URLs: their parts, and their canonical spelling.

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

/// A URL where it stands in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Url<'t> {
    scheme: &'static str,
    default_port: &'static str,
    /// As it was written, from scheme to end.
    pub(super) whole: &'t str,
    /// The host, without user, port and brackets.
    pub(super) host: &'t str,
    port: &'t str,
    path: &'t str,
    in_brackets: bool,
}

/// Reads the URL around `://` at `colon`, whose scheme may reach back to `floor`. Returns it with
/// its end.
pub(super) fn parse(text: &str, floor: usize, colon: usize) -> Option<(Url<'_>, usize)> {
    let bytes = text.as_bytes();
    let from = bytes::run_start(
        bytes,
        floor.max(colon.saturating_sub(8)),
        colon,
        bytes::ALNUM,
    );
    let written = text.get(from..colon)?;
    let (_, scheme, default_port) = *SCHEMES
        .iter()
        .find(|(name, _, _)| written.eq_ignore_ascii_case(name))?;
    let end = end(bytes, colon + 3);
    let rest = text.get(colon + 3..end)?;
    let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(split)?;
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
    let path = path.split('#').next().unwrap_or_default();
    let url = Url {
        scheme,
        default_port,
        whole: text.get(from..end)?,
        host: host.trim_end_matches('.'),
        port,
        path: if path == "/" { "" } else { path },
        in_brackets,
    };
    Some((url, end))
}

/// Where a URL ends: punctuation that ends a sentence and unopened brackets are not part of it.
fn end(bytes: &[u8], from: usize) -> usize {
    let limit = bytes.len().min(from + URL_BYTES_MAX);
    let mut end = bytes::run_end(bytes.get(..limit).unwrap_or_default(), from, URL);
    while end > from {
        let last = bytes::before(bytes, end);
        let run = bytes.get(from..end).unwrap_or_default();
        let unopened = |open: u8| {
            run.iter().filter(|byte| **byte == last).count()
                > run.iter().filter(|byte| **byte == open).count()
        };
        let drop = match last {
            b'.' | b',' | b';' | b':' | b'!' | b'?' | b'*' => true,
            b')' => unopened(b'('),
            b']' => unopened(b'['),
            _ => !is(last, URL),
        };
        if !drop {
            break;
        }
        end -= 1;
    }
    end
}

impl<'a> Url<'a> {
    /// One spelling for one place: scheme and host in lower case; no user, password, default
    /// port, fragment, or lone slash. The path keeps its case, which servers may tell apart.
    pub(super) fn canonical(&self, host: &'a str, arena: &'a Bump) -> &'a str {
        let port = if self.port == ":" || self.port == self.default_port {
            ""
        } else {
            self.port
        };
        let brackets = if self.in_brackets {
            ("[", "]")
        } else {
            ("", "")
        };
        let parts = [
            self.scheme,
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
