//! Every setting of every service, in one table: name, default, meaning, who reads it.
//!
//! Services read their settings through [`Settings`], which refuses unknown `MILLRACE_…` names, so
//! that a misspelt setting is an error and not a surprise. `docs/configuration.md` is generated
//! from this table. Nothing here reads the environment: the caller passes it in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// Who reads a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// All three services and the tools.
    All,
    /// The gateway.
    Gateway,
    /// The worker.
    Worker,
    /// The query API.
    Query,
    /// Only devstack, the tests and the tools.
    Tools,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name of the environment variable.
    pub name: &'static str,
    /// The value when it is not set; `None` when it must be.
    pub default: Option<&'static str>,
    /// Who reads it.
    pub reader: Reader,
    /// Whether its value must never be printed.
    pub secret: bool,
    /// What it is, with its unit.
    pub help: &'static str,
}

const fn setting(
    name: &'static str,
    default: Option<&'static str>,
    reader: Reader,
    help: &'static str,
) -> Setting {
    Setting {
        name,
        default,
        reader,
        secret: false,
        help,
    }
}

const fn secret(
    name: &'static str,
    default: Option<&'static str>,
    reader: Reader,
    help: &'static str,
) -> Setting {
    Setting {
        name,
        default,
        reader,
        secret: true,
        help,
    }
}

