//! An organisation's key for hashes and pseudonyms, with its version.
//!
//! A pepper is replaced when it may have become known, or at regular intervals. What was hashed with
//! the one before stays as it is and says so: the version stands in every hash. Whoever searches
//! for a value hashes it with every version there was.
//!
//! Never shows the key.

use std::net::{Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::class::Class;
use crate::policy::PolicyError;
use crate::{pseudonym, replace};

/// The shortest pepper that cannot be guessed together with the values: 128 bits.
const MIN_BYTES: usize = 16;

/// A key with its version.
#[derive(Clone)]
pub struct Pepper {
    version: u32,
    pub(crate) keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for Pepper {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pepper")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Pepper {
    /// A version of an organisation's key.
    ///
    /// # Errors
    /// When the key has fewer than 16 bytes: hashes without one can be guessed.
    pub fn new(version: u32, key: &[u8]) -> Result<Pepper, PolicyError> {
        let short = PolicyError::ShortPepper(MIN_BYTES);
        if key.len() < MIN_BYTES {
            return Err(short);
        }
        let keyed = Hmac::new_from_slice(key).map_err(|_| short)?;
        Ok(Pepper { version, keyed })
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The stored form of a value under [`Strategy::Hash`](crate::Strategy::Hash):
    /// `email:v1:<24 hex digits>`. How the value is spelled (case of an e-mail address, separators
    /// of a number) does not matter.
    #[must_use]
    pub fn hashed(&self, class: Class, value: &str) -> String {
        let mut out = String::with_capacity(48);
        replace::write_hash(&mut out, self, class, value);
        out
    }

    /// The stored form of an address under [`Strategy::Pseudonym`](crate::Strategy::Pseudonym);
    /// `None` for what is no address.
    #[must_use]
    pub fn pseudonym(&self, address: &str) -> Option<String> {
        let v4 = |address: Ipv4Addr| pseudonym::ipv4(&self.keyed, address).to_string();
        let v6 = |address: Ipv6Addr| pseudonym::ipv6(&self.keyed, address).to_string();
        address
            .parse()
            .map(v4)
            .or_else(|_| address.parse().map(v6))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_says_its_version_and_another_pepper_gives_another() {
        let first = Pepper::new(1, b"a pepper of a good length").unwrap();
        let second = Pepper::new(2, b"another pepper, as long").unwrap();
        let hashed = |pepper: &Pepper| pepper.hashed(Class::Email, "bob@example.com");
        assert!(hashed(&first).starts_with("email:v1:"));
        assert!(hashed(&second).starts_with("email:v2:"));
        assert_ne!(hashed(&first)[9..], hashed(&second)[9..]);
        assert_ne!(first.pseudonym("192.0.2.1"), second.pseudonym("192.0.2.1"));
        assert_eq!(first.pseudonym("192.0.2.1.5"), None);
        assert!(!format!("{first:?}").contains("good"));
    }
}
