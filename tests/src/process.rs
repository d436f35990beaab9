//! The real binaries as children. They die with the test process, however it ends, and their logs
//! stay under `target/millrace/test-logs/`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

/// The directory of the binaries: that of the profile this test was built in.
///
/// # Panics
/// When the test does not lie in a target directory.
#[must_use]
pub fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let directory = test.ancestors().find(|path| {
        path.join(".cargo-lock").exists() || path.ends_with("debug") || path.ends_with("release")
    });
    directory.expect("a target directory").to_owned()
}

/// A binary of the workspace.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let path = binaries().join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bins` first, as `make test` does",
        path.display()
    );
    path
}

/// The directory of this run's logs.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn logs() -> &'static Path {
    static LOGS: OnceLock<PathBuf> = OnceLock::new();
    LOGS.get_or_init(|| {
        let path = millrace_devstack::place::state()
            .join("test-logs")
            .join(std::process::id().to_string());
        std::fs::create_dir_all(&path).expect("a directory for logs");
        path
    })
}

/// A command with nothing of our environment but what it needs to run, and these settings.
#[must_use]
pub fn command(name: &str, settings: &[(&str, String)]) -> Command {
    let mut command = Command::new(binary(name));
    clean(&mut command, settings);
    command
}

fn clean(command: &mut Command, settings: &[(&str, String)]) {
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("RUST_BACKTRACE", "1");
    command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(name: &str, settings: &[(&str, String)], arguments: &[&str]) -> Output {
    command(name, settings)
        .args(arguments)
        .output()
        .expect(name)
}

/// A running service. Dropping it ends it at once.
#[derive(Debug)]
pub struct Service {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts a binary; `log` names its log, to which it appends.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, log: &str, settings: &[(&str, String)]) -> Service {
        let log = logs().join(format!("{log}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log");
        // The signal comes when the parent thread ends, whichever way.
        let mut command = Command::new("setpriv");
        clean(&mut command, settings);
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary(name));
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log"))
            .stderr(file);
        let child =
            spawn(command).unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Service {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails the test when the service has ended.
    ///
    /// # Panics
    /// When it has.
    pub fn must_run(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!(
                "{} ended with {status}; its log ends:\n{}",
                self.name,
                self.tail()
            );
        }
    }

    /// Ends it at once (`kill -9`) and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself: the wait tells.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }

    /// Asks it to end (SIGTERM), and waits.
    ///
    /// # Panics
    /// When it does not end within the time.
    pub fn terminate(&mut self, patience: Duration) -> ExitStatus {
        let status = self.ask_to_end(patience);
        status.unwrap_or_else(|| panic!("{} does not end within {patience:?}", self.name))
    }

    /// The same; nothing when it does not end within the time.
    pub fn ask_to_end(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.signal("TERM");
        let end = Instant::now() + patience;
        loop {
            let status = self.ended();
            if status.is_some() || Instant::now() >= end {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal by its name (`TERM`, `STOP`, `CONT`); one that has ended hears nothing.
    ///
    /// # Panics
    /// When no signal can be sent at all.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &id])
            .stderr(Stdio::null())
            .status();
        assert!(sent.is_ok(), "{} cannot be sent a signal", self.name);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        /// Enough to see the cause.
        const LINES: usize = 15;
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a process from a thread that lives as long as this process: a test's own thread ends
/// with the test, and would take a child with `--pdeathsig` along.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
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
