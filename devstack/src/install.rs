//! Installs the engines into a directory of their own, once per machine and user.
//!
//! debootstrap (Debian's own packages) → pip (the ClickHouse engine) → database template → stamp →
//! rename. A broken installation goes on where it stopped; two processes may start at once. It never
//! changes the machine itself, except that it installs the package `debootstrap` when missing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Doing;
use crate::host::{MIRROR, apt_config, carried, mirror, run_quietly};
use crate::place::text;
use crate::process::{logged, tail};
use crate::{Error, place};

/// Raised whenever the contents of the engine root change; old roots are then left unused.
const VERSION: &str = "1";
/// The Debian release that has PostgreSQL 17 with TimescaleDB and Redis 8.
const RELEASE: &str = "trixie";
/// What the engine root holds beside the minimal system.
const PACKAGES: &str =
    "redis-server,postgresql-17,postgresql-17-timescaledb,python3,python3-venv,ca-certificates";
/// The ClickHouse engine, 26.9; without the data-frame libraries it only needs in notebooks.
const WHEELS: [&str; 2] = ["chdb==4.4.0", "chdb-core==26.9.0"];
/// A line tells that a long step still runs.
const STILL: Duration = Duration::from_secs(10);
/// Room for the packages, the engine and their unpacking.
const DISK_MIB: u64 = 3_000;

/// An installed engine root.
#[derive(Debug, Clone)]
pub struct Root {
    path: PathBuf,
}

impl Root {
    /// The directory that becomes `/` of the engines.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The engine root, installed now if it is not there yet. `say` is given progress lines.
pub fn ensure(say: &dyn Fn(&str)) -> Result<Root, Error> {
    let home = place::engines();
    let root = Root {
        path: home.join(format!("root-{VERSION}")),
    };
    privileged()?;
    if root.path.join(STAMP).exists() {
        return Ok(root);
    }
    suitable()?;
    fs::create_dir_all(&home).doing(|| format!("cannot create {}", home.display()))?;
    let lock =
        File::create(home.join("lock")).doing(|| "cannot create the lock file".to_owned())?;
    if lock.try_lock().is_err() {
        say("another process installs the engines, waiting for it");
        lock.lock()
            .doing(|| "cannot lock the engine directory".to_owned())?;
    }
    if !root.path.join(STAMP).exists() {
        let job = Job {
            building: home.join(format!("building-{VERSION}")),
            home,
            lock,
            say,
        };
        job.build(&root.path)?;
    }
    Ok(root)
}

/// Written last, so that a root with it is whole.
const STAMP: &str = ".millrace-engines";

/// Mounts and `chroot` need root, and a kernel that lets it have mounts of its own.
fn privileged() -> Result<(), Error> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::Unsuitable(
            "devstack needs to run as root".to_owned(),
        ));
    }
    if run_quietly(&mut private("true")).is_none_or(|output| !output.status.success()) {
        let why =
            "devstack needs the right to make mounts of its own (CAP_SYS_ADMIN, `unshare --mount`)";
        return Err(Error::Unsuitable(why.to_owned()));
    }
    Ok(())
}

fn suitable() -> Result<(), Error> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.lines().any(|line| line == "ID=debian") && text(MIRROR).is_none() {
        let why = format!(
            "devstack installs the engines on Debian 12 and 13 (elsewhere set {MIRROR} to a Debian mirror \
             and install debootstrap)"
        );
        return Err(Error::Unsuitable(why));
    }
    Ok(())
}

struct Job<'a> {
    home: PathBuf,
    building: PathBuf,
    lock: File,
    say: &'a dyn Fn(&str),
}

