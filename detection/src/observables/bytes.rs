//! Byte classes. A byte has one class that says whether the pass over a string stops at it, and
//! flags that say what it may be part of.

/// Part of a host name.
pub(super) const HOST: u8 = 1;
/// Part of the local half of an e-mail address.
pub(super) const LOCAL: u8 = 2;
/// A hexadecimal digit.
pub(super) const HEX: u8 = 4;
/// Part of a URL.
pub(super) const URL: u8 = 8;
/// Stops the pass.
pub(super) const STOP: u8 = 16;
/// A letter or a digit.
pub(super) const ALNUM: u8 = 32;

const fn class(byte: u8) -> u8 {
    let mut class = 0;
    if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
        class |= HOST;
    }
    if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-') {
        class |= LOCAL;
    }
    if byte.is_ascii_hexdigit() {
        class |= HEX;
    }
    let not_in_url = matches!(
        byte,
        b'"' | b'<' | b'>' | b'`' | b'|' | b'\\' | b'^' | b'{' | b'}'
    );
    if byte.is_ascii_graphic() && !not_in_url {
        class |= URL;
    }
    if matches!(byte, b'.' | b':' | b'@' | b'-' | b'[' | b'(' | b'{') {
        class |= STOP;
    }
    if byte.is_ascii_alphanumeric() {
        class |= ALNUM;
    }
    class
}

#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte: u8 = 0;
    loop {
        classes[byte as usize] = class(byte);
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

/// Whether the byte has one of the flags.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "256 entries, indexed by a byte")]
pub(super) const fn is(byte: u8, flags: u8) -> bool {
    CLASSES[byte as usize] & flags != 0
}

/// The byte at an offset, or 0 outside, which belongs to no class.
#[inline(always)]
pub(super) fn at(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or(0)
}

/// The byte before an offset, or 0.
#[inline(always)]
pub(super) fn before(bytes: &[u8], offset: usize) -> u8 {
    offset.checked_sub(1).map_or(0, |offset| at(bytes, offset))
}

/// Where the run of bytes with one of the flags ends that goes on at `from`.
#[inline]
pub(super) fn run_end(bytes: &[u8], from: usize, flags: u8) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .position(|byte| !is(*byte, flags))
        .unwrap_or(rest.len())
}

/// Where the run begins that ends before `to`, not before `floor`.
#[inline]
pub(super) fn run_start(bytes: &[u8], floor: usize, to: usize, flags: u8) -> usize {
    let run = bytes.get(floor..to).unwrap_or_default();
    floor
        + run
            .iter()
            .rposition(|byte| !is(*byte, flags))
            .map_or(0, |at| at + 1)
}
