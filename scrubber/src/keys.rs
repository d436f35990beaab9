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

use Force::{Line, Maybe, Sure, Weak};

/// Words that make a name sensitive when they are its last.
const WORDS: &[(&[u8], Force)] = &[
    (b"password", Sure),
    (b"passwords", Sure),
    (b"passwd", Sure),
    (b"passwort", Sure),
    (b"kennwort", Sure),
    (b"passe", Maybe),
    (b"contrasena", Sure),
    (b"senha", Sure),
    (b"wachtwoord", Sure),
    (b"losenord", Sure),
    (b"salasana", Sure),
    (b"adgangskode", Sure),
    (b"haslo", Sure),
    (b"heslo", Sure),
    (b"parola", Sure),
    (b"sifre", Sure),
    (b"passphrase", Sure),
    (b"passcode", Sure),
    (b"pwd", Sure),
    (b"pw", Maybe),
    (b"pass", Maybe),
    (b"secret", Sure),
    (b"secrets", Sure),
    (b"token", Maybe),
    (b"authorization", Maybe),
    (b"credential", Maybe),
    (b"credentials", Maybe),
    (b"jwt", Maybe),
    (b"bearer", Maybe),
    (b"otp", Maybe),
    (b"pincode", Maybe),
    (b"cvv", Maybe),
    (b"cvc", Maybe),
    (b"csrf", Maybe),
    (b"xsrf", Maybe),
    (b"auth", Weak),
    (b"cookie", Line),
    (b"cookies", Line),
];

/// Compounds that are written without a divider often enough: a name may end in them.
const SUFFIXES: &[&[u8]] = &[
    b"password",
    b"passwd",
    b"passphrase",
    b"apikey",
    b"secretkey",
    b"privatekey",
    b"accesskey",
    b"authkey",
    b"accountkey",
    b"accesstoken",
    b"authtoken",
    b"refreshtoken",
    b"sessiontoken",
    b"bearertoken",
    b"idtoken",
    b"csrftoken",
    b"clientsecret",
    b"appsecret",
    b"sharedsecret",
    b"consumersecret",
    b"motdepasse",
];

/// The same with letters beyond ASCII, as the last of a name that has such. What divides words there
/// is not known, so a name may end in them.
#[rustfmt::skip]
const FOREIGN: &[&str] = &[
    "contraseña", "lösenord", "hasło", "şifre", "пароль", "Пароль", "ПАРОЛЬ", "секрет", "密码", "密碼", "口令",
    "パスワード", "비밀번호", "암호", "κωδικός", "סיסמה", "पासवर्ड",
];

/// `… key` is sensitive after one of these only: `api_key`, but neither `key` nor `primary_key`.
const KEY_OWNERS: &[&[u8]] = &[
    b"api",
    b"secret",
    b"private",
    b"access",
    b"encryption",
    b"signing",
    b"auth",
    b"master",
    b"shared",
    b"account",
    b"storage",
    b"session",
    b"service",
    b"license",
    b"ssh",
    b"gpg",
    b"pgp",
    b"hmac",
    b"aes",
    b"rsa",
    b"crypt",
    b"cipher",
    b"app",
    b"client",
    b"subscription",
];

/// `… tokens` is a count of words for a language model unless one of these stands before it.
const TOKENS_OWNERS: &[&[u8]] = &[
    b"access", b"auth", b"refresh", b"api", b"bearer", b"session", b"secret", b"oauth",
];

/// Before a sensitive word these make the name a flag or a count: `has_password`, `max_token`.
const FLAGS: &[&[u8]] = &[
    b"is",
    b"has",
    b"no",
    b"non",
    b"use",
    b"uses",
    b"with",
    b"without",
    b"allow",
    b"enable",
    b"enabled",
    b"disable",
    b"require",
    b"requires",
    b"required",
    b"show",
    b"hide",
    b"need",
    b"needs",
    b"max",
    b"min",
    b"num",
    b"total",
    b"per",
    b"count",
    b"avg",
    b"eos",
    b"bos",
    b"pad",
    b"stop",
    b"unk",
];

/// After a sensitive word these leave the name sensitive: `password_confirmation`.
const MODIFIERS: &[&[u8]] = &[
    b"value",
    b"plain",
    b"plaintext",
    b"raw",
    b"text",
    b"string",
    b"confirm",
    b"confirmation",
    b"repeat",
    b"again",
    b"new",
    b"old",
    b"current",
    b"encrypted",
    b"enc",
    b"base",
    b"header",
];

/// After a password these leave the name sensitive: such hashes are weak. Digests of tokens are
/// not, and join.
const HASH_MODIFIERS: &[&[u8]] = &[b"hash", b"hashed", b"digest"];

