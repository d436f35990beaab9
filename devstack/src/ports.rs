//! Ports for instances. Never held: between the choice and the engine's start another process may
//! take one, so whoever starts something looks again when it did not come up.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// From which the system takes ports of outgoing connections, where it does not say so.
const OUTGOING: u16 = 32_768;
/// So many below that: enough that two choices seldom meet.
const WIDTH: u16 = 12_000;
/// Below this are the ports of well-known services, and those only root may have.
const LOWEST: u16 = 2_000;

/// The ports this process has been given: none twice, even before anything listens on it.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The port if it is free, else one that is and that was not given before.
///
/// # Errors
/// When there is none left.
pub fn free_port(wanted: Option<u16>) -> io::Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(port) = wanted.filter(|port| free(*port)) {
        given.insert(port);
        return Ok(port);
    }
    let range = below(outgoing());
    let width = range.end - range.start;
    let start = getrandom::u32().map_err(|error| io::Error::other(error.to_string()))?;
    let offset = u16::try_from(start % u32::from(width)).unwrap_or_default();
    (0..width)
        .map(|step| range.start + (offset + step) % width)
        .find(|port| !given.contains(port) && free(*port))
        .inspect(|port| {
            given.insert(*port);
        })
        .ok_or_else(|| io::Error::other("no free port"))
}

/// True when nothing listens on the port, and no connection has it.
fn free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The first port of outgoing connections.
fn outgoing() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next();
    first
        .and_then(|first| first.parse().ok())
        .unwrap_or(OUTGOING)
}

/// Ports below those of outgoing connections; where these leave no room, the usual ones all the
/// same.
fn below(outgoing: u16) -> Range<u16> {
    let end = if outgoing < LOWEST + WIDTH {
        OUTGOING
    } else {
        outgoing
    };
    end - WIDTH..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_and_a_taken_one_not_at_all() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port(None).unwrap())).unwrap();
        let taken = taken.local_addr().unwrap().port();
        let mut given: Vec<u16> = (0..100).map(|_| free_port(None).unwrap()).collect();
        assert!(!given.contains(&taken));
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 100);
    }

    #[test]
    fn the_port_wished_for_is_given_when_it_is_free() {
        let port = free_port(None).unwrap();
        assert_eq!(free_port(Some(port)).unwrap(), port);
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_ne!(free_port(Some(port)).unwrap(), port);
    }

    #[test]
    fn ports_lie_below_those_of_outgoing_connections() {
        assert_eq!(below(32_768), 20_768..32_768);
        assert_eq!(below(16_000), 4_000..16_000);
        assert_eq!(below(1_024), 20_768..32_768);
    }
}
