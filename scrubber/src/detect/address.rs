//! IPv4 and IPv6 addresses, for policies that ask for them.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::bytes::{at, before, ends_ci, is_word, run, run_before, seen_before};
use crate::class::Class;
use crate::spans::Span;

/// The longest spelling of an IPv6 address, with an IPv4 address at its end.
const MAX_IPV6: usize = 45;

/// Words before four numbers that are no address.
const VERSIONS: &[&[u8]] = &[
    b"version ",
    b"version=",
    b"version: ",
    b"version\":\"",
    b"ver. ",
];

/// The IPv4 address whose first dot is at `dot`.
pub(crate) fn ipv4(text: &str, dot: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    let start = dot - run_before(bytes, dot, |byte| byte.is_ascii_digit());
    // `root%4010.0.0.1`: two of the digits are those of an escape.
    let escaped = before(bytes, start) == b'%' && dot - start > 2;
    let start = start + if escaped { 2 } else { 0 };
    let end = start + run(bytes, start, |byte| byte.is_ascii_digit() || byte == b'.');
    let end = if before(bytes, end) == b'.' {
        end - 1
    } else {
        end
    };
    let last = seen_before(bytes, start);
    // `Chrome/120.0.0.0`
    let name = run_before(bytes, start.saturating_sub(1), |byte| {
        byte.is_ascii_alphabetic()
    });
    let capital = at(bytes, start.saturating_sub(name + 1)).is_ascii_uppercase();
    let product = last == b'/' && name > 0 && capital;
    let version = VERSIONS.iter().any(|word| ends_ci(bytes, start, word));
    let free = !is_word(last) && last != b'.' && !product && !version && !is_word(at(bytes, end));
    let right = free && text.get(start..end)?.parse::<Ipv4Addr>().is_ok();
    right.then(|| Span::new(Class::Ipv4, start, end))
}

/// The IPv6 address that holds the colon at `colon`, if it is the address's first.
pub(crate) fn ipv6(text: &str, colon: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    let start = colon - run_before(bytes, colon, |byte| byte.is_ascii_hexdigit());
    let length = run(bytes, start, |byte| {
        byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
    });
    let length = length - run_before(bytes, start + length, |byte| byte == b'.');
    let mut end = start + length;
    if before(bytes, end) == b':' && before(bytes, end - 1) != b':' {
        end -= 1;
    }
    let word = text.get(start..end).filter(|word| word.len() <= MAX_IPV6)?;
    // `std::fs` and `a::b` are no addresses.
    let numbered = word.bytes().any(|byte| byte.is_ascii_digit());
    let last = seen_before(bytes, start);
    let free = !is_word(last) && last != b':' && !is_word(at(bytes, end));
    let right = numbered && free && word.parse::<Ipv6Addr>().is_ok();
    right.then(|| Span::new(Class::Ipv6, start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut spans: Vec<Span> = Vec::new();
        for (index, byte) in text.bytes().enumerate() {
            let span = match byte {
                b'.' => ipv4(text, index),
                b':' => ipv6(text, index),
                _ => None,
            };
            if span.is_some_and(|span| spans.last() != Some(&span)) {
                spans.extend(span);
            }
        }
        spans
            .iter()
            .map(|span| text.get(span.start..span.end).unwrap())
            .collect()
    }

    #[test]
    fn addresses() {
        for (text, address) in [
            ("from 192.0.2.17 port 22", "192.0.2.17"),
            ("http://10.0.0.1:8080/", "10.0.0.1"),
            ("/10.250.19.102:54106", "10.250.19.102"),
            ("at 10.0.0.1.", "10.0.0.1"),
            ("q=root%4010.0.0.1", "10.0.0.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("via ::1 port", "::1"),
            ("fe80::1ff:fe23:4567:890a%eth0", "fe80::1ff:fe23:4567:890a"),
            ("2001:db8:0:0:0:0:0:1", "2001:db8:0:0:0:0:0:1"),
        ] {
            assert_eq!(found(text), [address], "{text}");
        }
    }

    #[test]
    fn other_dots_and_colons() {
        for text in [
            "1.2.3",
            "1.2.3.4.5",
            "v1.2.3.4",
            "Chrome/120.0.0.0",
            "version 2.3.4.5",
            "300.1.1.1",
            "12:00:00",
            "std::fs",
            "a::b",
            "00:1a:2b:3c:4d:5e",
            "::",
            "10.0.*.*",
            "2001:db8:***",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
