//! One instance of the engines: started together, addressed, restarted, killed, stopped.
//!
//! An instance is either thrown away (data under `target/`, gone with its owner, whichever way the
//! owner ends) or kept (a directory of its own, engines that go on in the background).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::error::Doing;
use crate::health::serves;
use crate::install::{self, Root};
use crate::launch::Launch;
use crate::ports::free_port;
use crate::process::{Running, tail, until};
use crate::{Engine, Error, Options, migrate, place};

/// A cold engine on a busy small machine; recovery after a kill included.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// A port may be taken between its choice and the engine's start; not again and again.
const STARTS: usize = 4;
/// What every engine writes into its log when its port is taken: the text of `EADDRINUSE`.
const PORT_TAKEN: &str = "Address already in use";
/// What PostgreSQL says while processes of its own outlive the one that was killed: they end as soon as each
/// has its turn.
const CHILDREN_LEFT: &str = "shared memory block";
/// Engines that are asked to end flush first.
const STOP_PATIENCE: Duration = Duration::from_secs(25);
/// The file that says what runs in a kept directory.
const STATE: &str = "instance.json";

/// What is remembered of an engine between processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    engine: Engine,
    port: u16,
    password: String,
    process: Option<Running>,
}

impl Record {
    /// True while the engine's process is there.
    fn runs(&self) -> bool {
        self.process.is_some_and(Running::alive)
    }
}

#[derive(Debug)]
struct Slot {
    record: Record,
    child: Option<Child>,
}

/// A running instance. Dropping a throw-away one stops it and removes its data.
#[derive(Debug)]
pub struct Stack {
    directory: PathBuf,
    logs: PathBuf,
    kept: bool,
    given: Vec<(Engine, String)>,
    slots: Vec<Mutex<Slot>>,
    root: Option<Root>,
    janitor: Option<Child>,
}

impl Stack {
    /// Installs what is missing, starts the engines, waits until they serve, applies the init folders.
    pub fn start(options: &Options) -> Result<Stack, Error> {
        let mut stack = Stack::prepared(options)?;
        if !stack.slots.is_empty() {
            stack.root = Some(install::ensure(&options.say)?);
        }
        stack.remember()?;
        let began = Instant::now();
        for slot in &stack.slots {
            let mut slot = locked(slot);
            let wished = options.ports.of(slot.record.engine);
            Stack::settle(&mut slot.record, wished)?;
            stack.launch(&mut slot)?;
            drop(slot);
            stack.remember()?;
        }
        for slot in &stack.slots {
            stack.come_up(&mut locked(slot))?;
        }
        stack.remember()?;
        if let Some(schema) = &options.schema {
            migrate::apply(&stack.clickhouse_url(), &stack.postgres_url(), schema)?;
        }
        let running: Vec<&str> = stack
            .slots
            .iter()
            .map(|slot| locked(slot).record.engine.name())
            .collect();
        (options.say)(&format!(
            "{} up in {} ms",
            running.join(", "),
            began.elapsed().as_millis()
        ));
        Ok(stack)
    }

    /// The kept instance in `directory`, whether it runs or not.
    pub fn attach(directory: &Path) -> Result<Stack, Error> {
        let records = recorded(directory);
        if records.is_empty() {
            return Err(Error::State(format!(
                "no instance in {}",
                directory.display()
            )));
        }
        Ok(Stack {
            directory: directory.to_owned(),
            logs: directory.join("logs"),
            kept: true,
            given: Vec::new(),
            slots: slots(records),
            root: Some(install::ensure(&|_| {})?),
            janitor: None,
        })
    }

    fn prepared(options: &Options) -> Result<Stack, Error> {
        let unique = hex::encode(random::<4>()?);
        let directory = match &options.keep {
            Some(directory) => directory.clone(),
            None => place::state()
                .join("instances")
                .join(format!("{}-{unique}", options.name)),
        };
        let logs = match &options.keep {
            Some(directory) => directory.join("logs"),
            None => place::state()
                .join("logs")
                .join(format!("{}-{unique}", options.name)),
        };
        for path in [&directory, &logs] {
            fs::create_dir_all(path).doing(|| format!("cannot create {}", path.display()))?;
        }
        let janitor = if options.keep.is_none() {
            Some(janitor(&directory)?)
        } else {
            None
        };
        let mut given = Vec::new();
        let mut records = recorded(&directory);
        for engine in Engine::ALL {
            if let Some(url) = place::text(engine.setting()).filter(|_| options.environment) {
                records.retain(|record| record.engine != engine);
                given.push((engine, url));
            } else if !records.iter().any(|record| record.engine == engine) {
                let port = free_port(options.ports.of(engine))
                    .doing(|| "cannot find a port".to_owned())?;
                records.push(Record {
                    engine,
                    port,
                    password: hex::encode(random::<16>()?),
                    process: None,
                });
            }
        }
        let kept = options.keep.is_some();
        Ok(Stack {
            directory,
            logs,
            kept,
            given,
            slots: slots(records),
            root: None,
            janitor,
        })
    }

