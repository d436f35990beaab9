//! The address a request came from. `X-Forwarded-For` counts only from configured proxies.

use ipnet::IpNet;
use std::net::IpAddr;

/// Entries of `X-Forwarded-For` looked at: more proxies than this in a row are not ours.
const HOPS_MAX: usize = 16;

/// The client's address: the peer's, or the last one in `forwarded` (the header's values, in
/// order) that is not itself a trusted proxy, when the peer is one.
pub(crate) fn client<'h>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'h str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return peer;
    }
    let mut client = peer;
    let hops = forwarded.rev().flat_map(|value| value.rsplit(','));
    for hop in hops.take(HOPS_MAX) {
        let Some(address) = parse(hop.trim()) else {
            return client;
        };
        client = address;
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// An address, with or without a port, brackets as proxies write them.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client(peer.parse().unwrap(), forwarded.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let ours = &["10.0.0.0/8"][..];
        assert_eq!(seen("203.0.113.9", &["1.2.3.4"], ours), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["1.2.3.4"], ours), "1.2.3.4");
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], ours),
            "1.2.3.4"
        );
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6", "1.2.3.4:555"], ours),
            "1.2.3.4"
        );
        assert_eq!(seen("10.0.0.1", &["nonsense"], ours), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:80"], ours), "2001:db8::1");
        assert_eq!(seen("::ffff:10.0.0.1", &["1.2.3.4"], ours), "1.2.3.4");
    }
}
