//! Compression that is damaged, nested, mislabelled, or a bomb. Frames that no library writes are
//! written here by hand, after RFC 1952 and RFC 8878.

use super::case::{Area, Case, Due, refuse};
use super::request::{Request, small};
use super::sender::Sender;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use millrace_shared::Signal;
use std::io::Write as _;

const AREA: Area = Area::Packed;

const DAMAGED: (u16, &[&str]) = (400, &["damaged_encoding"]);
const NOT_JSON: (u16, &[&str]) = (
    400,
    &[
        "not_json",
        "wrong_shape",
        "no_valid_event",
        "damaged_encoding",
    ],
);
const TOO_LARGE: (u16, &[&str]) = (413, &["too_large"]);
const UNSUPPORTED: (u16, &[&str]) = (415, &["unsupported_media_type"]);
const MIB: usize = 1024 * 1024;

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    [
        labels(sender),
        mislabelled(sender),
        damaged_gzip(sender),
        damaged_zstd(sender),
        odd_zstd(sender),
        members(sender),
        nested(sender),
        bombs(sender),
    ]
    .concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("memory")
}

/// A request whose body is these bytes, said to be of this encoding, and rightly signed.
fn packed(sender: &Sender, encoding: &str, bytes: Vec<u8>) -> Request {
    Request::signed(sender, Signal::Logs, bytes).and("content-encoding", encoding)
}

fn body(sender: &Sender, what: &str) -> Vec<u8> {
    small(sender, Signal::Logs, what)
}

/// Names of encodings that are none of ours.
const ODD_LABELS: &[&str] = &[
    "",
    "br",
    "deflate",
    "compress",
    "lz4",
    "snappy",
    "bzip2",
    "xz",
    "lzma",
    "zip",
    "gzip, gzip",
    "gzip,zstd",
    "zstd, gzip",
    "gzip;q=1",
    "gzip ,",
    ",gzip",
    "identity, gzip",
    "gzip, identity",
    "*",
    "gzipx",
    "xgzip",
    "gz",
    "zstandard",
    "zst",
    "aes128gcm",
    "dcb",
    "dcz",
    "pack200-gzip",
    "none",
    "null",
    "\"gzip\"",
    "gzip gzip",
    "gzip/1",
];

/// Adds such a request that is refused.
fn add(
    cases: &mut Vec<Case>,
    sender: &Sender,
    encoding: &str,
    (name, bytes): (impl Into<String>, Vec<u8>),
    due: (u16, &'static [&'static str]),
) {
    refuse(cases, AREA, name, &packed(sender, encoding, bytes), due);
}

/// Such a request that is accepted.
fn fine(sender: &Sender, encoding: &str, name: impl Into<String>, bytes: Vec<u8>) -> Case {
    let wire = packed(sender, encoding, bytes).wire();
    Case::new(AREA, name, wire, Due::accepted())
}

/// Encodings that are none of ours.
fn labels(sender: &Sender) -> Vec<Case> {
    let bytes = gzip(&body(sender, "an encoding"));
    let mut cases = Vec::new();
    for label in ODD_LABELS.iter().copied() {
        let name = format!("content-encoding {label:?}");
        add(
            &mut cases,
            sender,
            label,
            (name, bytes.clone()),
            UNSUPPORTED,
        );
    }
    let odd = packed(sender, "gzip\u{e9}", bytes.clone());
    let due = Due::refused(&[400, 415], &["unsupported_media_type", "bad_header"]);
    cases.push(Case::new(
        Area::Packed,
        "content-encoding that is not ASCII",
        odd.wire(),
        due,
    ));
    // "A recipient SHOULD consider x-gzip to be equivalent to gzip" (RFC 9110, 8.4.1.3).
    let old = packed(sender, "x-gzip", bytes.clone());
    cases.push(Case::new(
        Area::Packed,
        "content-encoding x-gzip",
        old.wire(),
        Due::refused(&[202, 415], &[]),
    ));
    for label in ["GZIP", "Gzip", " gzip "] {
        let fine = packed(sender, label, bytes.clone());
        cases.push(Case::new(
            Area::Packed,
            format!("content-encoding {label:?}"),
            fine.wire(),
            Due::accepted(),
        ));
    }
    cases
}

