//! The inputs that are kept, under `fuzz/corpus/<target>/`: seeds that a program writes, what runs
//! have found beside them, and every input that ever broke a promise.

use std::io;
use std::path::PathBuf;

/// Where the inputs of a target lie.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    let workspace = millrace_devstack::place::workspace();
    workspace.join("fuzz").join("corpus").join(target)
}

/// The inputs of a target, in the order of their names.
///
/// # Errors
/// When they cannot be read.
pub fn read(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let folder = folder(target);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.into_iter().map(std::fs::read).collect()
}

/// Adds an input, named by its content.
///
/// # Errors
/// When it cannot be written.
pub fn add(target: &str, input: &[u8]) -> io::Result<()> {
    use sha2::Digest as _;
    let folder = folder(target);
    std::fs::create_dir_all(&folder)?;
    let name = hex::encode(sha2::Sha256::digest(input));
    std::fs::write(folder.join(name.get(..16).unwrap_or("input")), input)
}
