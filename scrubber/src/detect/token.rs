//! JSON web tokens and keys of providers that mark theirs with a prefix.
//!
//! All of them are long, so the trigger is a long run of letters, digits, `_` and `-`; the prefix
//! is looked for where a word starts within the run.

use super::bytes::{at, before, ends_ci, from, run};
use crate::class::Class;
use crate::spans::Span;

/// What may follow a prefix.
#[derive(Clone, Copy)]
enum Body {
    /// Letters and digits.
    Alnum,
    /// Upper-case letters and digits.
    Upper,
    /// Hex digits in lower case.
    Hex,
    /// Letters, digits, `_` and `-`.
    Word,
    /// As `Word`, and with a digit and a letter: the prefix is short and could begin a name.
    Mixed,
    /// Base64 in either alphabet.
    Base64,
}

use Body::{Alnum, Base64, Hex, Mixed, Upper, Word};

/// One provider's format: prefix, body, fewest and most bytes of the body.
type Format = (&'static [u8], Body, usize, usize);

/// No upper bound beyond the run itself.
const ANY: usize = usize::MAX;

/// The longest body and the longest header of a token that are looked at.
const MAX_BODY: usize = 1024;

/// As the providers document them.
#[rustfmt::skip]
const FORMATS: &[Format] = &[
    (b"ABIA", Upper, 16, 16),             // AWS, bearer
    (b"ACCA", Upper, 16, 16),             // AWS, context
    (b"AGE-SECRET-KEY-1", Upper, 58, 58), // age
    (b"AIza", Word, 35, 35),              // Google
    (b"AKIA", Upper, 16, 16),             // AWS
    (b"ASIA", Upper, 16, 16),             // AWS, temporary
    (b"ATATT3", Word, 40, ANY),           // Atlassian
    (b"ATBB", Alnum, 32, 32),             // Bitbucket
    (b"CCIPAT_", Word, 40, ANY),          // CircleCI
    (b"CFPAT-", Word, 43, 43),            // Contentful
    (b"EAAA", Word, 60, ANY),             // Square, access token
    (b"GOCSPX-", Word, 20, ANY),          // Google, OAuth client
    (b"HRKU-", Word, 36, ANY),            // Heroku
    (b"NRAK-", Upper, 27, 27),            // New Relic
    (b"PMAK-", Word, 40, ANY),            // Postman
    (b"SK", Hex, 32, 32),                 // Twilio
    (b"access-development-", Word, 36, 36), // Plaid
    (b"access-production-", Word, 36, 36), // Plaid
    (b"access-sandbox-", Word, 36, 36),   // Plaid
    (b"dapi", Hex, 32, 32),               // Databricks
    (b"dckr_pat_", Word, 20, ANY),        // Docker
    (b"doo_v1_", Hex, 64, 64),            // DigitalOcean
    (b"dop_v1_", Hex, 64, 64),            // DigitalOcean
    (b"dor_v1_", Hex, 64, 64),            // DigitalOcean
    (b"figd_", Word, 30, ANY),            // Figma
    (b"fo1_", Word, 40, ANY),             // Fly
    (b"gho_", Alnum, 30, ANY),            // GitHub, OAuth
    (b"ghp_", Alnum, 30, ANY),            // GitHub, personal
    (b"ghr_", Alnum, 30, ANY),            // GitHub, refresh
    (b"ghs_", Alnum, 30, ANY),            // GitHub, server to server
    (b"ghu_", Alnum, 30, ANY),            // GitHub, user to server
    (b"github_pat_", Word, 22, ANY),      // GitHub
    (b"glc_", Base64, 32, ANY),           // Grafana Cloud
    (b"glcbt-", Word, 20, ANY),           // GitLab, CI build
    (b"gldt-", Word, 20, ANY),            // GitLab, deploy
    (b"glpat-", Word, 20, ANY),           // GitLab, personal
    (b"glptt-", Word, 20, ANY),           // GitLab, trigger
    (b"glrt-", Word, 20, ANY),            // GitLab, runner
    (b"glsa_", Word, 32, ANY),            // Grafana, service account
    (b"gsk_", Alnum, 32, ANY),            // Groq
    (b"hf_", Alnum, 30, ANY),             // Hugging Face
    (b"key-", Hex, 32, 32),               // Mailgun
    (b"lin_api_", Alnum, 32, ANY),        // Linear
    (b"nfp_", Alnum, 36, ANY),            // Netlify
    (b"npm_", Alnum, 36, 36),             // npm
    (b"ntn_", Alnum, 40, ANY),            // Notion
    (b"pat-eu1-", Word, 36, 36),          // HubSpot
    (b"pat-na1-", Word, 36, 36),          // HubSpot
    (b"pnu_", Alnum, 36, 36),             // Prefect
    (b"pplx-", Alnum, 40, ANY),           // Perplexity
    (b"pscale_oauth_", Word, 32, ANY),    // PlanetScale
    (b"pscale_pw_", Word, 32, ANY),       // PlanetScale
    (b"pscale_tkn_", Word, 32, ANY),      // PlanetScale
    (b"pul-", Hex, 40, 40),               // Pulumi
    (b"pypi-", Mixed, 20, ANY),           // PyPI
    (b"r8_", Alnum, 37, 40),              // Replicate
    (b"rk_live_", Alnum, 16, ANY),        // Stripe, restricted
    (b"rk_test_", Alnum, 16, ANY),        // Stripe, restricted
    (b"rubygems_", Hex, 48, 48),          // RubyGems
    (b"sbp_", Hex, 40, 40),               // Supabase
    (b"secret_", Alnum, 43, 43),          // Notion
    (b"sgp_", Word, 40, ANY),             // Sourcegraph
    (b"shippo_live_", Hex, 40, 40),       // Shippo
    (b"shpat_", Hex, 32, 32),             // Shopify
    (b"shpca_", Hex, 32, 32),             // Shopify
    (b"shppa_", Hex, 32, 32),             // Shopify
    (b"shpss_", Hex, 32, 32),             // Shopify
    (b"sk-", Mixed, 20, ANY),             // OpenAI, Anthropic and others after them
    (b"sk_live_", Alnum, 16, ANY),        // Stripe
    (b"sk_test_", Alnum, 16, ANY),        // Stripe
    (b"sntrys_", Base64, 32, ANY),        // Sentry, organisation
    (b"sntryu_", Hex, 64, 64),            // Sentry, user
    (b"sq0atp-", Word, 22, ANY),          // Square
    (b"sq0csp-", Word, 40, ANY),          // Square
    (b"sqa_", Hex, 40, 40),               // SonarQube
    (b"sqp_", Hex, 40, 40),               // SonarQube
    (b"squ_", Hex, 40, 40),               // SonarQube
    (b"tfp_", Word, 40, ANY),             // Typeform
    (b"tskey-", Mixed, 20, ANY),          // Tailscale
    (b"whsec_", Base64, 16, ANY),         // webhook signing secrets, ours among them
    (b"xai-", Mixed, 40, ANY),            // xAI
    (b"xapp-", Mixed, 20, ANY),           // Slack, app
    (b"xkeysib-", Word, 64, ANY),         // Brevo
    (b"xoxa-", Word, 10, ANY),            // Slack
    (b"xoxb-", Word, 10, ANY),            // Slack, bot
    (b"xoxe-", Word, 10, ANY),            // Slack, rotation
    (b"xoxe.xoxp-", Word, 10, ANY),       // Slack, rotation
    (b"xoxp-", Word, 10, ANY),            // Slack, user
    (b"xoxr-", Word, 10, ANY),            // Slack, refresh
    (b"xoxs-", Word, 10, ANY),            // Slack, session
];

/// A glance at what stands where a token would begin, and before it, and where Mailchimp's go on:
/// most long words end here.
#[inline]
pub(crate) fn may_start(text: &[u8], start: usize) -> bool {
    let (first, second) = (at(text, start), at(text, start + 1));
    let beside = match before(text, start) {
        b':' => (first, second) == (b'A', b'A'),
        mark => matches!(mark, b'.' | b'/' | b'~' | b'\\' | b'%'),
    };
    beside
        || starts_format(first, second, at(text, start + 2))
        || matches!((first, second), (b'e', b'y') | (b'M' | b'N' | b'O', _))
        || at(text, start + MAILCHIMP) == b'-'
}

/// The token that starts at `start`: at the start of a run of word bytes, or behind a `-` or `_` in
/// one. `may_start` says no to none.
pub(crate) fn starting(text: &[u8], start: usize) -> Option<Span> {
    let beside = match before(text, start) {
        b'.' => after_dot(text, start),
        b'/' => webhook(text, start),
        b'~' => azure(text, start),
        b':' => telegram(text, start),
        // The run may begin with what is left of an escape.
        b'\\' | b'%' => known(text, start + escaped_length(text, start)),
        _ => None,
    };
    beside.or_else(|| known(text, start))
}

/// A token of a known form that starts exactly here.
fn known(text: &[u8], start: usize) -> Option<Span> {
    match at(text, start) {
        b'e' => jwt(text, start).or_else(|| mailchimp(text, start)),
        first => prefixed(text, start, first)
            .or_else(|| discord(text, start))
            .or_else(|| mailchimp(text, start)),
    }
}

/// How many of the bytes at a position belong to an escape whose mark is before them: `\n`,
/// `\u003d`, `%3D`.
fn escaped_length(text: &[u8], start: usize) -> usize {
    let mark = start.wrapping_sub(1);
    match before(text, start) {
        b'\\' if super::bytes::unicode_at(text, mark).is_some() => 5,
        b'\\' => usize::from(super::bytes::is_escape(at(text, start))),
        b'%' if super::bytes::percent_at(text, mark).is_some() => 2,
        _ => 0,
    }
}

fn is_run(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// A token of a provider that starts exactly here.
#[inline]
fn prefixed(text: &[u8], start: usize, first: u8) -> Option<Span> {
    let second = at(text, start + 1);
    if !starts_format(first, second, at(text, start + 2)) {
        return None;
    }
    let rest = from(text, start);
    let fits = |format: &&Format| {
        let (prefix, ..) = format;
        prefix.first() == Some(&first) && prefix.get(1) == Some(&second) && rest.starts_with(prefix)
    };
    FORMATS
        .iter()
        .filter(fits)
        .find_map(|(prefix, body, fewest, most)| {
            let from = start + prefix.len();
            let near = text.get(..text.len().min(from + MAX_BODY))?;
            let length = run(near, from, |byte| is_body(*body, byte));
            let value = text.get(from..from + length)?;
            let whole = length == MAX_BODY || !at(text, from + length).is_ascii_alphanumeric();
            let right = (*fewest..=*most).contains(&length) && whole && looks_made(*body, value);
            right.then(|| Span::new(Class::Secret, start, from + length))
        })
}

/// A glance at the first three bytes: most words end here.
#[inline]
fn starts_format(first: u8, second: u8, third: u8) -> bool {
    let place = usize::from(first & 0x1f);
    let has = |letters: &[u32; 32], byte: u8| {
        letters.get(place).copied().unwrap_or(0) & 1 << (byte & 0x1f) != 0
    };
    first.is_ascii_alphabetic() && has(&SECONDS, second) && has(&THIRDS, third)
}

/// The second and the third bytes of the formats (in any case), by their first.
static SECONDS: [u32; 32] = letters(1);
static THIRDS: [u32; 32] = letters(2);

/// The bytes at a place of the formats, by their first; all of them where a prefix ends before it.
const fn letters(place: usize) -> [u32; 32] {
    let mut letters = [0; 32];
    let mut index = 0;
    #[expect(clippy::indexing_slicing, reason = "checked when compiled")]
    while index < FORMATS.len() {
        let prefix = FORMATS[index].0;
        letters[(prefix[0] & 0x1f) as usize] |= if place < prefix.len() {
            1 << (prefix[place] & 0x1f)
        } else {
            u32::MAX
        };
        index += 1;
    }
    letters
}

fn is_body(body: Body, byte: u8) -> bool {
    match body {
        Alnum => byte.is_ascii_alphanumeric(),
        Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        Word | Mixed => is_run(byte),
        Base64 => is_run(byte) || matches!(byte, b'+' | b'/' | b'='),
    }
}

/// A name in words, such as `sk-circle-fade-dot-container`, has no long part with digits in it.
fn looks_made(body: Body, value: &[u8]) -> bool {
    match body {
        Mixed => value.split(|byte| matches!(byte, b'-' | b'_')).any(|part| {
            part.len() >= 8
                && part.iter().any(u8::is_ascii_digit)
                && part.iter().any(u8::is_ascii_alphabetic)
        }),
        Alnum | Upper | Hex | Word | Base64 => true,
    }
}

/// Formats whose short prefix ends in a dot: the run before the dot is the prefix.
fn after_dot(text: &[u8], start: usize) -> Option<Span> {
    let dot = start - 1;
    let prefix = super::bytes::run_before(text, dot, is_run);
    let prefix = prefix - escaped_length(text, dot - prefix).min(prefix);
    let first = run(text, start, is_run);
    let end = match text.get(dot - prefix..dot)? {
        // SendGrid: 22 and 43 bytes.
        b"SG" if at(text, start + first) == b'.' => {
            start + first + 1 + run(text, start + first + 1, is_run)
        }
        // Vault service and batch tokens, Google OAuth access tokens.
        b"hvs" | b"hvb" | b"ya29" if first >= 20 => start + first,
        // Airtable: an id of 14 letters and digits, and a key.
        id if first == 64 && id.len() == 17 && id.starts_with(b"pat") => start + first,
        b"pt" | b"st" | b"ct" | b"sa" | b"scim" | b"audit" if first >= 40 => {
            let doppler = ends_ci(text, dot - prefix, b"dp.");
            return doppler.then(|| Span::new(Class::Secret, dot - prefix - 3, start + first));
        }
        // Terraform: an id of 14 letters and digits before the word.
        b"atlasv1" if first >= 60 && before(text, dot - prefix) == b'.' => {
            let word = dot - prefix - 1;
            let id = super::bytes::run_before(text, word, |byte| byte.is_ascii_alphanumeric());
            let id = id - escaped_length(text, word - id).min(id);
            return (id == 14).then(|| Span::new(Class::Secret, word - id, start + first));
        }
        _ => return None,
    };
    Some(Span::new(Class::Secret, dot - prefix, end))
}

/// Paths of addresses that are as good as a password, with the length of their last part.
const WEBHOOKS: &[(&[u8], usize)] = &[
    (b"hooks.slack.com/services/", 24),
    (b"discord.com/api/webhooks/", 68),
    (b"discordapp.com/api/webhooks/", 68),
];
/// How far before its last part such an address begins.
const MAX_WEBHOOK: usize = 64;

/// The last part of a webhook's address, behind the slash before `start`.
fn webhook(text: &[u8], start: usize) -> Option<Span> {
    let length = run(text, start, is_run);
    let near = text.get(start.saturating_sub(MAX_WEBHOOK)..start)?;
    let of_hook = |(path, known): &&(&[u8], usize)| {
        *known == length && near.windows(path.len()).any(|part| part == *path)
    };
    WEBHOOKS.iter().find(of_hook)?;
    Some(Span::new(Class::Secret, start, start + length))
}

/// A client secret of Azure AD: three characters, a digit and `Q~`, and 31 or more.
fn azure(text: &[u8], start: usize) -> Option<Span> {
    let head = start.checked_sub(6)?;
    let shaped = at(text, start - 2) == b'Q' && at(text, start - 3).is_ascii_digit();
    let part = |byte: u8| is_run(byte) || matches!(byte, b'~' | b'.');
    let body = run(text, start, part);
    let right = shaped
        && (31..=40).contains(&body)
        && run(text, head, part) == body + 6
        && !part(super::bytes::seen_before(text, head));
    right.then(|| Span::new(Class::Secret, head, start + body))
}

/// A bot's token of Discord: its id in base64, a time and a signature.
fn discord(text: &[u8], start: usize) -> Option<Span> {
    if !matches!(at(text, start), b'M' | b'N' | b'O') {
        return None;
    }
    let id = run(text, start, is_run);
    let time = run(text, start + id + 1, is_run);
    let rest = start + id + time + 2;
    let signature = run(text, rest, is_run);
    let dots = at(text, start + id) == b'.' && at(text, rest - 1) == b'.';
    let right = dots && (23..=28).contains(&id) && time == 6 && (27..=45).contains(&signature);
    right.then(|| Span::new(Class::Secret, start, rest + signature))
}

/// The hex digits of a key of Mailchimp.
const MAILCHIMP: usize = 32;

/// A key of Mailchimp: its digits and the data centre.
fn mailchimp(text: &[u8], start: usize) -> Option<Span> {
    let hex = start + MAILCHIMP;
    if at(text, hex) != b'-' || !from(text, hex).starts_with(b"-us") {
        return None;
    }
    let digits = run(text, hex + 3, |byte| byte.is_ascii_digit());
    let right = (1..=2).contains(&digits)
        && run(text, start, |byte| is_body(Hex, byte)) == MAILCHIMP
        && !at(text, hex + 3 + digits).is_ascii_alphanumeric();
    right.then(|| Span::new(Class::Secret, start, hex + 3 + digits))
}

/// A Telegram bot's number and key: `110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw-`.
fn telegram(text: &[u8], start: usize) -> Option<Span> {
    let digits = || super::bytes::run_before(text, start - 1, |byte| byte.is_ascii_digit());
    let shaped = before(text, start) == b':'
        && from(text, start).starts_with(b"AA")
        && run(text, start, is_run) == 35
        && (8..=10).contains(&digits());
    shaped.then(|| Span::new(Class::Secret, start - 1 - digits(), start + 35))
}

/// Three parts of base64url with dots between, the first an object (`eyJ` is `{"`). An encrypted
/// token has five, of which the second may be empty; one without a signature ends in its dot.
fn jwt(text: &[u8], start: usize) -> Option<Span> {
    if !from(text, start).starts_with(b"eyJ") {
        return None;
    }
    let part = |position: usize| run(text, position, is_run);
    let near = text.get(..text.len().min(start + MAX_BODY))?;
    let header_end = start + run(near, start, is_run);
    if header_end - start < 10 || at(text, header_end) != b'.' {
        return None;
    }
    let mut end = header_end;
    let mut lengths = [0; 4];
    for length in &mut lengths {
        if at(text, end) != b'.' {
            break;
        }
        *length = part(end + 1);
        end += 1 + *length;
    }
    let [payload, signature, ..] = lengths;
    let signed = payload >= 2 && at(text, header_end + 1 + payload) == b'.';
    let encrypted = payload == 0 && signature >= 10;
    if !signed && !encrypted {
        return None;
    }
    // Dots behind the last part end the sentence, not the token, but for the one it needs.
    let least = header_end + payload + 2;
    while end > least && before(text, end) == b'.' {
        end -= 1;
    }
    Some(Span::new(Class::Jwt, start, end))
}

/// The credentials after `Bearer` or `Basic`, whose `b` is at `start`.
#[inline]
pub(crate) fn scheme(text: &[u8], start: usize) -> Option<Span> {
    if at(text, start) | 0x20 != b'b' || !matches!(at(text, start + 1) | 0x20, b'e' | b'a') {
        return None;
    }
    credentials(text, start)
}

fn credentials(text: &[u8], start: usize) -> Option<Span> {
    let from = start
        + [&b"bearer"[..], b"basic"]
            .iter()
            .find(|word| super::bytes::starts_ci(text, start, word))?
            .len();
    let basic = from - start == 5;
    let space = match at(text, from) {
        b' ' => run(text, from, |byte| byte == b' '),
        b'+' => 1,
        b'%' if ends_ci(text, from + 3, b"%20") => 3,
        _ => return None,
    };
    let value_start = from + space;
    let length = run(text, value_start, |byte| {
        is_run(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
    });
    let value = text.get(value_start..value_start + length)?;
    let value = value.trim_ascii_end();
    let trimmed = value.len() - value.iter().rev().take_while(|byte| **byte == b'.').count();
    let value = value.get(..trimmed)?;
    let secret = value.len() >= 8
        && if basic {
            hides_colon(value)
        } else {
            looks_secret(value)
        };
    let masked = at(text, value_start + length) == b'*';
    (secret && !masked).then(|| Span::new(Class::Secret, value_start, value_start + trimmed))
}

/// No word of a language: digits or capitals inside, or too long.
pub(crate) fn looks_secret(value: &[u8]) -> bool {
    let inside = value.get(1..).unwrap_or_default();
    let capital = inside.iter().any(u8::is_ascii_uppercase);
    let small = value.iter().any(u8::is_ascii_lowercase);
    value.iter().any(u8::is_ascii_digit) || capital && small || value.len() >= 24
}

/// Whether the base64 text holds `user:password`.
fn hides_colon(value: &[u8]) -> bool {
    let mut bits = 0u32;
    let mut held = 0;
    let mut colon = false;
    for byte in value {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => return false,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            let decoded = (bits >> held) & 0xff;
            if decoded < 0x20 {
                return false;
            }
            colon |= decoded == u32::from(b':');
        }
    }
    colon
}

/// A private key block that starts with the dashes at `start`, to its end or that of the text.
pub(crate) fn private_key(text: &str, start: usize) -> Option<Span> {
    const BEGIN: &str = "-----BEGIN ";
    /// The longest label is `ENCRYPTED PRIVATE KEY`, with room for others.
    const MAX_LABEL: usize = 40;
    let label = text.get(start..)?.strip_prefix(BEGIN)?;
    let (label, body) = label.split_once("-----")?;
    if label.len() > MAX_LABEL || !label.contains("PRIVATE KEY") {
        return None;
    }
    let body_start = text.len() - body.len();
    let footer = body.find("-----END ").and_then(|end| {
        let rest = body.get(end + 9..)?;
        Some(body_start + end + 9 + rest.find("-----")? + 5)
    });
    Some(Span::new(
        Class::Secret,
        start,
        footer.unwrap_or(text.len()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_glance_misses_no_format() {
        let more: [&[u8]; 4] = [b"eyJhbGci", b"MTk4NjIy", b"NzYyNTM5", b"ODg0MzQy"];
        let prefixes = FORMATS.iter().map(|(prefix, ..)| *prefix);
        for prefix in prefixes.chain(more) {
            let text = [prefix, b"0123456789abcdef"].concat();
            assert!(may_start(&text, 0), "{}", String::from_utf8_lossy(&text));
        }
        assert!(may_start(b"110201543:AAHdqTcvCH1vGWJx", 10));
        assert!(may_start(b"0123456789abcdef0123456789abcdef-us12", 0));
        for word in ["0123456789abcdef0123456789abcdef", "responsibilities"] {
            assert!(!may_start(word.as_bytes(), 0), "{word}");
        }
    }
}
