//! The three services as processes: their binaries, ports, settings. Never what they do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::error::Doing;
use crate::health::ready;
use crate::ports::free_port;
use crate::process::{Running, logged, spawn, tail, until};

/// A service that opens its stores and listens; a worker first takes over what another left.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// A graceful end finishes what is in flight; after that it is killed, which loses nothing either.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// One of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// `ingest-gateway`
    Gateway,
    /// `normalizer-worker`
    Worker,
    /// `query-api`
    Query,
}

impl Service {
    /// All of them, in the order in which data meets them.
    pub const ALL: [Service; 3] = [Service::Gateway, Service::Worker, Service::Query];

    /// Its package and its binary.
    pub fn name(self) -> &'static str {
        match self {
            Service::Gateway => "ingest-gateway",
            Service::Worker => "normalizer-worker",
            Service::Query => "query-api",
        }
    }

    /// Public port, if it has one, and admin port.
    fn ports(self) -> (Option<u16>, u16) {
        match self {
            Service::Gateway => (Some(8080), 9180),
            Service::Worker => (None, 9181),
            Service::Query => (Some(8081), 9182),
        }
    }

    /// The settings that hold its public and its admin address.
    fn listen_settings(self) -> (Option<&'static str>, &'static str) {
        match self {
            Service::Gateway => (
                Some("MILLRACE_GATEWAY_LISTEN"),
                "MILLRACE_GATEWAY_ADMIN_LISTEN",
            ),
            Service::Worker => (None, "MILLRACE_WORKER_ADMIN_LISTEN"),
            Service::Query => (Some("MILLRACE_QUERY_LISTEN"), "MILLRACE_QUERY_ADMIN_LISTEN"),
        }
    }
}

/// Settings by name, as a process gets them.
pub type Settings = BTreeMap<String, String>;

/// A service and where it is, remembered between processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Placed {
    pub(crate) service: Service,
    port: Option<u16>,
    admin_port: u16,
    process: Option<Running>,
    /// What it was started with: another binary or other settings make a restart necessary.
    started_with: String,
}

impl Placed {
    /// A service that was never started.
    pub(crate) fn new(service: Service) -> Placed {
        let (port, admin_port) = service.ports();
        Placed {
            service,
            port,
            admin_port,
            process: None,
            started_with: String::new(),
        }
    }

    /// Makes sure that its ports can be had: others when strangers took them.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        if self.running() {
            return Ok(());
        }
        // The usual ports first, so that a stranger's visit does not move a service for good.
        let (usual, usual_admin) = self.service.ports();
        let free = |port| free_port(Some(port)).doing(|| "cannot find a port".to_owned());
        self.port = usual.map(free).transpose()?;
        self.admin_port = free(usual_admin)?;
        Ok(())
    }

    /// Its public address; empty for the worker.
    pub(crate) fn url(&self) -> String {
        self.port
            .map(|port| format!("http://127.0.0.1:{port}"))
            .unwrap_or_default()
    }

    /// The address of `/metrics`, `/healthz` and `/readyz`.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// Starts it in the background, unless it runs with this binary and these settings already.
    pub(crate) fn start(
        &mut self,
        settings: &Settings,
        logs: &Path,
        bins: &Path,
    ) -> Result<(), Error> {
        let binary = bins.join(self.service.name());
        let started_with = fingerprint(&binary, settings)?;
        if self.running() && started_with == self.started_with {
            return Ok(());
        }
        self.stop();
        let mut command = Command::new("setsid");
        command
            .arg(binary)
            .envs(settings)
            .envs(self.listen())
            .current_dir("/");
        let log = self.log(logs);
        logged(&mut command, &log).doing(|| format!("cannot write {}", log.display()))?;
        let child = spawn(command).doing(|| format!("cannot start {}", self.service.name()))?;
        self.process = Running::find(child.id());
        self.started_with = started_with;
        Ok(())
    }

    fn listen(&self) -> Settings {
        let (public, admin) = self.service.listen_settings();
        let mut settings = Settings::new();
        if let (Some(name), Some(port)) = (public, self.port) {
            settings.insert(name.to_owned(), format!("127.0.0.1:{port}"));
        }
        settings.insert(admin.to_owned(), format!("127.0.0.1:{}", self.admin_port));
        settings
    }

    /// Waits until it says that it is ready.
    pub(crate) fn wait(&self, logs: &Path) -> Result<(), Error> {
        let mut up = false;
        until(START_PATIENCE, || {
            up = ready(self.admin_port);
            up || !self.running()
        });
        if up && self.running() {
            return Ok(());
        }
        let why = if self.running() {
            "/readyz does not answer 200"
        } else {
            "it ended"
        };
        let log = self.log(logs);
        let what = self.service.name();
        Err(Error::Start {
            what,
            why: why.to_owned(),
            tail: tail(&log),
            log,
        })
    }

    /// True while its process is there.
    pub(crate) fn running(&self) -> bool {
        self.process.is_some_and(Running::alive)
    }

    /// Asks it to end; ends it when it does not.
    pub(crate) fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop(Signal::SIGTERM, STOP_PATIENCE);
        }
    }

    fn log(&self, logs: &Path) -> PathBuf {
        logs.join(format!("{}.log", self.service.name()))
    }
}

/// Tells a binary and its settings from others.
fn fingerprint(binary: &Path, settings: &Settings) -> Result<String, Error> {
    let about = fs::metadata(binary).doing(|| format!("no {}", binary.display()))?;
    let changed = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let text = format!("{} {changed:?} {settings:?}", about.len());
    Ok(hex::encode(Sha256::digest(text)))
}
