//! Which cores this process and its threads may use (Linux, `taskset` of util-linux). Processes
//! that it starts begin with the cores it has then: so the pipeline gets some and the load others,
//! and what a request costs its sender is not missing where it is served.

use std::process::Command;

/// Confines all threads of this process to these cores, as `taskset` writes them (`0`, `0-2,5`).
///
/// # Panics
/// When `taskset` is missing or refuses the list.
pub fn confine(cores: &str) {
    let own = std::process::id().to_string();
    let output = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", cores, &own])
        .output()
        .expect("taskset, of util-linux");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cores {cores}: {said}");
}
