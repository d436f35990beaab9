//! What a field's name says about its value.
//!
//! Names are read word by word from their end (`_`, `-`, `.`, spaces and camelCase divide words):
//! `user.dbPassword` ends in the word `password`; `author` ends in `author`, which is no word of
//! ours; `password_length` ends in `length`. Never looks at values.

mod glance;
mod words;

pub(crate) use glance::may_matter;
use std::collections::HashSet;
use words::{
    CONTAINERS, FLAGS, FOREIGN, HASH_MODIFIERS, KEY_OWNERS, MODIFIERS, NUMBERS, PHONES,
    SIGNATURE_OWNERS, SUFFIXES, TOKENS_OWNERS, WORDS,
};

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
/// In a field of its own each of them replaces the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// Whatever follows is secret: `password`.
    Sure,
    /// What follows is secret unless it is an ordinary word: `token`.
    Maybe,
    /// What follows is secret only if it looks so: `auth`.
    Weak,
    /// What follows is secret to the end of the line: `cookie`.
    Line,
}

use Force::Sure;

/// The shortest of the containers: `cookie`.
const SHORTEST_CONTAINER: usize = 6;

/// The longest word of the tables, and a little.
const MAX_WORD: usize = 24;

/// The built-in words together with those of the policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    sensitive: HashSet<Box<str>>,
    plain: HashSet<Box<str>>,
    /// Whether the policy has words of its own.
    pub(crate) custom: bool,
}

impl Keys {
    /// The built-in words and, in lower case, those of a policy.
    pub(crate) fn new(sensitive: HashSet<Box<str>>, plain: HashSet<Box<str>>) -> Keys {
        let custom = !sensitive.is_empty() || !plain.is_empty();
        Keys {
            sensitive,
            plain,
            custom,
        }
    }

    /// What a dotted field path says: its last part, or a part that holds only secrets.
    #[inline]
    pub(crate) fn kind_of_path(&self, path: &[u8]) -> KeyKind {
        let kind = self.kind_of_name(path);
        if kind == KeyKind::Plain && in_container(path) && !self.is_plain(path) {
            return KeyKind::Sensitive(Sure);
        }
        kind
    }

    /// What a single name says.
    #[inline]
    pub(crate) fn kind_of_name(&self, name: &[u8]) -> KeyKind {
        if self.custom {
            if self.is_plain(name) {
                return KeyKind::Plain;
            }
            if self.is_listed(&self.sensitive, name) {
                return KeyKind::Sensitive(Sure);
            }
        }
        if may_matter(name) {
            kind(name)
        } else {
            KeyKind::Plain
        }
    }

    fn is_plain(&self, name: &[u8]) -> bool {
        self.custom && self.is_listed(&self.plain, name)
    }

    #[cold]
    fn is_listed(&self, words: &HashSet<Box<str>>, name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default();
        words.contains(last) || words.contains(&*name)
    }
}

/// Whether a part of the path before the last is a container of secrets. All of these end in `s` or
/// `e`: a glance at what stands before the dots ends most paths.
#[inline]
fn in_container(path: &[u8]) -> bool {
    let ends = path.get(SHORTEST_CONTAINER - 1..).unwrap_or_default();
    let may_end = |pair: &[u8]| matches!(pair, [b's' | b'S' | b'e' | b'E', b'.']);
    ends.windows(2).any(may_end) && has_container(path)
}

fn has_container(path: &[u8]) -> bool {
    let mut start = 0;
    for (index, byte) in path.iter().enumerate() {
        if *byte == b'.' {
            let part = path.get(start..index).unwrap_or_default();
            if part.len() >= 6
                && CONTAINERS
                    .iter()
                    .any(|name| part.eq_ignore_ascii_case(name))
            {
                return true;
            }
            start = index + 1;
        }
    }
    false
}

