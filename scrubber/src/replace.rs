//! What each strategy writes in place of a finding, and how to recognise it afterwards.
//!
//! Never decides whether something is to be replaced.

use std::fmt::Write;

use bumpalo::collections::String;
use hmac::Mac;

use crate::canonical::canonical;
use crate::class::Class;
use crate::pepper::Pepper;
use crate::policy::Strategy;

/// Hex digits of a stored hash: 96 bits, so that among ten thousand million values two meet by
/// accident once in a thousand million, while rows stay short.
const HASH_DIGITS: usize = 24;

/// Separates the hashes of values from the digests of pseudonyms.
const LABEL: &[u8] = b"value\0";

/// The stored form of a value under [`Strategy::Hash`]: class, version of the pepper, digits.
pub(crate) fn write_hash(out: &mut impl Write, pepper: &Pepper, class: Class, value: &str) {
    let mut mac = pepper.keyed.clone();
    mac.update(LABEL);
    mac.update(class.as_str().as_bytes());
    mac.update(&[0]);
    mac.update(canonical(class, value).as_bytes());
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    // Writing to a string cannot fail.
    let _ = write!(out, "{class}:v{}:", pepper.version());
    for byte in digest.iter().take(HASH_DIGITS / 2) {
        let _ = write!(out, "{byte:02x}");
    }
}

/// Writes what stands for `value` under the strategy.
pub(crate) fn write(
    out: &mut String<'_>,
    pepper: &Pepper,
    (class, strategy): (Class, Strategy),
    value: &str,
) {
    match strategy {
        Strategy::Redact => out.push_str(class.placeholder()),
        Strategy::Mask => write_mask(out, class, value),
        Strategy::Hash => write_hash(out, pepper, class, value),
        Strategy::Remove => {}
        Strategy::Keep => out.push_str(value),
        Strategy::Pseudonym => match pepper.pseudonym(value) {
            Some(address) => out.push_str(&address),
            None => out.push_str(class.placeholder()),
        },
    }
}

/// Every mask has a star where its class needs a character, so that it is not found again.
fn write_mask(out: &mut String<'_>, class: Class, value: &str) {
    match class {
        Class::Email => {
            let escaped = || value.rfind("%40").or_else(|| value.find(r"\u0040"));
            let at = value.rfind('@').or_else(escaped).unwrap_or(0);
            let (local, domain) = value.split_at_checked(at).unwrap_or(("", value));
            out.extend(local.chars().next());
            out.push_str("***");
            out.push_str(domain);
        }
        Class::PaymentCard | Class::Ssn | Class::Phone => write_last_four(out, value),
        Class::Iban => {
            out.extend(value.chars().take(2));
            write_last_four(out, value);
        }
        Class::Jwt => out.push_str("eyJ***"),
        Class::Ipv4 => {
            out.extend(value.split_inclusive('.').take(2));
            out.push_str("*.*");
        }
        Class::Ipv6 => {
            out.extend(value.split_inclusive(':').take(2));
            out.push_str("***");
        }
        Class::Mac => write_mac_vendor(out, value),
        Class::UserName => {
            out.extend(value.chars().next());
            out.push_str("***");
        }
        Class::Secret | Class::SensitiveKey => out.push_str("***"),
    }
}

fn write_last_four(out: &mut String<'_>, value: &str) {
    out.push_str("****");
    let kept = value
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .count()
        .saturating_sub(4);
    out.extend(value.chars().filter(char::is_ascii_alphanumeric).skip(kept));
}

/// The first three bytes of a hardware address name its maker, not its owner.
fn write_mac_vendor(out: &mut String<'_>, value: &str) {
    for (index, digit) in value
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(6)
        .enumerate()
    {
        out.push(digit);
        if index % 2 == 1 {
            out.push(':');
        }
    }
    out.push_str("**:**:**");
}

