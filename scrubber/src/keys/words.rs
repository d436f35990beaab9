//! The words that names are read for. Words in lower case; those beyond ASCII as they are written.
//!
//! What a word in its place means is decided by the parent module.

use super::Force::{self, Line, Maybe, Sure, Weak};

/// Words that make a name sensitive when they are its last.
pub(super) const WORDS: &[(&[u8], Force)] = &[
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
pub(super) const SUFFIXES: &[&[u8]] = &[
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
pub(super) const FOREIGN: &[&str] = &[
    "contraseña", "lösenord", "hasło", "şifre", "пароль", "Пароль", "ПАРОЛЬ", "секрет", "密码", "密碼", "口令",
    "パスワード", "비밀번호", "암호", "κωδικός", "סיסמה", "पासवर्ड",
];

/// `… key` is sensitive after one of these only: `api_key`, but neither `key` nor `primary_key`.
pub(super) const KEY_OWNERS: &[&[u8]] = &[
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
pub(super) const TOKENS_OWNERS: &[&[u8]] = &[
    b"access", b"auth", b"refresh", b"api", b"bearer", b"session", b"secret", b"oauth",
];

/// Before a sensitive word these make the name a flag or a count: `has_password`, `max_token`.
pub(super) const FLAGS: &[&[u8]] = &[
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
pub(super) const MODIFIERS: &[&[u8]] = &[
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
pub(super) const HASH_MODIFIERS: &[&[u8]] = &[b"hash", b"hashed", b"digest"];

/// Names of fields that hold a telephone number.
pub(super) const PHONES: &[&[u8]] = &[
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
pub(super) const NUMBERS: &[&[u8]] = &[b"number", b"no", b"nr", b"num", b"nummer"];

/// Before `… signature` in the address of a file in a cloud's storage: whoever has it may read.
pub(super) const SIGNATURE_OWNERS: &[&[u8]] = &[b"amz", b"goog"];

/// Whole parts of a path below which everything is secret: `http.cookies.sid`.
pub(super) const CONTAINERS: &[&[u8]] = &[
    b"credentials",
    b"cookies",
    b"cookie",
    b"set-cookie",
    b"secrets",
    b"passwords",
];