/// All settings, in the order of the generated page.
pub const SETTINGS: &[Setting] = &[
    setting(
        "MILLRACE_PROFILE",
        Some("production"),
        Reader::All,
        "`production` or `development`. Development permits plain-text addresses and demo credentials.",
    ),
    secret(
        "MILLRACE_REDIS_URL",
        None,
        Reader::All,
        "Redis, as `redis://[user:password@]host:port[/db]` (`rediss://` for TLS).",
    ),
    secret(
        "MILLRACE_CLICKHOUSE_URL",
        None,
        Reader::All,
        "ClickHouse's HTTP interface, as `http://[user:password@]host:port/?database=millrace` (`https://` for TLS).",
    ),
    secret(
        "MILLRACE_POSTGRES_URL",
        None,
        Reader::All,
        "PostgreSQL with TimescaleDB, as `postgres://user:password@host:port/millrace` (`?sslmode=require` for TLS, verified).",
    ),
    secret(
        "MILLRACE_MASTER_KEY",
        Some(""),
        Reader::All,
        "64 hexadecimal digits that seal the ingest secrets, the addresses of notification channels and the credentials of feeds (`openssl rand -hex 32`). This or `MILLRACE_MASTER_KEY_FILE`.",
    ),
    setting(
        "MILLRACE_MASTER_KEY_FILE",
        Some(""),
        Reader::All,
        "A file with the master key.",
    ),
    setting(
        "MILLRACE_PLAIN_TEXT_HOSTS",
        Some(""),
        Reader::All,
        "Store hosts (comma-separated) that production may reach without TLS, because the network between is private.",
    ),
    setting(
        "MILLRACE_TLS_CA_FILE",
        Some(""),
        Reader::All,
        "Root certificates (PEM) that are trusted besides the system's when a store, a webhook or a mail server is reached by TLS.",
    ),
    setting(
        "MILLRACE_OUTGOING_NETWORKS",
        Some(""),
        Reader::All,
        "Networks (CIDR, comma-separated) of the installation that webhooks, mail and feeds may reach, in plain text, on any port and under local names too.",
    ),
    setting(
        "MILLRACE_LOG",
        Some("info"),
        Reader::All,
        "Log filter, as `level` or `target=level,…`.",
    ),
    setting(
        "MILLRACE_LOG_FORMAT",
        Some("json"),
        Reader::All,
        "`json` or `text`.",
    ),
    setting(
        "MILLRACE_SELF_URL",
        Some(""),
        Reader::All,
        "Gateway to which the service sends its own logs, metrics and spans; empty to send none.",
    ),
    setting(
        "MILLRACE_SELF_KEY_ID",
        Some(""),
        Reader::All,
        "Ingest key id for the service's own telemetry.",
    ),
    secret(
        "MILLRACE_SELF_SECRET",
        Some(""),
        Reader::All,
        "Secret of that key.",
    ),
    setting(
        "MILLRACE_GATEWAY_LISTEN",
        Some("0.0.0.0:8080"),
        Reader::Gateway,
        "Public address of the gateway.",
    ),
    setting(
        "MILLRACE_GATEWAY_ADMIN_LISTEN",
        Some("127.0.0.1:9180"),
        Reader::Gateway,
        "Address of the gateway's `/metrics`, `/healthz` and `/readyz`.",
    ),
    setting(
        "MILLRACE_GATEWAY_THREADS",
        Some("0"),
        Reader::Gateway,
        "Worker threads; 0 for one a core.",
    ),
    setting(
        "MILLRACE_WIRE_BYTES_MAX",
        Some("1048576"),
        Reader::Gateway,
        "Largest body on the wire, bytes, up to 8388608.",
    ),
    setting(
        "MILLRACE_TRUSTED_PROXIES",
        Some(""),
        Reader::Gateway,
        "Networks (CIDR, comma-separated) whose `X-Forwarded-For` counts.",
    ),
    setting(
        "MILLRACE_IDEMPOTENCY_S",
        Some("3600"),
        Reader::Gateway,
        "Seconds for which an idempotency key is remembered.",
    ),
    setting(
        "MILLRACE_ADDRESS_REQUESTS_PER_MINUTE",
        Some("1000"),
        Reader::Gateway,
        "Requests a minute from one address; 0 for no limit.",
    ),
    setting(
        "MILLRACE_STREAM_BYTES_MAX",
        Some("1073741824"),
        Reader::Gateway,
        "Redis memory, bytes, above which the gateway answers 503.",
    ),
    setting(
        "MILLRACE_REDIS_REPLICAS",
        Some("0"),
        Reader::Gateway,
        "Redis replicas that must have a batch on disk (WAITAOF) before it is answered with 2xx.",
    ),
    setting(
        "MILLRACE_IN_FLIGHT_BYTES_MAX",
        Some("134217728"),
        Reader::Gateway,
        "Bytes of request bodies held at once, above which the gateway answers 503.",
    ),
    setting(
        "MILLRACE_IN_FLIGHT_REQUESTS_MAX",
        Some("512"),
        Reader::Gateway,
        "Requests worked on at once (those still arriving are not counted), above which the gateway answers 503.",
    ),
    setting(
        "MILLRACE_BACKLOG_S",
        Some("10"),
        Reader::Gateway,
        "Seconds that an accepted batch may wait for a worker that is behind; beyond it organisations are held to their share of the workers' pace (503). 0 for no limit but `MILLRACE_STREAM_BYTES_MAX`.",
    ),
    setting(
        "MILLRACE_HEADER_TIMEOUT_S",
        Some("5"),
        Reader::Gateway,
        "Seconds within which a request's headers must arrive.",
    ),
    setting(
        "MILLRACE_BODY_TIMEOUT_S",
        Some("10"),
        Reader::Gateway,
        "Seconds within which a request's whole body must arrive.",
    ),
    setting(
        "MILLRACE_KEY_CACHE_S",
        Some("30"),
        Reader::Gateway,
        "Seconds for which an ingest key is cached; at most 60, which bounds revocation.",
    ),
    setting(
        "MILLRACE_WORKER_ADMIN_LISTEN",
        Some("127.0.0.1:9181"),
        Reader::Worker,
        "Address of the worker's `/metrics`, `/healthz` and `/readyz`.",
    ),
    setting(
        "MILLRACE_WORKER_NAME",
        Some(""),
        Reader::Worker,
        "Name of the worker in leases; made up when empty.",
    ),
    setting(
        "MILLRACE_WORKER_SIGNALS",
        Some("logs,metrics,traces,rum,audit"),
        Reader::Worker,
        "Signals whose shards the worker takes.",
    ),
    setting(
        "MILLRACE_WORKER_THREADS",
        Some("0"),
        Reader::Worker,
        "Threads; 0 for one a core.",
    ),
    setting(
        "MILLRACE_LEASE_S",
        Some("15"),
        Reader::Worker,
        "Seconds for which a shard's lease holds; renewed every fifth of it.",
    ),
    setting(
        "MILLRACE_BATCH_AGE_MS",
        Some("1000"),
        Reader::Worker,
        "Milliseconds that an entry waits for its batch to fill.",
    ),
    setting(
        "MILLRACE_BATCH_ROWS",
        Some("50000"),
        Reader::Worker,
        "Rows of a batch, at most 50000.",
    ),
    setting(
        "MILLRACE_WORKER_BATCH_MEMORY",
        Some("268435456"),
        Reader::Worker,
        "Bytes that all batches in work may take together, inflated and as rows.",
    ),
    setting(
        "MILLRACE_INSERT_TIMEOUT_S",
        Some("60"),
        Reader::Worker,
        "Seconds after which the outcome of an insert into ClickHouse counts as unknown and is looked up.",
    ),
    setting(
        "MILLRACE_AUDIT_DELAY_S",
        Some("30"),
        Reader::Worker,
        "Seconds between a batch's commit and the audit after which it may be trimmed.",
    ),
    setting(
        "MILLRACE_DEAD_LETTER_DAYS",
        Some("30"),
        Reader::Worker,
        "Days after which a dead letter expires and its raw contents are erased; an organisation's own `dead_letter_days` goes before.",
    ),
    setting(
        "MILLRACE_ESCALATION_S",
        Some("3600"),
        Reader::Worker,
        "Seconds after which an open alert that nobody has acknowledged is escalated, 0 for never; an organisation's own `escalation_minutes` goes before.",
    ),
    setting(
        "MILLRACE_NOTIFY_TIMEOUT_S",
        Some("15"),
        Reader::Worker,
        "Seconds that sending one notification may take.",
    ),
    setting(
        "MILLRACE_NOTIFY_RETRY_S",
        Some("5"),
        Reader::Worker,
        "Seconds before a notification is tried again for the first time; the pause doubles from then on, up to 15 minutes.",
    ),
    setting(
        "MILLRACE_NOTIFY_GIVE_UP_S",
        Some("86400"),
        Reader::Worker,
        "Seconds after which a notification that could not be delivered is dead.",
    ),
    setting(
        "MILLRACE_ALERT_URL",
        Some(""),
        Reader::Worker,
        "Address of an alert in your user interface, with `{id}` for its id; linked from notifications.",
    ),
    setting(
        "MILLRACE_INDICATORS_DIR",
        Some(""),
        Reader::Worker,
        "Directory of indicator files (`*.csv`, `*.hosts`, and `*.txt` and `*.json` in whichever format their content tells), read at start and when they change.",
    ),
    setting(
        "MILLRACE_GEOIP_DATABASE",
        Some(""),
        Reader::Worker,
        "A MaxMind-format city or country database.",
    ),
    setting(
        "MILLRACE_IOC_MODE",
        Some("decayed"),
        Reader::Worker,
        "How indicator matches are scored: `decayed` or `classic`.",
    ),
    setting(
        "MILLRACE_SERIES_MAX",
        Some("1000000"),
        Reader::Worker,
        "Metric series an organisation may have.",
    ),
    setting(
        "MILLRACE_RETRO_HUNT_DAYS",
        Some("30"),
        Reader::Worker,
        "Days of stored history that are searched when a feed brings new indicators; 0 for none.",
    ),
    setting(
        "MILLRACE_RETRO_HUNT_ROWS_PER_S",
        Some("50000"),
        Reader::Worker,
        "Stored events looked at in a second for new indicators.",
    ),
    setting(
        "MILLRACE_QUERY_LISTEN",
        Some("0.0.0.0:8081"),
        Reader::Query,
        "Public address of the query API.",
    ),
    setting(
        "MILLRACE_QUERY_ADMIN_LISTEN",
        Some("127.0.0.1:9182"),
        Reader::Query,
        "Address of the query API's `/metrics`, `/healthz` and `/readyz`.",
    ),
    setting(
        "MILLRACE_QUERY_THREADS",
        Some("0"),
        Reader::Query,
        "Worker threads; 0 for one a core.",
    ),
    setting(
        "MILLRACE_QUERY_TIMEOUT_S",
        Some("30"),
        Reader::Query,
        "Seconds a query may take.",
    ),
    setting(
        "MILLRACE_QUERY_ROWS_READ_MAX",
        Some("2000000000"),
        Reader::Query,
        "Rows one query may read.",
    ),
    setting(
        "MILLRACE_QUERY_MEMORY_MAX",
        Some("2147483648"),
        Reader::Query,
        "Bytes of memory one query may take in ClickHouse.",
    ),
    setting(
        "MILLRACE_QUERY_CONCURRENCY",
        Some("8"),
        Reader::Query,
        "Queries of one organisation at a time.",
    ),
    setting(
        "MILLRACE_ENGINES_DIR",
        Some(""),
        Reader::Tools,
        "Where devstack installs the engines; `~/.cache/millrace/engines` when empty.",
    ),
    setting(
        "MILLRACE_DEBIAN_MIRROR",
        Some(""),
        Reader::Tools,
        "Debian mirror from which devstack installs the engines; the machine's own when empty.",
    ),
    setting(
        "MILLRACE_FAIL_POINT",
        Some(""),
        Reader::Tools,
        "Development builds only: the fail point at which a gateway or worker ends itself, as `name` or `name:N` for its N-th passing.",
    ),
    setting(
        "MILLRACE_SAMPLES_DIR",
        Some(""),
        Reader::Tools,
        "Folder of public samples for optional tests.",
    ),
];

