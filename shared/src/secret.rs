//! Secrets: how they look, how they are made, and how they are sealed at rest. Never printed.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, Key, KeyInit, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::Mac;
use std::fmt;
use thiserror::Error;

/// The prefix of an issued secret (Standard Webhooks).
pub const SECRET_PREFIX: &str = "whsec_";
/// Random bytes of a secret that we issue.
pub const SECRET_BYTES: usize = 32;
/// The fewest bytes of a secret that we take: the Standard Webhooks minimum.
pub const SECRET_BYTES_MIN: usize = 24;
/// Bytes of the master key (AES-256).
pub const MASTER_KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// Why a secret or a master key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// Not of the issued form.
    #[error("a secret is `whsec_` and the base64 of at least 24 bytes")]
    Malformed,
    /// Not a key of the right length.
    #[error("a master key is 64 hexadecimal digits (32 bytes)")]
    MasterKey,
    /// The same few bytes over and over.
    #[error("the master key has no entropy: make one with `openssl rand -hex 32`")]
    NoEntropy,
    /// Sealed with another master key, for another key id, or damaged.
    #[error("the sealed secret cannot be opened with this master key")]
    Unsealable,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    NoRandomness,
}

/// An ingest secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    key: Vec<u8>,
}

impl Secret {
    /// Reads a secret in its issued form.
    ///
    /// # Errors
    /// [`SecretError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text
            .strip_prefix(SECRET_PREFIX)
            .ok_or(SecretError::Malformed)?;
        let key = BASE64.decode(encoded).map_err(|_| SecretError::Malformed)?;
        if key.len() < SECRET_BYTES_MIN {
            return Err(SecretError::Malformed);
        }
        Ok(Secret {
            text: text.to_owned(),
            key,
        })
    }

    /// Makes a new random secret.
    ///
    /// # Errors
    /// [`SecretError::NoRandomness`].
    pub fn generate() -> Result<Self, SecretError> {
        let key = random::<SECRET_BYTES>()?;
        Ok(Secret {
            text: format!("{SECRET_PREFIX}{}", BASE64.encode(key)),
            key: key.to_vec(),
        })
    }

    /// The whole issued text: the HMAC key of the `x-signature` scheme and of receipts.
    #[must_use]
    pub fn text_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The decoded bytes: the HMAC key of Standard Webhooks.
    #[must_use]
    pub fn key_bytes(&self) -> &[u8] {
        &self.key
    }

    /// The issued text, to be shown once to its owner or given to a signer.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Random bytes from the operating system.
///
/// # Errors
/// [`SecretError::NoRandomness`].
pub fn random<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SecretError::NoRandomness)?;
    Ok(bytes)
}

/// The key that seals secrets at rest (AES-256-GCM) and from which other keys are derived.
#[derive(Clone)]
pub struct MasterKey {
    key: [u8; MASTER_KEY_BYTES],
}

impl MasterKey {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// When it is of another form, or visibly not random.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut key = [0; MASTER_KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| SecretError::MasterKey)?;
        let mut distinct = key;
        distinct.sort_unstable();
        // 32 random bytes have fewer than 16 distinct values less than once in 10^11 keys.
        let distinct = distinct.chunk_by(|a, b| a == b).count();
        if distinct < 16 {
            Err(SecretError::NoEntropy)
        } else {
            Ok(MasterKey { key })
        }
    }

    /// Seals a secret for one key id. The id is authenticated, so a sealed secret cannot be moved to
    /// another key.
    ///
    /// # Errors
    /// [`SecretError::NoRandomness`].
    pub fn seal(&self, key_id: &str, secret: &Secret) -> Result<Vec<u8>, SecretError> {
        self.seal_bytes(key_id, secret.text_bytes())
    }

    /// Opens what [`seal`](Self::seal) made for the same key id.
    ///
    /// # Errors
    /// [`SecretError::Unsealable`].
    pub fn open(&self, key_id: &str, sealed: &[u8]) -> Result<Secret, SecretError> {
        let text = self.open_bytes(key_id, sealed)?;
        Secret::parse(std::str::from_utf8(&text).map_err(|_| SecretError::Unsealable)?)
    }

    /// Seals any bytes for one owner, who is authenticated with them: nonce, ciphertext and tag.
    ///
    /// # Errors
    /// [`SecretError::NoRandomness`].
    pub fn seal_bytes(&self, owner: &str, bytes: &[u8]) -> Result<Vec<u8>, SecretError> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: bytes,
            aad: owner.as_bytes(),
        };
        let sealed = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| SecretError::Unsealable)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`seal_bytes`](Self::seal_bytes) made for the same owner.
    ///
    /// # Errors
    /// [`SecretError::Unsealable`].
    pub fn open_bytes(&self, owner: &str, sealed: &[u8]) -> Result<Vec<u8>, SecretError> {
        let (nonce, sealed) = sealed
            .split_at_checked(NONCE_BYTES)
            .ok_or(SecretError::Unsealable)?;
        let payload = Payload {
            msg: sealed,
            aad: owner.as_bytes(),
        };
        self.cipher()
            .decrypt(Nonce::from_slice(nonce), payload)
            .map_err(|_| SecretError::Unsealable)
    }

    /// A key for another purpose, derived with HMAC-SHA256 under a label.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mac = <hmac::Hmac<sha2::Sha256> as Mac>::new_from_slice(&self.key);
        let Ok(mut mac) = mac else { return [0; 32] };
        mac.update(b"millrace-derive:");
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(&self.key))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> MasterKey {
        let text = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        MasterKey::parse(text).unwrap()
    }

    #[test]
    fn a_sealed_secret_opens_only_for_its_own_key() {
        let secret = Secret::generate().unwrap();
        let sealed = master().seal("key-a", &secret).unwrap();
        assert_eq!(master().open("key-a", &sealed), Ok(secret));
        assert_eq!(
            master().open("key-b", &sealed),
            Err(SecretError::Unsealable)
        );
        assert_eq!(
            master().open("key-a", &sealed[..20]),
            Err(SecretError::Unsealable)
        );
    }

    #[test]
    fn sealed_bytes_open_only_for_their_owner() {
        let sealed = master().seal_bytes("channel:a", b"{}").unwrap();
        assert_eq!(
            master().open_bytes("channel:a", &sealed),
            Ok(b"{}".to_vec())
        );
        for other in ["channel:b", ""] {
            assert_eq!(
                master().open_bytes(other, &sealed),
                Err(SecretError::Unsealable)
            );
        }
    }

    #[test]
    fn weak_keys_are_refused_and_nothing_is_printed() {
        assert_eq!(MasterKey::parse("abcd").err(), Some(SecretError::MasterKey));
        assert_eq!(
            MasterKey::parse(&"ab".repeat(32)).err(),
            Some(SecretError::NoEntropy)
        );
        assert_eq!(
            Secret::parse("whsec_AAAA").err(),
            Some(SecretError::Malformed)
        );
        assert_eq!(
            format!("{:?}{:?}", master(), Secret::generate()),
            "MasterKey(…)Ok(Secret(…))"
        );
    }
}
