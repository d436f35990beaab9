//! The worker's settings, read and checked once at start.

use crate::control::{Fixed, GeoDatabase};
use crate::cut::Full;
use crate::hunt::Terms;
use crate::notify;
use crate::probe::Step;
use millrace_detection::indicators::ScoreMode;
use millrace_runtime::boot::{BootError, master_key};
use millrace_runtime::outgoing::Outgoing;
use millrace_runtime::probe::Probe;
use millrace_shared::Signal;
use millrace_shared::limits::BATCH_ROWS_MAX;
use millrace_shared::settings::{Settings, SettingsError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The least memory for batches: one of the largest, twice, and another in the making.
const MEMORY_MIN: u64 = 64 * 1024 * 1024;
/// More than any machine has.
const MEMORY_MAX: u64 = 1 << 40;

/// More rows a second than any machine looks at.
const HUNT_ROWS_PER_S_MAX: u64 = 100_000_000;

/// Everything a worker is told.
pub struct Config {
    /// Redis.
    pub redis_url: String,
    /// ClickHouse.
    pub clickhouse_url: String,
    /// PostgreSQL.
    pub postgres_url: String,
    /// Its name in leases.
    pub name: String,
    /// The signals it takes.
    pub signals: Vec<Signal>,
    /// Length of a lease.
    pub lease: Duration,
    /// When a batch is full.
    pub full: Full,
    /// Bytes of all batches together.
    pub memory: usize,
    /// Time after which the outcome of an insert counts as unknown.
    pub insert_timeout: Duration,
    /// From a commit to its audit.
    pub audit_delay: Duration,
    /// Series an organisation may have.
    pub series_max: u64,
    /// Days for which the contents of dead letters are kept.
    pub letter_days: i32,
    /// Within which bounds history is searched for new indicators.
    pub hunt: Terms,
    /// Where indicator files lie.
    pub indicators_dir: Option<PathBuf>,
    /// With what notifications are sent.
    pub notify: notify::Means,
    /// What of the pure half does not depend on the control tables.
    pub fixed: Fixed,
    /// Where it ends itself, if at all.
    pub probe: Probe<Step>,
}

impl Config {
    /// Reads and checks the settings.
    ///
    /// # Errors
    /// Names the setting and the fix.
    pub fn read(settings: &Settings) -> Result<Self, BootError> {
        let size = |name, range| {
            settings
                .within(name, range)
                .map(|size| usize::try_from(size).unwrap_or(usize::MAX))
        };
        let rows = size("MILLRACE_BATCH_ROWS", 1..=BATCH_ROWS_MAX as u64)?;
        let age = settings.within("MILLRACE_BATCH_AGE_MS", 1..=60_000)?;
        Ok(Config {
            redis_url: settings.text("MILLRACE_REDIS_URL")?.to_owned(),
            clickhouse_url: settings.text("MILLRACE_CLICKHOUSE_URL")?.to_owned(),
            postgres_url: settings.text("MILLRACE_POSTGRES_URL")?.to_owned(),
            name: name(settings)?,
            signals: signals(settings)?,
            lease: settings.seconds("MILLRACE_LEASE_S", 3..=300)?,
            full: Full::new(rows, age),
            memory: size("MILLRACE_WORKER_BATCH_MEMORY", MEMORY_MIN..=MEMORY_MAX)?,
            insert_timeout: settings.seconds("MILLRACE_INSERT_TIMEOUT_S", 1..=3600)?,
            audit_delay: settings.seconds("MILLRACE_AUDIT_DELAY_S", 0..=86_400)?,
            series_max: settings.within("MILLRACE_SERIES_MAX", 1..=u64::MAX)?,
            letter_days: i32::try_from(settings.within("MILLRACE_DEAD_LETTER_DAYS", 1..=3650)?)
                .unwrap_or(i32::MAX),
            hunt: Terms {
                days: i32::try_from(settings.within("MILLRACE_RETRO_HUNT_DAYS", 0..=365)?)
                    .unwrap_or(0),
                rows_per_second: settings
                    .within("MILLRACE_RETRO_HUNT_ROWS_PER_S", 1..=HUNT_ROWS_PER_S_MAX)?,
            },
            indicators_dir: directory(settings)?,
            notify: notify::Means {
                rules: notify::Rules::read(settings)?,
                outgoing: Outgoing::from_settings(settings)?,
                master: master_key(settings)?,
            },
            fixed: Fixed {
                geo: geo(settings)?,
                ioc_mode: ioc_mode(settings)?,
            },
            probe: Probe::read(settings)?,
        })
    }
}

/// The name given, or one that no other worker has.
fn name(settings: &Settings) -> Result<String, SettingsError> {
    let given = settings.text("MILLRACE_WORKER_NAME")?.trim();
    if given.is_empty() {
        return Ok(format!("worker-{}", uuid::Uuid::now_v7().simple()));
    }
    Ok(given.to_owned())
}

fn signals(settings: &Settings) -> Result<Vec<Signal>, SettingsError> {
    let name = "MILLRACE_WORKER_SIGNALS";
    let unusable = |problem: String| SettingsError::Unusable { name, problem };
    let mut signals = Vec::new();
    for word in settings.list(name)? {
        let signal = Signal::from_name(word)
            .ok_or_else(|| unusable(format!("names `{word}`, which is no signal")))?;
        if !signals.contains(&signal) {
            signals.push(signal);
        }
    }
    if signals.is_empty() {
        return Err(unusable("must name at least one signal".to_owned()));
    }
    Ok(signals)
}

fn directory(settings: &Settings) -> Result<Option<PathBuf>, SettingsError> {
    let name = "MILLRACE_INDICATORS_DIR";
    let path = settings.text(name)?;
    if path.is_empty() {
        return Ok(None);
    }
    if !Path::new(path).is_dir() {
        let problem = "is not a directory".to_owned();
        return Err(SettingsError::Unusable { name, problem });
    }
    Ok(Some(PathBuf::from(path)))
}

fn geo(settings: &Settings) -> Result<Option<Arc<GeoDatabase>>, SettingsError> {
    let name = "MILLRACE_GEOIP_DATABASE";
    let path = settings.text(name)?;
    if path.is_empty() {
        return Ok(None);
    }
    let opened = GeoDatabase::open(Path::new(path));
    let database = opened.map_err(|error| SettingsError::Unusable {
        name,
        problem: format!("is unusable: {error}"),
    })?;
    Ok(Some(Arc::new(database)))
}

fn ioc_mode(settings: &Settings) -> Result<ScoreMode, SettingsError> {
    let name = "MILLRACE_IOC_MODE";
    match settings.text(name)? {
        "decayed" => Ok(ScoreMode::Decayed),
        "classic" => Ok(ScoreMode::Classic),
        _ => {
            let problem = "must be `decayed` or `classic`".to_owned();
            Err(SettingsError::Unusable { name, problem })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn config(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let given = [
            ("MILLRACE_MASTER_KEY", KEY),
            ("MILLRACE_REDIS_URL", "redis://127.0.0.1:1"),
            ("MILLRACE_CLICKHOUSE_URL", "http://127.0.0.1:1"),
            ("MILLRACE_POSTGRES_URL", "postgres://m@127.0.0.1:1/m"),
        ];
        let vars = given
            .iter()
            .chain(pairs)
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>();
        Config::read(&Settings::from_vars(vars).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = config(&[]).unwrap();
        assert_eq!(config.signals, Signal::ALL);
        assert_eq!(
            (config.lease.as_secs(), config.full.rows, config.full.age_ms),
            (15, 50_000, 1000)
        );
        assert!(config.name.starts_with("worker-") && config.indicators_dir.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (name, value) in [
            ("MILLRACE_WORKER_SIGNALS", "logs,cheese"),
            ("MILLRACE_WORKER_SIGNALS", ","),
            ("MILLRACE_BATCH_ROWS", "50001"),
            ("MILLRACE_LEASE_S", "1"),
            ("MILLRACE_IOC_MODE", "new"),
            ("MILLRACE_INDICATORS_DIR", "/nowhere/at/all"),
            ("MILLRACE_GEOIP_DATABASE", "/nowhere/at/all"),
            ("MILLRACE_FAIL_POINT", "prepared"),
            ("MILLRACE_MASTER_KEY", ""),
            ("MILLRACE_OUTGOING_NETWORKS", "everywhere"),
            ("MILLRACE_NOTIFY_TIMEOUT_S", "0"),
            ("MILLRACE_ALERT_URL", "https://soc.example.net/"),
        ] {
            let refused = config(&[(name, value)]).err().unwrap();
            assert!(refused.starts_with(name), "{refused}");
        }
    }
}
