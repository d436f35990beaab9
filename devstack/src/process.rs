//! Starting and ending processes by their id. Never by name.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How often a condition is looked at again while waiting for it.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pid: i32,
    started: u64,
}

impl Running {
    /// The process with this id, if there is one.
    pub(crate) fn find(pid: u32) -> Option<Running> {
        let pid = i32::try_from(pid).ok()?;
        let (started, _) = stat(pid)?;
        Some(Running { pid, started })
    }

    /// Its process id.
    pub(crate) fn pid(self) -> i32 {
        self.pid
    }

    /// True until it has ended (a process that only waits to be reaped has ended).
    pub(crate) fn alive(self) -> bool {
        stat(self.pid).is_some_and(|(started, ended)| started == self.started && !ended)
    }

    /// Sends a signal, if the process is still this one.
    pub(crate) fn signal(self, signal: Signal) {
        if self.alive() {
            // It may end between the look and the signal: nothing is lost by that.
            let _ended = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Waits for its end. False when it still runs after `patience`.
    pub(crate) fn gone_within(self, patience: Duration) -> bool {
        until(patience, || !self.alive())
    }

    /// Asks it to end, and ends it after `patience`.
    pub(crate) fn stop(self, ask: Signal, patience: Duration) {
        self.signal(ask);
        if !self.gone_within(patience) {
            self.signal(Signal::SIGKILL);
            self.gone_within(Duration::from_secs(5));
        }
    }

    /// The line the janitor reads.
    pub(crate) fn line(self) -> String {
        format!("{} {}\n", self.pid, self.started)
    }
}

/// Start time and whether it has ended, of a process id.
fn stat(pid: i32) -> Option<(u64, bool)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    // The start time is the 22nd field of the line, the 20th from the state on.
    let started = fields.nth(18)?.parse().ok()?;
    Some((started, state == "Z" || state == "X"))
}

/// Waits until `done`, looking again and again. False when it was not within `patience`.
pub(crate) fn until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a process whose parent is a thread that lives as long as this process: a child that is to
/// die with its parent (`setpriv --pdeathsig`) would else die with the thread that called.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // The one who asked may have gone; then nobody needs the answer.
                let _gone = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, started) = mpsc::channel();
    let lost = || io::Error::other("the thread that starts processes has ended");
    spawner.send((command, answer)).map_err(|_| lost())?;
    started.recv().map_err(|_| lost())?
}

/// Standard output and error of `command` into `log`, which is appended to.
pub(crate) fn logged(command: &mut Command, log: &Path) -> io::Result<()> {
    let file = File::options().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    Ok(())
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    /// Enough to see the cause, short enough to read.
    const LINES: usize = 20;
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(LINES);
    lines
        .into_iter()
        .skip(skip)
        .map(|line| format!("    {line}\n"))
        .collect()
}
