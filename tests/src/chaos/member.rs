//! One service of the site: it keeps its name, its ports and its proxies through all its lives.

use super::proxy::Proxy;
use crate::http::Http;
use crate::installation::Part;
use crate::process::Service;
use millrace_devstack::Engine;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

/// A process asked to end does so within this, or it hangs.
const FAREWELL: Duration = Duration::from_secs(120);

/// A setting of one launch.
pub type Setting = (&'static str, String);

/// A service that is killed and started again.
#[derive(Debug)]
pub struct Member {
    /// `gateway-1`, `worker-2`, …
    pub name: String,
    /// Which service.
    pub part: Part,
    /// Its admin address.
    pub admin_url: String,
    pub(super) settings: Vec<Setting>,
    pub(super) log: String,
    pub(super) process: Option<Service>,
}

/// The proxies around one member.
#[derive(Debug)]
pub struct Around {
    /// Where agents or analysts reach it, through the proxy before it; empty for a worker.
    pub url: String,
    /// Before it, for agents; none for a worker.
    pub front: Option<Proxy>,
    /// From it to each store that it uses.
    pub stores: Vec<(Engine, Proxy)>,
}

impl Around {
    /// The proxy to a store.
    #[must_use]
    pub fn to(&self, engine: Engine) -> Option<&Proxy> {
        let mut stores = self.stores.iter();
        stores
            .find(|(other, _)| *other == engine)
            .map(|(_, proxy)| proxy)
    }
}

impl Member {
    /// Starts it, with settings of this life alone. Does nothing when it runs.
    pub fn start(&mut self, with: &[Setting]) {
        if self.runs() {
            return;
        }
        let mut settings = self.settings.clone();
        settings.retain(|(name, _)| !with.iter().any(|(own, _)| own == name));
        settings.extend(with.iter().cloned());
        self.process = Some(Service::start(self.part.binary(), &self.log, &settings));
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to end and waits for it; says what was wrong with that.
    pub fn terminate(&mut self) -> Option<String> {
        let process = self.process.as_mut()?;
        let ended = process.ask_to_end(FAREWELL);
        self.process = None;
        match ended {
            Some(status) if status.success() => None,
            // Asked before it listened to signals: the default, an end at once.
            Some(status) if status.signal() == Some(15) => None,
            Some(status) => Some(format!("{} asked to end: {status}", self.name)),
            None => Some(format!("{} does not end when asked to", self.name)),
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        if let Some(process) = &self.process {
            process.signal(name);
        }
    }

    /// Whether its process is there.
    pub fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.ended().is_none())
    }

    /// Whether it ended by itself as a fail point ends it (SIGABRT); an error when it ended in any
    /// other way.
    ///
    /// # Errors
    /// Its status and the end of its log.
    pub fn aborted(&mut self) -> Result<bool, String> {
        let name = &self.name;
        let Some(process) = self.process.as_mut() else {
            return Err(format!("{name} does not run"));
        };
        match process.ended() {
            None => Ok(false),
            Some(status) if status.signal() == Some(6) => Ok(true),
            Some(status) => Err(format!("{name} ended with {status}:\n{}", process.tail())),
        }
    }

    /// Whether it says that it can do its work.
    #[must_use]
    pub fn ready(&self, http: &Http) -> bool {
        let answer = http.get(&format!("{}/readyz", self.admin_url), &[]);
        answer.is_ok_and(|answer| answer.status == 200)
    }
}
