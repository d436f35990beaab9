//! Whole-pipeline tests that need the machine for themselves: they load it until others would fail, or
//! kill what others need.
//! They run one after the other, and after those of the other binaries.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

mod chaos;
mod hostile;
mod overload;
mod notifications;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The turn of one test; over when dropped.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed before does not concern the next one.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
