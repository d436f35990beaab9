//! What this machine's own configuration says: Debian mirror, proxies, certificates, package index.
//! Only reads it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::place::text;

/// Names the Debian mirror where the machine's own configuration does not.
pub(crate) const MIRROR: &str = "MILLRACE_DEBIAN_MIRROR";

/// What a command printed, if it could be started.
pub(crate) fn run_quietly(command: &mut Command) -> Option<Output> {
    command.output().ok()
}

/// The Debian mirror of the machine's own configuration.
pub(crate) fn mirror() -> String {
    let format = "$(REPO_URI)|$(ORIGIN)|$(LABEL)";
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let targets = run_quietly(&mut command)
        .map(|output| output.stdout)
        .unwrap_or_default();
    let targets = String::from_utf8_lossy(&targets).into_owned();
    let found = targets
        .lines()
        .find_map(|line| line.strip_suffix("|Debian|Debian"));
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

/// A value of apt's own configuration.
pub(crate) fn apt_config(name: &str) -> Option<String> {
    let mut command = Command::new("apt-config");
    let output = run_quietly(command.args(["dump", "--format", "%v%n", name]))?.stdout;
    let value = String::from_utf8_lossy(&output).trim().to_owned();
    Some(value).filter(|value| !value.is_empty() && value != "DIRECT")
}

/// Files of the machine that pip needs at their own paths: name resolution, certificates, and its
/// configuration with the files that it names.
pub(crate) fn carried() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = [
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/pip.conf",
        "/etc/xdg/pip",
        "/usr/share/ca-certificates",
        "/usr/local/share/ca-certificates",
    ]
    .into_iter()
    .map(PathBuf::from)
    .collect();
    if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        files.push(PathBuf::from("/etc/ssl/certs"));
    }
    let home = PathBuf::from(text("HOME").unwrap_or_else(|| "/root".to_owned()));
    files.extend([".pip", ".config/pip", ".netrc"].map(|name| home.join(name)));
    files.extend(text("XDG_CONFIG_HOME").map(|config| PathBuf::from(config).join("pip")));
    files.extend(
        env::vars_os()
            .filter(|(name, _)| names_files(name))
            .flat_map(|(_, value)| paths(&value.to_string_lossy())),
    );
    let configuration: Vec<String> = files.iter().flat_map(|path| configurations(path)).collect();
    files.extend(configuration.iter().flat_map(|text| paths(text)));
    files.retain(|path| path.exists());
    files.sort();
    files.dedup();
    files
}

fn names_files(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("PIP_")
        || matches!(
            &*name,
            "SSL_CERT_FILE" | "SSL_CERT_DIR" | "REQUESTS_CA_BUNDLE" | "CURL_CA_BUNDLE"
        )
}

fn configurations(path: &Path) -> Vec<String> {
    let candidates = [path.to_owned(), path.join("pip.conf")];
    let wanted = candidates
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "conf"));
    wanted
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect()
}

/// The absolute paths among the words of a text.
fn paths(text: &str) -> Vec<PathBuf> {
    text.split(|c: char| c.is_whitespace() || c == '=' || c == ',')
        .map(|word| word.strip_prefix("file://").unwrap_or(word))
        .filter(|word| word.starts_with('/') && word.len() > 1)
        .map(PathBuf::from)
        .collect()
}
