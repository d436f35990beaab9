//! Where a message ends: `Content-Length`, `Transfer-Encoding`, chunks, pipelines, truncation.
//!
//! What two parsers on a path understand differently is how requests are smuggled past the first.
//! So whatever leaves room for it must be a 400 that ends the connection (RFC 9112, 6.3 and 11.2).

use super::case::{Area, Case, Due, Pace, refuse};
use super::request::{Request, chunked, small};
use super::sender::Sender;
use millrace_shared::Signal;

const AREA: Area = Area::Framing;

/// A refusal of the framing: the gateway's own code for it.
const BAD: (u16, &[&str]) = (400, &["bad_header"]);
/// A request that would be answered if it were taken for one.
const SMUGGLED: &[u8] = b"GET /v1/batches/smuggled HTTP/1.1\r\nHost: inner\r\n\r\n";

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    [
        both_lengths(sender),
        codings(sender),
        lengths(sender),
        chunk_sizes(sender),
        chunk_bodies(sender),
        chunk_ends(sender),
        pipelines(sender),
        cut_off(sender),
        slow(sender),
    ]
    .concat()
}

fn good(sender: &Sender, what: &str) -> Request {
    Request::signed(sender, Signal::Logs, small(sender, Signal::Logs, what))
}

/// Spellings of `Transfer-Encoding` that one parser reads as chunked and another may not.
const CODINGS: [&[u8]; 22] = [
    b"chunked",
    b"Chunked",
    b"CHUNKED",
    b"\tchunked",
    b"chunked\t",
    b" chunked ",
    b"chunked,",
    b",chunked",
    b"chunked, chunked",
    b"chunked, identity",
    b"identity, chunked",
    b"identity",
    b"gzip, chunked",
    b"chunked, gzip",
    b"xchunked",
    b"chunkedx",
    b"\"chunked\"",
    b"chunked;q=0.5",
    b"'chunked'",
    b"cow",
    b"chunk",
    b"",
];

/// Both `Content-Length` and `Transfer-Encoding`, in either order, the length right or wrong.
fn both_lengths(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for coding in CODINGS {
        let shown = String::from_utf8_lossy(coding).into_owned();
        for length in [None, Some(0usize), Some(4), Some(9_999)] {
            let plain = good(sender, "both lengths");
            let body = chunked(&plain.body, 7);
            let length = length.unwrap_or(body.len());
            let name = format!("content-length {length} and transfer-encoding {shown:?}");
            let request = plain
                .with("content-length", length.to_string())
                .and("transfer-encoding", coding)
                .carrying([body.as_slice(), SMUGGLED].concat());
            refuse(&mut cases, AREA, &name, &request, BAD);
            let before = request
                .clone()
                .without("content-length")
                .and("content-length", length.to_string());
            refuse(
                &mut cases,
                AREA,
                format!("{name}, the other way round"),
                &before,
                BAD,
            );
        }
    }
    cases
}

/// `Transfer-Encoding` alone, other than plain `chunked`: the length is not known then.
fn codings(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    let plain = good(sender, "odd coding").without("content-length");
    let body = [chunked(&plain.body, 7).as_slice(), SMUGGLED].concat();
    let request = plain.carrying(body);
    for coding in CODINGS {
        let trimmed = coding.trim_ascii();
        if trimmed.eq_ignore_ascii_case(b"chunked") {
            continue;
        }
        let name = format!(
            "transfer-encoding {:?} alone",
            String::from_utf8_lossy(coding)
        );
        let case = Case::refused(
            Area::Framing,
            &name,
            &request.clone().with("transfer-encoding", coding),
            BAD,
        );
        cases.push(match trimmed {
            // An empty list element says nothing (RFC 9110, 5.6.1), nor does an empty list.
            b"chunked," | b",chunked" => empty_element(case),
            b"" => either_length(case),
            _ => case,
        });
    }
    for values in [
        ["chunked", "chunked"],
        ["chunked", "identity"],
        ["identity", "chunked"],
        ["gzip", "chunked"],
    ] {
        let twice = request
            .clone()
            .and("transfer-encoding", values[0])
            .and("Transfer-Encoding", values[1]);
        let name = format!("transfer-encoding {} and {}", values[0], values[1]);
        refuse(&mut cases, AREA, name, &twice, BAD);
    }
    let old = request
        .clone()
        .version("HTTP/1.0")
        .with("transfer-encoding", "chunked");
    refuse(&mut cases, AREA, "chunked in HTTP/1.0", &old, BAD);
    cases
}