/// Names of fields that hold a telephone number.
const PHONES: &[&[u8]] = &[
    b"phone",
    b"phones",
    b"telephone",
    b"mobile",
    b"tel",
    b"fax",
    b"cell",
    b"cellphone",
    b"msisdn",
    b"whatsapp",
    b"phonenumber",
    b"mobilenumber",
    b"telefon",
    b"telefono",
    b"telefone",
    b"telefoon",
    b"telefonnummer",
    b"mobilnummer",
    b"mobiltelefon",
    b"handynummer",
    b"rufnummer",
    b"mobil",
    b"movil",
    b"celular",
    b"tlf",
];

/// Words behind one for telephones that leave it one: `phone_no`.
const NUMBERS: &[&[u8]] = &[b"number", b"no", b"nr", b"num", b"nummer"];

/// Before `… signature` in the address of a file in a cloud's storage: whoever has it may read.
const SIGNATURE_OWNERS: &[&[u8]] = &[b"amz", b"goog"];

/// Whole parts of a path below which everything is secret: `http.cookies.sid`.
const CONTAINERS: &[&[u8]] = &[
    b"credentials",
    b"cookies",
    b"cookie",
    b"set-cookie",
    b"secrets",
    b"passwords",
];

/// The shortest of them: `cookie`.
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

/// The last three letters of every word in the tables above.
#[rustfmt::skip]
const TAILS: &[&[u8; 3]] = &[
    b"ord", b"rds", b"swd", b"ort", b"ase", b"ode", b"pwd", b"ass", b"ret", b"ets",
    b"ken", b"ens", b"ion", b"ial", b"als", b"jwt", b"rer", b"otp", b"cvv", b"cvc",
    b"srf", b"uth", b"kie", b"ies", b"key", b"eys", b"lue", b"ain", b"ext", b"raw",
    b"ing", b"irm", b"eat", b"new", b"old", b"ent", b"ted", b"enc", b"der", b"ash",
    b"hed", b"est", b"one", b"nes", b"ile", b"tel", b"fax", b"ell", b"sdn", b"app",
    b"ber", b"ssn", b"sse", b"ena", b"nha", b"ana", b"slo", b"ola", b"fre", b"fon",
    b"ono", b"oon", b"mer", b"bil", b"vil", b"lar", b"tlf", b"num", b"ure",
];

/// Letters of the alphabet, with room for the marks beside them.
const LETTERS: usize = 32;

/// The last letters but two in `TAILS` (in any case), by the last two.
static TAIL_STARTS: [u32; LETTERS * LETTERS] = {
    let mut starts = [0; LETTERS * LETTERS];
    let mut index = 0;
    #[expect(clippy::indexing_slicing, reason = "checked when compiled")]
    while index < TAILS.len() {
        let [first, second, third] = *TAILS[index];
        starts[place(second, third)] |= 1 << (first & 0x1f);
        index += 1;
    }
    starts
};

const fn place(second: u8, third: u8) -> usize {
    (second & 0x1f) as usize * LETTERS + (third & 0x1f) as usize
}

/// A glance at the last letters: most names end here.
#[inline]
pub(crate) fn may_matter(name: &[u8]) -> bool {
    match name {
        [.., 0x80..=0xff, _] => true,
        [.., a, b, c] if c.is_ascii_alphabetic() => {
            let starts = TAIL_STARTS.get(place(*b, *c)).copied().unwrap_or(0);
            starts >> (a & 0x1f) & 1 == 1
                || matches!((b | 0x20, c | 0x20), (b'p', b'w') | (b'n', b'o' | b'r'))
        }
        [_, _, ..] => true,
        _ => false,
    }
}

/// Whether a part of the path before the last is a container of secrets.
#[inline]
fn in_container(path: &[u8]) -> bool {
    path.len() > SHORTEST_CONTAINER && path.contains(&b'.') && has_container(path)
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
    fn the_glance_misses_no_word() {
        let words = WORDS
            .iter()
            .map(|(word, _)| *word)
            .chain(SUFFIXES.iter().copied());
        let more = MODIFIERS
            .iter()
            .chain(HASH_MODIFIERS)
            .chain(PHONES)
            .copied();
        let more = more.chain(NUMBERS.iter().copied());
        let foreign = FOREIGN.iter().map(|word| word.as_bytes());
        let single: [&[u8]; 6] = [b"key", b"keys", b"tokens", b"signature", b"x_no", b"ssn"];
        for word in words.chain(more).chain(foreign).chain(single) {
            assert!(may_matter(word), "{}", String::from_utf8_lossy(word));
        }
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
