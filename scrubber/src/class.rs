//! The closed list of what is looked for, and a set of it that fits into two bytes.
//!
//! The names here are stored with every event and used in policies: they never change meaning.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of personal data or secret.
///
/// The order is the priority: where two findings cover the same text, the later one wins, because
/// it is the more dangerous to leave or the more exact to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An e-mail address, also with `%40` for the at sign.
    Email,
    /// A payment card number of 13 to 19 digits that passes Luhn and has an issuer's prefix.
    PaymentCard,
    /// A United States social security number from the ranges that are given out.
    Ssn,
    /// A telephone number: international form, or national form that is clear or has context.
    Phone,
    /// An international bank account number whose length and checksum are right.
    Iban,
    /// A JSON web token.
    Jwt,
    /// An API key, password, private key or other credential.
    Secret,
    /// An IPv4 address. Off unless a policy asks for it.
    Ipv4,
    /// An IPv6 address. Off unless a policy asks for it.
    Ipv6,
    /// A hardware (MAC) address.
    Mac,
    /// The user name in a home directory path.
    UserName,
    /// The whole value of a field whose name says that it is secret.
    SensitiveKey,
}

/// How many classes there are.
pub(crate) const CLASSES: usize = 12;

impl Class {
    /// Every class, in the order of its bits.
    pub const ALL: [Class; CLASSES] = [
        Class::Email,
        Class::PaymentCard,
        Class::Ssn,
        Class::Phone,
        Class::Iban,
        Class::Jwt,
        Class::Secret,
        Class::Ipv4,
        Class::Ipv6,
        Class::Mac,
        Class::UserName,
        Class::SensitiveKey,
    ];

    /// The name stored with events and written in policies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Email => "email",
            Class::PaymentCard => "payment_card",
            Class::Ssn => "ssn",
            Class::Phone => "phone",
            Class::Iban => "iban",
            Class::Jwt => "jwt",
            Class::Secret => "secret",
            Class::Ipv4 => "ipv4",
            Class::Ipv6 => "ipv6",
            Class::Mac => "mac",
            Class::UserName => "user_name",
            Class::SensitiveKey => "sensitive_key",
        }
    }

    /// The class with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// The position of the class in a [`ClassSet`].
    #[must_use]
    pub const fn bit(self) -> u8 {
        self as u8
    }

    /// What [`crate::Strategy::Redact`] writes.
    #[must_use]
    pub const fn placeholder(self) -> &'static str {
        match self {
            Class::Email => "[EMAIL]",
            Class::PaymentCard => "[CARD]",
            Class::Ssn => "[SSN]",
            Class::Phone => "[PHONE]",
            Class::Iban => "[IBAN]",
            Class::Jwt => "[JWT]",
            Class::Secret => "[SECRET]",
            Class::Ipv4 => "[IPV4]",
            Class::Ipv6 => "[IPV6]",
            Class::Mac => "[MAC]",
            Class::UserName => "[USER]",
            Class::SensitiveKey => "[REDACTED]",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of classes, for example those that were scrubbed from an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClassSet(u16);

impl ClassSet {
    /// The set with nothing in it.
    pub const EMPTY: ClassSet = ClassSet(0);

    /// The set with every class in it.
    pub const ALL: ClassSet = ClassSet((1 << CLASSES) - 1);

    /// A set from its stored form; bits that name no class are dropped.
    #[must_use]
    pub const fn from_bits(bits: u16) -> ClassSet {
        ClassSet(bits & ClassSet::ALL.0)
    }

    /// The stored form: one bit per class, at [`Class::bit`].
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set with one class in it.
    #[must_use]
    pub const fn of(class: Class) -> ClassSet {
        ClassSet(1 << class.bit())
    }

    /// Adds a class.
    pub const fn insert(&mut self, class: Class) {
        self.0 |= 1 << class.bit();
    }

    /// Whether the class is in the set.
    #[must_use]
    pub const fn contains(self, class: Class) -> bool {
        self.0 & (1 << class.bit()) != 0
    }

    /// Whether the two sets share a class.
    #[must_use]
    pub const fn intersects(self, other: ClassSet) -> bool {
        self.0 & other.0 != 0
    }

    /// The classes of both sets together.
    #[must_use]
    pub const fn union(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 | other.0)
    }

    /// The classes of this set that are not in the other.
    #[must_use]
    pub const fn without(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 & !other.0)
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many classes are in the set.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The classes in the set, in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL
            .into_iter()
            .filter(move |class| self.contains(*class))
    }

    /// The names of the classes in the set, in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(Class::as_str)
    }
}

impl FromIterator<Class> for ClassSet {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> ClassSet {
        let mut set = ClassSet::EMPTY;
        for class in classes {
            set.insert(class);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_bit_and_name() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(class.bit()), index);
            assert_eq!(Class::from_name(class.as_str()), Some(class));
            let json = serde_json::to_string(&class).unwrap();
            assert_eq!(json, format!("\"{class}\""));
        }
        assert_eq!(ClassSet::ALL.len(), 12);
    }

    #[test]
    fn a_set_gives_back_what_was_put_in() {
        let set: ClassSet = [Class::Mac, Class::Email].into_iter().collect();
        assert_eq!(set.names().collect::<Vec<_>>(), ["email", "mac"]);
        assert_eq!(ClassSet::from_bits(set.bits()), set);
        assert_eq!(ClassSet::from_bits(0xf000), ClassSet::EMPTY);
        assert!(set.union(ClassSet::of(Class::Jwt)).contains(Class::Jwt));
        assert!(!set.contains(Class::Jwt));
    }
}
