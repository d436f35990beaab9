//! The pass over one string.

use super::bytes::{self, ALNUM, HEX, HOST, LOCAL, STOP, is};
use super::{Kind, Observable, Observables, address, domain, refang, url};
use crate::field::FieldAt;
use bumpalo::Bump;
use ipnet::IpNet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of the local half of an e-mail address (RFC 5321).
const LOCAL_BYTES_MAX: usize = 64;
/// Digits of a year, and of a CVE's number.
const CVE_YEAR_DIGITS: usize = 4;
const CVE_NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 4..=7;
/// Hexadecimal digits of the shortest digest, and so the stride by which runs are sampled.
const DIGEST_DIGITS_MIN: usize = 32;

/// How a pass ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Done,
    Defanged,
}

/// A string being read, and where its observables go.
pub(super) struct Scan<'s, 'a> {
    found: &'s mut Observables<'a>,
    field: &'s str,
    at: FieldAt,
    arena: &'a Bump,
    /// Nothing before this offset is part of what is still to be found.
    floor: usize,
    /// Whether marks of defanging are still as they were written.
    defanged: bool,
}

impl<'s, 'a> Scan<'s, 'a> {
    pub(super) fn new(
        found: &'s mut Observables<'a>,
        field: &'s str,
        at: FieldAt,
        arena: &'a Bump,
    ) -> Self {
        Scan {
            found,
            field,
            at,
            arena,
            floor: 0,
            defanged: true,
        }
    }

    /// Finds everything in the text.
    pub(super) fn text(&mut self, text: &'a str) {
        let mut text = text;
        if self.pass(text) == Pass::Defanged {
            text = refang::refang(text, self.arena);
            self.floor = 0;
            // Once: marks inside marks are somebody playing.
            self.defanged = false;
            self.pass(text);
        }
        self.digests(text);
    }

