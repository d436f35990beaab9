//! Timestamps as senders write them, to nanoseconds since 1970 UTC, and back. Reads no clock.

use crate::limits::NS_PER_SECOND;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Numbers below this are seconds (until the year 5138), below the next milliseconds, and so on:
/// the scales cannot be confused for any time after 1973.
const SECONDS_BELOW: f64 = 1e11;
const MILLIS_BELOW: f64 = 1e14;
const MICROS_BELOW: f64 = 1e17;

/// Parses ISO 8601 / RFC 3339 (a missing zone means UTC; a space may stand for the `T`), or a
/// number of seconds, milliseconds, microseconds or nanoseconds told apart by its size.
/// Nanoseconds since 1970 UTC; `None` when it is no time.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<i64> {
    if let Some(ns) = parse_plain(text.as_bytes()) {
        return Some(ns);
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return parse_number(text);
    }
    parse_offset(text)
}

/// As [`parse_timestamp`], for a JSON number.
#[must_use]
pub fn parse_number(text: &str) -> Option<i64> {
    if let Ok(int) = text.parse::<i64>() {
        let unsigned = int.unsigned_abs();
        let scale = match unsigned {
            0..100_000_000_000 => NS_PER_SECOND,
            100_000_000_000..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            100_000_000_000_000_000.. => 1,
        };
        return int.checked_mul(scale);
    }
    if let Some(ns) = decimal_seconds(text) {
        return Some(ns);
    }
    let float: f64 = text.parse().ok()?;
    let scale = match float.abs() {
        magnitude if magnitude < SECONDS_BELOW => 1e9,
        magnitude if magnitude < MILLIS_BELOW => 1e6,
        magnitude if magnitude < MICROS_BELOW => 1e3,
        _ => 1.0,
    };
    let ns = (float * scale).round();
    // 2^63 as a float; beyond it the cast would saturate.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range was just checked"
    )]
    (ns.is_finite() && ns.abs() < 9.2e18).then_some(ns as i64)
}

/// `1700000000.123` without the rounding of a float.
fn decimal_seconds(text: &str) -> Option<i64> {
    let (seconds, _) = text.split_once('.')?;
    let rest = text.as_bytes().get(seconds.len()..)?;
    let seconds: i64 = seconds
        .parse()
        .ok()
        .filter(|s| (0..100_000_000_000).contains(s))?;
    seconds
        .checked_mul(NS_PER_SECOND)?
        .checked_add(fraction(rest)?)
}

/// The fast path: `YYYY-MM-DD[T ]HH:MM:SS[.fraction][Z]`, which nearly every sender writes.
fn parse_plain(bytes: &[u8]) -> Option<i64> {
    let (head, rest) = bytes.split_first_chunk::<19>()?;
    let two = |at: usize| -> Option<i64> {
        let (tens, ones) = (
            head.get(at)?.wrapping_sub(b'0'),
            head.get(at + 1)?.wrapping_sub(b'0'),
        );
        (tens < 10 && ones < 10).then_some(i64::from(tens) * 10 + i64::from(ones))
    };
    let marks = [head.get(4)?, head.get(7)?, head.get(13)?, head.get(16)?];
    if marks != [&b'-', &b'-', &b':', &b':'] || !matches!(head.get(10)?, b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    let ns = fraction(rest)?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(NS_PER_SECOND)?.checked_add(ns)
}

/// Nanoseconds of `[.digits][Z]`, digits past the ninth cut off.
fn fraction(rest: &[u8]) -> Option<i64> {
    let rest = rest
        .strip_suffix(b"Z")
        .or_else(|| rest.strip_suffix(b"z"))
        .unwrap_or(rest);
    let Some((b'.', digits)) = rest.split_first() else {
        return rest.is_empty().then_some(0);
    };
    let mut ns = 0i64;
    for at in 0..digits.len().max(9) {
        let digit = digits.get(at).copied().unwrap_or(b'0').wrapping_sub(b'0');
        if digit > 9 || digits.is_empty() {
            return None;
        }
        if at < 9 {
            ns = ns * 10 + i64::from(digit);
        }
    }
    Some(ns)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a Gregorian date (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`).
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The general path: any offset, date only, a comma for the decimal point.
fn parse_offset(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    let mut text = text.trim().replacen(' ', "T", 1).replacen(',', ".", 1);
    if text.len() == 10 {
        text.push_str("T00:00:00");
    }
    // `+0100` and `+01` to `+01:00`.
    if let Some(sign) = text.rfind(['+', '-']).filter(|at| *at > 10) {
        match text.len() - sign {
            5 => text.insert(sign + 3, ':'),
            3 => text.push_str(":00"),
            _ => {}
        }
    } else if !text.ends_with(['Z', 'z']) {
        text.push('Z');
    }
    let time = OffsetDateTime::parse(&text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos()).ok()
}

/// RFC 3339 in UTC, with as many decimals as it needs.
#[must_use]
pub fn rfc3339(ns: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns))
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_senders_use_mean_the_same_instant() {
        let ns = 1_700_000_000_123_000_000;
        for text in [
            "2023-11-14T22:13:20.123Z",
            "2023-11-14 22:13:20.123",
            "2023-11-14T22:13:20,123Z",
            "2023-11-14T23:13:20.123+01:00",
            "2023-11-14T23:13:20.123+0100",
            "2023-11-14T16:43:20.123-05:30",
            "1700000000.123",
            "1700000000123",
            "1700000000123000",
            "1700000000123000000",
        ] {
            assert_eq!(parse_timestamp(text), Some(ns), "{text}");
        }
        assert_eq!(
            parse_timestamp("2023-11-14"),
            Some(1_699_920_000 * NS_PER_SECOND)
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2023-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00.12x",
            "1e400",
            "....",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(ns in -2_000_000_000_000_000_000i64..4_000_000_000_000_000_000) {
            prop_assert_eq!(parse_timestamp(&rfc3339(ns)), Some(ns));
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = parse_timestamp(&text);
        }
    }
}
