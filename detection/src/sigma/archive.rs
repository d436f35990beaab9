//! Rules in archives: zip, and tar with or without gzip, told apart by their first bytes; anything
//! else is one YAML file. Every size is bounded while it is unpacked, and nothing is written down.

use super::import::Source;
use super::yaml::FILE_BYTES_MAX;
use crate::rules::Problem;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use std::io::Read;

/// Bytes of an archive as it is sent: all published rules take two million.
pub const ARCHIVE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of all of its files together: a repository of rules also holds samples and pictures.
const UNPACKED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes of those among them that may hold rules: all published ones take six million.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Files in it, whether they hold rules or not.
const FILES_MAX: usize = 50_000;
/// A block of a tar file.
const BLOCK: usize = 512;

const ZIP_FILE: u32 = 0x0201_4B50;
const ZIP_END: u32 = 0x0605_4B50;
/// Bytes of the record that ends a zip file, without its comment.
const ZIP_END_BYTES: usize = 22;
const ZIP_COMMENT_MAX: usize = 0xFFFF;

type Files = Result<Vec<Source>, Problem>;

/// The files that may hold rules.
struct Found {
    files: Vec<Source>,
    left: usize,
}

impl Found {
    const fn new() -> Self {
        Found {
            files: Vec::new(),
            left: TEXT_BYTES_MAX,
        }
    }

    /// Adds a file. What is no text becomes a text that is no YAML, and what is larger than a file
    /// may be stays larger: both are refused by name, and the others are not.
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        let bytes = bytes.get(..=FILE_BYTES_MAX).unwrap_or(bytes);
        let left = self.left.checked_sub(bytes.len());
        self.left =
            left.ok_or_else(|| wrong(format!("has more than {TEXT_BYTES_MAX} bytes of YAML")))?;
        self.files.push(Source {
            name: name.to_owned(),
            text: String::from_utf8_lossy(bytes).into_owned(),
        });
        Ok(())
    }
}

fn wrong(what: impl Into<String>) -> Problem {
    Problem::new("archive", what)
}

/// The YAML files of an archive, or the one file that this is.
///
/// # Errors
/// What is damaged, or which bound is crossed.
pub fn unpack(name: &str, bytes: &[u8]) -> Files {
    if bytes.len() > ARCHIVE_BYTES_MAX {
        return Err(wrong(format!("is larger than {ARCHIVE_BYTES_MAX} bytes")));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return unzip(bytes);
    }
    if bytes.starts_with(&[0x1F, 0x8B]) {
        let inflated = inflate(MultiGzDecoder::new(bytes), UNPACKED_BYTES_MAX)?;
        if inflated.len() > UNPACKED_BYTES_MAX {
            let what = format!("unpacks to more than {UNPACKED_BYTES_MAX} bytes");
            return Err(wrong(what));
        }
        return if is_tar(&inflated) {
            untar(&inflated)
        } else {
            one(name, &inflated)
        };
    }
    if is_tar(bytes) {
        return untar(bytes);
    }
    one(name, bytes)
}

fn one(name: &str, bytes: &[u8]) -> Files {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        wrong("is neither a zip file, nor a tar file (perhaps with gzip), nor text in UTF-8")
    })?;
    Ok(vec![Source {
        name: name.to_owned(),
        text: text.to_owned(),
    }])
}

/// At most so many bytes and one.
fn inflate(decoder: impl Read, most: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|_| wrong("is damaged"))?;
    Ok(bytes)
}

/// Whether a file of an archive may hold rules. What is hidden is about the repository.
fn is_yaml(name: &str) -> bool {
    let is_hidden = |part: &str| part.starts_with('.') && !matches!(part, "." | "..");
    let end = name
        .rsplit_once('.')
        .map(|(_, end)| end.to_ascii_lowercase());
    matches!(end.as_deref(), Some("yml" | "yaml")) && !name.split('/').any(is_hidden)
}

fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

