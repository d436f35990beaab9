//! Decompression under a running cap: a bomb is refused as soon as it shows, not after it went off.

use crate::limits::{INFLATE_RATIO_FLOOR, INFLATE_RATIO_MAX, INFLATED_BYTES_MAX};
use std::borrow::Cow;
use std::io::Read;
use thiserror::Error;

/// `content-encoding` of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// An LZ4 block: only inside streams, never on the wire from outside.
    Lz4,
}

impl Encoding {
    /// The name used in stream entries and, save for LZ4, in `content-encoding`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
            Encoding::Lz4 => "lz4",
        }
    }

    /// Reads [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [
            Encoding::Identity,
            Encoding::Gzip,
            Encoding::Zstd,
            Encoding::Lz4,
        ]
        .into_iter()
        .find(|encoding| encoding.as_str() == name)
    }
}

/// Why a body cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InflateError {
    /// Damaged, truncated, or followed by something else.
    #[error("the compressed body is damaged or truncated")]
    Damaged,
    /// Larger than the limit.
    #[error("the body inflates to more than {INFLATED_BYTES_MAX} bytes")]
    TooLarge,
    /// Inflates too well to be telemetry.
    #[error("the body inflates more than {INFLATE_RATIO_MAX} times")]
    Ratio,
}

/// Inflates a body; borrows it where there is nothing to do.
///
/// # Errors
/// [`InflateError`]; memory never exceeds the cap.
pub fn inflate(encoding: Encoding, body: &[u8]) -> Result<Cow<'_, [u8]>, InflateError> {
    match encoding {
        Encoding::Identity if body.len() > INFLATED_BYTES_MAX => Err(InflateError::TooLarge),
        Encoding::Identity => Ok(Cow::Borrowed(body)),
        Encoding::Gzip => read_capped(flate2::read::MultiGzDecoder::new(body), body.len()),
        Encoding::Zstd => {
            // A frame may ask for a window of gigabytes; the cap on output bounds what is useful.
            let mut decoder =
                zstd::stream::read::Decoder::new(body).map_err(|_| InflateError::Damaged)?;
            decoder
                .window_log_max(WINDOW_LOG_MAX)
                .map_err(|_| InflateError::Damaged)?;
            read_capped(decoder, body.len())
        }
        Encoding::Lz4 => unpack(body).map(Cow::Owned),
    }
}

/// Zstandard window: 2^24 bytes is the largest that an allowed body can use.
const WINDOW_LOG_MAX: u32 = 24;
const _: () = assert!(1 << WINDOW_LOG_MAX == INFLATED_BYTES_MAX);

fn read_capped(reader: impl Read, wire: usize) -> Result<Cow<'static, [u8]>, InflateError> {
    let by_ratio = (wire.saturating_mul(INFLATE_RATIO_MAX)).max(INFLATE_RATIO_FLOOR);
    let cap = by_ratio.min(INFLATED_BYTES_MAX);
    let mut out = Vec::with_capacity((wire * 8).min(cap));
    let read = reader.take(cap as u64 + 1).read_to_end(&mut out);
    if out.len() > cap {
        let ratio = by_ratio < INFLATED_BYTES_MAX;
        return Err(if ratio {
            InflateError::Ratio
        } else {
            InflateError::TooLarge
        });
    }
    read.map_err(|_| InflateError::Damaged)?;
    Ok(Cow::Owned(out))
}

/// Packs a body for a stream: LZ4 block with its length before it.
#[must_use]
pub fn pack(body: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress_prepend_size(body)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, InflateError> {
    let (size, block) =
        lz4_flex::block::uncompressed_size(packed).map_err(|_| InflateError::Damaged)?;
    if size > INFLATED_BYTES_MAX {
        return Err(InflateError::TooLarge);
    }
    lz4_flex::block::decompress(block, size).map_err(|_| InflateError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_encoding_gives_back_the_body() {
        let body = br#"{"logs":[{"service":"a","message":"b"}]}"#.repeat(50);
        let zstd = zstd::encode_all(body.as_slice(), 1).unwrap();
        for (encoding, bytes) in [
            (Encoding::Identity, body.clone()),
            (Encoding::Gzip, gzip(&body)),
            (Encoding::Zstd, zstd),
            (Encoding::Lz4, pack(&body)),
        ] {
            assert_eq!(
                inflate(encoding, &bytes).unwrap().as_ref(),
                body,
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn bombs_and_damage_are_refused() {
        let zeros = vec![0u8; 64 * 1024 * 1024];
        let zstd = zstd::encode_all(zeros.as_slice(), 1).unwrap();
        assert_eq!(
            inflate(Encoding::Gzip, &gzip(&zeros)),
            Err(InflateError::TooLarge)
        );
        assert_eq!(inflate(Encoding::Zstd, &zstd), Err(InflateError::Ratio));
        let whole = gzip(b"hello, hello, hello");
        assert_eq!(
            inflate(Encoding::Gzip, &whole[..whole.len() - 3]),
            Err(InflateError::Damaged)
        );
        assert_eq!(
            inflate(Encoding::Zstd, b"not zstd"),
            Err(InflateError::Damaged)
        );
        assert_eq!(
            inflate(Encoding::Lz4, &[255, 255, 255, 255]),
            Err(InflateError::TooLarge)
        );
    }
}