/// The built-in verdict on a name.
fn kind(name: &[u8]) -> KeyKind {
    if is_foreign(name) {
        return KeyKind::Sensitive(Sure);
    }
    let Some((word, rest)) = Word::last_of(name) else {
        return KeyKind::Plain;
    };
    if let Some(force) = sensitive_word(&word, rest) {
        let flag = Word::last_of(rest).is_some_and(|(before, _)| before.is_in(FLAGS));
        return if flag {
            KeyKind::Plain
        } else {
            KeyKind::Sensitive(force)
        };
    }
    if word.is_in(PHONES) {
        return KeyKind::Phone;
    }
    if word.is(b"ssn") {
        return KeyKind::Ssn;
    }
    let before = Word::last_of(rest);
    match before.map(|(before, rest)| (sensitive_word(&before, rest), before)) {
        Some((Some(force), _)) if word.is_in(MODIFIERS) => KeyKind::Sensitive(force),
        Some((Some(Sure), _)) if word.is_in(HASH_MODIFIERS) => KeyKind::Sensitive(Sure),
        Some((_, before)) if word.is_in(NUMBERS) && before.is_in(PHONES) => KeyKind::Phone,
        Some((_, before)) if word.is(b"number") && before.is(b"ssn") => KeyKind::Ssn,
        _ => KeyKind::Plain,
    }
}

/// Whether a name ends in a sensitive word with letters beyond ASCII.
pub(crate) fn is_foreign(name: &[u8]) -> bool {
    !name.is_ascii() && FOREIGN.iter().any(|word| name.ends_with(word.as_bytes()))
}

/// Whether a word, given what stands before it, is one of ours.
fn sensitive_word(word: &Word, rest: &[u8]) -> Option<Force> {
    if let Some((_, force)) = WORDS.iter().find(|(known, _)| word.is(known)) {
        return Some(*force);
    }
    if SUFFIXES.iter().any(|suffix| word.bytes().ends_with(suffix)) {
        return Some(Sure);
    }
    let owners = match word.bytes() {
        b"key" | b"keys" => KEY_OWNERS,
        b"tokens" => TOKENS_OWNERS,
        b"signature" => SIGNATURE_OWNERS,
        _ => return None,
    };
    Word::last_of(rest)
        .filter(|(before, _)| before.is_in(owners))
        .map(|_| Sure)
}

/// One word of a name, in lower case.
struct Word {
    bytes: [u8; MAX_WORD],
    len: usize,
}

