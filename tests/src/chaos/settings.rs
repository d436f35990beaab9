//! What a campaign is told, by the environment: `SEED`, `DURATION`, `FAULTS`, `KILLS`, `RATE`,
//! `ROUND`, and `COMMIT` for the report.

use super::fault::Kind;
use millrace_runtime::probe::Place;
use std::collections::BTreeMap;
use std::time::Duration;

/// Without `DURATION`: long enough for a round of each kind or two.
const DURATION_S: u64 = 600;
/// Without `RATE`: what two cores do beside being killed.
const RATE: u64 = 300;

/// What a campaign is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The seed of every choice.
    pub seed: u64,
    /// Goes on for at least this long.
    pub duration: Duration,
    /// And for at least so many random kills.
    pub kills: u64,
    /// And for no more rounds than this.
    pub rounds_max: u32,
    /// Which faults.
    pub kinds: Vec<Kind>,
    /// Events a second.
    pub rate: u64,
    /// One round of the script alone.
    pub only: Option<u32>,
    /// Fail points of gateways.
    pub gateway_points: Vec<&'static str>,
    /// Fail points of workers.
    pub worker_points: Vec<&'static str>,
}

impl Settings {
    /// Without any wish: every fault, by chance.
    #[must_use]
    pub fn new(seed: u64) -> Settings {
        Settings {
            seed,
            duration: Duration::from_secs(DURATION_S),
            kills: 0,
            rounds_max: u32::MAX,
            kinds: Kind::ALL.to_vec(),
            rate: RATE,
            only: None,
            gateway_points: names::<ingest_gateway::probe::Step>(),
            worker_points: names::<normalizer_worker::probe::Step>(),
        }
    }

    /// As the environment says.
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub fn of_environment() -> Result<Settings, String> {
        let text = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
        let number = |name: &str| {
            let value = text(name).filter(|value| !value.is_empty());
            let read = value.map(|value| {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{name} is no number"))
            });
            read.transpose()
        };
        let seed = number("SEED")?;
        let chosen = || millrace_shared::secret::random().map(u64::from_be_bytes);
        let seed = match seed {
            Some(seed) => seed,
            None => chosen().map_err(|error| error.to_string())?,
        };
        let mut settings = Settings::new(seed);
        if let Some(seconds) = number("DURATION")? {
            settings.duration = Duration::from_secs(seconds);
        }
        settings.kills = number("KILLS")?.unwrap_or(0);
        settings.rate = number("RATE")?.unwrap_or(RATE);
        settings.only = number("ROUND")?.and_then(|round| u32::try_from(round).ok());
        if let Some(only) = settings.only {
            settings.rounds_max = only.saturating_add(1);
        }
        if let Some(names) = text("FAULTS").filter(|names| !names.is_empty()) {
            let kinds = names.split(',').map(|name| {
                Kind::named(name.trim())
                    .ok_or_else(|| format!("FAULTS names `{name}`, which is none of {}", all()))
            });
            settings.kinds = kinds.collect::<Result<_, _>>()?;
        }
        Ok(settings)
    }

    /// Where this runs, and what.
    #[must_use]
    pub fn about(&self) -> BTreeMap<String, String> {
        let told = |program: &str, arguments: &[&str]| {
            let mut command = std::process::Command::new(program);
            command
                .args(arguments)
                .current_dir(millrace_devstack::place::workspace());
            let output = command
                .output()
                .map(|output| output.stdout)
                .unwrap_or_default();
            String::from_utf8_lossy(&output).trim().to_owned()
        };
        // Binaries that were put aside are of another commit than what lies here now.
        let commit = std::env::var_os("COMMIT").and_then(|commit| commit.into_string().ok());
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory
            .lines()
            .next()
            .and_then(|line| line.split_whitespace().nth(1));
        let memory: u64 = memory.and_then(|kb| kb.parse().ok()).unwrap_or(0);
        let machine = format!(
            "{cores} cores, {} GiB, {}",
            memory >> 20,
            told("uname", &["-sm"])
        );
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        let pairs = [
            ("machine", machine),
            (
                "commit",
                commit.unwrap_or_else(|| told("git", &["rev-parse", "--short", "HEAD"])),
            ),
            ("profile", profile.to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// How busy the machine is: the mean number of processes that would run, over 15 minutes.
#[must_use]
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').nth(2).unwrap_or("unknown").to_owned()
}

fn names<P: Place>() -> Vec<&'static str> {
    P::ALL.iter().map(|place| place.name()).collect()
}

fn all() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}
