//! The inflater: caps are kept whatever comes, and what it makes can be packed and read again.

use flate2::Compression;
use flate2::write::GzEncoder;
use millrace_shared::inflate::{Encoding, InflateError, inflate, pack};
use millrace_shared::limits::{INFLATE_RATIO_FLOOR, INFLATE_RATIO_MAX, INFLATED_BYTES_MAX};
use std::io::Write as _;

/// Checks what came of a body on the wire.
fn capped(encoding: Encoding, wire: &[u8]) -> Option<Vec<u8>> {
    match inflate(encoding, wire) {
        Ok(plain) => {
            assert!(plain.len() <= INFLATED_BYTES_MAX, "more than the cap");
            let most = (wire.len() * INFLATE_RATIO_MAX).max(INFLATE_RATIO_FLOOR);
            let outside = matches!(encoding, Encoding::Gzip | Encoding::Zstd);
            assert!(!outside || plain.len() <= most, "more than the ratio");
            let again = inflate(encoding, wire).expect("taken a moment ago");
            assert_eq!(again, plain, "twice is not the same");
            Some(plain.into_owned())
        }
        Err(InflateError::Damaged | InflateError::TooLarge | InflateError::Ratio) => None,
    }
}

/// gzip from a sender.
pub fn gzip(data: &[u8]) {
    capped(Encoding::Gzip, data);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("memory");
    let packed = encoder.finish().expect("memory");
    same(Encoding::Gzip, &packed, data);
}

/// Zstandard from a sender.
pub fn zstd(data: &[u8]) {
    capped(Encoding::Zstd, data);
    let packed = zstd::encode_all(data, 1).expect("memory");
    same(Encoding::Zstd, &packed, data);
}

/// LZ4 from a stream.
pub fn lz4(data: &[u8]) {
    capped(Encoding::Lz4, data);
    same(Encoding::Lz4, &pack(data), data);
}

/// What is packed is read back, unless it shrank past the ratio.
fn same(encoding: Encoding, packed: &[u8], plain: &[u8]) {
    match inflate(encoding, packed) {
        Ok(read) => assert_eq!(read.as_ref(), plain),
        Err(InflateError::Ratio) => {
            assert!(plain.len() > INFLATE_RATIO_FLOOR.max(packed.len() * INFLATE_RATIO_MAX));
        }
        Err(error) => panic!("what was packed is {error}"),
    }
}