    /// Address of Redis.
    pub fn redis_url(&self) -> String {
        self.url(Engine::Redis)
    }

    /// Address of ClickHouse's HTTP interface, with the database.
    pub fn clickhouse_url(&self) -> String {
        self.url(Engine::Clickhouse)
    }

    /// Address of PostgreSQL, with user, password and database.
    pub fn postgres_url(&self) -> String {
        self.url(Engine::Postgres)
    }

    /// Address of one engine.
    pub fn url(&self, engine: Engine) -> String {
        let given = self.given.iter().find(|(which, _)| *which == engine);
        given.map(|(_, url)| url.clone()).unwrap_or_else(|| {
            let record = self.slot(engine).map(|slot| locked(slot).record.clone());
            record
                .map(|record| engine.url(record.port, &record.password))
                .unwrap_or_default()
        })
    }

    /// The settings that make a process use this instance.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        Engine::ALL
            .map(|engine| (engine.setting(), self.url(engine)))
            .to_vec()
    }

    /// The directory of its data, with one directory for each engine.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of its logs.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// True when devstack runs this engine here and it serves.
    pub fn serves(&self, engine: Engine) -> bool {
        self.slot(engine).is_ok_and(|slot| {
            let slot = locked(slot);
            slot.record.runs() && serves(engine, slot.record.port)
        })
    }

    /// Process id of an engine that runs.
    pub fn pid(&self, engine: Engine) -> Option<i32> {
        let slot = self.slot(engine).ok()?;
        locked(slot)
            .record
            .process
            .filter(|process| process.alive())
            .map(Running::pid)
    }

    /// Ends an engine at once, as a crash would (`kill -9`), and waits until it is gone.
    pub fn kill(&self, engine: Engine) -> Result<(), Error> {
        let mut slot = locked(self.slot(engine)?);
        if let Some(process) = slot.record.process.take() {
            process.stop(Signal::SIGKILL, STOP_PATIENCE);
        }
        reap(&mut slot);
        drop(slot);
        self.remember()
    }

    /// Asks an engine to end, and waits until it is gone.
    pub fn halt(&self, engine: Engine) -> Result<(), Error> {
        let mut slot = locked(self.slot(engine)?);
        if let Some(process) = slot.record.process.take() {
            process.stop(farewell(engine), STOP_PATIENCE);
        }
        reap(&mut slot);
        drop(slot);
        self.remember()
    }

    /// Starts an engine that was killed or halted, on its old port and data, and waits until it serves.
    pub fn resume(&self, engine: Engine) -> Result<(), Error> {
        let mut slot = locked(self.slot(engine)?);
        let end = Instant::now() + START_PATIENCE;
        loop {
            self.launch(&mut slot)?;
            match self.wait(&mut slot) {
                Err(Error::Start { tail, .. })
                    if !slot.record.runs()
                        && tail.contains(CHILDREN_LEFT)
                        && Instant::now() < end =>
                {
                    reap(&mut slot);
                }
                outcome => break outcome?,
            }
        }
        drop(slot);
        self.remember()
    }

    /// Ends an engine in good order and starts it again.
    pub fn restart(&self, engine: Engine) -> Result<(), Error> {
        self.halt(engine)?;
        self.resume(engine)
    }

    /// Stops the engines; a throw-away instance is removed with its data.
    pub fn stop(&mut self) -> Result<(), Error> {
        for slot in &self.slots {
            let slot = locked(slot);
            if let Some(process) = slot.record.process {
                process.signal(farewell(slot.record.engine));
            }
        }
        for slot in &self.slots {
            let mut slot = locked(slot);
            if let Some(process) = slot.record.process.take() {
                process.stop(Signal::SIGTERM, STOP_PATIENCE);
            }
            reap(&mut slot);
        }
        if self.kept {
            return self.remember();
        }
        self.sweep();
        Ok(())
    }

    /// Removes the logs too: nothing went wrong.
    pub fn forget_logs(&self) {
        let _gone = fs::remove_dir_all(&self.logs);
    }

    /// The janitor removes the directory when its input ends, and has then nothing left to do.
    fn sweep(&mut self) {
        if let Some(mut janitor) = self.janitor.take() {
            drop(janitor.stdin.take());
            let _ended = janitor.wait();
        }
    }

    fn slot(&self, engine: Engine) -> Result<&Mutex<Slot>, Error> {
        let found = self
            .slots
            .iter()
            .find(|slot| locked(slot).record.engine == engine);
        found.ok_or(Error::External(engine))
    }

    /// The port wished for if it is free, else the one it had, else another.
    fn settle(record: &mut Record, wished: Option<u16>) -> Result<(), Error> {
        if record.runs() {
            return Ok(());
        }
        let choose = || match wished {
            Some(port) if free_port(Some(port))? == port => Ok(port),
            _ => free_port(Some(record.port)),
        };
        record.port = choose().doing(|| "cannot find a port".to_owned())?;
        Ok(())
    }

    fn launch(&self, slot: &mut Slot) -> Result<(), Error> {
        let record = &mut slot.record;
        if record.runs() {
            return Ok(());
        }
        let root = self.root.as_ref().ok_or(Error::External(record.engine))?;
        let data = self.directory.join(record.engine.name());
        let launch = Launch {
            root,
            engine: record.engine,
            data: &data,
            log: &self.log(record.engine),
            port: record.port,
            follow: !self.kept,
            password: &record.password,
        };
        let child = launch.start()?;
        record.process = Running::find(child.id());
        if let (Some(process), false) = (record.process, self.kept) {
            let note = self.directory.join(format!("{}.pid", record.engine));
            fs::write(note, process.line()).doing(|| "cannot note the process id".to_owned())?;
        }
        slot.child = Some(child);
        Ok(())
    }

    /// Waits until an engine serves that was just launched; on another port when a stranger took
    /// the one it was to have.
    fn come_up(&self, slot: &mut Slot) -> Result<(), Error> {
        for _ in 1..STARTS {
            match self.wait(slot) {
                Err(Error::Start { tail, .. })
                    if !slot.record.runs() && tail.contains(PORT_TAKEN) =>
                {
                    reap(slot);
                    slot.record.port = free_port(None).doing(|| "cannot find a port".to_owned())?;
                    self.launch(slot)?;
                }
                outcome => return outcome,
            }
        }
        self.wait(slot)
    }

    fn log(&self, engine: Engine) -> PathBuf {
        self.logs.join(format!("{engine}.log"))
    }

    fn wait(&self, slot: &mut Slot) -> Result<(), Error> {
        let (engine, port) = (slot.record.engine, slot.record.port);
        let mut up = false;
        until(START_PATIENCE, || {
            up = serves(engine, port);
            up || !slot.record.runs()
        });
        // What answers must be ours, not a stranger on the same port.
        if up && slot.record.runs() {
            return Ok(());
        }
        let why = if slot.record.runs() {
            "it does not answer"
        } else {
            "it ended"
        };
        let log = self.log(engine);
        Err(Error::Start {
            what: engine.name(),
            why: why.to_owned(),
            tail: tail(&log),
            log,
        })
    }

    /// Writes down what runs, for other processes (kept instances only).
    fn remember(&self) -> Result<(), Error> {
        if !self.kept {
            return Ok(());
        }
        let records: Vec<Record> = self
            .slots
            .iter()
            .map(|slot| locked(slot).record.clone())
            .collect();
        let text = serde_json::to_vec_pretty(&records).map_err(std::io::Error::other);
        let path = self.directory.join(STATE);
        let new = self.directory.join("instance.json.new");
        text.and_then(|text| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, &path))
            .doing(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !self.kept {
            // There is nobody left to tell; the janitor ends what is still there.
            let _stopped = self.stop();
        }
    }
}