impl Word {
    /// The last word of a name and what stands before it. Digits and marks at the end do not
    /// count: `password2`, `cookies[0]`.
    fn last_of(name: &[u8]) -> Option<(Word, &[u8])> {
        let end = name.iter().rposition(u8::is_ascii_alphabetic)? + 1;
        let name = name.get(..end)?;
        let mut start = end;
        while start > 0 && !is_boundary(name, start) {
            start -= 1;
        }
        let word = name.get(start..)?;
        // A longer word can only match by its suffix.
        let kept = word.get(word.len().saturating_sub(MAX_WORD)..)?;
        let mut bytes = [0; MAX_WORD];
        for (slot, byte) in bytes.iter_mut().zip(kept) {
            *slot = byte.to_ascii_lowercase();
        }
        Some((
            Word {
                bytes,
                len: kept.len(),
            },
            name.get(..start)?,
        ))
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn is(&self, word: &[u8]) -> bool {
        self.bytes() == word
    }

    fn is_in(&self, words: &[&[u8]]) -> bool {
        words.contains(&self.bytes())
    }
}

/// Whether a word starts at `start`, which is not the beginning of the name.
fn is_boundary(name: &[u8], start: usize) -> bool {
    let byte = |index: usize| name.get(index).copied().unwrap_or(0);
    let (before, first, second) = (byte(start.wrapping_sub(1)), byte(start), byte(start + 1));
    if start >= name.len() {
        return false;
    }
    if !before.is_ascii_alphanumeric() {
        return true;
    }
    first.is_ascii_uppercase() && (!before.is_ascii_uppercase() || second.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sensitive(name: &str) -> bool {
        matches!(
            Keys::default().kind_of_path(name.as_bytes()),
            KeyKind::Sensitive(_)
        )
    }

    #[test]
    fn sensitive_names() {
        for name in [
            "password",
            "Password",
            "PASSWORD",
            "user.password",
            "db_password",
            "dbPassword",
            "DB_PASSWORD",
            "userpassword",
            "passwd",
            "pwd",
            "passphrase",
            "password2",
            "password_confirmation",
            "passwordConfirm",
            "password_hash",
            "secret",
            "client_secret",
            "clientSecret",
            "client-secret",
            "secrets",
            "token",
            "access_token",
            "accessToken",
            "refresh_token",
            "X-Auth-Token",
            "authorization",
            "Authorization",
            "http.request.header.authorization",
            "proxy-authorization",
            "HTTPAuthorization",
            "api_key",
            "apiKey",
            "apikey",
            "APIKey",
            "x-api-key",
            "API_KEY",
            "private_key",
            "secretKey",
            "cookie",
            "set-cookie",
            "Cookie",
            "cookies[0]",
            "http.cookies.sid",
            "credentials.user",
            "auth",
            "auth_header",
            "smtp_pass",
            "cvv",
            "cvv2",
            "csrf_token",
            "api_tokens",
            "headers.set-cookie.0",
            "jwt",
            "bearer_token",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn names_that_only_sound_so() {
        for name in [
            "author",
            "authored_by",
            "authors",
            "coauthor",
            "authority",
            "authentic",
            "oauth2_scope",
            "tokens",
            "tokens_used",
            "max_tokens",
            "prompt_tokens",
            "token_count",
            "token_type",
            "tokenizer",
            "tokenized",
            "passenger",
            "passed",
            "bypass_reason",
            "compass",
            "password_length",
            "password_policy",
            "has_password",
            "is_secret",
            "require_auth",
            "secretary",
            "secret_name",
            "key",
            "keys",
            "primary_key",
            "foreignKey",
            "monkey",
            "keyboard",
            "cache_key",
            "sort_key",
            "cookie_count",
            "cookieless",
            "authMethod",
            "authentication",
            "authorizationResult",
            "session_id",
            "trace_id",
            "user.id",
            "message",
            "pin",
            "spin",
            "mapping",
            "description",
            "",
            "a",
            "ab",
            "http.method",
            "tokens.count",
            "api_key_id",
            "password.length",
        ] {
            assert!(!is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn names_of_other_languages_and_clouds() {
        #[rustfmt::skip]
        let sensitive = ["mot_de_passe", "motDePasse", "db.contraseña", "Kennwort", "новый_пароль", "用户密码", "X-Amz-Signature"];
        assert!(sensitive.into_iter().all(is_sensitive));
        let plain = ["señora", "file_signature", "passes", "errno"];
        assert!(!plain.into_iter().any(is_sensitive));
    }

    #[test]
    fn other_kinds() {
        let kind = |name: &str| Keys::default().kind_of_path(name.as_bytes());
        for name in [
            "phone",
            "user.phone_number",
            "mobilePhone",
            "tel",
            "contact.fax",
            "msisdn",
            "phone_no",
            "mobileNo",
            "telefonnummer",
            "numero_telefono",
        ] {
            assert_eq!(kind(name), KeyKind::Phone, "{name}");
        }
        assert_eq!(kind("user.ssn"), KeyKind::Ssn);
        assert_eq!(kind("ssn_number"), KeyKind::Ssn);
        assert_eq!(kind("hotel"), KeyKind::Plain);
    }

    #[test]
    fn words_of_the_policy_count() {
        let set = |word: &str| HashSet::from([Box::from(word)]);
        let keys = Keys::new(set("badge"), set("auth"));
        assert_eq!(keys.kind_of_path(b"door.Badge"), KeyKind::Sensitive(Sure));
        assert_eq!(keys.kind_of_path(b"sasl.auth"), KeyKind::Plain);
        assert_eq!(keys.kind_of_path(b"password"), KeyKind::Sensitive(Sure));
    }
}
