//! Sample events of a trial: of which signal, and how many.

use crate::error::Problem;
use millrace_shared::Signal;
use millrace_shared::outcome::Refusal;
use serde_json::Value;

/// Sample events of a trial, at most: enough to see what happens, and they fit into a body.
const EVENTS_MAX: usize = 100;

/// Reads the name of a signal.
///
/// # Errors
/// 400 when it is none.
pub fn signal(name: &str) -> Result<Signal, Problem> {
    Signal::from_name(name).ok_or_else(|| Problem::parameter("signal", "is none of the five"))
}

/// Whether there are not too many events.
///
/// # Errors
/// 422.
pub fn within_trial(events: &[Value]) -> Result<(), Problem> {
    if events.len() > EVENTS_MAX {
        let detail = format!("more than {EVENTS_MAX} events");
        return Err(Problem::new(Refusal::Unprocessable, detail));
    }
    Ok(())
}
