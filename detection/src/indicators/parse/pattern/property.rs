//! One comparison of a pattern: which property of which object, how, and with what.

use super::super::short;
use super::{Meaning, Taken};
use crate::observables::{Kind, canonical, guess};

/// A comparison.
pub(super) struct Comparison<'c> {
    /// Type of the object and path of the property.
    pub(super) path: &'c str,
    /// Whether NOT stands before the operator.
    pub(super) denied: bool,
    /// The operator.
    pub(super) operator: &'c str,
    /// The constant, or those of a set.
    pub(super) values: &'c [String],
}

/// What a property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// An address or a network.
    Address,
    /// A value of that kind.
    Value(Kind),
    /// An address or a domain.
    Host,
    /// What narrows the observation by something that events seldom state.
    Narrowing(&'static str),
    /// What is no observable.
    Other,
}

/// Whether a value of that kind names one file, whatever else is said of it.
pub(super) const fn is_digest(kind: Kind) -> bool {
    match kind {
        Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => true,
        Kind::Ipv4
        | Kind::Ipv6
        | Kind::Cidr
        | Kind::Domain
        | Kind::Url
        | Kind::Email
        | Kind::Cve => false,
    }
}

fn holds(path: &str) -> Holds {
    let (object, property) = path.split_once(':').unwrap_or((path, ""));
    match (object, property) {
        ("ipv4-addr" | "ipv6-addr", "value") => Holds::Address,
        ("domain-name", "value") => Holds::Value(Kind::Domain),
        ("url", "value") => Holds::Value(Kind::Url),
        ("email-addr", "value")
        | (
            "email-message",
            "from_ref.value" | "sender_ref.value" | "to_refs.value" | "cc_refs.value",
        ) => Holds::Value(Kind::Email),
        ("network-traffic", "src_ref.value" | "dst_ref.value") => Holds::Host,
        ("network-traffic", "src_ref.type" | "dst_ref.type") => {
            Holds::Narrowing("the type of an address")
        }
        ("network-traffic", "src_port" | "dst_port") => Holds::Narrowing("a port"),
        ("network-traffic", "protocols") => Holds::Narrowing("a protocol"),
        ("file" | "artifact" | "x509-certificate", hash) => match hash.strip_prefix("hashes.") {
            Some(algorithm) => digest(algorithm).map_or(Holds::Other, Holds::Value),
            None => Holds::Other,
        },
        _ => Holds::Other,
    }
}

fn digest(algorithm: &str) -> Option<Kind> {
    match algorithm.replace('-', "").to_ascii_uppercase().as_str() {
        "MD5" => Some(Kind::Md5),
        "SHA1" => Some(Kind::Sha1),
        "SHA256" => Some(Kind::Sha256),
        "SHA512" => Some(Kind::Sha512),
        _ => None,
    }
}

impl Comparison<'_> {
    /// What it says.
    pub(super) fn meaning(&self) -> Meaning {
        let Comparison { path, operator, .. } = self;
        let holds = holds(path);
        if self.denied || matches!(*operator, "!=" | "<>" | "≠") {
            return Meaning::More(format!("{path} is asked not to be something"));
        }
        match holds {
            Holds::Other => {
                return Meaning::More(format!(
                    "{path} is nothing that indicators are looked up by"
                ));
            }
            Holds::Narrowing(what) => return Meaning::Nothing(what),
            Holds::Address | Holds::Value(_) | Holds::Host => {}
        }
        let values = match *operator {
            "=" | "==" | "IN" => self
                .values
                .iter()
                .map(|value| self.value(holds, value))
                .collect(),
            "ISSUBSET" if holds == Holds::Address => self
                .values
                .iter()
                .map(|value| self.value(holds, value))
                .collect(),
            "LIKE" => self
                .values
                .iter()
                .map(|value| self.like(holds, value))
                .collect(),
            _ => Err(format!("{operator} on {path} says more than values can")),
        };
        match values {
            Ok(values) => Meaning::Values(Taken {
                values,
                notes: Vec::new(),
            }),
            Err(why) => Meaning::More(why),
        }
    }

    fn value(&self, holds: Holds, text: &str) -> Result<(Kind, String), String> {
        let read = match holds {
            Holds::Address => canonical(Kind::Ipv4, text),
            Holds::Value(kind) => canonical(kind, text),
            Holds::Host => guess(text).filter(|(kind, _)| match kind {
                Kind::Ipv4 | Kind::Ipv6 | Kind::Cidr | Kind::Domain => true,
                Kind::Url
                | Kind::Email
                | Kind::Md5
                | Kind::Sha1
                | Kind::Sha256
                | Kind::Sha512
                | Kind::Cve => false,
            }),
            Holds::Narrowing(_) | Holds::Other => None,
        };
        read.ok_or_else(|| format!("{:?} is no value of {}", short(text), self.path))
    }

    /// Of a pattern with `%` (any text) and `_` (one character) only what an indicator says anyway:
    /// a text without them, and `%.` before a domain.
    fn like(&self, holds: Holds, text: &str) -> Result<(Kind, String), String> {
        let below = text
            .strip_prefix("%.")
            .filter(|_| holds == Holds::Value(Kind::Domain));
        let text = below.unwrap_or(text);
        // In a URL the underscore is taken for itself, which matches less than was asked for.
        if text.contains('%') || (text.contains('_') && holds != Holds::Value(Kind::Url)) {
            return Err(format!(
                "LIKE {:?} on {} says more than values can",
                short(text),
                self.path
            ));
        }
        self.value(holds, text)
    }
}