/// Bytes of one kind that say they are of another.
fn mislabelled(sender: &Sender) -> Vec<Case> {
    let plain = body(sender, "mislabelled");
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&plain).expect("memory");
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::best());
    raw.write_all(&plain).expect("memory");
    let kinds = [
        ("plain text", plain.clone()),
        ("gzip", gzip(&plain)),
        ("zstd", zstd(&plain)),
        ("zlib", zlib.finish().expect("memory")),
        ("deflate", raw.finish().expect("memory")),
        ("bzip2", [b"BZh91AY&SY".as_slice(), &plain].concat()),
        ("xz", [b"\xfd7zXZ\x00\x00".as_slice(), &plain].concat()),
        (
            "an LZ4 frame",
            [b"\x04\x22\x4d\x18".as_slice(), &plain].concat(),
        ),
        ("a zip archive", [b"PK\x03\x04".as_slice(), &plain].concat()),
        (
            "a PNG image",
            [b"\x89PNG\r\n\x1a\n".as_slice(), &plain].concat(),
        ),
        ("a PDF file", [b"%PDF-1.7\n".as_slice(), &plain].concat()),
        (
            "an ELF file",
            [b"\x7fELF\x02\x01\x01".as_slice(), &plain].concat(),
        ),
        ("zeros", vec![0; 300]),
        ("nothing", Vec::new()),
    ];
    let mut cases = Vec::new();
    for label in ["identity", "gzip", "zstd"] {
        for (kind, bytes) in &kinds {
            let right = *kind == label || (*kind == "plain text" && label == "identity");
            if right {
                continue;
            }
            let name = format!("{kind} called {label}");
            let due = match label {
                "identity" => NOT_JSON,
                // Nothing is no gzip member; where it is taken for none, it is no JSON either.
                _ if *kind == "nothing" => NOT_JSON,
                _ => DAMAGED,
            };
            add(&mut cases, sender, label, (name, bytes.clone()), due);
        }
    }
    cases
}

fn damaged_gzip(sender: &Sender) -> Vec<Case> {
    let whole = gzip(&body(
        sender,
        "damaged gzip, of some length so that there is something to damage",
    ));
    let end = whole.len();
    let mut cases = Vec::new();
    for cut in (1..end).step_by(4) {
        let name = format!("gzip cut off after {cut} of {end} bytes");
        add(
            &mut cases,
            sender,
            "gzip",
            (name, whole[..cut].to_vec()),
            DAMAGED,
        );
    }
    // Magic, method, reserved flags; then checksum and length at the end.
    let flips = [(0, 0xff), (1, 0xff), (2, 0xff), (3, 0xe0)];
    let ends = (end - 8..end).map(|at| (at, 0x01));
    for (at, bits) in flips.into_iter().chain(ends) {
        let mut bytes = whole.clone();
        bytes[at] ^= bits;
        let name = format!("gzip with byte {at} of {end} damaged");
        let mut case = Case::refused(Area::Packed, name, &packed(sender, "gzip", bytes), DAMAGED);
        if at == 3 {
            // "Reserved bits must be zero" (RFC 1952, 2.3.1.2), which not every reader checks.
            case.due = vec![Due::refused(&[202, 400], &[])];
        }
        cases.push(case);
    }
    for (at, byte) in [(10, 0x07), (10, 0x06), (11, 0xff), (14, 0xff)] {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        let name = format!("gzip with {byte:#04x} as byte {at}");
        add(&mut cases, sender, "gzip", (name, bytes), DAMAGED);
    }
    for (name, flags, field) in [
        ("a name without an end", 0x08u8, vec![b'a'; 3_000]),
        ("a comment without an end", 0x10, vec![b'a'; 3_000]),
        ("an extra field longer than all", 0x04, vec![0xff, 0xff, 0]),
        ("a wrong checksum of its header", 0x02, vec![0, 0]),
    ] {
        let mut bytes = whole[..10].to_vec();
        bytes[3] = flags;
        bytes.extend_from_slice(&field);
        if flags == 0x02 {
            bytes.extend_from_slice(&whole[10..]);
        }
        let name = format!("gzip with {name}");
        add(&mut cases, sender, "gzip", (name, bytes), DAMAGED);
    }
    cases
}