/// A field of a tar header: text up to the first NUL.
fn text(header: &[u8], from: usize, to: usize) -> String {
    let field = header.get(from..to).unwrap_or_default();
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

fn untar(bytes: &[u8]) -> Files {
    let (mut found, mut rest, mut count) = (Found::new(), bytes, 0);
    let mut long_name = None;
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        count += 1;
        if count > FILES_MAX {
            return Err(wrong(format!("has more than {FILES_MAX} files")));
        }
        let octal = text(header, 124, 136);
        let size = usize::from_str_radix(octal.trim(), 8).map_err(|_| wrong("is damaged"))?;
        let content = after.get(..size).ok_or_else(|| wrong("is cut off"))?;
        let padded = size.div_ceil(BLOCK).saturating_mul(BLOCK).min(after.len());
        rest = after.get(padded..).unwrap_or_default();
        match header.get(156) {
            // GNU's long names and POSIX's further headers are about the file that follows.
            Some(b'L') => long_name = Some(text(content, 0, content.len())),
            Some(b'x') => long_name = pax_path(content).or(long_name),
            Some(b'0' | 0) => {
                let name = long_name.take().unwrap_or_else(|| tar_name(header));
                if is_yaml(&name) {
                    found.add(&name, content)?;
                }
            }
            Some(_) | None => long_name = None,
        }
    }
    Ok(found.files)
}

fn tar_name(header: &[u8]) -> String {
    let (name, prefix) = (text(header, 0, 100), text(header, 345, 500));
    if prefix.is_empty() {
        name
    } else {
        format!("{prefix}/{name}")
    }
}