/// The signal that asks an engine to end in good order; PostgreSQL would wait for its clients on
/// SIGTERM.
fn farewell(engine: Engine) -> Signal {
    match engine {
        Engine::Postgres => Signal::SIGINT,
        Engine::Redis | Engine::Clickhouse => Signal::SIGTERM,
    }
}

fn reap(slot: &mut Slot) {
    if let Some(mut child) = slot.child.take() {
        let _status = child.wait();
    }
}

fn slots(records: Vec<Record>) -> Vec<Mutex<Slot>> {
    records
        .into_iter()
        .map(|record| {
            Mutex::new(Slot {
                record,
                child: None,
            })
        })
        .collect()
}

/// A test that panicked with the lock held leaves nothing half-done here.
fn locked(slot: &Mutex<Slot>) -> std::sync::MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn recorded(directory: &Path) -> Vec<Record> {
    let text = fs::read(directory.join(STATE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn janitor(directory: &Path) -> Result<Child, Error> {
    let mut command = Command::new("setsid");
    command
        .args(["sh", "-c", include_str!("../scripts/janitor.sh"), "janitor"])
        .arg(directory);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/");
    command
        .spawn()
        .doing(|| "cannot start the janitor".to_owned())
}

/// Random bytes for names and passwords.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| std::io::Error::other(error.to_string()))
        .doing(|| "no randomness".to_owned())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn engines_whose_ports_are_taken_before_they_have_them_come_up_on_others() {
        let options = Options {
            name: "taken".to_owned(),
            environment: false,
            schema: None,
            say: |_| {},
            ..Options::default()
        };
        let mut stack = Stack::prepared(&options).unwrap();
        stack.root = Some(install::ensure(&options.say).unwrap());
        let mut strangers = Vec::new();
        for slot in &stack.slots {
            let mut slot = locked(slot);
            let port = slot.record.port;
            strangers.push(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
            stack.launch(&mut slot).unwrap();
            stack.come_up(&mut slot).unwrap();
            assert_ne!(slot.record.port, port);
        }
        assert_eq!(strangers.len(), Engine::ALL.len());
        assert!(Engine::ALL.iter().all(|engine| stack.serves(*engine)));
    }
}
