//! An address as a tenant wrote it. Takes only what every reader reads alike: what one library
//! silently puts right, another takes for something else.

use super::Refusal;
use std::net::{IpAddr, Ipv6Addr};
use url::Url;

/// Characters of an address: receivers use a few hundred.
const URL_CHARS_MAX: usize = 2_048;
/// Characters of a host name, and of each of its labels (RFC 1035).
const NAME_CHARS_MAX: usize = 253;
const LABEL_CHARS_MAX: usize = 63;
/// Where receivers on the internet listen.
const WEB_PORTS: &[u16] = &[443, 8443];
/// Where mail servers take submissions (RFC 8314, and the port that providers use besides). Port 25 is
/// between mail servers.
const MAIL_PORTS: &[u16] = &[465, 587, 2525];
/// Names that are not of the public name space: RFC 6761, 6762, 8375, 9476, and those that networks
/// and container platforms use among themselves.
const LOCAL_SUFFIXES: [&str; 20] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "intra",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
    "onion",
    "alt",
    "test",
    "invalid",
    "cluster.local",
    "consul",
    "docker",
];

/// What is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A name to be looked up, in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Web,
    Mail,
}

/// An address that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) host: Host,
    pub(super) port: u16,
    purpose: Purpose,
    encrypted: bool,
}

impl Target {
    /// Reads an address.
    pub(super) fn parse(text: &str) -> Result<Target, Refusal> {
        if text.is_empty() || text.len() > URL_CHARS_MAX {
            return Err(Refusal::Unreadable);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
            return Err(Refusal::Odd);
        }
        let (scheme, rest) = text.split_once(':').ok_or(Refusal::Scheme)?;
        if !["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return Err(Refusal::Scheme);
        }
        let rest = rest.strip_prefix("//").ok_or(Refusal::Odd)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(Refusal::Credentials);
        }
        if authority.is_empty() || authority.contains('%') {
            return Err(Refusal::Odd);
        }
        let url = Url::parse(text).map_err(|_| Refusal::Unreadable)?;
        let port = url.port_or_known_default().filter(|port| *port > 0);
        let port = port.ok_or(Refusal::Port)?;
        let host = host(&url, authority)?;
        Ok(Target {
            encrypted: url.scheme() == "https",
            purpose: Purpose::Web,
            url,
            host,
            port,
        })
    }

    /// Reads the host and the port of a mail server, the host by the rules of an address.
    pub(super) fn mail(host: &str, port: u16, encrypted: bool) -> Result<Target, Refusal> {
        if port == 0 {
            return Err(Refusal::MailPort);
        }
        let address = if host.parse::<Ipv6Addr>().is_ok() {
            format!("https://[{host}]:{port}/")
        } else if host.contains(['/', '?', '#', '@', ':', '[', ']']) {
            return Err(Refusal::Odd);
        } else {
            format!("https://{host}:{port}/")
        };
        let target = Target::parse(&address)?;
        Ok(Target {
            purpose: Purpose::Mail,
            encrypted,
            ..target
        })
    }

    /// Why it can only be meant for the operator's own networks, if it can.
    pub(super) fn inside_only(&self) -> Option<Refusal> {
        let local = match &self.host {
            Host::Name(name) => is_local(name),
            Host::Address(_) => false,
        };
        let (ports, plain, port) = match self.purpose {
            Purpose::Web => (WEB_PORTS, Refusal::PlainHttp, Refusal::Port),
            Purpose::Mail => (MAIL_PORTS, Refusal::PlainMail, Refusal::MailPort),
        };
        if local {
            Some(Refusal::LocalName)
        } else if !self.encrypted {
            Some(plain)
        } else if !ports.contains(&self.port) {
            Some(port)
        } else {
            None
        }
    }
}

/// The host, if it is written in the form that it has when read.
fn host(url: &Url, authority: &str) -> Result<Host, Refusal> {
    let written = match authority.rfind(':') {
        Some(at) if !authority.ends_with(']') => authority.get(..at).unwrap_or_default(),
        Some(_) | None => authority,
    };
    match url.host().ok_or(Refusal::Unreadable)? {
        url::Host::Ipv4(address) if written == address.to_string() => {
            Ok(Host::Address(IpAddr::V4(address)))
        }
        url::Host::Ipv4(_) => Err(Refusal::OddAddress),
        url::Host::Ipv6(address) => Ok(Host::Address(IpAddr::V6(address))),
        url::Host::Domain(name) if name.ends_with('.') => Err(Refusal::TrailingDot),
        url::Host::Domain(name) if !name.eq_ignore_ascii_case(written) => Err(Refusal::Odd),
        url::Host::Domain(name) if !is_name(name) => Err(Refusal::Unreadable),
        url::Host::Domain(name) => Ok(Host::Name(name.to_ascii_lowercase())),
    }
}

fn is_name(name: &str) -> bool {
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_CHARS_MAX
            && label.bytes().all(byte)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= NAME_CHARS_MAX && name.split('.').all(label)
}

/// A name without a dot is completed by the machine's own search list.
fn is_local(name: &str) -> bool {
    let under = |suffix: &&str| {
        let rest = name.strip_suffix(*suffix);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    !name.contains('.') || LOCAL_SUFFIXES.iter().any(under)
}
