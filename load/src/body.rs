//! JSON text to the bytes that go over the wire.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// Not at all.
    #[default]
    None,
    /// gzip, at its default level.
    Gzip,
    /// Zstandard, at level 1.
    Zstd,
}

/// What agents use: the fastest that still halves telemetry several times.
const ZSTD_LEVEL: i32 = 1;

impl Encoding {
    /// The value of `content-encoding`; `None` for no compression.
    #[must_use]
    pub const fn header(self) -> Option<&'static str> {
        match self {
            Encoding::None => None,
            Encoding::Gzip => Some("gzip"),
            Encoding::Zstd => Some("zstd"),
        }
    }

    /// Compresses a body.
    ///
    /// # Errors
    /// What the compressor says; writing to memory does not fail.
    pub fn pack(self, json: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Encoding::None => Ok(json.to_vec()),
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(json)?;
                encoder.finish()
            }
            Encoding::Zstd => zstd::encode_all(json, ZSTD_LEVEL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::inflate;

    #[test]
    fn the_gateway_inflates_what_is_packed_here() {
        let json = br#"{"logs":[{"service":"a","message":"b"}]}"#.repeat(20);
        for encoding in [Encoding::None, Encoding::Gzip, Encoding::Zstd] {
            let name = encoding.header().unwrap_or("identity");
            let packed = encoding.pack(&json).unwrap();
            let known = inflate::Encoding::parse(name).unwrap();
            let inflated = inflate::inflate(known, &packed).unwrap();
            assert_eq!(inflated.as_ref(), json, "{name}");
        }
    }
}
