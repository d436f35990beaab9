//! Why a request is not sent, or came to no answer.

use crate::cause;
use thiserror::Error;

/// Why an address is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It cannot be read, or is longer than any that is of use.
    #[error("is no address that can be used")]
    Unreadable,
    /// Another scheme than HTTP and HTTPS.
    #[error("must begin with https://")]
    Scheme,
    /// It holds a user name or a password.
    #[error("must hold no user name and no password")]
    Credentials,
    /// It is written such that readers differ about what it says.
    #[error("must be written plainly: in ASCII, without spaces, backslashes or encoded host names")]
    Odd,
    /// An IPv4 address in another form than four decimal numbers.
    #[error("must give an IPv4 address as four decimal numbers")]
    OddAddress,
    /// The host name ends with a dot.
    #[error("must give the host name without a dot at its end")]
    TrailingDot,
    /// A name of this machine or network.
    #[error("names a host that only this machine or network knows")]
    LocalName,
    /// Plain HTTP to the open internet.
    #[error("must be reached by https://")]
    PlainHttp,
    /// A port that receivers on the internet do not use.
    #[error("must use port 443 or 8443")]
    Port,
    /// Mail in plain text to the open internet.
    #[error("must be reached with TLS or STARTTLS")]
    PlainMail,
    /// A port that mail servers do not take submissions on.
    #[error("must use port 465, 587 or 2525")]
    MailPort,
    /// A service that tells a cloud machine its credentials.
    #[error("is a metadata service")]
    Metadata,
    /// `0.0.0.0/8` or `::`.
    #[error("is no address of a host")]
    Unspecified,
    /// This machine.
    #[error("is an address of this machine")]
    Loopback,
    /// RFC 1918.
    #[error("is a private address")]
    Private,
    /// RFC 6598, between a provider and its customers.
    #[error("is an address of a provider's inner network")]
    SharedSpace,
    /// RFC 3927 and 4291.
    #[error("is a link-local address")]
    LinkLocal,
    /// RFC 4193, and the older site-local addresses.
    #[error("is a unique local address")]
    UniqueLocal,
    /// To many.
    #[error("is a multicast address")]
    Multicast,
    /// To all.
    #[error("is a broadcast address")]
    Broadcast,
    /// RFC 5737, 3849 and 9637.
    #[error("is an address for documentation")]
    Documentation,
    /// RFC 2544 and 5180.
    #[error("is an address for benchmarks")]
    Benchmarking,
    /// An IPv4 address inside an IPv6 one: mapped, compatible, NAT64, 6to4, Teredo.
    #[error("is an IPv6 address with an IPv4 address inside")]
    Embedded,
    /// Reserved, or for protocols and not for hosts.
    #[error("is a reserved address")]
    Reserved,
}

impl Refusal {
    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Refusal::Unreadable => "unreadable",
            Refusal::Scheme => "scheme",
            Refusal::Credentials => "credentials",
            Refusal::Odd => "odd",
            Refusal::OddAddress => "odd_address",
            Refusal::TrailingDot => "trailing_dot",
            Refusal::LocalName => "local_name",
            Refusal::PlainHttp => "plain_http",
            Refusal::Port => "port",
            Refusal::PlainMail => "plain_mail",
            Refusal::MailPort => "mail_port",
            Refusal::Metadata => "metadata",
            Refusal::Unspecified => "unspecified",
            Refusal::Loopback => "loopback",
            Refusal::Private => "private",
            Refusal::SharedSpace => "shared_space",
            Refusal::LinkLocal => "link_local",
            Refusal::UniqueLocal => "unique_local",
            Refusal::Multicast => "multicast",
            Refusal::Broadcast => "broadcast",
            Refusal::Documentation => "documentation",
            Refusal::Benchmarking => "benchmarking",
            Refusal::Embedded => "embedded",
            Refusal::Reserved => "reserved",
        }
    }
}

/// Why a request came to no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutgoingError {
    /// It was not sent: its address must not be used.
    #[error("the address {0}")]
    Refused(#[from] Refusal),
    /// Its name leads nowhere.
    #[error("the name cannot be looked up: {0}")]
    Lookup(String),
    /// No connection; nothing was sent.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("took too long")]
    Timeout,
    /// The connection broke; it may have been received.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Nothing can be sent from here at all.
    #[error("cannot send: {0}")]
    Unusable(String),
}

impl OutgoingError {
    pub(super) fn from_http(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return OutgoingError::Timeout;
        }
        let connect = error.is_connect();
        // A webhook's address may hold a secret.
        let text = cause::chain(&error.without_url());
        if connect {
            OutgoingError::Unreachable(text)
        } else {
            OutgoingError::Broken(text)
        }
    }

    /// Whether it may go better later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            OutgoingError::Refused(_) => false,
            OutgoingError::Lookup(_)
            | OutgoingError::Unreachable(_)
            | OutgoingError::Timeout
            | OutgoingError::Broken(_)
            | OutgoingError::Unusable(_) => true,
        }
    }
}
