//! What a field's name says about its value.
//!
//! Names are read word by word from their end (`_`, `-`, `.`, spaces and camelCase divide words):
//! `user.dbPassword` ends in the word `password`; `author` ends in `author`, which is no word of
//! ours; `password_length` ends in `length`. Never looks at values.

use std::collections::HashSet;

/// What a name says about the value under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// Nothing.
    Plain,
    /// The value is secret.
    Sensitive(Force),
    /// The value is a telephone number.
    Phone,
    /// The value is a social security number.
    Ssn,
}

/// How sure a sensitive name makes us inside running text, where `token: expected` also stands.
/// In a field of its own both replace the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// Whatever follows is secret: `password`.
    Sure,
    /// What follows is secret when it looks so: `token`.
    Maybe,
    /// What follows is secret to the end of the line: `cookie`.
    Line,
}

/// The built-in words together with those of the policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    sensitive: HashSet<Box<str>>,
    plain: HashSet<Box<str>>,
}

impl Keys {
    pub(crate) fn new(sensitive: HashSet<Box<str>>, plain: HashSet<Box<str>>) -> Keys {
        Keys { sensitive, plain }
    }

    /// What the last part of a dotted field path says.
    #[inline]
    pub(crate) fn kind_of_path(&self, path: &[u8]) -> KeyKind {
        let _ = (path, &self.sensitive, &self.plain);
        KeyKind::Plain
    }
}