fn damaged_zstd(sender: &Sender) -> Vec<Case> {
    let plain = body(
        sender,
        "damaged zstd, of some length so that there is something to damage",
    );
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.include_checksum(true).expect("an encoder");
    encoder.write_all(&plain).expect("memory");
    let whole = encoder.finish().expect("memory");
    let end = whole.len();
    let mut cases = Vec::new();
    for cut in (1..end).step_by(4) {
        let name = format!("zstd cut off after {cut} of {end} bytes");
        add(
            &mut cases,
            sender,
            "zstd",
            (name, whole[..cut].to_vec()),
            DAMAGED,
        );
    }
    for at in (0..4).chain(end - 4..end) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        let name = format!("zstd with byte {at} of {end} damaged");
        add(&mut cases, sender, "zstd", (name, bytes), DAMAGED);
    }
    for magic in [0x1E, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27] {
        let mut bytes = whole.clone();
        bytes[0] = magic;
        let name = format!("zstd of a version before its first, {magic:#04x}");
        add(&mut cases, sender, "zstd", (name, bytes), DAMAGED);
    }
    cases
}

/// A zstd frame: its header's descriptor and what follows, then blocks.
fn frame(header: &[u8], blocks: &[u8]) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd], header, blocks].concat()
}

/// A block's header: whether it is the last, its kind (0 raw, 1 RLE, 2 compressed, 3 reserved), its size.
fn block(last: bool, kind: u32, size: u32) -> [u8; 3] {
    let bits = u32::from(last) | kind << 1 | size << 3;
    let [a, b, c, _] = bits.to_le_bytes();
    [a, b, c]
}

/// Text as a frame's one block.
fn raw(text: &[u8]) -> Vec<u8> {
    let size = u32::try_from(text.len()).expect("a small text");
    [&block(true, 0, size)[..], text].concat()
}

fn odd_zstd(sender: &Sender) -> Vec<Case> {
    // Longer than 256 bytes, from which a size of two bytes counts.
    let plain = body(sender, &"a zstd frame by hand ".repeat(16));
    let good = raw(&plain);
    let size = u16::try_from(plain.len()).expect("a small text") - 256;
    let [low, high] = size.to_le_bytes();
    // One segment with two bytes of its size: as good as any other.
    let sized = [0x60, low, high];
    let mut cases = vec![fine(
        sender,
        "zstd",
        "zstd written by hand",
        frame(&sized, &good),
    )];
    for (what, header) in [
        ("a window of 2 GiB", vec![0x00, (31 - 10) << 3]),
        ("a window of 128 MiB", vec![0x00, (27 - 10) << 3]),
        ("a window of 3.75 TiB", vec![0x00, 0xff]),
        ("a size of 2^64 - 1", [&[0xe0][..], &[255; 8]].concat()),
        ("a size of 2^63", vec![0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80]),
        ("a size of 1 GiB", vec![0xa0, 0, 0, 0, 0x40]),
        (
            "a size one too small",
            vec![0x60, low.wrapping_sub(1), high],
        ),
        (
            "a size one too large",
            vec![0x60, low.wrapping_add(1), high],
        ),
        ("a dictionary nobody has", vec![0x61, 7, low, high]),
        (
            "a dictionary of four bytes",
            vec![0x63, 1, 2, 3, 4, low, high],
        ),
        ("a reserved bit", vec![0x68, low, high]),
    ] {
        add(
            &mut cases,
            sender,
            "zstd",
            (format!("zstd with {what}"), frame(&header, &good)),
            DAMAGED,
        );
    }
    cases.extend(odd_blocks(sender, &sized));
    cases
}

