//! The files of the project, as git knows them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The workspace.
pub(crate) fn workspace() -> PathBuf {
    millrace_devstack::place::workspace()
}

/// A file of the project.
pub(crate) struct File {
    /// Its path from the workspace, with `/`.
    pub(crate) path: String,
    /// What it says; empty when it is no text.
    pub(crate) text: String,
}

/// Every file that is tracked or would be.
pub(crate) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let paths = from_git().unwrap_or_else(from_disk);
        let read = |path: String| {
            let text = std::fs::read_to_string(workspace().join(&path)).unwrap_or_default();
            File { path, text }
        };
        paths
            .into_iter()
            .filter(|path| workspace().join(path).is_file())
            .map(read)
            .collect()
    })
}

/// The Rust files.
pub(crate) fn rust() -> impl Iterator<Item = &'static File> {
    files().iter().filter(|file| file.path.ends_with(".rs"))
}

fn from_git() -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> = text.lines().map(str::to_owned).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

/// In an unpacked archive there is no git.
fn from_disk() -> Vec<String> {
    let mut found = Vec::new();
    walk(&workspace(), &mut found);
    let strip = |path: PathBuf| {
        path.strip_prefix(workspace())
            .map(|path| path.display().to_string())
    };
    found
        .into_iter()
        .filter_map(|path| strip(path).ok())
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && name != ".git" {
            walk(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// Fails with a list of what is not as it should be.
pub(crate) fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}\n", found.join("\n  "));
}