impl Job<'_> {
    fn build(&self, root: &Path) -> Result<(), Error> {
        (self.say)(&format!(
            "installing the engines into {} (once; needs about {DISK_MIB} MB while it installs)",
            self.home.display()
        ));
        let began = Instant::now();
        fs::create_dir_all(&self.building)
            .doing(|| format!("cannot create {}", self.building.display()))?;
        self.once("debootstrap", || self.bootstrap())?;
        self.once("engine", || self.pip())?;
        self.once("template", || self.template())?;
        write(&self.building.join(STAMP), VERSION)?;
        fs::rename(&self.building, root)
            .doing(|| format!("cannot rename to {}", root.display()))?;
        let _kept = fs::remove_dir_all(self.home.join("packages"));
        (self.say)(&format!(
            "engines installed in {} s",
            began.elapsed().as_secs()
        ));
        Ok(())
    }

    /// Runs a step unless an earlier attempt finished it.
    fn once(&self, name: &str, step: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let done = self.building.join(format!(".done-{name}"));
        if done.exists() {
            return Ok(());
        }
        step()?;
        write(&done, "")
    }

    fn bootstrap(&self) -> Result<(), Error> {
        if run_quietly(Command::new("debootstrap").arg("--version")).is_none() {
            let script = "apt-get update; apt-get install -y --no-install-recommends debootstrap";
            self.step(
                "installing debootstrap",
                Command::new("sh")
                    .args(["-c", script])
                    .env("DEBIAN_FRONTEND", "noninteractive"),
            )?;
        }
        // What an interrupted attempt left is worth nothing; its packages are kept.
        fs::remove_dir_all(&self.building)
            .doing(|| "cannot clear an earlier attempt".to_owned())?;
        let packages = self.home.join("packages");
        fs::create_dir_all(&packages).doing(|| "cannot create the package directory".to_owned())?;
        let mut command = private("debootstrap");
        command.args(["--variant=minbase", &format!("--include={PACKAGES}")]);
        command.arg(format!("--cache-dir={}", packages.display()));
        command.arg(RELEASE).arg(&self.building).arg(mirror());
        if let Some(proxy) = apt_config("Acquire::http::Proxy") {
            command.env("http_proxy", proxy);
        }
        self.certificates(&mut command)?;
        self.step(
            "installing Redis, PostgreSQL, TimescaleDB and Python",
            &mut command,
        )
    }

    /// debootstrap downloads with wget, which is told of certificates by its own file only.
    fn certificates(&self, command: &mut Command) -> Result<(), Error> {
        let named = ["SSL_CERT_FILE", "CURL_CA_BUNDLE"]
            .into_iter()
            .find_map(text);
        if let Some(file) = apt_config("Acquire::https::CAInfo").or(named) {
            let settings = self.home.join("wgetrc");
            write(&settings, &format!("ca_certificate = {file}\n"))?;
            command.env("WGETRC", settings);
        }
        Ok(())
    }

    fn pip(&self) -> Result<(), Error> {
        let script = format!(
            "rm -rf /opt/chdb && python3 -m venv /opt/chdb && \
             /opt/chdb/bin/pip install --no-cache-dir --no-deps --only-binary=:all: {} && \
             cd / && /opt/chdb/bin/python -c 'import chdb; print(chdb.query(\"SELECT version()\"))'",
            WHEELS.join(" ")
        );
        let mut command = self.inside(&carried());
        command.args(["sh", "-c", &script]);
        self.step("installing the ClickHouse engine", &mut command)
    }

    fn template(&self) -> Result<(), Error> {
        let mut command = self.inside(&[]);
        command.args(["sh", "-c", include_str!("../scripts/template.sh")]);
        command.env("LC_ALL", "C.UTF-8");
        self.step("preparing the database template", &mut command)
    }

    /// A command inside the root that is being built, which sees `files` of the machine.
    fn inside(&self, files: &[PathBuf]) -> Command {
        let mut command = private("sh");
        command
            .args(["-c", include_str!("../scripts/carry.sh"), "carry"])
            .arg(&self.building);
        command.args(files).arg("--");
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command
    }

    /// Runs one long command, tells how long it takes, shows the end of its output when it fails.
    fn step(&self, name: &'static str, command: &mut Command) -> Result<(), Error> {
        let log = self.home.join("install.log");
        (self.say)(&format!("{name} …"));
        logged(command, &log).doing(|| format!("cannot write {}", log.display()))?;
        // The command holds the lock too: when this process is killed, the next installation waits
        // until what it left running is done.
        let lock = self
            .lock
            .try_clone()
            .doing(|| "cannot share the lock".to_owned())?;
        command.stdin(lock);
        let began = Instant::now();
        let mut child = command.spawn().doing(|| format!("{name}: cannot start"))?;
        let mut told = began;
        let status = loop {
            if let Some(status) = child.try_wait().doing(|| format!("{name}: cannot wait"))? {
                break status;
            }
            if told.elapsed() >= STILL {
                told = Instant::now();
                (self.say)(&format!("{name} … {} s", began.elapsed().as_secs()));
            }
            thread::sleep(Duration::from_millis(100));
        };
        if status.success() {
            (self.say)(&format!("{name}: done in {} s", began.elapsed().as_secs()));
            return Ok(());
        }
        Err(Error::Install {
            step: name,
            tail: tail(&log),
            log,
        })
    }
}

/// A command whose mounts are its own and vanish with it.
fn private(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", program]);
    command
}

fn write(path: &Path, contents: &str) -> Result<(), Error> {
    fs::write(path, contents).doing(|| format!("cannot write {}", path.display()))
}