/// Frames whose header is good and whose blocks are not.
fn odd_blocks(sender: &Sender, sized: &[u8]) -> Vec<Case> {
    let noise = [&block(true, 2, 8)[..], b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"].concat();
    let unended = [&block(false, 0, 3)[..], b"{\"l"].concat();
    let mut cases = Vec::new();
    for (what, bytes) in [
        ("a reserved block", frame(sized, &block(true, 3, 4))),
        (
            "a block of 2 MiB",
            frame(&[0x00, 0x58], &block(true, 0, 0x1f_ffff)),
        ),
        ("a compressed block of noise", frame(sized, &noise)),
        ("no last block", frame(sized, &unended)),
        ("a header and nothing else", frame(sized, &[])),
        ("its magic number alone", frame(&[], &[])),
    ] {
        add(
            &mut cases,
            sender,
            "zstd",
            (format!("zstd with {what}"), bytes),
            DAMAGED,
        );
    }
    // Forbidden, and taken for an empty block by the library that everybody uses.
    let nothing = frame(sized, &block(true, 2, 0));
    add(
        &mut cases,
        sender,
        "zstd",
        ("zstd with a compressed block of nothing", nothing),
        NOT_JSON,
    );
    cases
}

/// A frame that readers are to skip.
fn skippable(bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).expect("a small text");
    [&[0x50, 0x2a, 0x4d, 0x18][..], &size.to_le_bytes(), bytes].concat()
}

/// Several members or frames, one after another.
fn members(sender: &Sender) -> Vec<Case> {
    let plain = body(sender, "in several members");
    let (front, back) = plain.split_at(plain.len() / 2);
    let mut cases = Vec::new();
    for (label, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
        let whole = pack(&plain);
        let split = [pack(front), pack(back)].concat();
        cases.push(fine(
            sender,
            label,
            format!("{label} in two members"),
            split,
        ));
        for (what, bytes) in [
            (
                "noise behind it",
                [whole.as_slice(), b"noise behind"].concat(),
            ),
            (
                "plain JSON behind it",
                [whole.as_slice(), b"{\"logs\":[]}"].concat(),
            ),
            (
                "noise before it",
                [b"noise before".as_slice(), &whole].concat(),
            ),
            (
                "half a member behind it",
                [whole.as_slice(), &whole[..whole.len() / 2]].concat(),
            ),
        ] {
            add(
                &mut cases,
                sender,
                label,
                (format!("{label} with {what}"), bytes),
                DAMAGED,
            );
        }
        for (what, bytes) in [
            ("the body twice", whole.repeat(2)),
            ("a thousand empty members", pack(b"").repeat(1_000)),
            ("one empty member", pack(b"")),
        ] {
            add(
                &mut cases,
                sender,
                label,
                (format!("{label} with {what}"), bytes),
                NOT_JSON,
            );
        }
        cases.push(before_zeros(sender, label, &whole));
    }
    cases.extend(mixed_members(sender, &plain));
    cases
}

/// Behind it what tapes are filled up with. GNU gzip passes over it; the format does not know it.
fn before_zeros(sender: &Sender, label: &str, whole: &[u8]) -> Case {
    let zeros = [whole, &[0; 512]].concat();
    let mut case = fine(
        sender,
        label,
        format!("{label} with zeros behind it"),
        zeros,
    );
    case.due = vec![Due::refused(&[202, 400], &[])];
    case
}

/// Members of two formats, and frames that are to be skipped.
fn mixed_members(sender: &Sender, plain: &[u8]) -> Vec<Case> {
    let (front, back) = plain.split_at(plain.len() / 2);
    let mixed = [gzip(front), zstd(back)].concat();
    let mut cases = Vec::new();
    for label in ["gzip", "zstd"] {
        let name = format!("gzip and zstd in one, called {label}");
        add(&mut cases, sender, label, (name, mixed.clone()), DAMAGED);
    }
    let hidden = skippable(plain);
    let cut = hidden[..20].to_vec();
    add(
        &mut cases,
        sender,
        "zstd",
        ("zstd that is to be skipped", hidden),
        NOT_JSON,
    );
    add(
        &mut cases,
        sender,
        "zstd",
        ("zstd that is to be skipped, cut off", cut),
        DAMAGED,
    );
    let beside = [skippable(b"x"), zstd(plain)].concat();
    cases.push(fine(
        sender,
        "zstd",
        "zstd behind a frame to be skipped",
        beside,
    ));
    cases
}

