//! A single value, as a feed gives it: guessed, or read as the kind it is said to be.

use super::{Kind, Observables, refang};
use crate::field::FieldAt;
use bumpalo::Bump;
use ipnet::IpNet;
use std::net::IpAddr;

/// A field name under which bare names such as `evil.sh` are taken for hosts.
const HOST_FIELD: &str = "host";

/// What a value on its own is, with its canonical spelling; defanged forms are accepted.
#[must_use]
pub fn guess(value: &str) -> Option<(Kind, String)> {
    let arena = Bump::new();
    let value = refang::refang(value.trim(), &arena);
    if let Some(network) = network(value) {
        return Some(network);
    }
    let value = value.trim_end_matches('.');
    // A leading "*." or "." means what a domain indicator means anyway: with all subdomains.
    let value = value
        .strip_prefix("*.")
        .or_else(|| value.strip_prefix('.'))
        .unwrap_or(value);
    if value.contains(char::is_whitespace) {
        return None;
    }
    let mut found = Observables::new();
    found.extract_text(HOST_FIELD, value, FieldAt::NONE, &arena);
    let first = found.as_slice().first()?;
    let whole = first.kind == Kind::Url || first.value.len() == value.len();
    whole.then(|| (first.kind, first.value.to_owned()))
}

/// An address or a network; a network of one is an address, and bits behind the prefix are cut.
fn network(value: &str) -> Option<(Kind, String)> {
    let network = match value.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => value.parse::<IpNet>().ok()?.trunc(),
    };
    let address = network.addr();
    if network.prefix_len() < network.max_prefix_len() {
        return Some((Kind::Cidr, network.to_string()));
    }
    let kind = if address.is_ipv4() {
        Kind::Ipv4
    } else {
        Kind::Ipv6
    };
    Some((kind, address.to_string()))
}

/// The canonical spelling of a value that is said to be of that kind. Addresses and networks may
/// stand for each other.
#[must_use]
pub fn canonical(kind: Kind, value: &str) -> Option<(Kind, String)> {
    let (guessed, canonical) = guess(value)?;
    let is_network = |kind| matches!(kind, Kind::Ipv4 | Kind::Ipv6 | Kind::Cidr);
    let fits = guessed == kind || (is_network(kind) && is_network(guessed));
    fits.then_some((guessed, canonical))
}
