//! The gateway's settings, all read and checked before it listens.

use crate::probe::Step;
use ipnet::IpNet;
use millrace_runtime::boot::{self, BootError};
use millrace_runtime::probe::Probe;
use millrace_shared::limits::{WEBHOOK_TOLERANCE_S, WIRE_BYTES_MAX};
use millrace_shared::secret::MasterKey;
use millrace_shared::settings::{Settings, SettingsError};
use std::time::Duration;

/// The least sensible wire limit: one event with one large field still fits.
const WIRE_BYTES_MIN: u64 = 128 * 1024;
/// A replay must be recognised for as long as its timestamp is tolerated, early and late.
const IDEMPOTENCY_S_MIN: u64 = 2 * WEBHOOK_TOLERANCE_S.unsigned_abs();
/// Remembered answers live in Redis memory: a week of them is the most.
const IDEMPOTENCY_S_MAX: u64 = 7 * 24 * 3600;
/// Revocation takes effect within 60 s by contract.
const KEY_CACHE_S_MAX: u64 = 60;

/// More requests at once than any machine works on.
const IN_FLIGHT_REQUESTS_MAX: u64 = 1_000_000;
/// A day: beyond it the memory of the streams decides.
const BACKLOG_S_MAX: u64 = 86_400;
/// More replicas than anybody waits for.
const REPLICAS_MAX: u64 = 10;

/// What the gateway needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Redis.
    pub redis_url: String,
    /// Replicas that must have a batch on disk before it is answered.
    pub redis_replicas: u64,
    /// PostgreSQL.
    pub postgres_url: String,
    /// Opens the sealed secrets.
    pub master_key: MasterKey,
    /// Worker threads.
    pub threads: usize,
    /// Largest body on the wire.
    pub wire_bytes_max: usize,
    /// Networks whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// How long an idempotency key is remembered.
    pub idempotency: Duration,
    /// Requests a minute from one address; 0 for no limit.
    pub address_requests_per_minute: u64,
    /// Redis memory above which nothing is accepted.
    pub stream_bytes_max: u64,
    /// Bytes of request bodies held at once.
    pub in_flight_bytes_max: usize,
    /// Requests worked on at once.
    pub in_flight_requests_max: usize,
    /// Wait in the streams above which appends are held to the workers' pace; zero for never.
    pub backlog_max: Duration,
    /// Time for a request's headers.
    pub header_timeout: Duration,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// How long a key is believed without asking again.
    pub key_cache: Duration,
    /// The key under which the pipeline sends its own telemetry; empty when it sends none.
    pub self_key_id: String,
    /// Where it ends itself, if at all.
    pub probe: Probe<Step>,
}

impl Config {
    /// Reads and checks the settings.
    ///
    /// # Errors
    /// Names the setting and the fix.
    pub fn from_settings(settings: &Settings) -> Result<Self, BootError> {
        Ok(Config {
            redis_url: settings.text("MILLRACE_REDIS_URL")?.to_owned(),
            redis_replicas: settings.within("MILLRACE_REDIS_REPLICAS", 0..=REPLICAS_MAX)?,
            postgres_url: settings.text("MILLRACE_POSTGRES_URL")?.to_owned(),
            master_key: boot::master_key(settings)?,
            threads: boot::threads(settings, "MILLRACE_GATEWAY_THREADS")?,
            wire_bytes_max: size(
                settings,
                "MILLRACE_WIRE_BYTES_MAX",
                WIRE_BYTES_MIN..=WIRE_BYTES_MAX as u64,
            )?,
            trusted_proxies: trusted_proxies(settings)?,
            idempotency: settings.seconds(
                "MILLRACE_IDEMPOTENCY_S",
                IDEMPOTENCY_S_MIN..=IDEMPOTENCY_S_MAX,
            )?,
            address_requests_per_minute: settings.get("MILLRACE_ADDRESS_REQUESTS_PER_MINUTE")?,
            stream_bytes_max: settings.get("MILLRACE_STREAM_BYTES_MAX")?,
            in_flight_bytes_max: size(
                settings,
                "MILLRACE_IN_FLIGHT_BYTES_MAX",
                WIRE_BYTES_MAX as u64..=u64::MAX,
            )?,
            in_flight_requests_max: size(
                settings,
                "MILLRACE_IN_FLIGHT_REQUESTS_MAX",
                1..=IN_FLIGHT_REQUESTS_MAX,
            )?,
            backlog_max: settings.seconds("MILLRACE_BACKLOG_S", 0..=BACKLOG_S_MAX)?,
            header_timeout: settings.seconds("MILLRACE_HEADER_TIMEOUT_S", 1..=60)?,
            body_timeout: settings.seconds("MILLRACE_BODY_TIMEOUT_S", 1..=300)?,
            key_cache: settings.seconds("MILLRACE_KEY_CACHE_S", 1..=KEY_CACHE_S_MAX)?,
            self_key_id: settings.text("MILLRACE_SELF_KEY_ID")?.to_owned(),
            probe: Probe::read(settings)?,
        })
    }
}

fn size(
    settings: &Settings,
    name: &'static str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<usize, SettingsError> {
    let value = settings.within(name, range)?;
    Ok(usize::try_from(value).unwrap_or(usize::MAX))
}

fn trusted_proxies(settings: &Settings) -> Result<Vec<IpNet>, SettingsError> {
    const NAME: &str = "MILLRACE_TRUSTED_PROXIES";
    let parse = |text: &str| {
        text.parse().map_err(|_| SettingsError::Unusable {
            name: NAME,
            problem: format!("`{text}` is not a network such as 10.0.0.0/8"),
        })
    };
    settings.list(NAME)?.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn config(name: &str, value: &str) -> Result<Config, String> {
        let mut vars = std::collections::BTreeMap::from([
            ("MILLRACE_REDIS_URL", "redis://127.0.0.1"),
            ("MILLRACE_POSTGRES_URL", "postgres://127.0.0.1/millrace"),
            ("MILLRACE_MASTER_KEY", KEY),
        ]);
        vars.insert(name, value);
        let owned = vars.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        Config::from_settings(&Settings::from_vars(owned).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let config = config("MILLRACE_PROFILE", "development").unwrap();
        assert_eq!(config.wire_bytes_max, 1024 * 1024);
        assert_eq!(config.address_requests_per_minute, 1_000);
        assert_eq!(config.idempotency, Duration::from_secs(3_600));
        assert_eq!(config.header_timeout, Duration::from_secs(5));
        assert_eq!(config.body_timeout, Duration::from_secs(10));
        assert_eq!(config.backlog_max, Duration::from_secs(10));
        assert!(config.threads > 0);
    }

    #[test]
    fn what_would_break_the_contract_is_refused() {
        for (name, value) in [
            ("MILLRACE_KEY_CACHE_S", "61"),
            ("MILLRACE_WIRE_BYTES_MAX", "8388609"),
            ("MILLRACE_IDEMPOTENCY_S", "599"),
            ("MILLRACE_TRUSTED_PROXIES", "10.0.0.1/8/9"),
            ("MILLRACE_MASTER_KEY", "00"),
        ] {
            let refused = config(name, value).unwrap_err();
            assert!(refused.contains(name), "{refused}");
        }
    }
}
