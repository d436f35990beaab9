//! One spelling per value, so that equal values get equal hashes however they were written.
//!
//! Never judges whether the value is one of its class: detectors do.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::class::Class;

/// The spelling that is hashed.
pub(crate) fn canonical(class: Class, value: &str) -> Cow<'_, str> {
    match class {
        Class::Email => Cow::Owned(value.replace("%40", "@").to_lowercase()),
        Class::PaymentCard | Class::Ssn | Class::Phone => {
            Cow::Owned(value.chars().filter(char::is_ascii_digit).collect())
        }
        Class::Iban => Cow::Owned(alphanumeric(value).to_ascii_uppercase()),
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
            (
                Class::PaymentCard,
                "4111 1111 1111 1111",
                "4111-1111-1111-1111",
            ),
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
