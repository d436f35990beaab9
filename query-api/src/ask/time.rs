//! The time range of a question: half-open, bounded, in nanoseconds UTC. Reads no clock.

use super::Loose;
use crate::error::Problem;
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::outcome::Refusal;
use millrace_shared::time::{parse_timestamp, rfc3339};

/// Seconds in a day.
pub const DAY_S: i64 = 24 * 3600;
/// What is asked when nothing is said: the last hour.
const DEFAULT_S: i64 = 3600;

/// From `start` (included) to `end` (not included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// Nanoseconds since 1970.
    pub start: i64,
    /// Nanoseconds since 1970.
    pub end: i64,
}

impl TimeRange {
    /// Reads `start` and `end`: times as ISO 8601 or Unix numbers, or `now` and `now-15m`. Without
    /// `end` it is now, without `start` an hour before `end`.
    ///
    /// # Errors
    /// 400 for what is no time; 422 for an empty range or one longer than `most_s`.
    pub fn read(
        start: Option<&Loose>,
        end: Option<&Loose>,
        now_ns: i64,
        most_s: i64,
    ) -> Result<Self, Problem> {
        // An event of this very moment is in the range that ends now.
        let end = instant("end", end, now_ns)?.unwrap_or_else(|| now_ns.saturating_add(1));
        let start = instant("start", start, now_ns)?
            .unwrap_or_else(|| end.saturating_sub(DEFAULT_S * NS_PER_SECOND));
        if start >= end {
            let detail = "start must be before end";
            return Err(Problem::new(Refusal::Unprocessable, detail));
        }
        let seconds = end.saturating_sub(start) / NS_PER_SECOND;
        if seconds > most_s {
            let days = most_s / DAY_S;
            let detail = format!("the time range is longer than the {days} days allowed here");
            return Err(Problem::new(Refusal::Unprocessable, detail));
        }
        Ok(TimeRange { start, end })
    }

    /// Its length in seconds, at least one.
    #[must_use]
    pub fn seconds(self) -> i64 {
        (self.end.saturating_sub(self.start) / NS_PER_SECOND).max(1)
    }

    /// Its start and end as RFC 3339.
    #[must_use]
    pub fn texts(self) -> (String, String) {
        (rfc3339(self.start), rfc3339(self.end))
    }
}

fn instant(name: &str, given: Option<&Loose>, now_ns: i64) -> Result<Option<i64>, Problem> {
    let Some(text) = given
        .map(|loose| loose.0.trim())
        .filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let parsed = relative(text, now_ns).or_else(|| parse_timestamp(text));
    let unreadable = || {
        Problem::parameter(
            name,
            "is no time: send ISO 8601, a Unix number, or `now-15m`",
        )
    };
    parsed.map(Some).ok_or_else(unreadable)
}

/// `now`, `now-90s`, `now-15m`, `now-2h`, `now-7d`.
fn relative(text: &str, now_ns: i64) -> Option<i64> {
    let rest = text.strip_prefix("now")?;
    if rest.is_empty() {
        return Some(now_ns);
    }
    let rest = rest.strip_prefix('-')?;
    now_ns.checked_sub(duration_s(rest)?.checked_mul(NS_PER_SECOND)?)
}

/// `90`, `90s`, `15m`, `2h`, `7d` in seconds.
pub(super) fn duration_s(text: &str) -> Option<i64> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.as_bytes().last().copied()),
        None => (text, Some(b's')),
    };
    let scale = match unit {
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => DAY_S,
        _ => 1,
    };
    let number: u32 = number.parse().ok()?;
    i64::from(number).checked_mul(scale)
}

impl Loose {
    /// Reads a duration: `30`, `30s`, `5m`, `1h`, `1d`.
    ///
    /// # Errors
    /// 400 for what is none, and for zero.
    pub fn duration_s(&self, name: &str) -> Result<i64, Problem> {
        let seconds = duration_s(self.0.trim()).filter(|s| *s > 0);
        seconds.ok_or_else(|| Problem::parameter(name, "is no duration: send `30s`, `5m` or `1h`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000 * NS_PER_SECOND;

    fn read(start: Option<&str>, end: Option<&str>) -> Result<TimeRange, Refusal> {
        let loose = |text: Option<&str>| text.map(|t| Loose(t.to_owned()));
        let (start, end) = (loose(start), loose(end));
        TimeRange::read(start.as_ref(), end.as_ref(), NOW, DAY_S).map_err(|p| p.refusal())
    }

    #[test]
    fn the_default_is_the_last_hour_and_now_is_in_it() {
        let range = read(None, None).unwrap();
        assert_eq!(range.seconds(), 3600);
        assert!(range.end > NOW);
        let range = read(Some("now-90s"), Some("now")).unwrap();
        assert_eq!((range.seconds(), range.end), (90, NOW));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (start, end, refusal) in [
            (Some("yesterday"), None, Refusal::BadParameter),
            (Some("now-1x"), None, Refusal::BadParameter),
            (Some("now"), Some("now-1h"), Refusal::Unprocessable),
            (Some("now-2d"), None, Refusal::Unprocessable),
        ] {
            assert_eq!(read(start, end), Err(refusal), "{start:?} {end:?}");
        }
    }
}