/// What is wrong with the settings; names the setting and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// A name that no service knows.
    #[error("unknown setting {0}: see docs/configuration.md for the names there are")]
    Unknown(String),
    /// A setting without a default that is not set.
    #[error("{0} must be set: {1}")]
    Missing(&'static str, &'static str),
    /// A value that cannot be used.
    #[error("{name} {problem}")]
    Unusable {
        /// The setting.
        name: &'static str,
        /// What is wrong and how to put it right. Never repeats a secret.
        problem: String,
    },
}

/// The settings as given, checked for unknown names.
#[derive(Clone)]
pub struct Settings {
    given: BTreeMap<String, String>,
}

impl Settings {
    /// Takes those variables whose names begin with `MILLRACE_`.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`] for a name that is not in the table.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let given: BTreeMap<_, _> = vars
            .into_iter()
            .filter(|(name, _)| name.starts_with("MILLRACE_"))
            .collect();
        match given.keys().find(|name| find(name).is_none()) {
            Some(unknown) => Err(SettingsError::Unknown(unknown.clone())),
            None => Ok(Settings { given }),
        }
    }

    /// The value of a setting, or its default.
    ///
    /// # Errors
    /// [`SettingsError::Missing`] when it has neither.
    pub fn text(&self, name: &'static str) -> Result<&str, SettingsError> {
        if let Some(value) = self.given.get(name) {
            return Ok(value);
        }
        let setting = find(name).ok_or_else(|| SettingsError::Unknown(name.to_owned()))?;
        setting
            .default
            .ok_or(SettingsError::Missing(name, setting.help))
    }

    /// The value of a setting, read as a `T`.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    pub fn get<T: FromStr>(&self, name: &'static str) -> Result<T, SettingsError>
    where
        T::Err: std::fmt::Display,
    {
        self.text(name)?
            .trim()
            .parse()
            .map_err(|error| unusable(name, format!("cannot be read: {error}")))
    }

    /// A whole number within a range.
    ///
    /// # Errors
    /// When it is missing, no number, or out of range.
    pub fn within(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, SettingsError> {
        let value: u64 = self.get(name)?;
        if range.contains(&value) {
            return Ok(value);
        }
        Err(unusable(
            name,
            format!("must lie between {} and {}", range.start(), range.end()),
        ))
    }

    /// A whole number of seconds within a range.
    ///
    /// # Errors
    /// As [`within`](Self::within).
    pub fn seconds(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Duration, SettingsError> {
        self.within(name, range).map(Duration::from_secs)
    }

    /// The non-empty parts of a comma-separated list.
    ///
    /// # Errors
    /// When it is missing.
    pub fn list(&self, name: &'static str) -> Result<Vec<&str>, SettingsError> {
        Ok(self
            .text(name)?
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect())
    }

    /// Whether the development profile is on.
    ///
    /// # Errors
    /// When the profile is neither of the two.
    pub fn development(&self) -> Result<bool, SettingsError> {
        match self.text("MILLRACE_PROFILE")? {
            "production" => Ok(false),
            "development" => Ok(true),
            _ => Err(unusable(
                "MILLRACE_PROFILE",
                "must be `production` or `development`".to_owned(),
            )),
        }
    }
}

fn unusable(name: &'static str, problem: String) -> SettingsError {
    SettingsError::Unusable { name, problem }
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\n<!-- Generated from shared/src/settings.rs; `make docs` writes it anew. -->\n\n\
         Every setting is an environment variable. Unknown `MILLRACE_…` names are refused at start.\n\n\
         | setting | default | read by | meaning |\n|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let default = match setting.default {
            None => "required".to_owned(),
            Some("") => "–".to_owned(),
            Some(value) => format!("`{value}`"),
        };
        let reader = match setting.reader {
            Reader::All => "all",
            Reader::Gateway => "ingest-gateway",
            Reader::Worker => "normalizer-worker",
            Reader::Query => "query-api",
            Reader::Tools => "tools",
        };
        let secret = if setting.secret { " Secret." } else { "" };
        let _ = writeln!(
            page,
            "| `{}` | {default} | {reader} | {}{secret} |",
            setting.name, setting.help
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_vars(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
    }

    #[test]
    fn a_misspelt_name_is_refused_and_others_are_left_alone() {
        let error = settings(&[("MILLRACE_REDIS_ULR", "x"), ("PATH", "/bin")])
            .err()
            .unwrap();
        assert_eq!(
            error,
            SettingsError::Unknown("MILLRACE_REDIS_ULR".to_owned())
        );
        assert!(settings(&[("PATH", "/bin")]).is_ok());
    }

    #[test]
    fn values_are_read_defaulted_and_bounded() {
        let settings = settings(&[
            ("MILLRACE_LEASE_S", "99999"),
            ("MILLRACE_TRUSTED_PROXIES", " a ,,b"),
        ])
        .unwrap();
        assert_eq!(
            settings.within("MILLRACE_BATCH_AGE_MS", 1..=10_000),
            Ok(1000)
        );
        assert_eq!(
            settings.list("MILLRACE_TRUSTED_PROXIES").unwrap(),
            ["a", "b"]
        );
        let error = settings.seconds("MILLRACE_LEASE_S", 1..=600).unwrap_err();
        assert_eq!(
            error.to_string(),
            "MILLRACE_LEASE_S must lie between 1 and 600"
        );
        assert!(matches!(
            settings.text("MILLRACE_REDIS_URL"),
            Err(SettingsError::Missing(..))
        ));
    }
}
