//! The first seconds of a service: settings from the environment, all of them checked before
//! anything listens, logging, the panic hook and the metrics recorder. Connects once, to see whether the schema fits.

use crate::pg::{self, PgError};
use crate::shutdown::CancellationToken;
use crate::{address, metric, selftel};
use millrace_shared::secret::{MasterKey, SecretError};
use millrace_shared::settings::{Settings, SettingsError};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Why a service does not start.
#[derive(Debug, Error)]
pub enum BootError {
    /// A setting is missing, unknown or unusable.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The master key cannot be used.
    #[error("MILLRACE_MASTER_KEY: {0}")]
    MasterKey(SecretError),
    /// A file named by a setting cannot be read.
    #[error("{setting}: {error}")]
    File {
        /// The setting.
        setting: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// The stores are of another version.
    #[error(transparent)]
    Schema(PgError),
    /// No event loop.
    #[error("no event loop: {0}")]
    Runtime(std::io::Error),
    /// An address to listen on cannot be had.
    #[error("{setting} ({address}): {error}")]
    Listen {
        /// The setting.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
}

/// What a service starts from.
#[derive(Clone)]
pub struct Boot {
    /// Name of the service.
    pub service: &'static str,
    /// Its settings.
    pub settings: Settings,
    /// Where its metrics are rendered.
    pub exporter: metric::Exporter,
    telemetry: Option<selftel::SelfTelemetry>,
}

/// The whole `main` of a service: boots it, runs it, and reports why it could not go on.
pub fn main<E: std::fmt::Display>(
    service: &'static str,
    run: impl FnOnce(Boot) -> Result<(), E>,
) -> ExitCode {
    let boot = match Boot::from_environment(service) {
        Ok(boot) => boot,
        Err(error) => return refuse(service, &error),
    };
    match run(boot) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(service, &error),
    }
}

/// Says on standard error why the service does not run: there may be no logging yet.
fn refuse(service: &str, error: &impl std::fmt::Display) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{service}: {error}");
    ExitCode::FAILURE
}

impl Boot {
    /// Reads and checks the settings that all services share, and sets up logging, the panic hook
    /// and the metrics recorder.
    ///
    /// # Errors
    /// [`BootError`], naming the setting and the fix.
    pub fn from_environment(service: &'static str) -> Result<Boot, BootError> {
        let settings = Settings::from_vars(std::env::vars())?;
        settings.development()?;
        let telemetry = log(service, &settings)?;
        log_panics();
        let exporter = metric::exporter();
        metric::describe_all(selftel::ALL);
        Ok(Boot {
            service,
            settings,
            exporter,
            telemetry,
        })
    }

    /// Begins to send the service's own logs, spans and metrics through the pipeline, where the
    /// settings ask for it. Called once, within the runtime.
    pub fn send_telemetry(&self, shutdown: &CancellationToken) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.spawn(self.exporter.clone(), shutdown.clone());
        }
    }

    /// Checks the addresses of the stores that the service uses against the profile, and, where
    /// PostgreSQL answers, that the stores' tables are those this program knows. While it does not
    /// answer, readiness says so.
    ///
    /// # Errors
    /// [`BootError::Settings`], or [`BootError::Schema`].
    pub fn check_stores(&self) -> Result<(), BootError> {
        address::check_all(&self.settings)?;
        let url = self.settings.text("MILLRACE_POSTGRES_URL")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let checked = runtime
            .map_err(BootError::Runtime)?
            .block_on(pg::check_schema(url));
        match checked {
            Err(error @ PgError::Schema(_)) => Err(BootError::Schema(error)),
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the schema of the stores is not checked");
                Ok(())
            }
        }
    }

    /// The master key, from the environment or from a file.
    ///
    /// # Errors
    /// When it is missing, of the wrong length, or visibly not random.
    pub fn master_key(&self) -> Result<MasterKey, BootError> {
        master_key(&self.settings)
    }

    /// Binds the address that a setting names.
    ///
    /// # Errors
    /// When it is no address or cannot be had.
    pub fn listen(&self, setting: &'static str) -> Result<TcpListener, BootError> {
        let address: SocketAddr = self.settings.get(setting)?;
        TcpListener::bind(address).map_err(|error| BootError::Listen {
            setting,
            address,
            error,
        })
    }

    /// The number of threads that a setting asks for; 0 there means one a core.
    ///
    /// # Errors
    /// When it is no number up to 1024.
    pub fn threads(&self, setting: &'static str) -> Result<usize, BootError> {
        threads(&self.settings, setting)
    }
}

/// The number of threads that a setting asks for; 0 there means one a core.
///
/// # Errors
/// When it is no number up to 1024.
pub fn threads(settings: &Settings, setting: &'static str) -> Result<usize, BootError> {
    let asked = settings.within(setting, 0..=1024)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(usize::try_from(asked)
        .ok()
        .filter(|n| *n > 0)
        .unwrap_or(cores))
}

/// The master key that the settings name.
///
/// # Errors
/// When it is missing, of the wrong length, or visibly not random.
pub fn master_key(settings: &Settings) -> Result<MasterKey, BootError> {
    const FILE: &str = "MILLRACE_MASTER_KEY_FILE";
    let path = settings.text(FILE)?;
    let text = if path.is_empty() {
        settings.text("MILLRACE_MASTER_KEY")?.to_owned()
    } else {
        std::fs::read_to_string(path).map_err(|error| BootError::File {
            setting: FILE,
            error,
        })?
    };
    MasterKey::parse(&text).map_err(BootError::MasterKey)
}

/// Quiet where a sender could fill the log: the HTTP library logs every malformed request as an
/// error. A filter that names the target itself has the last word.
const QUIET: [&str; 2] = ["actix_http::h1::dispatcher=off", "actix_server=warn"];

fn filter(settings: &Settings) -> Result<EnvFilter, BootError> {
    const NAME: &str = "MILLRACE_LOG";
    let text = settings.text(NAME)?;
    let quiet = QUIET.iter().filter(|quiet| !text.contains(**quiet));
    let all: Vec<&str> = quiet.copied().chain([text]).collect();
    EnvFilter::try_new(all.join(",")).map_err(|error| {
        BootError::Settings(SettingsError::Unusable {
            name: NAME,
            problem: format!("cannot be read: {error}"),
        })
    })
}

/// Log lines to standard error, and, where the settings ask for it, to the pipeline.
fn log(
    service: &'static str,
    settings: &Settings,
) -> Result<Option<selftel::SelfTelemetry>, BootError> {
    let filter = filter(settings)?;
    let (capture, telemetry) = selftel::from_settings(service, settings)?.unzip();
    let registry = tracing_subscriber::registry().with(filter).with(capture);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Failing means that the process already logs somewhere, which is as good.
    let _ = match settings.text("MILLRACE_LOG_FORMAT")? {
        "json" => registry
            .with(
                lines
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_span_list(false),
            )
            .try_init(),
        "text" => registry.with(lines).try_init(),
        _ => {
            return Err(BootError::Settings(SettingsError::Unusable {
                name: "MILLRACE_LOG_FORMAT",
                problem: "must be `json` or `text`".to_owned(),
            }));
        }
    };
    Ok(telemetry)
}

/// A panic is a defect: it is logged like every other error, with its place. Its message may hold
/// data, so only literal messages are logged.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload().downcast_ref::<&str>().copied();
        tracing::error!(
            place,
            message = message.unwrap_or("(message withheld)"),
            "panic"
        );
    }));
}
