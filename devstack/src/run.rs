//! What `make run` and `make stop` do: engines, tables, demo organisation, services, `run.json`.
//!
//! Everything goes on in the background until [`stop`]. Done again it changes only what has to
//! change: a service is restarted when its binary or its settings are others.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use serde_json::Value;

use crate::demo::Demo;
use crate::error::Doing;
use crate::service::{Placed, Service, Settings};
use crate::{Error, Options, Stack, place, report};

/// What is built, beside the services: what seeds the demonstration, and what sends load.
const TOOLS: [&str; 2] = ["millrace-admin", "millrace-load"];

/// Brings the whole pipeline up. `options` says where and on which ports the engines are;
/// services that are not `optimised` build faster and run slower.
/// Returns what to tell the user.
pub fn start(options: &Options, directory: &Path, optimised: bool) -> Result<String, Error> {
    fs::create_dir_all(directory.join("logs"))
        .doing(|| "cannot create the run directory".to_owned())?;
    let _lock = alone(directory)?;
    let began = Instant::now();
    (options.say)("building the services …");
    let build = build(optimised)?;
    let stack = Stack::start(options);
    let built = finish(build);
    let stack = stack?;
    built?;
    (options.say)(&format!(
        "services built, engines up after {} s",
        began.elapsed().as_secs()
    ));
    let run = Run {
        directory,
        logs: directory.join("logs"),
        bins: place::target().join(if optimised { "release" } else { "debug" }),
    };
    let mut settings = run.settings(&stack)?;
    let demo = Demo {
        bins: &run.bins,
        settings: &settings,
        directory,
        logs: &run.logs,
    }
    .ensure()?;
    let services = run.services(&mut settings, &demo)?;
    let description = report::description(&stack, &services, &demo);
    let run_json = place::state().join("run.json");
    write_private(&run_json, &format!("{description:#}\n"))?;
    (options.say)(&format!("ready after {} s", began.elapsed().as_secs()));
    Ok(report::farewell(
        &description,
        &shown(&run.logs),
        &shown(&run_json),
    ))
}

/// Stops the services, then the engines. The data stays.
pub fn stop(directory: &Path, say: &dyn Fn(&str)) -> Result<(), Error> {
    if !directory.exists() {
        say("nothing runs");
        return Ok(());
    }
    let _lock = alone(directory)?;
    let run = Run {
        directory,
        logs: directory.join("logs"),
        bins: PathBuf::new(),
    };
    let mut services = run.placed();
    for placed in &mut services {
        placed.stop();
    }
    run.remember(&services)?;
    say("services stopped");
    if let Ok(mut stack) = Stack::attach(directory) {
        stack.stop()?;
        say("engines stopped; the data stays");
    }
    Ok(())
}

struct Run<'a> {
    directory: &'a Path,
    logs: PathBuf,
    bins: PathBuf,
}

impl Run<'_> {
    /// What all services and tools are told.
    fn settings(&self, stack: &Stack) -> Result<Settings, Error> {
        let mut settings: Settings = stack
            .settings()
            .into_iter()
            .map(|(name, url)| (name.to_owned(), url))
            .collect();
        settings.insert("MILLRACE_PROFILE".to_owned(), "development".to_owned());
        let key = self.directory.join("master.key");
        if !key.exists() {
            write_private(&key, &hex::encode(crate::stack::random::<32>()?))?;
        }
        settings.insert(
            "MILLRACE_MASTER_KEY_FILE".to_owned(),
            key.to_string_lossy().into_owned(),
        );
        Ok(settings)
    }

    /// Starts the services and waits until all are ready. Their own telemetry goes through the
    /// pipeline, under an organisation of its own.
    fn services(&self, settings: &mut Settings, demo: &Value) -> Result<Vec<Placed>, Error> {
        let mut services = self.placed();
        for service in Service::ALL {
            if !services.iter().any(|placed| placed.service == service) {
                services.push(Placed::new(service));
            }
        }
        for placed in &mut services {
            placed.settle()?;
        }
        let own = |name: &str| {
            demo.pointer(&format!("/self/{name}"))
                .and_then(Value::as_str)
        };
        let gateway = services
            .iter()
            .find(|placed| placed.service == Service::Gateway);
        if let (Some(gateway), Some(key), Some(secret)) = (gateway, own("key_id"), own("secret")) {
            settings.insert("MILLRACE_SELF_URL".to_owned(), gateway.url());
            settings.insert("MILLRACE_SELF_KEY_ID".to_owned(), key.to_owned());
            settings.insert("MILLRACE_SELF_SECRET".to_owned(), secret.to_owned());
        }
        for placed in &mut services {
            placed.start(settings, &self.logs, &self.bins)?;
        }
        self.remember(&services)?;
        for placed in &services {
            placed.wait(&self.logs)?;
        }
        Ok(services)
    }

    fn placed(&self) -> Vec<Placed> {
        let text = fs::read(self.directory.join("services.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn remember(&self, services: &[Placed]) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(services).map_err(std::io::Error::other);
        let text = text.doing(|| "cannot write services.json".to_owned())?;
        write_private(&self.directory.join("services.json"), &text)
    }
}

/// Only one process starts or stops a run at a time.
fn alone(directory: &Path) -> Result<File, Error> {
    let lock =
        File::create(directory.join("lock")).doing(|| "cannot create the lock file".to_owned())?;
    lock.lock()
        .doing(|| "cannot lock the run directory".to_owned())?;
    Ok(lock)
}

/// Builds while the engines are installed and started: both take minutes the first time.
fn build(optimised: bool) -> Result<Child, Error> {
    let cargo = place::text("CARGO").unwrap_or_else(|| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.arg("build").current_dir(place::workspace());
    if optimised {
        command.arg("--release");
    }
    for package in Service::ALL.map(Service::name).into_iter().chain(TOOLS) {
        command.args(["--package", package]);
    }
    command.spawn().doing(|| "cannot start cargo".to_owned())
}

fn finish(mut build: Child) -> Result<(), Error> {
    let status = build.wait().doing(|| "cannot wait for cargo".to_owned())?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::State("the services do not build".to_owned()))
    }
}

/// Secrets are for the owner's eyes; a reader sees the old file or the new one, never half of it.
fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let new = path.with_extension("new");
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, path))
        .doing(|| format!("cannot write {}", path.display()))
}

/// A path as short as it can be said.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}