    /// One pass, given up as soon as the text turns out to be defanged.
    fn pass(&mut self, text: &'a str) -> Pass {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if !is(*byte, STOP) {
                at += 1;
                continue;
            }
            at = match byte {
                b'.' => self.dot(text, at),
                b':' => self.colon(text, at),
                b'@' => self.at_sign(text, at),
                b'-' => self.dash(text, at),
                _ if self.defanged && refang::mark(bytes, at).is_some() => return Pass::Defanged,
                _ => at + 1,
            };
        }
        Pass::Done
    }

    fn add(&mut self, kind: Kind, value: &'a str) {
        self.add_as(kind, value, None);
    }

    fn add_as(&mut self, kind: Kind, value: &'a str, network: Option<IpNet>) {
        self.found.add(Observable {
            kind,
            value,
            at: self.at,
            network,
        });
    }

    /// Adds an address in its canonical spelling.
    fn add_address(&mut self, (address, value): (IpAddr, &'a str)) {
        let kind = match address {
            IpAddr::V4(_) => Kind::Ipv4,
            IpAddr::V6(_) => Kind::Ipv6,
        };
        self.add_as(kind, value, Some(IpNet::from(address)));
    }

    /// Adds a network in its canonical spelling.
    fn add_network(&mut self, address: IpAddr, length: u8, value: &'a str) {
        self.add_as(Kind::Cidr, value, IpNet::new(address, length).ok());
    }

    fn lower(&self, text: &'a str) -> &'a str {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let copy = self.arena.alloc_str(text);
            copy.make_ascii_lowercase();
            copy
        } else {
            text
        }
    }

    /// A dot between two host characters: an IPv4 address, a network, or a domain.
    fn dot(&mut self, text: &'a str, at: usize) -> usize {
        let bytes = text.as_bytes();
        if !is(bytes::before(bytes, at), HOST) || !is(bytes::at(bytes, at + 1), HOST) {
            return at + 1;
        }
        let (start, end) = self.name_around(bytes, at);
        let name = text.get(start..end).unwrap_or_default();
        // The local half of an e-mail address is read from its at sign.
        if bytes::at(bytes, end) == b'@' {
            return end;
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            self.numbers(text, start, end)
        } else {
            self.name(text, start, end);
            end
        }
    }

    /// The run of host characters and dots around `at`, without dots and dashes at its ends.
    fn name_around(&self, bytes: &[u8], at: usize) -> (usize, usize) {
        let mut start = at;
        while start > self.floor && is_name(bytes::before(bytes, start)) {
            start -= 1;
        }
        let mut end = at + 1;
        while is_name(bytes::at(bytes, end)) {
            end += 1;
        }
        while start < end && !is_label_edge(bytes::at(bytes, start)) {
            start += 1;
        }
        while end > start && !domain::is_edge(bytes::before(bytes, end)) {
            end -= 1;
        }
        (start, end.max(at + 1))
    }

    /// A dotted name whose last label begins with a digit: addresses, or a version, or nothing.
    fn numbers(&mut self, text: &'a str, start: usize, end: usize) -> usize {
        let name = text.get(start..end).unwrap_or_default();
        let mut from = start;
        let mut stop = end;
        for part in name.split('-') {
            let to = from + part.len();
            if let Some(v4) = address::parse_v4(part) {
                stop = self.network_or_v4(text, from, to, v4).max(stop);
            }
            from = to + 1;
        }
        self.floor = stop;
        stop
    }

    fn network_or_v4(&mut self, text: &'a str, start: usize, end: usize, v4: Ipv4Addr) -> usize {
        if let Some((length, stop)) = prefix_length(text.as_bytes(), end, 32)
            && u32::from(v4).checked_shl(u32::from(length)).unwrap_or(0) == 0
        {
            if length == 32 {
                self.add_address((v4.into(), text.get(start..end).unwrap_or_default()));
                return stop;
            }
            let written = text.get(start..stop).unwrap_or_default();
            let canonical = self.spelled(written, format_args!("{v4}/{length}"));
            self.add_network(v4.into(), length, canonical);
            return stop;
        }
        self.add_address((v4.into(), text.get(start..end).unwrap_or_default()));
        end
    }

    /// The text itself where it is spelled canonically, else the canonical spelling.
    fn spelled(&self, written: &'a str, canonical: std::fmt::Arguments<'_>) -> &'a str {
        let mut text = bumpalo::collections::String::new_in(self.arena);
        if text.write_fmt(canonical).is_err() || text == written {
            return written;
        }
        text.into_bump_str()
    }

    /// A dotted name whose last label begins with a letter: a domain, or a file, or code.
    fn name(&mut self, text: &'a str, start: usize, end: usize) {
        let bytes = text.as_bytes();
        let name = text.get(start..end).unwrap_or_default();
        if !domain::ends_like_a_domain(name) {
            return;
        }
        let (before, after) = (bytes::before(bytes, start), bytes::at(bytes, end));
        // A path, an account's domain, a function call, a setting, a cut-off defanged name.
        let in_path = before == b'/' && bytes::before(bytes, start - 1) != b'/';
        let in_code = matches!(after, b'(' | b'=' | b'\\' | b'[' | b'{');
        if in_path || in_code || matches!(before, b'\\' | b'@' | b'$') {
            return;
        }
        // A name with letters outside ASCII was cut in the middle; its registered form is ASCII.
        if self.touches_letter(text, start, end) {
            return;
        }
        let name = self.lower(name);
        if domain::is_file_like(name) && !domain::is_host_field(self.field) {
            return;
        }
        if domain::is_domain(name) {
            self.add(Kind::Domain, name);
            self.floor = end;
        }
    }

    /// Whether a letter stands next to the name that could be part of it. Scripts that are written
    /// without blanks between words are not taken for part of it.
    fn touches_letter(&self, text: &str, start: usize, end: usize) -> bool {
        let joins = |letter: char| letter.is_alphabetic() && letter < '\u{2E80}';
        text.get(..start)
            .and_then(|before| before.chars().next_back())
            .is_some_and(joins)
            || text
                .get(end..)
                .and_then(|after| after.chars().next())
                .is_some_and(joins)
    }

    /// A colon: the middle of a URL's `://`, or of an IPv6 address.
    fn colon(&mut self, text: &'a str, at: usize) -> usize {
        let bytes = text.as_bytes();
        if bytes::at(bytes, at + 1) == b'/' && bytes::at(bytes, at + 2) == b'/' {
            return self.url(text, at).unwrap_or(at + 3);
        }
        let hex_or_colon = |byte: u8| byte == b':' || is(byte, HEX);
        let (before, after) = (bytes::before(bytes, at), bytes::at(bytes, at + 1));
        if !hex_or_colon(after) || (after != b':' && !is(before, HEX)) {
            return at + 1;
        }
        self.v6(text, at).unwrap_or(at + 1)
    }

    fn url(&mut self, text: &'a str, colon: usize) -> Option<usize> {
        let head = url::head(text, self.floor, colon)?;
        let host = self.lower(head.host);
        let address = host.parse::<IpAddr>().ok();
        let address = address.map(|address| self.canonical_address(host, address));
        if address.is_none() && !domain::is_domain(host) {
            return None;
        }
        let host = address.map_or(host, |(_, host)| host);
        let (url, end) = url::whole(text, head)?;
        if let Some(mark) = refang::first_mark(text, head.path_from, end) {
            // The pass goes on there and finds it. What is still marked when that was read is no URL.
            if !self.defanged {
                self.add_host(host, address);
                self.floor = mark;
            }
            return Some(mark);
        }
        let canonical = url.canonical(host, self.arena);
        self.add(Kind::Url, canonical);
        self.add_host(host, address);
        self.floor = end;
        Some(end)
    }

    /// Adds the host of a URL: the name, or the address with its spelling.
    fn add_host(&mut self, name: &'a str, address: Option<(IpAddr, &'a str)>) {
        match address {
            Some(address) => self.add_address(address),
            None => self.add(Kind::Domain, name),
        }
    }

    fn canonical_address(&self, written: &'a str, address: IpAddr) -> (IpAddr, &'a str) {
        let address = address.to_canonical();
        (address, self.spelled(written, format_args!("{address}")))
    }

    fn v6(&mut self, text: &'a str, at: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let part = |byte: u8| is(byte, HEX) || byte == b':' || byte == b'.';
        let floor = self.floor.max(at.saturating_sub(address::V6_BYTES_MAX));
        let mut start = at;
        while start > floor && part(bytes::before(bytes, start)) {
            start -= 1;
        }
        let mut end = at + 1;
        while end - at <= address::V6_BYTES_MAX && part(bytes::at(bytes, end)) {
            end += 1;
        }
        if is(bytes::before(bytes, start), ALNUM) || is(bytes::at(bytes, end), ALNUM) {
            return None;
        }
        let written = text.get(start..end)?;
        // The end of a sentence; a double colon belongs to the address.
        let written = written
            .strip_suffix("::")
            .map_or_else(|| written.trim_end_matches(['.', ':']), |_| written);
        let v6 = address::parse_v6(written)?;
        let end = start + written.len();
        self.floor = end;
        if let Some((length, stop)) = prefix_length(bytes, end, 127)
            && u128::from(v6).checked_shl(u32::from(length)).unwrap_or(0) == 0
        {
            let written = text.get(start..stop)?;
            let canonical = self.spelled(written, format_args!("{v6}/{length}"));
            self.add_network(v6.into(), length, canonical);
            self.floor = stop;
            return Some(stop);
        }
        let address = self.canonical_address(written, IpAddr::V6(v6));
        self.add_address(address);
        Some(end)
    }

    /// An at sign: the middle of an e-mail address.
    fn at_sign(&mut self, text: &'a str, at: usize) -> usize {
        let bytes = text.as_bytes();
        let floor = self.floor.max(at.saturating_sub(LOCAL_BYTES_MAX));
        let mut start = bytes::run_start(bytes, floor, at, LOCAL);
        while start < at && !is(bytes::at(bytes, start), ALNUM) {
            start += 1;
        }
        let (_, end) = self.name_around(bytes, at);
        let host = text.get(at + 1..end).unwrap_or_default();
        if start == at || !host.contains('.') || !domain::ends_like_a_domain(host) {
            return at + 1;
        }
        let address = self.lower(text.get(start..end).unwrap_or_default());
        let host = address.get(at + 1 - start..).unwrap_or_default();
        if !domain::is_domain(host) {
            return at + 1;
        }
        self.add(Kind::Email, address);
        self.floor = end;
        end
    }

    /// A dash: the first of a CVE id.
    fn dash(&mut self, text: &'a str, at: usize) -> usize {
        let bytes = text.as_bytes();
        if !matches!(bytes::before(bytes, at), b'e' | b'E') {
            return at + 1;
        }
        let Some(start) = at.checked_sub(3).filter(|start| *start >= self.floor) else {
            return at + 1;
        };
        let digits = |from: usize| {
            let rest = bytes.get(from..).unwrap_or_default();
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let number = at + 1 + CVE_YEAR_DIGITS + 1;
        let end = number + digits(number);
        let is_cve = text
            .get(start..at)
            .is_some_and(|word| word.eq_ignore_ascii_case("cve"))
            && !is(bytes::before(bytes, start), ALNUM)
            && digits(at + 1) == CVE_YEAR_DIGITS
            && bytes::at(bytes, number - 1) == b'-'
            && CVE_NUMBER_DIGITS.contains(&(end - number))
            && !is(bytes::at(bytes, end), ALNUM);
        if !is_cve {
            return at + 1;
        }
        let value = self.lower(text.get(start..end).unwrap_or_default());
        self.add(Kind::Cve, value);
        self.floor = end;
        end
    }

    /// Runs of hexadecimal digits as long as a digest. A run of 32 or more covers a multiple of
    /// 32, so only those offsets are looked at.
    fn digests(&mut self, text: &'a str) {
        let bytes = text.as_bytes();
        let mut at = DIGEST_DIGITS_MIN - 1;
        let mut done = 0;
        while let Some(byte) = bytes.get(at) {
            if is(*byte, HEX) {
                let start = bytes::run_start(bytes, done, at, HEX);
                let end = bytes::run_end(bytes, at, HEX);
                self.digest(text, start, end);
                done = end;
                at = at.max(end);
            }
            at += DIGEST_DIGITS_MIN;
        }
    }

    fn digest(&mut self, text: &'a str, start: usize, end: usize) {
        let bytes = text.as_bytes();
        let Some(kind) = Kind::of_digest(end - start) else {
            return;
        };
        if is(bytes::before(bytes, start), ALNUM) || is(bytes::at(bytes, end), ALNUM) {
            return;
        }
        let written = text.get(start..end).unwrap_or_default();
        // A number of 32 decimal digits is likelier than a digest without a letter.
        if written.bytes().any(|byte| !byte.is_ascii_digit()) {
            let value = self.lower(written);
            self.add(kind, value);
        }
    }
}

#[inline(always)]
const fn is_name(byte: u8) -> bool {
    is(byte, HOST) || byte == b'.'
}

/// A label may begin with an underscore (`_dmarc`), not with a dash.
const fn is_label_edge(byte: u8) -> bool {
    domain::is_edge(byte) || byte == b'_'
}

/// The prefix length behind a slash at `at`, with its end.
fn prefix_length(bytes: &[u8], at: usize, most: u8) -> Option<(u8, usize)> {
    if bytes::at(bytes, at) != b'/' {
        return None;
    }
    let rest = bytes.get(at + 1..)?;
    let digits = rest
        .iter()
        .take(3)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let end = at + 1 + digits;
    let next = bytes::at(bytes, end);
    if digits == 0 || is(next, ALNUM) || next == b'/' {
        return None;
    }
    let length: u8 = std::str::from_utf8(rest.get(..digits)?)
        .ok()?
        .parse()
        .ok()?;
    (length <= most).then_some((length, end))
}
