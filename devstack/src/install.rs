//! Installs the engines into a directory of their own, once per machine and user.
//!
//! debootstrap (Debian's own packages) → pip (the ClickHouse engine) → database template → stamp →
//! rename. A broken installation goes on where it stopped; two processes may start at once. It never
//! changes the machine itself, except that it installs the package `debootstrap` when missing.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::error::Doing;
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
    let root = Root { path: home.join(format!("root-{VERSION}")) };
    privileged()?;
    if root.path.join(STAMP).exists() {
        return Ok(root);
    }
    suitable()?;
    fs::create_dir_all(&home).doing(|| format!("cannot create {}", home.display()))?;
    let lock = File::create(home.join("lock")).doing(|| "cannot create the lock file".to_owned())?;
    if lock.try_lock().is_err() {
        say("another process installs the engines, waiting for it");
        lock.lock().doing(|| "cannot lock the engine directory".to_owned())?;
    }
    if !root.path.join(STAMP).exists() {
        let job = Job { building: home.join(format!("building-{VERSION}")), home, say };
        job.build(&root.path)?;
    }
    Ok(root)
}

/// Written last, so that a root with it is whole.
const STAMP: &str = ".millrace-engines";

/// Mounts and `chroot` need root, and a kernel that lets it have mounts of its own.
fn privileged() -> Result<(), Error> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::Unsuitable("devstack needs to run as root".to_owned()));
    }
    if run_quietly(&mut private("true")).is_none_or(|output| !output.status.success()) {
        let why = "devstack needs the right to make mounts of its own (CAP_SYS_ADMIN, `unshare --mount`)";
        return Err(Error::Unsuitable(why.to_owned()));
    }
    Ok(())
}

fn run_quietly(command: &mut Command) -> Option<Output> {
    command.output().ok()
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

/// Names the Debian mirror where the machine's own configuration does not.
const MIRROR: &str = "MILLRACE_DEBIAN_MIRROR";

struct Job<'a> {
    home: PathBuf,
    building: PathBuf,
    say: &'a dyn Fn(&str),
}

impl Job<'_> {
    fn build(&self, root: &Path) -> Result<(), Error> {
        (self.say)(&format!(
            "installing the engines into {} (once; needs about {DISK_MIB} MB while it installs)",
            self.home.display()
        ));
        let began = Instant::now();
        fs::create_dir_all(&self.building).doing(|| format!("cannot create {}", self.building.display()))?;
        self.once("debootstrap", || self.bootstrap())?;
        self.once("engine", || self.pip())?;
        self.once("template", || self.template())?;
        write(&self.building.join(STAMP), VERSION)?;
        fs::rename(&self.building, root).doing(|| format!("cannot rename to {}", root.display()))?;
        let _kept = fs::remove_dir_all(self.home.join("packages"));
        (self.say)(&format!("engines installed in {} s", began.elapsed().as_secs()));
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
            self.step("installing debootstrap", Command::new("sh").args(["-c", script]).env("DEBIAN_FRONTEND", "noninteractive"))?;
        }
        // What an interrupted attempt left is worth nothing; its packages are kept.
        fs::remove_dir_all(&self.building).doing(|| "cannot clear an earlier attempt".to_owned())?;
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
        self.step("installing Redis, PostgreSQL, TimescaleDB and Python", &mut command)
    }

    /// debootstrap downloads with wget, which is told of certificates by its own file only.
    fn certificates(&self, command: &mut Command) -> Result<(), Error> {
        let named = ["SSL_CERT_FILE", "CURL_CA_BUNDLE"].into_iter().find_map(text);
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
        command.args(["-c", include_str!("../scripts/carry.sh"), "carry"]).arg(&self.building);
        command.args(files).arg("--");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs one long command, tells how long it takes, shows the end of its output when it fails.
    fn step(&self, name: &'static str, command: &mut Command) -> Result<(), Error> {
        let log = self.home.join("install.log");
        (self.say)(&format!("{name} …"));
        logged(command, &log).doing(|| format!("cannot write {}", log.display()))?;
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
        Err(Error::Install { step: name, tail: tail(&log), log })
    }
}

/// A command whose mounts are its own and vanish with it.
fn private(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", program]);
    command
}

/// The Debian mirror of the machine's own configuration.
fn mirror() -> String {
    let format = "$(REPO_URI)|$(ORIGIN)|$(LABEL)";
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let targets = run_quietly(&mut command).map(|output| output.stdout).unwrap_or_default();
    let targets = String::from_utf8_lossy(&targets).into_owned();
    let found = targets.lines().find_map(|line| line.strip_suffix("|Debian|Debian"));
    text(MIRROR)
        .or_else(|| found.map(str::to_owned))
        .or_else(configured_mirror)
        // The address Debian itself names as the default.
        .unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}

/// The first archive in apt's source lists, for a machine that has never fetched an index.
fn configured_mirror() -> Option<String> {
    let mut command = Command::new("sh");
    let script = "cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null";
    let lists = run_quietly(command.args(["-c", script]))?.stdout;
    let lists = String::from_utf8_lossy(&lists).into_owned();
    lists
        .lines()
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

fn apt_config(name: &str) -> Option<String> {
    let mut command = Command::new("apt-config");
    let output = run_quietly(command.args(["dump", "--format", "%v%n", name]))?.stdout;
    let value = String::from_utf8_lossy(&output).trim().to_owned();
    Some(value).filter(|value| !value.is_empty() && value != "DIRECT")
}

/// Files of the machine that pip needs at their own paths: name resolution, certificates, and its
/// configuration with the files that it names.
fn carried() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/xdg/pip", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"]
        .into_iter()
        .map(PathBuf::from)
        .collect();
    if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        files.push(PathBuf::from("/etc/ssl/certs"));
    }
    let home = PathBuf::from(text("HOME").unwrap_or_else(|| "/root".to_owned()));
    files.extend([".pip", ".config/pip", ".netrc"].map(|name| home.join(name)));
    files.extend(text("XDG_CONFIG_HOME").map(|config| PathBuf::from(config).join("pip")));
    files.extend(env::vars_os().filter(|(name, _)| names_files(name)).flat_map(|(_, value)| paths(&value.to_string_lossy())));
    let configuration: Vec<String> = files.iter().flat_map(configurations).collect();
    files.extend(configuration.iter().flat_map(|text| paths(text)));
    files.retain(|path| path.exists());
    files.sort();
    files.dedup();
    files
}

fn names_files(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("PIP_") || matches!(&*name, "SSL_CERT_FILE" | "SSL_CERT_DIR" | "REQUESTS_CA_BUNDLE" | "CURL_CA_BUNDLE")
}

fn configurations(path: &PathBuf) -> Vec<String> {
    let candidates = [path.clone(), path.join("pip.conf")];
    let wanted = candidates.iter().filter(|path| path.extension().is_some_and(|end| end == "conf"));
    wanted.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// The absolute paths among the words of a text.
fn paths(text: &str) -> Vec<PathBuf> {
    text.split(|c: char| c.is_whitespace() || c == '=' || c == ',')
        .map(|word| word.strip_prefix("file://").unwrap_or(word))
        .filter(|word| word.starts_with('/') && word.len() > 1)
        .map(PathBuf::from)
        .collect()
}

fn write(path: &Path, contents: &str) -> Result<(), Error> {
    fs::write(path, contents).doing(|| format!("cannot write {}", path.display()))
}
