//! Prefix-preserving pseudonyms for addresses.
//!
//! The construction of Crypto-PAn (Xu, Fan, Ammar, Moon: "Prefix-preserving IP address
//! anonymization", ICNP 2002): bit i of the answer is bit i of the address, flipped by one
//! pseudo-random bit that depends on the i bits before it. Two addresses therefore share exactly as
//! long a prefix after as before. The random function here is HMAC-SHA256. The bits within one byte
//! form a binary tree of 255 inner nodes, so that one 256-bit digest, keyed by the bytes before,
//! holds the flips of a whole byte: 4 digests for IPv4, 16 for IPv6.
//!
//! Never used for anything but addresses, and never reversible without the pepper.

use std::net::{Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Separates these digests from those of hashed values.
const LABEL_V4: &[u8] = b"pseudonym\0ipv4\0";
const LABEL_V6: &[u8] = b"pseudonym\0ipv6\0";

/// The pseudonym of an IPv4 address.
pub(crate) fn ipv4(keyed: &Hmac<Sha256>, address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from(pseudonym(keyed, LABEL_V4, address.octets()))
}

/// The pseudonym of an IPv6 address.
pub(crate) fn ipv6(keyed: &Hmac<Sha256>, address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from(pseudonym(keyed, LABEL_V6, address.octets()))
}

fn pseudonym<const N: usize>(keyed: &Hmac<Sha256>, label: &[u8], octets: [u8; N]) -> [u8; N] {
    let mut prefix = keyed.clone();
    prefix.update(label);
    octets.map(|octet| {
        let flips: [u8; 32] = prefix.clone().finalize().into_bytes().into();
        prefix.update(&[octet]);
        octet ^ flips_for(octet, &flips)
    })
}

/// The eight flips of one byte: at depth d, node `2^d + (the d bits above)` of the tree.
fn flips_for(octet: u8, flips: &[u8; 32]) -> u8 {
    (0..8u32).fold(0, |mask, depth| {
        let above = usize::from(octet).checked_shr(8 - depth).unwrap_or(0);
        let node = (1usize << depth) + above;
        let byte = flips.get(node / 8).copied().unwrap_or(0);
        mask | (((byte >> (node % 8)) & 1) << (7 - depth))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keyed() -> Hmac<Sha256> {
        Hmac::new_from_slice(b"a pepper of a good length").unwrap()
    }

    proptest! {
        #[test]
        fn ipv4_prefixes_are_kept_exactly(left: u32, right: u32, shared in 0u32..32) {
            let right = if shared == 0 { right } else {
                (left & !(u32::MAX >> shared)) | (right & (u32::MAX >> shared))
            };
            let hidden = |bits: u32| u32::from(ipv4(&keyed(), Ipv4Addr::from(bits)));
            let common = |a: u32, b: u32| (a ^ b).leading_zeros();
            prop_assert_eq!(common(left, right), common(hidden(left), hidden(right)));
        }

        #[test]
        fn ipv6_prefixes_are_kept_exactly(left: u128, right: u128, shared in 1u32..128) {
            let right = (left & !(u128::MAX >> shared)) | (right & (u128::MAX >> shared));
            let hidden = |bits: u128| u128::from(ipv6(&keyed(), Ipv6Addr::from(bits)));
            let common = |a: u128, b: u128| (a ^ b).leading_zeros();
            prop_assert_eq!(common(left, right), common(hidden(left), hidden(right)));
        }
    }

    #[test]
    fn another_pepper_gives_another_address() {
        let other = Hmac::new_from_slice(b"another pepper, as long").unwrap();
        let address = Ipv4Addr::new(192, 0, 2, 17);
        assert_ne!(ipv4(&keyed(), address), ipv4(&other, address));
        assert_ne!(ipv4(&keyed(), address), address);
    }
}
