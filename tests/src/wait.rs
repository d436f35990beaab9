//! Waiting for a condition, never for a time. Says what was awaited when it does not come.

use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// What a two-core machine full of tests needs at worst for a step that takes a second alone.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Looks until there is something, and returns it.
///
/// # Panics
/// When there is nothing within the time; `last` of the message is what was seen last.
pub fn within<T, W: std::fmt::Debug>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, W>,
) -> T {
    let end = Instant::now() + patience;
    loop {
        let last = match look() {
            Ok(found) => return found,
            Err(last) => last,
        };
        assert!(
            Instant::now() < end,
            "not within {patience:?}: {what}; last seen: {last:?}"
        );
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Looks until there is something, with the usual patience.
///
/// # Panics
/// As [`within`].
pub fn until<T, W: std::fmt::Debug>(what: &str, look: impl FnMut() -> Result<T, W>) -> T {
    within(PATIENCE, what, look)
}

/// The runtime on which all clients of the tests live.
///
/// # Panics
/// When there can be none.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}

/// Runs a future from a test's thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}
