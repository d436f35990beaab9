//! What a connection has proven: the key with which its last request was signed. Where the next
//! one names the same key and is going to be refused for want of quota or of room, it is refused
//! before its body is hashed, so that an organisation far above its quota costs the others next to
//! nothing. Lets nothing in: whatever is not refused has its own signature verified, and on a
//! connection that has proven nothing nobody learns which keys exist or how they fare.
//!
//! A proxy that is not among the trusted ones may send the requests of several clients over one
//! connection. Then one of them can learn that another's quota is used up, and no more: nothing is
//! taken from a quota before the signature is verified.

use crate::head::Credentials;
use crate::key::Key;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

/// The proof of one connection, which one thread serves.
#[derive(Debug, Default)]
pub(crate) struct Proof(RefCell<Option<(Arc<Key>, IpAddr)>>);

impl Proof {
    /// Remembers who signed, and from where it came.
    pub(crate) fn give(&self, key: &Arc<Key>, from: IpAddr) {
        *self.0.borrow_mut() = Some((Arc::clone(key), from));
    }

    /// Whether this is that key as it stood then, and from there: a key that has been looked up
    /// anew, or another client behind the same proxy, has to sign again.
    pub(crate) fn holds(&self, key: &Arc<Key>, credentials: &Credentials<'_>) -> bool {
        let proven = self.0.borrow();
        let proven = proven.as_ref();
        proven.is_some_and(|(of, from)| Arc::ptr_eq(of, key) && *from == credentials.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::key;
    use std::net::Ipv4Addr;

    #[test]
    fn a_connection_proves_one_key_as_it_stood_from_one_address() {
        let from = |host: u8| Credentials {
            key_id: Some("k"),
            claim: None,
            origin: None,
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
        };
        let (ours, anew) = (Arc::new(key(1, false)), Arc::new(key(1, false)));
        let proof = Proof::default();
        assert!(!proof.holds(&ours, &from(1)), "nothing is proven yet");
        proof.give(&ours, from(1).address);
        assert!(proof.holds(&ours, &from(1)));
        assert!(!proof.holds(&anew, &from(1)), "looked up anew");
        assert!(!proof.holds(&ours, &from(2)), "another client");
        proof.give(&anew, from(2).address);
        assert!(!proof.holds(&ours, &from(1)), "the last one counts");
    }
}
