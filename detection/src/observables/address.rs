//! Addresses: canonical spelling, networks, and the ranges that no indicator should name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of the longest way to write an IPv6 address, and so how far around a colon one looks.
pub(super) const V6_BYTES_MAX: usize = 45;

/// Whether an address is private, loopback, link-local, for documentation, or otherwise never a
/// stranger's (RFC 6890 and its registries).
#[must_use]
pub const fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_special_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_special_v4(v4),
            None => is_special_v6(v6),
        },
    }
}

const fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, _, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        // Shared address space of carriers (RFC 6598) and benchmarking (RFC 2544).
        || (a == 100 && b & 0xC0 == 64)
        || (a == 198 && b & 0xFE == 18)
}

const fn is_special_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        // Unique local, link-local, documentation (RFC 3849 and RFC 9637).
        || a & 0xFE00 == 0xFC00
        || a & 0xFFC0 == 0xFE80
        || (a == 0x2001 && b == 0x0DB8)
        || (a == 0x3FFF && b & 0xF000 == 0)
}

/// Reads an IPv4 address: four decimal numbers without leading zeros.
pub(super) fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    if text.len() < 7 || text.len() > 15 {
        return None;
    }
    text.parse().ok()
}

/// Reads an IPv6 address. Names such as `a::b` are left to the programming languages they come
/// from: the short form needs a decimal digit.
pub(super) fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    let digit = || text.bytes().any(|byte| byte.is_ascii_digit());
    let colons = text.bytes().filter(|byte| *byte == b':').count();
    if text.len() > V6_BYTES_MAX || colons < 2 || (colons < 6 && !text.contains("::")) || !digit() {
        return None;
    }
    text.parse().ok()
}