/// Packed several times over: once is what the label says, and the rest is no JSON.
fn nested(sender: &Sender) -> Vec<Case> {
    let plain = body(sender, "nested");
    let mut cases = Vec::new();
    for depth in [2usize, 3, 10, 100] {
        for (label, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
            let bytes = (0..depth).fold(plain.clone(), |bytes, _| pack(&bytes));
            let name = format!("{label} packed {depth} times");
            add(&mut cases, sender, label, (name, bytes), NOT_JSON);
        }
    }
    let both = packed(sender, "gzip", gzip(&zstd(&plain)));
    refuse(&mut cases, AREA, "zstd within gzip", &both, NOT_JSON);
    let both = packed(sender, "zstd", zstd(&gzip(&plain)));
    refuse(&mut cases, AREA, "gzip within zstd", &both, NOT_JSON);
    cases
}

/// Adds a bomb, and how large it is on the wire.
fn bomb(cases: &mut Vec<Case>, sender: &Sender, label: &str, (name, bytes): (String, Vec<u8>)) {
    let name = format!("{name} ({} bytes on the wire)", bytes.len());
    add(cases, sender, label, (name, bytes), TOO_LARGE);
}

/// What grows too much.
fn bombs(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    // A good body, but for what its message is made of.
    let text = small(sender, Signal::Logs, &"a".repeat(60_000));
    let (front, end) = text.split_at(text.len() - 2);
    let spaced = [front, &vec![b' '; 2 * MIB], end].concat();
    // Compresses 30 times, which is allowed, into more than is.
    let words = "words of a log ".repeat(8);
    let line =
        |number: usize| format!("{{\"service\":\"hostile\",\"message\":\"{number:x} {words}\"}}\n");
    let lines: String = (0..130_000).map(line).collect();
    for (label, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
        for size in [MIB, 4 * MIB, 17 * MIB, 32 * MIB] {
            let zeros = (format!("{label} of {size} zeros"), pack(&vec![0; size]));
            bomb(&mut cases, sender, label, zeros);
        }
        for fill in [" ", "[", "{\"a\":", "\n", "9", "\\u0000"] {
            let text = [
                b"{\"logs\":[".as_slice(),
                &fill.as_bytes().repeat(8 * MIB / fill.len()),
            ]
            .concat();
            let filled = (format!("{label} of 8 MiB of {fill:?}"), pack(&text));
            bomb(&mut cases, sender, label, filled);
        }
        let spaced = (
            format!("{label} of a good body with 2 MiB of spaces"),
            pack(&spaced),
        );
        bomb(&mut cases, sender, label, spaced);
        let lines = (
            format!("{label} of 19 MiB that compress well"),
            pack(lines.as_bytes()),
        );
        bomb(&mut cases, sender, label, lines);
    }
    // 128 KiB for four bytes: 32 GiB in one request.
    let rle = [&block(false, 1, 128 * 1024)[..], b" "].concat();
    for blocks in [10usize, 1_000, 260_000] {
        let bytes = [
            frame(&[0x00, 0x38], &rle.repeat(blocks)),
            block(true, 0, 0).to_vec(),
        ]
        .concat();
        let name = format!("zstd of {blocks} blocks of one byte each");
        bomb(&mut cases, sender, "zstd", (name, bytes));
    }
    let inner = gzip(&vec![0; 32 * MIB]);
    let row = (
        "gzip of sixteen bombs in a row".to_owned(),
        inner.repeat(16),
    );
    bomb(&mut cases, sender, "gzip", row);
    let nested = gzip(&[inner, vec![b' '; 4 * MIB]].concat());
    bomb(
        &mut cases,
        sender,
        "gzip",
        ("gzip of a bomb within a bomb".to_owned(), nested),
    );
    cases
}