/// Taken as `chunked`, the body is good and the smuggled request the next one, which is unsigned.
fn empty_element(mut case: Case) -> Case {
    case.due = vec![Due::refused(&[202, 400], &[]), Due::refused(&[401], &[])];
    case.or_silence()
}

/// Neither length: there is no body, whose signature then is wrong, and what follows is no request.
/// Or the empty list is malformed by itself.
fn either_length(mut case: Case) -> Case {
    case.due = vec![
        Due::refused(&[400, 401, 411], &[]),
        Due::refused(&[400], &[]),
    ];
    case.or_silence()
}

/// `Content-Length` by itself.
fn lengths(sender: &Sender) -> Vec<Case> {
    let plain = good(sender, "odd length");
    let right = plain.body.len();
    let mut cases = Vec::new();
    let odd = [
        format!("+{right}"),
        format!("-{right}"),
        format!("{right}.0"),
        format!("0x{right:x}"),
        format!("{right}e0"),
        format!("{right} {right}"),
        format!("{right}, {right}"),
        format!("{right},{}", right + 1),
        format!("{right};"),
        format!("\"{right}\""),
        format!("{right}_"),
        "1_0".to_owned(),
        "abc".to_owned(),
        "-1".to_owned(),
        "-0".to_owned(),
        "NaN".to_owned(),
        "\u{ff15}".to_owned(),
        u64::MAX.to_string(),
        (u128::from(u64::MAX) + 1).to_string(),
        "9".repeat(40),
        "9".repeat(400),
        String::new(),
    ];
    for length in odd {
        let shown: String = length.chars().take(24).collect();
        let huge = length.len() >= 20 && length.bytes().all(|b| b.is_ascii_digit());
        let request = plain.clone().with("content-length", &length);
        let mut case = Case::refused(
            Area::Framing,
            format!("content-length {shown:?} of {} characters", length.len()),
            &request,
            BAD,
        );
        if huge {
            case.due = vec![Due::refused(&[400, 413], &["bad_header", "too_large"])];
        }
        cases.push(case);
    }
    for second in [right, right + 1, 0] {
        let twice = plain.clone().and("Content-Length", second.to_string());
        let name = format!("two content-lengths, {right} and {second}");
        refuse(&mut cases, AREA, name, &twice, BAD);
    }
    let zeros = plain
        .clone()
        .with("content-length", format!("{right:0>20}"));
    let due = Due::refused(&[202, 400], &[]);
    cases.push(Case::new(
        Area::Framing,
        "content-length with leading zeros",
        zeros.wire(),
        due,
    ));
    cases.extend(wrong_lengths(&plain));
    cases
}

/// A length that is a number, but not that of the body.
fn wrong_lengths(plain: &Request) -> Vec<Case> {
    let right = plain.body.len();
    let mut cases = Vec::new();
    for short in [0, 1, right / 2, right - 1] {
        let request = plain.clone().with("content-length", short.to_string());
        // What was read is not what was signed; the rest is no request.
        let due = Due::refused(&[401], &["unauthorized"]);
        cases.push(
            Case::new(
                Area::Framing,
                format!("content-length says {short} of {right}"),
                request.wire(),
                due,
            )
            .then_due(Due::refused(&[400], &["bad_header"])),
        );
    }
    for more in [1, 100, 10_000, 1_000_000] {
        let request = plain
            .clone()
            .with("content-length", (right + more).to_string());
        let name = format!("content-length says {more} more than come");
        cases.push(Case::refused(Area::Framing, name, &request, BAD).or_silence());
    }
    let none = plain.clone().without("content-length");
    cases.push(
        Case::new(
            Area::Framing,
            "no length at all",
            none.wire(),
            Due::refused(&[401, 411], &[]),
        )
        .then_due(Due::refused(&[400], &["bad_header"])),
    );
    cases
}

