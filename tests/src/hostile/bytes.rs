//! Octets where HTTP does not have them: control characters, odd line ends, other protocols, noise.

use super::case::{Area, Case, Due, refuse};
use super::request::{Request, small};
use super::sender::Sender;
use millrace_shared::Signal;

const AREA: Area = Area::Bytes;

const BAD: (u16, &[&str]) = (400, &["bad_header"]);

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    [
        controls(sender),
        separators(sender),
        line_ends(sender),
        spaces(sender),
        other_protocols(),
        noise(),
    ]
    .concat()
}

fn good(sender: &Sender, what: &str) -> Request {
    Request::signed(sender, Signal::Logs, small(sender, Signal::Logs, what))
}

/// Every control character in every part of a head.
fn controls(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "control characters");
    let mut cases = Vec::new();
    for byte in (0..0x20).chain([0x7f]) {
        let odd = [b'a', byte, b'b'];
        let shown = format!("{byte:#04x}");
        let mut add = |part: &str, request: Request, due: Due| {
            let name = format!("{shown} in {part}");
            cases.push(Case::new(Area::Bytes, name, request.wire(), due));
        };
        let bad = || Due::refused(&[400], &["bad_header"]);
        // Not a token (RFC 9110, 5.6.2), wherever it stands.
        add("a header's name", request.clone().and(odd, "v"), bad());
        add(
            "the method",
            request.clone().method([b"PO".as_slice(), &odd].concat()),
            bad(),
        );
        add(
            "the target",
            request.clone().target([b"/v1/".as_slice(), &odd].concat()),
            bad(),
        );
        add(
            "the version",
            request
                .clone()
                .version([b"HTTP/1".as_slice(), &odd].concat()),
            bad(),
        );
        let value = match byte {
            b'\t' => Due::accepted(),
            // A line feed ends the line (RFC 9112, 2.2), and `b` is no header.
            0 | b'\r' | b'\n' => bad(),
            // "Recipients MAY retain such characters" (RFC 9110, 5.5), or refuse them.
            _ => Due::refused(&[202, 400], &[]),
        };
        add("a header's value", request.clone().and("x-odd", odd), value);
    }
    cases
}

/// Characters that are visible, and no part of a token all the same.
fn separators(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "separators");
    let mut cases = Vec::new();
    for byte in *b"\"(),/;<=>?@[\\]{}" {
        let name = format!("{:?} in a header's name", char::from(byte));
        let odd = request.clone().and([b'a', byte, b'b'], "v");
        refuse(&mut cases, AREA, name, &odd, BAD);
    }
    for odd in ["\u{e9}", "\u{ff1a}", "\u{202e}", "\u{0}"] {
        let name = format!("{odd:?} in a header's name");
        let with = request.clone().and(format!("x{odd}x"), "v");
        if odd != "\u{0}" {
            refuse(&mut cases, AREA, name, &with, BAD);
        }
    }
    for (name, line) in [
        ("a header without a name", ": v"),
        ("a header without a colon", "x-odd"),
        ("a header of spaces", "   "),
        ("a space before the colon", "x-odd : v"),
        ("a tab before the colon", "x-odd\t: v"),
        ("a first header that begins with a space", " x-odd: v"),
    ] {
        let head = String::from_utf8_lossy(&request.head()).into_owned();
        let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
        let wire = [
            format!("{first}\r\n{line}\r\n{rest}").as_bytes(),
            &request.body,
        ]
        .concat();
        cases.push(Case::new(
            Area::Bytes,
            name,
            wire,
            Due::refused(&[400], &["bad_header"]),
        ));
    }
    cases
}

/// Folded headers, bare line feeds and carriage returns.
fn line_ends(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "line ends");
    let mut cases = Vec::new();
    for (name, value) in [
        ("a folded header", "a\r\n b"),
        ("a header folded with a tab", "a\r\n\tb"),
        ("a header folded twice", "a\r\n b\r\n c"),
        ("a header that is a fold", "\r\n v"),
        (
            "a bare carriage return that begins a header",
            "a\rx-other: b",
        ),
        ("a bare carriage return at the end", "a\r"),
        ("two carriage returns", "a\r\r"),
    ] {
        let odd = request.clone().and("x-odd", value);
        refuse(&mut cases, AREA, name, &odd, BAD);
    }
    for folded in [
        "content-length",
        "x-signature",
        "x-org-key",
        "transfer-encoding",
    ] {
        let odd = request.clone().and(folded, "a\r\n b");
        let name = format!("{folded}, folded");
        refuse(&mut cases, AREA, name, &odd, BAD);
    }
    let head = String::from_utf8_lossy(&request.head()).into_owned();
    for (name, head) in [
        ("line feeds alone throughout", head.replace("\r\n", "\n")),
        (
            "a line feed alone after the first line",
            head.replacen("\r\n", "\n", 1),
        ),
        (
            "a line feed alone at the end of the head",
            head.replace("\r\n\r\n", "\r\n\n"),
        ),
    ] {
        // "A recipient MAY recognize a single LF as a line terminator" (RFC 9112, 2.2).
        let wire = [head.as_bytes(), &request.body].concat();
        let case = Case::new(Area::Bytes, name, wire, Due::refused(&[202, 400], &[]));
        cases.push(case);
    }
    let wire = [head.replace("\r\n", "\r").as_bytes(), &request.body].concat();
    let due = Due::refused(&[400], &["bad_header"]);
    cases.push(Case::new(Area::Bytes, "carriage returns alone throughout", wire, due).or_silence());
    cases
}

