//! The one place of this crate that reads the clock and the process's own use of the processor.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970 UTC.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this crate is a client and stands outside the services' runtime crate"
)]
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// Clock ticks a second in `/proc`: 100 on every Linux architecture that Rust has.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds (user and system) that a process has used; `None` where `/proc` does not say.
#[must_use]
pub fn cpu_seconds(pid: Option<u32>) -> Option<f64> {
    let process = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_process_has_used_some_processor() {
        let mut sum = 0u64;
        while super::cpu_seconds(None).unwrap() < 0.02 {
            sum = sum.wrapping_mul(31).wrapping_add(7);
            std::hint::black_box(sum);
        }
        assert!(super::now_ns() > 1_700_000_000_000_000_000);
    }
}