/// First lines of chunks that are no size, or none that anybody means.
fn chunk_sizes(sender: &Sender) -> Vec<Case> {
    let plain = good(sender, "odd chunk")
        .without("content-length")
        .and("transfer-encoding", "chunked");
    let size = format!("{:x}", plain.body.len());
    let odd: Vec<String> = vec![
        String::new(),
        " ".to_owned(),
        "g".to_owned(),
        "-1".to_owned(),
        "+5".to_owned(),
        format!("0x{size}"),
        format!("{size}h"),
        format!("-{size}"),
        format!("+{size}"),
        format!(" {size}"),
        format!("{size}_"),
        format!("{size},{size}"),
        format!("{size} {size}"),
        format!("{size}\n"),
        format!("{size};a\nb"),
        format!("{size};a\rb"),
        format!("{size}\r"),
        format!("\n{size}"),
        "fffffffffffffffff".to_owned(),
        "8000000000000000".to_owned(),
        "ffffffffffffffff".to_owned(),
        "7fffffffffffffff".to_owned(),
        "10000000000000000".to_owned(),
        "\u{ff15}".to_owned(),
        "1e1".to_owned() + "0".repeat(64).as_str(),
    ];
    let mut cases = Vec::new();
    for line in odd {
        let body = [
            line.as_bytes(),
            b"\r\n",
            &plain.body,
            b"\r\n0\r\n\r\n",
            SMUGGLED,
        ]
        .concat();
        let request = plain.clone().carrying(body);
        let mut case = Case::refused(Area::Framing, format!("chunk size {line:?}"), &request, BAD);
        if line.len() == 16 {
            // A size that fits its integer is over the limit; or the sender left before it came.
            case.due = vec![Due::refused(&[400, 413], &["bad_header", "too_large"])];
            case.silence = true;
        }
        cases.push(case);
    }
    for lenient in [format!("{size} "), format!("{size}\t"), format!("{size};")] {
        let body = [lenient.as_bytes(), b"\r\n", &plain.body, b"\r\n0\r\n\r\n"].concat();
        let request = plain.clone().carrying(body);
        let due = Due::refused(&[202, 400], &[]);
        let name = format!("chunk size {lenient:?}, which recipients may take");
        cases.push(Case::new(Area::Framing, name, request.wire(), due));
    }
    cases
}

/// A request of which the body comes in chunks.
fn to_be_chunked(sender: &Sender) -> Request {
    good(sender, "bad chunks")
        .without("content-length")
        .and("transfer-encoding", "chunked")
}

/// The whole body as one chunk, with what stands before and after its data.
fn chunk(body: &[u8], line: &str, end: &str) -> Vec<u8> {
    [line.as_bytes(), b"\r\n", body, end.as_bytes()].concat()
}

/// Chunks whose data is not as long as they say, or not ended as it must be.
fn chunk_bodies(sender: &Sender) -> Vec<Case> {
    let plain = to_be_chunked(sender);
    let size = plain.body.len();
    let one = |line: String, end: &str| chunk(&plain.body, &line, end);
    let mut cases = Vec::new();
    for (name, wire) in [
        (
            "a chunk longer than it says",
            one(format!("{:x}", size - 3), "\r\n0\r\n\r\n"),
        ),
        (
            "a chunk without its line end",
            one(format!("{size:x}"), "0\r\n\r\n"),
        ),
        (
            "a chunk that ends with a bare LF",
            one(format!("{size:x}"), "\n0\r\n\r\n"),
        ),
        (
            "a chunk that ends with a bare CR",
            one(format!("{size:x}"), "\r0\r\n\r\n"),
        ),
        (
            "a last chunk with a sign",
            one(format!("{size:x}"), "\r\n-0\r\n\r\n"),
        ),
        (
            "a last chunk that is no number",
            one(format!("{size:x}"), "\r\nz\r\n\r\n"),
        ),
    ] {
        let request = plain.clone().carrying(wire);
        refuse(&mut cases, AREA, name, &request, BAD);
    }
    cases
}

/// Chunks that do not end, because their sender went away; and what may follow the last.
fn chunk_ends(sender: &Sender) -> Vec<Case> {
    let plain = to_be_chunked(sender);
    let size = plain.body.len();
    let one = |line: String, end: &str| chunk(&plain.body, &line, end);
    let mut cases = Vec::new();
    for (name, wire) in [
        (
            "a chunk shorter than it says",
            one(format!("{:x}", size + 64), "\r\n0\r\n\r\n"),
        ),
        ("no last chunk", one(format!("{size:x}"), "\r\n")),
        (
            "a last chunk without an end",
            one(format!("{size:x}"), "\r\n0\r\n"),
        ),
        ("half a last chunk", one(format!("{size:x}"), "\r\n0")),
        ("no data at all", Vec::new()),
    ] {
        let request = plain.clone().carrying(wire);
        cases.push(Case::refused(Area::Framing, name, &request, BAD).or_silence());
    }
    for (name, end) in [
        ("a trailer", "\r\n0\r\nx-trailer: 1\r\n\r\n"),
        (
            "a trailer that names a length",
            "\r\n0\r\ncontent-length: 5\r\n\r\n",
        ),
        (
            "a trailer that names a key",
            "\r\n0\r\nx-org-key: other\r\n\r\n",
        ),
        ("a last chunk of many zeros", "\r\n0000\r\n\r\n"),
    ] {
        let request = plain.clone().carrying(one(format!("{size:x}"), end));
        let due = Due::refused(&[202, 400], &[]);
        cases.push(Case::new(Area::Framing, name, request.wire(), due));
    }
    cases
}

