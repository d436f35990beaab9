//! One spelling per value, so that equal values get equal hashes however they were written.
//!
//! Never judges whether the value is one of its class: detectors do.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::class::Class;

/// The spelling that is hashed.
pub(crate) fn canonical(class: Class, value: &str) -> Cow<'_, str> {
    match class {
        Class::Email => {
            let plain = value.replace("%40", "@");
            Cow::Owned(unescaped(plain).to_lowercase())
        }
        Class::PaymentCard | Class::Ssn | Class::Phone => {
            let digits = |value: &str| value.chars().filter(char::is_ascii_digit).collect();
            Cow::Owned(digits(&spaced(value)))
        }
        Class::Iban => Cow::Owned(alphanumeric(&spaced(value)).to_ascii_uppercase()),
        Class::Mac => Cow::Owned(alphanumeric(value).to_ascii_lowercase()),
        Class::Ipv4 => value
            .parse::<Ipv4Addr>()
            .map_or(Cow::Borrowed(value), |address| {
                Cow::Owned(address.to_string())
            }),
        Class::Ipv6 => value
            .parse::<Ipv6Addr>()
            .map_or(Cow::Borrowed(value), |address| {
                Cow::Owned(address.to_string())
            }),
        Class::Jwt | Class::Secret | Class::UserName | Class::SensitiveKey => Cow::Borrowed(value),
    }
}

/// The at sign of JSON within JSON, however often it was quoted.
fn unescaped(address: String) -> String {
    let Some((local, domain)) = address.split_once(r"\u0040") else {
        return address;
    };
    format!("{}@{domain}", local.trim_end_matches('\\'))
}

/// Spaces of addresses are no digits of the value.
fn spaced(value: &str) -> String {
    value.replace("%20", " ")
}

fn alphanumeric(value: &str) -> String {
    value.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_value_meet() {
        let same = [
            (Class::Email, "Bob@Example.COM", "bob%40example.com"),
            (Class::Email, "Bob@Example.COM", r"bob\u0040example.com"),
            (Class::Email, "Bob@Example.COM", r"bob\\\u0040example.com"),
            (
                Class::PaymentCard,
                "4111 1111 1111 1111",
                "4111-1111-1111-1111",
            ),
            (Class::Ssn, "123-45-6789", "123%2045%206789"),
            (Class::Phone, "+1 (415) 555-2671", "+14155552671"),
            (
                Class::Iban,
                "gb82 west 1234 5698 7654 32",
                "GB82WEST12345698765432",
            ),
            (Class::Mac, "AA-BB-CC-00-11-22", "aabb.cc00.1122"),
            (Class::Ipv6, "2001:DB8::0:1", "2001:db8:0:0::1"),
        ];
        for (class, left, right) in same {
            assert_eq!(canonical(class, left), canonical(class, right));
        }
        assert_ne!(
            canonical(Class::Secret, "Abc"),
            canonical(Class::Secret, "abc")
        );
    }
}
