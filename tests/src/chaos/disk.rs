//! The disk of Redis, on a small tmpfs that can run full. Where mounting is not permitted the site
//! goes without, and says so.

use super::site::Site;
use super::strike::Striker;
use millrace_devstack::{Engine, Stack};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Room for the streams of a round and for a rewrite of the append-only file.
const SIZE: &str = "size=768m";
/// The file that takes the room.
const FILLER: &str = "filler";
/// What is written of it at a time.
const BLOCK: usize = 64 * 1024;

/// Puts the directory of Redis on a tmpfs; says why not when it cannot.
///
/// # Errors
/// When mounting is not permitted; Redis is as it was.
pub(super) fn shrink(stack: &Stack) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let place = stack.directory().join(Engine::Redis.name());
    let aside = stack.directory().join("redis-aside");
    stack
        .halt(Engine::Redis)
        .map_err(|error| error.to_string())?;
    std::fs::rename(&place, &aside).map_err(text)?;
    std::fs::create_dir(&place).map_err(text)?;
    let mounted = run("mount", &["-t", "tmpfs", "-o", SIZE, "tmpfs"], &place);
    let source = format!("{}/.", aside.display());
    let copied = run("cp", &["-a", &source], &place);
    std::fs::remove_dir_all(&aside).map_err(text)?;
    stack
        .resume(Engine::Redis)
        .map_err(|error| error.to_string())?;
    copied.and(mounted)
}

fn run(program: &str, arguments: &[&str], place: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(place).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Fills the disk, waits, and makes room again. Redis ends itself when it cannot write its file; it
/// is started again.
///
/// # Errors
/// When the disk cannot be filled or Redis does not come back.
pub(super) fn fill(striker: &Striker<'_>, time: Duration) -> Result<bool, String> {
    let site = striker.site;
    if !site.small_disk {
        return Ok(false);
    }
    let filler = place(site).join(FILLER);
    let filled = take_all(&filler);
    std::thread::sleep(time);
    let gone = site.stack().pid(Engine::Redis).is_none();
    std::fs::remove_file(&filler).map_err(|error| error.to_string())?;
    site.resume(Engine::Redis);
    filled?;
    Ok(gone)
}

fn place(site: &Site) -> PathBuf {
    site.stack().directory().join(Engine::Redis.name())
}

/// Writes until there is no room; an error when it ends in any other way.
fn take_all(path: &Path) -> Result<(), String> {
    let mut file = File::create(path).map_err(|error| error.to_string())?;
    // Ever smaller blocks, to take the last byte.
    let mut block = vec![0; BLOCK];
    while !block.is_empty() {
        match file.write_all(&block) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                block.truncate(block.len() / 2);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