/// Several requests, or what passes for them, in one go.
fn pipelines(sender: &Sender) -> Vec<Case> {
    let first = good(sender, "first of a pipeline").wire();
    let mut cases = Vec::new();
    for (name, rest) in [
        ("noise", b"\x00\x01\x02\x03".to_vec()),
        ("a line of text", b"hello there\r\n\r\n".to_vec()),
        ("JSON", b"{\"logs\":[]}\r\n\r\n".to_vec()),
        (
            "a second head that is broken",
            b"POST /v1/logs HTTP/1.1\r\nBad Header: x\r\n\r\n".to_vec(),
        ),
        (
            "the preface of HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
        (
            "an unknown version",
            b"GET / HTTP/9.9\r\nhost: a\r\n\r\n".to_vec(),
        ),
    ] {
        let wire = [first.as_slice(), &rest].concat();
        let case = Case::new(
            Area::Framing,
            format!("a good request, then {name}"),
            wire,
            Due::accepted(),
        );
        cases.push(case.then_due(Due::refused(&[400], &["bad_header"])));
    }
    let half = [first.as_slice(), b"POST /v1/logs HTTP/1.1\r\nhost: a\r\n"].concat();
    cases.push(Case::new(
        Area::Framing,
        "a good request, then half a head",
        half,
        Due::accepted(),
    ));
    let inner = [first.as_slice(), SMUGGLED].concat();
    let case = Case::new(
        Area::Framing,
        "a good request, then one without a key",
        inner,
        Due::accepted(),
    );
    cases.push(case.then_due(Due::refused(&[401], &["unauthorized"])));
    let unsigned = Request::unsigned(sender, Signal::Logs, "{}").wire();
    let mut flood = Case::new(
        Area::Framing,
        "fifty unsigned requests at once",
        unsigned.repeat(50),
        Due::refused(&[401], &["unauthorized"]),
    );
    flood.due = vec![Due::refused(&[401], &["unauthorized"]); 50];
    cases.push(flood);
    cases
}

/// A request that ends too early, at every few bytes, because its sender went away.
fn cut_off(sender: &Sender) -> Vec<Case> {
    const STEP: usize = 5;
    let request = good(sender, "cut off");
    let (head, wire) = (request.head().len(), request.wire());
    let mut cases = vec![{
        let mut nothing = Case::refused(Area::Framing, "nothing at all", &request, BAD);
        nothing.wire = Vec::new();
        nothing.due = Vec::new();
        nothing.or_silence()
    }];
    for at in (1..wire.len()).step_by(STEP) {
        let part = if at < head { "head" } else { "body" };
        let mut case = Case::refused(
            Area::Framing,
            format!("cut off in its {part}, after {at} bytes"),
            &request,
            BAD,
        );
        case.wire = wire[..at].to_vec();
        cases.push(case.or_silence());
    }
    cases
}

/// The same from a sender who stays: a deadline ends it.
fn slow(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "slow");
    let (head, wire) = (request.head(), request.wire());
    let late: (u16, &[&str]) = (408, &["too_slow"]);
    let mut cases = Vec::new();
    for at in [1, 4, 14, 40, head.len() - 3, head.len() - 1] {
        let mut case = Case::refused(
            Area::Framing,
            format!("stops in its head, after {at} bytes"),
            &request,
            late,
        );
        case.wire = head[..at].to_vec();
        cases.push(case.or_silence().waiting(Pace::Headers));
    }
    for at in [0, 1, request.body.len() / 2, request.body.len() - 1] {
        let mut case = Case::refused(
            Area::Framing,
            format!("stops in its body, after {at} bytes"),
            &request,
            late,
        );
        case.wire = wire[..head.len() + at].to_vec();
        cases.push(case.waiting(Pace::Body));
    }
    let chunked_head = request
        .clone()
        .without("content-length")
        .and("transfer-encoding", "chunked");
    for (name, body) in [
        ("no chunk", ""),
        ("half a chunk size", "1"),
        ("a chunk size alone", "10\r\n"),
        ("half a chunk", "10\r\nabc"),
        ("no last chunk", "3\r\nabc\r\n"),
    ] {
        let case = Case::refused(
            Area::Framing,
            format!("waits after {name}"),
            &chunked_head.clone().carrying(body),
            late,
        );
        cases.push(case.waiting(Pace::Body));
    }
    cases
}
