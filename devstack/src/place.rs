//! Where things lie: the workspace, its target directory, the engine root. Reads the environment;
//! never creates anything.

use std::env;
use std::path::{PathBuf, absolute};

/// The workspace this crate was built in.
pub fn workspace() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    text("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// `target/millrace`: data, logs and `run.json` of instances.
pub fn state() -> PathBuf {
    target().join("millrace")
}

/// The directory the engines are installed in: `MILLRACE_ENGINES_DIR`, or the user's cache.
pub fn engines() -> PathBuf {
    if let Some(chosen) = text("MILLRACE_ENGINES_DIR") {
        return absolute(&chosen).unwrap_or_else(|_| PathBuf::from(chosen));
    }
    let cache = text("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(text("HOME").unwrap_or_else(|| "/root".to_owned()));
    cache
        .unwrap_or_else(|| home().join(".cache"))
        .join("millrace/engines")
}

/// An environment variable that is set to something.
pub(crate) fn text(name: &str) -> Option<String> {
    env::var_os(name)
        .and_then(|value| value.into_string().ok())
        .filter(|value| !value.is_empty())
}