/// Whether the whole value is something a strategy (or another scrubber) wrote.
pub(crate) fn is_scrubbed(value: &[u8]) -> bool {
    let inner = value
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"));
    if let Some(inner) = inner {
        return !inner.is_empty()
            && inner
                .iter()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    }
    value.windows(3).any(|three| three == b"***") || is_hash(value)
}

/// Whether a strategy wrote something into the text, as far as that can be told: masks of addresses
/// and pseudonyms look like others.
#[must_use]
pub fn is_marked(text: &str) -> bool {
    let has_placeholder = || {
        Class::ALL
            .iter()
            .any(|class| text.contains(class.placeholder()))
    };
    let has_hash = || {
        let bytes = text.as_bytes();
        text.match_indices(':')
            .any(|(colon, _)| has_hash_at(bytes, colon))
    };
    (text.contains('[') && has_placeholder()) || text.contains("***") || has_hash()
}

/// Whether the text is what [`Strategy::Redact`] writes.
pub(crate) fn is_placeholder(text: &[u8]) -> bool {
    let of = |class: &Class| class.placeholder().as_bytes() == text;
    Class::ALL.iter().any(of)
}

/// Whether the value is the stored form of a hash.
fn is_hash(value: &[u8]) -> bool {
    let colon = value.iter().position(|byte| *byte == b':').unwrap_or(0);
    let (name, rest) = value.split_at_checked(colon).unwrap_or_default();
    Class::ALL
        .iter()
        .any(|class| class.as_str().as_bytes() == name)
        && digits_of_hash(rest) == Some(rest.len())
}

/// Whether the colon is that of a hash's stored form, whatever stands around it.
pub(crate) fn has_hash_at(text: &[u8], colon: usize) -> bool {
    let (name, rest) = text.split_at_checked(colon).unwrap_or_default();
    digits_of_hash(rest).is_some()
        && Class::ALL
            .iter()
            .any(|class| name.ends_with(class.as_str().as_bytes()))
}

/// The length of what follows a class's name in a hash, from its colon on. Hashes from before
/// peppers had versions have none.
fn digits_of_hash(rest: &[u8]) -> Option<usize> {
    let version = |rest: &[u8]| {
        let digits = rest.iter().skip(2).take_while(|byte| byte.is_ascii_digit());
        let end = 2 + digits.count();
        (rest.starts_with(b":v") && end > 2).then_some(end)
    };
    let colon = version(rest).unwrap_or(0);
    let digits = rest.get(colon..)?.strip_prefix(b":")?;
    let hex = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (digits.iter().take_while(hex).count() == HASH_DIGITS).then_some(colon + 1 + HASH_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_told_from_what_was_not() {
        for text in [
            "mail of [EMAIL] bounced",
            "a***@example.com",
            "by email:0123456789abcdef01234567, again",
            "by email:v2:0123456789abcdef01234567, again",
        ] {
            assert!(is_marked(text), "{text}");
        }
        for text in ["[INFO] 12:30:01", "email: none", "[email]", "** x"] {
            assert!(!is_marked(text), "{text}");
        }
    }

    #[test]
    fn hashes_are_known_with_and_without_a_version() {
        for hash in [
            "email:0123456789abcdef01234567",
            "email:v1:0123456789abcdef01234567",
            "sensitive_key:v4711:0123456789abcdef01234567",
        ] {
            assert!(is_scrubbed(hash.as_bytes()), "{hash}");
            let colon = hash.find(':').unwrap();
            assert!(
                has_hash_at(format!("x {hash}, y").as_bytes(), colon + 2),
                "{hash}"
            );
        }
        for text in [
            "mail:0123456789abcdef01234567",
            "email:v:0123456789abcdef01234567",
            "email:v1:0123456789abcdef0123456",
            "email:v1:0123456789abcdef012345678",
            "email:1:0123456789abcdef01234567",
            "email",
            "",
        ] {
            assert!(!is_scrubbed(text.as_bytes()), "{text}");
        }
    }
}