/// The path of a further header: lines of `length key=value`.
fn pax_path(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| Some(line.split_once(" path=")?.1.to_owned()))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.first_chunk::<2>()?;
    Some(usize::from(u16::from_le_bytes(*bytes)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

/// By its central directory (PKWARE's APPNOTE 4.3.12 and 4.3.16).
fn unzip(bytes: &[u8]) -> Files {
    let from = bytes.len().saturating_sub(ZIP_END_BYTES + ZIP_COMMENT_MAX);
    let mut ends = (from..bytes.len()).rev();
    let end = ends.find(|at| u32_at(bytes, *at) == Some(ZIP_END));
    let directory = end.and_then(|end| Some((u16_at(bytes, end + 10)?, size_at(bytes, end + 16)?)));
    let (count, mut at) = directory.ok_or_else(|| wrong("is cut off"))?;
    if count > FILES_MAX {
        return Err(wrong(format!("has more than {FILES_MAX} files")));
    }
    let mut found = Found::new();
    for _ in 0..count {
        let entry = ZipEntry::read(bytes, at).ok_or_else(|| wrong("is damaged"))?;
        at = entry.next;
        if !is_yaml(&entry.name) {
            continue;
        }
        found.add(&entry.name, &entry.content(bytes)?)?;
    }
    Ok(found.files)
}

/// A file's entry in the directory.
struct ZipEntry {
    name: String,
    encrypted: bool,
    method: usize,
    packed: usize,
    header: usize,
    next: usize,
}

impl ZipEntry {
    fn read(bytes: &[u8], at: usize) -> Option<ZipEntry> {
        if u32_at(bytes, at)? != ZIP_FILE {
            return None;
        }
        let name = u16_at(bytes, at + 28)?;
        let extra = u16_at(bytes, at + 30)?;
        let comment = u16_at(bytes, at + 32)?;
        let text = bytes.get(at + 46..at + 46 + name)?;
        Some(ZipEntry {
            name: String::from_utf8_lossy(text).into_owned(),
            encrypted: u16_at(bytes, at + 8)? & 1 == 1,
            method: u16_at(bytes, at + 10)?,
            packed: size_at(bytes, at + 20)?,
            header: size_at(bytes, at + 42)?,
            next: at + 46 + name + extra + comment,
        })
    }

    /// What it holds, as far as one file may be large, and a byte more.
    fn content(&self, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        let lengths = u16_at(bytes, self.header.saturating_add(26))
            .zip(u16_at(bytes, self.header.saturating_add(28)));
        let (name, extra) = lengths.ok_or_else(|| wrong("is damaged"))?;
        let from = self.header + 30 + name + extra;
        let packed = bytes
            .get(from..from.saturating_add(self.packed))
            .ok_or_else(|| wrong("is cut off"))?;
        match self.method {
            _ if self.encrypted => Err(wrong(format!("has the encrypted file {}", self.name))),
            0 => inflate(packed, FILE_BYTES_MAX),
            8 => inflate(DeflateDecoder::new(packed), FILE_BYTES_MAX),
            other => Err(wrong(format!("packs {} with method {other}", self.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use flate2::{Compression, Crc};
    use proptest::prelude::*;
    use std::io::Write as _;

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in files {
            let mut header = [0_u8; BLOCK];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
            header[156] = b'0';
            header[257..262].copy_from_slice(b"ustar");
            bytes.extend(header);
            bytes.extend(content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }

    /// A zip file of deflated files.
    fn zip(files: &[(&str, &str)]) -> Vec<u8> {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
            deflate.write_all(content.as_bytes()).unwrap();
            let packed = deflate.finish().unwrap();
            let mut crc = Crc::new();
            crc.update(content.as_bytes());
            let header = u32::try_from(bytes.len()).unwrap();
            let mut common = Vec::new();
            common.extend([20, 0, 0, 0, 8, 0, 0, 0, 0, 0]);
            common.extend(crc.sum().to_le_bytes());
            common.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
            common.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
            common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            common.extend([0, 0]);
            bytes.extend(b"PK\x03\x04");
            bytes.extend(&common);
            bytes.extend(name.as_bytes());
            bytes.extend(packed);
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&common);
            directory.extend([0; 10]);
            directory.extend(header.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let at = u32::try_from(bytes.len()).unwrap();
        let count = u16::try_from(files.len()).unwrap().to_le_bytes();
        bytes.extend(&directory);
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend(count);
        bytes.extend(count);
        bytes.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
        bytes.extend(at.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    const FILES: [(&str, &str); 4] = [
        ("./rules/a.yml", "title: a\n"),
        ("./rules/README.md", "not a rule"),
        ("./rules/b.yaml", "title: b\n"),
        ("./.github/workflows/test.yml", "on: push\n"),
    ];

    fn names(bytes: &[u8]) -> Vec<(String, String)> {
        let files = unpack("one", bytes).unwrap().into_iter();
        files.map(|file| (file.name, file.text)).collect()
    }

    #[test]
    fn archives_of_all_sorts_are_unpacked() {
        let wanted = [FILES[0], FILES[2]].map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(names(&tar(&FILES)), wanted);
        assert_eq!(names(&zip(&FILES)), wanted);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar(&FILES)).unwrap();
        assert_eq!(names(&gzip.finish().unwrap()), wanted);
        assert_eq!(
            names(b"title: a"),
            [("one".to_owned(), "title: a".to_owned())]
        );
    }

    #[test]
    fn a_file_that_is_too_large_is_cut_and_takes_no_other_with_it() {
        let large = "#".repeat(3 * FILE_BYTES_MAX);
        let files = [("large.yml", large.as_str()), FILES[0]];
        for bytes in [tar(&files), zip(&files)] {
            let found = names(&bytes);
            let sizes: Vec<usize> = found.iter().map(|(_, text)| text.len()).collect();
            assert_eq!(sizes, [FILE_BYTES_MAX + 1, FILES[0].1.len()]);
        }
        let many: Vec<(&str, &str)> = vec![files[0]; TEXT_BYTES_MAX / FILE_BYTES_MAX];
        let refused = unpack("x", &zip(&many)).unwrap_err();
        assert!(refused.what.contains("bytes of YAML"), "{refused}");
    }

    #[test]
    fn damaged_and_exploding_archives_are_refused() {
        let whole = zip(&FILES);
        assert!(unpack("x", &whole[..whole.len() - 30]).is_err());
        let whole = tar(&FILES);
        assert!(unpack("x", &whole[..BLOCK + 2]).is_err());
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1024 * 1024];
        for _ in 0..=UNPACKED_BYTES_MAX / zeros.len() {
            bomb.write_all(&zeros).unwrap();
        }
        let refused = unpack("x", &bomb.finish().unwrap()).unwrap_err();
        assert!(refused.what.contains("unpacks to more"), "{refused}");
        assert!(unpack("x", &[0xFF, 0xFE]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(
            start in prop::sample::select(vec![&b"PK\x03\x04"[..], b"PK\x05\x06", b"\x1F\x8B\x08", b""]),
            rest in prop::collection::vec(any::<u8>(), 0..600),
            flip in any::<usize>(),
        ) {
            let _ = unpack("x", &[start, &rest].concat());
            for mut whole in [zip(&FILES), tar(&FILES)] {
                let at = flip % whole.len();
                whole[at] ^= 0xFF;
                let _ = unpack("x", &whole);
            }
        }
    }
}
