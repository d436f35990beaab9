//! Lists of lines: one value a line, and hosts files, as block lists are published.

use super::{Parsed, Place, short, unknown, value, without_mark};
use crate::indicators::Feed;
use crate::observables::{Kind, guess};
use std::net::IpAddr;
use std::sync::Arc;

/// Names that every hosts file has for the machine itself.
const OWN_NAMES: [&str; 14] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
    "localhost4",
    "localhost6",
    "0.0.0.0",
];

/// Reads a plain list: one value a line; `#`, `;` and `//` begin a comment, and so do ` #` and ` ;`
/// behind a value. Defanged forms are accepted.
#[must_use]
pub fn plain(text: &str, feed: &Arc<Feed>) -> Parsed {
    let mut parsed = Parsed::default();
    for (line, text) in (1..).zip(without_mark(text).lines()) {
        let Some(written) = without_comment(text) else {
            continue;
        };
        match value(written) {
            Some((kind, value)) => parsed.push(kind, value, feed),
            None => parsed.refuse(Place::Line(line), unknown(written)),
        }
    }
    parsed
}

/// What a line says; nothing where it is a comment.
pub(super) fn without_comment(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with(['#', ';']) || line.starts_with("//") {
        return None;
    }
    let cut = |line, mark| str::split_once(line, mark).map_or(line, |(before, _)| before);
    let line = cut(cut(cut(line, " #"), "\t#"), " ;").trim();
    (!line.is_empty()).then_some(line)
}

/// Reads a hosts file: `0.0.0.0 bad.example.com`, one or several names a line, each an indicator. The
/// names that such a file has for the machine itself are left out.
#[must_use]
pub fn hosts(text: &str, feed: &Arc<Feed>) -> Parsed {
    let mut parsed = Parsed::default();
    for (line, text) in (1..).zip(without_mark(text).lines()) {
        let text = text.split('#').next().unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        let Some(first) = words.next() else {
            continue;
        };
        if !is_sink(first) {
            let what = format!(
                "{:?} is not an address that hosts files send names away to",
                short(first)
            );
            parsed.refuse(Place::Line(line), what);
            continue;
        }
        for name in words {
            if OWN_NAMES.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                parsed.left_out += 1;
                continue;
            }
            match guess(name) {
                Some((Kind::Domain, value)) => parsed.push(Kind::Domain, value, feed),
                Some(_) | None => {
                    let what = format!("{:?} is no domain", short(name));
                    parsed.refuse(Place::Line(line), what);
                }
            }
        }
    }
    parsed
}

/// Whether a line of a hosts file begins with where names are sent to be lost.
pub(super) fn is_sink(word: &str) -> bool {
    // The machine's own addresses stand there too, with the machine's own names.
    let own = ["255.255.255.255", "fe80::1%lo0"];
    let address = word.parse::<IpAddr>();
    address.is_ok_and(is_lost) || own.contains(&word)
}

fn is_lost(address: IpAddr) -> bool {
    let multicast = address.is_multicast() && address.is_ipv6();
    address.is_unspecified() || address.is_loopback() || multicast
}
