//! What kind of address one is: by the registries of IANA for special-purpose addresses (IPv4 and
//! IPv6, both as of 2024), and by the addresses under which clouds tell their machines' credentials.

use super::Refusal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 networks that are not of the open internet: address, bits, why.
const V4: [([u8; 4], u32, Refusal); 19] = [
    ([0, 0, 0, 0], 8, Refusal::Unspecified),
    ([10, 0, 0, 0], 8, Refusal::Private),
    ([100, 64, 0, 0], 10, Refusal::SharedSpace),
    ([127, 0, 0, 0], 8, Refusal::Loopback),
    ([169, 254, 0, 0], 16, Refusal::LinkLocal),
    ([172, 16, 0, 0], 12, Refusal::Private),
    ([192, 0, 0, 0], 24, Refusal::Reserved), // protocol assignments
    ([192, 0, 2, 0], 24, Refusal::Documentation),
    ([192, 31, 196, 0], 24, Refusal::Reserved), // AS112
    ([192, 52, 193, 0], 24, Refusal::Reserved), // AMT
    ([192, 88, 99, 0], 24, Refusal::Reserved),  // 6to4 relays, once
    ([192, 168, 0, 0], 16, Refusal::Private),
    ([192, 175, 48, 0], 24, Refusal::Reserved), // AS112
    ([198, 18, 0, 0], 15, Refusal::Benchmarking),
    ([198, 51, 100, 0], 24, Refusal::Documentation),
    ([203, 0, 113, 0], 24, Refusal::Documentation),
    ([224, 0, 0, 0], 4, Refusal::Multicast),
    ([255, 255, 255, 255], 32, Refusal::Broadcast),
    ([240, 0, 0, 0], 4, Refusal::Reserved),
];

/// IPv6 networks that are not of the open internet. What is not within `2000::/3` is not either.
const V6: [([u16; 8], u32, Refusal); 22] = [
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, Refusal::Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Refusal::Loopback),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Refusal::Embedded), // mapped
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, Refusal::Embedded), // translated (RFC 2765)
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, Refusal::Embedded),      // compatible
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Refusal::Embedded), // NAT64
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Refusal::Embedded), // NAT64, local
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Refusal::Reserved),  // discarded
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Refusal::Embedded), // Teredo
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Refusal::Benchmarking),
    (
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
        32,
        Refusal::Documentation,
    ),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Refusal::Reserved), // protocol assignments
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Refusal::Embedded), // 6to4
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, Refusal::Reserved), // AS112
    ([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, Refusal::Reserved), // 6bone, once
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Refusal::Documentation),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Refusal::Reserved), // SRv6
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Refusal::UniqueLocal),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Refusal::LinkLocal),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Refusal::UniqueLocal),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Refusal::Multicast),
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Refusal::Reserved), // dummy prefix
];

/// Where clouds tell their machines' credentials. Never used, whatever the operator permits.
const METADATA_V4: [[u8; 4]; 6] = [
    [169, 254, 169, 254], // most of them
    [169, 254, 170, 2],   // AWS, containers
    [169, 254, 170, 23],  // AWS, Kubernetes
    [100, 100, 100, 200], // Alibaba
    [168, 63, 129, 16],   // Azure, a public address
    [192, 0, 0, 192],     // Oracle
];
const METADATA_V6: [[u16; 8]; 3] = [
    [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], // AWS
    [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23],  // AWS, Kubernetes
    [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254],  // Google
];

/// Whether it is a metadata service, also by way of an address that holds its own.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4.octets()),
        IpAddr::V6(v6) => {
            let inner = embedded(address).is_some_and(|v4| METADATA_V4.contains(&v4.octets()));
            inner || METADATA_V6.contains(&v6.segments())
        }
    }
}

/// Why it is not of the open internet, if it is not.
pub(super) fn refusal(address: IpAddr) -> Option<Refusal> {
    match address {
        IpAddr::V4(v4) => {
            let known = V4.iter().find(|(net, bits, _)| {
                same(
                    u128::from(v4.to_bits()),
                    u128::from(Ipv4Addr::from(*net).to_bits()),
                    32 - bits,
                )
            });
            known.map(|(_, _, why)| *why)
        }
        IpAddr::V6(v6) => {
            let known = V6.iter().find(|(net, bits, _)| {
                same(v6.to_bits(), Ipv6Addr::from(*net).to_bits(), 128 - bits)
            });
            let global = v6.segments().first().is_some_and(|first| first >> 13 == 1);
            known
                .map(|(_, _, why)| *why)
                .or((!global).then_some(Refusal::Reserved))
        }
    }
}

/// The IPv4 address inside an IPv6 one.
pub(super) fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    if refusal(address) != Some(Refusal::Embedded) {
        return None;
    }
    let bits = v6.to_bits();
    let low = |shift: u32| {
        let part = (bits >> shift) & u128::from(u32::MAX);
        u32::try_from(part).map(Ipv4Addr::from_bits).ok()
    };
    match v6.segments() {
        [0x2002, ..] => low(80),
        // Teredo holds the client's address with its bits turned round.
        [0x2001, ..] => low(0).map(|inner| Ipv4Addr::from_bits(!inner.to_bits())),
        _ => low(0),
    }
}

/// Whether two addresses are the same but for so many bits at their end.
const fn same(one: u128, other: u128, rest: u32) -> bool {
    match (one ^ other).checked_shr(rest) {
        Some(differ) => differ == 0,
        None => true,
    }
}