/// First lines with a part too few or too many.
const ODD_LINES: &[&str] = &[
    "POST/v1/logs HTTP/1.1",
    "POST /v1/logsHTTP/1.1",
    "POST /v1/logs",
    "POST",
    "POST ",
    "POST /v1/logs ",
    " POST /v1/logs HTTP/1.1",
    "POST /v1/ logs HTTP/1.1",
    "POST /v1/logs HTTP/1.1 ",
    "POST /v1/logs HTTP/1.1 HTTP/1.1",
    "POST /v1/logs HTTP/1. 1",
    "POST\u{b}/v1/logs\u{b}HTTP/1.1",
    "POST\u{a0}/v1/logs\u{a0}HTTP/1.1",
    "POST HTTP/1.1 /v1/logs",
    "HTTP/1.1 200 OK",
    "HTTP/1.1 POST /v1/logs",
    "\u{feff}POST /v1/logs HTTP/1.1",
    "P\u{d6}ST /v1/logs HTTP/1.1",
    "POST \"/v1/logs\" HTTP/1.1",
    "\"POST\" /v1/logs HTTP/1.1",
    "(POST) /v1/logs HTTP/1.1",
    "POST: /v1/logs HTTP/1.1",
];

/// Too few and too many spaces in the first line.
fn spaces(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "spaces");
    let rest = [
        b"\r\n".as_slice(),
        &request.wire()[b"POST /v1/logs HTTP/1.1\r\n".len()..],
    ]
    .concat();
    let mut cases = Vec::new();
    for line in ODD_LINES {
        let wire = [line.as_bytes(), &rest].concat();
        let name = format!("the first line is {line:?}");
        // A quoted target could be taken for a path that is not there.
        let due = match line.starts_with("POST \"") {
            true => Due::refused(&[400, 404], &[]),
            false => Due::refused(&[400], &["bad_header"]),
        };
        cases.push(Case::new(Area::Bytes, name, wire, due));
    }
    for line in [
        "POST  /v1/logs HTTP/1.1",
        "POST /v1/logs  HTTP/1.1",
        "POST\t/v1/logs\tHTTP/1.1",
    ] {
        // Recipients MAY parse on whitespace-delimited words (RFC 9112, 3).
        let wire = [line.as_bytes(), &rest].concat();
        let name = format!("the first line is {line:?}");
        cases.push(Case::new(
            Area::Bytes,
            name,
            wire,
            Due::refused(&[202, 400], &[]),
        ));
    }
    for (name, before, due) in [
        ("an empty line before the request", "\r\n", Due::accepted()),
        (
            "two empty lines before the request",
            "\r\n\r\n",
            Due::refused(&[202, 400], &[]),
        ),
        (
            "a space before the request",
            " \r\n",
            Due::refused(&[400], &["bad_header"]),
        ),
        (
            "a NUL before the request",
            "\0",
            Due::refused(&[400], &["bad_header"]),
        ),
    ] {
        let wire = [before.as_bytes(), &request.wire()].concat();
        cases.push(Case::new(Area::Bytes, name, wire, due));
    }
    cases
}

/// What other clients say first.
fn other_protocols() -> Vec<Case> {
    let tls: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hostile\r\n\r\n";
    let mut cases = Vec::new();
    for (name, wire) in [
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".as_slice()),
        ("a TLS greeting", tls),
        ("an SSH greeting", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        ("SMTP", b"EHLO hostile.example\r\nMAIL FROM:<a@b>\r\n"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n"),
        ("Redis, inline", b"FLUSHALL\r\n\r\n"),
        ("PostgreSQL", b"\x00\x00\x00\x08\x04\xd2\x16\x2f"),
        ("SOCKS 5", b"\x05\x01\x00"),
        ("the PROXY protocol", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("the PROXY protocol, version 2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02"),
        ("HTTP/0.9", b"GET /v1/logs\r\n"),
        ("HTTP/0.9 with a version", b"GET /v1/logs HTTP/0.9\r\n\r\n"),
        ("RTSP", b"OPTIONS rtsp://a/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
        ("SIP", b"REGISTER sip:a@b SIP/2.0\r\nVia: x\r\n\r\n"),
        ("an answer instead of a request", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("a FastCGI record", b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"),
        ("memcached", b"stats\r\n"),
        ("gRPC without its preface", b"\x00\x00\x00\x00\x05\x0a\x03abc"),
        ("empty lines alone", b"\r\n\r\n\r\n\r\n"),
        ("line feeds alone", b"\n\n\n\n\n\n\n\n"),
        ("NULs", &[0; 512]),
        ("a JSON body without a head", b"{\"logs\":[{\"service\":\"s\",\"message\":\"m\"}]}\r\n\r\n"),
    ] {
        let due = Due::refused(&[400], &["bad_header"]);
        cases.push(Case::new(Area::Bytes, name, wire.to_vec(), due).or_silence());
    }
    cases
}

/// Noise that is the same every time (SplitMix64 over the number of the case).
fn noise() -> Vec<Case> {
    let mut cases = Vec::new();
    for seed in 0..48u64 {
        let length = 1usize << (seed % 12 + 1);
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut wire = Vec::with_capacity(length + 8);
        while wire.len() < length {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            wire.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
        }
        if seed % 3 == 0 {
            // Behind a first line that is right, so that the headers are noise.
            wire.splice(0..0, *b"POST /v1/logs HTTP/1.1\r\n");
        }
        let due = Due::refused(&[400], &["bad_header"]);
        let name = format!("noise {seed} of {} bytes", wire.len());
        cases.push(Case::new(Area::Bytes, name, wire, due).or_silence());
    }
    cases
}
