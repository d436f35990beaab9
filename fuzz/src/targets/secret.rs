//! Secrets, the master key, sealed secrets and batch ids as texts from outside.

use super::text;
use millrace_shared::ids::BatchIds;
use millrace_shared::secret::{MasterKey, SECRET_BYTES_MIN, Secret};
use uuid::Uuid;

const MASTER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A secret, a master key, or a sealed secret.
pub fn parse(data: &[u8]) {
    let master = MasterKey::parse(MASTER).expect("a master key");
    // Nothing that we did not seal opens: its tag would have to be guessed.
    assert!(master.open("key", data).is_err(), "a forged secret opens");
    let Some(text) = text(data) else { return };
    if let Ok(secret) = Secret::parse(text) {
        assert_eq!(secret.reveal(), text);
        assert!(secret.key_bytes().len() >= SECRET_BYTES_MIN);
        assert!(!format!("{secret:?}").contains(text), "a secret is printed");
        let sealed = master.seal("key", &secret).expect("randomness");
        assert_eq!(
            master.open("key", &sealed).expect("sealed just now"),
            secret
        );
        assert!(master.open("another", &sealed).is_err());
    }
    if let Ok(key) = MasterKey::parse(text) {
        assert!(
            !format!("{key:?}").contains(text.trim()),
            "a key is printed"
        );
        assert_ne!(key.derive("a"), key.derive("b"));
    }
}

/// A batch id: only what we gave out is taken, in its one spelling.
pub fn batch_id(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let ids = BatchIds::new([7; 32]);
    let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
    if let Ok(id) = ids.parse(ours, text) {
        assert_eq!(ids.text(ours, id), text);
        assert!(
            ids.parse(theirs, text).is_err(),
            "an id of another organisation is taken"
        );
    }
}
