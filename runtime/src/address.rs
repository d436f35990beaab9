//! Which addresses of stores may be used. Outside the development profile nothing secret crosses a
//! network in plain text, and no store is used with a weak password.

use crate::tls;
use millrace_shared::settings::{Settings, SettingsError};
use std::net::IpAddr;
use url::Url;

/// The fewest characters of a store's password outside development: about 64 bits when random.
const PASSWORD_CHARS_MIN: usize = 12;
/// The fewest distinct characters of such a password.
const PASSWORD_DISTINCT_MIN: usize = 6;
/// Words that give a password away as one from an example.
const DEMO_WORDS: [&str; 6] = [
    "password", "changeme", "demo", "example", "secret", "millrace",
];

/// Checks the three stores' addresses.
///
/// # Errors
/// Names the setting and the fix.
pub fn check_all(settings: &Settings) -> Result<(), SettingsError> {
    for name in [
        "MILLRACE_REDIS_URL",
        "MILLRACE_CLICKHOUSE_URL",
        "MILLRACE_POSTGRES_URL",
    ] {
        check(settings, name)?;
    }
    Ok(())
}

/// Checks one store's address against the profile. For one with TLS, whom to trust is settled here
/// too, before anything connects.
///
/// # Errors
/// Names the setting and the fix; never repeats the address, which may hold a password.
pub fn check(settings: &Settings, name: &'static str) -> Result<(), SettingsError> {
    let unusable = |problem: String| Err(SettingsError::Unusable { name, problem });
    let Ok(url) = Url::parse(settings.text(name)?) else {
        return unusable("is not an address: see docs/configuration.md for its form".to_owned());
    };
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return unusable("names no host".to_owned());
    };
    if encrypted(&url) {
        tls::configure(settings)?;
    }
    if settings.development()? {
        return Ok(());
    }
    let allowed = settings.list("MILLRACE_PLAIN_TEXT_HOSTS")?;
    if !encrypted(&url) && !loopback(host) && !allowed.contains(&host) {
        return unusable(
            "is a plain-text address: use TLS (rediss://, https://, sslmode=require), or list the \
             host in MILLRACE_PLAIN_TEXT_HOSTS when the network between is private, or set \
             MILLRACE_PROFILE=development"
                .to_owned(),
        );
    }
    match weakness(url.password().unwrap_or("")) {
        Some(weakness) if !loopback(host) => unusable(format!(
            "has a password that {weakness}: make one with `openssl rand -hex 24`"
        )),
        _ => Ok(()),
    }
}

/// What is weak about a password, if anything.
#[must_use]
pub fn weakness(password: &str) -> Option<&'static str> {
    let mut distinct: Vec<char> = password.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let lower = password.to_lowercase();
    if password.is_empty() {
        Some("is empty")
    } else if password.chars().count() < PASSWORD_CHARS_MIN {
        Some("is short")
    } else if distinct.len() < PASSWORD_DISTINCT_MIN {
        Some("has no entropy")
    } else if DEMO_WORDS.iter().any(|word| lower.contains(word)) {
        Some("comes from an example")
    } else {
        None
    }
}

fn encrypted(url: &Url) -> bool {
    match url.scheme() {
        "rediss" | "https" => true,
        "postgres" | "postgresql" => url
            .query_pairs()
            .any(|(key, value)| key == "sslmode" && value == "require"),
        _ => false,
    }
}

fn loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(profile: &str, hosts: &str, name: &'static str, url: &str) -> Option<String> {
        let pairs = [
            ("MILLRACE_PROFILE", profile),
            ("MILLRACE_PLAIN_TEXT_HOSTS", hosts),
            (name, url),
        ];
        let vars = pairs.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let settings = Settings::from_vars(vars).unwrap();
        check(&settings, name).err().map(|error| error.to_string())
    }

    #[test]
    fn production_takes_no_plain_text_and_no_weak_password() {
        let (redis, pg) = ("MILLRACE_REDIS_URL", "MILLRACE_POSTGRES_URL");
        let strong = "9f86d081884c7d659a2f";
        let plain = format!("redis://:{strong}@redis.internal:6379");
        let refused = verdict("production", "", redis, &plain).unwrap();
        assert!(refused.starts_with("MILLRACE_REDIS_URL is a plain-text address"));
        assert!(!refused.contains(strong));
        assert_eq!(verdict("production", "redis.internal", redis, &plain), None);
        assert_eq!(verdict("development", "", redis, &plain), None);
        let tls = format!("postgres://m:{strong}@pg/millrace?sslmode=require");
        assert_eq!(verdict("production", "", pg, &tls), None);
        for weak in ["", "short", "aaaaaaaaaaaaaaaa", "Millrace-password-1"] {
            let url = format!("postgres://m:{weak}@pg/millrace?sslmode=require");
            let refused = verdict("production", "", pg, &url).unwrap();
            assert!(refused.contains("has a password that"), "{weak}: {refused}");
        }
        assert!(verdict("development", "", redis, "6379").is_some());
    }
}
